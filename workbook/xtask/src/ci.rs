//! `cargo xtask ci`: all tests, or some of them.

use crate::problem::problem;
use crate::report::{Kind, Report, Sum};
use crate::shell::Shell;
use crate::upstream;
use anyhow::{Context, Result};
use cargo_metadata::{Metadata, MetadataCommand, Target, TargetKind};
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser};
use cluster::{Lang, Table, tr};
use std::collections::BTreeSet;
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// When a test target runs. All that are not in [`TURNS`] run once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// On each major that is chosen.
    Majors,
    /// With `--variants`.
    Variants,
    /// With `--learner`.
    Learner,
    /// With `--origins`.
    Origins,
    /// With `--book`, by the script of its name in `scripts/checks/book/`.
    Book,
}

/// The test targets that have a turn of their own, whichever crate they are in, with their titles and arguments.
const TURNS: [(&str, Turn, &str, &[&str]); 7] = [
    (OUTSIDE, Turn::Majors, "from outside", &[]),
    ("dba", Turn::Majors, "what the DBA's chapter states", &[]),
    ("variants", Turn::Variants, "variants", &[]),
    ("wrong_answers", Turn::Learner, "wrong answers", &[]),
    ("path", Turn::Learner, "a learner's way", &["--test-threads=1"]),
    ("origins", Turn::Origins, "where PostgreSQL comes from", &[]),
    ("handout", Turn::Book, "handout", &[]),
];
/// The checks of the steps; a part of them can be chosen by the step's name.
const OUTSIDE: &str = "checks";

/// What `.ci/run` runs after set-up, with the minutes that each may take on two processors. CONTRIBUTING has the same.
const CONTINUOUS: [(u64, &str); 5] = [
    (35, "scripts/test --pg all --long=17"),
    (10, "scripts/test --variants --pg 18"),
    (8, "scripts/test --origins"),
    (5, "scripts/upstream-tests all"),
    (5, "scripts/test --book"),
];

#[derive(Args)]
pub struct Arguments {
    /// Only the tests of these steps
    steps: Vec<String>,
    /// A major, `all`, or the path of a pg_config
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pg: Option<String>,
    /// Also the checks that take minutes; on one major only, if it is named
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "all")]
    long: Option<String>,
    /// Every wrong change to a step is refused by the check that it names
    #[arg(long)]
    variants: bool,
    /// `cargo workbook check` refuses them, with the hint that fits; and a learner's way through all steps
    #[arg(long)]
    learner: bool,
    /// Each PostgreSQL is still to be had when the place where it usually comes from is not
    #[arg(long)]
    origins: bool,
    /// The built book, with a browser, Node and PDF tools
    #[arg(long)]
    book: bool,
    /// Only the parts that have this text in their names
    #[arg(long, default_value = "")]
    only: String,
    /// Every part, one after the other, with the minutes that it may take
    #[arg(long, conflicts_with_all = ["steps", "pg", "long", "variants", "learner", "origins", "book", "only"])]
    all: bool,
}

