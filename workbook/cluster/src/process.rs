//! Processes: the table of them through `ps`, the same picture that the reader can make, and what a program prints.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// A row of the process table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its process id.
    pub pid: u32,
    /// Its parent's.
    pub parent: u32,
    /// What it calls itself: PostgreSQL's processes put their title here.
    pub title: String,
}

/// All processes that live. Zombies do not: where process 1 buries no orphans, they stay for ever.
pub fn all() -> Vec<Process> {
    let Ok(out) = Command::new("ps").args(["-A", "-ww", "-o", "stat=,pid=,ppid=,args="]).output() else {
        return Vec::new();
    };
    String::from_utf8_lossy(&out.stdout).lines().filter_map(parse).collect()
}

fn parse(line: &str) -> Option<Process> {
    let (state, rest) = line.trim().split_once(char::is_whitespace)?;
    if state.starts_with('Z') {
        return None;
    }
    let (pid, rest) = rest.trim_start().split_once(char::is_whitespace)?;
    let (parent, title) = rest.trim_start().split_once(char::is_whitespace)?;
    Some(Process { pid: pid.parse().ok()?, parent: parent.parse().ok()?, title: title.trim().to_string() })
}

/// The living workers of a step below a postmaster, among the rows of [`all`]. PostgreSQL titles them `postgres: ` and the worker's name.
pub fn workers(all: &[Process], postmaster: u32, step: &str) -> Vec<Process> {
    let prefix = format!("postgres: {step}");
    all.iter().filter(|p| p.parent == postmaster && p.title.starts_with(&prefix)).cloned().collect()
}

/// The postmaster of this data directory, if it lives. Which process may be taken for it the scripts know, so that there is one rule.
pub fn server_of(root: &Path, data: &Path) -> Option<u32> {
    let mut bash = Command::new("bash");
    bash.args(["-c", ". \"$1/scripts/lib/common.sh\"; server_pid \"$2\"", "server_of"]).arg(root).arg(data);
    let out = bash.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    String::from_utf8_lossy(&out.stdout).trim().parse().ok()
}

/// The rows as `ps` prints them, with the header.
pub fn table(pids: &[u32]) -> String {
    let list = pids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    match Command::new("ps").args(["-ww", "-o", "pid,ppid,user,stat,etime,args", "-p", &list]).output() {
        Ok(out) => String::from_utf8_lossy(&out.stdout).into_owned(),
        Err(error) => format!("ps: {error}\n"),
    }
}

/// What a program prints, piece by piece, as it comes: a wait for it can have a limit.
pub fn output(mut reader: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, output) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        // A terminal whose program has ended gives an error, a pipe gives nothing.
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            if sender.send(buffer[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_ps() {
        assert_eq!(
            parse("Ss     312   301 postgres: step1_registration worker 1  "),
            Some(Process { pid: 312, parent: 301, title: "postgres: step1_registration worker 1".into() })
        );
        assert_eq!(parse("S      2     0 [kthreadd]").map(|p| p.parent), Some(0));
        assert_eq!(parse("Zs     312   301 [postgres] <defunct>"), None);
        assert_eq!(parse("nonsense"), None);
    }
}
