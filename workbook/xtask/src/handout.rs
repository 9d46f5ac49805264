//! The book on paper: the workbook with page numbers in its contents, the cheat sheet, the rescue cards.
//!
//! A page of the built book is printed by a headless Chromium, after `book/handout/paper.js` has made a document for paper of it. The
//! numbers of pages that the contents and the links name are known from a first pass only, so the workbook is printed until they stay.

use anyhow::{Context, Result, anyhow, bail};
use cluster::{Lang, Table, tr};
use indicatif::{ProgressBar, ProgressStyle};
use regex::Regex;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What is printed: its name as a file, and the page of the book.
const DOCUMENTS: [(&str, &str); 3] =
    [("workbook", "print.html"), ("cheatsheet", "cheatsheet.html"), ("rescue", "rescue.html")];

#[derive(clap::Args)]
pub struct Arguments {
    /// The languages of the book: en, ja
    #[arg(required = true, value_parser = ["en", "ja"])]
    languages: Vec<String>,
    #[arg(long, default_value = "a4", value_parser = ["a4", "letter"])]
    paper: String,
    /// With the solutions, for whoever leads
    #[arg(long)]
    solutions: bool,
    /// Only these: workbook, cheatsheet, rescue
    #[arg(long, value_delimiter = ',', default_value = "workbook,cheatsheet,rescue")]
    only: Vec<String>,
    /// Where each language gets a folder
    #[arg(long, default_value = "target/handout")]
    out: PathBuf,
    #[arg(long, default_value = "mdbook")]
    mdbook: PathBuf,
    #[arg(long, default_value = "chromium")]
    chromium: PathBuf,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let lang = Lang::from_env();
    print_all(arguments, lang).map_err(|error| {
        anyhow!(tr!(
            lang,
            "the PDFs were not made: {error:#}\n  next: scripts/serve, to see whether the book itself is all right",
            "PDF を作成できませんでした。{error:#}\n  次の操作: scripts/serve で本が正しく表示されるかを確認してください"
        ))
    })
}

fn print_all(arguments: &Arguments, lang: Lang) -> Result<()> {
    let root = cluster::checkout();
    let out = root.join(&arguments.out);
    fs::create_dir_all(&out)?;
    let work = tempfile::tempdir_in(&out)?;
    let book = work.path().join("book");
    output(Command::new(&arguments.mdbook).arg("build").arg(root.join("book")).arg("--dest-dir").arg(&book))?;
    let machine = output(Command::new(&arguments.chromium).arg("--version"))? + &output(&mut Command::new("fc-list"))?;
    for language in &arguments.languages {
        let printer = Printer {
            arguments,
            work: work.path(),
            book: book.join("html").join(language),
            language,
            versions: versions(root)?,
        };
        let documents: Vec<&str> = DOCUMENTS
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| arguments.only.iter().any(|only| only == name))
            .collect();
        // Whatever the PDFs are made from. The names of style sheets and fonts in it change with what is in them.
        let mut hash = Sha256::new_with_prefix(&machine);
        for name in &documents {
            hash.update(printer.document(name, &BTreeMap::new())?);
        }
        let key: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let solutions = if arguments.solutions { "-solutions" } else { "" };
        let known = out.join(format!(".{language}-{}{solutions}", arguments.paper));
        let files: Vec<PathBuf> = documents
            .iter()
            .map(|name| {
                let solutions = if *name == "workbook" { solutions } else { "" };
                arguments.out.join(language).join(format!("{name}{solutions}-{}.pdf", arguments.paper))
            })
            .collect();
        if fs::read_to_string(&known).is_ok_and(|known| known == key)
            && files.iter().all(|file| root.join(file).exists())
        {
            println!(
                "{}",
                tr!(lang, "nothing has changed since they were printed", "前回の作成から変わったところはありません")
            );
        } else {
            let called = match (lang, language.as_str()) {
                (Lang::En, "en") => "English",
                (Lang::En, _) => "Japanese",
                (Lang::Ja, "en") => "英語版",
                (Lang::Ja, _) => "日本語版",
            };
            let label = tr!(lang, "printing the PDFs in {called}", "{called}の PDF を作成しています");
            let bar = ProgressBar::new_spinner()
                .with_style(ProgressStyle::with_template("  {msg}: {elapsed}")?)
                .with_message(label.clone());
            bar.enable_steady_tick(Duration::from_secs(1));
            fs::create_dir_all(out.join(language))?;
            fs::remove_file(&known).ok();
            for (name, file) in documents.iter().zip(&files) {
                fs::rename(printer.print(name)?, root.join(file))?;
            }
            fs::write(&known, &key)?;
            let seconds = bar.elapsed().as_secs();
            bar.finish_and_clear();
            println!("{}", tr!(lang, "  {label}: done in {seconds} s", "  {label}: 完了 ({seconds} 秒)"));
        }
        for file in &files {
            let pages = first(r"(?m)^Pages: +(\d+)", &output(Command::new("pdfinfo").arg(root.join(file)))?)?;
            let size = fs::metadata(root.join(file))?.len().div_ceil(1000);
            let file = file.display();
            println!("{}", tr!(lang, "{file}: {pages} pages, {size} kB", "{file}: {pages} ページ、{size} kB"));
        }
    }
    Ok(())
}

