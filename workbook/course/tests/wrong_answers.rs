//! The variants are the wrong answers that people really give. `cargo workbook check` must refuse each at the check that the variant
//! names first, give the hint that the variant names, and say in Japanese what was seen, where that is the reader's language:
//! `cargo test -p course --test wrong_answers`.

use cluster::Lang;
use course::checks::Tier;
use course::judge::{Bench, Verdict};
use course::said::Trouble;
use course::step::{self, Step};
use libtest_mimic::{Arguments, Trial};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex};

/// How many are built and judged at once.
const SIDE_BY_SIDE: usize = 3;

/// At least so many wrong answers for each step.
const AT_LEAST: usize = 4;

struct Wrong {
    name: String,
    patch: PathBuf,
    red: String,
    hint: String,
}

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

fn words(trouble: Trouble) -> String {
    trouble.show(Lang::En)
}

fn trials(arguments: &Arguments) -> Result<Vec<Trial>, String> {
    let long = std::env::var_os("WORKBOOK_LONG").is_some();
    let root: &'static Path = cluster::checkout();
    let steps: &'static [Step] = Box::leak(step::all(root).map_err(words)?.into_boxed_slice());
    let places: Arc<Mutex<Vec<usize>>> = Arc::new(Mutex::new((0..arguments.test_threads.unwrap_or(1)).collect()));
    let mut trials = Vec::new();
    for step in steps {
        let wrongs = wrong_answers(step)?;
        if wrongs.len() < AT_LEAST {
            return Err(format!("{}: {} wrong answers, expected at least {AT_LEAST}", step.name, wrongs.len()));
        }
        for wrong in wrongs {
            let tier = step.checks.iter().find(|check| check.id == wrong.red).map(|check| check.tier);
            if tier == Some(Tier::Long) && !long {
                continue;
            }
            let places = places.clone();
            trials.push(Trial::test(format!("{}/{}", step.name, wrong.name), move || {
                let place = places.lock().map_err(|error| error.to_string())?.pop().unwrap_or_default();
                let result = refused(root, step, &wrong, &format!("exercises-{place}"));
                places.lock().map_err(|error| error.to_string())?.push(place);
                result.map_err(Into::into)
            }));
        }
    }
    Ok(trials)
}

fn wrong_answers(step: &Step) -> Result<Vec<Wrong>, String> {
    let mut all = Vec::new();
    let folder = step.folder.join("variants");
    for entry in fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?.flatten() {
        let patch = entry.path();
        let text = fs::read_to_string(&patch).map_err(|error| error.to_string())?;
        let line = |key: &str| {
            let found = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
            found.map(str::to_owned).ok_or(format!("{}: no line \"{key}: ...\"", patch.display()))
        };
        let (red, hint) = (line("red")?, line("hint")?);
        if !step.hints.iter().any(|known| known.name == hint && (known.check == red || known.also.contains(&red))) {
            return Err(format!("{}: no hint \"{hint}\" for the check \"{red}\"", patch.display()));
        }
        let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        all.push(Wrong { name, patch, red, hint });
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

fn refused(root: &Path, step: &Step, wrong: &Wrong, place: &str) -> Result<(), String> {
    // What is said in English the variants' own test compares.
    let mut bench = Bench::open_in(place, root, step, "".into(), Lang::Ja, &mut |_| ()).map_err(words)?;
    let source = bench.use_finished().map_err(words)?;
    let mut git = Command::new("git");
    // Without the variable, git would take the checkout around the folder for the place to patch.
    let ceiling = source.parent().unwrap_or(&source);
    git.arg("apply").arg(&wrong.patch).current_dir(&source).env("GIT_CEILING_DIRECTORIES", ceiling);
    let out = git.output().map_err(|error| error.to_string())?;
    if !out.status.success() {
        return Err(format!("git apply: {}", String::from_utf8_lossy(&out.stderr)));
    }
    let verdict = bench.judge(&[Tier::Quick, Tier::Full, Tier::Long], &mut |_| ()).map_err(words)?;
    bench.rest();
    match verdict {
        Verdict::Red(red) if red.check == wrong.red && red.hint.as_ref() == Some(&wrong.hint) => {
            let japanese = red.seen.chars().any(|letter| ('ぁ'..='ん').contains(&letter));
            if japanese { Ok(()) } else { Err(format!("a Japanese reader is told: {}", red.seen)) }
        }
        other => Err(format!("expected red at \"{}\" with the hint \"{}\", seen {other:#?}", wrong.red, wrong.hint)),
    }
}
