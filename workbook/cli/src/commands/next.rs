//! `cargo workbook next`: on to the next step.

use super::start;
use crate::learner::Learner;
use crate::progress::Progress;
use cluster::tr;
use course::error::{Error, Result};
use course::starter::Open;
use std::fs;

pub fn run(learner: &Learner) -> Result<()> {
    let step = learner.step(None)?;
    let progress = Progress::read(&learner.root)?;
    let number = step.number();
    let Some(record) = progress.steps.get(&step.name) else { return start::run(learner, Some(number), None) };
    let after = learner.steps.iter().skip_while(|other| other.name != step.name).nth(1);
    if !record.given_up && (record.done.is_none() || learner.changed(step, record)) {
        let mut cause = match record.done {
            None => tr!(learner.lang, "step {number} is not done yet", "ステップ {number} はまだ終わっていません"),
            Some(_) => tr!(
                learner.lang,
                "step {number} was right once, and your copy has changed since",
                "ステップ {number} は一度合格しましたが、そのあとコピーが変更されています"
            ),
        };
        let optional = learner.left_out(step);
        if !optional.is_empty() {
            cause += &format!("\n  {optional}");
        }
        let check = format!("cargo workbook check {number}");
        let next = match after.map(|after| after.number()) {
            Some(after) => tr!(
                learner.lang,
                "{check}   (or, to go on all the same: cargo workbook goto {after})",
                "{check}   (このまま先に進む場合: cargo workbook goto {after})"
            ),
            None => tr!(
                learner.lang,
                "{check}   (or, to give up: cargo workbook solution {number} --give-up)",
                "{check}   (あきらめて解答を見る場合: cargo workbook solution {number} --give-up)"
            ),
        };
        return Err(Error::Cannot(cause, next));
    }
    match after {
        Some(after) if after.copy(&learner.root).exists() => {
            Progress::change(&learner.root, |progress| progress.current = Some(after.name.clone()))?;
            learner.introduce(after, Open::All)
        }
        Some(after) => start::run(learner, Some(after.number()), None),
        None => {
            let lang = learner.lang;
            let page = format!("book/{}/src/worker_spi.md", lang.name());
            let heading = fs::read_to_string(learner.root.join(&page)).unwrap_or_default();
            let chapter = heading.lines().next().unwrap_or_default().trim_start_matches("# ");
            let chapter = chapter.split(" {#").next().unwrap_or_default();
            println!(
                "{}",
                tr!(
                    lang,
                    "That was the last step. What comes now:\n  \
                 the finish line: PostgreSQL's own sample worker_spi, in Rust, with what you have learnt\n    \
                 to see it:   scripts/run worker_spi\n    \
                 to read it:  the chapter \"{chapter}\" ({page}) and steps/worker_spi\n  \
                 a worker of your own, outside of the workbook: cargo workbook new ../my_worker",
                    "これが最後のステップでした。次にできること:\n  \
                 到達点: PostgreSQL に付属するサンプル worker_spi と同じものが、ここまでの知識で Rust で書けます\n    \
                 動かす: scripts/run worker_spi\n    \
                 読む:   章「{chapter}」 ({page}) と steps/worker_spi\n  \
                 ワークブックの外に自分のワーカーを作る: cargo workbook new ../my_worker"
                )
            );
            Ok(())
        }
    }
}
