//! `cargo workbook watch`: the verdict after every save, on one screen, with the server's log beside it. Where there is no terminal, or
//! with `--plain`, line by line. Where the system sends no file events, it looks every second, and says so.

use super::{hint, next, reset};
use crate::learner::Learner;
use crate::present::{self, failure, fold, lines_that_matter, shown, title, wide};
use cluster::Lang;
use cluster::tr;
use course::checks::Tier;
use course::compiler::plain;
use course::error::{Result, machine};
use course::judge::{self, Judge, Red, Verdict};
use course::starter;
use course::step::Step;
use notify::{Config, PollWatcher, RecommendedWatcher, RecursiveMode, Watcher};
use ratatui::crossterm::event::{self, Event as Input, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph};
use ratatui::{DefaultTerminal, Frame};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// Editors write a file in several moves; what comes within this time is one save.
const SETTLED: Duration = Duration::from_millis(80);

/// What the screen is told.
enum Event {
    Saved,
    Judging(judge::Event),
    /// With the fingerprint of what was judged.
    Verdict(Box<Result<Verdict>>, Option<String>),
}

/// Keeps the events coming as long as it lives.
struct FileWatcher {
    _watcher: Box<dyn Watcher>,
    polls: bool,
}

/// Tells when something below this folder changes.
fn watch_folder(folder: &Path, tell: Sender<Event>) -> Result<FileWatcher> {
    let handler = move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| event.kind.is_modify() || event.kind.is_create() || event.kind.is_remove()) {
            // Nobody listens any more when the screen is closed.
            let _ = tell.send(Event::Saved);
        }
    };
    // For tests, and for folders of other machines, which send no events.
    let polls = std::env::var_os("WORKBOOK_POLL").is_some();
    if !polls
        && let Ok(mut watcher) = RecommendedWatcher::new(handler.clone(), Config::default())
        && watcher.watch(folder, RecursiveMode::Recursive).is_ok()
    {
        return Ok(FileWatcher { _watcher: Box::new(watcher), polls: false });
    }
    let config = Config::default().with_poll_interval(Duration::from_secs(1)).with_compare_contents(true);
    let mut watcher = PollWatcher::new(handler, config).map_err(|error| machine(folder, error))?;
    watcher.watch(folder, RecursiveMode::Recursive).map_err(|error| machine(folder, error))?;
    Ok(FileWatcher { _watcher: Box::new(watcher), polls: true })
}

/// Judges in a thread of its own, once for each message.
fn judge_in_background(learner: &Learner, step: Arc<Step>, source: PathBuf, tell: Sender<Event>) -> Sender<()> {
    let (ask, asked) = mpsc::channel::<()>();
    let (root, lang, copy) = (learner.root.clone(), learner.lang, source.clone());
    std::thread::spawn(move || {
        let mut say = |event: judge::Event| drop(tell.send(Event::Judging(event)));
        let mut judge = match Judge::open(&root, &step, source, lang, &mut say) {
            Ok(judge) => judge,
            Err(trouble) => return drop(tell.send(Event::Verdict(Box::new(Err(trouble)), None))),
        };
        while asked.recv().is_ok() {
            while asked.try_recv().is_ok() {}
            let judged = starter::fingerprint(&copy);
            let verdict = judge.verdict(&[Tier::Quick, Tier::Full], &mut say);
            if tell.send(Event::Verdict(Box::new(verdict), judged)).is_err() {
                break;
            }
            judge.rest();
        }
    });
    ask
}

pub fn run(learner: &Learner, wanted: Option<&str>, plain: bool) -> Result<()> {
    let step = learner.step(wanted)?;
    learner.copy(step)?;
    let source = step.copy(&learner.root);
    let (tell, events) = mpsc::channel();
    let watcher = watch_folder(&source, tell.clone())?;
    let ask = judge_in_background(learner, step.clone(), source, tell);
    let mut screen = Screen::new(learner, step, watcher.polls);
    if plain || !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return screen.plain(&ask, &events);
    }
    // It also puts the terminal back when we panic.
    let mut terminal = ratatui::try_init().map_err(|error| machine("terminal", error))?;
    let result = screen.run(&mut terminal, &ask, &events);
    ratatui::restore();
    result
}

