//! What `scripts/env STEP` has decided: which step, which PostgreSQL, which PGRX_HOME, which port.

use crate::error::{Error, Result};
use crate::messages::Message;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::Command;

/// One step with the place where it runs.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The checkout.
    pub root: PathBuf,
    /// The step's full name, which is also the name of its library and its extension.
    pub step: String,
    /// The folder of the crate that is built: the finished step's, or the learner's copy.
    pub source: PathBuf,
    /// The step's own PGRX_HOME: data directory, log, socket.
    pub home: PathBuf,
    /// `pg_config` of the private PostgreSQL.
    pub pg_config: PathBuf,
    /// Its major version.
    pub major: String,
    /// The port, which also names the socket.
    pub port: u16,
    /// All variables that programs are started with.
    pub variables: Vec<(OsString, OsString)>,
}

impl Environment {
    /// Reads the variables that `scripts/env` has set in this process.
    pub fn load() -> Result<Self> {
        Self::from_variables(std::env::vars_os().collect())
    }

    /// The same from these variables.
    pub fn from_variables(variables: Vec<(OsString, OsString)>) -> Result<Self> {
        let find = |name: &str| {
            let (_, value) = variables.iter().find(|(key, value)| key == name && !value.is_empty())?;
            Some(value.clone())
        };
        let var = |name: &str| {
            find(name)
                .and_then(|value| value.into_string().ok())
                .ok_or_else(|| Error::new(Message::NotInEnvironment(name.into()), Message::SelectStep))
        };
        let port = var("WORKBOOK_PORT")?;
        let (root, step) = (PathBuf::from(var("WORKBOOK_ROOT")?), var("WORKBOOK_STEP")?);
        Ok(Environment {
            source: root.join("steps").join(&step),
            root,
            step,
            home: var("PGRX_HOME")?.into(),
            pg_config: var("WORKBOOK_PG_CONFIG")?.into(),
            major: var("WORKBOOK_PG_MAJOR")?,
            port: port
                .parse()
                .map_err(|_| Error::new(Message::NotInEnvironment("WORKBOOK_PORT".into()), Message::SelectStep))?,
            variables,
        })
    }

    /// What was typed, to be typed again: the finished step and the learner's copy are run by different commands.
    pub fn again(&self) -> String {
        let step = &self.step;
        if self.source.starts_with(self.root.join("steps")) {
            return format!("scripts/run {step}");
        }
        format!("cargo workbook run {}", step.trim_start_matches("step").split('_').next().unwrap_or(step))
    }

    /// Where more is to be read of a failure, and what comes then.
    pub fn follow_log(&self) -> Message {
        Message::FollowLog { step: self.step.clone(), again: self.again() }
    }

    /// One of PostgreSQL's programs, without the reader's own PG* variables, which would lead it elsewhere.
    pub fn program(&self, name: &str) -> Command {
        let mut command = self.command(self.pg_config.with_file_name(name));
        for (key, _) in &self.variables {
            if key.to_string_lossy().starts_with("PG") && key != "PGRX_HOME" {
                command.env_remove(key);
            }
        }
        // With it, pgrx would put a backtrace below each error in the server log.
        command.env_remove("RUST_BACKTRACE");
        command
    }

    /// A program that is started with these variables.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(self.variables.iter().map(|(key, value)| (key, value)));
        command
    }
}
