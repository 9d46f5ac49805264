//! Runs the parts one after the other, counts their tests, and sums them up.

use crate::shell::Shell;
use anyhow::Result;
use cluster::{Lang, tr};
use std::fs::{self, File};
use std::ops::AddAssign;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// How many tests have passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub passed: usize,
    pub failed: usize,
}

impl Sum {
    /// Of the lines that end a test program, such as `test result: ok. 3 passed; 0 failed; ...`.
    fn of(output: &str) -> Self {
        let mut sum = Self::default();
        for line in output.lines().filter_map(|line| line.strip_prefix("test result: ")) {
            let number = |word: &str| {
                let before = line.split_once(word)?.0;
                before.rsplit(' ').next()?.parse::<usize>().ok()
            };
            sum += Self { passed: number(" passed;").unwrap_or(0), failed: number(" failed").unwrap_or(0) };
        }
        sum
    }

    /// Prints the closing line, which is the same in both languages, since programs read it.
    pub fn close(self) -> ExitCode {
        println!("\n{} passed, {} failed", self.passed, self.failed);
        if self.failed == 0 && self.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

impl AddAssign for Sum {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// What a part is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It counts as one test.
    Lint,
    /// Its tests are counted, and there have to be some.
    Tests,
    /// The same, with more time.
    LongTests,
}

/// A part that has run.
struct Row {
    name: String,
    good: bool,
    tests: usize,
    seconds: u64,
}

/// All that have run.
pub struct Report {
    lang: Lang,
    logs: PathBuf,
    only: String,
    rows: Vec<Row>,
    sum: Sum,
    /// The versions of PostgreSQL that were tested.
    pub versions: Vec<String>,
}

impl Report {
    /// None has run yet. The logs go to this folder. Of the parts only those run that have this text in their names.
    pub fn new(lang: Lang, logs: PathBuf, only: &str) -> Result<Self> {
        fs::create_dir_all(&logs)?;
        Ok(Self { lang, logs, only: only.into(), rows: Vec::new(), sum: Sum::default(), versions: Vec::new() })
    }

    /// Runs a command, and says whether it has run and all is well. Its output goes to a log, which is shown when it fails.
    pub fn run(&mut self, name: &str, kind: Kind, shell: &Shell, command: &[&str]) -> Result<bool> {
        let lang = self.lang;
        if !name.contains(&self.only) {
            return Ok(false);
        }
        let minutes = if kind == Kind::LongTests { 60 } else { 25 };
        let path = self.logs.join(name.replace(|c: char| !c.is_ascii_alphanumeric(), "_") + ".log");
        let log = File::create(&path)?;
        println!("{}", tr!(lang, "running  {name}", "実行中   {name}"));
        let start = Instant::now();
        let mut timeout = shell.command("timeout");
        timeout.args(["--foreground", "--kill-after=30", &format!("{minutes}m")]).args(command);
        let status = timeout.stdout(log.try_clone()?).stderr(log).status()?;
        let output = String::from_utf8_lossy(&fs::read(&path)?).into_owned();

        let counted = Sum::of(&output);
        let good = status.success() && counted.failed == 0 && (counted.passed > 0 || kind == Kind::Lint);
        self.sum += match good {
            true => Sum { passed: counted.passed.max(1), failed: 0 },
            false => Sum { passed: counted.passed, failed: counted.failed.max(1) },
        };
        if !good {
            let lines: Vec<&str> = output.lines().collect();
            lines[lines.len().saturating_sub(150)..].iter().for_each(|line| println!("    {line}"));
            if matches!(status.code(), Some(124 | 137)) {
                let en = format!("{name} has not ended within {minutes} minutes and was stopped");
                println!("{}", tr!(lang, "{en}", "{name} は {minutes} 分以内に終わらなかったため中止しました"));
            }
            let path = path.display();
            let ja = format!("失敗     {name} (出力全体: {path})");
            println!("{}", tr!(lang, "FAILED   {name} (the whole output: {path})", "{ja}"));
        }
        let tests = counted.passed + counted.failed;
        self.rows.push(Row { name: name.into(), good, tests, seconds: start.elapsed().as_secs() });
        Ok(good)
    }

    /// The table of all parts, and the sum of their tests.
    pub fn close(self) -> Sum {
        let lang = self.lang;
        let row = |a: &str, b: &str, c: &str, d: &str| println!("{a:<44} {b:<8} {c:>6} {d:>6}");
        println!();
        match lang {
            Lang::En => row("check", "result", "tests", "secs"),
            Lang::Ja => row("検査", "結果", "件数", "秒"),
        }
        for Row { name, good, tests, seconds } in &self.rows {
            let result = if *good { tr!(lang, "passed", "成功") } else { tr!(lang, "FAILED", "失敗") };
            let tests = if *tests == 0 { "-".into() } else { tests.to_string() };
            row(name, &result, &tests, &seconds.to_string());
        }
        if !self.versions.is_empty() {
            println!("\nPostgreSQL {}", self.versions.join(" "));
        }
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_test_programs_say() {
        let output = "test a ... ok\ntest result: ok. 3 passed; 0 failed; 0 ignored; finished in 0.00s\n\
            test result: FAILED. 10 passed; 2 failed\nnot test result: ok. 7 passed; 0 failed\nok 1 - tap\n";
        assert_eq!(Sum::of(output), Sum { passed: 13, failed: 2 });
        assert_eq!(Sum::of("warning: unused\n"), Sum::default());
    }

    #[test]
    fn a_part_without_tests_or_with_another_status_fails() {
        let folder = std::env::temp_dir().join(format!("xtask-report-{}", std::process::id()));
        let mut report = Report::new(Lang::En, folder.clone(), "").unwrap();
        let shell = Shell::new(Lang::En).unwrap();
        let mut run = |kind, script| report.run("a part", kind, &shell, &["bash", "-c", script]).unwrap();
        assert!(run(Kind::Lint, "true"));
        assert!(!run(Kind::Tests, "true"));
        assert!(!run(Kind::Lint, "exit 3"));
        assert!(!run(Kind::Tests, "echo 'test result: ok. 2 passed; 0 failed'; exit 1"));
        assert!(!run(Kind::Tests, "echo 'test result: FAILED. 2 passed; 3 failed'"));
        assert!(run(Kind::LongTests, "echo 'test result: ok. 4 passed; 0 failed'"));
        assert_eq!(report.sum, Sum { passed: 9, failed: 6 });
        std::fs::remove_dir_all(folder).unwrap();
    }
}
