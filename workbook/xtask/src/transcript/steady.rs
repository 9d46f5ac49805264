//! What differs from run to run, made steady: it looks as it might have looked, and is the same every time.
//!
//! - PIDs: 4001, 4002, ... in the order in which the processes began. A number is taken for a PID only where PIDs stand: in the
//!   prefix of a log line, after "PID" or "process", in a column `pid` of psql's or of `ps`.
//! - Times: a clock that begins at nine, goes on by about two seconds with each command, by what a command sleeps, and by
//!   milliseconds with each line of the log that is shown. So it shows the order of the lines, whatever the clock said.
//! - Transaction IDs in columns whose name has xid, xmin or xmax; positions in the WAL.
//! - Lines that say only that somebody else was waited for, or that something was fetched, are left out.
//! - Paths, ports, the name of the superuser, durations.

use cluster::failure::Result;
use cluster::log;
use cluster::throwaway::SUPERUSER;
use regex::{Captures, Regex};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The superuser's name, as it is shown.
const READER: &str = "reader";

/// The port, as it is shown.
const PORT: &str = "28818";

/// A regular expression of ours; a test compiles each of them.
fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"))
}

macro_rules! regexes {
    ($($name:ident = $pattern:expr;)*) => {
        $(static $name: LazyLock<Regex> = LazyLock::new(|| regex($pattern));)*
    };
}

regexes! {
    LOG_LINE = r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) UTC \[(\d+)\] (?:.*?: |)([A-Z0-9]+):  ";
    TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?( UTC|\+00)";
    WATCH = r"^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4} \(every (\d+)s\)$";
    IN_BRACKETS = r"^(\s*\S+ \S+ UTC \[)(\d+)(\])";
    NAMED_PID = r"(\bPID |\bprocess |\bpid )(\d+)";
    PS = r"^(\s*?)( *\d+)( +\d+)? (postgres: |[a-z_]\S* +[A-Z]\S* )";
    PS_HEADER = r"^(\s*?)( *PID)( +PPID)? (USER|COMMAND|STAT|CMD)";
    EXPANDED = r"^(pid|leader_pid) +\| (\d+)$";
    RULE = r"^ *-[-+]*$";
    LSN = r"\b[0-9A-F]{1,8}/[0-9A-F]{6,8}\b";
    COMPILER = r"on \S+, compiled by .*?, 64-bit";
    WAITED = r"^(Another set-up of this workbook is running\. Waiting for it|    Blocking waiting for file lock on|  source of PostgreSQL \d+: )";
    IO_WORKER = r"(postgres: io worker )\d+";
    AFTER = r"\(after \d+ s, ";
    ANY_PORT = r"(\bport |-p |\.s\.PGSQL\.)\d{4,5}\b";
    CHECKOUT = r"bgworkbook/[0-9a-f]{8}\b";
    ELAPSED = r"^(\s*(?:\d+ +){2}\S+ +)[RSD]([<N]?)(\S* +)\d\d:\d\d ";
}

/// Lines that belong to the line before them, and have its time.
const BELOW: [&str; 7] = ["DETAIL", "HINT", "QUERY", "CONTEXT", "LOCATION", "STATEMENT", "BACKTRACE"];

/// The output of a command.
pub struct Block {
    pub lines: Vec<String>,
    /// Lines of the log with these texts are shown last.
    pub last: Vec<String>,
    /// Lines of the log are shown in the order of their text.
    pub sorted: bool,
}

enum Line {
    Kept(String),
    Block { block: Block, window: usize },
}

/// What begins with a command that is shown, and ends with the next one.
pub struct Window {
    /// How long the logs were when it began.
    lengths: BTreeMap<String, usize>,
    began: SystemTime,
    /// How many seconds the command sleeps.
    pause: u64,
}

/// A line that was waited for.
pub struct Found {
    file: String,
    offset: usize,
    written: Option<SystemTime>,
}

/// The place of a line in a log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    file: String,
    offset: usize,
}

/// What stands for something that differs from run to run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pid,
    Xid,
    Role,
}

/// Everything that a transcript shows, as it was printed.
pub struct Record {
    /// What is replaced by what: longer ones first.
    names: Vec<(String, String)>,
    lines: Vec<Line>,
    logs: BTreeMap<String, String>,
    windows: Vec<Window>,
    gaps: HashMap<(String, usize), u64>,
    pid_columns: Vec<String>,
    /// A PID that was given out before all that are shown.
    first_pid: i64,
}

