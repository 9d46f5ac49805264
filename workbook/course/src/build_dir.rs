//! Building copies of a step: a learner's, or one with a variant's change, beside the finished one.
//!
//! They all make a library of the same name, and cargo leaves a `cdylib` at a place that depends on nothing but the name. So copies
//! are built in a [`BuildDir`], a target folder of its own. What the dependencies have already cost is not paid again: it starts
//! with links to what is compiled, and cargo finds it fresh.

use cluster::Lang;
use cluster::failure::Result;
use cluster::throwaway::{Installation, run};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What `scripts/env STEP` would tell a shell.
pub struct Shell {
    root: PathBuf,
    script: String,
}

impl Shell {
    /// The environment of a step in this checkout. `WORKBOOK_PG` and `PG_CONFIG` choose the PostgreSQL.
    pub fn of(root: &Path, step: &str) -> Result<Self> {
        Self::with(root, &[step, "--quiet"])
    }

    /// The same, with this major of PostgreSQL.
    pub fn on(root: &Path, step: &str, major: u16) -> Result<Self> {
        Self::with(root, &[step, "--quiet", "--pg", &major.to_string()])
            .map_err(|error| error.to_string().replace("scripts/setup", &format!("scripts/setup --pg {major}")).into())
    }

    fn with(root: &Path, arguments: &[&str]) -> Result<Self> {
        let environment = output(
            Command::new(root.join("scripts/lib/environment.sh"))
                .args(arguments)
                .env("WORKBOOK_LANG", Lang::from_env().name()),
        )?;
        Ok(Self { root: root.into(), script: environment })
    }

    /// A command of bash in this environment, in the checkout's folder.
    pub fn command(&self, command: &str) -> Command {
        let mut bash = Command::new("bash");
        bash.args(["-c", &format!("{}\n{command}", self.script)]).current_dir(&self.root).stdin(Stdio::null());
        bash
    }

    /// What this expression is in the environment: `$PGRX_HOME`.
    pub fn value(&self, expression: &str) -> Result<String> {
        output(&mut self.command(&format!("printf %s \"{expression}\"")))
    }

    /// All variables of this environment.
    pub fn variables(&self) -> Result<Vec<(OsString, OsString)>> {
        let out = output(&mut self.command("env -0"))?;
        let pairs = out.split('\0').filter_map(|pair| pair.split_once('='));
        Ok(pairs.map(|(key, value)| (key.into(), value.into())).collect())
    }

    /// The PostgreSQL that set-up has made.
    pub fn installation(&self) -> Result<Installation> {
        Installation::of(Path::new(&self.value("$WORKBOOK_PG_CONFIG")?))
    }

    /// A folder for what the checks make, outside of the checkout.
    pub fn scratch(&self) -> Result<PathBuf> {
        Ok(self.value("${PGRX_HOME%/*}/checks")?.into())
    }

    /// cargo's target folder.
    pub fn target(&self) -> Result<PathBuf> {
        Ok(self.value("${CARGO_TARGET_DIR:-$WORKBOOK_ROOT/target}")?.into())
    }
}

/// A target folder for copies of steps, used by one process at a time.
pub struct BuildDir {
    root: PathBuf,
    target: PathBuf,
    _lock: File,
}

impl BuildDir {
    /// Opens the build directory of this name, and waits for who uses it now.
    pub fn open(root: &Path, shell: &Shell, name: &str) -> Result<Self> {
        let shared = shell.target()?;
        // Below the shared target folder, since hard links do not cross file systems.
        let target = shared.join("workshops").join(name);
        fs::create_dir_all(&target)?;
        let lock = File::create(target.join("lock"))?;
        lock.lock()?;
        let this = Self { root: root.into(), target, _lock: lock };
        this.link_dependencies(&shared)?;
        Ok(this)
    }

