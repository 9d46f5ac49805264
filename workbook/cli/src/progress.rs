//! How far a learner is: `work/progress.json`, by the steps' ids, so that it means the same after a `git pull`.

use cluster::tell;
use course::error::{Error, Result, machine};
use course::step::work;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

/// The whole file.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Progress {
    /// The form of this file.
    pub schema: u32,
    /// The language that was chosen with `--lang`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lang: Option<String>,
    /// The step that commands without a number mean.
    pub current: Option<String>,
    /// The steps that have been started, by their full names.
    #[serde(default)]
    pub steps: BTreeMap<String, Record>,
}

/// One step. Times are seconds since 1970.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// When it was started.
    pub started: u64,
    /// How often it was checked.
    pub checked: u32,
    /// The checks that passed the last time.
    pub passed: Vec<String>,
    /// When all checks passed for the first time.
    pub done: Option<u64>,
    /// What the copy was when all checks passed for the last time: its fingerprint.
    pub green: Option<String>,
    /// Whether the solution was asked for before that, or the step was skipped with `goto`.
    pub given_up: bool,
    /// What failed the last time.
    pub failed: Option<FailedCheck>,
    /// The compiler's first error, if the copy did not compile the last time.
    pub compiler: Option<String>,
    /// How many levels of each hint have been read.
    pub hints: BTreeMap<String, u8>,
}

/// A check that failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FailedCheck {
    /// The check.
    pub check: String,
    /// The hint that fits.
    pub hint: Option<String>,
}

/// Now, in seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Progress {
    /// Reads the file. None yet is no progress yet.
    pub fn read(root: &Path) -> Result<Self> {
        let path = work(root).join("progress.json");
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| unreadable(&path, &error.to_string())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self { schema: 1, ..Self::default() }),
            Err(error) => Err(unreadable(&path, &error.to_string())),
        }
    }

    /// Changes the file. Two at once take turns, and whoever reads finds the old or the new one, never half of it.
    pub fn change<T>(root: &Path, change: impl FnOnce(&mut Self) -> T) -> Result<T> {
        let folder = work(root);
        let write = |progress: &Self| -> std::io::Result<()> {
            let mut file = tempfile::Builder::new().prefix(".progress").tempfile_in(&folder)?;
            serde_json::to_writer_pretty(&mut file, progress)?;
            file.write_all(b"\n")?;
            file.as_file().sync_all()?;
            file.persist(folder.join("progress.json"))?;
            Ok(())
        };
        let lock = fs::create_dir_all(&folder).and_then(|()| File::create(folder.join(".lock")));
        let lock = lock.and_then(|lock| lock.lock().map(|()| lock)).map_err(|e| machine(&folder, e))?;
        let mut progress = Self::read(root)?;
        let value = change(&mut progress);
        write(&progress).map_err(|e| machine(folder.join("progress.json"), e))?;
        drop(lock);
        Ok(value)
    }

    /// The record of a step, made if there is none.
    pub fn step(&mut self, step: &str) -> &mut Record {
        self.steps.entry(step.to_owned()).or_default()
    }
}

fn unreadable(path: &Path, why: &str) -> Error {
    let path = path.display();
    Error::Machine(tell!("{path} cannot be read: {why}", "{path} を読み取れません: {why}").into())
}