/// What `--help` says.
pub fn usage(lang: Lang) -> String {
    let majors = table().map(|table| table.majors.keys().map(u16::to_string).collect::<Vec<_>>().join("|"));
    let majors = majors.unwrap_or_default();
    tr!(
        lang,
        "usage: scripts/test [STEP ...] [--pg {majors}|all|PATH/pg_config] [--long[=MAJOR]] [--only PART] [--lang en|ja]
       scripts/test --variants [--pg MAJOR]   the wrong changes to the steps
       scripts/test --learner                 cargo workbook: wrong answers, and the way of a learner through all steps
       scripts/test --origins                 where PostgreSQL comes from, with each place taken away in turn
       scripts/test --book                    the built book
       scripts/test --all                     all of these but --learner, as the continuous run has them",
        "使い方: scripts/test [ステップ ...] [--pg {majors}|all|パス/pg_config] [--long[=メジャーバージョン]] [--only 名前の一部] [--lang en|ja]
        scripts/test --variants [--pg メジャーバージョン]   ステップへの誤った変更
        scripts/test --learner                             cargo workbook の検査。誤った答えと、全ステップを通した学習の流れ
        scripts/test --origins                            PostgreSQL の取得元。ひとつずつ使えなくして調べます
        scripts/test --book                               ビルドした本
        scripts/test --all                                --learner を除く上のすべて。継続的インテグレーションと同じです"
    )
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The majors.
pub fn table() -> Result<Table> {
    Table::read(&root().join("postgresql.toml")).map_err(anyhow::Error::msg)
}

/// What is said of a major that is not in the table.
pub fn unknown_major(table: &Table, wanted: &str, lang: Lang) -> anyhow::Error {
    let majors = table.majors.keys().map(u16::to_string).collect::<Vec<_>>().join(" ");
    let cause = tr!(
        lang,
        "there is no PostgreSQL \"{wanted}\" here. The majors are: {majors}",
        "PostgreSQL「{wanted}」は用意されていません。指定できるメジャーバージョン: {majors}"
    );
    problem(lang, cause, format!("scripts/setup --pg {}", table.default))
}

/// Runs what was chosen, and goes on after a failure.
pub fn run(arguments: &Arguments, lang: Lang) -> Result<Sum> {
    if arguments.all {
        return Ok(continuous(lang));
    }
    let table = table()?;
    let named = |number: &String| *number == "all" || table.majors.keys().any(|major| major.to_string() == *number);
    if let Some(long) = arguments.long.as_ref().filter(|long| !named(long)) {
        return Err(unknown_major(&table, long, lang));
    }
    let workspace = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec()?;
    let chosen = arguments.steps.iter().map(|step| resolve(&workspace, step, lang)).collect::<Result<Vec<_>>>()?;

    let shell = Shell::new(lang)?;
    let pg = ["WORKBOOK_PG", "PG_CONFIG"].map(|name| shell.get(name)).into_iter().find(|value| !value.is_empty());
    let pg = arguments.pg.clone().or(pg).unwrap_or_default();
    let mut set_up = vec!["--quiet", "--for-tests"];
    if !pg.is_empty() {
        set_up.extend(["--pg", &pg]);
    }
    shell.script("scripts/setup", &set_up)?;

    let majors: Vec<String> = match pg.as_str() {
        "all" => table.majors.keys().map(u16::to_string).collect(),
        one => vec![one.into()],
    };
    // What does not depend on the major runs on the usual one, if that is there.
    let usual = table.default.to_string();
    let base = if majors.contains(&usual) { &usual } else { majors.last().context("no major")? };
    let shell = shell.step("step1", base)?;
    remove_leftovers(&shell)?;

    let report = Report::new(lang, Path::new(&shell.get("HERE")).join("test"), &arguments.only)?;
    let mut run = Run { workspace, report, shell, usual };
    let special = [
        (arguments.book, None),
        (arguments.variants, Some(Turn::Variants)),
        (arguments.origins, Some(Turn::Origins)),
        (arguments.learner, Some(Turn::Learner)),
    ];
    for (_, turn) in special.iter().filter(|(wanted, _)| *wanted) {
        match turn {
            None => run.book()?,
            Some(turn) => run.turn(*turn, Kind::LongTests, &run.shell.clone())?,
        }
    }
    if !special.iter().any(|(wanted, _)| *wanted) {
        if chosen.is_empty() {
            run.once()?;
        }
        for major in &majors {
            run.major(major, &chosen, arguments.long.as_deref())?;
        }
    }
    Ok(run.report.close())
}

/// Every part, as [`CONTINUOUS`] has them.
fn continuous(lang: Lang) -> Sum {
    let mut sum = Sum::default();
    for (budget, command) in CONTINUOUS {
        let start = Instant::now();
        sum += part(command, lang).unwrap_or_else(|error| {
            eprintln!("{error:#}");
            Sum { passed: 0, failed: 1 }
        });
        println!("\n{command}: {} min, of {budget}\n", start.elapsed().as_secs().div_ceil(60));
    }
    sum
}

fn part(command: &str, lang: Lang) -> Result<Sum> {
    match command.strip_prefix("scripts/upstream-tests ") {
        Some(major) => upstream::run(&upstream::Arguments { major: Some(major.into()) }, lang),
        None => run(&parse(command)?, lang),
    }
}

/// The arguments of a command line.
fn parse(command: &str) -> Result<Arguments> {
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }
    Ok(Line::try_parse_from(command.split(' '))?.arguments)
}

