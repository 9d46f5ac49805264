//! The programs that a transcript types into: a shell, and psql on a terminal of its own.

use cluster::failure::Result;
use cluster::process;
use cluster::throwaway::limit;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, OptionalActions, OutputModes, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Ends every answer. psql's prompts contain it, and the shell prints it after each command.
const MARK: u8 = 2;

/// A program that is typed into.
pub struct Session {
    child: Child,
    input: Option<Box<dyn Write + Send>>,
    output: Receiver<Vec<u8>>,
    /// What has come after the last mark.
    rest: Vec<u8>,
    /// The prompt that waits for input.
    pub prompt: String,
    backend: Option<i32>,
    /// How long an answer may take.
    pub patience: Duration,
}

impl Session {
    /// A shell. Both of its outputs are one, as on a terminal.
    pub fn shell(mut command: Command) -> Result<Self> {
        let (reader, writer) = std::io::pipe()?;
        command.stdin(Stdio::piped()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
        let mut child = command.spawn()?;
        let input = child.stdin.take().ok_or("no input")?;
        Ok(Self::new(child, Some(Box::new(input)), reader))
    }

    /// A command that runs beside the others.
    pub fn background(mut command: Command) -> Result<Self> {
        let (reader, writer) = std::io::pipe()?;
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
        Ok(Self::new(command.spawn()?, None, reader))
    }

    /// psql, on a terminal that does not repeat what is typed.
    pub fn psql(mut command: Command) -> Result<Self> {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&ours)?;
        unlockpt(&ours)?;
        let name = ptsname(&ours, Vec::new())?.into_string()?;
        let theirs = File::options().read(true).write(true).open(name)?;
        let mut modes = tcgetattr(&theirs)?;
        modes.local_modes.remove(LocalModes::ECHO);
        modes.output_modes.remove(OutputModes::OPOST);
        tcsetattr(&theirs, OptionalActions::Now, &modes)?;
        command.stdin(theirs.try_clone()?).stdout(theirs.try_clone()?).stderr(theirs).process_group(0);
        let child = command.spawn()?;
        drop(command); // it holds their end of the terminal
        let ours = File::from(ours);
        let mut this = Self::new(child, Some(Box::new(ours.try_clone()?)), ours);
        this.answer()?; // its greeting
        let pid = this.psql_line("SELECT pg_backend_pid() \\g (format=unaligned tuples_only=on)")?;
        this.backend = pid.trim().parse().ok();
        Ok(this)
    }

    fn new(child: Child, input: Option<Box<dyn Write + Send>>, reader: impl Read + Send + 'static) -> Self {
        let output = process::output(reader);
        Self { child, input, output, rest: Vec::new(), prompt: String::new(), backend: None, patience: limit() * 3 }
    }

    /// The process ID of the server's process at the other end, if it is psql.
    pub fn backend(&self) -> Option<i32> {
        self.backend
    }

    /// Types a command into the shell, and returns what it prints, and its exit code.
    pub fn shell_command(&mut self, command: &str) -> Result<(String, String)> {
        self.send(&format!("{{ {command}\n}} < /dev/null\nprintf '\\{MARK:03o}%s\\{MARK:03o}' $?\n"))?;
        Ok((self.until_mark()?, self.until_mark()?))
    }

    /// Types a line into psql, and returns what it prints before the next prompt.
    pub fn psql_line(&mut self, line: &str) -> Result<String> {
        self.send(&format!("{line}\n"))?;
        self.answer()
    }

    fn send(&mut self, text: &str) -> Result<()> {
        let input = self.input.as_mut().ok_or("nothing can be typed")?;
        input.write_all(text.as_bytes())?;
        Ok(input.flush()?)
    }

    /// psql's answer: all before the last line, which is the next prompt.
    fn answer(&mut self) -> Result<String> {
        let text = self.until_mark()?;
        let (printed, prompt) = text.rsplit_once('\n').map_or(("", text.as_str()), |(a, b)| (a, b));
        self.prompt = prompt.to_owned();
        let printed = printed.to_owned();
        Ok(if printed.is_empty() { printed } else { printed + "\n" })
    }

    fn until_mark(&mut self) -> Result<String> {
        let end = Instant::now() + self.patience;
        loop {
            if let Some(at) = self.rest.iter().position(|byte| *byte == MARK) {
                let text = String::from_utf8_lossy(&self.rest[..at]).into_owned();
                self.rest.drain(..=at);
                return Ok(text);
            }
            match self.output.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.rest.extend(bytes),
                Err(error) => {
                    let why = match error {
                        RecvTimeoutError::Timeout => "there is no end to it",
                        RecvTimeoutError::Disconnected => "the program has ended",
                    };
                    return Err(format!("{why}; so far: {}", String::from_utf8_lossy(&self.rest)).into());
                }
            }
        }
    }

    /// Waits for the end of a command that runs beside the others. It must succeed.
    pub fn end(mut self, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                while let Ok(bytes) = self.output.recv_timeout(Duration::from_millis(100)) {
                    self.rest.extend(bytes);
                }
                let printed = String::from_utf8_lossy(&self.rest).into_owned();
                return if status.success() { Ok(()) } else { Err(format!("meanwhile: {status}: {printed}").into()) };
            }
            if Instant::now() > end {
                return Err(format!("what runs meanwhile has not ended within {limit:?}").into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
