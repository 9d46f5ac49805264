//! What stands in a chapter and has its place elsewhere: the steps' code, their exercises, what was printed, versions, minutes.

mod bench;
mod directive;
mod exercise;
mod rescue;
mod text;
pub mod workshop;

pub use bench::{plot, table as bench_table};

use anyhow::{Context, Result, anyhow};
use cluster::Lang;
use course::source;
use course::step::{self, Step};
use regex::Regex;
use serde::de::DeserializeOwned;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::LazyLock;
use workshop::Workshop;

/// `{{#name arguments}}`
pub static DIRECTIVE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\{\{\s*#\s*(\w*)\s*([^}]*?)\s*\}\}").expect("a valid expression"));

/// What the chapters of one language are made from.
pub struct Book {
    root: PathBuf,
    lang: Lang,
    steps: Vec<Arc<Step>>,
    workshop: Workshop,
}

impl Book {
    pub fn read(root: &Path, lang: Lang) -> Result<Self> {
        let steps = step::all(root).map_err(|error| anyhow!(error.show(Lang::En)))?;
        let workshop = Workshop::read(root)?;
        Ok(Self { root: root.into(), lang, steps, workshop })
    }

    /// The text of a page with what its directives stand for. An error has the page and the line before it.
    pub fn expand(&self, text: &str, place: &str, errors: &mut Vec<String>) -> String {
        let mut result = String::new();
        let mut rest = 0;
        for found in DIRECTIVE.captures_iter(text) {
            let all = found.get_match();
            result += &text[rest..all.start()];
            rest = all.end();
            let part = self.directive(&found[1], &found[2]);
            match part
                .and_then(|part| if part.trim().is_empty() { Err(anyhow!("it stands for nothing")) } else { Ok(part) })
            {
                Ok(part) => result += part.trim_end_matches('\n'),
                Err(cause) => {
                    let line = text[..all.start()].matches('\n').count() + 1;
                    errors.push(format!("{place}:{line}: {}: {cause:#}", all.as_str()));
                }
            }
        }
        result + &text[rest..]
    }

    /// The folder of a step or an example: `step1`, `worker_spi`, `driver_in_worker`.
    fn folder(&self, short: &str) -> Result<PathBuf> {
        let step = self.steps.iter().find(|step| step.short() == short).map(|step| step.folder.clone());
        let others = ["steps", "examples"].map(|folder| self.root.join(folder).join(short));
        let found = step.or_else(|| others.into_iter().find(|folder| folder.join("Cargo.toml").is_file()));
        found.with_context(|| format!("there is no step and no example {short}"))
    }

    /// The step with an exercise: `step1`.
    fn step(&self, short: &str) -> Result<&Step> {
        self.steps
            .iter()
            .map(|step| &**step)
            .find(|step| step.short() == short)
            .with_context(|| format!("there is no step {short}"))
    }

    fn text(&self, path: &Path) -> Result<String> {
        read(&self.root.join(path))
    }
}

/// The text of a file.
pub fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// The data of a file.
fn toml<T: DeserializeOwned>(path: &Path) -> Result<T> {
    toml::from_str(&read(path)?).with_context(|| path.display().to_string())
}

/// The lines of a file that stand between the marks of an anchor, or all of them.
pub fn lines_of(path: &Path, anchor: Option<&str>) -> Result<Vec<String>> {
    let text = read(path)?;
    let lines = source::lines(&text, anchor);
    let lines = lines.with_context(|| format!("{} has no anchor {}", path.display(), anchor.unwrap_or_default()))?;
    Ok(lines.into_iter().map(str::to_owned).collect())
}

/// A version of what the book is about; each is written in one other place.
pub fn version(root: &Path, name: &str) -> Result<String> {
    let find = |file: &str, pattern: &str| -> Result<Vec<String>> {
        let text = read(&root.join(file))?;
        let found: Vec<_> = Regex::new(pattern)?.captures_iter(&text).map(|found| found[1].to_owned()).collect();
        if found.is_empty() { Err(anyhow!("{file} does not say it")) } else { Ok(found) }
    };
    let majors = || find("postgresql.toml", r"(?m)^\[major\.(\d+)\]$");
    match name {
        "postgresql" => Ok(find("postgresql.toml", r"(?m)^default = (\d+)")?.concat()),
        "majors" => Ok(majors()?.join(", ")),
        "oldest" => Ok(majors()?.swap_remove(0)),
        "newest" => Ok(majors()?.pop().unwrap_or_default()),
        "pgrx" => Ok(find("Cargo.toml", r#"(?m)^pgrx = "=(.*)"$"#)?.concat()),
        "rust" => Ok(find("rust-toolchain.toml", r#"(?m)^channel = "(.*)"$"#)?.concat()),
        "mdbook" => Ok(find("scripts/lib/common.sh", r"(?m)^MDBOOK_VERSION=(.*)$")?.concat()),
        _ => Err(anyhow!("there is no version of {name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster::checkout;

    #[test]
    fn a_directive_that_finds_nothing_is_an_error_with_its_place() {
        let book = Book::read(checkout(), Lang::En).unwrap();
        for (directive, cause) in [
            ("{{#code step1/lib.rs:nothing}}", "lib.rs has no anchor nothing"),
            ("{{#code step1/nothing.rs}}", "nothing.rs: No such file"),
            ("{{#code step99/lib.rs:init}}", "there is no step and no example step99"),
            ("{{#console step1/run}}", "name an anchor"),
            ("{{#diff step1 nothing}}", "nothing.patch: No such file"),
            ("{{#since step1}}", "there is no step before it"),
            ("{{#version nothing}}", "there is no version of nothing"),
            ("{{#minutes nothing}}", "no minutes of nothing"),
            ("{{#include ../../x.md}}", "there is no such directive"),
            ("{{#exercise}}", "there is no such directive"),
            ("{{# code step1/lib.rs:nothing }}", "lib.rs has no anchor nothing"),
        ] {
            let mut errors = Vec::new();
            book.expand(&format!("# Title\n\nText {directive}.\n"), "page.md", &mut errors);
            let [error] = &errors[..] else { panic!("{directive}: {errors:?}") };
            assert!(error.starts_with("page.md:3: ") && error.contains(cause), "{error}");
        }
    }

    #[test]
    fn what_belongs_into_a_hole_is_folded_away() {
        let book = Book::read(checkout(), Lang::En).unwrap();
        let expand = |directive: &str| {
            let mut errors = Vec::new();
            let text = book.expand(directive, "page.md", &mut errors);
            assert_eq!(errors, Vec::<String>::new());
            text
        };
        let step = &book.steps[0];
        for hole in &step.holes {
            let folded = expand(&format!("{{{{#code step1/lib.rs:hole_{}}}}}", hole.id));
            assert!(folded.starts_with("<details class=\"solution answer\">"), "{folded}");
        }
        let code = expand("{{#code step1/lib.rs:register}}");
        assert!(code.starts_with("```rust,ignore\n") && code.contains("<details class=\"solution answer\">"), "{code}");
        assert!(!expand("{{#code step1/lib.rs:register solved}}").contains("<details"));
        assert!(
            expand("{{#diff step1 exit_code_zero}}")
                .contains("data-at=\"steps/step1_registration/variants/exit_code_zero.patch\"")
        );
        assert!(expand("{{#diff step1 not_refused}}").starts_with("```diff\n"));
    }
}
