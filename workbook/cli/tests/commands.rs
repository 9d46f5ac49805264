//! What `cargo workbook` says where nothing has to be built: in a checkout of its own, with a record of progress made by the test.

#[path = "path/steady.rs"]
mod steady;

use cluster::Lang;
use course::starter::{self, Open};
use course::step::{self, Step};
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use steady::steady;
use workbook::progress::{FailedCheck, Progress};

struct Checkout {
    folder: tempfile::TempDir,
    steps: Vec<Arc<Step>>,
}

impl Checkout {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let original = cluster::checkout();
        for name in ["steps", "book", "Cargo.toml", "Cargo.lock"] {
            symlink(original.join(name), folder.path().join(name)).unwrap();
        }
        // An environment without a PostgreSQL: nothing is built here.
        let script = folder.path().join("scripts/lib/environment.sh");
        fs::create_dir_all(script.parent().unwrap()).unwrap();
        fs::write(&script, "#!/bin/sh\necho export PGRX_HOME=/nowhere CARGO_TARGET_DIR=/nowhere\n").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(folder.path().join("workbook/cli")).unwrap();
        let steps = step::all(folder.path()).unwrap_or_else(|error| panic!("{}", error.show(Lang::En)));
        Self { folder, steps }
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_workbook"));
        command.args(arguments).current_dir(self.root()).env("CARGO_MANIFEST_DIR", self.root().join("workbook/cli"));
        command.env("WORKBOOK_LANG", "en").stdin(Stdio::null());
        command
    }

    /// Types a command. Returns what it prints, and its exit code.
    fn type_in(&self, arguments: &str) -> (String, i32) {
        let out = self.command(&arguments.split_whitespace().collect::<Vec<_>>()).output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        (text, out.status.code().unwrap_or(-1))
    }

    /// The copy of the step with this number, with these holes open; the learner is at it.
    fn at(&self, number: usize, open: Open) -> (&Step, PathBuf) {
        let step = &self.steps[number - 1];
        let copy = step.copy(self.root());
        starter::write(step, open, &copy, Lang::En).unwrap();
        self.change(number, |record| record.started = 1);
        (step, copy)
    }

    fn change(&self, number: usize, change: impl FnOnce(&mut workbook::progress::Record)) {
        let name = &self.steps[number - 1].name;
        Progress::change(self.root(), |progress| {
            progress.current = Some(name.clone());
            change(progress.step(name));
        })
        .unwrap();
    }
}

/// Types a command where no file can grow beyond so many kilobytes: each place at which a disk can be full is among them. (No limit
/// stops root but one that the kernel sets.)
fn with_room(checkout: &Checkout, kilobytes: usize, arguments: &str) -> (String, i32) {
    let me = checkout.command(&[]);
    let mut bash = Command::new("bash");
    bash.args([
        "-c",
        &format!("trap '' XFSZ; ulimit -f {kilobytes}; exec \"$0\" {arguments} 2>&1"),
        env!("CARGO_BIN_EXE_workbook"),
    ]);
    bash.current_dir(checkout.root()).envs(me.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let out = bash.stdin(Stdio::null()).output().unwrap();
    (String::from_utf8_lossy(&out.stdout).into_owned(), out.status.code().unwrap_or(-1))
}

const ROOM: [usize; 10] = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256];

#[test]
fn on_a_full_disk_a_copy_stays_or_its_new_place_is_told() {
    for command in ["reset 1", "goto 2"] {
        let mut ends = BTreeSet::new();
        for kilobytes in ROOM {
            let checkout = Checkout::new();
            let (_, copy) = checkout.at(1, Open::All);
            // The record of progress is written last, and is to be larger than all else.
            checkout.change(2, |record| record.passed = vec!["x".repeat(200_000)]);
            checkout.change(1, |_| ());
            let mine = copy.join("src/lib.rs");
            fs::write(&mine, "// mine\n").unwrap();
            let (text, code) = with_room(&checkout, kilobytes, command);
            let kept = text.lines().find_map(|line| line.strip_prefix("What you had is kept in "));
            let place = kept.map_or(mine, |kept| checkout.root().join(kept).join("src/lib.rs"));
            assert_eq!(fs::read_to_string(place).unwrap_or_default(), "// mine\n", "{command}, {kilobytes} kB: {text}");
            assert!(copy.join("Cargo.toml").exists(), "{command}, {kilobytes} kB: there is no copy any more: {text}");
            ends.insert((kept.is_some(), code));
        }
        // It was refused before anything was moved; something failed after that; for `reset`, all was well.
        let expected: &[(bool, i32)] =
            if command == "goto 2" { &[(false, 3), (true, 3)] } else { &[(false, 3), (true, 0), (true, 3)] };
        assert_eq!(Vec::from_iter(ends), expected, "{command}");
    }
}

