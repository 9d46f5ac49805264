//! `cargo workbook doctor`: what can be wrong with the machine, each with the command that mends it.
//!
//! The texts are in `workbook/cli/doctor.toml`. Nothing is changed here: the reader types the command.

use cluster::process::server_of;
use cluster::{Lang, tr};
use course::bilingual::{Bilingual, fill};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The texts of a rule.
#[derive(Deserialize)]
pub struct Texts {
    /// What is looked at.
    pub title: Bilingual,
    /// What is wrong; `{found}`, `{wanted}` and `{path}` are filled in. Empty where nothing is demanded.
    #[serde(default)]
    pub wrong: Bilingual,
    /// The command that mends it, where it is the same on each machine.
    pub mend: Option<String>,
}

/// The texts of all rules, by their ids. Also for those who print them on paper.
pub fn texts() -> Result<BTreeMap<String, Texts>, toml::de::Error> {
    toml::from_str(include_str!("../../doctor.toml"))
}

/// What a rule has to say.
pub struct Finding {
    /// The rule.
    pub id: &'static str,
    /// What was found.
    pub found: String,
    /// If it is a fault: what the texts want to know, and the command that mends it.
    pub fault: Option<Fault>,
}

/// A fault.
#[derive(Default)]
pub struct Fault {
    /// What there should be.
    pub wanted: String,
    /// Where.
    pub path: String,
    /// The command that mends it; empty where it is the one of `doctor.toml`.
    pub mend: String,
}

/// Free space that a build and the throw-away clusters need.
const ROOM_MB: u64 = 1000;

/// Looks at everything, in the order in which it is needed.
pub fn examine(root: &Path) -> Vec<Finding> {
    let machine = Machine::look(root);
    let rules: &[fn(&Machine) -> Vec<Finding>] = &[
        Machine::system,
        Machine::rust,
        Machine::compiler,
        Machine::libclang,
        Machine::ps,
        Machine::cache_path,
        Machine::cache_owner,
        Machine::disk,
        Machine::cargo_pgrx,
        Machine::own_postgresql,
        Machine::postgresql,
        Machine::root_may_run,
        Machine::user,
        Machine::localhost,
        Machine::port,
        Machine::stale_pid,
        Machine::preload,
        Machine::locale,
        Machine::variables,
        Machine::progress,
    ];
    let texts = texts().unwrap_or_default();
    let mut findings: Vec<_> = rules.iter().flat_map(|rule| rule(&machine)).collect();
    for finding in &mut findings {
        if let (Some(fault), Some(text)) = (&mut finding.fault, texts.get(finding.id))
            && fault.mend.is_empty()
        {
            fault.mend = text.mend.clone().unwrap_or_default();
        }
    }
    findings
}

/// Prints the findings and returns whether all is well.
pub fn show(findings: &[Finding], lang: Lang, json: bool) -> Result<bool, toml::de::Error> {
    let texts = texts()?;
    let mut list = Vec::new();
    for finding in findings {
        let Some(text) = texts.get(finding.id) else { continue };
        let title = text.title.get(lang);
        let Finding { found, .. } = finding;
        match &finding.fault {
            None => {
                if !json {
                    println!("{}", tr!(lang, "ok      {title}: {found}", "正常    {title}: {found}"));
                }
                list.push(serde_json::json!({"id": finding.id, "ok": true, "title": title, "found": found}));
            }
            Some(fault) => {
                let (wanted, path, mend) = (&fault.wanted, &fault.path, &fault.mend);
                let wrong = fill(text.wrong.get(lang), &[("found", found), ("wanted", wanted), ("path", path)]);
                if !json {
                    println!("{}", tr!(lang, "FAULT   {title}: {wrong}", "異常    {title}: {wrong}"));
                    println!("{}", tr!(lang, "        mend it: {mend}", "        対処: {mend}"));
                }
                list.push(serde_json::json!(
                    {"id": finding.id, "ok": false, "title": title, "found": found, "wrong": wrong, "mend": mend}));
            }
        }
    }
    let faults = findings.iter().filter(|finding| finding.fault.is_some()).count();
    if json {
        println!("{}", serde_json::json!({"schema": 1, "findings": list, "faults": faults}));
    } else if faults == 0 {
        println!(
            "{}",
            tr!(lang, "\nNothing is wrong with this machine.", "\nこのマシンに問題は見つかりませんでした。")
        );
    } else {
        let once_more = "cargo workbook doctor";
        println!(
            "{}",
            tr!(
                lang,
                "\n{faults} to mend. Type the commands, in this shell, then: {once_more}",
                "\n問題が {faults} 件あります。表示されたコマンドをこのシェルで実行した後: {once_more}"
            )
        );
    }
    Ok(faults == 0)
}

