//! Transcripts: what the book shows of a shell, of psql and of the server log, executed again on every test run.
//!
//! A transcript is a `.console` file as the book shows it. Its commands are taken from it, from behind the prompts; they are run on
//! a throw-away cluster, and what is printed takes the place of what stood there. What differs from run to run, PIDs and times
//! above all, is replaced by steady values (see [`steady`]). So a transcript that is true comes out as it went in.
//!
//! | A line | is |
//! |---|---|
//! | `$ command`, `> rest of it` | typed into a shell, always the same one; it knows what `scripts/env` would set |
//! | `postgres=# SQL`, `postgres-# rest` | typed into psql, a real one on a terminal of its own; another database, another psql |
//! | `# ANCHOR: name`, `# ANCHOR_END: name` | what the book includes |
//! | `# ANCHOR:_ directive` | for the runner; mdBook leaves every line with an anchor out |
//! | any other | output, written by the runner |
//!
//! | Directive | means |
//! |---|---|
//! | `long` | only with WORKBOOK_LONG=1: for one that prints nothing |
//! | `note text` | nothing |
//! | `set name = value` | a line of postgresql.conf, before the server starts |
//! | `variant name` | the library is that of `variants/<name>.patch` |
//! | `scripts` | no cluster: those that the scripts make, not in the reader's place, are used, for `scripts/...` |
//! | `do $ command`, `do shop=# SQL` | done, and not shown |
//! | `type shop=# SQL` | typed into the psql that is shown, and not shown |
//! | `hold`, `hold text` | stops the step's workers, or the one whose title has this text, while they sleep |
//! | `release`, `release text` | lets them go on |
//! | `wait $ command`, `wait shop=# SQL` | waits until the command succeeds, or the query answers true |
//! | `wait log text`, `wait 5s log text` | waits for a line in the log since the last command; it must have come 5 s after it |
//! | `meanwhile $ command` | runs beside the next command, and ends before the one after it |
//! | `log`, `log text` | shows what the log has got since the last command: lines with this text |
//! | `last text` | lines of the log in the next output whose moment is not certain: those with this text are shown last |
//! | `sorted` | in the next output, lines of the log are in no certain order: they are shown in that of their text |
//! | `later` | the next output does not come here |
//! | `output`, `output text` | but here, from the line on that begins so |
//! | `terminal name` | further psql prompts are those of another window |
//! | `reconnect` | closes every psql |
//! | `pid column` | this column of tables holds PIDs, as `pid` does |

mod session;
mod steady;

use cluster::failure::Result;
use cluster::throwaway::{Installation, SUPERUSER, Throwaway, gone, limit, run, signal, status};
use course::build_dir::{self, BuildDir, Shell};
use course::variant::Variant;
use session::Session;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use steady::{Block, Record};
use tempfile::TempDir;

/// The transcripts are those of this major; others say some things differently.
const MAJOR: u16 = 18;

/// How long to wait before looking again for something that sends no message.
const TICK: Duration = Duration::from_millis(20);

/// Where a command is typed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Shell,
    /// In psql, in this database.
    Psql(String),
}

/// A command, wherever it is typed.
#[derive(Clone, Debug)]
struct Typed {
    place: Place,
    lines: Vec<String>,
}

#[derive(Clone, Debug)]
enum Directive {
    Note,
    Long,
    Set(String),
    Variant(String),
    Scripts,
    Do(Typed),
    Type(Typed),
    Hold(String),
    Release(String),
    Wait(Typed),
    WaitLog { seconds: Option<u64>, text: String },
    Meanwhile(String),
    Log(String),
    Last(String),
    Sorted,
    Later,
    Output(String),
    Terminal(String),
    Reconnect,
    Pid(String),
}

/// A line of a transcript, or a command of several.
#[derive(Clone, Debug)]
enum Entry {
    Anchor(String),
    Directive(String, Directive),
    Command(Typed),
}

/// Splits what is typed into its place and the text; `None` if there is no prompt.
fn prompted(line: &str) -> Option<(Place, &str)> {
    if let Some(command) = line.strip_prefix("$ ") {
        return Some((Place::Shell, command));
    }
    let (database, rest) = line.split_once('=')?;
    let rest = rest.trim_start_matches(['*', '!', '?']);
    let sql = rest.strip_prefix("# ").or_else(|| rest.strip_prefix("> "))?;
    let word = !database.is_empty() && database.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    word.then(|| (Place::Psql(database.to_owned()), sql))
}

