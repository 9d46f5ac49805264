//! Every variant in `steps/*/variants` must be refused by the check that it names: `cargo test -p course --test variants`.
//!
//! A variant is a small change to a finished step that compiles and is wrong. One that passes is a hole in the checks.

use cluster::failure::Result;
use course::build_dir::{BuildDir, Shell};
use course::checks::{self, Check, Subject, Tier};
use course::variant::Variant;
use libtest_mimic::{Arguments, Trial};
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How many variants are built and judged side by side: a check that waits leaves the processors to the next one's compiler.
const SIDE_BY_SIDE: usize = 6;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(SIDE_BY_SIDE));
    // What a check waits for is expected not to come.
    cluster::throwaway::choose_limit(Duration::from_secs(8));
    match trials(&arguments) {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The build directories that nobody uses at the moment.
type BuildDirs = Mutex<Vec<BuildDir>>;

fn trials(arguments: &Arguments) -> Result<Vec<Trial>> {
    let long = std::env::var_os("WORKBOOK_LONG").is_some();
    let root = cluster::checkout();
    let build_dirs = Arc::new(BuildDirs::default());
    let mut trials = Vec::new();
    for (step, checks) in checks::all() {
        let mut unproven: Vec<_> = checks.iter().map(|check| check.id).collect();
        for mut variant in Variant::all(root, step)? {
            unproven.retain(|id| variant.red.iter().all(|(check, _)| check.id != *id));
            variant.red.retain(|(check, _)| long || check.tier != Tier::Long);
            if variant.red.is_empty() {
                continue;
            }
            let build_dirs = build_dirs.clone();
            trials.push(Trial::test(format!("{step}/{}", variant.name), move || {
                let build_dir = build_dirs.lock().map_err(|error| error.to_string())?.pop();
                let build_dir = build_dir.ok_or("more trials at once than build directories")?;
                let verdict = judge(root, &build_dir, &variant).map_err(Into::into);
                build_dirs.lock().map_err(|error| error.to_string())?.push(build_dir);
                verdict
            }));
        }
        if !unproven.is_empty() {
            return Err(format!("{step}: no variant turns these checks red: {unproven:?}").into());
        }
    }
    if !arguments.list {
        let shell = Shell::of(root, "step1")?;
        for number in 0..arguments.test_threads.unwrap_or(1) {
            let build_dir = BuildDir::open(root, &shell, &format!("variants-{number}"))?;
            build_dirs.lock().map_err(|error| error.to_string())?.push(build_dir);
        }
    }
    Ok(trials)
}

/// Builds the variant and fails unless its checks refuse it, each for the stated reason.
fn judge(root: &Path, build_dir: &BuildDir, variant: &Variant) -> Result<()> {
    let shell = match variant.major {
        Some(major) => Shell::on(root, variant.step, major)?,
        None => Shell::of(root, variant.step)?,
    };
    let folder = shell.scratch()?.join("variants").join(format!("{}-{}", variant.step, variant.name));
    let source = build_dir.copy(variant.step, &folder)?;
    variant.apply(&source)?;
    let installation = shell.installation()?.copy_to(&folder)?;
    build_dir.install(&shell, variant.step, &source, &installation)?;
    let subject = Subject::new(Arc::new(installation), variant.step);
    let wrong: Vec<_> = variant.red.iter().filter_map(|(check, says)| refusal(&subject, check, says).err()).collect();
    fs::remove_dir_all(&folder)?;
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

fn refusal(subject: &Subject, check: &Check, says: &str) -> std::result::Result<(), String> {
    match check.judge(subject).map_err(|failure| failure.to_string()) {
        Ok(()) => Err(format!("the check \"{}\" does not refuse it", check.id)),
        Err(error) if error.lines().next().unwrap_or_default().contains(says) => Ok(()),
        Err(error) => Err(format!("\"{}\" refuses it for another reason than \"{says}\": {error}", check.id)),
    }
}
