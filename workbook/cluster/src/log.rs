//! Reading the server's log: who has started, who has ended, and why the server does not start.

use crate::messages::Message;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// A place in a growing log file. Only what comes after it is looked at.
#[derive(Clone, Debug)]
pub struct Log {
    path: PathBuf,
    from: u64,
}

impl Log {
    /// The log from its present end on.
    pub fn from_end(path: &Path) -> Self {
        Log { path: path.to_path_buf(), from: std::fs::metadata(path).map_or(0, |m| m.len()) }
    }

    /// Everything that has been written since, in whole lines.
    pub fn lines(&self) -> Vec<String> {
        let mut bytes = Vec::new();
        if let Ok(mut file) = File::open(&self.path) {
            // An unreadable log reads as an empty one: the callers then report that nothing was seen.
            let _ = file.seek(SeekFrom::Start(self.from)).and_then(|_| file.read_to_end(&mut bytes));
        }
        let text = String::from_utf8_lossy(&bytes);
        text.lines().map(str::to_string).collect()
    }

    /// The last `n` of these lines.
    pub fn tail(&self, n: usize) -> Vec<String> {
        let lines = self.lines();
        lines[lines.len().saturating_sub(n)..].to_vec()
    }
}

/// When a line was written: it begins so where `log_line_prefix` is `%m [%p] `.
pub fn written(line: &str) -> Option<std::time::SystemTime> {
    let format = "[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3] UTC";
    let format = time::format_description::parse_borrowed::<2>(format).ok()?;
    Some(time::UtcDateTime::parse(line.get(..27)?, &format).ok()?.into())
}

/// The worker's process id and name, if the line is a worker's report of being ready:
/// `<time> [<pid>] LOG:  step1_registration worker 1: started`, and whatever it wants to add after a blank. `worker_spi` has
/// PostgreSQL's words for it: `worker_spi worker 1 initialized with schema1.counted`.
pub fn started(line: &str, step: &str) -> Option<(u32, String)> {
    let (before, message) = line.split_once("LOG:  ")?;
    let (name, more) = message.split_once(": started").or_else(|| message.split_once(" initialized with"))?;
    let number = name.strip_prefix(step)?.strip_prefix(" worker ")?;
    if !more.is_empty() && !more.starts_with(' ') {
        return None;
    }
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((pid_of(before)?, name.to_string()))
}

/// The process id in the line's prefix: `2026-01-01 00:00:00.000 UTC [123] `.
pub fn pid_of(line: &str) -> Option<u32> {
    line.split_once('[')?.1.split_once(']')?.0.parse().ok()
}

/// The end of a background worker as the postmaster logs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The worker's name (`bgw_name`).
    pub worker: String,
    /// Its process id.
    pub pid: u32,
    /// `exit code 1`, `signal 9: Killed`.
    pub how: Exit,
}

/// How a worker ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this exit code.
    Code(String),
    /// By this signal.
    Signal(String),
}

/// The end of a worker, if the line says so:
/// `LOG:  background worker "NAME" (PID 12) exited with exit code 1`, or `... was terminated by signal 11: Segmentation fault`.
pub fn ended(line: &str) -> Option<Ended> {
    let rest = line.split_once("background worker \"")?.1;
    let (worker, rest) = rest.split_once("\" (PID ")?;
    let (pid, rest) = rest.split_once(") ")?;
    let how = match rest.strip_prefix("exited with exit code ") {
        Some(code) => Exit::Code(code.trim().to_string()),
        None => Exit::Signal(rest.strip_prefix("was terminated by signal ")?.trim().to_string()),
    };
    Some(Ended { worker: worker.to_string(), pid: pid.parse().ok()?, how })
}