impl Record {
    pub fn new(names: Vec<(String, String)>, first_pid: i64) -> Self {
        Self {
            first_pid,
            names,
            lines: Vec::new(),
            logs: BTreeMap::new(),
            windows: vec![Window { lengths: BTreeMap::new(), began: UNIX_EPOCH, pause: 0 }],
            gaps: HashMap::new(),
            pid_columns: ["pid", "ppid", "leader_pid", "pg_backend_pid", "launch"].map(str::to_owned).to_vec(),
        }
    }

    /// A further column of tables that holds PIDs.
    pub fn pid_column(&mut self, name: &str) {
        self.pid_columns.push(name.to_owned());
    }

    /// A line that is shown as it is.
    pub fn keep(&mut self, line: &str) {
        self.lines.push(Line::Kept(line.to_owned()));
    }

    /// A command is about to be typed.
    pub fn next_window(&mut self, logs: Vec<(String, String)>, pause: u64) {
        self.logs.extend(logs); // a log that is gone by now is remembered
        let lengths = self.logs.iter().map(|(name, text)| (name.clone(), text.len())).collect();
        self.windows.push(Window { lengths, began: SystemTime::now(), pause });
    }

    /// The output of the command.
    pub fn block(&mut self, mut block: Block, logs: Vec<(String, String)>) {
        block.lines.retain(|line| !WAITED.is_match(line));
        self.lines.push(Line::Block { block, window: self.windows.len() - 1 });
        self.logs.extend(logs);
    }

