//! `cargo xtask upstream-tests`: the tests that PostgreSQL has for its own worker_spi, unmodified, against ours. The same runner must
//! fail where no worker_spi is installed, and pass with the C sample: else it would prove nothing.
//!
//! What is fetched stays in `$DOWNLOADS/worker_spi-SERIES` (`module/` and `perl/`); nothing of it is in this repository.

use crate::ci::table;
use crate::problem::problem;
use crate::report::Sum;
use crate::shell::Shell;
use anyhow::{Context, Result, bail};
use clap::Args;
use cluster::{Lang, Table, tr};
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

#[derive(Args)]
pub struct Arguments {
    /// A major, or `all`
    pub major: Option<String>,
}

/// What `--help` says.
pub fn usage(lang: Lang) -> String {
    let majors = table().map(|table| table.majors.keys().map(u16::to_string).collect::<Vec<_>>().join("|"));
    let majors = majors.unwrap_or_default();
    tr!(
        lang,
        "usage: scripts/upstream-tests [{majors}|all] [--lang en|ja]",
        "使い方: scripts/upstream-tests [{majors}|all] [--lang en|ja]"
    )
}

/// What is installed in a round.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Round {
    Nothing,
    Original,
    Ours,
    OursWithItsScript,
}

impl Round {
    /// The rounds of a major. No source of 19 can be fetched yet. Its first test is that of 18, so it judges ours; the C sample and the
    /// install script of 18 do not fit it, and its second test is not there. What that one demands, the checks `interruptible` and
    /// `not_interruptible` demand.
    fn of(major: u16) -> &'static [Round] {
        if major == 19 {
            return &[Round::Nothing, Round::Ours];
        }
        &[Round::Nothing, Round::Original, Round::Ours, Round::OursWithItsScript]
    }

    fn title(self, lang: Lang) -> String {
        match self {
            Round::Nothing => tr!(lang, "without any worker_spi", "worker_spi がない状態"),
            Round::Original => tr!(lang, "the C sample", "C のサンプル"),
            Round::Ours => tr!(lang, "ours", "本書の worker_spi"),
            Round::OursWithItsScript => tr!(
                lang,
                "ours, with the original's install script and control file",
                "本書の worker_spi (インストールスクリプトと control ファイルは元のもの)"
            ),
        }
    }
}

/// Whether the tests of this major are one of `pg_regress`; since 17 they are a TAP script.
fn is_regress(major: u16) -> bool {
    major <= 16
}

/// How many tests there are: what does not run has not passed.
fn count_of(major: u16) -> usize {
    if is_regress(major) { 1 } else { 8 }
}

/// Runs all rounds on the major that was named, the usual one, or all.
pub fn run(arguments: &Arguments, lang: Lang) -> Result<Sum> {
    let table = table()?;
    let majors = match arguments.major.as_deref() {
        None => vec![table.default],
        Some("all") => table.majors.keys().copied().collect(),
        Some(one) => {
            let known = one.parse().ok().filter(|number| table.majors.contains_key(number));
            vec![known.ok_or_else(|| crate::ci::unknown_major(&table, one, lang))?]
        }
    };
    let shell = Shell::new(lang)?;
    for major in &majors {
        shell.script("scripts/setup", &["--quiet", "--for-upstream", "--pg", &major.to_string()])?;
    }
    if majors.iter().any(|major| !is_regress(*major)) {
        shell.script("scripts/setup", &["--quiet", "--pg", "16"])?; // for a program of its tests
    }
    let installations = Installations::new(shell, lang)?;
    let mut sum = Sum::default();
    for major in majors {
        sum += installations.judge_all(major)?;
    }
    Ok(sum)
}

/// Installations of PostgreSQL with a worker_spi in each.
pub struct Installations {
    shell: Shell,
    lang: Lang,
    table: Table,
}

impl Installations {
    /// Those of this checkout.
    pub fn new(shell: Shell, lang: Lang) -> Result<Self> {
        Ok(Self { shell, lang, table: table()? })
    }

    /// The major that is taken when nothing is said.
    pub fn usual(&self) -> u16 {
        self.table.default
    }

    /// Their folder, which also has the logs.
    pub fn folder(&self) -> PathBuf {
        Path::new(&self.shell.get("HERE")).join("upstream")
    }

    /// The `pg_config` that set-up has made.
    fn config(&self, major: u16) -> PathBuf {
        Path::new(&self.shell.get("HERE")).join(format!("pg/{major}/bin/pg_config"))
    }

    /// The major whose tests are run.
    fn series(&self, major: u16) -> u16 {
        self.table.majors.get(&major).and_then(|it| it.worker_spi).unwrap_or(major)
    }

