//! Exercises, variants, and what a step changes: whatever shows an answer is folded away.

use super::directive::fence;
use super::text::markdown;
use super::{Book, read};
use anyhow::{Context, Result, anyhow, ensure};
use cluster::{Lang, tr};
use course::bilingual::Bilingual;
use course::step::Step;
use course::{source, starter};
use similar::{Algorithm, TextDiff};
use std::collections::BTreeSet;
use std::path::Path;

/// The holes of the exercise, each with its hints and its solution folded away.
pub fn exercise(book: &Book, step: &Step) -> Result<Vec<String>> {
    let lang = book.lang;
    let solutions = starter::solutions(step).map_err(anyhow::Error::msg)?;
    let mut out = Vec::new();
    for (number, (hole, solution)) in step.holes.iter().zip(solutions).enumerate() {
        let title = markdown(&hole.title, lang);
        let check = step.texts.get(&hole.red).context("a hole without its check")?.title.get(lang);
        let (file, minutes) = (solution.file.display(), hole.minutes);
        out.push(format!("### {}. {title} {{#hole-{}}}\n", number + 1, hole.id.replace('_', "-")));
        out.push(format!("{}\n", markdown(&hole.contract, lang)));
        out.push(tr!(
            lang,
            "`{file}` — About {minutes} minutes. While this hole is open, the check “{check}” fails.\n",
            "`{file}` — 目安は {minutes} 分です。この穴が空いている間は、検査「{check}」に失敗します。\n"
        ));
        if let Some(hint) = step.hint_for(&hole.red, &hole.says) {
            let titles = [
                tr!(lang, "Hint 1: a question", "ヒント 1: 考える手がかり"),
                tr!(lang, "Hint 2: where to look", "ヒント 2: 調べる場所"),
                tr!(lang, "Hint 3: nearly the answer", "ヒント 3: ほとんど答え"),
            ];
            for (title, level) in titles.iter().zip([&hint.question, &hint.clue, &hint.answer]) {
                let level = markdown(level, lang);
                out.push(format!("<details>\n<summary>{title}</summary>\n\n{level}\n\n</details>\n"));
            }
        }
        let solved = tr!(lang, "Solution", "解答");
        out.push(format!("<details class=\"solution\">\n<summary>{solved}</summary>\n"));
        out.extend(fence("rust,ignore", &solution.code.trim_matches('\n').split('\n').collect::<Vec<_>>()));
        out.push("\n</details>\n".into());
    }
    Ok(out)
}

/// Code that gives an answer away, folded. On paper without solutions the text stands alone, with the file where the code is.
fn folded(lang: Lang, said: &str, advice: &str, code: Vec<String>, at: Option<&Path>) -> Vec<String> {
    let html = |text: &str| {
        let mut parts = text.split('`').enumerate();
        parts
            .by_ref()
            .map(|(i, part)| if i % 2 == 1 { format!("<code>{part}</code>") } else { part.into() })
            .collect::<String>()
    };
    let place = at.map(|at| format!(" data-at=\"{}\"", at.display())).unwrap_or_default();
    let space = if lang == Lang::En { " " } else { "" };
    let mut out = vec![
        format!("<details class=\"solution answer\"{place}>"),
        format!("<summary>{}<span class=\"advice\">{space}{}</span></summary>\n", html(said), html(advice)),
    ];
    out.extend(code);
    out.push("\n</details>".into());
    out
}

/// What belongs into a hole, folded away.
pub fn folded_answer(step: &Step, id: &str, lang: Lang, code: Vec<String>) -> Result<Vec<String>> {
    let (number, hole) =
        (1..).zip(&step.holes).find(|(_, hole)| hole.id == id).with_context(|| format!("there is no hole {id}"))?;
    let title = markdown(&hole.title, lang);
    let said = tr!(
        lang,
        "Here stands the answer to exercise {number}: {title}.",
        "ここに演習 {number}「{title}」の答えが入ります。"
    );
    Ok(folded(lang, &said, &tr!(lang, "Try it first.", "先に自分で書いてみてください。"), code, None))
}

