//! The checks of all steps, against the finished steps: `cargo test -p workbook --test checks [part of a name]`.
//!
//! The names are `<step>/<check>`. WORKBOOK_LONG=1 adds the long ones.

use libtest_mimic::{Arguments, Trial};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use workbook::checks::{self, Subject, Tier};
use workbook::throwaway::Installation;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    match trials(&arguments) {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn trials(arguments: &Arguments) -> Result<Vec<Trial>, Box<dyn Error>> {
    let long = std::env::var_os("WORKBOOK_LONG").is_some();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no folder above the crate")?;
    let mut trials = Vec::new();
    for (step, checks) in checks::all() {
        let name = |check: &checks::Check| format!("{step}/{}", check.id);
        let wanted = |check: &checks::Check| {
            (long || check.tier != Tier::Long)
                && arguments.filter.as_ref().is_none_or(|filter| name(check).contains(filter.as_str()))
        };
        if !checks.iter().any(wanted) {
            continue;
        }
        // Listing needs no library, and must not take the time to build one.
        let installation = if arguments.list { None } else { Some(Arc::new(install(root, step)?)) };
        for check in checks.iter().filter(|check| wanted(check)) {
            let installation = installation.clone();
            trials.push(Trial::test(name(check), move || {
                let installation = installation.ok_or("nothing is installed")?;
                let subject = Subject { installation, step: step.into() };
                (check.run)(&subject).map_err(|error| error.to_string().into())
            }));
        }
    }
    Ok(trials)
}

/// Builds the finished step and installs it into a private copy of the PostgreSQL that set-up has made.
fn install(root: &Path, step: &str) -> Result<Installation, Box<dyn Error>> {
    let config = PathBuf::from(in_environment(root, step, "printf %s \"$WORKBOOK_PG_CONFIG\"")?);
    let folder = PathBuf::from(in_environment(root, step, "printf %s \"${PGRX_HOME%/*}/checks\"")?).join(step);
    let original = Installation::of(&config).map_err(|error| error.to_string())?;
    let copy = original.copy_to(&folder).map_err(|error| error.to_string())?;
    let build = format!(
        "cd steps/{step} && cargo pgrx install --no-default-features --features pg{} --pg-config {}/pg_config >&2",
        copy.major,
        copy.bin.display()
    );
    in_environment(root, step, &build)?;
    Ok(copy)
}

/// Runs a command as it would run in a shell that has chosen the step with `scripts/env`.
fn in_environment(root: &Path, step: &str, command: &str) -> Result<String, Box<dyn Error>> {
    let script =
        format!("environment=$(scripts/lib/environment.sh {step} --quiet) && eval \"$environment\" && {command}");
    let out = Command::new("bash").args(["-c", &script]).current_dir(root).output()?;
    if !out.status.success() {
        return Err(format!("{command}: {}", String::from_utf8_lossy(&out.stderr)).into());
    }
    Ok(String::from_utf8(out.stdout)?)
}