/// What is on the screen.
struct Screen<'a> {
    learner: &'a Learner,
    step: &'a Step,
    polls: bool,
    busy: bool,
    again: bool,
    began: Instant,
    status: String,
    passed: Vec<(&'static str, Duration)>,
    red: Option<Red>,
    compiler: Option<String>,
    trouble: Option<String>,
    green: Option<Duration>,
    hint: Option<String>,
    note: Option<String>,
    /// Whether the question is open if this step is to begin anew.
    asks: bool,
    scroll: u16,
}

impl<'a> Screen<'a> {
    fn new(learner: &'a Learner, step: &'a Step, polls: bool) -> Self {
        Self {
            learner,
            step,
            polls,
            busy: false,
            again: false,
            began: Instant::now(),
            status: String::new(),
            passed: Vec::new(),
            red: None,
            compiler: None,
            trouble: None,
            green: None,
            hint: None,
            note: None,
            asks: false,
            scroll: 0,
        }
    }

    fn lang(&self) -> Lang {
        self.learner.lang
    }

    fn begin(&mut self, ask: &Sender<()>) {
        if self.busy {
            self.again = true;
            return;
        }
        (self.busy, self.again, self.began, self.scroll) = (true, false, Instant::now(), 0);
        self.passed.clear();
        (self.red, self.compiler, self.trouble, self.green, self.hint, self.note) = Default::default();
        self.status = tr!(self.lang(), "building", "ビルドしています");
        // It ends only with us.
        let _ = ask.send(());
    }

    /// Takes in what has happened. Returns a line for the plain form.
    fn handle(&mut self, event: Event, ask: &Sender<()>) -> Option<String> {
        let lang = self.lang();
        match event {
            Event::Saved => None,
            Event::Judging(event) => {
                if let judge::Event::Passed(check, took) = event {
                    self.passed.push((check, took));
                }
                let (status, line) = present::event(self.step, &event, lang);
                if let Some(status) = status {
                    self.status = status;
                }
                line
            }
            Event::Verdict(verdict, judged) => {
                self.busy = false;
                let took = self.began.elapsed();
                let line = match *verdict {
                    Ok(verdict) => {
                        let passed: Vec<_> = self.passed.iter().map(|(id, _)| *id).collect();
                        if let Err(trouble) = self.learner.note(self.step, &verdict, &passed, true, judged) {
                            self.trouble = Some(trouble.show(lang));
                        }
                        let line = present::verdict(self.step, &verdict, false, false, lang);
                        match verdict {
                            Verdict::Green => self.green = Some(took),
                            Verdict::DoesNotCompile(text) => self.compiler = Some(plain(&text)),
                            Verdict::Red(red) => self.red = Some(red),
                        }
                        line
                    }
                    Err(trouble) => {
                        let text = trouble.show(lang);
                        self.trouble = Some(text.clone());
                        text
                    }
                };
                self.status = String::new();
                if self.again {
                    self.begin(ask);
                }
                Some(line)
            }
        }
    }

    /// Without a screen: a line for each thing that happens, until Ctrl-C.
    fn plain(&mut self, ask: &Sender<()>, events: &Receiver<Event>) -> Result<()> {
        let lang = self.lang();
        let copy = shown(&self.learner.root, &self.step.copy(&self.learner.root));
        println!("{}", tr!(lang, "Watching {copy} (Ctrl-C ends it)", "{copy} を監視しています (Ctrl-C で終了します)"));
        if self.polls {
            println!("{}", polling(lang));
        }
        self.begin(ask);
        while let Ok(first) = events.recv() {
            let mut saved = matches!(first, Event::Saved);
            if let Some(line) = self.handle(first, ask) {
                println!("{line}");
            }
            while saved {
                match events.recv_timeout(SETTLED) {
                    Ok(Event::Saved) => {}
                    Ok(other) => {
                        if let Some(line) = self.handle(other, ask) {
                            println!("{line}");
                        }
                    }
                    Err(_) => {
                        println!("{}", tr!(lang, "-- saved: checking", "-- 保存を検知しました。検査します"));
                        self.begin(ask);
                        saved = false;
                    }
                }
            }
        }
        Ok(())
    }

