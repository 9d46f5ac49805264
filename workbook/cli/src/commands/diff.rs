//! `cargo workbook diff`: what a step adds to the one before it.

use crate::learner::Learner;
use cluster::tr;
use course::error::{Error, Result, machine};
use course::source;
use course::starter::{self, Open};
use std::fs;
use std::io::IsTerminal;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

/// The signal of a pipe that nobody reads any more.
const SIGPIPE: i32 = 13;

pub fn run(learner: &Learner, wanted: Option<&str>) -> Result<()> {
    let step = learner.step(wanted)?;
    let before = learner.steps.iter().zip(learner.steps.iter().skip(1)).find(|(_, after)| after.name == step.name);
    let Some((before, _)) = before else {
        return Err(Error::Cannot(
            tr!(learner.lang, "there is no step before step 1", "ステップ 1 の前のステップはありません"),
            "cargo workbook diff 2".into(),
        ));
    };
    let folder = tempfile::tempdir().map_err(|error| machine("/tmp", error))?;
    for (of, name) in [(before, before.short()), (step, step.short())] {
        let to = folder.path().join(name);
        starter::write(of, Open::None, &to, learner.lang)?;
        let tidy = || -> std::io::Result<()> {
            fs::remove_file(to.join("src/tests.rs"))?;
            for entry in fs::read_dir(to.join("src"))?.flatten() {
                // Under the names of this step, so that only the idea differs.
                let text = fs::read_to_string(entry.path())?;
                fs::write(entry.path(), source::renamed(&text, &of.name, &step.name))?;
            }
            Ok(())
        };
        tidy().map_err(|error| machine(&to, error))?;
    }
    let colour =
        if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() { "always" } else { "never" };
    let mut git = Command::new("git");
    git.args(["--no-pager", "diff", "--no-index", "--no-prefix", &format!("--color={colour}")]);
    git.arg(format!("{}/src", before.short())).arg(format!("{}/src", step.short())).current_dir(folder.path());
    let status = git.status().map_err(|error| machine("git", error))?;
    if status.signal() == Some(SIGPIPE) {
        std::process::exit(128 + SIGPIPE); // who reads has had enough: `diff 3 | head`
    }
    // 1 means: there are differences.
    if status.code().is_some_and(|code| code <= 1) { Ok(()) } else { Err(Error::Machine("git diff".into())) }
}
