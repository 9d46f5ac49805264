//! The database cluster of a PGRX_HOME: start, stop, ask. Every wait has a limit.

use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::log::{self, Log};
use crate::messages::Message;
use crate::process;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// How long a server may take to start, or a client to connect.
const LIMIT_SECONDS: &str = "30";

/// How long a fast shutdown may take before we do without it: a worker that does not listen would hold it up for ever.
const STOP_SECONDS: &str = "10";

/// The cluster that belongs to an [`Environment`].
#[derive(Clone, Copy, Debug)]
pub struct Cluster<'a> {
    env: &'a Environment,
}

impl<'a> Cluster<'a> {
    /// The cluster of this environment (`scripts/env` has made it).
    pub fn new(env: &'a Environment) -> Self {
        Cluster { env }
    }

    /// Its data directory, where cargo-pgrx looks for it.
    pub fn data(&self) -> PathBuf {
        self.env.home.join(format!("data-{}", self.env.major))
    }

    /// Its log, where cargo-pgrx writes it.
    pub fn log_path(&self) -> PathBuf {
        self.env.home.join(format!("{}.log", self.env.major))
    }

    /// The postmaster's process id, if it lives.
    pub fn postmaster(&self) -> Option<u32> {
        process::server_of(&self.env.root, &self.data())
    }

    fn pg_ctl(&self, verb: &str) -> Command {
        let mut command = self.env.program("pg_ctl");
        command.arg(verb).arg("-D").arg(self.data()).stdin(Stdio::null());
        command
    }

    /// Stops the server if it runs: fast, and at once if a worker does not listen.
    pub fn stop(&self) -> Result<()> {
        if self.postmaster().is_none() {
            return Ok(());
        }
        for mode in ["fast", "immediate"] {
            if output(self.pg_ctl("stop").args(["-m", mode, "-t", STOP_SECONDS]))?.status.success() {
                return Ok(());
            }
        }
        Err(Error::new(Message::CannotStop, self.env.follow_log()))
    }

    /// Starts the server and waits until it accepts connections. Returns its log from this start on.
    pub fn start(&self) -> Result<Log> {
        let log = Log::from_end(&self.log_path());
        // The same as `cargo pgrx start`, but reachable from this machine only.
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories={}",
            self.env.port,
            self.env.home.display()
        );
        let out = output(
            self.pg_ctl("start")
                .args(["-w", "-t", LIMIT_SECONDS, "-o", &options, "-l"])
                .arg(self.log_path())
                .env("LC_MESSAGES", "C"),
        )?;
        if out.status.success() {
            return Ok(log);
        }
        let mut lines = log.tail(15);
        let (cause, next) = log::why_not_started(&lines, &self.env.step, self.env.port, &self.env.again());
        lines.extend(String::from_utf8_lossy(&out.stderr).lines().map(str::to_string));
        Err(Error::new(cause, next).with_log(lines))
    }

    /// A command line of psql for this cluster, through its socket. Its history stays with the cluster.
    pub fn psql(&self) -> Command {
        let mut command = self.env.program("psql");
        if std::env::var_os("PSQL_HISTORY").is_none() {
            command.env("PSQL_HISTORY", self.env.home.join("psql_history"));
        }
        command.arg("-h").arg(&self.env.home).args(["-p", &self.env.port.to_string(), "-d", "postgres"]);
        command
    }

    /// The answer to a query as psql prints it; with `bare`, only the values.
    pub fn query(&self, sql: &str, bare: bool) -> Result<String> {
        let mut command = self.psql();
        command.args(["-X", "-v", "ON_ERROR_STOP=1", "-P", "pager=off"]).env("PGCONNECT_TIMEOUT", LIMIT_SECONDS);
        if bare {
            command.args(["-A", "-t"]);
        }
        let out = output(command.args(["-c", sql]).stdin(Stdio::null()))?;
        if out.status.success() {
            return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
        }
        let why = String::from_utf8_lossy(&out.stderr).trim().to_string();
        Err(Error::new(Message::CannotRun { program: "psql".into(), why }, self.env.follow_log()))
    }
}

fn output(command: &mut Command) -> Result<Output> {
    command.output().map_err(|error| {
        let program = command.get_program().to_string_lossy().into_owned();
        Error::new(Message::CannotRun { program, why: error.to_string() }, Message::SetUp)
    })
}
