//! Throw-away clusters: a PostgreSQL of its own for each test, made from a template in a fraction of a second, reached through a
//! socket in a private folder, and gone afterwards, also when the test is killed.
//!
//! The official tools do the work: `initdb`, `pg_ctl`, `pg_basebackup`. pgtemp 0.7 was looked at first: it starts a server and
//! removes it, but it cannot restart, crash or promote one, has no standby, and brings an asynchronous runtime.

use crate::failure::{Failure, Logs, Result, answer};
use crate::tell;
use crate::text::Text;
use postgres::{Client, Config, NoTls};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, getuid, kill_process};
use std::cell::Cell;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take: a start, a stop, an event that is waited for. WORKBOOK_LIMIT, in seconds, shortens it where an
/// event is expected not to come.
pub fn limit() -> Duration {
    LIMIT.get().or_else(chosen_limit).unwrap_or(Duration::from_secs(30))
}

/// What was chosen for this process, if anything: by WORKBOOK_LIMIT, or by a program that expects that events do not come.
pub fn chosen_limit() -> Option<Duration> {
    let from_variable = || std::env::var("WORKBOOK_LIMIT").ok().and_then(|text| text.parse().ok());
    from_variable().map(Duration::from_secs).or_else(|| CHOSEN.get().copied())
}

/// Chooses the limit for this process, once, where WORKBOOK_LIMIT does not.
pub fn choose_limit(limit: Duration) {
    let _ = CHOSEN.set(limit); // the first one counts
}

static CHOSEN: OnceLock<Duration> = OnceLock::new();

thread_local! {
    /// The limit that [`set_limit`] has chosen.
    static LIMIT: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// Chooses how long anything may take in this thread from now on. `None`: as [`limit`] says.
pub fn set_limit(limit: Option<Duration>) {
    LIMIT.set(limit);
}

/// How long to wait before looking again for something that sends no message.
const TICK: Duration = Duration::from_millis(5);

/// How long a wait leaves PostgreSQL 15's postmaster alone, see [`Throwaway::nudge`].
const NUDGE: Duration = Duration::from_secs(1);

/// The name of the superuser in every throw-away cluster, whoever runs the test.
pub const SUPERUSER: &str = "postgres";

/// An installed PostgreSQL.
#[derive(Clone, Debug)]
pub struct Installation {
    /// Where `initdb`, `pg_ctl` and the others are.
    pub bin: PathBuf,
    /// Where libraries are loaded from.
    pub lib: PathBuf,
    /// Where extensions are.
    pub share: PathBuf,
    /// The major version.
    pub major: u16,
    /// The version as PostgreSQL prints it, `18.4`.
    pub version: String,
}

impl Installation {
    /// The installation that this `pg_config` belongs to.
    pub fn of(pg_config: &Path) -> Result<Self> {
        // It answers in the order of the questions, a line each.
        let questions = ["--version", "--bindir", "--pkglibdir", "--sharedir"];
        let out =
            Command::new(pg_config).args(questions).output().map_err(|e| format!("{}: {e}", pg_config.display()))?;
        let text = String::from_utf8_lossy(&out.stdout);
        let (true, [version, bin, lib, share]) = (out.status.success(), &text.lines().collect::<Vec<_>>()[..]) else {
            return Err(format!("{}: {text}{}", pg_config.display(), String::from_utf8_lossy(&out.stderr)).into());
        };
        let version = version.split_whitespace().nth(1).unwrap_or_default().to_owned();
        let major = version.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default().parse()?;
        Ok(Self { bin: bin.into(), lib: lib.into(), share: share.into(), major, version })
    }

    /// A copy below this folder, whose libraries and extensions can be changed without changing the original: PostgreSQL finds its
    /// files relative to its programs. The files are hard links, so it takes no room and no time.
    pub fn copy_to(&self, folder: &Path) -> Result<Self> {
        // The folder above all parts: Debian keeps programs and shared files apart. The includes lie there, too.
        let parts = [&self.lib, &self.share];
        let prefix = self.bin.ancestors().skip(1).find(|folder| parts.iter().all(|part| part.starts_with(folder)));
        let prefix = prefix.ok_or("no folder above bin")?;
        let copy = folder.join("pg").join(self.major.to_string());
        if copy.exists() {
            fs::remove_dir_all(&copy)?;
        }
        fs::create_dir_all(copy.parent().unwrap_or(folder))?;
        let mut cp = Command::new("cp");
        run(cp.args(["-al"]).arg(prefix).arg(&copy))?;
        // The embedded PostgreSQL has libraries of its own beside it, and looks for them two folders up.
        for entry in
            prefix.parent().and_then(Path::parent).and_then(|above| fs::read_dir(above).ok()).into_iter().flatten()
        {
            let entry = entry?;
            let link = folder.join(entry.file_name());
            if entry.file_name().to_string_lossy().ends_with(".libs") && !link.exists() {
                std::os::unix::fs::symlink(entry.path(), link)?;
            }
        }
        Self::of(&copy.join(self.bin.strip_prefix(prefix)?).join("pg_config"))
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("PG") {
                command.env_remove(key);
            }
        }
        // A backtrace below each error would make logs differ from what a reader sees.
        command.env("LC_ALL", "C.UTF-8").env_remove("RUST_BACKTRACE").stdin(Stdio::null());
        command
    }
}