/// The rest of a command that goes over several lines.
fn continued<'a>(place: &Place, line: &'a str) -> Option<&'a str> {
    match place {
        Place::Shell => line.strip_prefix("> "),
        Place::Psql(database) => {
            let rest = line.strip_prefix(database.as_str())?.strip_prefix(['-', '*', '\'', '"', '$', '('])?;
            let rest = rest.trim_start_matches(['*', '!', '?']);
            rest.strip_prefix("# ").or_else(|| rest.strip_prefix("> "))
        }
    }
}

impl Typed {
    fn of(text: &str) -> Result<Self> {
        let (place, rest) = prompted(text).ok_or(format!("neither \"$ ...\" nor \"database=# ...\": {text}"))?;
        Ok(Self { place, lines: vec![rest.to_owned()] })
    }

    fn text(&self) -> String {
        self.lines.join("\n")
    }
}

impl Directive {
    fn of(text: &str) -> Result<Self> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let rest = rest.trim();
        Ok(match word {
            "note" => Self::Note,
            "long" => Self::Long,
            "set" => Self::Set(rest.into()),
            "variant" => Self::Variant(rest.into()),
            "scripts" => Self::Scripts,
            "do" => Self::Do(Typed::of(rest)?),
            "type" => Self::Type(Typed::of(rest)?),
            "hold" => Self::Hold(rest.into()),
            "release" => Self::Release(rest.into()),
            "wait" => {
                let (seconds, what) = match rest.split_once("s log ") {
                    Some((number, text)) if number.chars().all(|c| c.is_ascii_digit()) => {
                        (Some(number.parse()?), Some(text))
                    }
                    _ => (None, rest.strip_prefix("log ")),
                };
                match what {
                    Some(text) => Self::WaitLog { seconds, text: text.into() },
                    None => Self::Wait(Typed::of(rest)?),
                }
            }
            "meanwhile" => Self::Meanwhile(rest.strip_prefix("$ ").ok_or("meanwhile $ command")?.into()),
            "log" => Self::Log(rest.into()),
            "sorted" => Self::Sorted,
            "last" => Self::Last(rest.into()),
            "later" => Self::Later,
            "output" => Self::Output(rest.into()),
            "terminal" => Self::Terminal(rest.into()),
            "reconnect" => Self::Reconnect,
            "pid" => Self::Pid(rest.into()),
            _ => return Err(format!("no such directive: {text}").into()),
        })
    }
}

/// What is to be done; the output that stands there is left out.
fn parse(text: &str) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let place = |error: cluster::failure::Failure| format!("line {}: {error}", number + 1);
        if let Some(directive) = line.strip_prefix("# ANCHOR:_ ") {
            entries.push(Entry::Directive(line.into(), Directive::of(directive).map_err(place)?));
        } else if line.starts_with("# ANCHOR: ") || line.starts_with("# ANCHOR_END: ") {
            entries.push(Entry::Anchor(line.into()));
        } else if let Some((place, first)) = prompted(line) {
            let mut typed = Typed { place, lines: vec![first.to_owned()] };
            while let Some(rest) = lines.peek().and_then(|(_, line)| continued(&typed.place, line)) {
                typed.lines.push(rest.to_owned());
                lines.next();
            }
            entries.push(Entry::Command(typed));
        } else if !entries.iter().any(|entry| matches!(entry, Entry::Command(_) | Entry::Directive(_, _))) {
            return Err(format!("line {}: output without a command: {line}", number + 1).into());
        }
    }
    Ok(entries)
}

/// Where the libraries of the steps come from.
pub struct Stage {
    root: PathBuf,
    steps: Built,
    variants: Built,
}

/// What has been installed, by step and variant. The lock is held while building: two builds at once would only share a processor.
type Built = Mutex<HashMap<(String, String), Arc<Installation>>>;

impl Stage {
    /// The stage of this checkout.
    pub fn new(root: &Path) -> Self {
        Self { root: root.into(), steps: Built::default(), variants: Built::default() }
    }

