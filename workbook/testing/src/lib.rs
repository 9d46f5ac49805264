//! What the tests in `tests.rs` share: some run inside the server that `cargo pgrx test` starts (`#[pg_test]`), others look
//! at it as a client does ([`Server`]).

pub use postgres::Client;
use postgres::{Config, NoTls};
use std::os::unix::process::parent_id;
use std::process::Command;
use std::time::{Duration, Instant};

/// Tests take turns where each must be the only reason for what it sees. A `#[pg_test]` begins with this; a [`Server`] has it.
pub const TAKE_TURN: &str = "SELECT pg_advisory_xact_lock(1)";

/// Asks every 10 ms until there is an answer. Panics after 20 s, so that no test hangs.
pub fn poll<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let limit = Instant::now() + Duration::from_secs(20);
    let mut nudge = Instant::now() + Duration::from_secs(1);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < limit, "{what}: not within 20 s");
        if Instant::now() >= nudge {
            nudge += Duration::from_secs(1);
            wake_the_postmaster();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// PostgreSQL 15's postmaster works out how long to sleep and only then lets signals in: a worker that ends in between is started
/// again when the postmaster next wakes, up to a minute later. SIGUSR1 without a request does nothing but wake it. It is the
/// parent of the process that runs a `#[pg_test]`.
fn wake_the_postmaster() {
    let postmaster = parent_id();
    if std::fs::read_to_string(format!("/proc/{postmaster}/comm")).is_ok_and(|name| name == "postgres\n") {
        signal(postmaster as i32, "-USR1");
    }
}

/// Sends a signal to a process.
pub fn signal(pid: i32, signal: &str) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

/// Inside of the server: the PID of the postmaster's child process that shows this name in the process table. What a worker does may
/// stand behind the name.
pub fn pid_of(worker: &str) -> Option<i32> {
    let (postmaster, name) = (parent_id(), format!("postgres: {worker}"));
    let children = std::fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children")).unwrap();
    let found = children.split_whitespace().find(|pid| {
        let title = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        title.strip_prefix(&name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['\0', ' ']))
    });
    found.map(|pid| pid.parse().unwrap())
}

/// The server of `cargo pgrx test`, as a client sees it. The static workers work in the database `postgres`, and a `#[pg_test]` runs in
/// another.
pub struct Server {
    /// In the database of the tests. It holds the turn.
    pub tests: Client,
    /// In the database of the workers.
    pub work: Client,
    config: Config,
    workers: i64,
}

impl Server {
    /// Waits for the turn, and until so many workers of this extension are there.
    pub fn new(mut tests: Client, extension: &str, workers: i64) -> Self {
        tests.execute("SELECT pg_advisory_lock(1)", &[]).unwrap();
        let row = tests.query_one("SELECT current_setting('port'), session_user::text", &[]).unwrap();
        let mut config = Config::new();
        config.host("localhost").port(row.get::<_, String>(0).parse().unwrap());
        config.user(&row.get::<_, String>(1)).dbname("postgres");
        let mut work = config.connect(NoTls).unwrap();
        // A worker may be about to do the same, and one of them fails then.
        let create = format!("CREATE EXTENSION IF NOT EXISTS {extension}");
        poll("the extension in the database postgres", || work.batch_execute(&create).ok());
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = $1";
        poll("the workers", || (work.query_one(sql, &[&extension]).unwrap().get::<_, i64>(0) == workers).then_some(()));
        Self { tests, work, config, workers }
    }

    /// Ends the session in the database of the workers and begins another one. The turn stays.
    pub fn reconnect(&mut self) {
        self.work = self.config.connect(NoTls).unwrap();
    }

    /// Runs statements in the database of the workers.
    pub fn run(&mut self, sql: &str) {
        self.work.batch_execute(sql).unwrap();
    }

    /// The number that this expression is, in the database of the workers.
    pub fn number(&mut self, sql: &str) -> i64 {
        self.work.query_one(&format!("SELECT ({sql})::int8"), &[]).unwrap().get(0)
    }

    /// Sets it for the whole server, and waits until the session in the database of the workers has it. The postmaster, which tells
    /// that session, has it then, too.
    pub fn set(&mut self, setting: &str, value: &str) {
        let before = self.loaded();
        self.run(&format!("ALTER SYSTEM SET {setting} = {value}"));
        self.run("SELECT pg_reload_conf()");
        poll("the reload", || (self.loaded() != before).then_some(()));
    }

    /// When that session has last read the settings.
    fn loaded(&mut self) -> String {
        self.work.query_one("SELECT pg_conf_load_time()::text", &[]).unwrap().get(0)
    }

    /// Waits until no delta is left in the table of this schema, and gives the total.
    pub fn total(&mut self, schema: &str) -> i64 {
        let left = format!("SELECT count(*) FROM {schema}.counted WHERE type = 'delta'");
        poll("no delta left", || (self.number(&left) == 0).then_some(()));
        self.number(&format!("SELECT value FROM {schema}.counted WHERE type = 'total'"))
    }

    /// Waits until the workers have been through a number of cycles each, which commit once if there is nothing to do.
    pub fn cycles(&mut self, count: i64) {
        self.transactions("xact_commit", self.workers * count);
    }

    /// Waits until so many more transactions of the workers have been rolled back.
    pub fn rollbacks(&mut self, count: i64) {
        self.transactions("xact_rollback", count);
    }

    fn transactions(&mut self, kind: &str, count: i64) {
        let sql = format!("SELECT {kind} FROM pg_stat_database WHERE datname = 'postgres'");
        let mut seen = || self.tests.query_one(&sql, &[]).unwrap().get::<_, i64>(0);
        let start = seen();
        poll(kind, || (seen() >= start + count).then_some(()));
    }
}