    fn run(&mut self, terminal: &mut DefaultTerminal, ask: &Sender<()>, events: &Receiver<Event>) -> Result<()> {
        let mut saved: Option<Instant> = None;
        self.begin(ask);
        loop {
            terminal.draw(|frame| self.draw(frame)).map_err(|error| machine("terminal", error))?;
            match events.recv_timeout(Duration::from_millis(50)) {
                Ok(Event::Saved) => saved = Some(Instant::now()),
                Ok(other) => drop(self.handle(other, ask)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            if saved.is_some_and(|at| at.elapsed() >= SETTLED) {
                saved = None;
                self.begin(ask);
            }
            while event::poll(Duration::ZERO).unwrap_or(false) {
                let Ok(Input::Key(key)) = event::read() else { continue };
                if key.kind == KeyEventKind::Release {
                    continue;
                }
                match self.key(key.code, key.modifiers.contains(KeyModifiers::CONTROL)) {
                    Action::Stay => {}
                    Action::Check => self.begin(ask),
                    Action::Quit => return Ok(()),
                    Action::Reset => {
                        ratatui::restore();
                        return reset::run(self.learner, Some(self.step.number()), None);
                    }
                    Action::Next => {
                        ratatui::restore();
                        return next::run(self.learner);
                    }
                }
            }
        }
    }

    /// What a key means now.
    fn key(&mut self, code: KeyCode, control: bool) -> Action {
        let lang = self.lang();
        self.note = None;
        if std::mem::take(&mut self.asks) {
            return if code == KeyCode::Char('y') { Action::Reset } else { Action::Stay };
        }
        match code {
            KeyCode::Char('c') if control => return Action::Quit,
            KeyCode::Char('q') | KeyCode::Esc => return Action::Quit,
            KeyCode::Char('h') => {
                self.scroll = 0;
                match hint::more(self.learner, self.step, usize::MAX) {
                    Ok(hint) => self.hint = Some(hint),
                    Err(trouble) => self.note = Some(trouble.show(lang)),
                }
            }
            KeyCode::Char('r') => {
                self.asks = true;
                self.note = Some(tr!(
                    lang,
                    "Begin this step anew? Your copy is kept aside. y: yes, any other key: no",
                    "このステップを最初からやり直しますか。コピーは退避されます。y: はい、ほかのキー: いいえ"
                ));
            }
            KeyCode::Char('n') if self.green.is_some() => return Action::Next,
            KeyCode::Char('n') => {
                self.note = Some(tr!(lang, "This step is not done yet.", "このステップはまだ終わっていません。"));
            }
            KeyCode::Down => self.scroll = self.scroll.saturating_add(1),
            KeyCode::Up => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::Char(' ') | KeyCode::Enter => return Action::Check,
            _ => {}
        }
        Action::Stay
    }

    fn draw(&mut self, frame: &mut Frame) {
        let lang = self.lang();
        let columns = usize::from(frame.area().width);
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let (number, title) = (self.step.number(), self.step.title.get(lang));
        let title = tr!(lang, "Step {number}, {title}", "ステップ {number}「{title}」");
        let (word, style) = self.verdict();
        let top = if wide(&title) + 2 + wide(&word) <= columns {
            vec![Line::from(vec![Span::styled(title + "  ", bold), Span::styled(word, style)])]
        } else {
            let title = fold(&title, columns).into_iter().map(|line| Line::styled(line, bold));
            title.chain(fold(&word, columns).into_iter().map(|line| Line::styled(line, style))).collect()
        };
        let mut below = key_lines(lang, columns);
        let note = self.note.clone().or(self.polls.then(|| polling(lang))).unwrap_or_default();
        below.extend(fold(&note, columns).into_iter().map(Line::from));
        let rows = |lines: &[Line]| Constraint::Length(u16::try_from(lines.len()).unwrap_or(1));
        let [head, body, foot] = Layout::vertical([rows(&top), Constraint::Min(3), rows(&below)]).areas(frame.area());
        frame.render_widget(Paragraph::new(top), head);
        frame.render_widget(Paragraph::new(below), foot);

        // Side by side where there is room, else one below the other: then the log takes no more than it needs.
        let beside = body.width >= 100;
        let log = self.red.as_ref().map(|red| lines_that_matter(&red.log)).unwrap_or_default();
        let across = usize::from(if beside { body.width * 45 / 100 } else { body.width });
        let log: Vec<String> = log.iter().flat_map(|line| fold(line, across)).collect();
        let [left, right] = if beside {
            Layout::horizontal([Constraint::Percentage(55), Constraint::Percentage(45)]).areas(body)
        } else {
            let needed = if log.is_empty() { 0 } else { log.len() + 1 };
            let needed = u16::try_from(needed).unwrap_or(u16::MAX).min(body.height * 4 / 10);
            Layout::vertical([Constraint::Min(3), Constraint::Length(needed)]).areas(body)
        };
        let block = |title: String| Block::new().borders(Borders::TOP).title(title);
        let lines = self.lines(left.width.into());
        let hidden = (lines.len() + 1).saturating_sub(left.height.into());
        self.scroll = self.scroll.min(u16::try_from(hidden).unwrap_or(u16::MAX));
        let text = Paragraph::new(lines).scroll((self.scroll, 0));
        frame.render_widget(text.block(block(tr!(lang, " Checks ", " 検査 "))), left);
        let room = usize::from(right.height.saturating_sub(1));
        let log: Vec<Line> = log[log.len().saturating_sub(room)..].iter().cloned().map(Line::from).collect();
        let log = Paragraph::new(log).block(block(tr!(lang, " Server log ", " サーバーログ ")));
        frame.render_widget(log, right);
    }

    fn verdict(&self) -> (String, Style) {
        let lang = self.lang();
        let colour = |colour| Style::new().fg(colour).add_modifier(Modifier::BOLD);
        if self.busy {
            let (status, seconds) = (&self.status, self.began.elapsed().as_secs_f64());
            return (tr!(lang, "{status} ... {seconds:.1} s", "{status} ... {seconds:.1} 秒"), colour(Color::Yellow));
        }
        if self.trouble.is_some() {
            return (tr!(lang, "the machine: see below", "マシンの問題 (下を参照)"), colour(Color::Magenta));
        }
        if self.compiler.is_some() {
            return (tr!(lang, "does not compile", "コンパイルできません"), colour(Color::Red));
        }
        match (&self.green, &self.red) {
            (Some(took), _) => {
                let took = took.as_secs_f64();
                (tr!(lang, "all checks passed ({took:.1} s)", "すべて合格 ({took:.1} 秒)"), colour(Color::Green))
            }
            (_, Some(red)) => {
                let title = title(self.step, red.check, lang);
                (tr!(lang, "FAILED: {title}", "不合格: {title}"), colour(Color::Red))
            }
            _ => (String::new(), Style::new()),
        }
    }

    /// What is to be read now comes first: what failed, and the hint; what is well comes after it.
    fn lines(&self, columns: usize) -> Vec<Line<'static>> {
        let lang = self.lang();
        let mut lines = Vec::new();
        let mut push = |text: &str, style: Style| {
            for line in text.lines() {
                // What goes on below stands a little to the right of where it began.
                let margin = " ".repeat((line.len() - line.trim_start().len() + 2).min(columns / 4));
                for (number, part) in fold(line, columns.saturating_sub(margin.len())).into_iter().enumerate() {
                    let part = if number == 0 { part } else { margin.clone() + &part };
                    lines.push(Line::styled(part, style));
                }
            }
        };
        if self.green.is_some() {
            push(&tr!(lang, "n: go on to the next step", "n: 次のステップに進みます"), Style::new());
        }
        if let Some(hint) = &self.hint {
            push(hint, Style::new().fg(Color::Cyan));
            push(" ", Style::new());
        }
        if let Some(text) = self.trouble.as_ref().or(self.compiler.as_ref()) {
            push(text, Style::new());
        }
        if let Some(red) = &self.red {
            let red = Red { log: Vec::new(), hint: None, ..red.clone() };
            push(&failure(self.step, &red, lang, false, usize::MAX), Style::new());
        }
        for (check, took) in &self.passed {
            let (title, took) = (title(self.step, check, lang), took.as_secs_f64());
            push(
                &tr!(lang, "ok    {title} ({took:.1} s)", "合格  {title} ({took:.1} 秒)"),
                Style::new().fg(Color::Green),
            );
        }
        lines
    }
}

/// What a key asks for.
#[derive(Debug, PartialEq, Eq)]
enum Action {
    Stay,
    Check,
    Quit,
    Reset,
    Next,
}

/// The keys, in as many lines as they need.
fn key_lines(lang: Lang, columns: usize) -> Vec<Line<'static>> {
    let keys = tr!(
        lang,
        "save: check|space: check again|h: hint|n: next|r: reset|↑↓: scroll|q: quit",
        "保存: 検査|スペース: 再検査|h: ヒント|n: 次へ|r: やり直し|↑↓: スクロール|q: 終了"
    );
    let mut lines: Vec<String> = Vec::new();
    for key in keys.split('|') {
        match lines.last_mut() {
            Some(line) if wide(line) + 3 + wide(key) <= columns => *line += &format!("   {key}"),
            _ => lines.push(key.to_owned()),
        }
    }
    lines.into_iter().map(|line| Line::styled(line, Style::new().fg(Color::DarkGray))).collect()
}