/// How to stop a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Waits until the clients have gone.
    Smart,
    /// Ends the clients.
    Fast,
    /// No shutdown checkpoint: the next start is a recovery.
    Immediate,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Smart => "smart",
            Self::Fast => "fast",
            Self::Immediate => "immediate",
        }
    }
}

/// A cluster that lives as long as this value.
pub struct Throwaway {
    installation: Arc<Installation>,
    dir: TempDir,
    guard: Guard,
    logs: Logs,
}

impl Throwaway {
    /// A new cluster, not started yet, with these lines added to its configuration.
    pub fn new(installation: &Arc<Installation>, conf: &[&str]) -> Result<Self> {
        let template = template(installation)?;
        let this = Self::empty(installation)?;
        copy(&template, &this.data())?;
        this.configure(conf)?;
        Ok(this)
    }

    /// The same, whose log is kept among these when it is gone.
    pub fn keep_log(mut self, logs: &Logs) -> Self {
        self.logs = logs.clone();
        self
    }

    fn empty(installation: &Arc<Installation>) -> Result<Self> {
        let base = base()?;
        let chosen = std::env::var(CLUSTERS).ok();
        SWEPT.call_once(|| {
            [Some(MEMORY), Some(DISK), chosen.as_deref()].iter().flatten().for_each(|above| sweep(installation, above))
        });
        let dir = tempfile::Builder::new().prefix("c").rand_bytes(5).tempdir_in(base)?;
        give_to_server(dir.path())?;
        let guard = Guard::new(installation, dir.path())?;
        Ok(Self { installation: installation.clone(), dir, guard, logs: Logs::default() })
    }

