//! A learner's own copy of a step, made from the finished one: the code between the anchors `hole_ID` is taken out, and the contract
//! and the stub from `exercise.toml` stand there. One source, so nothing can drift.

use crate::error::{Result, machine};
use crate::source::{self, Mark};
use crate::step::{Hole, Step};
use cluster::tr;
use cluster::{Lang, failure};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Which holes of a copy are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open<'a> {
    /// All: a starter.
    All,
    /// None: the finished step, in the learner's folder.
    None,
    /// One: to prove that it is what its check sees.
    Only(&'a str),
}

/// A text with a hole in it, or without: the lines that stand between the anchors.
pub struct Solution {
    /// The hole.
    pub id: String,
    /// The file, relative to the step's folder.
    pub file: PathBuf,
    /// What belongs there, without its indentation.
    pub code: String,
}

fn begin(hole: &Hole, lang: Lang) -> String {
    let (id, minutes, title) = (&hole.id, hole.minutes, hole.title.get(lang));
    tr!(lang, "// vvv HOLE {id}: {title} (about {minutes} min)", "// vvv 穴 {id}: {title} (目安 {minutes} 分)")
}

fn end(hole: &Hole, lang: Lang) -> String {
    let id = &hole.id;
    tr!(lang, "// ^^^ HOLE {id}", "// ^^^ 穴 {id}")
}

/// The files of the step that a copy has, relative to its folder, with their contents.
fn files(step: &Step, open: Open, lang: Lang) -> failure::Result<BTreeMap<PathBuf, String>> {
    let mut files = BTreeMap::new();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(step.folder.join(&path)).map_err(|e| format!("{}: {e}", path.display()));
        text.map(|text| (path, text))
    };
    files.extend([read("Cargo.toml".into())?, read(format!("{}.control", step.name).into())?]);
    let mut seen = Vec::new();
    let sources = fs::read_dir(step.folder.join("src"))?;
    for entry in sources.flatten() {
        let (path, text) = read(Path::new("src").join(entry.file_name()))?;
        files.insert(path, opened(&text, step, open, lang, &mut seen));
    }
    match step.holes.iter().find(|hole| !seen.contains(&hole.id)) {
        Some(hole) => Err(format!("{}: there is no anchor hole_{}", step.folder.display(), hole.id).into()),
        None => Ok(files),
    }
}

/// A source file without anchors, and with these holes open.
fn opened(text: &str, step: &Step, open: Open, lang: Lang, seen: &mut Vec<String>) -> String {
    let mut result = String::new();
    let mut skipping = false;
    for line in text.lines() {
        match source::mark(line) {
            Some(Mark::Begin(name)) => {
                let hole = name.strip_prefix("hole_").and_then(|id| step.holes.iter().find(|hole| hole.id == id));
                let Some(hole) = hole else { continue };
                seen.push(hole.id.clone());
                if open == Open::All || open == Open::Only(&hole.id) {
                    skipping = true;
                    let indent = &line[..line.len() - line.trim_start().len()];
                    let contract = hole.contract.get(lang).lines().map(|line| format!("// {line}"));
                    let stub = hole.stub.trim_end().lines().map(str::to_owned);
                    for line in [begin(hole, lang)].into_iter().chain(contract).chain(stub).chain([end(hole, lang)]) {
                        result += if line.is_empty() { "" } else { indent };
                        result += &line;
                        result.push('\n');
                    }
                }
            }
            Some(Mark::End(_)) => skipping = false,
            None if skipping => {}
            None => {
                result += line;
                result.push('\n');
            }
        }
    }
    result
}

/// What belongs into the holes of a step, in the order of the exercise.
pub fn solutions(step: &Step) -> failure::Result<Vec<Solution>> {
    let files = source::files(&step.folder).map_err(|error| format!("{}: {error}", step.folder.display()))?;
    let solution = |hole: &Hole| {
        let anchor = format!("hole_{}", hole.id);
        let found = files.iter().find_map(|(file, text)| Some((file, source::lines(text, Some(&anchor))?)));
        let (file, lines) = found.ok_or(format!("{}: no anchor {anchor}", step.name))?;
        let indent = lines.iter().filter(|l| !l.is_empty()).map(|l| l.len() - l.trim_start().len()).min().unwrap_or(0);
        let code = lines.iter().map(|line| line.get(indent..).unwrap_or_default().to_owned() + "\n").collect();
        Ok(Solution { id: hole.id.clone(), file: file.clone(), code })
    };
    step.holes.iter().map(solution).collect()
}

/// A hole whose marks still stand in a learner's copy.
#[derive(Debug, PartialEq, Eq)]
pub struct OpenHole {
    /// The hole.
    pub id: String,
    /// The file, relative to the copy.
    pub file: PathBuf,
    /// From its first mark to its last one.
    pub lines: RangeInclusive<usize>,
    /// Is there still what `start` has written?
    pub untouched: bool,
}

/// The holes of a copy, in the order of the exercise.
pub fn open_holes(step: &Step, copy: &Path) -> Vec<OpenHole> {
    let mut found = Vec::new();
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    for entry in fs::read_dir(copy.join("src")).into_iter().flatten().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        for hole in &step.holes {
            let at = |mark: &str| lines.iter().position(|line| is_mark(line, mark, &hole.id));
            let (Some(first), Some(last)) = (at("vvv"), at("^^^")) else { continue };
            // Whoever changes the indentation or the comment has not begun yet.
            let code = |lines: &[&str]| {
                words(&lines.iter().filter(|l| !l.trim().starts_with("//")).copied().collect::<Vec<_>>().join("\n"))
            };
            let untouched = lines.get(first + 1..last).is_some_and(|inside| code(inside) == words(&hole.stub));
            let file = Path::new("src").join(entry.file_name());
            found.push(OpenHole { id: hole.id.clone(), file, lines: first + 1..=last + 1, untouched });
        }
    }
    found.sort_by_key(|open| step.holes.iter().position(|hole| hole.id == open.id));
    found
}

