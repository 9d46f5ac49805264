//! A learner's whole way, in each language, in a copy of the checkout: `start`, `check` (red), `hint`, the holes filled in, `check`
//! (green), `next`, to the end of step 7. Only the holes' answers are typed. What was printed is compared with `tests/path/LANG.txt`;
//! `UPDATE_TRANSCRIPTS=1` writes it anew.

#[path = "path/steady.rs"]
mod steady;

use cluster::Lang;
use course::starter;
use course::step::{self, Step};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
use steady::steady;

struct Checkout {
    folder: tempfile::TempDir,
    target: String,
    original: PathBuf,
}

fn bash(script: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", script]);
    command
}

fn output(command: &mut Command) -> String {
    let out = command.output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&out.stderr));
    text
}

impl Checkout {
    /// A copy of the checkout with a cache of its own. What is compiled and installed already is taken over.
    fn new() -> Self {
        let original = cluster::checkout().to_path_buf();
        let folder = tempfile::Builder::new().prefix("bgwp").rand_bytes(4).tempdir_in("/var/tmp").unwrap();
        let script = r#"
            set -e; cd "$ORIGINAL"; chmod 755 "$T"
            real=$(. scripts/lib/common.sh; echo "$CACHE $HERE $(target_dir)")
            read -r cache here target <<< "$real"
            mkdir -p "$T/wb" "$T/c"
            tar --exclude=./target --exclude=./.git --exclude=./work --exclude=./book -cf - . | tar -C "$T/wb" -xf -
            cp --parents book/*/src/worker_spi.md "$T/wb" # named at the end of step 7
            ln -s "$cache/dl" "$T/c/dl"; ln -s "$cache/tools" "$T/c/tools"
            new=$(cd "$T/wb"; WORKBOOK_CACHE=$T/c; export WORKBOOK_CACHE; . scripts/lib/common.sh; echo "$HERE")
            mkdir -p "$new/pg"; cp -al "$here/pg/18" "$new/pg/18" 2> /dev/null || cp -a "$here/pg/18" "$new/pg/18"
            cp -a "$here"/*.libs "$new/" 2> /dev/null || true
            printf %s "$target""#;
        let target = output(bash(script).env("T", folder.path()).env("ORIGINAL", &original).env_remove("PG_CONFIG"));
        Self { folder, target, original }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("wb")
    }

    /// `cargo workbook ...`, with both of its outputs in one.
    fn command(&self, arguments: &str, lang: Lang) -> Command {
        let mut command = bash(&format!("exec \"$WORKBOOK\" {arguments} 2>&1"));
        command
            .current_dir(self.root())
            .env("WORKBOOK", env!("CARGO_BIN_EXE_workbook"))
            .env("CARGO_MANIFEST_DIR", self.root().join("workbook/cli"))
            .env("CARGO_TARGET_DIR", &self.target)
            .env("WORKBOOK_CACHE", self.folder.path().join("c"))
            .env("WORKBOOK_LANG", lang.name())
            .env_remove("PG_CONFIG")
            .env_remove("WORKBOOK_PG");
        command
    }

    /// Types the answers into all holes of a step.
    fn fill(&self, step: &Step) {
        let copy = step.copy(&self.root());
        for solution in starter::solutions(step).unwrap() {
            let file = copy.join(&solution.file);
            fs::write(&file, starter::type_in(&fs::read_to_string(&file).unwrap(), &solution)).unwrap();
        }
    }

    /// Types `cargo workbook ...`, and returns what is printed, and the exit code.
    fn type_in(&self, arguments: &str, lang: Lang) -> (String, i32) {
        let out = self.command(arguments, lang).output().unwrap();
        (String::from_utf8_lossy(&out.stdout).into_owned(), out.status.code().unwrap_or(-1))
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let _ = bash("scripts/run --stop")
            .current_dir(self.root())
            .env("WORKBOOK_CACHE", self.folder.path().join("c"))
            .output();
    }
}

fn walk(lang: Lang) {
    let checkout = Checkout::new();
    let steps = step::all(&checkout.root()).unwrap_or_else(|error| panic!("{}", error.show(lang)));
    let mut transcript = String::new();
    let mut command = |arguments: &str, expected: i32| {
        let (text, code) = checkout.type_in(arguments, lang);
        assert_eq!(code, expected, "cargo workbook {arguments}: {text}");
        transcript += &format!("$ cargo workbook {arguments}\n{}[{code}]\n\n", steady(&text));
    };
    command("start 1", 0);
    for (number, step) in steps.iter().enumerate() {
        command("check", 1);
        command("hint", 0);
        command("next", 2); // not yet
        let copy = step.copy(&checkout.root());
        if number == 0 {
            // Something that the compiler refuses, at the end of the second hole.
            let file = copy.join("src/lib.rs");
            let before = fs::read_to_string(&file).unwrap();
            let hole = &starter::open_holes(step, &copy)[1];
            let mut lines: Vec<_> = before.lines().collect();
            lines.insert(hole.lines.end() - 1, "    BackgroundWorker::wait_latch(Some(PAUSE));");
            fs::write(&file, lines.join("\n") + "\n").unwrap();
            command("check", 1);
            command("hint", 0);
            fs::write(&file, before).unwrap();
        }
        checkout.fill(step);
        command("check", 0);
        command("next", 0);
    }
    // What was green, and is something else now.
    let file = steps[6].copy(&checkout.root()).join("src/lib.rs");
    let before = fs::read_to_string(&file).unwrap();
    fs::write(&file, before.clone() + "// more\n").unwrap();
    command("next", 2);
    fs::write(&file, before).unwrap();
    command("list", 0);
    command("reset 1", 0);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/path/{}.txt", lang.name()));
    if std::env::var_os("UPDATE_TRANSCRIPTS").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, &transcript).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    let differs = expected.lines().zip(transcript.lines()).find(|(a, b)| a != b);
    assert!(
        expected == transcript,
        "{} is stale; the first difference: {differs:?}. If the new text is right: UPDATE_TRANSCRIPTS=1 cargo test -p workbook --test path",
        file.strip_prefix(&checkout.original).unwrap_or(&file).display()
    );
}

#[test]
fn from_start_to_end_in_english() {
    walk(Lang::En);
}

#[test]
fn from_start_to_end_in_japanese() {
    walk(Lang::Ja);
}

/// `goto` leaves a solved step where it is. What was changed since is kept aside, and the finished step takes its place.
#[test]
fn catching_up_loses_nothing() {
    let checkout = Checkout::new();
    let steps = step::all(&checkout.root()).unwrap_or_else(|error| panic!("{}", error.show(Lang::En)));
    let (copy, kept) = (steps[0].copy(&checkout.root()).join("src/lib.rs"), checkout.root().join("work/kept"));
    assert_eq!(checkout.type_in("start 1", Lang::En).1, 0);
    checkout.fill(&steps[0]);
    assert_eq!(checkout.type_in("check", Lang::En).1, 0);
    let solved = fs::read_to_string(&copy).unwrap();
    let (text, code) = checkout.type_in("goto 2", Lang::En);
    assert!(code == 0 && !kept.exists() && fs::read_to_string(&copy).unwrap() == solved, "{text}");

    let mine = solved + "// mine\n";
    fs::write(&copy, &mine).unwrap();
    let (text, code) = checkout.type_in("goto 2", Lang::En);
    assert_eq!(code, 0, "{text}");
    let folders: Vec<_> = fs::read_dir(&kept).unwrap().flatten().map(|entry| entry.path()).collect();
    let [folder] = &folders[..] else { panic!("{folders:?}") };
    assert_eq!(fs::read_to_string(folder.join("src/lib.rs")).unwrap(), mine);
    let shown = folder.strip_prefix(checkout.root()).unwrap().display();
    assert!(text.contains(&format!("What you had is kept in {shown}\n")), "{text}");
    assert!(!fs::read_to_string(&copy).unwrap().contains("// mine"));
    assert!(starter::open_holes(&steps[0], copy.parent().unwrap().parent().unwrap()).is_empty());
}

/// A program that goes on printing, and all that it has printed.
struct Running {
    child: Child,
    output: Receiver<Vec<u8>>,
    printed: Vec<u8>,
}

impl Running {
    fn new(child: Child, reader: impl Read + Send + 'static) -> Self {
        Self { child, output: cluster::process::output(reader), printed: Vec::new() }
    }

    /// Waits until this is to be seen in what was printed, as `look` shows it.
    fn wait_for(&mut self, words: &str, look: impl Fn(&[u8]) -> String) {
        let end = Instant::now() + Duration::from_secs(180);
        while !look(&self.printed).contains(words) {
            let left = end.saturating_duration_since(Instant::now());
            let more = self.output.recv_timeout(left);
            self.printed.extend(more.unwrap_or_else(|why| panic!("{words}: {why}: {}", look(&self.printed))));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Without a terminal, and where the system sends no events of files.
#[test]
fn watching_line_by_line() {
    let checkout = Checkout::new();
    let steps = step::all(&checkout.root()).unwrap_or_else(|error| panic!("{}", error.show(Lang::En)));
    assert_eq!(checkout.type_in("start 1", Lang::En).1, 0);
    let mut command = checkout.command("watch", Lang::En);
    let mut child = command.env("WORKBOOK_POLL", "1").stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let output = child.stdout.take().unwrap();
    let mut watch = Running::new(child, output);
    let text = |printed: &[u8]| String::from_utf8_lossy(printed).into_owned();
    watch.wait_for("the folder is looked at every second", text);
    watch.wait_for("  FAILED  The worker lives (alive)", text);
    checkout.fill(&steps[0]);
    watch.wait_for("-- saved: checking", text);
    watch.wait_for("All checks have passed", text);
}

/// On a terminal of 80 columns, and on a narrow one: the verdict, the keys, and the terminal as it was at the end.
#[test]
fn watching_on_a_screen() {
    let checkout = Checkout::new();
    let steps = step::all(&checkout.root()).unwrap_or_else(|error| panic!("{}", error.show(Lang::En)));
    assert_eq!(checkout.type_in("start 1", Lang::En).1, 0);
    let copy = steps[0].copy(&checkout.root()).join("src/lib.rs");
    let starter = fs::read_to_string(&copy).unwrap();
    for (lang, columns, [failed, passed, question, no_check]) in [
        (Lang::En, 80, ["FAILED: The worker lives", "all checks passed", "any other key: no", "failed in the last"]),
        (Lang::Ja, 40, ["不合格: ワーカーが動いている", "すべて合格", "ほかのキー: いいえ", "失敗したものは"]),
    ] {
        fs::write(&copy, &starter).unwrap();
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
        let theirs = File::options().read(true).write(true).open(name).unwrap();
        tcsetwinsize(&theirs, Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let mut command = checkout.command("watch", lang);
        command.stdin(theirs.try_clone().unwrap()).stdout(theirs.try_clone().unwrap()).stderr(theirs);
        let child = command.spawn().unwrap();
        drop(command); // it holds their end of the terminal
        let mut keys = File::from(ours);
        let mut watch = Running::new(child, keys.try_clone().unwrap());
        // Where a line ends depends on the width, and before a wide letter a place may stay empty there.
        let bare = |text: &str| text.replace([' ', '\n'], "");
        let look = |printed: &[u8]| {
            let mut terminal = vt100::Parser::new(24, columns, 0);
            terminal.process(printed);
            bare(&terminal.screen().contents())
        };
        let mut press = |key: &[u8]| keys.write_all(key).unwrap();
        watch.wait_for(&bare(failed), look);
        press(b"h");
        watch.wait_for("1/3", look);
        press(b"h");
        watch.wait_for("2/3", look);
        press(b"r");
        watch.wait_for(&bare(question), look);
        press(b"x");
        checkout.fill(&steps[0]);
        watch.wait_for(&bare(passed), look);
        press(b"h");
        watch.wait_for(&bare(no_check), look);
        press(b"q");
        watch.wait_for("\u{1b}[?1049l", |printed| String::from_utf8_lossy(printed).into_owned());
        assert!(watch.child.wait().unwrap().success());
    }
}

#[test]
fn a_worker_of_ones_own() {
    let checkout = Checkout::new();
    // The port comes from the name: a run that was killed, and has left its server, shall not be in the way of this one.
    let name = format!("my_worker_{}", std::process::id());
    let wanted = checkout.folder.path().join(&name);
    for (name, expected) in [("pg_worker", 2), ("MyWorker", 2), ("loop", 2), ("", 2)] {
        let (text, code) =
            checkout.type_in(&format!("new '{}'", checkout.folder.path().join(name).display()), Lang::En);
        assert_eq!(code, expected, "{name}: {text}");
    }
    let (text, code) = checkout.type_in("new inside", Lang::En);
    assert!(code == 2 && text.contains("is inside the workbook"), "{text}");
    let (text, code) = checkout.type_in(&format!("new {}", wanted.display()), Lang::En);
    assert_eq!(code, 0, "{text}");
    let (text, code) = checkout.type_in(&format!("new {}", wanted.display()), Lang::Ja);
    assert!(code == 2 && text.contains("すでに存在します"), "{text}");
    for entry in fs::read_dir(wanted.join("src")).unwrap().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap();
        assert!(!text.contains("step7") && !text.contains("Step7"), "{}", entry.path().display());
    }
    // What it prints is typed: it runs, and its tests pass. The dependencies are those that the workbook has compiled.
    let script = r#"
        set -e
        cd "$T/wb"; . scripts/env step7 --quiet
        mkdir -p "$TARGET/workshops/own/debug"
        for d in deps build .fingerprint; do cp -al "$TARGET/debug/$d" "$TARGET/workshops/own/debug/" 2> /dev/null || true; done
        rm -rf "$TARGET/workshops/own/debug/build" "$TARGET/workshops/own/debug/.fingerprint"
        cp -a "$TARGET/debug/build" "$TARGET/debug/.fingerprint" "$TARGET/workshops/own/debug/"
        export CARGO_TARGET_DIR=$TARGET/workshops/own
        cd "$WANTED"
        trap './run stop > /dev/null 2>&1 || true' EXIT # once more, where something above fails
        ./run < /dev/null
        PORT=$((28000 + $$ % 900)) ./run < /dev/null
        cargo pgrx test "pg$WORKBOOK_PG_MAJOR"
        ./run stop
        [ ! -e .run/data-*/postmaster.pid ]"#;
    let out = bash(script)
        .env("T", checkout.folder.path())
        .env("WANTED", &wanted)
        .env("TARGET", &checkout.target)
        .env("WORKBOOK_CACHE", checkout.folder.path().join("c"))
        .env_remove("PG_CONFIG")
        .env_remove("WORKBOOK_PG")
        .output()
        .unwrap();
    let _ = fs::remove_dir_all(Path::new(&checkout.target).join("workshops/own"));
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{text}");
    assert!(text.contains(&format!("{name} worker 1: started")) && text.contains("test result: ok."), "{text}");
}
