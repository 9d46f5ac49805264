//! Every variant in `steps/*/variants` must be refused by the check that it names: `cargo test -p course --test variants`.
//!
//! A variant is a small change to a finished step that compiles and is wrong. One that passes is a hole in the checks.

use cluster::throwaway::{Result, explain};
use course::build::{Shell, Workshop};
use course::checks::{self, Check, Subject, Tier};
use libtest_mimic::{Arguments, Trial};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex};

/// How many variants are built and judged side by side: a check that waits leaves the processors to the next one's compiler.
const SIDE_BY_SIDE: usize = 6;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(SIDE_BY_SIDE));
    // What a check waits for is expected not to come.
    // SAFETY: no other thread runs yet.
    unsafe { std::env::set_var("WORKBOOK_LIMIT", "8") };
    match trials(&arguments) {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The workshops that nobody uses at the moment.
type Workshops = Mutex<Vec<Workshop>>;

/// The lines above the patch.
struct Variant {
    step: String,
    name: String,
    patch: PathBuf,
    /// The major on which it is wrong, if it is not wrong on each: `major: 19`.
    major: Option<u16>,
    /// The checks that must refuse it, each with a part of what it says.
    red: Vec<(&'static Check, String)>,
}

fn trials(arguments: &Arguments) -> Result<Vec<Trial>> {
    let long = std::env::var_os("WORKBOOK_LONG").is_some();
    let root: Arc<Path> = cluster::checkout().into();
    let workshops = Arc::new(Workshops::default());
    let mut trials = Vec::new();
    for (step, checks) in checks::all() {
        let mut patches: Vec<_> = fs::read_dir(root.join("steps").join(step).join("variants"))?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<std::io::Result<_>>()?;
        patches.sort();
        let mut unproven: Vec<_> = checks.iter().map(|check| check.id).collect();
        for patch in patches {
            let mut variant = read(step, checks, patch)?;
            unproven.retain(|id| variant.red.iter().all(|(check, _)| check.id != *id));
            variant.red.retain(|(check, _)| long || check.tier != Tier::Long);
            if variant.red.is_empty() {
                continue;
            }
            let (root, workshops) = (root.clone(), workshops.clone());
            trials.push(Trial::test(format!("{step}/{}", variant.name), move || {
                let workshop = workshops.lock().map_err(|error| error.to_string())?.pop();
                let workshop = workshop.ok_or("more trials at once than workshops")?;
                let verdict = judge(&root, &workshop, &variant).map_err(|error| explain(&error).into());
                workshops.lock().map_err(|error| error.to_string())?.push(workshop);
                verdict
            }));
        }
        if !unproven.is_empty() {
            return Err(format!("{step}: no variant turns these checks red: {unproven:?}").into());
        }
    }
    if !arguments.list {
        let shell = Shell::of(&root, "step1")?;
        for number in 0..arguments.test_threads.unwrap_or(1) {
            let workshop = Workshop::open(&root, &shell, &format!("variants-{number}"))?;
            workshops.lock().map_err(|error| error.to_string())?.push(workshop);
        }
    }
    Ok(trials)
}

fn read(step: &str, checks: &'static [Check], patch: PathBuf) -> Result<Variant> {
    let text = fs::read_to_string(&patch)?;
    let line = |key: &str| -> Result<String> {
        let found = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
        Ok(found
            .filter(|value| !value.is_empty())
            .ok_or(format!("{}: no line \"{key}: ...\"", patch.display()))?
            .to_owned())
    };
    for key in ["title.en", "title.ja", "lesson.en", "lesson.ja"] {
        line(key)?;
    }
    let mut red = Vec::new();
    let mut header = text.lines().take_while(|line| !line.is_empty());
    while let Some(line) = header.next() {
        let Some(id) = line.strip_prefix("red: ") else { continue };
        let check = checks.iter().find(|check| check.id == id);
        let check = check.ok_or(format!("{}: {step} has no check \"{id}\"", patch.display()))?;
        let says = header.next().and_then(|line| line.strip_prefix("says: ")).filter(|says| !says.is_empty());
        red.push((check, says.ok_or(format!("{}: no line \"says: ...\" below \"{line}\"", patch.display()))?.into()));
    }
    if red.is_empty() {
        return Err(format!("{}: no line \"red: ...\"", patch.display()).into());
    }
    let major = line("major").ok().map(|major| major.parse()).transpose()?;
    if let Some((check, _)) = red.iter().find(|(check, _)| checks::since(step, check) > major.unwrap_or_default()) {
        let since = checks::since(step, check);
        return Err(format!("{}: no line \"major: {since}\", which \"{}\" needs", patch.display(), check.id).into());
    }
    let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Variant { step: step.into(), name, patch, major, red })
}

/// Builds the variant and fails unless its checks refuse it, each for the stated reason.
fn judge(root: &Path, workshop: &Workshop, variant: &Variant) -> Result<()> {
    let shell = match variant.major {
        Some(major) => Shell::on(root, &variant.step, major)?,
        None => Shell::of(root, &variant.step)?,
    };
    let folder = shell.scratch()?.join("variants").join(format!("{}-{}", variant.step, variant.name));
    let source = workshop.copy(&variant.step, &folder)?;
    // Without the variable, git would take the checkout around the folder for the place to patch.
    let mut git = Command::new("git");
    git.arg("apply").arg(&variant.patch).current_dir(&source).env("GIT_CEILING_DIRECTORIES", &folder);
    let out = git.output()?;
    if !out.status.success() {
        return Err(format!("git apply: {}", String::from_utf8_lossy(&out.stderr)).into());
    }
    let installation = shell.installation()?.copy_to(&folder)?;
    workshop.install(&shell, &variant.step, &source, &installation)?;
    let subject = Subject::new(Arc::new(installation), &variant.step);
    let wrong: Vec<_> = variant.red.iter().filter_map(|(check, says)| refusal(&subject, check, says).err()).collect();
    fs::remove_dir_all(&folder)?;
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

fn refusal(subject: &Subject, check: &Check, says: &str) -> std::result::Result<(), String> {
    match (check.run)(subject).map_err(|failure| explain(&failure)) {
        Ok(()) => Err(format!("the check \"{}\" does not refuse it", check.id)),
        Err(error) if error.lines().next().unwrap_or_default().contains(says) => Ok(()),
        Err(error) => Err(format!("\"{}\" refuses it for another reason than \"{says}\": {error}", check.id)),
    }
}
