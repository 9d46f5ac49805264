//! The environment in which commands run, as the scripts decide it.

use anyhow::{Result, bail};
use cluster::Lang;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A folder of the checkout, and the environment variables there.
#[derive(Clone)]
pub struct Shell {
    root: PathBuf,
    folder: PathBuf,
    variables: BTreeMap<OsString, OsString>,
}

impl Shell {
    /// This process's own, with what the scripts share: `ROOT`, `LIB`, `CACHE`, `HERE`, `DOWNLOADS`.
    pub fn new(lang: Lang) -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
        let shell = Self { folder: root.clone(), root, variables: std::env::vars_os().collect() };
        shell.with("WORKBOOK_LANG", lang.name()).after("export ROOT LIB CACHE HERE DOWNLOADS TOOLS")
    }

    /// The same in another folder of the checkout.
    pub fn within(&self, folder: &str) -> Self {
        Self { folder: self.root.join(folder), ..self.clone() }
    }

    /// The same with a variable.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// The same without a variable.
    pub fn without(mut self, name: &str) -> Self {
        self.variables.remove(OsStr::new(name));
        self
    }

    /// What it is after these lines of bash, which have the functions of `scripts/lib/common.sh` and `tools.sh`.
    pub fn after(&self, script: &str) -> Result<Self> {
        let script = format!(
            "exec 3>&1 1>&2; . scripts/lib/common.sh; . \"$LIB/tools.sh\"; {script}\nPATH=$PATH:/usr/bin:/bin env -0 >&3"
        );
        let mut bash = self.command("bash");
        bash.args(["-c", &script]).current_dir(&self.root).stderr(Stdio::inherit());
        let out = bash.output()?;
        if !out.status.success() {
            bail!("the scripts have ended with {}", out.status);
        }
        let mut variables = BTreeMap::new();
        for line in out.stdout.split(|byte| *byte == 0) {
            if let Some(i) = line.iter().position(|byte| *byte == b'=') {
                let of = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
                variables.insert(of(&line[..i]), of(&line[i + 1..]));
            }
        }
        Ok(Self { variables, ..self.clone() })
    }

    /// What it is once a step is selected on this PostgreSQL: a major, the path of a `pg_config`, or nothing for the usual one.
    pub fn step(&self, step: &str, pg: &str) -> Result<Self> {
        let shell = self.clone().with("WORKBOOK_PG", pg);
        shell.after(&format!("environment=$(\"$LIB/environment.sh\" {step} --quiet); eval \"$environment\""))
    }

    /// A variable, or an empty text.
    pub fn get(&self, name: &str) -> String {
        self.variables.get(OsStr::new(name)).map(|value| value.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// The checkout.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A program in this environment, which reads nothing.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(&self.variables).current_dir(&self.folder).stdin(Stdio::null());
        command
    }

    /// One of the scripts, which speaks for itself.
    pub fn script(&self, name: &str, arguments: &[&str]) -> Result<()> {
        let status = self.command(self.root.join(name)).args(arguments).stdin(Stdio::inherit()).status()?;
        if !status.success() {
            bail!("{name} has ended with {status}");
        }
        Ok(())
    }
}
