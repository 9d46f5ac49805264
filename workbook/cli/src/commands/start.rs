//! `cargo workbook start`: a copy of a step, with its holes open.

use crate::learner::Learner;
use crate::present::shown;
use cluster::tr;
use course::error::{Error, Result};
use std::fs;

pub fn run(learner: &Learner, wanted: Option<&str>, hole: Option<&str>) -> Result<()> {
    let step = learner.step(wanted)?;
    let open = learner.open(step, hole)?;
    let (copy, number) = (step.copy(&learner.root), step.number());
    if fs::symlink_metadata(&copy).is_ok() {
        return Err(Error::Cannot(
            tr!(
                learner.lang,
                "step {number} is started already: {}",
                "ステップ {number} はすでに始まっています: {}",
                shown(&learner.root, &copy)
            ),
            tr!(
                learner.lang,
                "cargo workbook check {number}   (or, to begin anew: cargo workbook reset {number})",
                "cargo workbook check {number}   (最初からやり直す場合: cargo workbook reset {number})"
            ),
        ));
    }
    learner.begin(step, open)
}
