//! The variants of a step: `variants/NAME.patch`, small changes that compile and are wrong. They prove the checks, and are the wrong
//! answers that a learner's command must refuse.
//!
//! Above the patch stand `major: 19`, if it is wrong on that major only; pairs of `red: CHECK` and `says: WORDS`; below the first of
//! them `hint: NAME`; then title and lesson in both languages, and an empty line.

use crate::bilingual::Bilingual;
use crate::checks::{self, Check};
use cluster::failure::Result;
use cluster::throwaway::run;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A variant.
pub struct Variant {
    /// The full name of the step.
    pub step: &'static str,
    /// Its name, unique in the step.
    pub name: String,
    /// The file.
    pub patch: PathBuf,
    /// The major on which it is wrong, if it is not wrong on each.
    pub major: Option<u16>,
    /// The checks that refuse it, each with a part of what it says.
    pub red: Vec<(&'static Check, String)>,
    /// The hint that a learner gets.
    pub hint: Option<String>,
    /// Its title.
    pub title: Bilingual,
    /// What it teaches.
    pub lesson: Bilingual,
}

impl Variant {
    /// All variants of a step, by their names.
    pub fn all(root: &Path, step: &str) -> Result<Vec<Self>> {
        let folder = folder(root, step);
        let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut patches = entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>()?;
        patches.sort();
        patches.iter().map(|patch| Self::parse(step, patch)).collect()
    }

    /// The variant of this name.
    pub fn named(root: &Path, step: &str, name: &str) -> Result<Self> {
        Self::parse(step, &folder(root, step).join(format!("{name}.patch")))
    }

    fn parse(step: &str, patch: &Path) -> Result<Self> {
        let place = patch.display();
        let text = fs::read_to_string(patch).map_err(|error| format!("{place}: {error}"))?;
        let (step, checks) = checks::all().find(|(name, _)| *name == step).ok_or(format!("there is no step {step}"))?;
        let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (title, lesson) = (Bilingual::default(), Bilingual::default());
        let mut this =
            Self { step, name, patch: patch.into(), major: None, red: Vec::new(), hint: None, title, lesson };
        for line in text.lines().take_while(|line| !line.is_empty()) {
            let (key, value) = line.split_once(": ").ok_or(format!("{place}: not \"key: value\": {line}"))?;
            let only_one = this.red.len() == 1;
            match (key, this.red.last_mut()) {
                ("major", None) => this.major = Some(value.parse()?),
                ("red", last) if last.as_ref().is_none_or(|(_, says)| !says.is_empty()) => {
                    let check = checks.iter().find(|check| check.id == value);
                    let check = check.ok_or(format!("{place}: {step} has no check \"{value}\""))?;
                    this.red.push((check, String::new()));
                }
                ("says", Some((_, says))) if says.is_empty() => *says = value.into(),
                ("hint", Some(_)) if only_one => this.hint = Some(value.into()),
                ("title.en", _) => this.title.en = value.into(),
                ("title.ja", _) => this.title.ja = value.into(),
                ("lesson.en", _) => this.lesson.en = value.into(),
                ("lesson.ja", _) => this.lesson.ja = value.into(),
                _ => return Err(format!("{place}: not here: {line}").into()),
            }
        }
        let texts = [&this.title.en, &this.title.ja, &this.lesson.en, &this.lesson.ja];
        if this.red.is_empty() || this.red.iter().map(|(_, says)| says).chain(texts).any(String::is_empty) {
            return Err(format!("{place}: a line is missing: red and says, title and lesson in both languages").into());
        }
        if let Some((check, _)) = this.red.iter().find(|(it, _)| checks::since(step, it) > this.major.unwrap_or(0)) {
            let since = checks::since(step, check);
            return Err(format!("{place}: no line \"major: {since}\", which \"{}\" needs", check.id).into());
        }
        Ok(this)
    }

    /// Makes this change in a copy of the step.
    pub fn apply(&self, source: &Path) -> Result<()> {
        // Without the variable, git would take the checkout around the folder for the place to patch.
        let ceiling = source.parent().unwrap_or(source);
        let mut git = Command::new("git");
        git.arg("apply").arg(&self.patch).current_dir(source).env("GIT_CEILING_DIRECTORIES", ceiling);
        run(&mut git)
    }
}

fn folder(root: &Path, step: &str) -> PathBuf {
    root.join("steps").join(step).join("variants")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_variants_can_be_read() {
        for (step, _) in checks::all() {
            assert!(!Variant::all(cluster::checkout(), step).unwrap().is_empty(), "{step}");
        }
    }

    #[test]
    fn a_head_that_is_not_whole_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let patch = folder.path().join("wrong.patch");
        let texts = "title.en: a\ntitle.ja: b\nlesson.en: c\nlesson.ja: d\n";
        let read = |head: &str| {
            fs::write(&patch, format!("{head}\n--- a/src/lib.rs\n")).unwrap();
            Variant::parse("worker_spi", &patch).map_err(|error| error.to_string())
        };
        let whole = format!("major: 19\nred: interruptible\nsays: x\nhint: h\n{texts}");
        let variant = read(&whole).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((variant.major, variant.red[0].1.as_str(), variant.hint.as_deref()), (Some(19), "x", Some("h")));
        for (head, expected) in [
            (whole.replace("says: x\n", ""), "a line is missing"),
            (whole.replace("lesson.ja: d\n", ""), "a line is missing"),
            (whole.replace("major: 19\n", ""), "no line \"major: 19\""),
            (whole.replace("red: interruptible", "red: no_such_check"), "has no check \"no_such_check\""),
            (whole.replace("says: x", "say: x"), "not here: say: x"),
            (texts.to_owned(), "a line is missing"),
        ] {
            assert!(read(&head).err().is_some_and(|error| error.contains(expected)), "{expected}: {head}");
        }
    }
}