#[test]
fn what_a_full_disk_has_left_half_written_is_written_again() {
    for kilobytes in ROOM {
        let checkout = Checkout::new();
        with_room(&checkout, kilobytes, "start 1");
        if checkout.type_in("start 1").1 != 0 {
            assert_eq!(checkout.type_in("reset 1").1, 0);
        }
        let read = |name: &str| fs::read_to_string(checkout.root().join(name)).unwrap();
        assert!(read("work/Cargo.lock") == read("Cargo.lock"), "{kilobytes} kB");
        assert!(read("work/Cargo.toml").contains("step*"), "{kilobytes} kB");
    }
}

/// `check` used to send to `start`, which sent back to `check`, or to `reset`, which sent to `start`.
#[test]
fn a_copy_without_its_manifest_can_be_begun_anew() {
    let checkout = Checkout::new();
    let (text, code) = checkout.type_in("check 1");
    assert!(code == 2 && text.contains("there is no copy") && text.contains("cargo workbook start 1"), "{text}");
    let (_, copy) = checkout.at(1, Open::All);
    fs::remove_file(copy.join("Cargo.toml")).unwrap();
    fs::write(copy.join("src/lib.rs"), "// mine\n").unwrap();
    for (lang, words) in
        [("en", "there is no Cargo.toml in work/step1_registration"), ("ja", "work/step1_registration に Cargo.toml")]
    {
        for command in ["check", "watch", "run"] {
            let (text, code) = checkout.type_in(&format!("{command} 1 --lang {lang}"));
            assert!(code == 2 && text.contains(words) && text.contains("cargo workbook reset 1 "), "{text}");
        }
    }
    let (text, code) = checkout.type_in("reset 1 --lang en");
    assert_eq!(code, 0, "{text}");
    let kept = text.lines().find_map(|line| line.strip_prefix("What you had is kept in ")).unwrap();
    assert_eq!(fs::read_to_string(checkout.root().join(kept).join("src/lib.rs")).unwrap(), "// mine\n");
    assert!(copy.join("Cargo.toml").exists());
}

/// `hint` used to send back to `check`, which had sent to `hint`.
#[test]
fn after_an_error_of_the_compiler_the_hint_is_that_of_the_hole() {
    let checkout = Checkout::new();
    let (step, copy) = checkout.at(6, Open::All);
    let line = 1 + fs::read_to_string(copy.join("src/latch.rs"))
        .unwrap()
        .lines()
        .position(|l| l.contains("vvv HOLE sleep"))
        .unwrap();
    let error = format!("error[E0658]: attributes on expressions are experimental\n  --> src/latch.rs:{}:5", line + 4);
    checkout.change(6, |record| (record.checked, record.compiler) = (1, Some(error)));
    let of_hole = step.hint_for(&step.holes[1].red, &step.holes[1].says).unwrap();
    for (lang, levels, words) in [
        (
            "en",
            1,
            ["did not compile", "|| { check_for_interrupts!(); }", "rustc --explain E0658", "Hint for the hole sleep"],
        ),
        ("ja", 2, ["コンパイルできません", "|| { check_for_interrupts!(); }", "rustc --explain E0658", "穴 sleep"]),
    ] {
        let (text, code) = checkout.type_in(&format!("hint --lang {lang}"));
        assert_eq!(code, 0, "{text}");
        for word in words.iter().chain(&["src/latch.rs:", "cargo workbook check 6", &format!("{levels}/3  ")]) {
            assert!(text.contains(word), "{word}: {text}");
        }
        let question = of_hole.question.get(if lang == "en" { Lang::En } else { Lang::Ja });
        assert!(text.contains(question) && !text.contains(&format!("{}/3  ", levels + 1)), "{text}");
    }
}

