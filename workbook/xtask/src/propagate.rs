//! `cargo xtask propagate STEP`: carries a change of a step through the steps after it.
//!
//! A step is the step before plus one idea, so a change of the one belongs into the other, too. Git merges it: the base is the step as
//! it was committed, under the names of the next one. What the next one has got then goes on to the one after it. Where its idea
//! touches the same lines git leaves its conflict markers, and the steps behind it wait until they are resolved.

use anyhow::{Context, Result, bail, ensure};
use regex::{Captures, Regex};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The arguments.
#[derive(clap::Args)]
pub struct Arguments {
    /// The step that was changed: 3, step3 or its full name
    step: String,
    /// The commit before the change
    #[arg(long, value_name = "COMMIT", default_value = "HEAD")]
    base: String,
    /// Only say what there is to change; then the exit code is 1
    #[arg(long)]
    check: bool,
}

/// Carries the change on.
pub fn run(arguments: &Arguments, checkout: &Path) -> Result<()> {
    let mut merge = Merge { checkout, base: &arguments.base, changed: BTreeMap::new(), conflicts: Vec::new() };
    let waiting = merge.through(&arguments.step)?;
    for (path, text) in &merge.changed {
        let verb = if text.is_some() { "changed" } else { "removed" };
        println!("{verb}: {}", path.display());
        if !arguments.check {
            match text {
                Some(text) => fs::write(checkout.join(path), text),
                None => fs::remove_file(checkout.join(path)),
            }
            .with_context(|| path.display().to_string())?;
        }
    }
    merge.conflicts.iter().for_each(|conflict| println!("conflict: {conflict}"));
    if let Some(step) = waiting {
        bail!("resolve what is named above, then: cargo xtask propagate {} --base {}", step.short, arguments.base);
    }
    ensure!(!arguments.check || merge.changed.is_empty(), "the steps after {} lack the change", arguments.step);
    Ok(())
}

/// A step's folder in `steps/`, and what it is called in its sources.
#[derive(Clone, PartialEq)]
struct Step {
    name: String,
    short: String,
    number: u32,
}

impl Step {
    fn of(name: String) -> Option<Self> {
        let short = name.split_once('_')?.0.to_owned();
        let number = short.strip_prefix("step")?.parse().ok()?;
        Some(Self { name, short, number })
    }

    /// A text of this step under the names of another: `step3_spi_transaction`, `step3`, `Step3`, `Step 3`.
    fn renamed(&self, text: &str, other: &Self) -> Result<String> {
        let short = Regex::new(&format!("([Ss]tep ?){}([^0-9]|$)", self.number))?;
        let text = text.replace(&self.name, &other.name);
        Ok(short.replace_all(&text, |found: &Captures| format!("{}{}{}", &found[1], other.number, &found[2])).into())
    }
}

/// What the merge has come to. Nothing is written before all of it is known.
struct Merge<'a> {
    checkout: &'a Path,
    base: &'a str,
    /// The new text by the path in the checkout; none: it is removed.
    changed: BTreeMap<PathBuf, Option<String>>,
    conflicts: Vec<String>,
}

