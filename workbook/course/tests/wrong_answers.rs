//! The variants are the wrong answers that people really give. `cargo workbook check` must refuse each at the check that the variant
//! names first, give the hint that the variant names, and say in Japanese what was seen, where that is the reader's language:
//! `cargo test -p course --test wrong_answers`.

use cluster::Lang;
use course::checks::Tier;
use course::judge::{Judge, Verdict};
use course::step::{self, Step};
use course::variant::Variant;
use libtest_mimic::{Arguments, Failed, Trial};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How many are built and judged at once.
const SIDE_BY_SIDE: usize = 3;

/// At least so many wrong answers for each step.
const AT_LEAST: usize = 4;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(SIDE_BY_SIDE));
    // What a check waits for is expected not to come.
    cluster::throwaway::choose_limit(Duration::from_secs(8));
    match trials(&arguments) {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("{}", error.message().unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}

fn trials(arguments: &Arguments) -> Result<Vec<Trial>, Failed> {
    let long = std::env::var_os("WORKBOOK_LONG").is_some();
    let root: &'static Path = cluster::checkout();
    let steps = step::all(root)?;
    let places: Arc<Mutex<Vec<usize>>> = Arc::new(Mutex::new((0..arguments.test_threads.unwrap_or(1)).collect()));
    let mut trials = Vec::new();
    for step in &steps {
        let wrongs = Variant::all(root, &step.name)?;
        if wrongs.len() < AT_LEAST {
            return Err(format!("{}: {} wrong answers, expected at least {AT_LEAST}", step.name, wrongs.len()).into());
        }
        for wrong in wrongs {
            let (check, hint) = (wrong.red[0].0, wrong.hint.clone().unwrap_or_default());
            let fits = |id: &String| id == check.id;
            if !step.hints.iter().any(|known| known.name == hint && (fits(&known.check) || known.also.iter().any(fits)))
            {
                let place = wrong.patch.display();
                return Err(format!("{place}: no hint \"{hint}\" for the check \"{}\"", check.id).into());
            }
            if check.tier == Tier::Long && !long {
                continue;
            }
            let (places, step) = (places.clone(), step.clone());
            trials.push(Trial::test(format!("{}/{}", step.name, wrong.name), move || {
                let place = places.lock()?.pop().unwrap_or_default();
                let result = refused(root, &step, &wrong, &format!("exercises-{place}"));
                places.lock()?.push(place);
                result
            }));
        }
    }
    Ok(trials)
}

fn refused(root: &Path, step: &Arc<Step>, wrong: &Variant, place: &str) -> Result<(), Failed> {
    // What is said in English the variants' own test compares.
    let mut judge = Judge::open_in(place, root, step, "".into(), Lang::Ja, &mut |_| ())?;
    let source = judge.use_finished()?;
    wrong.apply(&source)?;
    let verdict = judge.verdict(&[Tier::Quick, Tier::Full, Tier::Long], &mut |_| ())?;
    judge.rest();
    let check = wrong.red[0].0.id;
    match verdict {
        Verdict::Red(red) if red.check == check && red.hint == wrong.hint => {
            let japanese = red.seen.chars().any(|letter| ('ぁ'..='ん').contains(&letter));
            if japanese { Ok(()) } else { Err(format!("a Japanese reader is told: {}", red.seen).into()) }
        }
        other => Err(format!("expected red at \"{check}\" with the hint {:?}, seen {other:#?}", wrong.hint).into()),
    }
}
