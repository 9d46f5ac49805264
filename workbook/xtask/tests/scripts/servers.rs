//! Whose server it is. A postmaster.pid that a killed server has left names a number, and numbers come again, after a reboot or in a
//! container: then another PostgreSQL of the reader's has it, or any other process. Whatever the scripts do, that one lives on.

use crate::support::{Place, bash, expect, expect_within, output, root};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A cache of our own with set-up's tools, but for a cargo-pgrx that builds nothing: no worker is needed here. And what is the reader's
/// own: a server with its processes, and something else.
struct World {
    place: Place,
    major: String,
    /// The folder of this checkout in the cache.
    here: PathBuf,
    /// A copy of the PostgreSQL that set-up has made, without the step's library.
    postgresql: PathBuf,
    server: u32,
    backend: String,
    process: Child,
}

impl World {
    fn new() -> Self {
        let place = Place::new();
        let cache = place.path().join("c");
        let facts = bash(
            ". scripts/lib/common.sh; printf '%s\\n' \"$HERE\" \"$TOOLS\" \"$DOWNLOADS\" \"$PGRX_VERSION\" \"$EMBEDDED_MAJOR\"",
        );
        let facts = output(facts);
        let [original, tools, downloads, pgrx, major] = facts.lines().collect::<Vec<_>>().try_into().unwrap();
        let original = PathBuf::from(original);
        let here = cache.join(original.file_name().unwrap());
        let cargo_pgrx = cache.join(format!("tools/cargo-pgrx-{pgrx}/bin/cargo-pgrx"));
        fs::create_dir_all(cargo_pgrx.parent().unwrap()).unwrap();
        fs::create_dir_all(&here).unwrap();
        symlink(downloads, cache.join("dl")).unwrap();
        for tool in fs::read_dir(tools).unwrap().flatten() {
            let _ = symlink(tool.path(), cache.join("tools").join(tool.file_name()));
        }
        program(&cargo_pgrx, &format!("echo cargo-pgrx {pgrx}"));
        let process = Command::new("true").spawn().unwrap();
        let postgresql = place.path().join("pg");
        let copy = r#"mkdir "$3" && cp -a --reflink=auto "$1/pg/$2" "$3/" && for d in "$1"/*.libs; do [ ! -e "$d" ] || cp -a "$d" "$3/.."; done
            rm -f "$("$3/$2/bin/pg_config" --pkglibdir)/step1_registration.so""#;
        output(arguments(
            "bash",
            &["-c", copy, "bash", original.to_str().unwrap(), major, postgresql.to_str().unwrap()],
        ));
        let world = Self { place, major: major.into(), here, postgresql, server: 0, backend: String::new(), process };
        world.cluster();
        output(world.program("initdb", &["-D", &world.place.at("pgother"), "-A", "trust", "--no-sync"]));

        // The script that `cargo workbook new` gives to an extension of one's own stands alone.
        fs::create_dir_all(world.place.at("mine/bin")).unwrap();
        let mut template = fs::read_to_string(root().join("workbook/cli/templates/run")).unwrap();
        for (name, value) in [("MAJOR", major), ("NAME", "mine"), ("SCHEMA", "mine"), ("PORT", "29000")] {
            template = template.replace(&format!("@{name}@"), value);
        }
        fs::write(world.place.at("mine/run"), template).unwrap();
        fs::set_permissions(world.place.at("mine/run"), fs::Permissions::from_mode(0o755)).unwrap();
        program(&world.place.path().join("mine/bin/cargo"), "");
        world
    }

    /// The cluster of step 1.
    fn cluster(&self) {
        fs::create_dir_all(&self.here).unwrap();
        if !self.here.join("pg").exists() {
            symlink(&self.postgresql, self.here.join("pg")).unwrap();
        }
        output(self.script("lib/environment.sh", &["step1", "--quiet"]));
    }

    fn data(&self) -> String {
        self.here.join(format!("step1/data-{}", self.major)).display().to_string()
    }

    /// One of PostgreSQL's programs.
    fn program(&self, name: &str, arguments: &[&str]) -> Command {
        let mut program = Command::new(self.postgresql.join(&self.major).join("bin").join(name));
        program.args(arguments);
        program
    }

    /// One of the scripts, with this cache.
    fn script(&self, name: &str, arguments: &[&str]) -> Command {
        let mut script = Command::new(root().join("scripts").join(name));
        script.args(arguments);
        self.with_cache(script)
    }