impl Merge<'_> {
    /// From this step on, until there is a conflict. Returns the step that has one.
    fn through(&mut self, wanted: &str) -> Result<Option<Step>> {
        let folders = fs::read_dir(self.checkout.join("steps"))?.flatten();
        let mut steps: Vec<_> =
            folders.filter_map(|entry| Step::of(entry.file_name().to_string_lossy().into_owned())).collect();
        steps.sort_by_key(|step| step.number);
        let is_meant = |step: &Step| [&step.name, &step.short, &step.number.to_string()].contains(&&wanted.to_owned());
        let first = steps.iter().position(is_meant).with_context(|| format!("there is no step \"{wanted}\""))?;
        for pair in steps[first..].windows(2) {
            self.step(&pair[0], &pair[1])?;
            if !self.conflicts.is_empty() {
                return Ok(Some(pair[1].clone()));
            }
        }
        Ok(None)
    }

    /// From one step to the next: its sources without its own tests, its manifest, its control file.
    fn step(&mut self, from: &Step, to: &Step) -> Result<()> {
        let folder = Path::new("steps").join(&from.name);
        let committed =
            self.git(&["ls-tree", "-r", "--name-only", self.base, "--", &format!("{}/", folder.display())])?;
        let mut paths: BTreeSet<PathBuf> = committed.lines().map(PathBuf::from).collect();
        for part in ["", "src"] {
            let entries = fs::read_dir(self.checkout.join(&folder).join(part))?.flatten();
            paths.extend(entries.map(|entry| folder.join(part).join(entry.file_name())));
        }
        paths.extend(self.changed.keys().filter(|path| path.starts_with(&folder)).cloned());
        for path in paths {
            let inside = path.strip_prefix(&folder)?;
            let source = inside.starts_with("src") && inside != Path::new("src/tests.rs");
            let control = inside.extension().is_some_and(|end| end == "control");
            if !source && !control && inside != Path::new("Cargo.toml") {
                continue;
            }
            let there: PathBuf = from.renamed(&path.to_string_lossy(), to)?.into();
            let renamed = |text: Option<String>| text.map(|text| from.renamed(&text, to)).transpose();
            let was = committed.lines().any(|line| Path::new(line) == path);
            let was = if was { Some(self.git(&["show", &format!("{}:{}", self.base, path.display())])?) } else { None };
            let (was, is, other) = (renamed(was)?, renamed(self.text(&path))?, self.text(&there));
            if was == is || is == other {
                continue;
            }
            let mut conflict = |what: &str| self.conflicts.push(format!("{}: {what}", there.display()));
            match (was, is, other) {
                (Some(_), Some(_), None) => {
                    conflict(&format!("{} was changed, and this step has no such file", path.display()))
                }
                (None, Some(new), None) => drop(self.changed.insert(there, Some(new))),
                (was, None, Some(other)) if was.as_ref() == Some(&other) => drop(self.changed.insert(there, None)),
                (_, None, Some(_)) => {
                    conflict(&format!("{} was removed, and this step's own is another", path.display()))
                }
                (_, None, None) => {}
                (was, Some(is), Some(other)) => {
                    let labels = [there.display().to_string(), self.base.to_owned(), path.display().to_string()];
                    let (merged, conflicts) = merge_file([&other, &was.unwrap_or_default(), &is], &labels)?;
                    if conflicts > 0 {
                        let marker =
                            merged.lines().position(|line| line.starts_with("<<<<<<<")).unwrap_or_default() + 1;
                        self.conflicts.push(format!("{}:{marker} ({conflicts} in this file)", there.display()));
                    }
                    if merged != other {
                        self.changed.insert(there, Some(merged));
                    }
                }
            }
        }
        Ok(())
    }

    /// What this file is by now.
    fn text(&self, path: &Path) -> Option<String> {
        let changed = self.changed.get(path).cloned();
        changed.unwrap_or_else(|| fs::read_to_string(self.checkout.join(path)).ok())
    }

    fn git(&self, arguments: &[&str]) -> Result<String> {
        let out = Command::new("git").args(arguments).current_dir(self.checkout).output().context("git")?;
        ensure!(out.status.success(), "git {}: {}", arguments.join(" "), String::from_utf8_lossy(&out.stderr).trim());
        Ok(String::from_utf8(out.stdout)?)
    }
}