    /// What was fetched.
    fn source(&self, major: u16) -> PathBuf {
        Path::new(&self.shell.get("DOWNLOADS")).join(format!("worker_spi-{}", self.series(major)))
    }

    /// All rounds on this major.
    fn judge_all(&self, major: u16) -> Result<Sum> {
        let (lang, mut sum) = (self.lang, Sum::default());
        readable(&self.source(major))?;
        let version = output(Command::new(self.config(major)).arg("--version"))?;
        let kind = if is_regress(major) { "pg_regress" } else { "TAP" };
        println!(
            "{}",
            tr!(
                lang,
                "{version}, its own tests of worker_spi ({kind})",
                "{version}、worker_spi に対する付属のテスト ({kind})"
            )
        );
        for round in Round::of(major) {
            let folder = self.folder().join(format!("{major}-{}", *round as u8));
            let config = self.fresh(major, &folder)?;
            let log = folder.with_extension("log");
            match round {
                Round::Nothing => {}
                Round::Original => self.install_original(major, &config, &log)?,
                Round::Ours | Round::OursWithItsScript => self.install("worker_spi", major, &config, &log, &[])?,
            }
            if *round == Round::OursWithItsScript {
                let extensions = Path::new(&output(Command::new(&config).arg("--sharedir"))?).join("extension");
                for file in ["worker_spi.control", "worker_spi--1.0.sql"] {
                    fs::copy(self.source(major).join("module").join(file), extensions.join(file))?;
                }
            }
            readable(&folder)?;
            let out = self.folder().join(format!("out-{major}-{}", *round as u8));
            let status = self.suite(major, &config, &out)?;
            let expected = if *round == Round::Nothing { 0 } else { count_of(major) };
            sum += self.judge(&round.title(lang), expected, status, &out)?;
            fs::remove_dir_all(&folder)?;
        }
        if !Round::of(major).contains(&Round::Original) {
            let series = self.series(major);
            println!(
                "{}",
                tr!(
                    lang,
                    "  not run  the C sample, its install script, and the test t/002 of {major}: its source cannot be fetched yet. The tests are those of {series}",
                    "  未実行  C のサンプル、そのインストールスクリプト、{major} のテスト t/002: {major} のソースをまだ取得できません。テストは {series} のものです"
                )
            );
        }
        Ok(sum)
    }

    /// Compares what the suite has done with what it should have done.
    fn judge(&self, title: &str, expected: usize, status: ExitStatus, out: &Path) -> Result<Sum> {
        let lang = self.lang;
        let output = String::from_utf8_lossy(&fs::read(out.join("output"))?).into_owned();
        let seen = output.lines().filter(|line| has_passed(line)).count();
        let must_fail = expected == 0;
        let mut problem = None;
        if must_fail {
            let words = r#"could not access file "worker_spi"\|extension "worker_spi" is not available"#;
            if status.success() {
                problem = Some(tr!(lang, "the tests did not fail", "失敗するはずのテストが失敗しませんでした"));
            }
            if !Command::new("grep").args(["-rqs", words]).arg(out).status()?.success() {
                problem = Some(tr!(
                    lang,
                    "the tests failed for another reason than the missing library",
                    "ライブラリがないこと以外の理由でテストが失敗しました"
                ));
            }
        } else if !status.success() {
            let status = status.code().unwrap_or(-1);
            problem =
                Some(tr!(lang, "the tests ended with status {status}", "テストが終了コード {status} で終わりました"));
        }
        if seen != expected {
            problem = Some(tr!(
                lang,
                "{seen} tests passed, expected {expected}",
                "成功したテストは {seen} 件です ({expected} 件のはずです)"
            ));
        }
        if !must_fail && output.lines().any(is_skipped) {
            problem = Some(tr!(lang, "tests were skipped", "実行されなかったテストがあります"));
        }
        let Some(problem) = problem else {
            let passed =
                tr!(lang, "  passed   {title}: {seen} of {expected}", "  成功  {title}: {expected} 件中 {seen} 件");
            let refused = tr!(lang, "  refused  {title}, as it must be", "  失敗  {title} (失敗するのが正しい)");
            println!("{}", if must_fail { refused } else { passed });
            return Ok(Sum { passed: 1, failed: 0 });
        };
        println!("{}", tr!(lang, "  WRONG    {title}: {problem}", "  異常  {title}: {problem}"));
        last_lines(&out.join("output"), 30).iter().for_each(|line| println!("    {line}"));
        let logs = fs::read_dir(out.join("log")).into_iter().flatten().flatten().map(|entry| entry.path());
        for log in std::iter::once(out.join("regression.diffs")).chain(logs) {
            let lines = last_lines(&log, 30);
            if !lines.is_empty() {
                println!("    --- {}", log.display());
                lines.iter().for_each(|line| println!("    {line}"));
            }
        }
        Ok(Sum { passed: 0, failed: 1 })
    }

