//! `cargo xtask update`: brings up to date what is made from other files and has to be committed, because GitHub shows it: the code
//! blocks and the table of the READMEs, and the drawing beside that table. Whatever else is made, the book makes when it is built.

use crate::book::{self, lines_of, read};
use anyhow::{Result, bail};
use cluster::Lang;
use cluster::checkout;
use regex::{Captures, Regex};
use std::fs;
use std::path::Path;

#[derive(clap::Args, Default)]
pub struct Arguments {
    /// Write nothing, and fail where something is stale
    #[arg(long)]
    check: bool,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let root = checkout();
    let stale = stale(root)?;
    if arguments.check && !stale.is_empty() {
        bail!("stale: {}\n  next: cargo xtask update", stale.join(", "));
    }
    for (name, text) in made(root)?.into_iter().filter(|(name, _)| stale.contains(name)) {
        fs::write(root.join(name), text)?;
    }
    Ok(())
}

/// The files that are not what would be written.
pub fn stale(root: &Path) -> Result<Vec<String>> {
    let stale = |(name, text): (String, String)| match fs::read_to_string(root.join(&name)) {
        Ok(old) if old == text => None,
        _ => Some(name),
    };
    Ok(made(root)?.into_iter().filter_map(stale).collect())
}

/// The files, and what is to be in them.
fn made(root: &Path) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for (lang, end) in [(Lang::En, ""), (Lang::Ja, ".ja")] {
        for name in ["README", "CONTRIBUTING"] {
            let name = format!("{name}{end}.md");
            let text = readme(root, &name, lang)?;
            files.push((name, text));
        }
        let plot = format!("{}\n", book::plot(root, lang, true)?);
        files.push((format!("steps/worker_spi/bench.{}.svg", lang.name()), plot));
    }
    Ok(files)
}

/// The file with each block below a comment `<!-- from FILE:ANCHOR -->` as that file has it.
fn readme(root: &Path, name: &str, lang: Lang) -> Result<String> {
    let mut error = None;
    let blocks = Regex::new(r"(?ms)^(<!-- from (\S+?):(\S+) -->\n```[^\n]*\n).*?^```$")?;
    let text = read(&root.join(name))?;
    let text = blocks.replace_all(&text, |found: &Captures| match lines_of(&root.join(&found[2]), Some(&found[3])) {
        Ok(lines) => format!("{}{}\n```", &found[1], lines.join("\n")),
        Err(cause) => {
            error.get_or_insert(cause.context(name.to_owned()));
            String::new()
        }
    });
    if let Some(error) = error {
        return Err(error);
    }
    let table = book::bench_table(root, lang)?.join("\n");
    let below = Regex::new(r"(?m)^(<!-- from steps/worker_spi/bench.toml -->\n)(?:\|.*\n)*")?;
    Ok(below.replace_all(&text, |found: &Captures| format!("{}{table}\n", &found[1])).into_owned())
}
