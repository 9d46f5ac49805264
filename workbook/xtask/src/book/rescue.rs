//! The rescue cards: one for the machine, from the doctor's rules, and one a step, from its checks and hints.

use super::text::{escape, markdown};
use super::{Book, read};
use anyhow::{Context, Result};
use cluster::{Lang, tr};
use course::bilingual::Bilingual;
use regex::Regex;
use serde::Deserialize;

/// A rule of `doctor.toml`.
#[derive(Deserialize)]
struct Rule {
    /// None where it is only told what there is.
    wrong: Option<Bilingual>,
    mend: Option<String>,
}

/// What our own checks say is in the reader's language, while the hints look for the English words. A part of a sentence in English,
/// and the same part in Japanese with … for what differs each time. What PostgreSQL says stays as it is.
const SAID_BY_US: [(&str, &str); 17] = [
    ("exited with exit code 1\" in the log", "『… exited with exit code 1』を含む行が現れませんでした"),
    ("back after", "1 秒後に再起動されるはずですが"),
    ("worker 2 in the process table", "プロセス一覧に … worker 2 が現れませんでした"),
    ("the total is 0", "total は … のはずですが、0 でした"),
    ("the delta is lost", "delta が失われています"),
    ("lines in the log, expected at most", "エラーのログは多くても … 行のはずですが"),
    ("ms of CPU", "ミリ秒使いました"),
    ("a delta was counted after", "delta は … 秒後に足されました"),
    ("expected ERROR 42602", "『ERROR 42602』になるはずですが"),
    ("application_name is", "application_name は … のはずですが"),
    ("was never idle", "state が idle になりませんでした"),
    ("hold a snapshot", "スナップショットを持たない"),
    ("was not idle after a cycle", "idle になりませんでした"),
    ("some processes of the server did not end", "終了していないサーバーのプロセス"),
    ("SELECT step7.launch(1): expected", "SELECT step7.launch(1): … になるはずですが"),
    ("SELECT step7.stop(1): expected", "SELECT step7.stop(1): … になるはずですが"),
    ("step7.workers(): expected", "step7.workers(): … になるはずですが"),
];

pub fn cards(book: &Book) -> Result<Vec<String>> {
    let lang = book.lang;
    let cell = |text: &Bilingual| markdown(text, lang).replace('|', "\\|");
    let machine = tr!(lang, "The machine", "マシン");
    let look = tr!(
        lang,
        "What is wrong, and the command that mends it: {}. Paths and versions are where the dots are.",
        "何が問題か、どのコマンドで直るかは {} が示します。「…」にはパスやバージョンが入ります。",
        "`cargo workbook doctor`"
    );
    let head = tr!(lang, "| Symptom | Command |\n|---|---|", "| 症状 | コマンド |\n|---|---|");
    let mut out = vec![format!("## {machine} {{#machine}}\n\n{look}\n\n{head}")];
    let values = Regex::new(r"\{(?:found|wanted|path)\}")?;
    for (_, rule) in read(&book.root.join("workbook/cli/doctor.toml"))?.parse::<toml::Table>()? {
        let Rule { wrong: Some(wrong), mend } = rule.try_into()? else { continue };
        let dots = |text: &str| values.replace_all(text, "…").into_owned();
        let wrong = Bilingual { en: dots(&wrong.en), ja: dots(&wrong.ja) };
        // Where the command is not the same on each machine, the doctor has to be asked.
        out.push(format!("| {} | {} |", cell(&wrong), code(mend.as_deref().unwrap_or("cargo workbook doctor"))));
    }
    for (number, step) in (1..).zip(&book.steps) {
        let chapter = read(&book.root.join("book").join(lang.name()).join(format!("src/step{number}.md")))?;
        let title =
            chapter.strip_prefix("# ").and_then(|text| text.split_once(" {#")).context("a chapter without a title")?.0;
        let (check, hint) = (format!("`cargo workbook check {number}`"), format!("`cargo workbook hint {number}`"));
        let ask = if number < book.steps.len() {
            let goto = format!("`cargo workbook goto {}`", number + 1);
            tr!(
                lang,
                "Which check fails: {check}. A hint: {hint}. To catch up: {goto}, which finishes this step for you and keeps what you had.",
                "失敗する検査を見る: {check}。ヒントを見る: {hint}。追いつく: {goto}。このステップを完成させて先へ進みます。書いたコードは残ります。"
            )
        } else {
            let solution = format!("`cargo workbook solution --give-up {number}`");
            tr!(
                lang,
                "Which check fails: {check}. A hint: {hint}. What belongs into the holes: {solution}.",
                "失敗する検査を見る: {check}。ヒントを見る: {hint}。穴に入るものを見る: {solution}"
            )
        };
        let head = tr!(
            lang,
            "| The check fails | What you see | What it means |\n|---|---|---|",
            "| 失敗する検査 | 見えるもの | 意味 |\n|---|---|---|"
        );
        out.push(format!("\n## {title} {{#rescue-{number}}}\n\n{ask}\n\n{head}"));
        for hint in step.hints.iter().filter(|hint| hint.card) {
            // A hint may be for a check that an earlier step describes.
            let texts = book.steps[..number].iter().rev().find_map(|step| step.texts.get(&hint.check));
            let check = texts.context("a hint without its check")?;
            let says: Vec<_> = hint.says.iter().map(|says| seen(says, lang)).collect();
            let says =
                if says.is_empty() { "–".into() } else { says.join(if lang == Lang::En { ", " } else { "、" }) };
            out.push(format!("| {} | {says} | {} |", cell(&check.title), cell(&hint.clue)));
        }
    }
    Ok(out)
}

fn code(text: &str) -> String {
    let ticks = if text.contains('`') { ("`` ", " ``") } else { ("`", "`") };
    format!("{}{text}{}", ticks.0, ticks.1).replace('|', "\\|")
}

/// What stands in a message: code if it is PostgreSQL's, else words in the reader's language.
fn seen(text: &str, lang: Lang) -> String {
    match SAID_BY_US.iter().find(|(en, _)| *en == text) {
        None => code(text),
        Some((en, ja)) => match lang {
            Lang::En => format!("\"{}\"", escape(&en.replace('"', ""))),
            Lang::Ja => format!("「{}」", escape(ja)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// What is said above to be a check's words is in the checks.
    #[test]
    fn the_checks_say_so() {
        let mut said = String::new();
        let mut folders = vec![cluster::checkout().join("workbook")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.ends_with("xtask") {
                    folders.push(path);
                } else if path.extension().is_some_and(|it| it == "rs") {
                    said += &fs::read_to_string(path).unwrap();
                }
            }
        }
        // The values in a sentence are filled in later, so the parts between them are looked up.
        let values = r"[…『』]|\b0\b|\bidle\b|\bERROR \d+\b|\bworker 2\b|exited with exit code 1|SELECT \S+|step7\.\S+";
        let values = Regex::new(values).unwrap();
        for (_, sentence) in SAID_BY_US {
            for part in values.split(sentence).map(str::trim).filter(|part| !part.is_empty()) {
                assert!(said.contains(part), "no check says any more: {part}");
            }
        }
    }
}