    /// An installation of its own, without the libraries that will be installed into it. It stands as deep as the original, since the
    /// programs find their libraries relative to themselves. Returns its `pg_config`.
    pub fn fresh(&self, major: u16, folder: &Path) -> Result<PathBuf> {
        let original = self.config(major).parent().and_then(Path::parent).context("no folder")?.to_owned();
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(self.folder())?;
        let copy = |how: &str| Command::new("cp").arg(how).args([&original, folder]).output();
        if !copy("-al")?.status.success() {
            let _ = fs::remove_dir_all(folder);
            output(Command::new("cp").arg("-a").args([&original, folder]))?;
        }
        let config = folder.join("bin").canonicalize()?.join("pg_config");
        // Links to the files of the original: what is installed must be new files, so the old names go.
        let ask = |what: &str| output(Command::new(&config).arg(what));
        for folder in [PathBuf::from(ask("--pkglibdir")?), Path::new(&ask("--sharedir")?).join("extension")] {
            for file in fs::read_dir(folder)?.flatten() {
                let name = file.file_name().to_string_lossy().into_owned();
                if name.starts_with("worker_spi") || name.starts_with("step7_dynamic_launch") {
                    fs::remove_file(file.path())?;
                }
            }
        }
        Ok(config)
    }

    /// The C sample, built with PGXS as its own Makefile does it. 16 hides what is not exported by name, and the sources of 15 do not
    /// know that yet; Debian's 15 would also like to have the code for LLVM. The warnings go, since this compiler may not know them all.
    pub fn install_original(&self, major: u16, config: &Path, log: &Path) -> Result<()> {
        let work = self.folder().join(format!("c-{major}"));
        let _ = fs::remove_dir_all(&work);
        output(Command::new("cp").arg("-r").args([self.source(major).join("module"), work.clone()]))?;
        let flags = output(Command::new(config).arg("--cflags"))?;
        let flags: Vec<&str> = flags.split(' ').filter(|flag| !flag.starts_with("-W")).collect();
        let mut make = self.shell.command("make");
        make.env_remove("MAKEFLAGS")
            .arg("-C")
            .arg(&work)
            .arg("USE_PGXS=1")
            .arg(format!("PG_CONFIG={}", config.display()));
        make.arg("with_llvm=no").arg(format!("CFLAGS={}", flags.join(" ")));
        if major == 16 {
            make.arg("CFLAGS_SL_MODULE=");
        }
        let made = logged(make.arg("install"), log)?;
        fs::remove_dir_all(&work)?;
        if made {
            return Ok(());
        }
        let (path, lines) = (log.display(), last_lines(log, 8).join("\n"));
        let cause = tr!(
            self.lang,
            "the C sample could not be built. The last lines of {path}:\n{lines}",
            "C のサンプルをビルドできませんでした。{path} の最後の行:\n{lines}"
        );
        let next = tr!(
            self.lang,
            "scripts/setup --pg all, then repeat the command",
            "scripts/setup --pg all (終わったら、もう一度実行してください)"
        );
        Err(problem(self.lang, cause, next))
    }

    /// One of our crates, as `cargo pgrx install` does it.
    pub fn install(&self, step: &str, major: u16, config: &Path, log: &Path, flags: &[&str]) -> Result<()> {
        let shell = self.shell.step(step, &major.to_string())?.within(&format!("steps/{step}"));
        let mut cargo = shell.command("cargo");
        cargo.args(["pgrx", "install"]).args(flags).args([
            "--no-default-features",
            "--features",
            &format!("pg{major}"),
        ]);
        if logged(cargo.arg("--pg-config").arg(config), log)? {
            return Ok(());
        }
        let (path, lines) = (log.display(), last_lines(log, 15).join("\n"));
        let cause = tr!(
            self.lang,
            "{step} could not be built. The last lines of {path}:\n{lines}",
            "{step} をビルドできませんでした。{path} の最後の行:\n{lines}"
        );
        Err(problem(self.lang, cause, format!("scripts/test {step}")))
    }

