//! `cargo workbook watch`: the verdict after every save, on one screen, with the server's log beside it. Where there is no terminal, or
//! with `--plain`, line by line. Where the system sends no file events, it looks every second, and says so.

use crate::checks::Tier;
use crate::course::Step;
use crate::judge::{Bench, Event, Red, Verdict};
use crate::learner::{self, Learner, hint_text, shown, title};
use crate::messages::Lang;
use crate::said::{Said, Trouble, machine};
use crate::tr;
use notify::{Config, PollWatcher, RecommendedWatcher, RecursiveMode, Watcher};
use ratatui::crossterm::event::{self, Event as Input, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Direction, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Wrap};
use ratatui::{DefaultTerminal, Frame};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// Editors write a file in several moves; what comes within this time is one save.
const SETTLED: Duration = Duration::from_millis(80);

/// What the screen is told.
enum News {
    Saved,
    Judging(Event),
    Verdict(Box<Said<Verdict>>),
}

/// Keeps the events coming as long as it lives.
struct Eyes {
    _watcher: Box<dyn Watcher>,
    polls: bool,
}

/// Tells when something below this folder changes.
fn look_at(folder: &Path, tell: Sender<News>, lang: Lang) -> Said<Eyes> {
    let handler = move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| event.kind.is_modify() || event.kind.is_create() || event.kind.is_remove()) {
            // Nobody listens any more when the screen is closed.
            let _ = tell.send(News::Saved);
        }
    };
    // For tests, and for folders of other machines, which send no events.
    let polls = std::env::var_os("WORKBOOK_POLL").is_some();
    if !polls
        && let Ok(mut watcher) = RecommendedWatcher::new(handler.clone(), Config::default())
        && watcher.watch(folder, RecursiveMode::Recursive).is_ok()
    {
        return Ok(Eyes { _watcher: Box::new(watcher), polls: false });
    }
    let config = Config::default().with_poll_interval(Duration::from_secs(1)).with_compare_contents(true);
    let mut watcher = PollWatcher::new(handler, config).map_err(|error| machine(folder, error, lang))?;
    watcher.watch(folder, RecursiveMode::Recursive).map_err(|error| machine(folder, error, lang))?;
    Ok(Eyes { _watcher: Box::new(watcher), polls: true })
}

/// Judges in a thread of its own, once for each message.
fn judge_in_background(learner: &Learner, step: &'static Step, source: PathBuf, tell: Sender<News>) -> Sender<()> {
    let (ask, asked) = mpsc::channel::<()>();
    let (root, lang) = (learner.root.clone(), learner.lang);
    std::thread::spawn(move || {
        let mut say = |event: Event| drop(tell.send(News::Judging(event)));
        let mut bench = match Bench::open(&root, step, source, lang, &mut say) {
            Ok(bench) => bench,
            Err(trouble) => return drop(tell.send(News::Verdict(Box::new(Err(trouble))))),
        };
        while asked.recv().is_ok() {
            while asked.try_recv().is_ok() {}
            let verdict = bench.judge(&[Tier::Quick, Tier::Full], &mut say);
            if tell.send(News::Verdict(Box::new(verdict))).is_err() {
                break;
            }
            bench.rest();
        }
    });
    ask
}

pub fn watch(learner: &Learner, step: &Step, plain: bool) -> Said<()> {
    let source = step.copy(&learner.root);
    let (tell, news) = mpsc::channel();
    let eyes = look_at(&source, tell.clone(), learner.lang)?;
    // The step is kept until the process ends: the judging thread uses it.
    let kept: &'static Step = match Step::read(&learner.root, &step.name, step.checks) {
        Ok(step) => Box::leak(Box::new(step)),
        Err(error) => return Err(Trouble::Machine(error)),
    };
    let ask = judge_in_background(learner, kept, source, tell);
    let mut screen = Screen::new(learner, kept, eyes.polls);
    if plain || !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return screen.plain(&ask, &news);
    }
    // It also puts the terminal back when we panic.
    let mut terminal = ratatui::try_init().map_err(|error| machine("terminal", error, learner.lang))?;
    let result = screen.run(&mut terminal, &ask, &news);
    ratatui::restore();
    result
}

/// What is on the screen.
struct Screen<'a> {
    learner: &'a Learner,
    step: &'static Step,
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
    scroll: u16,
}