    /// Takes over what is compiled of the dependencies. Libraries are only ever replaced, never changed, so a link is enough. What
    /// cargo and build scripts write into is copied, with its times, which cargo compares.
    fn link_dependencies(&self, shared: &Path) -> Result<()> {
        if !shared.join("debug/deps").exists() {
            return Ok(()); // nothing is compiled yet
        }
        // Cargo's own lock: no cargo writes there meanwhile. Its name was .cargo-lock before 1.96; should it change again, this fails.
        let lock = shared.join("debug/.cargo-build-lock");
        let lock = File::open(&lock).map_err(|error| format!("cargo's lock, {}: {error}", lock.display()))?;
        lock.lock_shared()?;
        for (folder, link) in [("deps", true), ("build", false), (".fingerprint", false)] {
            let (from, to) = (shared.join("debug").join(folder), self.target.join("debug").join(folder));
            fs::create_dir_all(&to)?;
            let mut missing = Vec::new();
            for entry in fs::read_dir(&from).into_iter().flatten() {
                let entry = entry?;
                let name = entry.file_name();
                if !is_ours(&name) && !to.join(&name).exists() {
                    missing.push(entry.path());
                }
            }
            for paths in missing.chunks(500) {
                run(Command::new("cp").arg(if link { "-al" } else { "-a" }).args(paths).arg(&to))?;
            }
        }
        Ok(())
    }

    /// Copies a step's sources into a folder as a workspace of its own, with the versions and settings of the real one. Returns the
    /// folder of the step in it.
    pub fn copy(&self, step: &str, folder: &Path) -> Result<PathBuf> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        let source = folder.join("step");
        run(Command::new("cp").arg("-r").arg(self.root.join("steps").join(step)).arg(&source))?;
        let manifest = fs::read_to_string(self.root.join("Cargo.toml"))?;
        let members = manifest.lines().find(|line| line.starts_with("members = ")).ok_or("no members in Cargo.toml")?;
        fs::write(folder.join("Cargo.toml"), manifest.replace(members, "members = [\"step\"]"))?;
        fs::copy(self.root.join("Cargo.lock"), folder.join("Cargo.lock"))?;
        let manifest = fs::read_to_string(source.join("Cargo.toml"))?;
        let workbook = format!("{}/workbook/", self.root.display());
        fs::write(source.join("Cargo.toml"), manifest.replace("../../workbook/", &workbook))?;
        Ok(source)
    }

    /// Builds the crate in this folder and installs it into this PostgreSQL, from which an earlier library of the name is removed.
    pub fn install(&self, shell: &Shell, step: &str, source: &Path, installation: &Installation) -> Result<()> {
        let target = self.target.display().to_string();
        install(shell, step, source, installation, Some(&target))?;
        let (built, installed) =
            (self.target.join(format!("debug/lib{step}.so")), installation.lib.join(format!("{step}.so")));
        if fs::read(&built)? != fs::read(&installed)? {
            return Err(format!("{} is not what was built: {}", installed.display(), built.display()).into());
        }
        Ok(())
    }
}

/// Builds the crate in this folder with `cargo pgrx install` and installs it into this PostgreSQL.
pub fn install(
    shell: &Shell,
    step: &str,
    source: &Path,
    installation: &Installation,
    target: Option<&str>,
) -> Result<()> {
    // A copy of PostgreSQL has links to the files of the original: to write into them would change the library below a running server.
    let extensions = fs::read_dir(installation.share.join("extension"))?.map(|entry| entry.map(|entry| entry.path()));
    let old = extensions.collect::<std::io::Result<Vec<_>>>()?.into_iter().filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.strip_prefix(step).is_some_and(|rest| rest.starts_with("--") || rest == ".control")
    });
    for path in old.chain([installation.lib.join(format!("{step}.so"))]) {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(format!("{}: {error}", path.display()).into());
            }
            _ => {}
        }
    }
    let mut command = shell.command(&format!(
        "export CARGO_TARGET_DIR=\"${{OWN_TARGET:-${{CARGO_TARGET_DIR:-$PWD/target}}}}\"
         cd \"$SOURCE\" && cargo pgrx install --no-default-features --features pg{0} --pg-config \"$BIN/pg_config\" 2>&1",
        installation.major
    ));
    command.env("SOURCE", source).env("BIN", &installation.bin).env("OWN_TARGET", target.unwrap_or_default());
    output(&mut command)?;
    Ok(())
}

/// Is this a product of the workbook's own crates?
fn is_ours(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let name = name.strip_prefix("lib").unwrap_or(&name);
    ["step", "worker_spi", "driver_in_worker", "workbook", "cluster", "course", "xtask"]
        .iter()
        .any(|ours| name.starts_with(ours))
}

/// Runs a program and returns what it prints. A failure has all that it has printed.
fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let out = command.stdin(Stdio::null()).output().map_err(|error| format!("{name}: {error}"))?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    if out.status.success() {
        return Ok(text);
    }
    Err(format!("{}{}", text, String::from_utf8_lossy(&out.stderr)).into())
}
