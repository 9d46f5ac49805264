//! apt with a state of its own: nothing is installed, the machine's lists stay as they are, and what comes is signed by Debian.

use crate::command::{self, Progress};
use crate::{Lang, tr};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const HELPER: &str = "/usr/lib/apt/apt-helper";

/// The mirrors that this machine's apt uses: of Debian itself, and of its security updates.
#[derive(Clone, Debug, Default)]
pub struct Mirrors {
    /// `…/debian`
    pub debian: Option<String>,
    /// `…/debian-security`
    pub security: Option<String>,
}

impl Mirrors {
    /// Asks apt, without a network and without its lists.
    pub fn of_this_machine() -> Self {
        let uris = command::output(Command::new("apt-get").args(["update", "--print-uris"])).unwrap_or_default();
        let archives: Vec<(&str, &str)> = uris
            .lines()
            .filter_map(|line| line.strip_prefix('\'')?.split('\'').next()?.split_once("/dists/"))
            .filter_map(|(base, rest)| Some((base, rest.split('/').next()?)))
            .collect();
        let find = |wanted: fn(&str, &str) -> bool| {
            archives.iter().find(|(base, suite)| wanted(base, suite)).map(|(base, _)| (*base).to_owned())
        };
        Self {
            debian: find(|base, suite| base.ends_with("/debian") && !suite.contains('-')),
            security: find(|base, suite| base.ends_with("/debian-security") && suite.ends_with("-security")),
        }
    }
}

/// An apt that knows only these suites, in a folder of its own.
pub struct Apt {
    folder: PathBuf,
    progress: Progress,
    label: String,
}

impl Apt {
    /// Fetches the lists of the suites.
    ///
    /// # Errors
    /// Why there are none: no apt, no mirror, no keys, no network.
    pub fn start(
        folder: &Path,
        kind: &str,
        suites: &[String],
        mirror: Option<&str>,
        label: &str,
        progress: &Progress,
    ) -> Result<Self, String> {
        let lang = progress.lang;
        if let Some(program) = ["apt-get", "dpkg-deb"].into_iter().find(|program| !command::exists(program)) {
            return Err(tr!(lang, "this machine has no {program}", "このマシンには {program} がありません"));
        }
        let mut mirrors = Mirrors::of_this_machine();
        if let Some(mirror) = mirror {
            mirrors = Mirrors { debian: Some(mirror.to_owned()), security: Some(mirror.to_owned()) };
        }
        let debian = mirrors.debian.ok_or_else(|| {
            tr!(
                lang,
                "apt's sources (/etc/apt) name no mirror of Debian",
                "apt の取得元 (/etc/apt) に Debian のミラーがありません"
            )
        })?;
        if !Path::new(KEYRING).exists() {
            return Err(tr!(
                lang,
                "Debian's keys are not here ({KEYRING}): apt-get install debian-archive-keyring",
                "Debian の鍵がありません ({KEYRING}): apt-get install debian-archive-keyring"
            ));
        }
        let security = mirrors.security.unwrap_or_else(|| format!("{debian}-security"));
        let lines: String = suites
            .iter()
            .map(|suite| {
                let base = if suite.ends_with("-security") { &security } else { &debian };
                // The lists of sid expire after a week, and some mirrors are older. They are signed all the same.
                format!("{kind} [signed-by={KEYRING} check-valid-until=no] {base} {suite} main\n")
            })
            .collect();
        let apt = Self { folder: folder.to_owned(), progress: progress.clone(), label: label.to_owned() };
        let write = || {
            for part in ["state/lists/partial", "cache/archives/partial", "got"] {
                fs::create_dir_all(folder.join(part))?;
            }
            fs::write(folder.join("status"), "")?; // as if nothing were installed: what comes is whole by itself
            // Nothing else is taken from experimental, where it is asked; there the newer version counts, as everywhere.
            let newest = "Package: libpq5 postgresql-*\nPin: release a=experimental\nPin-Priority: 500\n";
            fs::write(folder.join("preferences"), newest)?;
            fs::write(folder.join("sources.list"), lines)
        };
        write().map_err(|error| format!("{}: {error}", folder.display()))?;
        apt.run(&tr!(lang, "lists of {label}", "{label} の一覧"), &["update", "-o", "APT::Update::Error-Mode=any"])?;
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for (name, place) in [
            ("Dir::Etc::sourcelist", "sources.list"),
            ("Dir::Etc::preferences", "preferences"),
            ("Dir::State", "state"),
            ("Dir::State::status", "status"),
            ("Dir::Cache", "cache"),
        ] {
            command.arg("-o").arg(format!("{name}={}", self.folder.join(place).display()));
        }
        for option in [
            "Dir::Etc::sourceparts=/dev/null",
            "APT::Sandbox::User=root",
            "Acquire::Languages=none",
            "Acquire::Retries=2",
            "Acquire::http::Timeout=30",
            "Acquire::https::Timeout=30",
        ] {
            command.args(["-o", option]);
        }
        command.current_dir(self.folder.join("got"));
        command
    }