/// What a copy is at this moment, in a few letters: another copy has others. None if it is not there.
pub fn fingerprint(copy: &Path) -> Option<String> {
    let mut files = Vec::new();
    for folder in [copy.to_path_buf(), copy.join("src")] {
        for entry in fs::read_dir(folder).ok()?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            // Not what editors leave.
            if [".rs", ".toml", ".control", ".sql"].iter().any(|end| name.ends_with(end)) {
                files.push((name, fs::read(entry.path()).ok()?));
            }
        }
    }
    files.sort();
    let mut hash = Sha256::new();
    for (name, bytes) in files {
        hash.update(format!("{name} {}\n", bytes.len()));
        hash.update(bytes);
    }
    Some(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Is this line the mark of this hole, in whichever language?
fn is_mark(line: &str, mark: &str, id: &str) -> bool {
    ["HOLE", "穴"].iter().any(|word| {
        let rest = line.trim().strip_prefix(&format!("// {mark} {word} {id}"));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    })
}

/// Types the solution of a hole into a file that has it open: for tests.
pub fn type_in(text: &str, solution: &Solution) -> String {
    let id = &solution.id;
    let is = |line: &str, mark: &str| is_mark(line, mark, id);
    let mut result = String::new();
    let mut skipping = false;
    for line in text.lines() {
        if is(line, "vvv") {
            skipping = true;
            let indent = &line[..line.len() - line.trim_start().len()];
            for line in solution.code.lines() {
                result += if line.is_empty() { "" } else { indent };
                result += &format!("{line}\n");
            }
        } else if is(line, "^^^") {
            skipping = false;
        } else if !skipping {
            result += &format!("{line}\n");
        }
    }
    result
}

/// A copy that is written, and that takes its place at once or not at all.
pub struct Written {
    folder: tempfile::TempDir,
    to: PathBuf,
}

impl Written {
    /// Puts it where it belongs. Nothing must be there.
    pub fn place(self) -> Result<()> {
        let put = fs::rename(self.folder.path().join("copy"), &self.to);
        put.map_err(|error| machine(&self.to, error))
    }
}

/// Writes a copy of the step, which does not take its place yet: where the disk is full, what stands there stays.
pub fn prepare(step: &Step, open: Open, to: &Path, lang: Lang) -> Result<Written> {
    let files = files(step, open, lang)?;
    let parent = to.parent().unwrap_or(to);
    let put = || -> std::io::Result<tempfile::TempDir> {
        fs::create_dir_all(parent)?;
        let new = tempfile::Builder::new().prefix(".new").tempdir_in(parent)?;
        let inside = new.path().join("copy");
        fs::create_dir_all(inside.join("src"))?;
        for (path, text) in &files {
            fs::write(inside.join(path), text)?;
        }
        Ok(new)
    };
    let folder = put().map_err(|error| machine(to, error))?;
    Ok(Written { folder, to: to.into() })
}

/// Writes a copy of the step into a folder, whole or not at all. The folder must not exist.
pub fn write(step: &Step, open: Open, to: &Path, lang: Lang) -> Result<()> {
    prepare(step, open, to, lang)?.place()
}

/// Makes the learner's folder a workspace of its own, with the versions and settings of the real one, and with what an editor needs
/// to build there.
pub fn workspace(root: &Path, target: &Path, cargo_target: &Path, home: &str) -> Result<()> {
    let work = crate::step::work(root);
    let put = || -> std::io::Result<()> {
        fs::create_dir_all(work.join(".cargo"))?;
        let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
        let members = manifest.lines().find(|line| line.starts_with("members = ")).unwrap_or("members");
        let manifest = format!(
            "# Written by `cargo workbook start`, from the workbook's own.\n{}",
            manifest.replace(members, "members = [\"step*\"]")
        );
        replace(&work.join("Cargo.toml"), &manifest)?;
        if !work.join("Cargo.lock").exists() || newer(&root.join("Cargo.lock"), &work.join("Cargo.lock")) {
            replace(&work.join("Cargo.lock"), &fs::read_to_string(root.join("Cargo.lock"))?)?;
        }
        let mut config = format!(
            "# Written by `cargo workbook start`. Editors and plain `cargo build` work with it, too.\n\
             [build]\ntarget-dir = {target:?}\n\n[env]\nPGRX_HOME = {home:?}\n"
        );
        // In the copies, too, `cargo workbook` shall mean the workbook's. (A list would be joined to the one of the folder above.)
        let paths = format!("{} {}", root.join("Cargo.toml").display(), cargo_target.display());
        if let [manifest, target] = paths.split_whitespace().collect::<Vec<_>>()[..] {
            let alias = format!("run --quiet --manifest-path {manifest} --target-dir {target} --package workbook --");
            config += &format!("\n[alias]\nworkbook = {alias:?}\n");
        }
        replace(&work.join(".cargo/config.toml"), &config)
    };
    put().map_err(|error| machine(&work, error))
}

/// Writes a file if that changes it, as cargo compares times. Where the disk is full, the old one stays.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let mut new = tempfile::Builder::new();
    let mut new =
        new.prefix(".new").permissions(fs::Permissions::from_mode(0o666)).tempfile_in(path.parent().unwrap_or(path))?;
    new.write_all(text.as_bytes())?;
    new.persist(path)?;
    Ok(())
}

fn newer(a: &Path, b: &Path) -> bool {
    let time = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    time(a) > time(b)
}