    /// A private PostgreSQL with the step in it, or with a variant of it. It is kept until its sources change.
    fn installation(&self, step: &str, variant: &str) -> Result<Arc<Installation>> {
        let built = if variant.is_empty() { &self.steps } else { &self.variants };
        let mut built = built.lock().map_err(|error| error.to_string())?;
        let key = (step.to_owned(), variant.to_owned());
        if let Some(found) = built.get(&key) {
            return Ok(found.clone());
        }
        let shell = Shell::of(&self.root, step)?;
        let original = shell.installation()?;
        if original.major != MAJOR {
            return Err(format!("the transcripts are those of PostgreSQL {MAJOR}; this is {}", original.version).into());
        }
        let folder = shell.scratch()?.join("transcripts").join(format!("{step}-{variant}"));
        let patch = self.root.join("steps").join(step).join("variants").join(format!("{variant}.patch"));
        let made_of = self.made_of(step, (!variant.is_empty()).then_some(patch.as_path()), &original)?;
        let (made, note) = (folder.join("pg").join(original.major.to_string()), folder.join("made-of"));
        let installation = if made.is_dir() && fs::read_to_string(&note).ok().as_ref() == Some(&made_of) {
            Installation::of(&made.join("bin/pg_config"))?
        } else {
            let _ = fs::remove_file(&note);
            let installation = if variant.is_empty() {
                let copy = original.copy_to(&folder)?;
                build_dir::install(&shell, step, &self.root.join("steps").join(step), &copy, None)?;
                copy
            } else {
                let build_dir = BuildDir::open(&self.root, &shell, "transcripts")?;
                let source = build_dir.copy(step, &folder)?;
                Variant::named(&self.root, step, variant)?.apply(&source)?;
                let copy = original.copy_to(&folder)?;
                build_dir.install(&shell, step, &source, &copy)?;
                copy
            };
            fs::write(note, made_of)?;
            installation
        };
        let installation = Arc::new(installation);
        built.insert(key, installation.clone());
        Ok(installation)
    }

