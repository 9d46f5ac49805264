//! `scripts/serve --lan`: what it gives out is what is there, byte for byte, in both languages, and nothing else of this machine.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn script(arguments: &[&str]) -> Command {
    let mut command = Command::new(cluster::checkout().join("scripts/serve"));
    command.env("WORKBOOK_LANG", "en").arg("--lan").args(arguments);
    command
}

/// A server that ends with the test, what it has said until its first address, and its port.
struct Server {
    process: Child,
    said: String,
    port: u16,
}

impl Server {
    fn start(packs: &Path) -> Self {
        let mut process =
            script(&["--port", "0", "--from", packs.to_str().unwrap()]).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        let mut port = None;
        for line in BufReader::new(process.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            said += &format!("{line}\n");
            if let Some((_, rest)) = line.split_once("http://") {
                port = rest.trim_end_matches('/').rsplit(':').next().and_then(|port| port.parse().ok());
                break;
            }
        }
        let port = port.unwrap_or_else(|| panic!("no address: {said}"));
        Self { process, said, port }
    }

    /// The status, and what is answered.
    fn get(&self, path: &str) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = vec![];
        stream.read_to_end(&mut answer).unwrap();
        let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        let status = String::from_utf8_lossy(&answer[..head]).split(' ').nth(1).unwrap().to_owned();
        (status, answer[head + 4..].to_vec())
    }

    fn has(&self, path: &str, text: &str) {
        let (status, body) = self.get(path);
        assert_eq!(status, "200", "{path}");
        assert!(String::from_utf8_lossy(&body).contains(text), "{path} does not have {text}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[test]
fn what_is_there_and_nothing_else() {
    let work = tempfile::tempdir().unwrap();
    let archive: Vec<u8> = (0..3_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(work.path().join("bgworkbook-offline-amd64.tar"), &archive).unwrap();
    fs::write(work.path().join("SHA256SUMS"), "a line\n").unwrap();
    let server = Server::start(work.path());
    assert!(server.said.contains("sha256sum --check"), "{}", server.said);
    server.has("/", "href=\"/book/ja/\"");
    server.has("/", "href=\"/book/en/\"");
    server.has("/", "href=\"/packs/bgworkbook-offline-amd64.tar\"");
    server.has("/", "cd bgworkbook-offline-amd64\n");
    server.has("/book/ja/index.html", "<html lang=\"ja\"");
    server.has("/book/en/", "<html lang=\"en\"");
    assert_eq!(server.get("/book/en").0, "301");
    let (status, body) = server.get("/packs/bgworkbook-offline-amd64.tar");
    assert!(status == "200" && body == archive, "the archive: {status}, {} bytes", body.len());
    server.has("/packs/SHA256SUMS", "a line\n");
    let elsewhere = [
        "/etc/passwd",
        "/packs/",
        "/packs/../../etc/passwd",
        "/packs/%2e%2e/%2e%2e/etc/passwd",
        "/packs/%2fetc/passwd",
        "/packs//etc/passwd",
    ];
    for path in elsewhere.into_iter().chain(["/book/../packs/SHA256SUMS", "/packs/none"]) {
        assert_eq!(server.get(path).0, "404", "{path}");
    }

    let port = server.port.to_string();
    let Output { status, stderr, .. } =
        script(&["--port", &port, "--from", work.path().to_str().unwrap()]).output().unwrap();
    let said = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.contains(&format!("error: port {port} is used")) && said.contains("  next: scripts/serve --lan --port"),
        "{said}"
    );
}

#[test]
fn without_packs_it_says_so_and_serves_the_book() {
    let server = Server::start(Path::new("/nowhere"));
    assert!(
        server.said.contains("no offline pack in /nowhere") && server.said.contains("scripts/offline-pack"),
        "{}",
        server.said
    );
    server.has("/book/ja/", "<html lang=\"ja\"");
}
