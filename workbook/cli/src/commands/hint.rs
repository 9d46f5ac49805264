//! `cargo workbook hint`: help with what failed last.

use crate::learner::Learner;
use crate::present::{columns, folded, hint_text, title};
use crate::progress::Progress;
use cluster::tr;
use course::compiler;
use course::error::{Error, Result};
use course::starter;
use course::step::{Hint, Step};

pub fn run(learner: &Learner, wanted: Option<&str>) -> Result<()> {
    let text = more(learner, learner.step(wanted)?, columns())?;
    println!("{}", text);
    Ok(())
}

/// The hint for what failed last, one level further than before.
pub fn more(learner: &Learner, step: &Step, columns: usize) -> Result<String> {
    let progress = Progress::read(&learner.root)?;
    let record = progress.steps.get(&step.name).cloned().unwrap_or_default();
    // Without a number it is the step that the learner is at. And a bare number would look like the level.
    let more = match progress.current.as_ref() == Some(&step.name) {
        true => "cargo workbook hint".to_owned(),
        false => format!("cargo workbook hint {}", step.short()),
    };
    if let Some(error) = &record.compiler {
        return compiler_hint(learner, step, error, &more, columns);
    }
    let number = step.number();
    let Some(failed) = record.failed else {
        let all_is_well = record.done.is_some() && !learner.changed(step, &record);
        return Err(Error::Cannot(
            match record.checked {
                0 => tr!(
                    learner.lang,
                    "step {number} has not been checked yet",
                    "ステップ {number} はまだ検査されていません"
                ),
                _ => tr!(
                    learner.lang,
                    "nothing of step {number} failed in the last check",
                    "ステップ {number} の最後の検査で、失敗したものはありません"
                ),
            },
            if all_is_well { "cargo workbook next".into() } else { format!("cargo workbook check {number}") },
        ));
    };
    let named = |hint: &&Hint| Some(&hint.name) == failed.hint.as_ref();
    let hint = step.hints.iter().find(named).or_else(|| step.hint_for(&failed.check, ""));
    let Some(hint) = hint else {
        let check = &failed.check;
        return Err(Error::Cannot(
            tr!(learner.lang, "there is no hint for the check \"{check}\"", "検査「{check}」のヒントはありません"),
            format!("cargo workbook solution {number} --give-up"),
        ));
    };
    let level = one_level_more(learner, step, hint)?;
    let title = title(step, &hint.check, learner.lang);
    let heading = tr!(learner.lang, "Hint for \"{title}\":", "「{title}」のヒント:");
    Ok(hint_text(step, heading, hint, level, &more, learner.lang, columns))
}

fn one_level_more(learner: &Learner, step: &Step, hint: &Hint) -> Result<u8> {
    Progress::change(&learner.root, |progress| {
        let level = progress.step(&step.name).hints.entry(hint.name.clone()).or_default();
        *level = (*level + 1).min(3);
        *level
    })
}

/// What helps when the copy does not compile: the first error, a word to it, and the hint of the hole in which it is.
fn compiler_hint(learner: &Learner, step: &Step, error: &str, more: &str, columns: usize) -> Result<String> {
    let (lang, number) = (learner.lang, step.number());
    let mut all = tr!(
        lang,
        "Step {number} did not compile. The first error of the compiler:",
        "ステップ {number} はコンパイルできませんでした。コンパイラの最初のエラー:"
    );
    for line in error.lines() {
        all += &format!("\n    {line}");
    }
    if let Some(help) = compiler::help(error) {
        let heading = tr!(lang, "  what it means: ", "  意味: ");
        all += &format!("\n{}", folded(&heading, help.get(lang), columns));
    }
    if let Some(code) = compiler::code(error) {
        all += &tr!(lang, "\n  in full: rustc --explain {code}", "\n  詳しい説明 (英語): rustc --explain {code}");
    }
    let holes = starter::open_holes(step, &step.copy(&learner.root));
    let hole = compiler::hole(error, &holes).and_then(|open| step.holes.iter().find(|hole| hole.id == open.id));
    if let Some((hole, hint)) = hole.and_then(|hole| Some((hole, step.hint_for(&hole.red, &hole.says)?))) {
        let (id, title) = (&hole.id, hole.title.get(lang));
        let heading = tr!(lang, "Hint for the hole {id}, \"{title}\":", "穴 {id}「{title}」のヒント:");
        let level = one_level_more(learner, step, hint)?;
        all += &format!("\n{}", hint_text(step, heading, hint, level, more, lang, columns));
    }
    all += &tr!(
        lang,
        "\n  next: mend it, then: cargo workbook check {number}",
        "\n  次の操作: 修正してから cargo workbook check {number}"
    );
    Ok(all)
}