fn polling(lang: Lang) -> String {
    tr!(
        lang,
        "No file events here: the folder is looked at every second.",
        "ファイルの変更通知を使えないため、1 秒ごとにフォルダを調べます。"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::{FailedCheck, Progress};
    use course::error::Error;
    use course::step;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    /// A learner without a copy, in a folder of their own, and the step with this number.
    fn learner(lang: Lang, number: usize) -> (tempfile::TempDir, Learner, Arc<Step>) {
        let root = cluster::checkout();
        let folder = tempfile::tempdir().unwrap();
        let steps = step::all(root).unwrap();
        let step = steps[number - 1].clone();
        let learner = Learner { root: folder.path().into(), lang, steps };
        (folder, learner, step)
    }

    /// What is on a screen of this size, line by line. A wide letter takes two places, of which the second is empty.
    fn look(screen: &mut Screen, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| screen.draw(frame)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y: u16| {
            let (mut line, mut x) = (String::new(), 0);
            while x < width {
                let symbol = buffer[(x, y)].symbol();
                line += symbol;
                x += u16::try_from(wide(symbol).max(1)).unwrap();
            }
            line.trim_end().to_owned()
        };
        (0..height).map(line).collect()
    }

    /// Without blanks and the ends of lines, which depend on the width.
    fn text(lines: &[String]) -> String {
        lines.concat().replace(' ', "")
    }

    fn red(step: &Step) -> Red {
        let log = (0..30).map(|n| {
            format!("2026-01-01 09:00:01.0{n:02} UTC [4001] LOG:  line {n} of the server's log, longer than forty")
        });
        let check = step.checks.last().unwrap().id;
        Red { check, seen: "what was seen, 見えたこと。".repeat(4), log: log.collect(), hint: None }
    }

    #[test]
    fn everything_that_matters_is_on_the_screen_whatever_its_size() {
        for lang in [Lang::En, Lang::Ja] {
            let (_folder, learner, step) = learner(lang, 7);
            let mut screen = Screen::new(&learner, &step, true);
            screen.passed = step.checks.iter().map(|check| (check.id, Duration::from_secs(1))).collect();
            screen.red = Some(red(&step));
            for (width, height) in [(80, 24), (40, 24), (120, 30), (20, 10)] {
                let lines = look(&mut screen, width, height);
                let seen = text(&lines);
                let (failed, keys) = match lang {
                    Lang::En => {
                        ("FAILED:", ["save:check", "space:checkagain", "h:hint", "n:next", "r:reset", "q:quit"])
                    }
                    Lang::Ja => {
                        ("不合格:", ["保存:検査", "スペース:再検査", "h:ヒント", "n:次へ", "r:やり直し", "q:終了"])
                    }
                };
                let title = title(&step, step.checks.last().unwrap().id, lang).replace(' ', "");
                let more = [failed, &title, &polling(lang).replace(' ', "")].map(str::to_owned);
                for word in keys.iter().map(|key| (*key).to_owned()).chain(more) {
                    assert!(seen.contains(&word) || height < 24, "{word} at {width}x{height}:\n{}", lines.join("\n"));
                }
                if height >= 24 {
                    // The failure stands above what is well, and the end of the log is to be seen.
                    let place = |word: &str| lines.iter().position(|line| line.trim_start().starts_with(word));
                    let (expected, ok) =
                        if lang == Lang::En { ("expected:", "ok ") } else { ("期待する動作", "合格 ") };
                    assert!(
                        place(expected).is_some_and(|at| place(ok).is_none_or(|ok| at < ok)),
                        "{}",
                        lines.join("\n")
                    );
                    assert!(seen.contains("line29of"), "{}", lines.join("\n"));
                }
            }
            // The question whose answer would set a copy aside can be read to its end.
            screen.key(KeyCode::Char('r'), false);
            let words = if lang == Lang::En { "anyotherkey:no" } else { "ほかのキー:いいえ" };
            assert!(text(&look(&mut screen, 40, 24)).contains(words));
        }
    }

    #[test]
    fn what_the_keys_do() {
        for lang in [Lang::En, Lang::Ja] {
            let (_folder, learner, step) = learner(lang, 1);
            let mut screen = Screen::new(&learner, &step, false);
            let (no_check, not_done) = match lang {
                Lang::En => ("has not been checked yet", "not done yet"),
                Lang::Ja => ("まだ検査されていません", "まだ終わっていません"),
            };
            assert_eq!(screen.key(KeyCode::Char('h'), false), Action::Stay);
            assert!(screen.note.as_ref().is_some_and(|note| note.contains(no_check)), "{:?}", screen.note);
            Progress::change(&learner.root, |progress| {
                let failed = FailedCheck { check: step.checks[0].id.into(), hint: None };
                (progress.step(&step.name).failed, progress.step(&step.name).checked) = (Some(failed), 1);
            })
            .unwrap();
            for level in 1..=3 {
                assert_eq!(screen.key(KeyCode::Char('h'), false), Action::Stay);
                let seen = look(&mut screen, 80, 24).join("\n");
                assert!(seen.contains(&format!("{level}/3")) && !seen.contains(&format!("{}/3", level + 1)), "{seen}");
            }
            assert_eq!(screen.key(KeyCode::Char('n'), false), Action::Stay);
            assert!(screen.note.as_ref().is_some_and(|note| note.contains(not_done)), "{:?}", screen.note);
            screen.green = Some(Duration::from_secs(1));
            assert_eq!(screen.key(KeyCode::Char('n'), false), Action::Next);
            assert_eq!(screen.key(KeyCode::Char(' '), false), Action::Check);
            // Only y, and only after r, begins anew.
            assert_eq!(screen.key(KeyCode::Char('y'), false), Action::Stay);
            for (answer, action) in [('q', Action::Stay), ('y', Action::Reset)] {
                assert_eq!(screen.key(KeyCode::Char('r'), false), Action::Stay);
                assert_eq!(screen.key(KeyCode::Char(answer), false), action);
            }
            for (code, control) in [(KeyCode::Char('q'), false), (KeyCode::Esc, false), (KeyCode::Char('c'), true)] {
                assert_eq!(screen.key(code, control), Action::Quit);
            }
            // Nobody gets lost below the last line.
            screen.red = Some(red(&step));
            let at_the_top = look(&mut screen, 40, 12);
            for _ in 0..500 {
                screen.key(KeyCode::Down, false);
            }
            let at_the_end = look(&mut screen, 40, 12);
            assert!(at_the_top != at_the_end && screen.scroll < 60, "{}", screen.scroll);
            for _ in 0..screen.scroll {
                screen.key(KeyCode::Up, false);
            }
            assert_eq!(look(&mut screen, 40, 12), at_the_top);
        }
    }

    /// The first error can be read, and with the hint its meaning.
    #[test]
    fn an_error_of_the_compiler_and_a_fault_of_the_machine_are_shown() {
        let (_folder, learner, step) = learner(Lang::En, 1);
        let mut screen = Screen::new(&learner, &step, false);
        let (ask, _asked) = mpsc::channel();
        let verdict = Verdict::DoesNotCompile("error[E0133]: call\n  --> src/lib.rs:1:1\n\n".repeat(30));
        screen.handle(Event::Verdict(Box::new(Ok(verdict)), None), &ask);
        assert!(text(&look(&mut screen, 80, 24)).contains("doesnotcompile") && screen.compiler.is_some());
        screen.key(KeyCode::Char('h'), false);
        let seen = text(&look(&mut screen, 80, 24));
        assert!(seen.contains("//SAFETY:") && seen.contains("rustc--explainE0133"), "{seen}");
        screen.handle(Event::Verdict(Box::new(Err(Error::Machine("no disk".into()))), None), &ask);
        assert!(text(&look(&mut screen, 80, 24)).contains("cargoworkbookdoctor"));
    }
}