    fn run(&self, label: &str, arguments: &[&str]) -> Result<(), String> {
        self.progress.run(label, self.command("apt-get").args(arguments))
    }

    /// PostgreSQL's packages of a major, and the libraries that they need, as files. Not by apt's resolver: it insists on all that would
    /// be installed, which sid cannot always satisfy, and what is no library (Perl, the compiler of LLVM) is not needed here.
    ///
    /// # Errors
    /// What apt has said.
    pub fn packages(&self, major: u16) -> Result<Vec<PathBuf>, String> {
        let server = [format!("postgresql-{major}"), format!("postgresql-client-{major}")];
        let mut walk = self.command("apt-cache");
        walk.args(["depends", "--recurse"]);
        walk.args(
            ["recommends", "suggests", "breaks", "conflicts", "replaces", "enhances"].map(|no| format!("--no-{no}")),
        );
        let walk = command::output(walk.args(&server).arg("patchelf"))?;
        let is_library = |name: &str| {
            name.starts_with("lib")
                && !name.ends_with("-perl")
                && !["libllvm", "libperl", "libpython"].iter().any(|other| name.starts_with(other))
        };
        let names = walk.lines().filter(|line| !line.starts_with([' ', '<', '|']));
        let mut wanted: BTreeSet<&str> =
            names.filter(|name| is_library(name)).map(|n| n.split(':').next().unwrap_or(n)).collect();
        let headers = format!("postgresql-server-dev-{major}");
        // Debian's PostgreSQL is built with ICU, and its server headers include ICU's.
        wanted.extend([server[0].as_str(), server[1].as_str(), headers.as_str(), "libicu-dev", "patchelf"]);
        let label = &self.label;
        let label = tr!(self.progress.lang, "packages of {label}", "{label} のパッケージ");
        let mut download = self.command("apt-get");
        self.progress.run(&label, download.arg("download").args(wanted))?;
        self.files("deb")
    }

    /// The source package's tarball.
    ///
    /// # Errors
    /// What apt has said.
    pub fn source(&self, package: &str) -> Result<PathBuf, String> {
        let label = &self.label;
        let label = tr!(self.progress.lang, "source of {label}", "{label} のソース");
        self.run(&label, &["source", "--download-only", "--only-source", package])?;
        let tarball = |file: &PathBuf| file.to_string_lossy().contains(".orig.tar.");
        self.files("")?.into_iter().find(tarball).ok_or_else(|| format!("{package}: no .orig.tar"))
    }

    fn files(&self, extension: &str) -> Result<Vec<PathBuf>, String> {
        let got = self.folder.join("got");
        let entries = fs::read_dir(&got).map_err(|error| format!("{}: {error}", got.display()))?;
        let all = entries.flatten().map(|entry| entry.path());
        Ok(all.filter(|file| extension.is_empty() || file.extension().is_some_and(|e| e == extension)).collect())
    }
}

/// Fetches a file by its address, with apt's own helper, or with curl where there is no apt.
///
/// # Errors
/// The reason, in the words of the program.
pub fn fetch(address: &str, to: &Path) -> Result<(), String> {
    let mut command = if Path::new(HELPER).exists() {
        let mut helper = Command::new(HELPER);
        helper.args([
            "-o",
            "Acquire::Retries=1",
            "-o",
            "Acquire::http::Timeout=30",
            "-o",
            "Acquire::https::Timeout=30",
        ]);
        helper.args(["-o", "APT::Sandbox::User=root", "download-file", address]).arg(to);
        helper
    } else {
        let mut curl = Command::new("curl");
        curl.args(["--fail", "--silent", "--show-error", "--location", "--connect-timeout", "30", address, "-o"])
            .arg(to);
        curl
    };
    command::output(&mut command).map(drop).map_err(|said| {
        let line = said.lines().find(|line| line.starts_with("E: ") || line.starts_with("curl")).unwrap_or(&said);
        line.trim_start_matches("E: Failed to fetch ").to_owned()
    })
}

/// An error of the file system, with the place.
pub(crate) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> String {
    move |error| format!("{}: {error}", path.display())
}

/// The version of the C library: of this machine, or in a package's version (`2.43-1`). Compared part by part.
fn glibc(text: &str) -> Vec<u32> {
    let version = text.split(' ').next_back().unwrap_or_default().split(['-', '+']).next().unwrap_or_default();
    version.split('.').filter_map(|part| part.parse().ok()).collect()
}

