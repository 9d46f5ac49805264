//! The sources of a step, cut into pieces by their anchors: `// ANCHOR: name` to `// ANCHOR_END: name`. The anchors `hole_ID` are the
//! holes of the exercise. The starter, the book and its checks all read them here.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A line that says where something begins or ends, and that no reader sees.
#[derive(Debug, PartialEq, Eq)]
pub enum Mark<'a> {
    /// `ANCHOR: name`, and what tells the runner of transcripts something: `ANCHOR:_ directive`, whose name is `_`.
    Begin(&'a str),
    /// `ANCHOR_END: name`
    End(&'a str),
}

/// What kind of mark the line is, if it is one: a comment in Rust, in TOML, in a transcript or in Markdown.
pub fn mark(line: &str) -> Option<Mark<'_>> {
    let comment = ["//", "#", "<!--"].iter().find_map(|begin| line.trim().strip_prefix(begin))?.trim_start();
    let (word, rest) = comment.split_once(':')?;
    let name = rest.split_whitespace().next().unwrap_or_default();
    match word {
        "ANCHOR" => Some(Mark::Begin(name)),
        "ANCHOR_END" => Some(Mark::End(name)),
        _ => None,
    }
}

/// Lines that belong together: inside of one hole, or outside of all.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The hole.
    pub hole: Option<&'a str>,
    /// Its lines, without marks.
    pub lines: Vec<&'a str>,
}

/// What stands between the marks of an anchor, or all of the text, cut where a hole begins and ends. None if there is no such anchor.
pub fn pieces<'a>(text: &'a str, anchor: Option<&str>) -> Option<Vec<Piece<'a>>> {
    let mut inside = anchor.is_none();
    let mut found = inside;
    let mut hole = None;
    let mut pieces: Vec<Piece> = Vec::new();
    for line in text.lines() {
        match mark(line) {
            Some(Mark::Begin(name)) => {
                hole = name.strip_prefix("hole_").or(hole);
                if anchor == Some(name) {
                    (inside, found) = (true, true);
                }
            }
            Some(Mark::End(name)) => {
                if name.starts_with("hole_") {
                    hole = None;
                }
                if anchor == Some(name) {
                    inside = false;
                }
            }
            None if inside => match pieces.last_mut() {
                Some(piece) if piece.hole == hole => piece.lines.push(line),
                _ => pieces.push(Piece { hole, lines: vec![line] }),
            },
            None => {}
        }
    }
    found.then_some(pieces)
}

/// The lines between the marks of an anchor, or all, without marks. None if there is no such anchor.
pub fn lines<'a>(text: &'a str, anchor: Option<&str>) -> Option<Vec<&'a str>> {
    Some(pieces(text, anchor)?.into_iter().flat_map(|piece| piece.lines).collect())
}

/// The source files of a step's folder, in the order of their names, with their contents. Its tests are no part of what is taught.
pub fn files(folder: &Path) -> io::Result<BTreeMap<PathBuf, String>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder.join("src"))? {
        let name = entry?.file_name();
        let path = Path::new("src").join(&name);
        if path.extension().is_some_and(|it| it == "rs") && name != "tests.rs" {
            files.insert(path.clone(), fs::read_to_string(folder.join(path))?);
        }
    }
    Ok(files)
}

/// What gives an answer away: each line of a hole that stands nowhere else in the step, with the hole.
pub fn secrets(folder: &Path) -> io::Result<BTreeMap<String, String>> {
    let (mut inside, mut outside) = (BTreeMap::new(), Vec::new());
    for text in files(folder)?.values() {
        for piece in pieces(text, None).unwrap_or_default() {
            for line in piece.lines.iter().map(|line| line.trim()) {
                match piece.hole {
                    Some(hole) if !line.starts_with("//") => drop(inside.insert(line.to_owned(), hole.to_owned())),
                    Some(_) => {}
                    None => outside.push(line.to_owned()),
                }
            }
        }
    }
    inside.retain(|line, _| !outside.contains(line));
    Ok(inside)
}

/// A source of one step under the names of another, so that only the idea differs: `step3_spi_transaction` to `step4_guc_sighup`, and
/// `step3`, `Step3`, `STEP3` alike.
pub fn renamed(text: &str, from: &str, to: &str) -> String {
    let short = |name: &str| name.split('_').next().unwrap_or(name).trim_start_matches("step").to_owned();
    let (old, new) = (short(from), short(to));
    let mut text = text.replace(from, to);
    for word in ["step", "Step", "STEP"] {
        let name = format!("{word}{old}");
        let mut result = String::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find(&name) {
            let (before, after) = (&rest[..at], &rest[at + name.len()..]);
            let part_of_a_word = before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
                || after.starts_with(|c: char| c.is_ascii_digit() || c.is_lowercase());
            result += before;
            result += &if part_of_a_word { name.clone() } else { format!("{word}{new}") };
            rest = after;
        }
        text = result + rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "a\n// ANCHOR: main\nb\n    // ANCHOR: hole_x\n    c\n    // ANCHOR_END: hole_x\nd\n// ANCHOR_END: main\ne\n";

    #[test]
    fn a_mark_is_a_comment_in_any_of_our_files() {
        assert_eq!(mark("    // ANCHOR: hole_x"), Some(Mark::Begin("hole_x")));
        assert_eq!(mark("# ANCHOR_END: shown"), Some(Mark::End("shown")));
        assert_eq!(mark("# ANCHOR:_ later"), Some(Mark::Begin("_")));
        assert_eq!(mark("<!-- ANCHOR: run -->"), Some(Mark::Begin("run")));
        assert_eq!(mark("let anchor = \"ANCHOR: x\";"), None);
    }

    #[test]
    fn a_piece_ends_where_a_hole_does() {
        let main = pieces(TEXT, Some("main")).unwrap();
        let hole = |lines| Piece { hole: Some("x"), lines };
        let open = |lines| Piece { hole: None, lines };
        assert_eq!(main, [open(vec!["b"]), hole(vec!["    c"]), open(vec!["d"])]);
        assert_eq!(pieces(TEXT, Some("hole_x")).unwrap(), [hole(vec!["    c"])]);
        assert_eq!(lines(TEXT, None).unwrap(), ["a", "b", "    c", "d", "e"]);
        assert_eq!(pieces(TEXT, Some("mai")), None);
    }

    #[test]
    fn only_whole_names_count_up() {
        let text = "step3_spi step3 Step3 STEP3_X step30 mystep3 step3s";
        assert_eq!(renamed(text, "step3_spi", "step4_guc"), "step4_guc step4 Step4 STEP4_X step30 mystep3 step3s");
    }
}
