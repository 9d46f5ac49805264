//! The checks of all steps, against the finished steps: `cargo test -p course --test checks [part of a name]`.
//!
//! The names are `<step>/<check>`. WORKBOOK_QUICK=1 leaves the quick ones only, WORKBOOK_LONG=1 adds the long ones.

mod support;

use cluster::failure::Result;
use course::build_dir::Shell;
use course::checks::{self, Subject, Tier};
use libtest_mimic::{Arguments, Trial};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

/// How many checks run side by side, each on clusters of its own. They wait more than they compute.
const SIDE_BY_SIDE: usize = 6;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(SIDE_BY_SIDE));
    match trials(&arguments) {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn trials(arguments: &Arguments) -> Result<Vec<Trial>> {
    let (quick, long) = (std::env::var_os("WORKBOOK_QUICK").is_some(), std::env::var_os("WORKBOOK_LONG").is_some());
    let root = cluster::checkout();
    let major: u16 = Shell::of(root, "step1")?.value("$WORKBOOK_PG_MAJOR")?.parse()?;
    let mut trials = Vec::new();
    for (step, checks) in checks::all() {
        described(root, step, checks)?;
        let name = |check: &checks::Check| format!("{step}/{}", check.id);
        let wanted = |check: &checks::Check| {
            checks::since(step, check) <= major
                && (long || check.tier != Tier::Long)
                && (!quick || check.tier == Tier::Quick)
                && arguments.filter.as_ref().is_none_or(|filter| name(check).contains(filter.as_str()))
                && !arguments.skip.iter().any(|skip| name(check).contains(skip.as_str()))
        };
        let all = checks.iter().chain(checks::inherited(step));
        let checks: Vec<_> = all.filter(|check| wanted(check)).collect();
        if checks.is_empty() {
            continue;
        }
        // Listing needs no library, and must not take the time to build one.
        let installation = if arguments.list { None } else { Some(Arc::new(support::install(root, step)?)) };
        for check in checks {
            let installation = installation.clone();
            trials.push(Trial::test(name(check), move || {
                let installation = installation.ok_or("nothing is installed")?;
                let subject = Subject::new(installation, step);
                let start = Instant::now();
                let verdict = check.judge(&subject).map_err(Into::into);
                println!("{step}/{}: {:.1} s", check.id, start.elapsed().as_secs_f64());
                subject.notes().iter().for_each(|note| println!("    {note}"));
                verdict
            }));
        }
    }
    Ok(trials)
}

/// Fails unless the step's `checks.toml` describes exactly these checks, each with title and explanation in both languages, but not
/// those that an earlier step describes.
fn described(root: &Path, step: &str, checks: &[checks::Check]) -> Result<()> {
    let file = root.join("steps").join(step).join("checks.toml");
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut expected = String::new();
    for check in checks.iter().filter(|check| checks::described_in(step, check.id) == step) {
        expected.push_str(&format!("[{}] title.en title.ja why.en why.ja ", check.id));
    }
    let keys = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let seen: String = keys.map(|line| format!("{} ", line.split(" = ").next().unwrap_or_default())).collect();
    if seen != expected {
        return Err(format!("{}: expected {expected}\nfound {seen}", file.display()).into());
    }
    Ok(())
}