/// Unpacks packages of PostgreSQL into `to`: `bin`, `lib`, `share`, `include`, and the libraries in `lib/libraries`, where
/// patchelf makes the programs look. Where their C library is newer than this machine's they get that one, too, with its loader, whose
/// path is an absolute one: `place`, where `to` will stand.
///
/// # Errors
/// What a program has said.
pub fn unpack(debs: &[PathBuf], major: u16, work: &Path, to: &Path, place: &Path) -> Result<(), String> {
    let (root, libc) = (work.join("root"), work.join("libc"));
    let mut newer = false;
    for deb in debs {
        let of_libc = deb.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libc6_"));
        if of_libc {
            let theirs = command::output(Command::new("dpkg-deb").arg("-f").arg(deb).arg("Version"))?;
            newer = glibc(&theirs) > glibc(&command::output(Command::new("getconf").arg("GNU_LIBC_VERSION"))?);
        }
        command::output(Command::new("dpkg-deb").arg("-x").arg(deb).arg(if of_libc { &libc } else { &root }))?;
    }
    let libraries = to.join("lib/libraries");
    for part in ["lib", "share", "include"] {
        fs::create_dir_all(to.join(part)).map_err(at(to))?;
        let from = root.join("usr").join(part).join("postgresql");
        fs::rename(&from, to.join(part).join("postgresql")).map_err(at(&from))?;
    }
    let unicode = root.join("usr/include/unicode");
    let server = to.join("include/postgresql").join(major.to_string()).join("server");
    fs::rename(&unicode, server.join("unicode")).map_err(at(&unicode))?;
    fs::create_dir_all(&libraries).map_err(at(&libraries))?;
    std::os::unix::fs::symlink(format!("lib/postgresql/{major}/bin"), to.join("bin")).map_err(at(to))?;
    let mut roots = vec![&root];
    if newer {
        roots.push(&libc);
    }
    for root in roots {
        for part in ["lib", "usr/lib", "lib64", "usr/lib64"] {
            let Ok(folders) = fs::read_dir(root.join(part)) else { continue };
            for folder in
                folders.flatten().filter(|f| f.path().is_dir() && f.file_name().to_string_lossy().contains("-linux-"))
            {
                for file in fs::read_dir(folder.path()).map_err(at(&folder.path()))?.flatten() {
                    if file.file_name().to_string_lossy().contains(".so") {
                        fs::rename(file.path(), libraries.join(file.file_name())).map_err(at(&file.path()))?;
                    }
                }
            }
        }
    }
    let private = to.join("lib/postgresql").join(major.to_string());
    // Without LLVM's library there is no just-in-time compilation: PostgreSQL does without it when its module is not there.
    for part in ["lib/llvmjit.so", "lib/llvmjit_types.bc"] {
        fs::remove_file(private.join(part)).ok();
    }
    fs::remove_dir_all(private.join("lib/bitcode")).ok();
    let mut loader = None;
    if newer {
        let is_loader = |name: &str| name.starts_with("ld-linux");
        let mut names = fs::read_dir(&libraries)
            .map_err(at(&libraries))?
            .flatten()
            .map(|f| f.file_name().to_string_lossy().into_owned());
        loader = Some(names.find(|name| is_loader(name)).ok_or("no loader in libc6")?);
    }
    let patchelf = root.join("usr/bin/patchelf");
    let mut programs: Vec<PathBuf> =
        fs::read_dir(private.join("bin")).map_err(at(&private))?.flatten().map(|f| f.path()).collect();
    programs.push(private.join("lib/pgxs/src/test/regress/pg_regress"));
    for program in programs {
        if !fs::read(&program).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF")) {
            continue;
        }
        // bin/ stands four folders below `to`, pg_regress eight
        let depth = program.strip_prefix(to).map_err(|error| error.to_string())?.components().count() - 1;
        let rpath = format!("$ORIGIN/{}lib/libraries", "../".repeat(depth));
        let mut command = match &loader {
            Some(loader) => {
                let mut command = Command::new(libraries.join(loader));
                command.arg("--library-path").arg(&libraries).arg(&patchelf);
                command.arg("--set-interpreter").arg(place.join("lib/libraries").join(loader));
                command
            }
            None => Command::new(&patchelf),
        };
        command::output(command.args(["--force-rpath", "--set-rpath", &rpath]).arg(&program))?;
    }
    Ok(())
}

/// What is to be typed, or installed by set-up, before something can be done: the programs that are missing here, with the Debian
/// packages that bring them.
pub fn missing(programs: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    let there = |name: &str| match name {
        "pip" => output_of("python3", &["-m", "pip", "--version"]),
        "IPC::Run" => output_of("perl", &["-MIPC::Run", "-e", "1"]),
        program => command::exists(program),
    };
    programs.iter().copied().filter(|(name, _)| !there(name)).collect()
}

fn output_of(program: &str, arguments: &[&str]) -> bool {
    command::output(Command::new(program).args(arguments)).is_ok()
}

/// For messages: what this system is.
pub fn system(lang: Lang) -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).map(|name| name.trim_matches('"'));
    name.map_or_else(|| tr!(lang, "an unknown system", "不明なシステム"), str::to_owned)
}