    /// What a log has got since the command was typed.
    fn new_lines<'a>(&self, name: &str, log: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
        let start = self.windows.last().and_then(|window| window.lengths.get(name)).copied().unwrap_or(0);
        let mut offset = start;
        log.get(start..).unwrap_or_default().split_inclusive('\n').map(move |line| {
            let at = offset;
            offset += line.len();
            (at, line.trim_end())
        })
    }

    /// The first line with this text since the command was typed.
    pub fn find(&self, logs: &[(String, String)], text: &str) -> Option<Found> {
        let mut all = logs.iter().flat_map(|(name, log)| self.new_lines(name, log).map(move |it| (name, it)));
        all.find(|(_, (_, line))| line.contains(text)).map(|(name, (offset, line))| Found {
            file: name.clone(),
            offset,
            written: log::written(line),
        })
    }

    /// The lines of the server's log with this text since the command was typed, with what belongs to them.
    pub fn new_log_lines(&self, logs: &[(String, String)], text: &str) -> Vec<String> {
        let mut shown = Vec::new();
        let mut inside = false;
        for (name, log) in logs.iter().filter(|(name, _)| name == "18.log") {
            for (_, line) in self.new_lines(name, log) {
                inside = if line.starts_with('\t') { inside } else { line.contains(text) };
                if inside {
                    shown.push(line.to_owned());
                }
            }
        }
        shown
    }

    /// This line of a log came so many seconds after the command; it is shown so.
    pub fn gap(&mut self, found: Found, seconds: u64) -> Result<()> {
        let began = self.windows.last().map_or(UNIX_EPOCH, |window| window.began);
        let written = found.written.ok_or("this line has no time at its beginning")?;
        let took = written.duration_since(began).unwrap_or_default();
        if took + Duration::from_millis(300) < Duration::from_secs(seconds) {
            return Err(format!("it came after {} ms already, not after {seconds} s", took.as_millis()).into());
        }
        self.gaps.insert((found.file, found.offset), seconds);
        Ok(())
    }

    /// The transcript.
    pub fn finish(&mut self, logs: Vec<(String, String)>) -> Result<String> {
        self.logs.extend(logs);
        let mut positions = self.positions();
        self.order(&mut positions)?;
        let clock = self.clock(&positions)?;
        let numbers = self.numbers();
        let mut text = String::new();
        for line in &self.lines {
            match line {
                Line::Kept(line) => text.push_str(&format!("{line}\n")),
                Line::Block { block, window } => {
                    for line in self.steady(block, *window, &positions, &clock, &numbers)? {
                        text.push_str(&format!("{}\n", line.trim_end()));
                    }
                }
            }
        }
        Ok(text)
    }

    /// Where each line of the logs stands. A line that belongs to another has that one's place.
    fn positions(&self) -> HashMap<String, Position> {
        let mut positions = HashMap::new();
        for (file, log) in &self.logs {
            let (mut offset, mut main) = (0, HashMap::new());
            for line in log.split_inclusive('\n') {
                if let Some(parts) = LOG_LINE.captures(line) {
                    let pid = parts[2].to_owned();
                    let at = if BELOW.contains(&&parts[3]) { *main.get(&pid).unwrap_or(&offset) } else { offset };
                    main.insert(pid, at);
                    positions.insert(line.trim_end().into(), Position { file: file.clone(), offset: at });
                }
                offset += line.len();
            }
        }
        positions
    }

    /// Moves lines of the log to the end of those around them. Their places in the log are exchanged with it.
    fn order(&mut self, positions: &mut HashMap<String, Position>) -> Result<()> {
        for line in &mut self.lines {
            let Line::Block { block, .. } = line else { continue };
            if block.last.is_empty() && !block.sorted {
                continue;
            }
            let rank = |line: &String| {
                let last = block.last.iter().position(|text| line.contains(text)).map_or(0, |at| at + 1);
                let text = line.split_once("] ").filter(|_| block.sorted).map(|(_, text)| text.to_owned());
                (last, text)
            };
            let of_log = |line: &String| LOG_LINE.is_match(line.trim_start());
            for lines in block.lines.chunk_by_mut(|a, b| of_log(a) && of_log(b)) {
                let place = |line: &String| positions.get(line.trim_start()).cloned();
                let mut places: Vec<_> = lines.iter().filter_map(place).collect();
                places.sort();
                lines.sort_by_key(rank);
                for (line, place) in lines.iter().zip(places) {
                    positions.insert(line.trim_start().to_owned(), place);
                }
            }
        }
        Ok(())
    }

    /// The time of each line of the logs that is shown, and of each window, in milliseconds since nine. A line comes shortly before
    /// the command that first shows it, or one that was written later: when it was written, between which commands, is not certain.
    fn clock(&self, positions: &HashMap<String, Position>) -> Result<Clock> {
        let mut shown = BTreeMap::new();
        let mut watched = vec![0; self.windows.len()];
        for line in &self.lines {
            let Line::Block { block, window } = line else { continue };
            for line in &block.lines {
                if LOG_LINE.is_match(line.trim_start()) {
                    let place = positions.get(line.trim_start());
                    let place = place.ok_or_else(|| format!("no log has this line: {line}"))?;
                    shown.entry(place.clone()).or_insert(*window);
                }
                if let Some(parts) = WATCH.captures(line) {
                    watched[*window] += parts[1].parse::<u64>().unwrap_or(1);
                }
            }
        }
        let mut earliest: Option<(&str, usize)> = None;
        let mut of_window = vec![Vec::new(); self.windows.len()];
        for (place, window) in shown.iter().rev() {
            let window = match earliest {
                Some((file, window_below)) if file == place.file => window_below.min(*window),
                _ => *window,
            };
            earliest = Some((&place.file, window));
            of_window[window].push(place.clone());
        }
        let mut clock = Clock::default();
        let mut now = 412;
        for (number, (window, mut places)) in self.windows.iter().zip(of_window).enumerate() {
            let count = number as u64;
            places.sort();
            for (index, place) in places.into_iter().enumerate() {
                let gap = self.gaps.get(&(place.file.clone(), place.offset)).copied().unwrap_or(0);
                now += gap * 1000 + 2 + (count + index as u64) * 7 % 5;
                clock.lines.insert(place, now);
            }
            now += 1400 + count * 379 % 900;
            clock.windows.push(now);
            now += (window.pause + watched[number]) * 1000 + 31;
        }
        Ok(clock)
    }

    /// The steady numbers of what is numbered.
    fn numbers(&self) -> Numbers {
        let (mut pids, mut xids, mut positions) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for line in &self.lines {
            let Line::Block { block, .. } = line else { continue };
            self.rewrite(&block.lines, &mut |kind, text| {
                if let Ok(number) = text.parse::<i64>() {
                    match kind {
                        Kind::Pid if number > 1 => {
                            pids.insert(number);
                        }
                        Kind::Xid => {
                            xids.insert(number);
                        }
                        _ => {}
                    }
                }
                text.to_owned()
            });
            for found in block.lines.iter().flat_map(|line| LSN.find_iter(line)) {
                positions.insert(lsn(found.as_str()));
            }
        }
        // After the largest PID the kernel begins again with small ones.
        let largest =
            std::fs::read_to_string("/proc/sys/kernel/pid_max").ok().and_then(|text| text.trim().parse().ok());
        let mut pids: Vec<i64> = pids.into_iter().collect();
        pids.sort_by_key(|pid| (pid - self.first_pid).rem_euclid(largest.unwrap_or(1 << 22)));
        Numbers {
            pids: pids.into_iter().zip(4001..).collect(),
            xids: xids.into_iter().zip(751..).collect(),
            lsns: positions.into_iter().zip((0..).map(|n| 0x195_3A28 + n * 0x98)).collect(),
        }
    }

    /// One command's output.
    fn steady(
        &self,
        block: &Block,
        window: usize,
        positions: &HashMap<String, Position>,
        clock: &Clock,
        numbers: &Numbers,
    ) -> Result<Vec<String>> {
        let begin = clock.windows.get(window).copied().unwrap_or(0);
        let before = window.checked_sub(1).and_then(|window| clock.windows.get(window)).copied().unwrap_or(0);
        let (mut watched, mut io_workers) = (0, 0);
        let mut lines = Vec::new();
        for line in &block.lines {
            let time = positions.get(line.trim_start()).and_then(|place| clock.lines.get(place)).copied();
            let mut first = true;
            let text = TIME.replace_all(line, |parts: &Captures| {
                let log = std::mem::take(&mut first);
                let at = time.map_or(begin, |time| if log { time } else { before });
                let zone = &parts[2];
                match parts.get(1) {
                    Some(fraction) => {
                        let more = "271828".get(..fraction.len().saturating_sub(4)).unwrap_or_default();
                        format!("{}.{:03}{more}{zone}", shown_time(at), at % 1000)
                    }
                    None => format!("{}{zone}", shown_time(at)),
                }
            });
            let text = WATCH.replace(&text, |parts: &Captures| {
                let at = begin + watched * 1000 * parts[1].parse::<u64>().unwrap_or(1);
                watched += 1;
                format!("Thu Jan  1 {} 2026 (every {}s)", &shown_time(at)[11..], &parts[1])
            });
            let text = COMPILER.replace(&text, "on x86_64-pc-linux-gnu, compiled by gcc, 64-bit");
            let text = AFTER.replace(&text, "(after 2 s, ");
            // Whether it was niced (`<`, `N`) is not the worker's matter either.
            let text = ELAPSED.replace(&text, |parts: &Captures| {
                format!("{}S{}{}00:00 ", &parts[1], &parts[3], " ".repeat(parts[2].len()))
            });
            // Which of them gets which number is a matter of chance.
            let text = IO_WORKER.replace(&text, |parts: &Captures| {
                io_workers += 1;
                format!("{}{}", &parts[1], io_workers - 1)
            });
            let text = ANY_PORT.replace_all(&text, format!("${{1}}{PORT}"));
            let mut text = LSN
                .replace_all(&text, |parts: &Captures| {
                    numbers.lsns.get(&lsn(&parts[0])).map_or_else(|| parts[0].to_owned(), |n| format!("0/{n:08X}"))
                })
                .into_owned();
            for (real, name) in &self.names {
                text = text.replace(real, name);
            }
            let text = CHECKOUT.replace_all(&text, "bgworkbook/634102c4").into_owned();
            lines.push(text);
        }
        Ok(self.rewrite(&lines, &mut |kind, text| {
            let number = text.parse::<i64>().unwrap_or_default();
            match kind {
                Kind::Pid => numbers.pids.get(&number).map_or_else(|| text.to_owned(), i64::to_string),
                Kind::Xid => numbers.xids.get(&number).map_or_else(|| text.to_owned(), i64::to_string),
                Kind::Role if text == SUPERUSER || text == "nobody" || Some(text) == user().as_deref() => READER.into(),
                Kind::Role => text.to_owned(),
            }
        }))
    }

    /// Rewrites what stands where such things stand.
    fn rewrite(&self, lines: &[String], new: &mut dyn FnMut(Kind, &str) -> String) -> Vec<String> {
        let mut lines: Vec<String> = lines.iter().map(|line| rewrite_line(line, new)).collect();
        let rules: Vec<_> = (1..lines.len()).filter(|number| RULE.is_match(&lines[*number])).collect();
        for rule in rules {
            self.rewrite_table(&mut lines, rule, new);
        }
        lines
    }

    /// Rewrites a table of psql's, whose rule is this line: the columns become as wide as psql would make them.
    fn rewrite_table(&self, lines: &mut [String], rule: usize, new: &mut dyn FnMut(Kind, &str) -> String) {
        let indent = lines[rule].len() - lines[rule].trim_start().len();
        let widths: Vec<usize> = lines[rule].trim_start().split('+').map(str::len).collect();
        let cells = |line: &str| -> Vec<String> {
            let mut chars = line.chars().skip(indent);
            let take = |width: &usize| chars.by_ref().take(width + 1).collect::<String>();
            widths.iter().map(take).map(|cell| cell.strip_suffix('|').unwrap_or(&cell).to_owned()).collect()
        };
        let header = cells(&lines[rule - 1]);
        let rows = lines[rule + 1..].iter().take_while(|line| !line.trim().is_empty() && !line.trim().starts_with('('));
        let mut table: Vec<Vec<String>> = rows.map(|line| cells(line)).collect();
        let mut new_widths = widths.clone();
        for (column, name) in header.iter().enumerate() {
            let name = name.trim();
            let kind = if self.pid_columns.iter().any(|known| known == name) {
                Kind::Pid
            } else if ["xid", "xmin", "xmax"].iter().any(|part| name.contains(part)) {
                Kind::Xid
            } else if ["usename", "role", "rolname", "Owner", "current_user", "session_user"].contains(&name) {
                Kind::Role
            } else {
                continue;
            };
            let mut widest = name.chars().count();
            for row in &mut table {
                let Some(cell) = row.get_mut(column) else { continue };
                *cell = new(kind, cell.trim());
                widest = widest.max(cell.chars().count());
            }
            new_widths[column] = widest + 2;
            let right = kind != Kind::Role;
            for cell in table.iter_mut().filter_map(|row| row.get_mut(column)) {
                *cell = if right { format!(" {cell:>widest$} ") } else { format!(" {cell:<widest$} ") };
            }
        }
        let join = |cells: Vec<String>, between: &str| {
            format!("{}{}", " ".repeat(indent), cells.join(between)).trim_end().to_owned()
        };
        let centred = |(name, width): (&String, &usize)| format!("{:^width$}", name.trim());
        lines[rule - 1] = join(header.iter().zip(&new_widths).map(centred).collect(), "|");
        lines[rule] = join(new_widths.iter().map(|width| "-".repeat(*width)).collect(), "+");
        for (line, row) in lines[rule + 1..].iter_mut().zip(table) {
            let padded = row.iter().zip(&new_widths).map(|(cell, width)| format!("{cell:<width$}"));
            *line = join(padded.collect(), "|");
        }
    }
}

