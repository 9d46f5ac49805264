//! Every variant in `steps/*/variants` must be refused by the check that it names: `cargo test -p workbook --test variants`.
//!
//! A variant is a small change to a finished step that compiles and is wrong. One that passes is a hole in the checks.

mod support;

use libtest_mimic::{Arguments, Trial};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use workbook::checks::{self, Check, Subject, Tier};
use workbook::throwaway::explain;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One at a time: all variants of a step build a library of the same name at the same place.
    arguments.test_threads = Some(1);
    // What a check waits for is expected not to come.
    // SAFETY: no other thread runs yet.
    unsafe { std::env::set_var("WORKBOOK_LIMIT", "6") };
    match trials(&arguments) {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The lines above the patch.
struct Variant {
    step: String,
    name: String,
    patch: PathBuf,
    check: &'static Check,
    says: String,
}

fn trials(_: &Arguments) -> Result<Vec<Trial>, Box<dyn Error>> {
    let long = std::env::var_os("WORKBOOK_LONG").is_some();
    let root: Arc<Path> = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no folder above the crate")?.into();
    let mut trials = Vec::new();
    for (step, checks) in checks::all() {
        let mut patches: Vec<_> = fs::read_dir(root.join("steps").join(step).join("variants"))?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        patches.sort();
        for patch in patches {
            let variant = read(step, checks, patch)?;
            if variant.check.tier == Tier::Long && !long {
                continue;
            }
            let root = root.clone();
            trials.push(Trial::test(format!("{step}/{}", variant.name), move || {
                judge(&root, &variant).map_err(|error| error.to_string().into())
            }));
        }
    }
    Ok(trials)
}

fn read(step: &str, checks: &'static [Check], patch: PathBuf) -> Result<Variant, Box<dyn Error>> {
    let text = fs::read_to_string(&patch)?;
    let line = |key: &str| -> Result<String, Box<dyn Error>> {
        let found = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
        Ok(found
            .filter(|value| !value.is_empty())
            .ok_or(format!("{}: no line \"{key}: ...\"", patch.display()))?
            .to_owned())
    };
    for key in ["title.en", "title.ja", "lesson.en", "lesson.ja"] {
        line(key)?;
    }
    let (red, says) = (line("red")?, line("says")?);
    let check = checks.iter().find(|check| check.id == red);
    let check = check.ok_or(format!("{}: {step} has no check \"{red}\"", patch.display()))?;
    let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Variant { step: step.into(), name, patch, check, says })
}

/// Builds the variant and fails unless its check refuses it, for the stated reason.
fn judge(root: &Path, variant: &Variant) -> Result<(), Box<dyn Error>> {
    let workspace =
        support::scratch(root, &variant.step)?.join("variants").join(format!("{}-{}", variant.step, variant.name));
    if workspace.exists() {
        fs::remove_dir_all(&workspace)?;
    }
    let source = workspace.join("step");
    fs::create_dir_all(&workspace)?;
    run(Command::new("cp").arg("-r").arg(root.join("steps").join(&variant.step)).arg(&source))?;
    // A workspace of its own, with the versions and the settings of the real one, so that what is built already is used.
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let members = manifest.lines().find(|line| line.starts_with("members = ")).ok_or("no members in Cargo.toml")?;
    fs::write(workspace.join("Cargo.toml"), manifest.replace(members, "members = [\"step\"]"))?;
    fs::copy(root.join("Cargo.lock"), workspace.join("Cargo.lock"))?;
    let manifest = fs::read_to_string(source.join("Cargo.toml"))?;
    let unify = root.join("workbook/unify").display().to_string();
    fs::write(source.join("Cargo.toml"), manifest.replace("../../workbook/unify", &unify))?;
    // Without the variable, git would take the checkout around the folder for the place to patch.
    let ceiling = workspace.parent().unwrap_or(&workspace);
    run(Command::new("git")
        .arg("apply")
        .arg(&variant.patch)
        .current_dir(&source)
        .env("GIT_CEILING_DIRECTORIES", ceiling))?;

    let installation =
        support::install(root, &variant.step, &source, &format!("variant-{}-{}", variant.step, variant.name))?;
    let folder = installation.bin.ancestors().nth(3).map(Path::to_path_buf);
    let subject = Subject { installation: Arc::new(installation), step: variant.step.clone() };
    let verdict = (variant.check.run)(&subject);
    drop(subject);
    for folder in folder.iter().chain([&workspace]) {
        fs::remove_dir_all(folder)?;
    }
    match verdict.map_err(|failure| explain(&failure)) {
        Ok(()) => Err(format!("the check \"{}\" does not refuse it", variant.check.id).into()),
        Err(error) if error.lines().next().unwrap_or_default().contains(&variant.says) => Ok(()),
        Err(error) => Err(format!("refused for another reason than \"{}\": {error}", variant.says).into()),
    }
}

fn run(command: &mut Command) -> Result<(), Box<dyn Error>> {
    let out = command.output()?;
    if !out.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&out.stderr)).into());
    }
    Ok(())
}
