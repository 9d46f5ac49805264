//! The built book, the offline packs and the PDFs, for all computers of a room: what `scripts/serve --lan` calls.

use anyhow::{Result, anyhow};
use cluster::{Lang, tr};
use percent_encoding::percent_decode_str;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use tiny_http::{Header, Request, Response, ResponseBox, Server};

#[derive(clap::Args)]
pub struct Arguments {
    #[arg(long)]
    port: u16,
    /// The built book
    #[arg(long)]
    book: PathBuf,
    /// What scripts/offline-pack has made
    #[arg(long)]
    packs: PathBuf,
    /// What scripts/handout has made
    #[arg(long)]
    handout: PathBuf,
}

pub fn run(arguments: Arguments) -> Result<()> {
    let lang = Lang::from_env();
    let port = arguments.port;
    let listener = TcpListener::bind(("0.0.0.0", port)).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => anyhow!(tr!(
            lang,
            "port {port} is used by another program\n  next: scripts/serve --lan --port 8080",
            "ポート {port} はほかのプログラムが使用しています\n  次の操作: scripts/serve --lan --port 8080"
        )),
        _ => anyhow!("port {port}: {error}"),
    })?;
    let port = listener.local_addr()?.port();
    if files(&arguments.packs, "bgworkbook-", "").is_empty() {
        let packs = arguments.packs.display();
        println!(
            "{}",
            tr!(
                lang,
                "There is no offline pack in {packs}: only the book is served. To make one: scripts/offline-pack",
                "{packs} にオフラインパックがないため、本だけを配布します。パックを作るには: scripts/offline-pack"
            )
        );
    } else {
        println!(
            "{}",
            tr!(
                lang,
                "What was fetched is compared with: sha256sum --check --ignore-missing SHA256SUMS",
                "取得したファイルの照合: sha256sum --check --ignore-missing SHA256SUMS"
            )
        );
    }
    println!(
        "{}",
        tr!(
            lang,
            "This computer serves the book and the offline packs. Ctrl-C ends it. In the room:",
            "このコンピュータで、本とオフラインパックを配布しています。Ctrl-C で終了します。会場からのアドレス:"
        )
    );
    for address in addresses() {
        println!("  http://{address}:{port}/");
    }
    let server = Server::from_listener(listener, None).map_err(|error| anyhow!(error))?;
    let folders = Arc::new(arguments);
    for request in server.incoming_requests() {
        let folders = Arc::clone(&folders);
        // A whole room clicks at once, and an archive takes its time. An error is a laptop that was shut.
        thread::spawn(move || folders.answer(&request).map(|response| request.respond(response).ok()));
    }
    Ok(())
}

/// The addresses of this computer in the room.
fn addresses() -> Vec<String> {
    let said = Command::new("hostname").arg("-I").output().map(|done| done.stdout).unwrap_or_default();
    let found: Vec<String> = String::from_utf8_lossy(&said)
        .split_whitespace()
        .filter(|address| !address.contains(':'))
        .map(str::to_owned)
        .collect();
    if found.is_empty() { vec!["localhost".into()] } else { found }
}

/// The files of a folder that are called so.
fn files(folder: &Path, begin: &str, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.retain(|file| {
        file.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with(begin) && name.ends_with(end))
    });
    files.sort();
    files
}

impl Arguments {
    fn answer(&self, request: &Request) -> Result<ResponseBox> {
        let path = request.url().split(['?', '#']).next().unwrap_or_default();
        if path == "/" || path == "/index.html" {
            return Ok(Response::from_string(self.first_page())
                .with_header(header("Content-Type", "text/html; charset=utf-8")?)
                .boxed());
        }
        let Some(file) = self.file(path) else {
            return Ok(Response::from_string("not found").with_status_code(404).boxed());
        };
        if file.is_dir() && !path.ends_with('/') {
            return Ok(Response::empty(301).with_header(header("Location", &format!("{path}/"))?).boxed());
        }
        let file = if file.is_dir() { file.join("index.html") } else { file };
        match File::open(&file) {
            // In one piece: a browser says how much of an archive is there.
            Ok(open) => Ok(Response::from_file(open)
                .with_chunked_threshold(usize::MAX)
                .with_header(header("Content-Type", content_type(&file))?)
                .boxed()),
            Err(_) => Ok(Response::from_string("not found").with_status_code(404).boxed()),
        }
    }

