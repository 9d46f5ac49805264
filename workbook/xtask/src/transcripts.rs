//! Every transcript in `steps/*/transcripts` comes out as it is committed: `cargo xtask transcripts [part of a name]`.
//!
//! With `--update` what comes out is written instead. WORKBOOK_LONG=1 adds those of commands that are shown without their output. How
//! a transcript is written: see [`crate::transcript`].

use crate::transcript::{Stage, is_long, play};
use cluster::failure::Result;
use libtest_mimic::{Failed, Trial};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

/// How many transcripts are played side by side, each on a cluster of its own. They wait more than they compute.
const SIDE_BY_SIDE: usize = 8;

#[derive(clap::Args)]
#[group(skip)] // libtest's are called `Arguments`, too
pub struct Arguments {
    /// Write what comes out
    #[arg(long)]
    update: bool,
    #[command(flatten)]
    tests: libtest_mimic::Arguments,
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut tests = arguments.tests;
    tests.test_threads = tests.test_threads.or(Some(SIDE_BY_SIDE));
    let trials = trials(arguments.update).map_err(|error| anyhow::Error::msg(error.to_string()))?;
    match libtest_mimic::run(&tests, trials).has_failed() {
        true => anyhow::bail!(
            "a transcript is not what comes out; if what comes out is right: cargo xtask transcripts --update"
        ),
        false => Ok(()),
    }
}

fn trials(update: bool) -> Result<Vec<Trial>> {
    let root = cluster::checkout();
    let stage = Arc::new(Stage::new(root));
    let (mut trials, mut idle) = (Vec::new(), Vec::new());
    for step in sorted(&root.join("steps"))? {
        let name = step.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for file in sorted(&step.join("transcripts"))? {
            let title = format!("{name}/{}", file.file_stem().unwrap_or_default().to_string_lossy());
            let (stage, step) = (stage.clone(), name.clone());
            let text = fs::read_to_string(&file)?;
            if shows_idle(&text) {
                idle.push(title.clone());
            }
            let later = is_long(&text) && std::env::var_os("WORKBOOK_LONG").is_none();
            let trial = Trial::test(title.clone(), move || {
                let start = Instant::now();
                let verdict = compare(&stage, &step, &file, update).map_err(|error| Failed::from(error.to_string()));
                println!("{title}: {:.1} s", start.elapsed().as_secs_f64());
                verdict
            });
            trials.push(trial.with_ignored_flag(later));
        }
    }
    if trials.is_empty() {
        return Err("there are no transcripts".into());
    }
    trials.push(Trial::test("a worker that is shown idle is held or waited for", move || match idle.is_empty() {
        true => Ok(()),
        false => Err(format!("a worker may be in a cycle when this looks: {}", idle.join(", ")).into()),
    }));
    Ok(trials)
}

/// Whether the state of a worker is shown which neither `hold` nor a `wait` has made sure of.
fn shows_idle(text: &str) -> bool {
    let sure = text.lines().any(|line| {
        let waits =
            line.starts_with("# ANCHOR:_ wait") && (line.contains("wait_event") || line.contains("state = 'idle'"));
        waits || line.starts_with("# ANCHOR:_ hold")
    });
    !sure && text.lines().any(|line| !line.starts_with('#') && line.split_whitespace().any(|word| word == "idle"))
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn compare(stage: &Stage, step: &str, file: &Path, update: bool) -> Result<()> {
    let committed = fs::read_to_string(file)?;
    let played = play(stage, step, &committed)?;
    if played == committed {
        return Ok(());
    }
    if update {
        return Ok(fs::write(file, played)?);
    }
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("committed"), committed)?;
    fs::write(folder.path().join("played"), played)?;
    let diff = Command::new("diff").args(["-U2", "committed", "played"]).current_dir(folder.path()).output()?;
    Err(format!("{} is not what comes out\n{}", file.display(), String::from_utf8_lossy(&diff.stdout)).into())
}
