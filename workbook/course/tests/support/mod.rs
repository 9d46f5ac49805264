//! What the tests share: a PostgreSQL of their own with a step in it.

use cluster::failure::Result;
use cluster::throwaway::Installation;
use course::build_dir::{self, Shell};
use std::path::Path;

/// Builds a finished step and installs it into a private copy of the PostgreSQL that set-up has made.
pub fn install(root: &Path, step: &str) -> Result<Installation> {
    let shell = Shell::of(root, step)?;
    let original = shell.installation()?;
    let copy = original.copy_to(&shell.scratch()?.join(format!("{step}-{}", original.major)))?;
    build_dir::install(&shell, step, &root.join("steps").join(step), &copy, None)?;
    Ok(copy)
}
