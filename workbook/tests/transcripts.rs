//! Every transcript in `steps/*/transcripts` comes out as it is committed: `cargo test -p workbook --test transcripts [part of a name]`.
//!
//! With UPDATE_TRANSCRIPTS=1 what comes out is written instead. WORKBOOK_LONG=1 adds those of commands that are
//! shown without their output. How a transcript is written: see `workbook::transcript`.

use libtest_mimic::{Arguments, Failed, Trial};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Instant;
use workbook::throwaway::{Result, explain};
use workbook::transcript::{Stage, is_long, play};

/// How many transcripts are played side by side, each on a cluster of its own. They wait more than they compute.
const SIDE_BY_SIDE: usize = 8;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(SIDE_BY_SIDE));
    match trials() {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn trials() -> Result<Vec<Trial>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no folder above the crate")?;
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
                let verdict = compare(&stage, &step, &file).map_err(|error| Failed::from(explain(&error)));
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

fn compare(stage: &Stage, step: &str, file: &Path) -> Result<()> {
    let committed = fs::read_to_string(file)?;
    let played = play(stage, step, &committed)?;
    if played == committed {
        return Ok(());
    }
    if std::env::var_os("UPDATE_TRANSCRIPTS").is_some() {
        return Ok(fs::write(file, played)?);
    }
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("committed"), committed)?;
    fs::write(folder.path().join("played"), played)?;
    let diff = Command::new("diff").args(["-U2", "committed", "played"]).current_dir(folder.path()).output()?;
    let hint = "If this is right: UPDATE_TRANSCRIPTS=1 cargo test -p workbook --test transcripts";
    Err(format!("{} is not what comes out\n{}\n{hint}", file.display(), String::from_utf8_lossy(&diff.stdout)).into())
}