/// The steps that can be named, in their order.
fn steps(workspace: &Metadata) -> Vec<&str> {
    let folder = workspace.workspace_root.join("steps");
    let in_folder = workspace.packages.iter().filter(|package| package.manifest_path.starts_with(&folder));
    let mut names: Vec<&str> = in_folder.map(|package| package.name.as_str()).collect();
    names.sort_unstable();
    names
}

/// `3`, `step3` or the full name: the full name.
fn resolve(workspace: &Metadata, wanted: &str, lang: Lang) -> Result<String> {
    let short =
        |step: &str| step.split_once('_').filter(|_| step.starts_with("step")).map(|(short, _)| short.to_owned());
    let is = |step: &&&str| {
        let names = [Some((**step).to_owned()), short(step)];
        names.into_iter().flatten().any(|name| name == wanted || name.strip_prefix("step") == Some(wanted))
    };
    let all = steps(workspace);
    all.iter().find(is).map(|step| (*step).to_owned()).ok_or_else(|| {
        let all: String = all.iter().map(|step| format!("\n    {step}")).collect();
        let cause = tr!(
            lang,
            "there is no step \"{wanted}\". The steps are:{all}",
            "「{wanted}」というステップはありません。ステップの一覧:{all}"
        );
        problem(lang, cause, "scripts/test step1")
    })
}

/// What a test that was killed has left: its server, and the folder of pgrx's socket in /tmp, which as root belongs to the server's user.
fn remove_leftovers(shell: &Shell) -> Result<()> {
    let tests = shell.get("CARGO_PGRX_TEST_PGDATA");
    // As root the folder of the tests' clusters has been given to the server's user.
    let owner = fs::metadata(&tests)?.uid();
    let folders = fs::read_dir(&tests)?.chain(fs::read_dir("/tmp")?).flatten().filter(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.rsplit_once('-').map(|(_, process)| process).unwrap_or_default();
        (entry.path().starts_with(&tests) || name.starts_with("pgrx-test-sockets-"))
            && process.parse::<u32>().is_ok()
            && !Path::new("/proc").join(process).exists()
            && entry.metadata().is_ok_and(|entry| entry.uid() == owner)
    });
    for folder in folders {
        shell.clone().with("LEFT", &folder.path().to_string_lossy()).after("stop_server \"$LEFT\" || true")?;
        fs::remove_dir_all(folder.path())?;
    }
    Ok(())
}

/// What is run, and where.
struct Run {
    workspace: Metadata,
    report: Report,
    shell: Shell,
    usual: String,
}

impl Run {
    /// The test targets of this turn.
    fn turn(&mut self, turn: Turn, kind: Kind, shell: &Shell) -> Result<()> {
        for (target, _, title, arguments) in TURNS.iter().filter(|(_, its, ..)| *its == turn) {
            let title = if turn == Turn::Origins {
                (*title).to_owned()
            } else {
                format!("{title} (PostgreSQL {})", shell.get("WORKBOOK_PG_MAJOR"))
            };
            self.test(&title, target, kind, shell, arguments)?;
        }
        Ok(())
    }

