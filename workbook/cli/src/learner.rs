//! What each of the learner's commands does.

use crate::progress::{self, Failed, Progress, now};
use crate::{new, watch};
use cluster::Lang;
use cluster::environment::Environment;
use cluster::tr;
use course::checks::Tier;
use course::compiler;
use course::judge::{Bench, Event, Red, Verdict, shell};
use course::said::{Said, Trouble, machine};
use course::starter::{self, Open};
use course::step::{self, CheckText, Hint, Step};
use indicatif::{ProgressBar, ProgressStyle};
use std::fs;
use std::io::{IsTerminal, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The signal of a pipe that nobody reads any more.
pub const SIGPIPE: i32 = 13;

/// A learner, in a checkout.
pub struct Learner {
    pub root: PathBuf,
    pub lang: Lang,
    pub steps: Vec<Step>,
}

/// How to check.
#[derive(Clone, Copy, Default)]
pub struct How {
    pub quick: bool,
    pub long: bool,
    pub finished: bool,
    pub json: bool,
}

impl Learner {
    pub fn new(root: &Path, lang: Lang) -> Said<Self> {
        Ok(Self { root: root.into(), lang, steps: step::all(root)? })
    }

    fn say(&self, text: String) {
        println!("{text}");
    }

    /// The step that is meant; without a number, the one where the learner is.
    pub fn step(&self, wanted: Option<&str>) -> Said<&Step> {
        match wanted {
            Some(wanted) => step::find(&self.steps, wanted, self.lang),
            None => {
                let current = Progress::read(&self.root, self.lang)?.current;
                Ok(self.steps.iter().find(|step| Some(&step.name) == current.as_ref()).unwrap_or(&self.steps[0]))
            }
        }
    }

    /// The step's copy, which must be there.
    pub fn copy(&self, step: &Step) -> Said<PathBuf> {
        let copy = self.started(step)?;
        if copy.join("Cargo.toml").exists() {
            return Ok(copy);
        }
        let (number, path) = (step.number(), shown(&self.root, &copy));
        Err(Trouble::Cannot(
            tr!(self.lang, "there is no Cargo.toml in {path}", "{path} に Cargo.toml がありません"),
            tr!(
                self.lang,
                "cargo workbook reset {number}   (what is left of your copy is kept)",
                "cargo workbook reset {number}   (残っているファイルは退避します)"
            ),
        ))
    }

    /// Where the step's copy is. Something must be there, whole or not.
    fn started(&self, step: &Step) -> Said<PathBuf> {
        let copy = step.copy(&self.root);
        if fs::symlink_metadata(&copy).is_ok() {
            return Ok(copy);
        }
        let number = step.number();
        Err(Trouble::Cannot(
            tr!(
                self.lang,
                "there is no copy of step {number} of yours",
                "ステップ {number} の自分用のコピーがありません"
            ),
            format!("cargo workbook start {number}"),
        ))
    }

    /// Which holes are to be open: all of them, or the one that is named.
    fn open<'a>(&self, step: &'a Step, hole: Option<&str>) -> Said<Open<'a>> {
        let Some(wanted) = hole else { return Ok(Open::All) };
        if let Some(hole) = step.holes.iter().find(|hole| hole.id == wanted) {
            return Ok(Open::Only(&hole.id));
        }
        let (number, ids) = (step.number(), step.holes.iter().map(|hole| hole.id.as_str()).collect::<Vec<_>>());
        Err(Trouble::Cannot(
            tr!(
                self.lang,
                "step {number} has no hole \"{wanted}\"; its holes are: {}",
                "ステップ {number} に「{wanted}」という穴はありません。あるのは次の穴です: {}",
                ids.join(" ")
            ),
            format!("cargo workbook start {number} --hole {}", ids.first().unwrap_or(&"ID")),
        ))
    }

    pub fn start(&self, wanted: Option<&str>, hole: Option<&str>) -> Said<()> {
        let step = self.step(wanted)?;
        let open = self.open(step, hole)?;
        let (copy, number) = (step.copy(&self.root), step.number());
        if fs::symlink_metadata(&copy).is_ok() {
            return Err(Trouble::Cannot(
                tr!(
                    self.lang,
                    "step {number} is started already: {}",
                    "ステップ {number} はすでに始まっています: {}",
                    shown(&self.root, &copy)
                ),
                tr!(
                    self.lang,
                    "cargo workbook check {number}   (or, to begin anew: cargo workbook reset {number})",
                    "cargo workbook check {number}   (最初からやり直す場合: cargo workbook reset {number})"
                ),
            ));
        }
        self.begin(step, open)
    }

    /// A fresh copy, at which the learner is from now on.
    fn begin(&self, step: &Step, open: Open) -> Said<()> {
        self.renew(step, open)?;
        Progress::change(&self.root, self.lang, |progress| {
            progress.current = Some(step.name.clone());
            let record = progress.step(&step.name);
            if record.started == 0 {
                // If it was skipped before, it is not done any longer.
                *record = progress::Step { started: now(), ..Default::default() };
            }
        })?;
        self.introduce(step, open)
    }

    /// Writes a copy of the step, and what is around it. What stands in its place is the learner's: it is moved away when the new copy
    /// is whole, and they are told at once where it is, whatever fails after that.
    fn renew(&self, step: &Step, open: Open) -> Said<()> {
        let shell = shell(&self.root, &step.name, self.lang)?;
        let value = |name: &str| shell.value(name).map_err(|error| Trouble::Machine(error.to_string()));
        let target = shell.target().map_err(|error| Trouble::Machine(error.to_string()))?;
        let home = value("$PGRX_HOME")?;
        starter::workspace(&self.root, &target.join("workshops/learner"), &target, &home, self.lang)?;
        let copy = step.copy(&self.root);
        let new = starter::prepare(step, open, &copy, self.lang)?;
        if fs::symlink_metadata(&copy).is_ok() {
            let kept = shown(&self.root, &self.set_aside(step)?);
            self.say(tr!(self.lang, "What you had is kept in {kept}", "これまでのコピーは {kept} に退避しました"));
        }
        new.place()
    }

    fn introduce(&self, step: &Step, open: Open) -> Said<()> {
        let (number, title) = (step.number(), step.title.get(self.lang));
        let copy = shown(&self.root, &step.copy(&self.root));
        self.say(tr!(
            self.lang,
            "Step {number}, {title}: your copy is {copy}",
            "ステップ {number}「{title}」: 自分用のコピーは {copy} です"
        ));
        let files = starter::solutions(step).map_err(Trouble::Machine)?;
        let is_open = |hole: &course::step::Hole| open == Open::All || open == Open::Only(&hole.id);
        for (hole, solution) in step.holes.iter().zip(files).filter(|(hole, _)| is_open(hole)) {
            let (title, minutes, file) = (hole.title.get(self.lang), hole.minutes, solution.file.display());
            let optional = match hole.optional {
                true => tr!(self.lang, ", may be left out", "、省略可"),
                false => String::new(),
            };
            self.say(tr!(
                self.lang,
                "  {file}: HOLE {}: {title} (about {minutes} min{optional})",
                "  {file}: 穴 {}: {title} (目安 {minutes} 分{optional})",
                hole.id
            ));
        }
        self.say(tr!(
            self.lang,
            "What each has to do stands at the hole. Then: cargo workbook check    (at every save: cargo workbook watch)",
            "それぞれの穴に、書くべきことが書かれています。書いたら: cargo workbook check    (保存のたびに検査: cargo workbook watch)"
        ));
        Ok(())
    }

    pub fn check(&self, wanted: Option<&str>, how: How) -> Said<()> {
        let step = self.step(wanted)?;
        let source = if how.finished { step.folder.clone() } else { self.copy(step)? };
        let mut tiers = vec![Tier::Quick];
        if !how.quick {
            tiers.push(Tier::Full);
        }
        if how.long {
            tiers.push(Tier::Long);
        }
        let mut printer = Printer::new(step, self.lang, how.json);
        if !how.json {
            let (number, title, path) = (step.number(), step.title.get(self.lang), shown(&self.root, &source));
            self.say(tr!(self.lang, "Step {number}, {title}: {path}", "ステップ {number}「{title}」: {path}"));
        }
        let mut bench = Bench::open(&self.root, step, source, self.lang, &mut |event| printer.event(event))?;
        if how.finished {
            bench.use_fresh(Open::None)?;
        }
        let judged = starter::fingerprint(&step.copy(&self.root));
        let verdict = bench.judge(&tiers, &mut |event| printer.event(event));
        printer.finish();
        let verdict = verdict?;
        if !how.finished {
            self.note(step, &verdict, &printer.passed, !how.quick, judged)?;
        }
        self.report(step, &verdict, &printer, how)?;
        match verdict {
            Verdict::Green => Ok(()),
            _ => Err(Trouble::Red),
        }
    }

    /// Writes down what has come of a check, of all of them or of the quick ones only, and of what the copy was then.
    pub fn note(
        &self,
        step: &Step,
        verdict: &Verdict,
        passed: &[&str],
        whole: bool,
        judged: Option<String>,
    ) -> Said<()> {
        Progress::change(&self.root, self.lang, |progress| {
            progress.current = Some(step.name.clone());
            let record = progress.step(&step.name);
            record.checked += 1;
            record.passed = passed.iter().map(|id| (*id).to_owned()).collect();
            record.failed = match verdict {
                Verdict::Red(red) => Some(Failed { check: red.check.into(), hint: red.hint.clone() }),
                _ => None,
            };
            record.compiler = match verdict {
                Verdict::DoesNotCompile(text) => Some(compiler::first_error(text, &step.name)),
                _ => None,
            };
            if whole && matches!(verdict, Verdict::Green) {
                record.done.get_or_insert_with(now);
                record.green = judged;
            }
        })
    }

    fn report(&self, step: &Step, verdict: &Verdict, printer: &Printer, how: How) -> Said<()> {
        if how.json {
            let red = match verdict {
                Verdict::Red(red) => serde_json::json!({
                    "check": red.check, "expected": text(step, red.check).map(|text| text.why.get(self.lang)),
                    "seen": red.seen, "log": red.log, "hint": red.hint}),
                Verdict::DoesNotCompile(text) => serde_json::json!({"compiler": text}),
                Verdict::Green => serde_json::Value::Null,
            };
            let name = match verdict {
                Verdict::Green => "green",
                Verdict::Red(_) => "red",
                Verdict::DoesNotCompile(_) => "does_not_compile",
            };
            self.say(
                serde_json::json!({"schema": 1, "step": step.name, "verdict": name, "passed": printer.passed,
                    "quick_seconds": printer.quick.map(|took| took.as_secs_f64()), "failure": red})
                .to_string(),
            );
            return Ok(());
        }
        match verdict {
            Verdict::Green if how.quick => self.say(tr!(
                self.lang,
                "All quick checks have passed. All checks: cargo workbook check {}",
                "短い検査はすべて合格です。すべての検査: cargo workbook check {}",
                step.number()
            )),
            Verdict::Green => {
                self.say(tr!(self.lang, "All checks have passed.", "すべての検査に合格しました。"));
                if !how.finished {
                    self.say(tr!(self.lang, "  next: cargo workbook next", "  次の操作: cargo workbook next"));
                }
            }
            Verdict::DoesNotCompile(text) => {
                print!("{text}");
                self.say(tr!(
                    self.lang,
                    "error: it does not compile; the compiler's messages are above\n  next: mend it, then: cargo workbook check {}   (for help: cargo workbook hint)",
                    "エラー: コンパイルできません。コンパイラのメッセージは上に表示されています\n  次の操作: 修正してから cargo workbook check {}   (わからない場合: cargo workbook hint)",
                    step.number()
                ));
            }
            Verdict::Red(red) => self.say(failure(step, red, self.lang, how.finished, columns())),
        }
        Ok(())
    }

    pub fn hint(&self, wanted: Option<&str>) -> Said<()> {
        let text = self.more_hint(self.step(wanted)?, columns())?;
        self.say(text);
        Ok(())
    }

    /// The hint for what failed last, one level further than before.
    pub fn more_hint(&self, step: &Step, columns: usize) -> Said<String> {
        let progress = Progress::read(&self.root, self.lang)?;
        let record = progress.steps.get(&step.name).cloned().unwrap_or_default();
        // Without a number it is the step that the learner is at. And a bare number would look like the level.
        let more = match progress.current.as_ref() == Some(&step.name) {
            true => "cargo workbook hint".to_owned(),
            false => format!("cargo workbook hint {}", step.short()),
        };
        if let Some(error) = &record.compiler {
            return self.compiler_hint(step, error, &more, columns);
        }
        let number = step.number();
        let Some(failed) = record.failed else {
            let all_is_well = record.done.is_some() && !self.changed(step, &record);
            return Err(Trouble::Cannot(
                match record.checked {
                    0 => tr!(
                        self.lang,
                        "step {number} has not been checked yet",
                        "ステップ {number} はまだ検査されていません"
                    ),
                    _ => tr!(
                        self.lang,
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
            return Err(Trouble::Cannot(
                tr!(self.lang, "there is no hint for the check \"{check}\"", "検査「{check}」のヒントはありません"),
                format!("cargo workbook solution {number} --give-up"),
            ));
        };
        let level = self.one_level_more(step, hint)?;
        let title = title(step, &hint.check, self.lang);
        let heading = tr!(self.lang, "Hint for \"{title}\":", "「{title}」のヒント:");
        Ok(hint_text(step, heading, hint, level, &more, self.lang, columns))
    }

    fn one_level_more(&self, step: &Step, hint: &Hint) -> Said<u8> {
        Progress::change(&self.root, self.lang, |progress| {
            let level = progress.step(&step.name).hints.entry(hint.name.clone()).or_default();
            *level = (*level + 1).min(3);
            *level
        })
    }

    /// What helps when the copy does not compile: the first error, a word to it, and the hint of the hole in which it is.
    fn compiler_hint(&self, step: &Step, error: &str, more: &str, columns: usize) -> Said<String> {
        let (lang, number) = (self.lang, step.number());
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
            all += &tr!(lang, "\n  in full: rustc --explain {code}", "\n  くわしい説明 (英語): rustc --explain {code}");
        }
        let holes = starter::open_holes(step, &step.copy(&self.root));
        let hole = compiler::hole(error, &holes).and_then(|open| step.holes.iter().find(|hole| hole.id == open.id));
        if let Some((hole, hint)) = hole.and_then(|hole| Some((hole, step.hint_for(&hole.red, &hole.says)?))) {
            let (id, title) = (&hole.id, hole.title.get(lang));
            let heading = tr!(lang, "Hint for the hole {id}, \"{title}\":", "穴 {id}「{title}」のヒント:");
            let level = self.one_level_more(step, hint)?;
            all += &format!("\n{}", hint_text(step, heading, hint, level, more, lang, columns));
        }
        all += &tr!(
            lang,
            "\n  next: mend it, then: cargo workbook check {number}",
            "\n  次の操作: 修正してから cargo workbook check {number}"
        );
        Ok(all)
    }

    /// Has the copy of a step that was green changed since?
    fn changed(&self, step: &Step, record: &progress::Step) -> bool {
        let failed = record.failed.is_some() || record.compiler.is_some();
        match (&record.green, starter::fingerprint(&step.copy(&self.root))) {
            (Some(green), Some(now)) => *green != now,
            (None, Some(_)) => failed, // green before fingerprints were kept
            (_, None) => false,
        }
    }

    pub fn next(&self) -> Said<()> {
        let step = self.step(None)?;
        let progress = Progress::read(&self.root, self.lang)?;
        let number = step.number();
        let Some(record) = progress.steps.get(&step.name) else { return self.start(Some(number), None) };
        let after = self.steps.iter().skip_while(|other| other.name != step.name).nth(1);
        if !record.given_up && (record.done.is_none() || self.changed(step, record)) {
            let mut cause = match record.done {
                None => tr!(self.lang, "step {number} is not done yet", "ステップ {number} はまだ終わっていません"),
                Some(_) => tr!(
                    self.lang,
                    "step {number} was right once, and your copy has changed since",
                    "ステップ {number} は一度合格しましたが、そのあとコピーが変更されています"
                ),
            };
            let optional = self.left_out(step);
            if !optional.is_empty() {
                cause += &format!("\n  {optional}");
            }
            let check = format!("cargo workbook check {number}");
            let next = match after.map(Step::number) {
                Some(after) => tr!(
                    self.lang,
                    "{check}   (or, to go on all the same: cargo workbook goto {after})",
                    "{check}   (このまま先に進む場合: cargo workbook goto {after})"
                ),
                None => tr!(
                    self.lang,
                    "{check}   (or, to give up: cargo workbook solution {number} --give-up)",
                    "{check}   (あきらめて解答を見る場合: cargo workbook solution {number} --give-up)"
                ),
            };
            return Err(Trouble::Cannot(cause, next));
        }
        match after {
            Some(after) if after.copy(&self.root).exists() => {
                Progress::change(&self.root, self.lang, |progress| progress.current = Some(after.name.clone()))?;
                self.introduce(after, Open::All)
            }
            Some(after) => self.start(Some(after.number()), None),
            None => {
                let lang = self.lang;
                let page = format!("book/{}/src/worker_spi.md", lang.name());
                let heading = fs::read_to_string(self.root.join(&page)).unwrap_or_default();
                let chapter = heading.lines().next().unwrap_or_default().trim_start_matches("# ");
                let chapter = chapter.split(" {#").next().unwrap_or_default();
                self.say(tr!(
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
                ));
                Ok(())
            }
        }
    }

    /// What of this step may be left out, if anything.
    fn left_out(&self, step: &Step) -> String {
        let optional: Vec<_> = step.holes.iter().filter(|hole| hole.optional).map(|hole| hole.id.as_str()).collect();
        if optional.is_empty() {
            return String::new();
        }
        let ids = optional.join(" ");
        let after = self.steps.iter().skip_while(|other| other.name != step.name).nth(1);
        let goto = format!("cargo workbook goto {}", after.unwrap_or(step).number());
        tr!(
            self.lang,
            "The hole {ids} may be left out, as no later step builds on it: {goto} fills it for you.",
            "穴 {ids} は、あとのステップで使わないので省いてもかまいません。{goto} で埋めて先に進めます。"
        )
    }

    pub fn list(&self, json: bool) -> Said<()> {
        let progress = Progress::read(&self.root, self.lang)?;
        let mut steps = Vec::new();
        for step in &self.steps {
            let record = progress.steps.get(&step.name).cloned().unwrap_or_default();
            let counted = |check: &&course::checks::Check| check.tier != Tier::Long;
            let all = step.checks.iter().filter(counted).count();
            let changed = record.done.is_some() && !record.given_up && self.changed(step, &record);
            let passed = if record.done.is_some() && !changed { all } else { record.passed.len().min(all) };
            let minutes: u32 = step.holes.iter().map(|hole| hole.minutes).sum();
            if json {
                steps.push(serde_json::json!({
                    "step": step.name, "title": step.title.get(self.lang), "started": record.started > 0, "done": record.done,
                    "changed": changed, "given_up": record.given_up, "passed": passed, "checks": all, "checked": record.checked,
                    "hints": record.hints, "current": progress.current.as_ref() == Some(&step.name), "minutes": minutes}));
                continue;
            }
            const WIDTH: usize = 12;
            let filled = (passed * WIDTH).checked_div(all).unwrap_or(0);
            let bar = "█".repeat(filled) + &"░".repeat(WIDTH - filled);
            let here = if progress.current.as_ref() == Some(&step.name) { ">" } else { " " };
            let (number, title) = (step.number(), step.title.get(self.lang));
            let state = match (record.done, record.given_up, record.started) {
                (Some(_), false, _) if changed => tr!(self.lang, "done, and changed since", "完了後に変更あり"),
                (Some(_), false, _) => tr!(self.lang, "done", "完了"),
                (_, true, _) => tr!(self.lang, "done, with the solution", "完了 (解答あり)"),
                (None, false, 0) => tr!(self.lang, "about {minutes} min", "目安 {minutes} 分"),
                _ => tr!(self.lang, "started", "開始済み"),
            };
            self.say(format!("{here} {number}  {bar} {passed:>2}/{all:<2}  {title}  [{state}]"));
        }
        if json {
            self.say(serde_json::json!({"schema": 1, "steps": steps}).to_string());
            return Ok(());
        }
        let step = self.step(None)?;
        let record = progress.steps.get(&step.name).cloned().unwrap_or_default();
        let done = record.given_up || record.done.is_some() && !self.changed(step, &record);
        let command = match (record.started, done) {
            (0, false) => format!("cargo workbook start {}", step.number()),
            (_, false) => format!("cargo workbook check {}", step.number()),
            (_, true) => "cargo workbook next".to_owned(),
        };
        let optional = self.left_out(step);
        if !done && !optional.is_empty() {
            self.say(format!("\n{}", folded("  ", &optional, columns())));
        }
        self.say(tr!(self.lang, "\n  next: {command}", "\n  次の操作: {command}"));
        Ok(())
    }

    pub fn reset(&self, wanted: Option<&str>, hole: Option<&str>) -> Said<()> {
        let step = self.step(wanted)?;
        let open = self.open(step, hole)?;
        self.started(step)?;
        self.renew(step, open)?;
        Progress::change(&self.root, self.lang, |progress| {
            progress.current = Some(step.name.clone());
            let record = progress.step(&step.name);
            (record.failed, record.compiler, record.passed) = (None, None, Vec::new());
            record.hints.clear();
        })?;
        self.introduce(step, open)
    }

    /// Moves a copy away, and says where to.
    fn set_aside(&self, step: &Step) -> Said<PathBuf> {
        let kept = step::work(&self.root).join("kept");
        let mut to = kept.join(format!("{}-{}", step.name, now()));
        while to.exists() {
            to.as_mut_os_string().push("x");
        }
        let moved = fs::create_dir_all(&kept).and_then(|()| fs::rename(step.copy(&self.root), &to));
        moved.map(|()| to).map_err(|error| machine(step.copy(&self.root), error, self.lang))
    }

    pub fn solution(&self, wanted: Option<&str>, give_up: bool) -> Said<()> {
        let step = self.step(wanted)?;
        let number = step.number();
        let record = Progress::read(&self.root, self.lang)?.steps.get(&step.name).cloned().unwrap_or_default();
        if record.done.is_none() && !record.given_up && !give_up {
            return Err(Trouble::Cannot(
                tr!(self.lang, "step {number} is not done yet", "ステップ {number} はまだ終わっていません"),
                tr!(
                    self.lang,
                    "cargo workbook hint {number}   (or: cargo workbook solution {number} --give-up)",
                    "cargo workbook hint {number}   (または: cargo workbook solution {number} --give-up)"
                ),
            ));
        }
        if record.done.is_none() && give_up {
            Progress::change(&self.root, self.lang, |progress| progress.step(&step.name).given_up = true)?;
        }
        for (hole, solution) in step.holes.iter().zip(starter::solutions(step).map_err(Trouble::Machine)?) {
            let (file, title, id) = (solution.file.display(), hole.title.get(self.lang), &hole.id);
            self.say(tr!(self.lang, "// {file}: HOLE {id}: {title}", "// {file}: 穴 {id}: {title}"));
            self.say(solution.code);
        }
        Ok(())
    }

    pub fn diff(&self, wanted: Option<&str>) -> Said<()> {
        let step = self.step(wanted)?;
        let before = self.steps.iter().zip(self.steps.iter().skip(1)).find(|(_, after)| after.name == step.name);
        let Some((before, _)) = before else {
            return Err(Trouble::Cannot(
                tr!(self.lang, "there is no step before step 1", "ステップ 1 の前のステップはありません"),
                "cargo workbook diff 2".into(),
            ));
        };
        let folder = tempfile::tempdir().map_err(|error| machine("/tmp", error, self.lang))?;
        for (of, name) in [(before, before.short()), (step, step.short())] {
            let to = folder.path().join(name);
            starter::write(of, Open::None, &to, self.lang)?;
            let tidy = || -> std::io::Result<()> {
                fs::remove_file(to.join("src/tests.rs"))?;
                for entry in fs::read_dir(to.join("src"))?.flatten() {
                    // Under the names of this step, so that only the idea differs.
                    let text = fs::read_to_string(entry.path())?;
                    let text = text.replace(&of.name, &step.name).replace(of.short(), step.short());
                    fs::write(entry.path(), text)?;
                }
                Ok(())
            };
            tidy().map_err(|error| machine(&to, error, self.lang))?;
        }
        let colour =
            if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() { "always" } else { "never" };
        let mut git = Command::new("git");
        git.args(["--no-pager", "diff", "--no-index", "--no-prefix", &format!("--color={colour}")]);
        git.arg(format!("{}/src", before.short())).arg(format!("{}/src", step.short())).current_dir(folder.path());
        let status = git.status().map_err(|error| machine("git", error, self.lang))?;
        if status.signal() == Some(SIGPIPE) {
            std::process::exit(128 + SIGPIPE); // who reads has had enough: `diff 3 | head`
        }
        // 1 means: there are differences.
        if status.code().is_some_and(|code| code <= 1) { Ok(()) } else { Err(Trouble::Machine("git diff".into())) }
    }

    pub fn goto(&self, wanted: &str, hole: Option<&str>) -> Said<()> {
        let step = step::find(&self.steps, wanted, self.lang)?;
        let open = self.open(step, hole)?; // before anything is built
        let earlier: Vec<_> = self.steps.iter().take_while(|other| other.name != step.name).collect();
        let solved = Progress::read(&self.root, self.lang)?;
        let started = solved.steps.get(&step.name).is_some_and(|record| record.started > 0);
        // A step that was skipped counts as done, and its copy may have open holes all the same.
        let solved = |step: &Step| {
            let record = solved.steps.get(&step.name);
            record.is_some_and(|record| record.done.is_some() && !record.given_up && !self.changed(step, record))
        };
        if let Some(before) = earlier.last() {
            // What somebody has solved is theirs, and good enough.
            if !solved(before) || !before.copy(&self.root).exists() {
                self.renew(before, Open::None)?;
            }
            self.check(Some(before.number()), How::default())?;
            // Its database cluster, with its worker alive in it.
            let environment = self.environment(before)?;
            cluster::run::start(&environment, self.lang, true)
                .map_err(|error| Trouble::Machine(error.show(self.lang).trim().to_owned()))?;
            Progress::change(&self.root, self.lang, |progress| {
                for before in earlier.iter().filter(|before| !solved(before)) {
                    let record = progress.step(&before.name);
                    record.given_up = true;
                    record.done.get_or_insert_with(now);
                }
            })?;
        }
        if step.copy(&self.root).exists() && started {
            Progress::change(&self.root, self.lang, |progress| progress.current = Some(step.name.clone()))?;
            return self.introduce(step, Open::All);
        }
        // What stands there otherwise is the finished one, since the step was skipped.
        self.begin(step, open)
    }

    pub fn run(&self, wanted: Option<&str>, finished: bool) -> Said<()> {
        use std::os::unix::process::CommandExt;
        let step = self.step(wanted)?;
        if finished {
            // The same as what is typed without `cargo workbook`. psql at the end shall have the terminal: it takes our place.
            let error = Command::new(self.root.join("scripts/run")).arg(step.short()).exec();
            return Err(machine("scripts/run", error, self.lang));
        }
        self.copy(step)?;
        let environment = self.environment(step)?;
        cluster::run::run(&environment, self.lang).map_err(|error| Trouble::Run(Box::new(error)))
    }

    /// Where the learner's copy of a step is built and run.
    fn environment(&self, step: &Step) -> Said<Environment> {
        let fault = |error: cluster::throwaway::Failure| Trouble::Machine(error.to_string());
        let shell = shell(&self.root, &step.name, self.lang)?;
        let target = shell.target().map_err(fault)?.join("workshops/learner");
        let mut variables = shell.variables().map_err(fault)?;
        variables.retain(|(key, _)| key != "CARGO_TARGET_DIR");
        variables.push(("CARGO_TARGET_DIR".into(), target.into()));
        let mut environment = Environment::from_variables(variables).map_err(|error| Trouble::Run(Box::new(error)))?;
        environment.source = step.copy(&self.root);
        Ok(environment)
    }

    pub fn watch(&self, wanted: Option<&str>, plain: bool) -> Said<()> {
        let step = self.step(wanted)?;
        self.copy(step)?;
        watch::watch(self, step, plain)
    }

    pub fn new_worker(&self, name: &str) -> Said<()> {
        new::new(self, name)
    }
}

/// A path as the learner sees it: from the checkout.
pub fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

fn text<'a>(step: &'a Step, check: &str) -> Option<&'a CheckText> {
    step.texts.get(check)
}

