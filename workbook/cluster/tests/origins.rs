//! Each origin of each major is taken away, in four ways; the next one has to serve, or the message has to say what can be done.
//! And what is not installed in the ordinary run is installed here, and a server is started from it. Needs a network.

use libtest_mimic::{Arguments, Failed, Trial};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{env, fs, thread};

type Result<T = ()> = std::result::Result<T, Failed>;

/// How an origin is taken away.
const WAYS: [&str; 4] = ["unknown_host", "not_found", "other_file", "truncated"];

fn table() -> toml::Table {
    let path = cluster::checkout().join("postgresql.toml");
    toml::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn origins<'a>(table: &'a mut toml::Table, major: &str) -> &'a mut Vec<toml::Value> {
    table["major"][major]["origins"].as_array_mut().unwrap()
}

fn kind(origin: &toml::Value) -> &'static str {
    ["wheel", "packages", "tarball", "source"].into_iter().find(|kind| origin.get(kind).is_some()).unwrap()
}

/// A server on this machine that has nothing, or something else, or only the beginning: what the first folder of the path says.
fn serve_badly() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream));
        }
    });
    format!("http://{address}")
}

fn answer(mut stream: TcpStream) -> Option<()> {
    let mut request = [0; 4096];
    let read = stream.read(&mut request).ok()?;
    let request = String::from_utf8_lossy(&request[..read]).into_owned();
    let path = request.split(' ').nth(1)?;
    let mut parts = path.trim_matches('/').split('/');
    let (way, last) = (parts.next()?, path.trim_end_matches('/').rsplit('/').next()?);
    let (length, body) = if path.contains("/simple/") && path.ends_with('/') {
        let file =
            format!("{}-{}-py3-none-manylinux_2_28_{}.whl", last.replace('-', "_"), parts.next()?, env::consts::ARCH);
        let page = format!("<!DOCTYPE html><html><body><a href=\"/{way}/{file}\">{file}</a></body></html>");
        (page.len(), page)
    } else {
        match way {
            "other_file" => (14, "something else".to_owned()),
            "truncated" => (1_000_000, "the beginning".to_owned()),
            _ => {
                stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok()?;
                return Some(());
            }
        }
    };
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(format!("{head}{body}").as_bytes()).ok()
}

/// Takes an origin away.
fn sabotage(table: &mut toml::Table, major: &str, index: usize, way: &str, server: &str) {
    let base = if way == "unknown_host" { "http://nowhere.invalid".to_owned() } else { format!("{server}/{way}") };
    let origin = &mut origins(table, major)[index];
    let (key, value) = match kind(origin) {
        "wheel" => ("index", format!("{base}/{}/simple", origin["version"].as_str().unwrap())),
        "tarball" => {
            table.insert("tarballs".into(), vec![format!("{base}/{{version}}.tar.bz2")].into());
            return;
        }
        _ => ("mirror", format!("{base}/debian")),
    };
    origin.as_table_mut().unwrap().insert(key.into(), value.into());
}

/// Where set-up keeps what it has fetched: what is not taken away need not be fetched again.
fn downloads() -> Option<PathBuf> {
    let config = PathBuf::from(env::var_os("WORKBOOK_PG_CONFIG")?);
    Some(config.ancestors().nth(5)?.join("dl"))
}

fn run(what: &str, table: &toml::Table, taken: &[toml::Value], major: &str, folder: &Path) -> Result<Output> {
    for file in downloads().into_iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        let known = name.ends_with(".whl") || name.ends_with(".bz2");
        let is_taken = taken.iter().any(|origin| match (origin.get("wheel"), origin.get("tarball")) {
            (Some(wheel), _) => name.starts_with(wheel.as_str().unwrap()),
            (_, Some(version)) => name.contains(version.as_str().unwrap()),
            _ => false,
        });
        if known && !is_taken {
            fs::copy(file.path(), folder.join(name))?;
        }
    }
    let path = folder.join("postgresql.toml");
    fs::write(&path, toml::to_string(table)?)?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_cluster"));
    command.arg(what).args([folder, folder]).args([major, "--as-it-is"]);
    Ok(command.env("WORKBOOK_POSTGRESQL", path).env("WORKBOOK_LANG", "en").stdin(Stdio::null()).output()?)
}