    /// Adds lines to the configuration. They count from the next start or reload on.
    pub fn configure(&self, conf: &[&str]) -> Result<()> {
        let mut file = fs::OpenOptions::new().append(true).open(self.data().join("postgresql.conf"))?;
        for line in conf {
            writeln!(file, "{line}")?;
        }
        Ok(())
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The installation that it runs.
    pub fn installation(&self) -> &Arc<Installation> {
        &self.installation
    }

    fn log_file(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn pg_ctl(&self, verb: &str, arguments: &[&str]) -> Result<()> {
        let mut command = self.installation.program("pg_ctl");
        command.arg(verb).arg("-D").arg(self.data()).args(["-s", "-w", "-t", &limit().as_secs().to_string()]);
        if verb == "start" {
            command.arg("-l").arg(self.log_file());
        }
        let out = command.args(arguments).output()?;
        if out.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&out.stderr);
        // It begins with the program's name, which as root is that of a wrapper.
        let why = text.trim();
        let why = why.split_once(": ").filter(|(name, _)| name.starts_with("pg_ctl")).map_or(why, |(_, why)| why);
        Err(self.failure(tell!("pg_ctl {verb} failed: {why}", "pg_ctl {verb} が失敗しました: {why}")))
    }

    /// A failure with the last lines of the server log below it.
    pub fn failure(&self, what: impl Into<Text>) -> Failure {
        Failure::new(what, tail(&self.log()))
    }

    /// Starts the server and waits until it accepts connections (or, a standby without them, until it runs).
    pub fn start(&self) -> Result<()> {
        self.pg_ctl("start", &[])
    }

    /// Starts the server and does not wait: for one that will not accept connections.
    pub fn start_without_waiting(&self) -> Result<()> {
        self.pg_ctl("start", &["-W"])
    }

    /// Stops it.
    pub fn stop(&self, mode: Mode) -> Result<()> {
        self.pg_ctl("stop", &["-m", mode.name()])
    }

    /// Stops and starts it.
    pub fn restart(&self, mode: Mode) -> Result<()> {
        self.stop(mode)?;
        self.start()
    }

    /// Makes all processes read the configuration again.
    pub fn reload(&self) -> Result<()> {
        self.pg_ctl("reload", &[])
    }

    /// Ends a standby's recovery, and waits for it.
    pub fn promote(&self) -> Result<()> {
        self.pg_ctl("promote", &[])
    }

    /// The postmaster's PID.
    pub fn postmaster(&self) -> Result<i32> {
        let file = self.data().join("postmaster.pid");
        let text = fs::read_to_string(&file).map_err(|e| self.failure(format!("{}: {e}", file.display())))?;
        Ok(text.lines().next().unwrap_or_default().trim().parse()?)
    }

    /// Holds the postmaster with SIGSTOP for as long as what is returned lives: it starts nothing, and collects nothing.
    pub fn hold_postmaster(&self) -> Result<Held> {
        let postmaster = self.postmaster()?;
        signal(postmaster, "STOP")?;
        Ok(Held(postmaster))
    }

    /// Kills the postmaster with SIGKILL, as the kernel does when memory runs out, and waits until its children have noticed.
    pub fn kill_postmaster(&self) -> Result<()> {
        let postmaster = self.postmaster()?;
        let children = children(postmaster);
        signal(postmaster, "KILL")?;
        let what =
            tell!("some processes of the server did not end", "まだ終了していないサーバーのプロセスがあります。");
        self.eventually(what, limit(), || (gone(postmaster) && children.iter().all(|pid| gone(*pid))).then_some(()))?;
        // Where nobody collects orphans the postmaster is now a zombie, and the next one would think that it lives. What a killed
        // one leaves in System V shared memory has to go as well.
        let file = self.data().join("postmaster.pid");
        let text = fs::read_to_string(&file)?;
        if let Some(id) = text.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) {
            Command::new("ipcrm").args(["-m", id]).stderr(Stdio::null()).status()?;
        }
        fs::remove_file(file)?;
        fs::remove_file(self.dir.path().join(".s.PGSQL.5432.lock"))?;
        Ok(())
    }

    /// A standby that streams from this cluster, not started yet.
    pub fn standby(&self, conf: &[&str]) -> Result<Throwaway> {
        let standby = self.backup("fetch")?;
        standby.configure(conf)?;
        Ok(standby)
    }

    /// A standby without the WAL that would make it consistent: it has to get it from this cluster, or never becomes so.
    pub fn standby_without_wal(&self) -> Result<Throwaway> {
        self.backup("none")
    }