    /// A sum of all that makes a difference to the library.
    fn made_of(&self, step: &str, patch: Option<&Path>, original: &Installation) -> Result<String> {
        let folder = self.root.join("steps").join(step);
        let built = fs::metadata(original.bin.join("postgres"))?;
        let mut hash = Sha256::new();
        hash.update(format!("{original:?} {} {:?}", built.len(), built.modified()?));
        let mut files: Vec<_> =
            ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml"].map(|name| self.root.join(name)).into();
        for folder in [folder.join("src"), folder] {
            let entries = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
            files.extend(entries.collect::<std::io::Result<Vec<_>>>()?.into_iter().filter(|path| path.is_file()));
        }
        files.extend(patch.map(Path::to_owned));
        files.sort();
        for file in files {
            hash.update(format!("{}\n", file.display()));
            hash.update(fs::read(file)?);
        }
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// Is this one played only when there is much time?
pub fn is_long(text: &str) -> bool {
    text.lines().any(|line| line == "# ANCHOR:_ long")
}

/// Plays a transcript of a step, and returns it as it comes out.
pub fn play(stage: &Stage, step: &str, text: &str) -> Result<String> {
    let entries = parse(text)?;
    let mut play = Play::new(stage, step, &entries)?;
    for entry in &entries {
        play.entry(entry).map_err(|error| match entry {
            Entry::Command(typed) => play.failure(&format!("{}\n{error}", typed.text())),
            Entry::Anchor(line) | Entry::Directive(line, _) => play.failure(&format!("{line}\n{error}")),
        })?;
    }
    play.finish()
}

/// Where a transcript is played.
enum Ground {
    Cluster(Box<Throwaway>),
    /// Where the clusters of `scripts/...` are.
    Homes(TempDir),
}

struct Play<'a> {
    stage: &'a Stage,
    step: &'a str,
    ground: Ground,
    /// The environment of what is typed.
    environment: Vec<(&'static str, String)>,
    psql: PathBuf,
    shell: Session,
    /// Every open psql, with the name of its window.
    clients: Vec<(String, Session)>,
    terminal: String,
    meanwhile: Option<Session>,
    /// What is shown last in the next output.
    last: Vec<String>,
    sorted: bool,
    /// Output that comes later: `Some(None)` until there is some.
    later: Option<Option<String>>,
    record: Record,
}

impl<'a> Play<'a> {
    fn new(stage: &'a Stage, step: &'a str, entries: &[Entry]) -> Result<Self> {
        let directives =
            || entries.iter().filter_map(|entry| if let Entry::Directive(_, it) = entry { Some(it) } else { None });
        let short = step.split('_').next().unwrap_or(step);
        let mut environment = vec![
            ("LC_ALL", "C.UTF-8".to_owned()),
            ("TZ", "UTC".to_owned()),
            ("WORKBOOK_LANG", "en".to_owned()),
            ("PSQLRC", "/dev/null".to_owned()),
            ("PSQL_PAGER", "cat".to_owned()),
            ("PSQL_HISTORY", "/dev/null".to_owned()),
            ("CARGO_TERM_COLOR", "never".to_owned()),
            ("NO_COLOR", "1".to_owned()),
            ("COLUMNS", "400".to_owned()),
        ];
        let mut earlier = Command::new("true").spawn()?;
        let first_pid = earlier.id().into();
        earlier.wait()?;
        let (ground, psql, record) = if directives().any(|it| matches!(it, Directive::Scripts)) {
            let homes = tempfile::Builder::new().prefix("wb").rand_bytes(4).tempdir_in("/var/tmp")?;
            run(Command::new("chmod").arg("755").arg(homes.path()))?;
            environment.push(("WORKBOOK_HOMES", homes.path().display().to_string()));
            let known = Shell::of(&stage.root, step)?.value("${WORKBOOK_PG_CONFIG%/*/*/*/*/*}")?;
            let cache = "/home/reader/.cache/bgworkbook";
            let record = Record::new(
                vec![
                    (homes.path().display().to_string(), format!("{cache}/634102c4")),
                    (known, cache.into()),
                    (stage.root.display().to_string(), "/home/reader/workbook".into()),
                ],
                first_pid,
            );
            (Ground::Homes(homes), PathBuf::new(), record)
        } else {
            let variant = directives().find_map(|it| if let Directive::Variant(name) = it { Some(name) } else { None });
            let installation = stage.installation(step, variant.map_or("", String::as_str))?;
            let cluster = Throwaway::new(&installation, &[&format!("shared_preload_libraries = '{step}'")])?;
            for directive in directives() {
                if let Directive::Set(line) = directive {
                    cluster.configure(&[line])?;
                }
            }
            let home = cluster.data().parent().ok_or("no folder above the data")?.to_owned();
            // The names that a PGRX_HOME has.
            for (file, name) in [("data", "data-18"), ("log", "18.log")] {
                std::os::unix::fs::symlink(file, home.join(name))?;
            }
            let pg_config = installation.bin.join("pg_config");
            environment.extend([
                ("PGRX_HOME", home.display().to_string()),
                ("PGUSER", SUPERUSER.to_owned()),
                (
                    "PSQL",
                    format!(
                        "{} -X -h {} -p 5432 -d postgres -Atc",
                        installation.bin.join("psql").display(),
                        home.display()
                    ),
                ),
                ("WORKBOOK_ROOT", stage.root.display().to_string()),
                ("WORKBOOK_STEP", step.to_owned()),
                ("WORKBOOK_PORT", "5432".to_owned()),
                ("WORKBOOK_PG_CONFIG", pg_config.display().to_string()),
                ("WORKBOOK_PG_MAJOR", installation.major.to_string()),
            ]);
            let prefix = installation.bin.parent().ok_or("no folder above bin")?.display().to_string();
            let cache = "/home/reader/.cache/bgworkbook/634102c4";
            let record = Record::new(
                vec![
                    (prefix, format!("{cache}/pg/18")),
                    (home.join("data").display().to_string(), format!("{cache}/{short}/data-18")),
                    (home.display().to_string(), format!("{cache}/{short}")),
                    (stage.root.display().to_string(), "/home/reader/workbook".into()),
                ],
                first_pid,
            );
            (Ground::Cluster(Box::new(cluster)), installation.bin.join("psql"), record)
        };
        let mut bash = Command::new("bash");
        bash.args(["--noprofile", "--norc"]);
        prepare(&mut bash, &stage.root, &environment);
        let mut shell = Session::shell(bash)?;
        if let Ground::Homes(_) = ground {
            shell.patience = limit() * 10; // the scripts build, and cargo waits for others
        }
        // Tables and ps are in the order of PIDs. Soon after the largest PID come the smallest ones again: then we get that over.
        shell.shell_command(
            "while sleep 0 & wait $! && [ $! -gt $(($(cat /proc/sys/kernel/pid_max) - 4000)) ]; do :; done",
        )?;
        let play = Self {
            stage,
            step,
            ground,
            environment,
            psql,
            shell,
            clients: Vec::new(),
            terminal: String::new(),
            meanwhile: None,
            last: Vec::new(),
            sorted: false,
            later: None,
            record,
        };
        if let Ground::Cluster(cluster) = &play.ground {
            cluster.start()?;
        }
        Ok(play)
    }

    fn entry(&mut self, entry: &Entry) -> Result<()> {
        match entry {
            Entry::Anchor(line) => self.record.keep(line),
            Entry::Directive(line, directive) => {
                self.record.keep(line);
                self.directive(directive)?;
            }
            Entry::Command(typed) => {
                let logs = self.logs();
                self.record.next_window(logs, pause(&typed.text()));
                let printed = self.typed(typed, true)?;
                if let Some(beside) = self.meanwhile.take() {
                    beside.end(limit() * 2)?;
                }
                match self.later {
                    Some(None) => self.later = Some(Some(printed)),
                    _ => self.show(&printed),
                }
            }
        }
        Ok(())
    }

    fn directive(&mut self, directive: &Directive) -> Result<()> {
        match directive {
            Directive::Note | Directive::Long | Directive::Set(_) | Directive::Variant(_) | Directive::Scripts => {}
            Directive::Do(typed) => match &typed.place {
                Place::Shell => drop(self.typed(typed, false)?),
                Place::Psql(database) => self.ask(database, |client| Ok(client.batch_execute(&typed.text())?))?,
            },
            Directive::Type(typed) => drop(self.typed(typed, false)?),
            Directive::Hold(text) => self.hold(text)?,
            Directive::Release(text) => {
                for pid in self.workers(text)? {
                    signal(pid, "CONT")?;
                }
            }
            Directive::Wait(typed) => self.wait(typed)?,
            Directive::WaitLog { seconds, text } => self.wait_log(*seconds, text)?,
            Directive::Meanwhile(command) => {
                let mut bash = Command::new("bash");
                bash.args(["--noprofile", "--norc", "-c", command]);
                prepare(&mut bash, &self.stage.root, &self.environment);
                bash.env("PATH", self.path());
                self.meanwhile = Some(Session::background(bash)?);
            }
            Directive::Log(text) => {
                let lines = self.record.new_log_lines(&self.logs(), text);
                if lines.is_empty() {
                    return Err(format!("the log has no new line with \"{text}\"").into());
                }
                self.show(&lines.join("\n"));
            }
            Directive::Sorted => self.sorted = true,
            Directive::Last(text) => self.last.push(text.clone()),
            Directive::Later => self.later = Some(None),
            Directive::Output(text) => {
                let printed = self.later.take().flatten().ok_or("there is no output that was to come later")?;
                let start = printed.lines().position(|line| line.starts_with(text.as_str()));
                let start = start.ok_or_else(|| format!("no line begins so: {printed}"))?;
                self.show(&printed.lines().skip(start).collect::<Vec<_>>().join("\n"));
            }
            Directive::Terminal(name) => self.terminal.clone_from(name),
            Directive::Reconnect => {
                for (_, client) in self.clients.drain(..) {
                    let pid = client.backend();
                    drop(client);
                    until("the connection's end", || Ok(pid.is_none_or(gone)))?;
                }
            }
            Directive::Pid(column) => self.record.pid_column(column),
        }
        Ok(())
    }

    /// Types a command, and returns what is printed. The lines typed are recorded, if they are shown.
    fn typed(&mut self, typed: &Typed, shown: bool) -> Result<String> {
        match &typed.place {
            Place::Shell => {
                if shown {
                    for (number, line) in typed.lines.iter().enumerate() {
                        self.record.keep(&format!("{}{line}", if number == 0 { "$ " } else { "> " }));
                    }
                }
                let (printed, status) = self.shell.shell_command(&typed.text())?;
                if status != "0" && (!shown || self.later.is_some()) {
                    return Err(format!("nobody would see that it fails with {status}: {printed}").into());
                }
                Ok(printed)
            }
            Place::Psql(database) => {
                let terminal = self.terminal.clone();
                let known = self
                    .clients
                    .iter()
                    .position(|(name, client)| *name == terminal && client.prompt.starts_with(&format!("{database}=")));
                let index = match known {
                    Some(index) => index,
                    None => {
                        let Ground::Cluster(cluster) = &self.ground else {
                            return Err("there is no cluster to connect to".into());
                        };
                        let mut psql = Command::new(&self.psql);
                        psql.args(["-X", "-n", "-P", "pager=off", "-v", "PROMPT1=%/%R%x%# \u{2}"]);
                        psql.args(["-v", "PROMPT2=%/%R%x%# \u{2}", "-p", "5432", "-d", database, "-h"]);
                        psql.arg(cluster.data().parent().ok_or("no folder above the data")?);
                        prepare(&mut psql, &self.stage.root, &self.environment);
                        self.clients.push((terminal, Session::psql(psql)?));
                        self.clients.len() - 1
                    }
                };
                let client = &mut self.clients[index].1;
                let mut printed = String::new();
                for line in &typed.lines {
                    if shown {
                        self.record.keep(&format!("{}{line}", client.prompt));
                    }
                    printed.push_str(&client.psql_line(line)?);
                }
                if client.prompt.split_once('=').is_none() {
                    return Err(format!("psql waits for more after this: {}{printed}", client.prompt).into());
                }
                Ok(printed)
            }
        }
    }

    /// Records output: without blanks at the ends of lines, and without blank lines at its end.
    fn show(&mut self, printed: &str) {
        let lines = printed.trim_end().lines().map(|line| line.trim_end().to_owned()).collect();
        let last = std::mem::take(&mut self.last);
        let logs = self.logs();
        let sorted = std::mem::take(&mut self.sorted);
        self.record.block(Block { lines, last, sorted }, logs);
    }

    fn path(&self) -> String {
        std::env::var("PATH").unwrap_or_default()
    }

    /// A connection of our own for something that is not shown. When this returns, the server has no trace of it.
    fn ask<T>(&self, database: &str, mut what: impl FnMut(&mut postgres::Client) -> Result<T>) -> Result<T> {
        let Ground::Cluster(cluster) = &self.ground else { return Err("there is no cluster to ask".into()) };
        let mut client = cluster.connect(database)?;
        let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[])?.get(0);
        let answer = what(&mut client);
        drop(client);
        until("the connection's end", || Ok(gone(pid)))?;
        answer
    }

    /// The workers whose title has this text.
    fn workers(&self, text: &str) -> Result<Vec<i32>> {
        let Ground::Cluster(cluster) = &self.ground else { return Err("there is no cluster".into()) };
        let found: Vec<_> =
            cluster.processes(self.step).into_iter().filter(|(_, title)| title.contains(text)).collect();
        if found.is_empty() {
            return Err(format!("there is no worker \"{text}\"").into());
        }
        Ok(found.into_iter().map(|(pid, _)| pid).collect())
    }

    /// Stops workers at the beginning of their sleep: nobody must be stopped who holds a lock. SIGUSR1 sets a worker's latch, so it
    /// goes round once, and sleeps again.
    fn hold(&self, text: &str) -> Result<()> {
        for pid in self.workers(text)? {
            let stat = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if stat().contains(") T ") {
                continue; // held already
            }
            let switches = || status(pid, "voluntary_ctxt_switches").ok();
            let before = switches();
            signal(pid, "USR1")?;
            let (mut last, mut same) = (before.clone(), 0);
            until(&format!("worker {pid} asleep"), || {
                let now = switches();
                same = if now == last && now != before && stat().contains(") S ") { same + 1 } else { 0 };
                last = now;
                Ok(same >= 5)
            })?;
            signal(pid, "STOP")?;
            until(&format!("worker {pid} stopped"), || Ok(stat().contains(") T ")))?;
        }
        Ok(())
    }

    fn wait(&mut self, typed: &Typed) -> Result<()> {
        match &typed.place {
            Place::Shell => {
                let command = typed.text();
                until(&command, || {
                    let mut bash = Command::new("bash");
                    bash.args(["--noprofile", "--norc", "-c", &command]).stdout(Stdio::null()).stderr(Stdio::null());
                    prepare(&mut bash, &self.stage.root, &self.environment);
                    Ok(bash.stdin(Stdio::null()).status()?.success())
                })
            }
            Place::Psql(database) => self.ask(database, |client| {
                let sql = typed.text();
                until(&sql, || Ok(client.query_one(&sql, &[])?.get::<_, Option<bool>>(0) == Some(true)))
            }),
        }
    }

    fn wait_log(&mut self, seconds: Option<u64>, text: &str) -> Result<()> {
        let mut found = None;
        until(&format!("a line with \"{text}\" in the log"), || {
            let logs = self.logs();
            found = self.record.find(&logs, text);
            Ok(found.is_some())
        })?;
        if let (Some(found), Some(seconds)) = (found, seconds) {
            self.record.gap(found, seconds)?;
        }
        Ok(())
    }

    /// The logs as they are now, by the names of their files.
    fn logs(&self) -> Vec<(String, String)> {
        let folders = match &self.ground {
            Ground::Cluster(cluster) => cluster.data().parent().map(Path::to_owned).into_iter().collect(),
            Ground::Homes(homes) => {
                let short = self.step.split('_').next().unwrap_or(self.step);
                vec![homes.path().join(short)]
            }
        };
        let mut logs = Vec::new();
        for entry in folders.iter().flat_map(fs::read_dir).flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".log") {
                let bytes = fs::read(entry.path()).unwrap_or_default();
                logs.push((name, String::from_utf8_lossy(&bytes).into_owned()));
            }
        }
        logs.sort();
        logs
    }

    /// A failure with the last lines of every log.
    fn failure(&self, what: &str) -> cluster::failure::Failure {
        let mut text = what.to_owned();
        if let Ground::Cluster(cluster) = &self.ground {
            for (pid, title) in cluster.processes("") {
                text.push_str(&format!("\n    {pid} {title}"));
            }
        }
        for (name, log) in self.logs() {
            let lines: Vec<_> = log.lines().collect();
            text.push_str(&format!("\n{name} ends with:"));
            for line in &lines[lines.len().saturating_sub(20)..] {
                text.push_str(&format!("\n    {line}"));
            }
        }
        text.into()
    }

    fn finish(&mut self) -> Result<String> {
        let logs = self.logs();
        self.record.finish(logs)
    }
}

