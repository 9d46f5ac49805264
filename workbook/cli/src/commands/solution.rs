//! `cargo workbook solution`: what belongs into the holes.

use crate::learner::Learner;
use crate::progress::Progress;
use cluster::tr;
use course::error::{Error, Result};
use course::starter;

pub fn run(learner: &Learner, wanted: Option<&str>, give_up: bool) -> Result<()> {
    let step = learner.step(wanted)?;
    let number = step.number();
    let record = Progress::read(&learner.root)?.steps.get(&step.name).cloned().unwrap_or_default();
    if record.done.is_none() && !record.given_up && !give_up {
        return Err(Error::Cannot(
            tr!(learner.lang, "step {number} is not done yet", "ステップ {number} はまだ終わっていません"),
            tr!(
                learner.lang,
                "cargo workbook hint {number}   (or: cargo workbook solution {number} --give-up)",
                "cargo workbook hint {number}   (または: cargo workbook solution {number} --give-up)"
            ),
        ));
    }
    if record.done.is_none() && give_up {
        Progress::change(&learner.root, |progress| progress.step(&step.name).given_up = true)?;
    }
    for (hole, solution) in step.holes.iter().zip(starter::solutions(step)?) {
        let (file, title, id) = (solution.file.display(), hole.title.get(learner.lang), &hole.id);
        println!("{}", tr!(learner.lang, "// {file}: HOLE {id}: {title}", "// {file}: 穴 {id}: {title}"));
        println!("{}", solution.code);
    }
    Ok(())
}
