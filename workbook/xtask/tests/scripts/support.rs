//! What the tests of the scripts share: a folder of their own, and commands whose status and output are compared with what is expected.

use std::fs;
use std::io::{Read, Seek};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A folder that is removed at the end, with the servers in it. It is short: it serves as a cache, and the cache holds sockets.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        remove_leftovers();
        let prefix = format!("bgwt.{}.", std::process::id());
        let place = Self(tempfile::Builder::new().prefix(&prefix).rand_bytes(3).tempdir_in("/var/tmp").unwrap());
        fs::set_permissions(place.0.path(), fs::Permissions::from_mode(0o755)).unwrap(); // as root, the server's user passes through
        place
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A file or folder in it, as a command line has it.
    pub fn at(&self, name: &str) -> String {
        self.path().join(name).display().to_string()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        clear_away(self.path());
    }
}

/// What a test that was killed has left: whoever made it has ended.
fn remove_leftovers() {
    for entry in fs::read_dir("/var/tmp").unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process =
            name.strip_prefix("bgwt.").and_then(|rest| rest.split_once('.')).map(|(process, _)| process.to_owned());
        if process.is_some_and(|process| !process.is_empty() && !Path::new("/proc").join(process).exists()) {
            clear_away(&entry.path());
        }
    }
}

/// Stops the servers in a folder, and removes what is in it.
fn clear_away(folder: &Path) {
    let stop = r#"for d in "$1"/*/*/{step*,worker_spi}/data-* "$1"/*/{step*,worker_spi}/data-* "$1"/pg*; do stop_server "$d"; done; rm -rf "$1""#;
    let _ = bash(&format!(". scripts/lib/common.sh; set +e; {stop}")).arg(folder).output();
}

/// Where a program is.
pub fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// A few lines of bash, in the checkout's folder. What follows are its arguments.
pub fn bash(script: &str) -> Command {
    let mut bash = Command::new("bash");
    bash.args(["-c", script, "bash"]).current_dir(root());
    bash
}

/// What a command that succeeds prints.
#[track_caller]
pub fn output(mut command: Command) -> String {
    let out = command.output().unwrap();
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// What a command has printed and how it has ended.
pub struct Seen {
    pub text: String,
    pub status: i32,
}

/// Runs it for at most so many seconds; then the status is 124.
pub fn run(command: &Command, seconds: u32) -> Seen {
    let mut log = tempfile::tempfile().unwrap();
    let mut timeout = Command::new(find("timeout").unwrap()); // the command may have another PATH
    timeout.args(["--kill-after=5", &seconds.to_string()]).arg(command.get_program()).args(command.get_args());
    timeout.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log.try_clone().unwrap());
    if let Some(folder) = command.get_current_dir() {
        timeout.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => timeout.env(name, value),
            None => timeout.env_remove(name),
        };
    }
    let status = timeout.status().unwrap().code().unwrap_or(-1);
    let mut text = Vec::new();
    log.rewind().unwrap();
    log.read_to_end(&mut text).unwrap();
    Seen { text: String::from_utf8_lossy(&text).into_owned(), status }
}

/// The command ends with this status within a minute, and its output has each text; one that begins with `!` must not be there.
#[track_caller]
pub fn expect(what: &str, command: &Command, status: i32, texts: &[&str]) -> Seen {
    expect_within(60, what, command, status, texts)
}

/// The same, with another limit.
#[track_caller]
pub fn expect_within(seconds: u32, what: &str, command: &Command, status: i32, texts: &[&str]) -> Seen {
    let seen = run(command, seconds);
    let mut problems = Vec::new();
    if seen.status != status {
        problems.push(format!("status {}, expected {status}", seen.status));
    }
    for text in texts {
        match text.strip_prefix('!') {
            Some(text) if seen.text.contains(text) => problems.push(format!("there is: {text}")),
            None if !seen.text.contains(text) => problems.push(format!("missing: {text}")),
            _ => {}
        }
    }
    assert!(problems.is_empty(), "{what}: {}\n{}", problems.join("; "), seen.text);
    println!("ok  {what}");
    seen
}