impl Drop for Play<'_> {
    /// Servers that the transcript itself has started are stopped. What was typed may hang, so the shell is not asked.
    fn drop(&mut self) {
        let folder = match &self.ground {
            Ground::Cluster(cluster) => cluster.data().parent().map(Path::to_owned),
            Ground::Homes(homes) => Some(homes.path().to_owned()),
        };
        let script = r#"
            for file in $(find "$0" -maxdepth 4 -name postmaster.pid ! -path "$0/data/*" 2> /dev/null); do
                pid=$(head -n 1 "$file")
                grep -qF "$0" "/proc/$pid/cmdline" || continue
                kill -QUIT "$pid"
                for tick in $(seq 100); do [ -e "$file" ] || break; sleep 0.05; done
            done"#;
        let mut sh = Command::new("sh");
        sh.args(["-c", script]).arg(folder.unwrap_or_default()).stdout(Stdio::null()).stderr(Stdio::null());
        let _ = sh.status();
    }
}

/// Nothing of the tester's own settings must be seen.
fn prepare(command: &mut Command, root: &Path, environment: &[(&'static str, String)]) {
    for (key, _) in std::env::vars_os() {
        let name = key.to_string_lossy();
        if name.starts_with("PG") || name.starts_with("WORKBOOK") || name.starts_with("CARGO_PKG") {
            command.env_remove(key);
        }
    }
    command.env_remove("RUST_BACKTRACE").env_remove("CARGO_MANIFEST_DIR").env_remove("LD_LIBRARY_PATH");
    command.current_dir(root).envs(environment.iter().map(|(key, value)| (key, value)));
}

/// Asks again and again until it is so.
fn until(what: &str, mut ask: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + limit();
    while !ask()? {
        if Instant::now() >= end {
            return Err(format!("not within {:?}: {what}", limit()).into());
        }
        std::thread::sleep(TICK);
    }
    Ok(())
}

/// How many seconds a command sleeps, by what it says.
fn pause(command: &str) -> u64 {
    let number = |text: &str| -> u64 {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or_default()
    };
    let shell = command.strip_prefix("sleep ").map(number);
    let sql = command.split_once("SELECT pg_sleep(").map(|(_, rest)| number(rest));
    shell.or(sql).unwrap_or_default()
}