/// A diff, folded away if it shows what belongs into a hole.
fn change(book: &Book, folder: &Path, lines: &[String], at: &Path) -> Result<Vec<String>> {
    let block = fence("diff", lines);
    let secrets = source::secrets(folder)?;
    let shown = lines.iter().filter_map(|line| secrets.get(line.get(1..)?.trim()));
    let holes: BTreeSet<_> = shown.collect();
    let step = book.steps.iter().find(|step| step.folder == folder);
    let numbers = (1..).zip(step.iter().flat_map(|step| &step.holes)).filter(|(_, hole)| holes.contains(&hole.id));
    let numbers: Vec<_> = numbers.map(|(number, _)| number.to_string()).collect();
    if numbers.is_empty() {
        return Ok(block);
    }
    let numbers = numbers.join(if book.lang == Lang::En { ", " } else { "、" });
    let said = tr!(
        book.lang,
        "This change shows the answer to exercise {numbers}, or a part of it.",
        "この変更を見ると、演習 {numbers} の答え、またはその一部が分かります。"
    );
    let advice = tr!(
        book.lang,
        "If you want to solve that on your own, do it first.",
        "自力で解くなら、先に演習をしてください。"
    );
    Ok(folded(book.lang, &said, &advice, block, Some(at.strip_prefix(&book.root).unwrap_or(at))))
}

/// What a variant changes: the lines of its patch with their surroundings, under the name of the file.
pub fn variant(book: &Book, step: &str, name: &str) -> Result<Vec<String>> {
    let folder = book.folder(step)?;
    let file = folder.join("variants").join(format!("{name}.patch"));
    let text = read(&file)?;
    let (_, patch) = text.split_once("\n--- ").with_context(|| format!("{}: no patch", file.display()))?;
    let (mut lines, mut name) = (Vec::new(), "");
    for line in patch.lines().skip(1) {
        if let Some(path) = line.strip_prefix("+++ ") {
            name = path.trim_start_matches("b/");
        } else if line.starts_with("@@") {
            lines.push(format!("@@ {name} @@"));
        } else if !line.starts_with("--- ") && line.get(1..).is_none_or(|line| source::mark(line).is_none()) {
            lines.push(line.to_owned());
        }
    }
    change(book, &folder, &lines, &file)
}

/// What a variant teaches.
pub fn lesson(book: &Book, step: &str, name: &str) -> Result<String> {
    let file = book.folder(step)?.join("variants").join(format!("{name}.patch"));
    let text = read(&file)?;
    let line = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.map(str::to_owned).ok_or(anyhow!("{}: no line {key}", file.display()))
    };
    Ok(markdown(&Bilingual { en: line("lesson.en: ")?, ja: line("lesson.ja: ")? }, book.lang))
}

/// What the step changes in the files, or in one file, of the step before it. The names, which only count up, are left out.
pub fn since(book: &Book, step: &Step, only: Option<&str>) -> Result<Vec<String>> {
    let before = book.steps.iter().zip(book.steps.iter().skip(1)).find(|(_, after)| after.name == step.name);
    let (before, _) = before.context("there is no step before it")?;
    let (old, new) = (source::files(&before.folder)?, source::files(&step.folder)?);
    let files: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let mut lines = Vec::new();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if only.is_some_and(|only| only != name) {
            continue;
        }
        let text = |text: Option<&String>| {
            let lines = text.and_then(|text| source::lines(text, None)).unwrap_or_default();
            lines.iter().map(|line| format!("{line}\n")).collect::<String>()
        };
        let from = source::renamed(&text(old.get(file)), &before.name, &step.name);
        let to = text(new.get(file));
        if from.is_empty() && only.is_none() {
            lines.extend([format!("@@ {name} @@"), format!("+// {} lines", to.lines().count())]);
            continue;
        }
        let diff = TextDiff::configure().algorithm(Algorithm::Histogram).diff_lines(&from, &to);
        for hunk in diff.unified_diff().context_radius(2).iter_hunks() {
            lines.push(format!("@@ {name} @@"));
            lines.extend(
                hunk.iter_changes().map(|change| format!("{}{}", change.tag(), change.value().trim_end_matches('\n'))),
            );
        }
    }
    ensure!(!lines.is_empty(), "it changes nothing there");
    let at = step.folder.join("src").join(only.unwrap_or_default());
    change(book, &step.folder, &lines, &at)
}
