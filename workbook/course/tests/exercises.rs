//! Every starter compiles without a warning, and every hole is seen by the check that the exercise names, for the stated reason:
//! `cargo test -p course --test exercises`.

use cluster::Lang;
use course::checks::Tier;
use course::judge::{Judge, Verdict};
use course::starter::{self, Open};
use course::step::{self, Hole, Step};
use libtest_mimic::{Arguments, Failed, Trial};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How many are built and judged at once.
const SIDE_BY_SIDE: usize = 2;

/// A trial, which is told where to build.
type Run = Box<dyn Fn(&str) -> Result<(), Failed> + Send>;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(SIDE_BY_SIDE));
    // What a check waits for is expected not to come.
    cluster::throwaway::choose_limit(Duration::from_secs(8));
    let root: &'static Path = cluster::checkout();
    let steps = match step::all(root) {
        Ok(steps) => steps,
        Err(error) => {
            eprint!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let places: Arc<Mutex<Vec<usize>>> = Arc::new(Mutex::new((0..arguments.test_threads.unwrap_or(1)).collect()));
    let mut trials = Vec::new();
    for step in &steps {
        let trial = |name: String, run: Run| {
            let places = places.clone();
            Trial::test(format!("{}/{name}", step.name), move || {
                let place = places.lock()?.pop().unwrap_or_default();
                let result = run(&format!("exercises-{place}"));
                places.lock()?.push(place);
                result
            })
        };
        let of = step.clone();
        trials.push(trial("starter".into(), Box::new(move |place| starter(root, &of, place))));
        for (number, hole) in step.holes.iter().enumerate() {
            let of = step.clone();
            let run: Run = Box::new(move |place| open_hole(root, &of, &of.holes[number], place));
            trials.push(trial(format!("hole {}", hole.id), run));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// With all holes open: no warning, and red at the first hole's check. Both languages' contracts are comments, so one of them is built.
fn starter(root: &Path, step: &Arc<Step>, place: &str) -> Result<(), Failed> {
    let mut judge = Judge::open_in(place, root, step, "".into(), Lang::Ja, &mut |_| ())?;
    let source = judge.use_fresh(Open::All)?;
    for entry in std::fs::read_dir(source.join("src"))?.flatten() {
        let text = std::fs::read_to_string(entry.path())?;
        if text.contains("ANCHOR") {
            return Err(format!("{}: an anchor is left", entry.path().display()).into());
        }
    }
    let messages = judge.warnings()?;
    if !messages.is_empty() {
        return Err(messages.into());
    }
    // Typed in, the solutions make it the finished step again, whichever language the holes are in.
    for lang in [Lang::En, Lang::Ja] {
        let folder = tempfile::tempdir()?;
        let (open, finished) = (folder.path().join("open"), folder.path().join("finished"));
        starter::write(step, Open::All, &open, lang)?;
        starter::write(step, Open::None, &finished, lang)?;
        for solution in starter::solutions(step)? {
            let read = |folder: &Path| std::fs::read_to_string(folder.join(&solution.file));
            let mut text = read(&open)?;
            for solution in starter::solutions(step)?.iter().filter(|other| other.file == solution.file) {
                text = starter::type_in(&text, solution);
            }
            if text != read(&finished)? {
                return Err(
                    format!("{}: with its holes filled it is not the finished step", solution.file.display()).into()
                );
            }
        }
    }
    // The checks are in their order, so the first to fail is the first that a hole names.
    let first = step.checks.iter().find(|check| step.holes.iter().any(|hole| hole.red == check.id));
    match judge.verdict(&[Tier::Quick, Tier::Full], &mut |_| ())? {
        Verdict::Red(red) if first.is_some_and(|first| first.id == red.check) => Ok(()),
        other => Err(format!("expected red at {:?}, seen {other:?}", first.map(|check| check.id)).into()),
    }
}

/// With this hole open and no other: red at its check, for the stated reason, with a hint.
fn open_hole(root: &Path, step: &Arc<Step>, hole: &Hole, place: &str) -> Result<(), Failed> {
    let mut judge = Judge::open_in(place, root, step, "".into(), Lang::En, &mut |_| ())?;
    judge.use_fresh(Open::Only(&hole.id))?;
    let messages = judge.warnings()?;
    if !messages.is_empty() {
        return Err(messages.into());
    }
    match judge.verdict(&[Tier::Quick, Tier::Full], &mut |_| ())? {
        Verdict::Red(red) if red.check == hole.red && red.seen.contains(&hole.says) && red.hint.is_some() => Ok(()),
        other => Err(format!("expected red at \"{}\" with \"{}\", seen {other:#?}", hole.red, hole.says).into()),
    }
}