    fn backup(&self, wal: &str) -> Result<Throwaway> {
        let standby = Self::empty(&self.installation)?.keep_log(&self.logs);
        let source = format!("host={} port=5432 user={SUPERUSER}", self.dir.path().display());
        fs::DirBuilder::new().mode(0o700).create(standby.data())?;
        give_to_server(&standby.data())?;
        let mut command = self.installation.program("pg_basebackup");
        command.arg("-D").arg(standby.data()).args(["-R", "-X", wal, "-c", "fast", "--no-sync", "-d", &source]);
        let out = command.output()?;
        if !out.status.success() {
            return Err(self.failure(format!("pg_basebackup: {}", String::from_utf8_lossy(&out.stderr).trim())));
        }
        standby.configure(&[&format!("unix_socket_directories = '{}'", standby.dir.path().display())])?;
        Ok(standby)
    }

    /// A connection to a database, as the superuser.
    pub fn connect(&self, database: &str) -> Result<Client> {
        self.connect_as(database, SUPERUSER)
    }

    /// A connection to a database, as somebody.
    pub fn connect_as(&self, database: &str, user: &str) -> Result<Client> {
        let mut config = Config::new();
        config.host_path(self.dir.path()).port(5432).dbname(database).user(user).application_name("check");
        config.connect_timeout(limit());
        // A worker that is wrong may hold a lock for ever: no statement of ours waits for ever.
        config.options(&format!("-c statement_timeout={}s", limit().as_secs().max(10)));
        config.connect(NoTls).map_err(|error| {
            let why = answer(&error);
            self.failure(tell!(
                "no connection to the database {database} as {user}: {why}",
                "データベース {database} に {user} として接続できませんでした: {why}"
            ))
        })
    }

