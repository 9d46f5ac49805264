//! What the tests share: a PostgreSQL of their own with a step in it.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use workbook::throwaway::Installation;

/// Builds a step whose sources are in `source`, and installs it into a private copy of the PostgreSQL that set-up has made.
pub fn install(root: &Path, step: &str, source: &Path, name: &str) -> Result<Installation, Box<dyn Error>> {
    let config = PathBuf::from(in_environment(root, step, "printf %s \"$WORKBOOK_PG_CONFIG\"")?);
    let folder = scratch(root, step)?.join(name);
    let original = Installation::of(&config).map_err(|error| error.to_string())?;
    let copy = original.copy_to(&folder).map_err(|error| error.to_string())?;
    let build = format!(
        "export CARGO_TARGET_DIR=\"${{CARGO_TARGET_DIR:-$PWD/target}}\" && cd '{}' &&
         cargo pgrx install --no-default-features --features pg{} --pg-config {}/pg_config >&2",
        source.display(),
        copy.major,
        copy.bin.display()
    );
    // Every build of a step leaves its library at the same place in cargo's folder, and the installation takes it from there: two
    // at once would exchange their libraries.
    let lock = fs::File::create(scratch(root, step)?.join("lock"))?;
    lock.lock()?;
    in_environment(root, step, &build)?;
    drop(lock);
    Ok(copy)
}

/// A folder of this checkout's own, outside of it.
pub fn scratch(root: &Path, step: &str) -> Result<PathBuf, Box<dyn Error>> {
    Ok(in_environment(root, step, "printf %s \"${PGRX_HOME%/*}/checks\"")?.into())
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