fn rewrite_line(line: &str, new: &mut dyn FnMut(Kind, &str) -> String) -> String {
    let text = IN_BRACKETS
        .replace(line, |parts: &Captures| format!("{}{}{}", &parts[1], new(Kind::Pid, &parts[2]), &parts[3]));
    let text = NAMED_PID.replace_all(&text, |parts: &Captures| format!("{}{}", &parts[1], new(Kind::Pid, &parts[2])));
    let text = EXPANDED.replace(&text, |parts: &Captures| parts[0].replace(&parts[2], &new(Kind::Pid, &parts[2])));
    // The columns of ps are as wide as the largest PID that the machine can have.
    let text = PS_HEADER.replace(&text, |parts: &Captures| {
        format!("{}{}    PID{} {}", &parts[1], "", parts.get(3).map_or("", |_| "    PPID"), &parts[4])
    });
    let text = PS.replace(&text, |parts: &Captures| {
        let first = new(Kind::Pid, parts[2].trim());
        let second = parts.get(3).map_or(String::new(), |it| format!(" {:>7}", new(Kind::Pid, it.as_str().trim())));
        let rest = match parts[4].split_once(' ') {
            Some((user, rest)) if user != "postgres:" => format!("{:<8} {}", new(Kind::Role, user), rest.trim_start()),
            _ => parts[4].to_owned(),
        };
        format!("{}{first:>7}{second} {rest}", &parts[1])
    });
    text.into_owned()
}

/// What the numbers of this run have become.
struct Numbers {
    pids: HashMap<i64, i64>,
    xids: HashMap<i64, i64>,
    lsns: HashMap<u64, u64>,
}

/// When everything happens, as it is shown.
#[derive(Default)]
struct Clock {
    windows: Vec<u64>,
    lines: HashMap<Position, u64>,
}

/// A time of the day that begins at nine.
fn shown_time(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    format!("2026-01-01 {:02}:{:02}:{:02}", 9 + seconds / 3600, seconds / 60 % 60, seconds % 60)
}

fn lsn(text: &str) -> u64 {
    let (high, low) = text.split_once('/').unwrap_or(("0", text));
    let number = |text: &str| u64::from_str_radix(text, 16).unwrap_or_default();
    number(high) << 32 | number(low)
}

/// The name of who runs this, which is the superuser's where the scripts have made the cluster.
fn user() -> Option<String> {
    let out = std::process::Command::new("id").arg("-un").output().ok()?;
    Some(String::from_utf8(out.stdout).ok()?.trim().to_owned())
}
