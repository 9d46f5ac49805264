//! Other people's programs: run with their output in a log, while the reader sees how long it takes.

use crate::{Lang, tr};
use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Where the output of programs goes, and the language in which the reader is told.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The log of everything that is run.
    pub log: PathBuf,
    /// The reader's language.
    pub lang: Lang,
}

impl Progress {
    /// Runs a program to its end. On a terminal one line says how long it has taken; elsewhere a line comes every 20 s.
    ///
    /// # Errors
    /// The last lines of what it has printed, or why it could not be started.
    pub fn run(&self, label: &str, command: &mut Command) -> Result<(), String> {
        let start = File::create(&self.log).and_then(|log| Ok((log.try_clone()?, log)));
        let (out, err) = start.map_err(|error| format!("{}: {error}", self.log.display()))?;
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .map_err(|error| format!("{program}: {error}"))?;
        let (ended, wait) = channel();
        let begin = Instant::now();
        thread::spawn(move || ended.send(child.wait()));
        let terminal = io::stdout().is_terminal();
        let lang = self.lang;
        let line = |seconds: u64| tr!(lang, "  {label}: {seconds} s", "  {label}: {seconds} 秒");
        let status = loop {
            match wait.recv_timeout(Duration::from_secs(1)) {
                Ok(status) => break status,
                Err(RecvTimeoutError::Timeout) => {
                    let seconds = begin.elapsed().as_secs();
                    if terminal {
                        print!("\r\x1b[K{}", line(seconds));
                        io::stdout().flush().ok();
                    } else if seconds.is_multiple_of(20) {
                        println!("{}", line(seconds));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Err(format!("{program}: lost")),
            }
        };
        if terminal {
            print!("\r\x1b[K");
        }
        match status {
            Ok(status) if status.success() => {
                let seconds = begin.elapsed().as_secs();
                println!("{}", tr!(lang, "  {label}: done in {seconds} s", "  {label}: 完了 ({seconds} 秒)"));
                Ok(())
            }
            Ok(_) => Err(last_lines(&self.log)),
            Err(error) => Err(format!("{program}: {error}")),
        }
    }
}

/// What a program prints, without its last line end.
///
/// # Errors
/// What it has said, or why it could not be started.
pub fn output(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let out = command.stdin(Stdio::null()).output().map_err(|error| format!("{program}: {error}"))?;
    if !out.status.success() {
        return Err(String::from_utf8_lossy(if out.stderr.is_empty() { &out.stdout } else { &out.stderr })
            .trim()
            .into());
    }
    Ok(String::from_utf8_lossy(&out.stdout).trim_end().to_owned())
}

/// Is there such a program in PATH?
pub fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// The end of a log, or what apt and pip mark as errors in it: what matters when a program has failed.
fn last_lines(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let is_error = |line: &&str| line.starts_with("E: ") || line.starts_with("ERROR: ");
    let mut errors: Vec<&str> = lines.iter().copied().filter(is_error).take(2).collect();
    if errors.is_empty() {
        errors = lines[lines.len().saturating_sub(6)..].to_vec();
    }
    errors.join("\n")
}