    /// One test target.
    fn test(&mut self, title: &str, target: &str, kind: Kind, shell: &Shell, filter: &[&str]) -> Result<bool> {
        let has_it =
            |package: &&cargo_metadata::Package| package.targets.iter().any(|it| is_test(it) && it.name == target);
        let package = self.workspace.packages.iter().find(has_it);
        let package = package.with_context(|| format!("no crate has the test target {target}"))?.name.to_string();
        let command = [&["cargo", "test", "--package", &package, "--test", target, "--"], filter].concat();
        self.report.run(title, kind, shell, &command)
    }

    /// The transcripts, on the usual major: others word some messages differently.
    fn transcripts(&mut self, shell: &Shell) -> Result<()> {
        if self.report.run("transcripts", Kind::Tests, shell, &["cargo", "xtask", "transcripts"])? {
            fs::write(self.transcripts_are_right(), self.transcripts_state()?.to_string())?;
        }
        Ok(())
    }

    /// What does not depend on the major.
    fn once(&mut self) -> Result<()> {
        let shell = self.shell.clone();
        let scripts = shell_files(shell.root())?;
        let shellcheck = [vec!["shellcheck"], scripts.iter().map(String::as_str).collect()].concat();
        let clippy = ["cargo", "clippy", "--workspace", "--all-targets"];
        let no_warnings = ["--", "-D", "warnings"];
        let with_tests = [&clippy[..], &["--features", "pg_test"], &no_warnings].concat();
        let mut lint = |name: &str, command: &[&str]| self.report.run(name, Kind::Lint, &shell, command);
        lint("formatting", &["cargo", "fmt", "--all", "--check"])?;
        lint("clippy", &[&clippy[..], &no_warnings].concat())?;
        lint("clippy with the steps' tests", &with_tests)?;
        lint(&format!("shellcheck ({} files)", scripts.len()), &shellcheck)?;

        for (package, title, selected) in once(&self.workspace) {
            let selected: Vec<_> = selected.iter().map(String::as_str).collect();
            let command = [&["cargo", "test", "--no-fail-fast", "--package", &package], &selected[..]].concat();
            self.report.run(&format!("{package}: {title}"), Kind::Tests, &shell, &command)?;
        }
        for script in scripts.iter().filter(|file| file.starts_with("scripts/checks/") && file.ends_with(".sh")) {
            let name = script.trim_start_matches("scripts/checks/").trim_end_matches(".sh");
            self.report.run(&format!("scripts: {name}"), Kind::Tests, &shell, &["bash", script])?;
        }
        self.build_book("need_mdbook").map(drop)
    }

    /// What depends on the major.
    fn major(&mut self, pg: &str, chosen: &[String], long: Option<&str>) -> Result<()> {
        let mut shell = self.shell.step("step1", pg)?.without("WORKBOOK_LONG");
        let major = shell.get("WORKBOOK_PG_MAJOR");
        if long.is_some_and(|long| long == "all" || long == major) {
            shell = shell.with("WORKBOOK_LONG", "1");
        }
        let version = shell.command(shell.get("WORKBOOK_PG_CONFIG")).arg("--version").output()?.stdout;
        let version = String::from_utf8_lossy(&version).trim_start_matches("PostgreSQL ").to_owned();
        self.report.versions.extend(version.split_whitespace().next().map(str::to_owned));

        let all = steps(&self.workspace).into_iter().map(str::to_owned).collect::<Vec<_>>();
        for step in if chosen.is_empty() { &all } else { chosen } {
            let inside = shell.step(step, pg)?.within(&format!("steps/{step}"));
            let title = format!("{step} (PostgreSQL {major})");
            self.report.run(&title, Kind::Tests, &inside, &["cargo", "pgrx", "test", &format!("pg{major}")])?;
        }
        for step in chosen {
            let title = format!("{step} from outside (PostgreSQL {major})");
            self.test(&title, OUTSIDE, Kind::Tests, &shell, &[&format!("{step}/")])?;
        }
        if chosen.is_empty() && major == self.usual {
            let long = if long.is_some() { shell.clone().with("WORKBOOK_LONG", "1") } else { shell.clone() };
            self.transcripts(&long)?;
        }
        if chosen.is_empty() {
            self.turn(Turn::Majors, Kind::Tests, &shell)?;
        }
        Ok(())
    }