/// The origins up to this one are not to be had: the first ones because their hosts are unknown, this one in the given way.
fn taken_away(major: &str, index: usize, way: &str) -> Result {
    let (mut table, server, folder) = (table(), serve_badly(), tempfile::tempdir()?);
    for earlier in 0..index {
        sabotage(&mut table, major, earlier, "unknown_host", &server);
    }
    sabotage(&mut table, major, index, way, &server);
    let all = origins(&mut table, major).clone();
    let name = |origin: &toml::Value| match kind(origin) {
        "wheel" => format!("{} {}", origin["wheel"].as_str().unwrap(), origin["version"].as_str().unwrap()),
        "tarball" => format!("postgresql-{}.tar.bz2", origin["tarball"].as_str().unwrap()),
        kind => {
            let suites: Vec<&str> = origin[kind].as_array().unwrap().iter().filter_map(toml::Value::as_str).collect();
            format!("Debian {}{}", suites.join(", "), if kind == "source" { ", source" } else { "" })
        }
    };
    let out = run("fetch", &table, &all[..=index], major, folder.path())?;
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    let shown = format!("{}\n{stdout}\n{stderr}", out.status);
    for origin in &all[..=index] {
        if !stderr.contains(&format!("not from {}: ", name(origin))) {
            return Err(format!("{} is not named: {shown}", name(origin)).into());
        }
    }
    let reason = stderr.split(&format!("not from {}: ", name(&all[index]))).nth(1).unwrap_or_default();
    let words: &[&str] = match (kind(&all[index]), way) {
        ("wheel", "unknown_host") => &["No matching distribution", "Could not find a version"],
        ("wheel", "not_found") => &["404"],
        ("wheel", "other_file") => &["DO NOT MATCH", "SHA-256"],
        ("wheel", _) => &["DO NOT MATCH", "IncompleteRead", "incomplete", "Connection"],
        (_, "unknown_host") => &["Could not resolve", "Temporary failure resolving"],
        ("tarball", "not_found") => &["404"],
        (_, "not_found") => &["does not have a Release file"],
        ("tarball", "other_file") => &["SHA-256"],
        (_, "other_file") => &["Clearsigned file isn't valid", "is not signed", "NOSPLIT"],
        _ => &["Undetermined Error", "Connection", "closed", "size"],
    };
    if !words.iter().any(|word| reason.contains(word)) {
        return Err(format!("the reason has none of {words:?}: {shown}").into());
    }
    if out.status.success() {
        let served = stdout.lines().find_map(|line| line.strip_prefix("fetched  ")).unwrap_or_default();
        let later = all[index + 1..].iter().any(|origin| served.starts_with(&name(origin)));
        return if later { Ok(()) } else { Err(format!("served by {served:?}: {shown}").into()) };
    }
    // Nothing is left, or what is left cannot be reached from here: the error names every origin, and what can be typed next.
    let error = stderr.split("error: ").nth(1).unwrap_or_default();
    let all_named = all.iter().all(|origin| error.contains(&name(origin)));
    let helps = error.contains("is not to be had here") && error.contains("next: ") && error.contains("--pg");
    if all_named && helps { Ok(()) } else { Err(format!("the message: {shown}").into()) }
}

/// An installation from this origin alone, and a server that runs from it.
fn serves(major: &str, index: usize) -> Result {
    let (mut table, folder) = (table(), tempfile::Builder::new().prefix("bgwo.").tempdir_in("/tmp")?);
    let origin = origins(&mut table, major).remove(index);
    *origins(&mut table, major) = vec![origin];
    let out = run("installation", &table, &[], major, folder.path())?;
    let shown = String::from_utf8_lossy(&out.stderr).into_owned();
    if !out.status.success() {
        return Err(shown.into());
    }
    let bin = folder.path().join("pg").join(major).join("bin");
    let script = r#"
set -e
cd "$1"; bin=$2
"$bin/initdb" -D "$1/data" --auth=trust --no-sync --username=postgres
"$bin/pg_ctl" -D "$1/data" -w -l "$1/log" -o "-k $1 -c listen_addresses=" start
"$bin/psql" -h "$1" -U postgres -XAtc "SELECT 'major ' || current_setting('server_version_num')::int / 10000" postgres
"$bin/pg_ctl" -D "$1/data" -w -m fast stop
"#;
    let place = folder.path().join("server");
    fs::create_dir(&place)?;
    let mut command = if env_is_root() {
        let all = Command::new("chmod").args(["a+rx"]).arg(folder.path()).status()?;
        let own = Command::new("chown").arg("nobody").arg(&place).status()?;
        assert!(all.success() && own.success());
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "bash"]);
        command
    } else {
        Command::new("bash")
    };
    let out = command.args(["-c", script, "_"]).arg(&place).arg(&bin).stdin(Stdio::null()).output()?;
    let stdout = String::from_utf8_lossy(&out.stdout);
    if out.status.success() && stdout.contains(&format!("\nmajor {major}\n")) {
        return Ok(());
    }
    Err(format!("{stdout}\n{}\n{shown}", String::from_utf8_lossy(&out.stderr)).into())
}

fn env_is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn main() {
    let mut trials = Vec::new();
    let mut table = table();
    let majors: Vec<String> = table["major"].as_table().unwrap().keys().cloned().collect();
    for major in majors {
        let all = origins(&mut table, &major).clone();
        for (index, origin) in all.iter().enumerate() {
            let name = format!("{major}/{}_{}", index + 1, kind(origin));
            for way in WAYS {
                let major = major.clone();
                trials.push(Trial::test(format!("{name}/{way}"), move || taken_away(&major, index, way)));
            }
            // The first is what set-up takes anyway, and is used by all other tests. A build takes minutes: only when asked for.
            let builds = matches!(kind(origin), "tarball" | "source");
            if index > 0 && (!builds || env::var_os("WORKBOOK_LONG").is_some()) {
                let major = major.clone();
                trials.push(Trial::test(format!("{name}/serves"), move || serves(&major, index)));
            }
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
