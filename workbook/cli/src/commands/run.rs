//! `cargo workbook run`: the worker, live, with psql.

use crate::learner::Learner;
use course::error::{Error, Result, machine};
use std::os::unix::process::CommandExt;
use std::process::Command;

pub fn run(learner: &Learner, wanted: Option<&str>, finished: bool) -> Result<()> {
    let step = learner.step(wanted)?;
    if finished {
        // The same as what is typed without `cargo workbook`. psql at the end shall have the terminal: it takes our place.
        let error = Command::new(learner.root.join("scripts/run"))
            .arg(step.short())
            .env("WORKBOOK_LANG", learner.lang.name())
            .exec();
        return Err(machine("scripts/run", error));
    }
    learner.copy(step)?;
    let environment = learner.environment(step)?;
    cluster::run::run(&environment, learner.lang).map_err(|error| Error::Run(Box::new(error)))
}
