//! `cargo workbook list`: the steps, and how far the learner is.

use crate::learner::Learner;
use crate::present::{columns, folded};
use crate::progress::Progress;
use cluster::tr;
use course::checks::Tier;
use course::error::Result;

pub fn run(learner: &Learner, json: bool) -> Result<()> {
    let progress = Progress::read(&learner.root)?;
    let mut steps = Vec::new();
    for step in &learner.steps {
        let record = progress.steps.get(&step.name).cloned().unwrap_or_default();
        let counted = |check: &&course::checks::Check| check.tier != Tier::Long;
        let all = step.checks.iter().filter(counted).count();
        let changed = record.done.is_some() && !record.given_up && learner.changed(step, &record);
        let passed = if record.done.is_some() && !changed { all } else { record.passed.len().min(all) };
        let minutes: u32 = step.holes.iter().map(|hole| hole.minutes).sum();
        if json {
            steps.push(serde_json::json!({
                "step": step.name, "title": step.title.get(learner.lang), "started": record.started > 0, "done": record.done,
                "changed": changed, "given_up": record.given_up, "passed": passed, "checks": all, "checked": record.checked,
                "hints": record.hints, "current": progress.current.as_ref() == Some(&step.name), "minutes": minutes}));
            continue;
        }
        const WIDTH: usize = 12;
        let filled = (passed * WIDTH).checked_div(all).unwrap_or(0);
        let bar = "█".repeat(filled) + &"░".repeat(WIDTH - filled);
        let here = if progress.current.as_ref() == Some(&step.name) { ">" } else { " " };
        let (number, title) = (step.number(), step.title.get(learner.lang));
        let state = match (record.done, record.given_up, record.started) {
            (Some(_), false, _) if changed => tr!(learner.lang, "done, and changed since", "完了後に変更あり"),
            (Some(_), false, _) => tr!(learner.lang, "done", "完了"),
            (_, true, _) => tr!(learner.lang, "done, with the solution", "完了 (解答あり)"),
            (None, false, 0) => tr!(learner.lang, "about {minutes} min", "目安 {minutes} 分"),
            _ => tr!(learner.lang, "started", "開始済み"),
        };
        println!("{here} {number}  {bar} {passed:>2}/{all:<2}  {title}  [{state}]");
    }
    if json {
        println!("{}", serde_json::json!({"schema": 1, "steps": steps}));
        return Ok(());
    }
    let step = learner.step(None)?;
    let record = progress.steps.get(&step.name).cloned().unwrap_or_default();
    let done = record.given_up || record.done.is_some() && !learner.changed(step, &record);
    let command = match (record.started, done) {
        (0, false) => format!("cargo workbook start {}", step.number()),
        (_, false) => format!("cargo workbook check {}", step.number()),
        (_, true) => "cargo workbook next".to_owned(),
    };
    let optional = learner.left_out(step);
    if !done && !optional.is_empty() {
        println!("\n{}", folded("  ", &optional, columns()));
    }
    println!("{}", tr!(learner.lang, "\n  next: {command}", "\n  次の操作: {command}"));
    Ok(())
}