    /// Builds the book, and looks at it. Its folder is the second one. These lines of bash fetch the tools.
    fn build_book(&mut self, tools: &str) -> Result<(Shell, String)> {
        let script = format!(
            "make_cache; lock \"$CACHE/.lock\"; need_mdbook; exec 9>&-; {tools}; MDBOOK=$(find_mdbook); export MDBOOK"
        );
        let shell = self.shell.after(&script)?;
        let folder = Path::new(&shell.get("HERE")).join("test/book").to_string_lossy().into_owned();
        let build = ["bash", "scripts/lib/build-book.sh", &shell.get("MDBOOK"), &folder];
        self.report.run("the book's build", Kind::Lint, &shell, &build)?;
        Ok((shell, folder))
    }

    /// The checks of the built book, which need a browser, Node or PDF tools.
    fn book(&mut self) -> Result<()> {
        let (shell, folder) = self.build_book(". \"$LIB/browser.sh\"; need_browser; need_typos")?;
        let shell = shell.with("BOOK_SITE", &format!("{folder}/html"));
        for check in sorted(&shell.root().join("scripts/checks/book"))? {
            let name = check.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if fs::metadata(&check)?.mode() & 0o100 != 0 {
                self.report.run(&format!("book: {name}"), Kind::Tests, &shell, &[&check.to_string_lossy()])?;
            }
        }
        // A transcript that was executed and found right is right until something changes that it depends on.
        let right = fs::read_to_string(self.transcripts_are_right()).unwrap_or_default();
        if shell.get("WORKBOOK_PG_MAJOR") == self.usual && right != self.transcripts_state()?.to_string() {
            self.transcripts(&shell)?;
        }
        Ok(())
    }

    fn transcripts_are_right(&self) -> PathBuf {
        Path::new(&self.shell.get("HERE")).join("test/transcripts.right")
    }

    /// All that a transcript depends on, in one number.
    fn transcripts_state(&self) -> Result<u64> {
        let mut hasher = DefaultHasher::new();
        for name in
            ["Cargo.lock", "Cargo.toml", "rust-toolchain.toml", "steps", "examples", "workbook", "book/transcripts"]
        {
            for file in files(&self.shell.root().join(name))? {
                (&file, fs::read(&file)?).hash(&mut hasher);
            }
        }
        Ok(hasher.finish())
    }
}

/// Whether a target is an integration test.
fn is_test(target: &Target) -> bool {
    target.kind.contains(&TargetKind::Test)
}

/// What runs once: the unit tests of each crate, and each of its integration tests that has no turn of its own, with cargo's options
/// that select them. The steps' unit tests are run by `cargo pgrx test`.
fn once(workspace: &Metadata) -> Vec<(String, String, Vec<String>)> {
    let steps = steps(workspace);
    let mut all = Vec::new();
    for package in workspace.packages.iter().filter(|package| !steps.contains(&package.name.as_str())) {
        let unit = |target: &Target| target.test && !is_test(target) && !target.kind.contains(&TargetKind::CustomBuild);
        let option = |target: &Target| if target.kind.contains(&TargetKind::Bin) { "--bins" } else { "--lib" };
        let units: BTreeSet<_> = package.targets.iter().filter(|target| unit(target)).map(option).collect();
        if !units.is_empty() {
            all.push((
                package.name.to_string(),
                "unit tests".to_owned(),
                units.into_iter().map(str::to_owned).collect(),
            ));
        }
        let tests = package.targets.iter().filter(|target| is_test(target));
        let names = tests.map(|target| target.name.clone()).filter(|name| !TURNS.iter().any(|(its, ..)| its == name));
        all.extend(names.map(|name| (package.name.to_string(), name.clone(), vec!["--test".to_owned(), name])));
    }
    all.sort();
    all
}

