//! `cargo workbook reset`: a step anew.

use crate::learner::Learner;
use crate::progress::Progress;
use course::error::Result;

pub fn run(learner: &Learner, wanted: Option<&str>, hole: Option<&str>) -> Result<()> {
    let step = learner.step(wanted)?;
    let open = learner.open(step, hole)?;
    learner.started(step)?;
    learner.renew(step, open)?;
    Progress::change(&learner.root, |progress| {
        progress.current = Some(step.name.clone());
        let record = progress.step(&step.name);
        (record.failed, record.compiler, record.passed) = (None, None, Vec::new());
        record.hints.clear();
    })?;
    learner.introduce(step, open)
}