    /// PostgreSQL's tests of worker_spi, against what is installed there. What they print goes to `out/output`.
    fn suite(&self, major: u16, config: &Path, out: &Path) -> Result<ExitStatus> {
        let _ = fs::remove_dir_all(out);
        fs::create_dir_all(out)?;
        if is_root() {
            output(Command::new("chown").arg("nobody:").arg(out))?;
        }
        let (module, perl) = (self.source(major).join("module"), self.source(major).join("perl"));
        let bin = config.parent().context("no folder")?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let mut command = self.as_server_user("timeout")?;
        command.args(["--kill-after=10", "300"]);
        if is_regress(major) {
            let option = |name: &str, value: &Path| format!("--{name}={}", value.display());
            command.arg(regress(config)?).arg(option("temp-instance", &out.join("instance")));
            command.arg(option("temp-config", &module.join("dynamic.conf"))).arg(option("bindir", bin));
            command.arg(option("inputdir", &module)).arg(option("outputdir", out));
            command.args(["--dbname=contrib_regression", &format!("--port={port}"), "worker_spi"]).current_dir(out);
        } else {
            // Only its --config-auth is called, which is the same in all majors. That of the embedded 18 crashes at once.
            let mut program = regress(config)?;
            if !Command::new(&program).arg("--version").output().is_ok_and(|out| out.status.success()) {
                program = regress(&self.config(16))?;
            }
            command.envs([("TESTDATADIR", out.join("data")), ("TESTLOGDIR", out.join("log")), ("PG_REGRESS", program)]);
            command.env("PATH", format!("{}:{}", bin.display(), self.shell.get("PATH")));
            command.env("PGPORT", port.to_string()).env("enable_injection_points", "no");
            command.args(["prove", "-v", "-I"]).arg(perl).args(["-I", "."]).current_dir(&module);
            let mut tests: Vec<_> = fs::read_dir(module.join("t"))?.flatten().map(|entry| entry.path()).collect();
            tests.retain(|path| path.extension().is_some_and(|extension| extension == "pl"));
            tests.sort();
            command.args(tests.iter().filter_map(|path| path.strip_prefix(&module).ok()));
        }
        let log = File::create(out.join("output"))?;
        Ok(command.stdout(log.try_clone()?).stderr(log).status()?)
    }

    /// PostgreSQL refuses root, and so do its tests.
    fn as_server_user(&self, program: &str) -> Result<Command> {
        if !is_root() {
            return Ok(self.shell.command(program));
        }
        let group = output(Command::new("id").args(["-g", "nobody"]))?;
        let mut command = self.shell.command("setpriv");
        command.args(["--reuid", "nobody", "--regid", &group, "--clear-groups", "--no-new-privs", "--", program]);
        command.env("USER", "nobody").env("HOME", "/nonexistent");
        Ok(command)
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// `ok 1 - ...` of TAP and of pg_regress since 16; `test worker_spi ... ok` of pg_regress before.
fn has_passed(line: &str) -> bool {
    let number = line.strip_prefix("ok ").and_then(|rest| rest.split_once(' ')).map(|(number, _)| number);
    number.is_some_and(|number| number.parse::<u32>().is_ok()) || line.starts_with("test ") && line.contains("... ok ")
}

/// TAP's `ok 1 # skip`, and the summary's `skipped`.
fn is_skipped(line: &str) -> bool {
    let line = line.to_lowercase();
    line.contains("skipped")
        || line.split_once('#').is_some_and(|(_, comment)| comment.trim_start().starts_with("skip"))
}

/// Files that root has made, for the user as whom PostgreSQL runs.
pub fn readable(folder: &Path) -> Result<()> {
    output(Command::new("chmod").args(["-R", "a+rX"]).arg(folder)).map(drop)
}

fn regress(config: &Path) -> Result<PathBuf> {
    let makefile = PathBuf::from(output(Command::new(config).arg("--pgxs"))?);
    Ok(makefile.parent().context("no folder")?.join("../../src/test/regress/pg_regress"))
}

/// Whether it succeeds; what it prints goes to a log.
fn logged(command: &mut Command, log: &Path) -> Result<bool> {
    let file = File::create(log)?;
    Ok(command.stdout(file.try_clone()?).stderr(file).status()?.success())
}

fn last_lines(file: &Path, count: usize) -> Vec<String> {
    let text = String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines[lines.len().saturating_sub(count)..].to_vec()
}

/// What a program prints.
fn output(command: &mut Command) -> Result<String> {
    let out = command.output()?;
    if !out.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    }
    Ok(String::from_utf8_lossy(&out.stdout).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_has_passed_or_was_skipped() {
        for line in ["ok 1         - worker_spi          123 ms", "test worker_spi          ... ok          456 ms"] {
            assert!(has_passed(line), "{line}");
        }
        for line in
            ["not ok 1 - it", "ok", "t/001_worker_spi.pl .. ok", "All tests successful.", "test x ... FAILED  1 ms"]
        {
            assert!(!has_passed(line), "{line}");
        }
        assert!(is_skipped("ok 3 # skip no injection points") && is_skipped("t/002.pl .. skipped: not here"));
        assert!(!is_skipped("# a comment that mentions to skip") && !is_skipped("ok 1 - it"));
    }
}