/// `hint 1` is the hint of step 1; what shows more of it must not look like a level.
#[test]
fn a_hint_says_how_to_get_more_of_it() {
    let checkout = Checkout::new();
    checkout.at(1, Open::All);
    let failed = FailedCheck { check: checkout.steps[0].checks[0].id.to_owned(), hint: None };
    checkout.change(1, |record| (record.checked, record.failed) = (1, Some(failed)));
    let (text, _) = checkout.type_in("hint");
    assert!(text.contains("more: cargo workbook hint\n"), "{text}");
    checkout.at(2, Open::All);
    let (text, _) = checkout.type_in("hint 1");
    assert!(text.contains("2/3") && text.contains("more: cargo workbook hint step1\n"), "{text}");
    let (text, code) = checkout.type_in("hint");
    assert!(code == 2 && text.contains("has not been checked yet"), "{text}");
}

#[test]
fn a_pipe_that_nobody_reads_is_no_fault() {
    let checkout = Checkout::new();
    for arguments in [&["diff", "7"][..], &["list"], &["--help"], &["list", "--json"], &["solution", "3", "--give-up"]]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut child = checkout.command(arguments).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        let status = child.wait().unwrap();
        assert_eq!((said.as_str(), status.code()), ("", Some(141)), "{arguments:?}");
    }
}

#[test]
fn the_language_that_was_chosen_stays() {
    let checkout = Checkout::new();
    let japanese = |arguments: &str| checkout.type_in(arguments).0.contains("次の操作");
    assert!(!japanese("list"), "the locale's");
    assert!(japanese("list --lang ja") && japanese("list") && japanese("goto"));
    assert!(!checkout.type_in("--help").0.contains("Commands:"));
    assert!(!japanese("list --lang=en") && !japanese("list"));
    assert!(!japanese("list --lang=fr") && !japanese("list"), "no language of ours");
    // A record that cannot be read is a fault that is told in the language of the locale.
    fs::write(checkout.root().join("work/progress.json"), "{").unwrap();
    let (text, code) = checkout.type_in("list");
    assert!(code == 3 && text.contains("cargo workbook doctor"), "{text}");
}

#[test]
fn wrong_arguments_are_told_in_both_languages() {
    let checkout = Checkout::new();
    for (arguments, en, ja, next) in [
        ("goto", "<N> is missing", "<N> が指定されていません", "cargo workbook goto 4"),
        ("new", "<NAME> is missing", "<NAME> が指定されていません", "cargo workbook new ../my_worker"),
        ("lis", "there is no command", "というコマンドはありません", "cargo workbook list"),
        ("check --quic", "is not known here", "ここでは使えません", "cargo workbook check --quick"),
        ("start --hole", "a value is missing", "値が指定されていません", "cargo workbook start --help"),
        ("list --json --json", "only once", "一度しか", "cargo workbook list --help"),
        ("list 1", "is not known here", "ここでは使えません", "cargo workbook list --help"),
    ] {
        for (lang, words, others) in [("en", en, ja), ("ja", ja, en)] {
            let (text, code) = checkout.type_in(&format!("--lang {lang} {arguments}"));
            assert_eq!(code, 2, "{arguments}: {text}");
            assert!(text.contains(words) && !text.contains(others) && text.contains(next), "{arguments}: {text}");
            assert!(!text.contains("For more information"), "{arguments}: {text}");
        }
    }
}

#[test]
fn a_step_that_was_changed_since_it_was_green_is_not_done() {
    let checkout = Checkout::new();
    let (_, copy) = checkout.at(7, Open::None);
    let (text, code) = checkout.type_in("next");
    assert!(code == 2 && text.contains("not done yet") && !text.contains("goto 8"), "{text}");
    checkout.change(7, |record| (record.done, record.green) = (Some(2), starter::fingerprint(&copy)));
    let (text, code) = checkout.type_in("next");
    assert_eq!(code, 0, "{text}");
    for words in ["worker_spi", "\"The finish line: worker_spi\"", "book/en/src/worker_spi.md", "cargo workbook new "] {
        assert!(text.contains(words), "{text}");
    }
    let file = copy.join("src/lib.rs");
    let before = fs::read_to_string(&file).unwrap();
    fs::write(&file, before.clone() + "// more\n").unwrap();
    let (text, code) = checkout.type_in("next");
    assert!(code == 2 && text.contains("has changed since") && text.contains("cargo workbook check 7"), "{text}");
    let (text, _) = checkout.type_in("list --lang ja");
    assert!(text.contains("完了後に変更あり") && text.contains("cargo workbook check 7"), "{text}");
    let (text, _) = checkout.type_in("next");
    assert!(text.contains("一度合格しましたが"), "{text}");
    fs::write(&file, before).unwrap();
    let (text, code) = checkout.type_in("next");
    assert!(code == 0 && text.contains("章「到達点: worker_spi」"), "{text}");
}