    /// Everything that the server has written to its log.
    pub fn log(&self) -> String {
        fs::read(self.log_file()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// A mark in the log: what is written from now on can be told from what is there.
    pub fn mark(&self) -> usize {
        self.log().len()
    }

    /// Waits for a line with this text in the log after the mark, and returns it.
    pub fn wait_log(&self, mark: usize, text: &str) -> Result<String> {
        self.eventually(no_line(text), limit(), || {
            self.log().get(mark..)?.lines().find(|line| line.contains(text)).map(str::to_owned)
        })
    }

    /// Asks again and again until there is an answer. After the limit it fails, with what has not happened and the end of the log.
    pub fn eventually<T>(
        &self,
        missing: impl Into<Text>,
        limit: Duration,
        mut ask: impl FnMut() -> Option<T>,
    ) -> Result<T> {
        let end = Instant::now() + limit;
        let mut nudge = Instant::now() + NUDGE;
        loop {
            if let Some(answer) = ask() {
                return Ok(answer);
            }
            if Instant::now() >= end {
                return Err(self.failure(missing.into().within(limit)));
            }
            if self.installation.major == 15 && Instant::now() >= nudge {
                nudge += NUDGE;
                self.nudge();
            }
            std::thread::sleep(TICK);
        }
    }

    /// Wakes PostgreSQL 15's postmaster. It works out how long to sleep and only then lets signals in: the end of a worker in
    /// between goes unnoticed until it next wakes, up to a minute later (PostgreSQL 16 waits on a latch, which has no such gap).
    /// SIGUSR1 without a request does nothing but wake it.
    fn nudge(&self) {
        if let Ok(postmaster) = self.postmaster()
            && cmdline(postmaster).is_some_and(|line| line.contains(&*self.data().to_string_lossy()))
        {
            let _ = signal(postmaster, "USR1"); // it may be ending
        }
    }

    /// The children of the postmaster whose title starts so: their PIDs and titles (`postgres: step1_registration worker 1`).
    pub fn processes(&self, title: &str) -> Vec<(i32, String)> {
        let Ok(postmaster) = self.postmaster() else { return Vec::new() };
        let title = format!("postgres: {title}");
        children(postmaster)
            .into_iter()
            .filter_map(|pid| Some((pid, cmdline(pid)?)))
            .filter(|(_, text)| text.starts_with(&title))
            .collect()
    }
}

/// The last lines of a log.
fn tail(log: &str) -> Vec<String> {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(25)..].iter().map(|line| (*line).to_owned()).collect()
}

impl Drop for Throwaway {
    fn drop(&mut self) {
        let log = self.log();
        self.logs.keep(tail(&log));
        let trap = log.lines().find(|line| line.starts_with("TRAP:")).map(str::to_owned);
        self.guard.clean_up();
        // A PostgreSQL with assertions goes through recovery after one that failed: a check that expects a crash would not notice.
        if let Some(trap) = trap
            && !std::thread::panicking()
        {
            panic!("an assertion of PostgreSQL's failed: {trap}");
        }
    }
}

/// A process that stops the server and removes its files as soon as we are gone, however we go: its standard input is a pipe from
/// us, which the kernel closes. It has a process group of its own, so that Ctrl-C does not reach it.
struct Guard(Option<Child>);

impl Guard {
    fn new(installation: &Installation, dir: &Path) -> Result<Self> {
        // A postmaster killed with SIGKILL leaves its System V segment behind; the seventh line of its PID file has key and number. And a
        // worker that does not notice its end leaves itself: every process of a server has the data directory as its own. Where the
        // machine went down, the numbers in the file are those of others by now, and pg_ctl would stop whatever process has the PID.
        let script = r#"
            cat > /dev/null
            segment=$(sed -n 7p "$2/data/postmaster.pid" 2> /dev/null)
            pid=$(head -n 1 "$2/data/postmaster.pid" 2> /dev/null)
            if grep -qF "$2/data" "/proc/$pid/cmdline" 2> /dev/null || [ "/proc/$pid/cwd" -ef "$2/data" ]; then
                "$1/pg_ctl" stop -s -D "$2/data" -m immediate -t 20 > /dev/null 2>&1
            fi
            for process in $(find /proc -maxdepth 2 -name cwd -lname "$2/data" 2> /dev/null); do
                process=${process#/proc/}; kill -KILL "${process%/cwd}" 2> /dev/null
            done
            if [ -n "$segment" ] && ipcs -m | grep -q "^$(printf '0x%08x %d ' $segment)"; then ipcrm -m "${segment##* }"; fi
            rm -rf "$2"
        "#;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script, "guard"]).arg(&installation.bin).arg(dir);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        Ok(Self(Some(command.spawn()?)))
    }

    fn clean_up(&mut self) {
        if let Some(mut child) = self.0.take() {
            drop(child.stdin.take()); // the end of its input is its signal
            let _ = child.wait();
        }
    }
}

/// Where shared memory is a file system. Clusters live there if they can: a cluster is a thousand files that last for a second, and
/// ext4 without a journal, as machines in a cloud have it, searches long for the inodes of files made soon after others were removed.
const MEMORY: &str = "/dev/shm";

/// The variable that chooses another place, for the clusters and for their templates.
const CLUSTERS: &str = "WORKBOOK_CLUSTERS";

/// Where clusters live otherwise.
const DISK: &str = "/tmp";

/// How many bytes must be free in memory: a container often has 64 MB there, and eight clusters side by side need more.
const ROOM: u64 = 1 << 30;

/// Where the clusters are: a short path, as a socket's may have 107 bytes. It holds the templates, too.
fn base() -> Result<PathBuf> {
    if let Ok(chosen) = std::env::var(CLUSTERS) {
        return own_folder(&chosen);
    }
    static IN_MEMORY: OnceLock<bool> = OnceLock::new(); // the same one as long as this process lives
    let in_memory = *IN_MEMORY.get_or_init(|| has_room(Path::new(MEMORY)) && own_folder(MEMORY).is_ok());
    own_folder(if in_memory { MEMORY } else { DISK })
}

/// Is this a file system in memory, and is there enough room in it?
fn has_room(folder: &Path) -> bool {
    const TMPFS: u64 = 0x0102_1994; // TMPFS_MAGIC, see statfs(2)
    rustix::fs::statfs(folder)
        .is_ok_and(|it| it.f_type as u64 == TMPFS && it.f_bavail.saturating_mul(it.f_bsize as u64) >= ROOM)
}

/// The name of our folder in one in which everybody may write.
fn folder_in(above: &str) -> PathBuf {
    Path::new(above).join(format!("workbook-{}", getuid().as_raw()))
}

/// That folder, which is made if it is missing, and is refused where it is somebody else's.
fn own_folder(above: &str) -> Result<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let (base, me) = (folder_in(above), getuid().as_raw());
    let _ = fs::create_dir(&base); // it may be there
    let there = fs::symlink_metadata(&base).map_err(|error| format!("{}: {error}", base.display()))?;
    if there.is_dir() && there.uid() == me {
        return Ok(base);
    }
    let base = base.display();
    let what = tell!(
        "{base} is not a folder of yours; remove it: sudo rm -r {base}",
        "{base} はあなたのディレクトリではありません。削除してください: sudo rm -r {base}"
    );
    Err(what.into())
}

static SWEPT: std::sync::Once = std::sync::Once::new();

/// Removes what is left where not only a test was killed but its guard, too (the machine went down, say).
fn sweep(installation: &Installation, above: &str) {
    let base = folder_in(above);
    // Whoever holds the folder has its path among its arguments: the guard of a cluster, the initdb of a template.
    let commands: Vec<_> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok())
        .filter(|command| !command.is_empty())
        .collect();
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let bytes = path.as_os_str().as_encoded_bytes();
        let holder = |command: &Vec<u8>| {
            let server = command.split(|byte| *byte == 0).next().is_some_and(|name| name.ends_with(b"/postgres"));
            !server && command.windows(bytes.len()).any(|part| part == bytes)
        };
        // Between the making of a folder and the start of its guard lie some milliseconds.
        let old = entry.metadata().and_then(|data| data.modified()).ok().and_then(|time| time.elapsed().ok());
        let old = old.is_some_and(|age| age > Duration::from_secs(60));
        let left = !name.starts_with("template-") && old && !commands.iter().any(holder);
        if left && let Ok(mut guard) = Guard::new(installation, &path) {
            guard.clean_up();
        }
    }
}