struct Printer<'a> {
    arguments: &'a Arguments,
    work: &'a Path,
    /// The built book of the language.
    book: PathBuf,
    language: &'a str,
    versions: serde_json::Value,
}

impl Printer<'_> {
    /// The HTML that is printed, with the page of each id that something links to.
    fn document(&self, name: &str, pages: &BTreeMap<String, u32>) -> Result<String> {
        let (_, file) = DOCUMENTS.iter().find(|(known, _)| *known == name).context("no such document")?;
        let page = fs::read_to_string(self.book.join(file)).with_context(|| format!("the built book: {file}"))?;
        let handout = json!({
            "name": name, "language": self.language, "paper": self.arguments.paper, "versions": self.versions, "pages": pages,
            "solutions": self.arguments.solutions && name == "workbook",
        });
        let sheets: String = ["css/variables", "fonts/fonts", "highlight", "assets/workbook"]
            .iter()
            .map(|name| Ok(format!("<link rel=stylesheet href={}>", resource(&page, name, "css")?)))
            .collect::<Result<_>>()?;
        Ok(format!(
            r#"<!DOCTYPE html><html lang="{}" class="light"><head><meta charset="utf-8">
<title>{}</title><meta name="description" content="{}">{sheets}<style>{}</style></head>
<body><main>{}</main><template id="toc">{}</template>
<script src="{}"></script><script src="{}"></script><script>const handout = {handout};
{}</script></body></html>"#,
            self.language,
            first(r"(?s)<title>(.*?)</title>", &page)?,
            first(r#"(?s)<meta name="description" content="(.*?)""#, &page)?,
            include_str!("../../../book/handout/paper.css"),
            first(r"(?s)<main>(.*)</main>", &page)?,
            fs::read_to_string(self.book.join("toc.html"))?,
            resource(&page, "highlight", "js")?,
            resource(&page, "assets/console", "js")?,
            include_str!("../../../book/handout/paper.js"),
        ))
    }

    /// Prints a document until its numbers of pages stay what they are.
    fn print(&self, name: &str) -> Result<PathBuf> {
        let pdf = self.work.join(format!("{name}.pdf"));
        let place = Regex::new(r#"(?m)^ *(\d+) .*"(.*)"$"#)?;
        let mut pages = BTreeMap::new();
        for _ in 0..5 {
            self.chromium(&self.document(name, &pages)?, &pdf)?;
            if name != "workbook" {
                return Ok(pdf);
            }
            let destinations = output(Command::new("pdfinfo").arg("-dests").arg(&pdf))?;
            let found = place
                .captures_iter(&destinations)
                .map(|line| Ok((line[2].to_owned(), line[1].parse()?)))
                .collect::<Result<_>>()?;
            if pages == found {
                return Ok(pdf);
            }
            pages = found;
        }
        bail!("the numbers of the pages do not settle")
    }

    fn chromium(&self, html: &str, pdf: &Path) -> Result<()> {
        let source = self.book.join("handout.html");
        fs::write(&source, html)?;
        let profile = tempfile::tempdir()?;
        // Its sandbox needs user namespaces, which a container may not have; it reads only what was just built.
        let done = Command::new("timeout")
            .arg("180")
            .arg(&self.arguments.chromium)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr"])
            .args(["--no-pdf-header-footer", "--generate-pdf-document-outline"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("--print-to-pdf={}", pdf.display()))
            .arg(format!("file://{}", source.display()))
            .output()?;
        let said = String::from_utf8_lossy(&done.stderr);
        if done.status.code() == Some(124) {
            bail!("Chromium has not printed within three minutes");
        }
        if let Some(error) = said.lines().find(|line| line.contains("Uncaught")) {
            bail!("paper.js: {error}");
        }
        if !done.status.success() || !pdf.exists() {
            let lines: Vec<&str> = said.lines().collect();
            bail!("Chromium has printed nothing:\n{}", lines[lines.len().saturating_sub(8)..].join("\n"));
        }
        Ok(())
    }
}

/// The file that a page loads, whose name ends in a hash of what is in it.
fn resource(page: &str, name: &str, extension: &str) -> Result<String> {
    first(&format!(r#"="({name}-[0-9a-f]+\.{extension})""#), page)
}

fn first(pattern: &str, text: &str) -> Result<String> {
    let found = Regex::new(pattern)?.captures(text).with_context(|| format!("nothing is like {pattern}"))?;
    Ok(found[1].to_owned())
}

/// What a program prints, or its last lines when it fails.
fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let done = command.output().with_context(|| program.clone())?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        let lines: Vec<&str> = said.lines().collect();
        bail!("{program}:\n{}", lines[lines.len().saturating_sub(5)..].join("\n"));
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// What the title page names.
fn versions(root: &Path) -> Result<serde_json::Value> {
    let table = Table::read(&root.join("postgresql.toml")).map_err(|error| anyhow!(error))?;
    let others: Vec<String> =
        table.majors.keys().filter(|major| **major != table.default).map(u16::to_string).collect();
    Ok(json!({
        "postgresql": table.default,
        "others": others.join(", "),
        "pgrx": first(r#"(?m)^pgrx = "=(.*)""#, &fs::read_to_string(root.join("Cargo.toml"))?)?,
        "rust": first(r#"(?m)^channel = "(.*)""#, &fs::read_to_string(root.join("rust-toolchain.toml"))?)?,
    }))
}
