//! What the learner is shown, on a terminal, line by line, or as JSON.

use cluster::{Lang, tr};
use course::judge::{Event, Red, Verdict};
use course::step::{Hint, Step};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// A path as the learner sees it: from the checkout.
pub fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

/// The title of a check.
pub fn title(step: &Step, check: &str, lang: Lang) -> String {
    step.texts.get(check).map_or_else(|| check.to_owned(), |text| text.title.get(lang).to_owned())
}

/// What is shown of a check that has failed: expected, seen, the log, the hint.
pub fn failure(step: &Step, red: &Red, lang: Lang, finished: bool, columns: usize) -> String {
    let title = title(step, red.check, lang);
    let expected = step.texts.get(red.check).map_or("", |text| text.why.get(lang));
    let mut all = tr!(lang, "  FAILED  {title} ({})", "  不合格  {title} ({})", red.check);
    let (of_expected, of_seen) = match lang {
        Lang::En => ("  expected: ", "  seen:     "),
        Lang::Ja => ("  期待する動作: ", "  実際の動作:   "),
    };
    all += &format!("\n{}\n{}", folded(of_expected, expected, columns), folded(of_seen, &red.seen, columns));
    let log = lines_that_matter(&red.log);
    if !log.is_empty() {
        all += &tr!(lang, "\n  the server log ends with:", "\n  サーバーログの最後の部分:");
        for line in &log[log.len().saturating_sub(12)..] {
            all += &format!("\n{}", folded("    ", line, columns));
        }
    }
    if red.hint.is_some() && !finished {
        // Of this step, since it is the one that was checked. A number would look like the level.
        all += &tr!(lang, "\n  next: cargo workbook hint", "\n  次の操作: cargo workbook hint");
    }
    all
}

/// The log without the lines that every start of a server writes, and without the dates.
pub fn lines_that_matter(log: &[String]) -> Vec<String> {
    let noise = ["starting PostgreSQL", "listening on", "database system was shut down at", "redirecting log output"];
    let matters = |line: &&String| !noise.iter().any(|noise| line.contains(noise));
    let short = |line: &String| {
        let dated = line.get(..11).is_some_and(|date| {
            date.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-' || byte == b' ') && date.ends_with(' ')
        });
        if dated { line[11..].replacen(" UTC", "", 1) } else { line.clone() }
    };
    log.iter().filter(matters).map(short).collect()
}

/// How many columns the terminal has. A pipe gets whole lines.
pub fn columns() -> usize {
    match std::io::stdout().is_terminal().then(ratatui::crossterm::terminal::size) {
        Some(Ok((columns, _))) => columns.into(),
        _ => usize::MAX,
    }
}

/// How many columns a text takes: wide letters take two.
pub fn wide(text: &str) -> usize {
    ratatui::text::Span::raw(text).width()
}

/// A text in lines of at most so many columns.
pub fn fold(text: &str, room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut rest = line;
        loop {
            let (mut width, mut end, mut blank) = (0, rest.len(), None);
            for (place, letter) in rest.char_indices() {
                width += wide(letter.encode_utf8(&mut [0; 4]));
                if width > room {
                    end = blank.filter(|at| *at > 0).unwrap_or(place.max(letter.len_utf8()));
                    break;
                }
                // Between Japanese letters a line may end anywhere, but not before a full stop or a comma.
                if letter == ' ' || (!letter.is_ascii() && !"、。」）".contains(letter)) {
                    blank = Some(place);
                }
            }
            lines.push(rest[..end].trim_end().to_owned());
            rest = rest[end..].trim_start();
            if rest.is_empty() {
                break;
            }
        }
    }
    lines
}

/// A text behind a heading, in lines that fit into so many columns, if that leaves room enough.
pub fn folded(heading: &str, text: &str, columns: usize) -> String {
    let room =
        if columns != usize::MAX && columns > wide(heading) + 20 { columns - wide(heading) - 1 } else { usize::MAX };
    format!("{heading}{}", fold(text, room).join(&format!("\n{}", " ".repeat(wide(heading)))))
}

/// A hint up to this level, and what shows one more.
pub fn hint_text(
    step: &Step,
    heading: String,
    hint: &Hint,
    level: u8,
    more: &str,
    lang: Lang,
    columns: usize,
) -> String {
    let mut all = heading;
    for (number, text) in [&hint.question, &hint.clue, &hint.answer].into_iter().enumerate().take(usize::from(level)) {
        all += &format!("\n{}", folded(&format!("  {}/3  ", number + 1), text.get(lang), columns));
    }
    let number = step.number();
    all += &match level {
        0..3 => tr!(lang, "\n  more: {more}", "\n  さらに詳しく: {more}"),
        _ => tr!(
            lang,
            "\n  if nothing helps: cargo workbook solution {number} --give-up",
            "\n  それでも解けない場合: cargo workbook solution {number} --give-up"
        ),
    };
    all
}