/// The files below .ci and scripts that are bash.
fn shell_files(root: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for file in [files(&root.join(".ci"))?, files(&root.join("scripts"))?].concat() {
        let text = fs::read(&file)?;
        let first = String::from_utf8_lossy(text.split(|byte| *byte == b'\n').next().unwrap_or_default()).into_owned();
        let is_shell = first.starts_with("#!") && first.ends_with("sh") || first.starts_with("# shellcheck shell=");
        let file = file.strip_prefix(root)?.to_string_lossy().into_owned();
        if is_shell || file.ends_with(".sh") {
            found.push(file);
        }
    }
    Ok(found)
}

/// The files below a folder, or the file itself, sorted; nothing if it is not there.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(path.is_file().then(|| path.into()).into_iter().collect());
    }
    Ok(sorted(path)?.iter().map(|entry| files(entry)).collect::<Result<Vec<_>>>()?.concat())
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    entries.sort();
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> Metadata {
        MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().unwrap()
    }

    #[test]
    fn every_turn_is_the_turn_of_a_test_target() {
        let workspace = workspace();
        for (name, ..) in TURNS {
            let has_it =
                |package: &cargo_metadata::Package| package.targets.iter().any(|it| is_test(it) && it.name == name);
            assert_eq!(workspace.packages.iter().filter(|package| has_it(package)).count(), 1, "{name}");
        }
    }

    #[test]
    fn what_has_no_turn_runs_once() {
        let once = once(&workspace());
        let units = |package: &str| {
            let found = once.iter().find(|(its, title, _)| its == package && title == "unit tests");
            found.map(|(.., options)| options.join(" "))
        };
        // cargo refuses to look for the library of a crate that has none.
        assert_eq!((units("xtask").as_deref(), units("course").as_deref()), (Some("--bins"), Some("--lib")));
        assert!(
            ["unify", "step1_registration", "driver_in_worker"].into_iter().all(|package| units(package).is_none())
        );
        assert!(once.iter().any(|(_, title, _)| title == "exercises"));
        assert!(!once.iter().any(|(_, title, _)| title == OUTSIDE));
    }

    #[test]
    fn steps_are_named_in_three_ways() {
        let workspace = workspace();
        for wanted in ["3", "step3", "step3_spi_transaction"] {
            assert_eq!(resolve(&workspace, wanted, Lang::En).unwrap(), "step3_spi_transaction");
        }
        assert_eq!(resolve(&workspace, "worker_spi", Lang::En).unwrap(), "worker_spi");
        let error = resolve(&workspace, "99", Lang::Ja).unwrap_err().to_string();
        assert!(
            error.contains("「99」") && error.contains("step1_registration") && error.contains("次の操作"),
            "{error}"
        );
    }

    #[test]
    fn the_readmes_name_all_majors() {
        let majors = table().unwrap().majors.keys().map(u16::to_string).collect::<Vec<_>>().join(", ");
        for file in ["README.md", "README.ja.md"] {
            assert!(fs::read_to_string(root().join(file)).unwrap().contains(&majors), "{file}: {majors}");
        }
    }

    #[test]
    fn the_parts_of_the_continuous_run_can_be_parsed() {
        let all: Vec<_> = CONTINUOUS.iter().filter(|(_, command)| command.starts_with("scripts/test ")).collect();
        assert!(all.len() > 1 && all.iter().all(|(_, command)| parse(command).is_ok()), "{all:?}");
    }

    #[test]
    fn the_budgets_are_those_of_contributing() {
        for file in ["CONTRIBUTING.md", "CONTRIBUTING.ja.md"] {
            let text = fs::read_to_string(root().join(file)).unwrap();
            for (budget, command) in CONTINUOUS {
                assert!(text.contains(&format!("| `{command}` | {budget} |")), "{file}: {command}");
            }
        }
    }
}