    /// The file of an address: three folders under their names, and nothing above them.
    fn file(&self, path: &str) -> Option<PathBuf> {
        let path = percent_decode_str(path).decode_utf8().ok()?;
        let mut parts = path.trim_start_matches('/').trim_end_matches('/').split('/');
        let folder = match parts.next()? {
            "book" => &self.book,
            "packs" => &self.packs,
            "handout" => &self.handout,
            _ => return None,
        };
        parts.try_fold(folder.clone(), |folder, part| {
            (!["", ".", ".."].contains(&part) && !part.contains('\0')).then(|| folder.join(part))
        })
    }

    /// What there is, and what to do with it, in both languages.
    fn first_page(&self) -> String {
        let mut page = String::new();
        let link = |folder: &str, file: &Path, name: &str| {
            let size = file.metadata().map_or(0, |file| file.len().div_ceil(1 << 20));
            format!("<a href=\"/{folder}/{name}\">{name}</a> ({size} MB)")
        };
        let name = |file: &Path| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for file in files(&self.packs, "bgworkbook-offline-", ".tar") {
            let (link, name) = (link("packs", &file, &name(&file)), name(&file));
            let folder = name.trim_end_matches(".tar");
            page += &format!(
                "<h2>Debian, Ubuntu</h2>
<p>{link}, <a href=\"/packs/SHA256SUMS\">SHA256SUMS</a></p>
<pre>sha256sum --check --ignore-missing SHA256SUMS
tar -xf {name}
cd {folder}
./install</pre>
"
            );
        }
        for file in files(&self.packs, "bgworkbook-rootfs-", ".tar.gz") {
            let (link, name) = (link("packs", &file, &name(&file)), name(&file));
            page += &format!(
                "<h2>Windows (WSL)</h2>
<p>{link}, <a href=\"/packs/SHA256SUMS\">SHA256SUMS</a></p>
<pre>wsl --import bgworkbook C:\\bgworkbook {name}
wsl -d bgworkbook</pre>
"
            );
        }
        let papers: String = ["en", "ja"]
            .iter()
            .flat_map(|language| {
                files(&self.handout.join(language), "", ".pdf").into_iter().map(move |file| (language, file))
            })
            .map(|(language, file)| {
                format!("<li>{}</li>\n", link("handout", &file, &format!("{language}/{}", name(&file))))
            })
            .collect();
        if !papers.is_empty() {
            page += &format!("<h2>PDF</h2>\n<ul>\n{papers}</ul>\n");
        }
        format!(
            r#"<!doctype html>
<html lang="ja"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>PostgreSQL background worker workbook</title>
<style>body {{ font: 1.1rem/1.6 sans-serif; max-width: 45rem; margin: 2rem auto; padding: 0 1rem }}
h1 {{ font-size: 1.5rem }} h2 {{ font-size: 1.2rem; margin-top: 2rem }}
pre {{ background: #eee; color: #000; padding: .7rem; overflow-x: auto }}</style></head><body>
<h1>PostgreSQL background worker workbook</h1>
<p><a href="/book/ja/">本を読む (日本語)</a> · <a href="/book/en/" lang="en">Read the book (English)</a></p>
{page}</body></html>
"#
        )
    }
}

fn header(name: &str, value: &str) -> Result<Header> {
    Header::from_bytes(name, value).map_err(|()| anyhow!("{name}: {value}"))
}

fn content_type(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        Some("pdf") => "application/pdf",
        None | Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