/// A cluster fresh from `initdb`, made once for each version. Made under another name and renamed, so that there is a whole one or
/// none, also when two tests make it at once.
fn template(installation: &Installation) -> Result<PathBuf> {
    // The programs tell one build from another of the same version.
    let built = fs::metadata(installation.bin.join("postgres"))?;
    let name = format!("template-{}-{:x}", installation.version, built.len());
    let template = base()?.join(name.replace([' ', '(', ')', '/'], "_"));
    if template.exists() {
        return Ok(template);
    }
    let scratch = tempfile::Builder::new().prefix("t").tempdir_in(base()?)?;
    give_to_server(scratch.path())?;
    let data = scratch.path().join("data");
    let mut initdb = installation.program("initdb");
    initdb.arg("-D").arg(&data).args(["-U", SUPERUSER, "--auth=trust", "--locale=C", "--encoding=UTF8", "--no-sync"]);
    run(initdb.args(["--no-instructions", "--wal-segsize=1"]))?; // small WAL segments: less to copy
    let mut conf = File::options().append(true).open(data.join("postgresql.conf"))?;
    conf.write_all(
        b"fsync = off\nlisten_addresses = ''\nshared_buffers = 16MB\nmax_wal_size = 64MB\nmin_wal_size = 2MB\n\
          log_line_prefix = '%m [%p] '\nlog_timezone = 'UTC'\ntimezone = 'UTC'\n",
    )?;
    match fs::rename(&data, &template) {
        Err(_) if template.exists() => Ok(template), // another test was faster
        result => result.map(|()| template).map_err(Into::into),
    }
}

/// Runs a program that has nothing to say unless it fails.
pub fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let out = command.stdin(Stdio::null()).output().map_err(|error| format!("{name}: {error}"))?;
    if out.status.success() {
        return Ok(());
    }
    Err(format!("{name}: {}", String::from_utf8_lossy(&out.stderr).trim()).into())
}