/// Why the server did not start, and what to do, as far as its log tells. `again` is the command that was typed.
pub fn why_not_started(lines: &[String], step: &str, port: u16, again: &str) -> (Message, Message) {
    let find = |needles: &[&str]| lines.iter().rev().find(|l| needles.iter().all(|n| l.contains(n)));
    let repeat = || Message::RunAgain(again.to_string());
    let fatal = |l: &String| l.split_once("FATAL:  ").map_or(l.as_str(), |(_, why)| why).to_string();
    if let Some(line) = find(&["could not access file \"", "No such file"]) {
        let library = line.split('"').nth(1).unwrap_or(step).to_string();
        (Message::LibraryGone(library), repeat())
    } else if let Some(line) = find(&["could not load library"])
        .or_else(|| find(&["incompatible library"]))
        .or_else(|| find(&["missing magic block"]))
    {
        (Message::LibraryUnfit(fatal(line)), repeat())
    } else if find(&["Address already in use"]).is_some() || find(&["could not create lock file", "exists"]).is_some() {
        (Message::PortTaken(port), repeat())
    } else if find(&["No space left on device"]).is_some() {
        (Message::DiskFull, Message::FreeDisk)
    } else if find(&["could not create shared memory segment"]).is_some()
        || find(&["could not map anonymous shared memory"]).is_some()
    {
        (Message::SharedMemory, Message::FreeDisk)
    } else if find(&["database files are incompatible with server"]).is_some() {
        (Message::ClusterUnfit, Message::Clean)
    } else {
        (Message::ServerDidNotStart, Message::FollowLog { step: step.to_string(), again: again.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_a_line_was_written() {
        use std::time::{Duration, UNIX_EPOCH};
        let line = "2024-02-29 23:59:59.987 UTC [321] LOG:  database system is shut down";
        assert_eq!(written(line), Some(UNIX_EPOCH + Duration::from_millis(1_709_251_199_987)));
        for line in ["", "\tFROM counted", "2023-02-29 23:59:59.987 UTC [321] LOG:  no such day"] {
            assert_eq!(written(line), None);
        }
    }

    #[test]
    fn a_worker_that_reports_itself() {
        let line = "2026-11-22 10:00:00.123 UTC [321] LOG:  step1_registration worker 1: started";
        assert_eq!(started(line, "step1_registration"), Some((321, "step1_registration worker 1".into())));
        assert_eq!(started(line, "step2_db_connection"), None);
        assert!(started(&format!("{line} with argument 1"), "step1_registration").is_some());
        assert_eq!(started(&format!("{line}x"), "step1_registration"), None);
        assert_eq!(started("… [3] LOG:  step1_registration worker 1: starting", "step1_registration"), None);
        assert_eq!(started("… [3] LOG:  step1_registration worker x: started", "step1_registration"), None);
        let line = "… [4] LOG:  worker_spi worker 1 initialized with schema1.counted";
        assert_eq!(started(line, "worker_spi"), Some((4, "worker_spi worker 1".into())));
    }

    #[test]
    fn a_worker_that_ended() {
        let line = "… [3] LOG:  background worker \"step1_registration worker 1\" (PID 12) exited with exit code 1";
        assert_eq!(
            ended(line),
            Some(Ended { worker: "step1_registration worker 1".into(), pid: 12, how: Exit::Code("1".into()) })
        );
        let line = "… [3] LOG:  background worker \"w\" (PID 12) was terminated by signal 11: Segmentation fault";
        assert_eq!(ended(line).map(|e| e.how), Some(Exit::Signal("11: Segmentation fault".into())));
        assert_eq!(ended("… [3] LOG:  database system is ready to accept connections"), None);
    }

    #[test]
    fn reasons_for_a_server_that_does_not_start() {
        let why = |line: &str| why_not_started(&[line.to_string()], "step1_registration", 5432, "scripts/run step1").0;
        assert_eq!(
            why("… [3] FATAL:  could not access file \"step9_gone\": No such file or directory"),
            Message::LibraryGone("step9_gone".into())
        );
        assert_eq!(
            why("… LOG:  could not bind IPv4 address \"127.0.0.1\": Address already in use"),
            Message::PortTaken(5432)
        );
        assert_eq!(
            why("… FATAL:  could not load library \"/x.so\": undefined symbol: y"),
            Message::LibraryUnfit("could not load library \"/x.so\": undefined symbol: y".into())
        );
        assert_eq!(why("… FATAL:  something new"), Message::ServerDidNotStart);
    }
}