/// What the scripts make of the environment: asked from the scripts themselves, so that both always agree.
struct Machine {
    root: PathBuf,
    facts: BTreeMap<String, String>,
}

fn good(id: &'static str, found: impl Into<String>) -> Vec<Finding> {
    vec![Finding { id, found: found.into(), fault: None }]
}

fn bad(id: &'static str, found: impl Into<String>, fault: Fault) -> Vec<Finding> {
    vec![Finding { id, found: found.into(), fault: Some(fault) }]
}

fn mend(command: impl Into<String>) -> Fault {
    Fault { mend: command.into(), ..Fault::default() }
}

/// What a program prints, if it can be run and ends well.
fn ask(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Option<String> {
    let out = Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

/// A path as a shell takes it.
fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

fn version(text: &str) -> Vec<u32> {
    text.split(['.', '-', ' ']).map_while(|part| part.parse().ok()).collect()
}

impl Machine {
    fn look(root: &Path) -> Self {
        let script = r#"
            cd "$1"; . scripts/lib/common.sh; . scripts/lib/tools.sh
            wanted=${WORKBOOK_CACHE:-}
            for pair in "cache=$CACHE" "wanted_cache=$wanted" "here=$HERE" "pgrx=$PGRX_VERSION" "majors=$MAJORS" "target=$(target_dir)" \
                "cargo_pgrx=$(find_cargo_pgrx || true)" "pg_config=$(selected_pg_config "$(chosen_pg)")" \
                "other_pgrx=$(tool_version cargo-pgrx pgrx || true)"; do printf '%s\n' "$pair"; done"#;
        let text = ask("bash", &["-c", script, "doctor", &root.to_string_lossy()]).unwrap_or_default();
        let facts = text.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect();
        Self { root: root.into(), facts }
    }

    fn fact(&self, name: &str) -> &str {
        self.facts.get(name).map_or("", String::as_str)
    }

    fn steps(&self) -> Vec<PathBuf> {
        let here = fs::read_dir(self.fact("here")).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut steps: Vec<_> = here.filter(|path| path.join("config.toml").exists()).collect();
        steps.sort();
        steps
    }

    /// The data directories of the steps' servers.
    fn clusters(&self) -> Vec<PathBuf> {
        let inside = self.steps().into_iter().flat_map(|step| fs::read_dir(step).into_iter().flatten().flatten());
        let mut all: Vec<_> =
            inside.map(|entry| entry.path()).filter(|path| path.join("PG_VERSION").exists()).collect();
        all.sort();
        all
    }

    fn system(&self) -> Vec<Finding> {
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or(std::env::consts::OS);
        good("system", format!("{}, {}", name.trim_matches('"'), std::env::consts::ARCH))
    }

    fn rust(&self) -> Vec<Finding> {
        let text = fs::read_to_string(self.root.join("rust-toolchain.toml")).unwrap_or_default();
        let wanted = text.lines().find_map(|line| line.strip_prefix("channel = \"")?.strip_suffix('"')).unwrap_or("1");
        let of = |rustc: &Path| {
            let out = Command::new(rustc).arg("--version").current_dir(&self.root).stderr(Stdio::null()).output();
            let text = out.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default();
            text.split_whitespace().nth(1).unwrap_or("?").to_owned()
        };
        let found = of(Path::new("rustc"));
        if version(&found) >= version(wanted) {
            return good("rust", found);
        }
        let home = std::env::var("CARGO_HOME").unwrap_or_else(|_| {
            let home = std::env::var("HOME").unwrap_or_default();
            format!("{home}/.cargo")
        });
        let command = if std::env::var("RUSTUP_TOOLCHAIN").is_ok_and(|name| !name.starts_with(wanted)) {
            "unset RUSTUP_TOOLCHAIN".to_owned()
        } else if version(&of(&Path::new(&home).join("bin/rustc"))) >= version(wanted) {
            format!("export PATH=\"{home}/bin:$PATH\"")
        } else if on_path("rustup") {
            format!("rustup toolchain install {wanted}")
        } else if Path::new(self.fact("cache")).join(format!("tools/rust-{wanted}")).is_dir() {
            ". scripts/env step1".to_owned() // set-up has fetched Debian's
        } else {
            "scripts/setup".to_owned()
        };
        bad("rust", found, Fault { wanted: wanted.into(), ..mend(command) })
    }

    fn compiler(&self) -> Vec<Finding> {
        let script = "printf '#include <stdio.h>\\nint main(void){return 0;}\\n' | cc -x c -o /dev/null - 2>&1 || exit 1; cc --version";
        let out = Command::new("bash").args(["-c", script]).stdin(Stdio::null()).output();
        let (ok, text) = out.map_or((false, String::new()), |out| {
            (
                out.status.success(),
                String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr),
            )
        });
        let first = text.lines().next().unwrap_or("cc").to_owned();
        if ok { good("compiler", first) } else { bad("compiler", first, Fault::default()) }
    }

    fn libclang(&self) -> Vec<Finding> {
        let holds = |folder: &Path| {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().starts_with("libclang"))
        };
        if let Some(path) = std::env::var_os("LIBCLANG_PATH").map(PathBuf::from) {
            return match holds(&path) {
                true => good("libclang", path.display().to_string()),
                false => {
                    let path = path.display().to_string();
                    bad("libclang_path", path.clone(), Fault { path, ..Fault::default() })
                }
            };
        }
        let script = "for d in /usr/lib/llvm-*/lib /usr/lib/*-linux-gnu /usr/lib64 /usr/lib /usr/local/lib; do
            if compgen -G \"$d/libclang*.so*\" > /dev/null && { compgen -G '/usr/lib/llvm-*/lib/clang/*/include/stddef.h' ||
                compgen -G '/usr/lib*/clang/*/include/stddef.h'; } > /dev/null; then echo \"$d\"; exit; fi; done; exit 1";
        match ask("bash", &["-c", script]) {
            Some(path) => good("libclang", path),
            None => bad("libclang", "", Fault::default()),
        }
    }

    fn ps(&self) -> Vec<Finding> {
        match ask("ps", &["-o", "pid=", "-p", "1"]) {
            Some(_) => good("ps", "ps"),
            None => bad("ps", "", Fault::default()),
        }
    }

    fn cache_path(&self) -> Vec<Finding> {
        let (wanted, cache) = (self.fact("wanted_cache"), self.fact("cache"));
        if !wanted.is_empty() && wanted != cache {
            return bad("cache_path", wanted, Fault { path: wanted.into(), ..Fault::default() });
        }
        good("cache_path", cache)
    }

    fn cache_owner(&self) -> Vec<Finding> {
        let cache = self.fact("cache");
        let me = ask("id", &["-un"]).unwrap_or_default();
        let owner = ask("stat", &["-c", "%U", cache]).unwrap_or_else(|| me.clone());
        if owner == me {
            return good("cache_owner", owner);
        }
        let command = format!("chown -R {me} {cache}");
        let command = if me == "root" { command } else { format!("sudo {command}") };
        bad("cache_owner", owner, Fault { wanted: me, path: cache.into(), mend: command })
    }

    fn disk(&self) -> Vec<Finding> {
        for folder in [self.fact("target"), self.fact("here"), "/tmp"] {
            let there = Path::new(folder).ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
            let text = ask("df", &["-Pk", &there.to_string_lossy()]).unwrap_or_default();
            let free = text.lines().nth(1).and_then(|line| line.split_whitespace().nth(3)?.parse::<u64>().ok());
            let Some(free) = free.map(|kb| kb / 1024) else { continue };
            if free < ROOM_MB {
                let fault = Fault {
                    wanted: ROOM_MB.to_string(),
                    path: there.display().to_string(),
                    ..mend("scripts/clean && rm -rf target/workshops && scripts/setup")
                };
                return bad("disk", free.to_string(), fault);
            }
        }
        good("disk", format!("> {ROOM_MB} MB"))
    }

    fn cargo_pgrx(&self) -> Vec<Finding> {
        let (found, wanted) = (self.fact("cargo_pgrx"), self.fact("pgrx"));
        if !found.is_empty() {
            return good("cargo_pgrx", format!("{wanted} ({found})"));
        }
        let other = self.fact("other_pgrx");
        let other = if other.is_empty() { "-" } else { other };
        bad("cargo_pgrx", other, Fault { wanted: wanted.into(), ..Fault::default() })
    }

    fn own_postgresql(&self) -> Vec<Finding> {
        let set = |name: &'static str| Some((name, std::env::var(name).ok().filter(|value| !value.is_empty())?));
        let Some((name, path)) = set("WORKBOOK_PG").or_else(|| set("PG_CONFIG")) else { return Vec::new() };
        let unset = || Fault { path: path.clone(), ..mend(format!("unset {name}")) };
        // A number stands for one of the majors that set-up brings.
        let found = if path.bytes().all(|byte| byte.is_ascii_digit()) {
            path.clone()
        } else {
            match ask(&path, &["--version"]) {
                Some(text) => text.split_whitespace().nth(1).unwrap_or("?").to_owned(),
                None => return bad("own_postgresql", "", unset()),
            }
        };
        let major: u32 = found.split(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse().ok()).unwrap_or(0);
        let majors: Vec<u32> = self.fact("majors").split(' ').flat_map(str::parse).collect();
        match (majors.first(), majors.last()) {
            (Some(oldest), _) if major < *oldest => {
                bad("too_old", found, Fault { wanted: format!(">= {oldest}"), ..unset() })
            }
            (_, Some(newest)) if major > *newest => {
                bad("too_new", found, Fault { wanted: format!("<= {newest}"), ..unset() })
            }
            _ => good("own_postgresql", found),
        }
    }

    fn postgresql(&self) -> Vec<Finding> {
        let config = PathBuf::from(self.fact("pg_config"));
        let path = config.display().to_string();
        if !config.exists() {
            return bad("postgresql", "", Fault { path, ..Fault::default() });
        }
        let mut all = good("postgresql", path);
        let prefix = config.ancestors().nth(2).unwrap_or(&config);
        let again = format!("rm -rf {} && scripts/setup", quoted(prefix));
        let out = Command::new(config.with_file_name("postgres")).arg("--version").stdin(Stdio::null()).output();
        match out {
            Ok(out) if out.status.success() => {
                all.extend(good("postgresql_runs", String::from_utf8_lossy(&out.stdout).trim()));
            }
            Ok(out) => {
                let text = String::from_utf8_lossy(&out.stderr).into_owned();
                all.extend(bad("postgresql_runs", text.lines().next().unwrap_or("?"), mend(&again)));
            }
            Err(error) => all.extend(bad("postgresql_runs", error.to_string(), mend(&again))),
        }
        let headers = ask(&config, &["--includedir-server"]).unwrap_or_default();
        let header = Path::new(&headers).join("postgres.h");
        let path = header.display().to_string();
        match header.exists() {
            true => all.extend(good("headers", headers)),
            false => all.extend(bad("headers", "", Fault { path, ..mend(again) })),
        }
        all
    }

    fn root_may_run(&self) -> Vec<Finding> {
        let config = PathBuf::from(self.fact("pg_config"));
        if fs::metadata("/proc/self").map_or(1, |me| me.uid()) != 0 || !config.exists() {
            return Vec::new();
        }
        let bin = config.parent().unwrap_or(&config);
        let wrapped = ["initdb", "pg_ctl"].iter().all(|name| bin.join(format!("{name}.real")).exists());
        match wrapped {
            true => good("root", "nobody"),
            false => {
                let prefix = bin.parent().unwrap_or(bin);
                let command = format!("rm -rf {} && scripts/setup", quoted(prefix));
                bad("root", "", Fault { path: bin.display().to_string(), ..mend(command) })
            }
        }
    }

    fn user(&self) -> Vec<Finding> {
        let (found, wanted) = (std::env::var("USER").unwrap_or_default(), ask("id", &["-un"]).unwrap_or_default());
        if found == wanted {
            return good("user", found);
        }
        bad("user", found, Fault { wanted, ..Fault::default() })
    }

    fn localhost(&self) -> Vec<Finding> {
        match ask("getent", &["hosts", "localhost"]) {
            Some(text) => good("localhost", text.split_whitespace().next().unwrap_or("localhost")),
            None => bad("localhost", "", Fault::default()),
        }
    }

    fn port(&self) -> Vec<Finding> {
        let mut all = Vec::new();
        for data in self.clusters() {
            let Some(step) = data.parent() else { continue };
            let config = fs::read_to_string(step.join("config.toml")).unwrap_or_default();
            let base = config.lines().find_map(|line| line.strip_prefix("base_port = ")?.parse::<u16>().ok());
            let major =
                data.file_name().and_then(|name| name.to_string_lossy().strip_prefix("data-")?.parse::<u16>().ok());
            let (Some(base), Some(major)) = (base, major) else { continue };
            if listens(base + major) && server_of(&self.root, &data).is_none() {
                let name = step.file_name().unwrap_or_default().to_string_lossy().into_owned();
                // Selecting the step gives it another port.
                let command = format!("scripts/lib/environment.sh {name} --quiet > /dev/null");
                all.extend(bad("port", (base + major).to_string(), mend(command)));
            }
        }
        if all.is_empty() { good("port", "127.0.0.1") } else { all }
    }

    fn stale_pid(&self) -> Vec<Finding> {
        let mut all = Vec::new();
        for data in self.clusters() {
            let file = data.join("postmaster.pid");
            let Ok(text) = fs::read_to_string(&file) else { continue };
            if server_of(&self.root, &data).is_none() {
                let number = text.lines().next().unwrap_or("?").trim();
                // Who has the number now, if anybody has.
                let found = match ask("ps", &["-o", "args=", "-p", number]) {
                    Some(other) => format!("{number} ({other})"),
                    None => number.to_owned(),
                };
                let fault = Fault { path: file.display().to_string(), ..mend(format!("rm -f {}", quoted(&file))) };
                all.extend(bad("stale_pid", found, fault));
            }
        }
        if all.is_empty() { good("stale_pid", "-") } else { all }
    }

    fn preload(&self) -> Vec<Finding> {
        let lib = ask(self.fact("pg_config"), &["--pkglibdir"]).unwrap_or_default();
        let mut all = Vec::new();
        for data in self.clusters() {
            let file = data.join("postgresql.auto.conf");
            let text = fs::read_to_string(&file).unwrap_or_default();
            let value = text.lines().filter_map(|line| line.strip_prefix("shared_preload_libraries = ")).next_back();
            let names =
                value.unwrap_or_default().trim_matches('\'').split(',').map(|name| name.trim().trim_matches('"'));
            for name in names.filter(|name| !name.is_empty() && !name.starts_with("step")) {
                if !Path::new(&lib).join(format!("{name}.so")).exists() {
                    let command = format!("sed -i '/^shared_preload_libraries/d' {}", quoted(&file));
                    all.extend(bad("preload", name, Fault { path: file.display().to_string(), ..mend(command) }));
                }
            }
        }
        if all.is_empty() { good("preload", "-") } else { all }
    }

    fn locale(&self) -> Vec<Finding> {
        let found = ask("locale", &["charmap"]).unwrap_or_default();
        if found == "UTF-8" || Lang::from_env() == Lang::En {
            return good("locale", found);
        }
        bad("locale", found, Fault::default())
    }

    fn variables(&self) -> Vec<Finding> {
        let set = |names: &[&'static str]| -> Vec<&'static str> {
            names.iter().copied().filter(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty())).collect()
        };
        let mut all = Vec::new();
        for (id, names) in
            [("rustflags", &["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"][..]), ("pgrx_variables", &["PGRX_PG_CONFIG_PATH"])]
        {
            let found = set(names);
            match found.is_empty() {
                true => all.extend(good(id, "-")),
                false => all.extend(bad(id, found.join(" "), mend(format!("unset {}", found.join(" "))))),
            }
        }
        all
    }

    fn progress(&self) -> Vec<Finding> {
        let file = self.root.join("work/progress.json");
        let Ok(text) = fs::read_to_string(&file) else { return good("progress", "-") };
        match serde_json::from_str::<crate::progress::Progress>(&text) {
            Ok(_) => good("progress", "work/progress.json"),
            Err(error) => {
                let path = file.display().to_string();
                let command = format!("mv --backup=numbered {0} {0}.broken", quoted(&file));
                bad("progress", error.to_string(), Fault { path, ..mend(command) })
            }
        }
    }
}

/// Does anything listen on this port of this machine?
fn listens(port: u16) -> bool {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_millis(300)).is_ok()
}