    fn with_cache(&self, mut command: Command) -> Command {
        command.env("WORKBOOK_LANG", "en").env("WORKBOOK_CACHE", self.place.at("c"));
        for name in ["PG_CONFIG", "WORKBOOK_PG", "WORKBOOK_HOMES", "PGRX_HOME", "WORKBOOK_STEP"] {
            command.env_remove(name);
        }
        command
    }

    fn start(&self, data: &str, sockets: &str, folder: &str) {
        let log = self.place.at("log");
        let options = format!("-c listen_addresses= -c shared_preload_libraries= -c unix_socket_directories={sockets}");
        let mut start = self.program("pg_ctl", &["start", "-w", "-D", data, "-l", &log, "-o", &options]);
        let status = start.current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(status.success(), "{data}: {}", fs::read_to_string(log).unwrap_or_default());
    }

    /// What is the reader's own, anew where it is gone.
    fn others(&mut self) {
        let data = self.place.at("pgother");
        if self.changed().is_some() {
            if !fs::exists(format!("{data}/postmaster.pid")).unwrap() {
                self.start(&data, ".", "/");
            }
            let file = fs::read_to_string(format!("{data}/postmaster.pid")).unwrap();
            self.server = file.lines().next().unwrap().parse().unwrap();
            self.backend = self.checkpointer();
        }
        if self.process.try_wait().unwrap().is_some() {
            self.process = as_server("env").args(["--default-signal=INT", "sleep", "1000"]).spawn().unwrap();
        }
        assert_eq!(self.changed(), None);
    }

    fn checkpointer(&self) -> String {
        let mut pgrep = Command::new("pgrep");
        let out = pgrep.args(["-P", &self.server.to_string(), "-f", "checkpointer"]).output().unwrap();
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }

    /// What of the reader's own was stopped or restarted.
    fn changed(&mut self) -> Option<&'static str> {
        let socket = self.place.at("pgother");
        let mut psql = self.program("psql", &["-XAtc", "SELECT 1", "-h", &socket, "postgres"]);
        if self.server == 0 || self.checkpointer() != self.backend {
            Some("the server")
        } else if psql.output().unwrap().stdout != b"1\n" {
            Some("the server, which does not answer")
        } else {
            self.process.try_wait().unwrap().map(|_| "the process")
        }
    }

    /// The process id of one of them.
    fn number(&self, kind: &str) -> String {
        match kind {
            "server" => self.server.to_string(),
            "backend" => self.backend.clone(),
            _ => self.process.id().to_string(),
        }
    }

    /// The file as a killed server leaves it.
    fn left(&self, data: &str, process: &str) {
        fs::create_dir_all(data).unwrap();
        fs::write(format!("{data}/PG_VERSION"), format!("{}\n", self.major)).unwrap();
        let sockets = self.here.join("step1").display().to_string();
        let lines =
            [process, data, "1700000000", "12345", &sockets, "127.0.0.1", "  12345678       123", "ready   ", ""];
        fs::write(format!("{data}/postmaster.pid"), lines.join("\n")).unwrap();
        if is_root() {
            output(arguments("chown", &["-R", "nobody:", data]));
        }
    }

    /// The command of an extension of one's own.
    fn mine(&self, arguments: &[&str]) -> Command {
        let mut mine = Command::new(self.place.at("mine/run"));
        let path = format!("{}:{}", self.place.at("mine/bin"), std::env::var("PATH").unwrap());
        mine.args(arguments).env("PATH", path).env("PG_CONFIG", self.program("pg_config", &[]).get_program());
        mine
    }

    #[track_caller]
    fn live_on(&mut self, after: &str) {
        assert_eq!(self.changed(), None, "after {after} it is not as it was");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program(path: &std::path::Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn arguments(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// A program as whoever the servers run as.
fn as_server(program: &str) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let group = output(arguments("id", &["-g", "nobody"]));
    arguments("setpriv", &["--reuid", "nobody", "--regid", group.trim(), "--clear-groups", program])
}

/// A file of a killed server names another server, one of its processes, or any process.
#[test]
fn a_number_that_another_process_has() {
    let mut world = World::new();
    let (data, mine) = (world.data(), world.place.at(&format!("mine/.run/data-{}", world.major)));
    for kind in ["server", "backend", "process"] {
        world.others();
        world.left(&data, &world.number(kind));
        let nothing = ["Nothing of this checkout is running", "!stopped"];
        expect("there is nothing to stop", &world.script("run", &["--stop"]), 0, &nothing);
        output(world.script("lib/environment.sh", &["step1", "--quiet"]));
        assert!(
            !fs::exists(format!("{data}/postmaster.pid")).unwrap(),
            "to select the step removes the file of the {kind}"
        );
        world.live_on("--stop");

        world.left(&mine, &world.number(kind));
        let seen = crate::support::run(&world.mine(&["stop"]), 20);
        assert!(![0, 124, 137].contains(&seen.status) && seen.text.contains("PID file"), "mine stop: {}", seen.text);
        assert!(!seen.text.contains("stopped"), "an extension of one's own has nothing to stop: {}", seen.text);
        world.others();
        world.left(&mine, &world.number(kind));
        let seen = crate::support::run(&world.mine(&[]), 20);
        // There is none.
        let words = "could not access the server configuration file";
        assert!(![0, 124, 137].contains(&seen.status) && seen.text.contains(words), "mine: {}", seen.text);
        world.live_on("mine");

        world.left(&data, &world.number(kind));
        let texts = ["PostgreSQL did not start: it has to preload", "!cannot be stopped"]; // there is no such library
        expect_within(900, "run starts a server", &world.script("run", &["step1"]), 1, &texts);
        world.live_on("run");

        world.left(&data, &world.number(kind));
        let removed = format!("removed  {} (", world.here.display());
        expect("clean removes what is ours", &world.script("clean", &[]), 0, &["!stopped", &removed]);
        world.live_on("clean");
        world.cluster();
    }
}

#[test]
fn our_own_is_found() {
    let mut world = World::new();
    let (data, step) = (world.data(), world.here.join("step1").display().to_string());
    let mut select = world.script("lib/environment.sh", &["step1", "--quiet"]);
    select.env_remove("HOME").env_remove("CARGO_HOME");
    expect("a step can be selected where HOME is not set", &select, 0, &[&format!("PGRX_HOME={step}")]);

    let stopped = ["stopped  the server of step1"];
    world.start(&format!("data-{}", world.major), "..", &step);
    expect("started by hand from the folder above", &world.script("run", &["--stop"]), 0, &stopped);
    if is_root() {
        // Root in a container may look into no other user's process.
        let contained = |world: &World| {
            let mut run = arguments("setpriv", &["--bounding-set", "-sys_ptrace"]);
            run.arg(root().join("scripts/run")).arg("--stop");
            world.with_cache(run)
        };
        world.start(&data, "..", "/");
        expect("in a container, where root may do less", &contained(&world), 0, &stopped);
        world.others();
        world.left(&data, &world.number("server"));
        expect("nor does it take another server for ours there", &contained(&world), 0, &["Nothing", "!stopped"]);
        world.live_on("--stop in a container");
        fs::remove_file(format!("{data}/postmaster.pid")).unwrap();
    }
}

/// Where process 1 buries no orphans, a killed server stays in the process table.
#[test]
fn a_server_that_nobody_has_buried() {
    let world = World::new();
    let data = world.data();
    let postgres = world.program("postgres", &[]).get_program().to_string_lossy().into_owned();
    let script = format!(
        "cd /; '{postgres}' -D '{data}' -c listen_addresses= -c shared_preload_libraries= -c unix_socket_directories=.. > /dev/null 2>&1 & exec sleep 1000"
    );
    let mut parent = as_server("bash").args(["-c", &script]).spawn().unwrap();
    let pid = await_some(|| {
        let file = fs::read_to_string(format!("{data}/postmaster.pid")).ok()?;
        let ready = file.lines().count() >= 8;
        ready.then(|| file.lines().next().map(str::to_owned)).flatten()
    });
    output(arguments("kill", &["-KILL", &pid]));
    await_some(|| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") Z ").then_some(()));
    let nothing = ["Nothing of this checkout is running"];
    expect("a server that nobody has buried is none", &world.script("run", &["--stop"]), 0, &nothing);
    world.cluster();
    world.start(&data, "..", "/");
    let stopped = ["stopped  the server of step1"];
    expect("and another one is started in its place", &world.script("run", &["--stop"]), 0, &stopped);
    parent.kill().unwrap();
    parent.wait().unwrap();
}

/// Waits for something of the process table, which sends no event.
fn await_some<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "it does not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}