impl<'a> Screen<'a> {
    fn new(learner: &'a Learner, step: &'static Step, polls: bool) -> Self {
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
    fn hear(&mut self, news: News, ask: &Sender<()>) -> Option<String> {
        let lang = self.lang();
        match news {
            News::Saved => None,
            News::Judging(event) => {
                match event {
                    Event::FirstBuild => {
                        self.status = tr!(
                            lang,
                            "compiling the dependencies, once",
                            "依存ライブラリを一度だけコンパイルしています"
                        );
                    }
                    Event::Waiting => {
                        self.status =
                            tr!(lang, "waiting for another cargo workbook", "別の cargo workbook の終了を待っています");
                    }
                    Event::Building => self.status = tr!(lang, "building", "ビルドしています"),
                    Event::Built(_) => self.status = tr!(lang, "starting a server", "サーバーを起動しています"),
                    Event::Booted(_) => {}
                    Event::Tier(_, count) => self.status = tr!(lang, "{count} checks", "検査 {count} 件"),
                    Event::Passed(check, took) => {
                        self.passed.push((check, took));
                        let (title, took) = (title(self.step, check, lang), took.as_secs_f64());
                        return Some(tr!(lang, "  ok      {title} ({took:.1} s)", "  合格    {title} ({took:.1} 秒)"));
                    }
                    Event::Quick(_) => {}
                }
                None
            }
            News::Verdict(verdict) => {
                self.busy = false;
                let took = self.began.elapsed();
                let line = match *verdict {
                    Ok(verdict) => {
                        let passed: Vec<_> = self.passed.iter().map(|(id, _)| *id).collect();
                        if let Err(trouble) = self.learner.note(self.step, &verdict, &passed, true) {
                            self.trouble = Some(trouble.show(lang));
                        }
                        match verdict {
                            Verdict::Green => {
                                self.green = Some(took);
                                tr!(
                                    lang,
                                    "All checks have passed. Next: cargo workbook next",
                                    "すべての検査に合格しました。次の操作: cargo workbook next"
                                )
                            }
                            Verdict::DoesNotCompile(text) => {
                                let line = text.clone();
                                self.compiler = Some(plain(&text));
                                line
                            }
                            Verdict::Red(red) => {
                                let line = learner::failure(self.step, &red, lang, false);
                                self.red = Some(red);
                                line
                            }
                        }
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
    fn plain(&mut self, ask: &Sender<()>, news: &Receiver<News>) -> Said<()> {
        let lang = self.lang();
        let copy = shown(&self.learner.root, &self.step.copy(&self.learner.root));
        println!("{}", tr!(lang, "Watching {copy} (Ctrl-C ends it)", "{copy} を監視しています (Ctrl-C で終了します)"));
        if self.polls {
            println!("{}", polling(lang));
        }
        self.begin(ask);
        while let Ok(first) = news.recv() {
            let mut saved = matches!(first, News::Saved);
            if let Some(line) = self.hear(first, ask) {
                println!("{line}");
            }
            while saved {
                match news.recv_timeout(SETTLED) {
                    Ok(News::Saved) => {}
                    Ok(other) => {
                        if let Some(line) = self.hear(other, ask) {
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

    fn run(&mut self, terminal: &mut DefaultTerminal, ask: &Sender<()>, news: &Receiver<News>) -> Said<()> {
        let lang = self.lang();
        let mut saved: Option<Instant> = None;
        self.begin(ask);
        loop {
            terminal.draw(|frame| self.draw(frame)).map_err(|error| machine("terminal", error, lang))?;
            match news.recv_timeout(Duration::from_millis(50)) {
                Ok(News::Saved) => saved = Some(Instant::now()),
                Ok(other) => drop(self.hear(other, ask)),
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
                let control = key.modifiers.contains(KeyModifiers::CONTROL);
                match key.code {
                    KeyCode::Char('c') if control => return Ok(()),
                    KeyCode::Char('q') | KeyCode::Esc => return Ok(()),
                    KeyCode::Char('h') => match self.learner.more_hint(self.step) {
                        Ok((hint, level)) => self.hint = Some(hint_text(self.step, hint, level, lang)),
                        Err(trouble) => self.note = Some(trouble.show(lang)),
                    },
                    KeyCode::Char('r') => {
                        self.note = Some(tr!(
                            lang,
                            "Begin this step anew? Your copy is kept aside. y: yes, any other key: no",
                            "このステップを最初からやり直しますか。コピーは退避されます。y: はい、ほかのキー: いいえ"
                        ));
                        terminal.draw(|frame| self.draw(frame)).map_err(|error| machine("terminal", error, lang))?;
                        self.note = None;
                        if answer() {
                            ratatui::restore();
                            return self.learner.reset(Some(self.step.number()), None);
                        }
                    }
                    KeyCode::Char('n') if self.green.is_some() => {
                        ratatui::restore();
                        return self.learner.next();
                    }
                    KeyCode::Char('n') => {
                        self.note =
                            Some(tr!(lang, "This step is not done yet.", "このステップはまだ終わっていません。"));
                    }
                    KeyCode::Down => self.scroll = self.scroll.saturating_add(1),
                    KeyCode::Up => self.scroll = self.scroll.saturating_sub(1),
                    KeyCode::Char(' ') | KeyCode::Enter => self.begin(ask),
                    _ => {}
                }
            }
        }
    }

    fn draw(&self, frame: &mut Frame) {
        let lang = self.lang();
        let [top, body, keys] =
            Layout::vertical([Constraint::Length(1), Constraint::Min(3), Constraint::Length(2)]).areas(frame.area());
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let (number, title) = (self.step.number(), self.step.title.get(lang));
        let (word, style) = self.verdict();
        frame.render_widget(
            Line::from(vec![
                Span::styled(tr!(lang, "Step {number}, {title}  ", "ステップ {number}「{title}」 "), bold),
                Span::styled(word, style),
            ]),
            top,
        );
        // Side by side where there is room, else one below the other.
        let direction = if body.width >= 100 { Direction::Horizontal } else { Direction::Vertical };
        let [left, right] =
            Layout::new(direction, [Constraint::Percentage(55), Constraint::Percentage(45)]).areas(body);
        let block = |title: String| Block::new().borders(Borders::TOP).title(title);
        let text = Paragraph::new(self.lines()).wrap(Wrap { trim: false }).scroll((self.scroll, 0));
        frame.render_widget(text.block(block(tr!(lang, " Checks ", " 検査 "))), left);
        let log = self.red.as_ref().map(|red| learner::lines_that_matter(&red.log)).unwrap_or_default();
        let room = usize::from(right.height.saturating_sub(1));
        let log: Vec<Line> = log.iter().map(|line| Line::from(line.clone())).collect();
        let log = log[log.len().saturating_sub(room)..].to_vec();
        frame.render_widget(
            Paragraph::new(log).wrap(Wrap { trim: false }).block(block(tr!(lang, " Server log ", " サーバーログ "))),
            right,
        );
        let mut below = vec![Line::from(Span::styled(
            tr!(
                lang,
                "save: check   space: check again   h: hint   n: next   r: reset   q: quit",
                "保存: 検査   スペース: 再検査   h: ヒント   n: 次へ   r: やり直し   q: 終了"
            ),
            Style::new().fg(Color::DarkGray),
        ))];
        let note = self.note.clone().or(self.polls.then(|| polling(lang)));
        below.push(Line::from(note.unwrap_or_default().replace('\n', " ")));
        frame.render_widget(Paragraph::new(below), keys);
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

    fn lines(&self) -> Vec<Line<'static>> {
        let lang = self.lang();
        let mut lines = Vec::new();
        let mut push = |text: &str, style: Style| {
            lines.extend(text.lines().map(|l| Line::from(Span::styled(l.to_owned(), style))))
        };
        if let Some(text) = self.trouble.as_ref().or(self.compiler.as_ref()) {
            push(text, Style::new());
        }
        for (check, took) in &self.passed {
            let (title, took) = (title(self.step, check, lang), took.as_secs_f64());
            push(
                &tr!(lang, "ok    {title} ({took:.1} s)", "合格  {title} ({took:.1} 秒)"),
                Style::new().fg(Color::Green),
            );
        }
        if let Some(red) = &self.red {
            let text = learner::failure(self.step, &Red { log: Vec::new(), ..red.clone() }, lang, self.hint.is_some());
            push(&text, Style::new());
        }
        if let Some(hint) = &self.hint {
            push("", Style::new());
            push(hint, Style::new().fg(Color::Cyan));
        }
        if self.green.is_some() {
            push(&tr!(lang, "n: go on to the next step", "n: 次のステップに進みます"), Style::new());
        }
        lines
    }
}

/// Waits for a key, and says whether it was y.
fn answer() -> bool {
    loop {
        if let Ok(Input::Key(key)) = event::read()
            && key.kind != KeyEventKind::Release
        {
            return key.code == KeyCode::Char('y');
        }
    }
}

fn polling(lang: Lang) -> String {
    tr!(
        lang,
        "No file events here: the folder is looked at every second.",
        "ファイルの変更通知を使えないため、1 秒ごとにフォルダを調べます。"
    )
}

/// Without the compiler's colours.
fn plain(text: &str) -> String {
    let mut result = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' {
            letters.by_ref().find(|letter| letter.is_ascii_alphabetic());
        } else {
            result.push(letter);
        }
    }
    result
}