#[test]
fn the_part_of_step_6_that_may_be_left_out_is_named() {
    let checkout = Checkout::new();
    checkout.at(6, Open::All);
    for (lang, words) in [("en", "The hole wake may be left out"), ("ja", "穴 wake は、あとのステップで使わない")]
    {
        for command in ["next", "list"] {
            let (text, _) = checkout.type_in(&format!("{command} --lang {lang}"));
            assert!(text.contains(words) && text.contains("cargo workbook goto 7"), "{text}");
        }
    }
    checkout.change(6, |record| record.done = Some(2));
    assert!(!checkout.type_in("list").0.contains("wake"));
}

/// What the book shows of `cargo workbook` is what it prints.
#[test]
fn the_book_shows_what_is_printed() {
    for (lang, name) in [("en", "workbook.console"), ("ja", "workbook.ja.console")] {
        let checkout = Checkout::new();
        let shown = fs::read_to_string(checkout.root().join("book/transcripts").join(name)).unwrap();
        let printed = |command: &str| checkout.type_in(&format!("{command} --lang {lang}")).0;
        // Each command with what the book has under it.
        let of = |anchor: &str| -> Vec<(String, String)> {
            let inside = shown.split_once(&format!("# ANCHOR: {anchor}\n$ cargo workbook ")).unwrap().1;
            let inside = inside.split_once(&format!("# ANCHOR_END: {anchor}")).unwrap().0;
            let commands = inside.split("$ cargo workbook ").map(|command| command.split_once('\n').unwrap());
            commands.map(|(command, output)| (command.to_owned(), output.to_owned())).collect()
        };
        // What needs a server is printed on a learner's way, which compares it with its file.
        let way = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/path/{lang}.txt"));
        let way = fs::read_to_string(way).unwrap();
        for (command, output) in ["start", "red", "green", "reset"].into_iter().flat_map(of) {
            let expected = format!("$ cargo workbook {command}\n{}[", steady(&output));
            assert!(way.contains(&expected), "not in tests/path/{lang}.txt: {expected}");
        }
        for (command, output) in ["help", "list", "solution"].into_iter().flat_map(of) {
            assert_eq!(printed(&command), output, "{command}");
        }
        checkout.at(1, Open::All);
        let failed = FailedCheck { check: checkout.steps[0].checks[0].id.to_owned(), hint: None };
        checkout.change(1, |record| (record.checked, record.failed) = (1, Some(failed)));
        for (command, output) in of("hint") {
            assert_eq!(printed(&command), output, "{command}");
        }
        // What doctor finds is this machine's. What it looks for is not.
        let rules = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("doctor.toml")).unwrap();
        let rules: toml::Table = rules.parse().unwrap();
        let titles: Vec<_> = rules.values().filter_map(|rule| rule.get("title")?.get(lang)?.as_str()).collect();
        let root = cluster::checkout();
        let version = |file: &str, before: &str| {
            let text = fs::read_to_string(root.join(file)).unwrap();
            text.lines().find_map(|line| Some(line.strip_prefix(before)?.trim_end_matches('"').to_owned())).unwrap()
        };
        let versions = [version("rust-toolchain.toml", "channel = \""), version("Cargo.toml", "pgrx = \"=")];
        for (_, output) in of("doctor") {
            for version in &versions {
                assert!(output.contains(version), "it shows other versions than {version}: {output}");
            }
            let found = output.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with(' '));
            for line in found {
                let (_, found) = line.split_once(char::is_whitespace).unwrap();
                let title = found.split(": ").next().unwrap().trim_start();
                assert!(titles.contains(&title), "no title of a rule: {line}");
            }
        }
    }
}
