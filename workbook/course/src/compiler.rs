//! What the compiler has refused, for who asks for a hint: its first error, the hole in which that is, and a word of our own to the
//! errors that are met most often.

use crate::bilingual::Bilingual;
use crate::starter::OpenHole;
use console::strip_ansi_codes;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// So many lines of an error are kept.
const LINES: usize = 24;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Help {
    says: Vec<String>,
    #[cfg_attr(not(test), allow(dead_code, reason = "what the tests compile"))]
    sample: String,
    en: String,
    ja: String,
}

#[derive(Deserialize)]
struct Helps {
    help: Vec<Help>,
}

fn helps() -> Vec<Help> {
    // It is a part of this program, and a test reads it.
    toml::from_str::<Helps>(include_str!("../compiler.toml")).map(|helps| helps.help).unwrap_or_default()
}

/// A text without a terminal's colours.
pub fn plain(text: &str) -> String {
    strip_ansi_codes(text).into_owned()
}

/// The first error of all that the compiler has said, with the copy's folder left out of the paths.
pub fn first_error(text: &str, step: &str) -> String {
    let text = plain(text);
    let error = text.lines().skip_while(|line| !line.starts_with("error"));
    let mut part = "";
    let error = error.take_while(|line| !line.trim().is_empty()).filter(|line| {
        if line.starts_with(|first: char| first.is_ascii_lowercase()) {
            part = line;
        }
        // A note shows a place in another crate. What is left is the error and the compiler's own help.
        !part.starts_with("note")
    });
    let error = error.take(LINES);
    error.map(|line| line.replace(&format!("{step}/"), "")).collect::<Vec<_>>().join("\n")
}

/// The number of the error, for `rustc --explain`.
pub fn code(error: &str) -> Option<&str> {
    let code = error.strip_prefix("error[")?.split(']').next()?;
    (code.len() == 5 && code.starts_with('E')).then_some(code)
}

/// Where the error is: the file and the line.
fn place(error: &str) -> Option<(PathBuf, usize)> {
    let line = error.lines().find_map(|line| line.trim().strip_prefix("--> "))?;
    let mut parts = line.split(':');
    Some((Path::new(parts.next()?).to_path_buf(), parts.next()?.parse().ok()?))
}

/// The hole that is meant: the one in which the error is; else the first of that file that nobody has touched; else the first that
/// nobody has touched.
pub fn hole<'a>(error: &str, holes: &'a [OpenHole]) -> Option<&'a OpenHole> {
    let untouched = |hole: &&OpenHole| hole.untouched;
    if let Some((file, line)) = place(error) {
        let here = || holes.iter().filter(|hole| hole.file == file);
        if let Some(hole) = here().find(|hole| hole.lines.contains(&line)).or_else(|| here().find(untouched)) {
            return Some(hole);
        }
    }
    holes.iter().find(untouched)
}

/// What we have to say to it.
pub fn help(error: &str) -> Option<Bilingual> {
    let help = helps().into_iter().find(|help| help.says.iter().all(|says| error.contains(says)))?;
    Some(Bilingual { en: help.en, ja: help.ja })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Each word of ours belongs to an error that this compiler has: its sample is compiled, and the help is the one that is found.
    #[test]
    fn each_help_fits_what_the_compiler_says() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sample.rs");
        let all = helps();
        assert!(all.len() >= 12);
        for help in all {
            std::fs::write(&file, &help.sample).unwrap();
            let mut rustc = Command::new("rustc");
            rustc.args(["--edition=2024", "--emit=metadata", "--crate-type=bin"]).arg(&file);
            let out = rustc.current_dir(folder.path()).output().unwrap();
            let error = first_error(&String::from_utf8_lossy(&out.stderr), "step0");
            let found = super::help(&error).unwrap_or_else(|| panic!("{:?}: no help for {error}", help.says));
            assert_eq!((found.en, found.ja), (help.en, help.ja), "{error}");
        }
    }

    #[test]
    fn the_hole_in_which_the_error_is() {
        let hole =
            |id: &str, file: &str, lines, untouched| OpenHole { id: id.into(), file: file.into(), lines, untouched };
        let holes = [
            hole("a", "src/lib.rs", 5..=9, true),
            hole("b", "src/lib.rs", 20..=29, false),
            hole("c", "src/x.rs", 3..=4, true),
        ];
        let found = |error: &str| super::hole(error, &holes).map(|hole| hole.id.as_str());
        assert_eq!(found("error: x\n  --> src/lib.rs:22:3"), Some("b"));
        assert_eq!(found("error: x\n  --> src/lib.rs:50:3"), Some("a"));
        assert_eq!(found("error: x\n  --> src/x.rs:50:3"), Some("c"));
        assert_eq!(found("error: x\n  --> src/other.rs:1:1"), Some("a"));
        assert_eq!(super::hole("error: x", &holes[1..2]), None);
    }

    #[test]
    fn the_first_of_several_errors_without_colours() {
        let text =
            "warning: w\n\n\u{1b}[1m\u{1b}[91merror[E0425]\u{1b}[0m: one\n  --> step1_x/src/lib.rs:3:1\n\nerror: two\n";
        let error = first_error(text, "step1_x");
        assert_eq!(error, "error[E0425]: one\n  --> src/lib.rs:3:1");
        assert_eq!(code(&error), Some("E0425"));
        assert_eq!(code("error: two"), None);
        let text = "error[E0308]: types\n --> src/lib.rs:3:1\n  |\nnote: defined here\n --> /elsewhere/lib.rs:1:1\n  |\n1 | x\nhelp: wrap it\n  |\n3 | y\n\nerror: two";
        let error = first_error(text, "step1_x");
        assert!(error.contains("help: wrap it\n  |\n3 | y") && !error.contains("elsewhere"), "{error}");
    }
}