/// The title of a check.
pub fn title(step: &Step, check: &str, lang: Lang) -> String {
    text(step, check).map_or_else(|| check.to_owned(), |text| text.title.get(lang).to_owned())
}

/// What is shown of a check that has failed: expected, seen, the log, the hint.
pub fn failure(step: &Step, red: &Red, lang: Lang, finished: bool, columns: usize) -> String {
    let title = title(step, red.check, lang);
    let expected = text(step, red.check).map_or("", |text| text.why.get(lang));
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
fn folded(heading: &str, text: &str, columns: usize) -> String {
    let room =
        if columns != usize::MAX && columns > wide(heading) + 20 { columns - wide(heading) - 1 } else { usize::MAX };
    format!("{heading}{}", fold(text, room).join(&format!("\n{}", " ".repeat(wide(heading)))))
}

/// A hint up to this level, and what shows one more.
fn hint_text(step: &Step, heading: String, hint: &Hint, level: u8, more: &str, lang: Lang, columns: usize) -> String {
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

    fn line(&self, text: String) {
        if !self.json {
            self.bar.suspend(|| println!("{text}"));
            let _ = std::io::stdout().flush();
        }
    }

    pub fn event(&mut self, event: Event) {
        let lang = self.lang;
        match event {
            Event::FirstBuild => {
                let text = tr!(
                    lang,
                    "  The dependencies are compiled, once: one to two minutes",
                    "  依存ライブラリをコンパイルします (最初の一度だけ、1 ～ 2 分)"
                );
                self.line(text.clone());
                self.bar.set_message(text.trim().to_owned());
            }
            Event::Waiting => self.line(tr!(
                lang,
                "  another cargo workbook is building; waiting for it",
                "  別の cargo workbook がビルド中です。終わるのを待っています"
            )),
            Event::Building => self.bar.set_message(tr!(lang, "building", "ビルドしています")),
            Event::Built(took) => {
                let took = took.as_secs_f64();
                self.line(tr!(lang, "  built   ({took:.1} s)", "  ビルド完了 ({took:.1} 秒)"));
                self.bar.set_message(tr!(lang, "starting a server with it", "サーバーを起動しています"));
            }
            Event::Booted(_) | Event::Tier(_, 0) => {}
            Event::Tier(_, count) => {
                self.bar.set_message(tr!(lang, "{count} checks", "検査 {count} 件を実行しています"))
            }
            Event::Passed(check, took) => {
                self.passed.push(check);
                let (title, took) = (title(self.step, check, lang), took.as_secs_f64());
                self.line(tr!(lang, "  ok      {title} ({took:.1} s)", "  合格    {title} ({took:.1} 秒)"));
            }
            Event::Quick(_) => {
                let took = self.begin.elapsed();
                self.quick = Some(took);
                let took = took.as_secs_f64();
                self.line(tr!(
                    lang,
                    "  quick checks passed after {took:.1} s",
                    "  短い検査に合格しました ({took:.1} 秒)"
                ));
            }
        }
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learner(lang: Lang) -> Learner {
        Learner::new(cluster::checkout(), lang).unwrap()
    }

    /// In a workshop one hole of each step is open: that one, and no other.
    #[test]
    fn only_the_hole_that_is_named_is_open() {
        let learner = learner(Lang::En);
        for step in &learner.steps {
            for hole in &step.holes {
                let open = learner.open(step, Some(&hole.id)).unwrap();
                let folder = tempfile::tempdir().unwrap();
                let copy = folder.path().join("copy");
                starter::write(step, open, &copy, Lang::En).unwrap();
                let mut open = Vec::new();
                for entry in fs::read_dir(copy.join("src")).unwrap().flatten() {
                    let text = fs::read_to_string(entry.path()).unwrap();
                    open.extend(text.lines().filter_map(|line| {
                        line.trim().strip_prefix("// vvv HOLE ")?.split_once(':').map(|(id, _)| id.to_owned())
                    }));
                }
                assert_eq!(open.join(" "), hole.id, "{}", step.name);
            }
            assert_eq!(learner.open(step, None).unwrap(), Open::All);
        }
    }

    #[test]
    fn a_hole_that_is_not_there_is_refused_with_the_names_of_the_others() {
        for (lang, words) in
            [(Lang::En, "its holes are: register loop exit"), (Lang::Ja, "次の穴です: register loop exit")]
        {
            let learner = learner(lang);
            let trouble = learner.start(Some("1"), Some("lop")).unwrap_err();
            let text = trouble.show(lang);
            assert!(text.contains(words) && text.contains("cargo workbook start 1 --hole register"), "{text}");
            assert_eq!(trouble.code(), 2);
            assert_eq!(learner.goto("1", Some("lop")).unwrap_err().code(), 2);
        }
    }
}
