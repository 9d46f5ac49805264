//! `cargo workbook goto`: catching up.

use super::check;
use crate::learner::Learner;
use crate::progress::{Progress, now};
use course::error::{Error, Result};
use course::starter::Open;
use course::step::{self, Step};

pub fn run(learner: &Learner, wanted: &str, hole: Option<&str>) -> Result<()> {
    let step = step::find(&learner.steps, wanted, learner.lang)?;
    let open = learner.open(step, hole)?; // before anything is built
    let earlier: Vec<_> = learner.steps.iter().take_while(|other| other.name != step.name).collect();
    let solved = Progress::read(&learner.root)?;
    let started = solved.steps.get(&step.name).is_some_and(|record| record.started > 0);
    // A step that was skipped counts as done, and its copy may have open holes all the same.
    let solved = |step: &Step| {
        let record = solved.steps.get(&step.name);
        record.is_some_and(|record| record.done.is_some() && !record.given_up && !learner.changed(step, record))
    };
    if let Some(before) = earlier.last() {
        // What somebody has solved is theirs, and good enough.
        if !solved(before) || !before.copy(&learner.root).exists() {
            learner.renew(before, Open::None)?;
        }
        check::run(learner, Some(before.number()), check::Options::default())?;
        // Its database cluster, with its worker alive in it.
        let environment = learner.environment(before)?;
        cluster::run::start(&environment, learner.lang, true)
            .map_err(|error| Error::Machine(error.show(learner.lang).trim().into()))?;
        Progress::change(&learner.root, |progress| {
            for before in earlier.iter().filter(|before| !solved(before)) {
                let record = progress.step(&before.name);
                record.given_up = true;
                record.done.get_or_insert_with(now);
            }
        })?;
    }
    if step.copy(&learner.root).exists() && started {
        Progress::change(&learner.root, |progress| progress.current = Some(step.name.clone()))?;
        return learner.introduce(step, Open::All);
    }
    // What stands there otherwise is the finished one, since the step was skipped.
    learner.begin(step, open)
}
