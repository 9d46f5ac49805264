//! `cargo xtask languages`: the renderer of the landing page's book. It builds the books of both languages beside that page, so that
//! `mdbook build book` and `mdbook serve book` make the whole site.

use anyhow::{Context, Result, ensure};
use cluster::checkout;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io, thread};

/// The titles of notes, which mdBook has in English only.
const TITLES: [(&str, &str); 5] =
    [("Note", "メモ"), ("Tip", "ヒント"), ("Important", "重要"), ("Warning", "注意"), ("Caution", "警告")];

#[derive(clap::Args)]
pub struct Arguments {
    /// The folder in which mdBook has started us, beside the site's
    destination: PathBuf,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let context: Value = serde_json::from_reader(io::stdin())?;
    let site = arguments.destination.with_file_name("html");
    let reload = context.pointer("/config/output/html/live-reload-endpoint").and_then(Value::as_str);
    let mdbook = mdbook();
    thread::scope(|scope| {
        let books = ["en", "ja"].map(|language| {
            let (mdbook, to) = (&mdbook, site.join(language));
            scope.spawn(move || build(mdbook, language, &to, reload))
        });
        books.into_iter().try_for_each(|book| book.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    for entry in fs::read_dir(site.join("ja"))? {
        let page = entry?.path();
        if page.extension().is_some_and(|it| it == "html") {
            translate_titles(&page)?;
        }
    }
    Ok(())
}

/// The mdBook that has called us: it need not be in PATH.
fn mdbook() -> PathBuf {
    let caller = format!("/proc/{}/exe", std::os::unix::process::parent_id());
    let caller = fs::read_link(caller).ok().filter(|path| path.file_stem().is_some_and(|name| name == "mdbook"));
    env::var_os("MDBOOK").map(PathBuf::from).or(caller).unwrap_or_else(|| "mdbook".into())
}

fn build(mdbook: &Path, language: &str, to: &Path, reload: Option<&str>) -> Result<()> {
    let mut command = Command::new(mdbook);
    command.arg("build").arg(checkout().join("book").join(language)).arg("--dest-dir").arg(to);
    // This program is up to date: cargo need not be asked again. mdBook takes the command apart as a shell does.
    let us = env::current_exe()?;
    command.env("MDBOOK_PREPROCESSOR__WORKBOOK__COMMAND", format!("'{}' mdbook", us.display()));
    if let Some(endpoint) = reload {
        command.env("MDBOOK_OUTPUT__HTML__LIVE_RELOAD_ENDPOINT", endpoint);
    }
    let status = command.status().with_context(|| mdbook.display().to_string())?;
    ensure!(status.success(), "the book in {language}: {status}");
    Ok(())
}

fn translate_titles(page: &Path) -> Result<()> {
    let text = fs::read_to_string(page)?;
    let title = |name: &str| format!("</svg>{name}</p>");
    let new = TITLES.iter().fold(text.clone(), |text, (en, ja)| text.replace(&title(en), &title(ja)));
    if new != text {
        fs::write(page, new)?;
    }
    Ok(())
}