fn copy(template: &Path, to: &Path) -> Result<()> {
    run(Command::new("cp").args(["-a", "--reflink=auto"]).arg(template).arg(to))?;
    let dir = to.parent().unwrap_or(to).display();
    let mut conf = File::options().append(true).open(to.join("postgresql.conf"))?;
    // Shared memory in files of the data directory goes with it; elsewhere a SIGKILL of the postmaster would leave it behind.
    writeln!(conf, "unix_socket_directories = '{dir}'\ndynamic_shared_memory_type = mmap")?;
    Ok(())
}

/// As root, PostgreSQL runs as somebody else (set-up has arranged for that), who must be able to write here.
fn give_to_server(dir: &Path) -> Result<()> {
    if getuid().is_root() {
        run(Command::new("chown").arg("nobody:").arg(dir))?;
    }
    Ok(())
}

/// Sends a signal, by its name without SIG.
pub fn signal(pid: i32, signal: &str) -> Result<()> {
    let number = match signal {
        "TERM" => Signal::TERM,
        "KILL" => Signal::KILL,
        "HUP" => Signal::HUP,
        "CONT" => Signal::CONT,
        "INT" => Signal::INT,
        "STOP" => Signal::STOP,
        "USR1" => Signal::USR1,
        other => return Err(format!("SIG{other} is not one that the checks send").into()),
    };
    let process = Pid::from_raw(pid).ok_or_else(|| format!("{pid} is no process ID"))?;
    kill_process(process, number).map_err(|error| match error {
        Errno::SRCH => ended(pid).into(),
        error => format!("SIG{signal} to {pid}: {error}").into(),
    })
}

/// A process that is held with SIGSTOP. It goes on when this is dropped.
pub struct Held(i32);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = signal(self.0, "CONT"); // it may have been killed
    }
}

/// A process is not there any more.
pub fn ended(pid: i32) -> Text {
    tell!("the process {pid} has ended", "プロセス {pid} はすでに終了しています。")
}

/// A line that is missing in the server log.
pub fn no_line(text: &str) -> Text {
    tell!("no line with \"{text}\" in the log", "ログに「{text}」を含む行が現れませんでした。")
}

/// Has this process ended? A zombie has: nobody is left to collect its exit code.
pub fn gone(pid: i32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')),
        Err(_) => true,
    }
}

/// A field of `/proc/PID/status`: `State`, `VmSize`, `voluntary_ctxt_switches`.
pub fn status(pid: i32, field: &str) -> Result<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).map_err(|_| ended(pid))?;
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    Ok(value.ok_or_else(|| format!("/proc/{pid}/status has no {field}"))?.trim().to_owned())
}

/// The processes that this one has started and that have not been collected.
pub fn children(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn cmdline(pid: i32) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim_end_matches(['\0', ' ']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_live_in_memory_only_where_that_is_a_file_system_with_room() {
        let df = Command::new("df").args(["-B1", "--output=fstype,avail", MEMORY]).output().unwrap();
        let df = String::from_utf8(df.stdout).unwrap();
        let mut words = df.lines().nth(1).unwrap_or_default().split_whitespace();
        let (kind, free) = (words.next(), words.next().and_then(|bytes| bytes.parse::<u64>().ok()).unwrap_or_default());
        let expected = if kind == Some("tmpfs") && free >= ROOM { MEMORY } else { DISK };
        assert!(base().unwrap().starts_with(expected), "{df}");
        assert!(!has_room(Path::new("/proc")) && !has_room(Path::new("/nowhere")));
    }

    /// Somebody else may have made a folder, or a link, of our name where everybody may write.
    #[test]
    fn a_link_is_not_taken_for_our_folder() {
        let above = tempfile::tempdir().unwrap();
        let ours = own_folder(above.path().to_str().unwrap()).unwrap();
        fs::remove_dir(&ours).unwrap();
        std::os::unix::fs::symlink("/tmp", &ours).unwrap();
        let error = own_folder(above.path().to_str().unwrap()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("is not a folder of yours; remove it: sudo rm -r"), "{text}");
    }
}