/// What an event is to the reader: what goes on from now on, and a line that stays. Either may be missing.
pub fn event(step: &Step, event: &Event, lang: Lang) -> (Option<String>, Option<String>) {
    match event {
        Event::FirstBuild => (
            Some(tr!(lang, "compiling the dependencies, once", "依存ライブラリを一度だけコンパイルしています")),
            Some(tr!(
                lang,
                "  The dependencies are compiled, once: one to two minutes",
                "  依存ライブラリをコンパイルします (最初の一度だけ、1 ～ 2 分)"
            )),
        ),
        Event::Waiting => (
            Some(tr!(lang, "waiting for another cargo workbook", "別の cargo workbook の終了を待っています")),
            Some(tr!(
                lang,
                "  another cargo workbook is building; waiting for it",
                "  別の cargo workbook がビルド中です。終わるのを待っています"
            )),
        ),
        Event::Building => (Some(tr!(lang, "building", "ビルドしています")), None),
        Event::Built(took) => {
            let took = took.as_secs_f64();
            (
                Some(tr!(lang, "starting a server with it", "サーバーを起動しています")),
                Some(tr!(lang, "  built   ({took:.1} s)", "  ビルド完了 ({took:.1} 秒)")),
            )
        }
        Event::Booted(_) | Event::Tier(_, 0) => (None, None),
        Event::Tier(_, count) => (Some(tr!(lang, "{count} checks", "検査 {count} 件を実行しています")), None),
        Event::Passed(check, took) => {
            let (title, took) = (title(step, check, lang), took.as_secs_f64());
            (None, Some(tr!(lang, "  ok      {title} ({took:.1} s)", "  合格    {title} ({took:.1} 秒)")))
        }
        Event::Quick(took) => {
            let took = took.as_secs_f64();
            let line = tr!(lang, "  quick checks passed after {took:.1} s", "  短い検査に合格しました ({took:.1} 秒)");
            (None, Some(line))
        }
        Event::Inherited(count, took) => {
            let took = took.as_secs_f64();
            let line = tr!(
                lang,
                "  ok      What the steps before demand: {count} checks ({took:.1} s)",
                "  合格    前のステップまでの検査 {count} 件 ({took:.1} 秒)"
            );
            (None, Some(line))
        }
    }
}

/// What a verdict is to the reader.
pub fn verdict(step: &Step, verdict: &Verdict, quick: bool, finished: bool, lang: Lang) -> String {
    let number = step.number();
    match verdict {
        Verdict::Green if quick => tr!(
            lang,
            "All quick checks have passed. All checks: cargo workbook check {number}",
            "短い検査はすべて合格です。すべての検査: cargo workbook check {number}"
        ),
        Verdict::Green if finished => tr!(lang, "All checks have passed.", "すべての検査に合格しました。"),
        Verdict::Green => tr!(
            lang,
            "All checks have passed.\n  next: cargo workbook next",
            "すべての検査に合格しました。\n  次の操作: cargo workbook next"
        ),
        Verdict::DoesNotCompile(text) => tr!(
            lang,
            "{text}error: it does not compile; the compiler's messages are above\n  next: mend it, then: cargo workbook check {number}   (for help: cargo workbook hint)",
            "{text}エラー: コンパイルできません。コンパイラのメッセージは上に表示されています\n  次の操作: 修正してから cargo workbook check {number}   (わからない場合: cargo workbook hint)"
        ),
        Verdict::Red(red) => failure(step, red, lang, finished, columns()),
    }
}

/// The same for programs.
pub fn json(step: &Step, verdict: &Verdict, printer: &Printer, lang: Lang) -> String {
    let (name, failure) = match verdict {
        Verdict::Green => ("green", serde_json::Value::Null),
        Verdict::DoesNotCompile(text) => ("does_not_compile", serde_json::json!({"compiler": text})),
        Verdict::Red(red) => (
            "red",
            serde_json::json!({
                "check": red.check, "expected": step.texts.get(red.check).map(|text| text.why.get(lang)),
                "seen": red.seen, "log": red.log, "hint": red.hint}),
        ),
    };
    serde_json::json!({"schema": 1, "step": step.name, "verdict": name, "passed": printer.passed,
        "quick_seconds": printer.quick.map(|took| took.as_secs_f64()), "failure": failure})
    .to_string()
}

/// Shows what happens: a line that moves on a terminal, and a line for each check everywhere.
pub struct Printer<'a> {
    step: &'a Step,
    lang: Lang,
    json: bool,
    bar: ProgressBar,
    begin: Instant,
    pub passed: Vec<&'static str>,
    pub quick: Option<Duration>,
}

impl<'a> Printer<'a> {
    pub fn new(step: &'a Step, lang: Lang, json: bool) -> Self {
        // It draws on stderr, and nothing at all where that is no terminal.
        let bar = if json { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
        if let Ok(style) = ProgressStyle::with_template("  {spinner} {wide_msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { step, lang, json, bar, begin: Instant::now(), passed: Vec::new(), quick: None }
    }

    pub fn event(&mut self, mut event: Event) {
        match &mut event {
            Event::Passed(check, _) => self.passed.push(check),
            Event::Quick(took) => {
                *took = self.begin.elapsed(); // since the command was typed
                self.quick = Some(*took);
            }
            _ => {}
        }
        let (status, line) = self::event(self.step, &event, self.lang);
        if let Some(status) = status {
            self.bar.set_message(status);
        }
        if let Some(line) = line.filter(|_| !self.json) {
            self.bar.suspend(|| println!("{line}"));
            let _ = std::io::stdout().flush();
        }
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