/// git's three-way merge of ours, base and theirs: the text, and how many conflicts are in it.
fn merge_file(texts: [&str; 3], labels: &[String; 3]) -> Result<(String, i32)> {
    let folder = tempfile::tempdir()?;
    let mut git = Command::new("git");
    git.args(["merge-file", "-p"]).args(labels.iter().flat_map(|label| ["-L", label]));
    for (name, text) in ["ours", "base", "theirs"].iter().zip(texts) {
        fs::write(folder.path().join(name), text)?;
        git.arg(name);
    }
    let out = git.current_dir(folder.path()).output().context("git merge-file")?;
    let conflicts = out.status.code().filter(|code| *code < 128);
    let conflicts = conflicts.with_context(|| String::from_utf8_lossy(&out.stderr).into_owned())?;
    Ok((String::from_utf8(out.stdout)?, conflicts))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three steps: the second adds a line at the end, the third one at the beginning.
    struct Steps(tempfile::TempDir);

    impl Steps {
        fn new() -> Self {
            let steps = Self(tempfile::tempdir().unwrap());
            for (step, text) in [
                ("step1_a", "mod a;\n\n\n\nfn step1() {}\n\n\n\nfn one() {}\n"),
                ("step2_b", "mod a;\n\n\n\nfn step2() {}\n\n\n\nfn one() {}\n\n\n\nfn two() {}\n"),
                ("step3_c", "fn three() {}\nmod a;\n\n\n\nfn step3() {}\n\n\n\nfn one() {}\n\n\n\nfn two() {}\n"),
            ] {
                fs::create_dir_all(steps.path(step, "src")).unwrap();
                steps.write(step, text);
                fs::write(steps.path(step, "src/tests.rs"), "").unwrap();
            }
            steps.git(&["init", "-q"]);
            steps.commit();
            steps
        }

        fn git(&self, arguments: &[&str]) {
            assert!(Command::new("git").args(arguments).current_dir(&self.0).status().unwrap().success());
        }

        fn commit(&self) {
            self.git(&["add", "."]);
            self.git(&["-c", "user.name=tests", "-c", "user.email=tests@localhost", "commit", "-qm", "steps"]);
        }

        fn path(&self, step: &str, inside: &str) -> PathBuf {
            self.0.path().join("steps").join(step).join(inside)
        }

        fn write(&self, step: &str, text: &str) {
            fs::write(self.path(step, "src/lib.rs"), text).unwrap();
        }

        fn read(&self, step: &str) -> String {
            fs::read_to_string(self.path(step, "src/lib.rs")).unwrap()
        }

        fn propagate(&self, step: &str, check: bool) -> Result<()> {
            run(&Arguments { step: step.into(), base: "HEAD".into(), check }, self.0.path())
        }
    }

    #[test]
    fn a_change_goes_through_all_later_steps_under_their_names() {
        let steps = Steps::new();
        steps.write("step1_a", &steps.read("step1_a").replace("{}\n\n", "{ step1_a() } // Step 1, step10\n\n"));
        fs::write(steps.path("step1_a", "src/new.rs"), "step1").unwrap();
        fs::write(steps.path("step1_a", "src/tests.rs"), "its own").unwrap();
        assert!(steps.propagate("1", true).is_err());
        assert!(!steps.read("step2_b").contains("Step 2"), "--check has written");
        steps.propagate("1", false).unwrap();
        let expected =
            "mod a;\n\n\n\nfn step2() { step2_b() } // Step 2, step10\n\n\n\nfn one() {}\n\n\n\nfn two() {}\n";
        assert_eq!(steps.read("step2_b"), expected);
        let expected = expected.replace("step2_b", "step3_c").replace("tep2", "tep3").replace("p 2", "p 3");
        assert_eq!(steps.read("step3_c"), format!("fn three() {{}}\n{expected}"));
        assert_eq!(fs::read_to_string(steps.path("step3_c", "src/new.rs")).unwrap(), "step3");
        assert_eq!(fs::read_to_string(steps.path("step3_c", "src/tests.rs")).unwrap(), "");
        steps.propagate("1", true).unwrap();
    }

    #[test]
    fn a_conflict_is_named_and_the_steps_behind_it_wait() {
        let steps = Steps::new();
        steps.write("step2_b", &steps.read("step2_b").replace("fn one() {}", "fn one() { 1 }"));
        steps.write("step3_c", &steps.read("step3_c").replace("fn one() {}", "fn one() { 3 }"));
        let said = steps.propagate("step2_b", false).unwrap_err().to_string();
        assert!(said.contains("cargo xtask propagate step3"), "{said}");
        let text = steps.read("step3_c");
        for part in [
            "<<<<<<< steps/step3_c/src/lib.rs\nfn one() { 3 }\n",
            "=======\nfn one() { 1 }\n>>>>>>> steps/step2_b/src/lib.rs",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert!(text.contains("fn two() {}") && text.contains("fn three() {}"), "{text}");

        let steps = Steps::new();
        steps.write("step1_a", &steps.read("step1_a").replace("fn step1() {}", "fn step1() { 1 }"));
        steps.write("step2_b", &steps.read("step2_b").replace("fn step2() {}", "fn step2() { 2 }"));
        let before = steps.read("step3_c");
        assert!(steps.propagate("step1", false).is_err());
        assert_eq!(steps.read("step3_c"), before);
    }

    #[test]
    fn what_is_removed_is_removed_where_it_is_the_same() {
        let steps = Steps::new();
        for (step, own) in [("step1_a", ""), ("step2_b", ""), ("step3_c", "its own")] {
            fs::write(steps.path(step, "src/old.rs"), format!("{}{own}", &step[..5])).unwrap();
        }
        steps.commit();
        fs::remove_file(steps.path("step1_a", "src/old.rs")).unwrap();
        assert!(steps.propagate("step1", false).is_err());
        assert!(!steps.path("step2_b", "src/old.rs").exists() && steps.path("step3_c", "src/old.rs").exists());
    }
}
