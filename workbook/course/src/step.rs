//! What a learner is told about the steps: titles, checks, exercises, hints. All of it is in the steps' folders.

use crate::bilingual::Bilingual;
use crate::checks::{self, Check};
use crate::error::{Error, Result};
use cluster::tr;
use cluster::{Lang, failure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A step as the learner meets it.
pub struct Step {
    /// Its full name.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Its title.
    pub title: Bilingual,
    /// What its worker must do.
    pub checks: &'static [Check],
    /// The texts of the checks, and of those of earlier steps that it has to pass.
    pub texts: BTreeMap<String, CheckText>,
    /// The holes of its exercise.
    pub holes: Vec<Hole>,
    /// The hints, in the order in which they are tried; behind its own those for the checks of earlier steps that it has to pass.
    pub hints: Vec<Hint>,
}

/// The texts of a check: `checks.toml`.
#[derive(Clone, Deserialize)]
pub struct CheckText {
    /// Its title.
    pub title: Bilingual,
    /// What is expected, and why.
    pub why: Bilingual,
}

/// A hole of the exercise: `exercise.toml`. In the sources of the step the anchor `hole_ID` marks what is taken out.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hole {
    /// Its name, unique in the step.
    pub id: String,
    /// How long it should take.
    pub minutes: u32,
    /// Its title.
    pub title: Bilingual,
    /// What the code has to do. It stands at the hole.
    pub contract: Bilingual,
    /// What stands there meanwhile, so that the starter compiles without a warning.
    pub stub: String,
    /// The check that fails as long as this hole (and no other) is open.
    pub red: String,
    /// What that check then says.
    pub says: String,
    /// May it be left out? No later step builds on it then.
    #[serde(default)]
    pub optional: bool,
}

/// A hint in three levels: `hints.toml`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hint {
    /// Its name, unique in the step.
    pub name: String,
    /// The check after whose failure it is given.
    pub check: String,
    /// Further checks that the same mistake can fail.
    #[serde(default)]
    pub also: Vec<String>,
    /// It fits only if one of these is in what the check has said, or in the log. None: it always fits.
    #[serde(default)]
    pub says: Vec<String>,
    /// Whether it is on the rescue card, which has room for the likeliest only.
    #[serde(default = "yes")]
    pub card: bool,
    /// Level 1: a question.
    pub question: Bilingual,
    /// Level 2: where to look.
    pub clue: Bilingual,
    /// Level 3: nearly the answer.
    pub answer: Bilingual,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
struct Manifest {
    package: Package,
}

#[derive(Deserialize)]
struct Package {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    workbook: Workbook,
}

#[derive(Deserialize)]
struct Workbook {
    title: Bilingual,
}

#[derive(Deserialize)]
struct Exercise {
    hole: Vec<Hole>,
}

#[derive(Deserialize)]
struct Hints {
    hint: Vec<Hint>,
}

impl Step {
    /// Reads what is in the step's folder.
    pub fn read(root: &Path, name: &str, checks: &'static [Check]) -> failure::Result<Self> {
        let folder = root.join("steps").join(name);
        let manifest: Manifest = toml(&folder.join("Cargo.toml"))?;
        let exercise: Exercise = toml(&folder.join("exercise.toml"))?;
        let hints: Hints = toml(&folder.join("hints.toml"))?;
        let mut step = Self {
            name: name.into(),
            title: manifest.package.metadata.workbook.title,
            checks,
            texts: texts(root, name)?,
            holes: exercise.hole,
            hints: hints.hint,
            folder,
        };
        let known = |check: &str| checks.iter().any(|known| known.id == check);
        let of_hints = step.hints.iter().flat_map(|hint| hint.also.iter().chain([&hint.check]));
        let mut named = step.holes.iter().map(|hole| &hole.red).chain(of_hints);
        if let Some(check) = named.find(|check| !known(check)) {
            return Err(format!("{}: there is no check \"{check}\"", step.folder.display()).into());
        }
        drop(named);
        step.inherit_hints(root)?;
        Ok(step)
    }

    fn inherit_hints(&mut self, root: &Path) -> failure::Result<()> {
        let inherited = checks::inherited(&self.name);
        for (step, _) in checks::steps().into_iter().take_while(|(step, _)| *step != self.name) {
            let hints: Hints = toml(&root.join("steps").join(step).join("hints.toml"))?;
            for mut hint in hints.hint {
                hint.card = false; // it is on the card of its own step
                let fits = inherited.iter().any(|check| check.id == hint.check);
                if fits && !self.hints.iter().any(|known| known.name == hint.name) {
                    self.hints.push(hint);
                }
            }
        }
        Ok(())
    }

    /// Its number: `1`.
    pub fn number(&self) -> &str {
        self.short().strip_prefix("step").unwrap_or(&self.name)
    }

    /// Its short name: `step1`.
    pub fn short(&self) -> &str {
        self.name.split('_').next().unwrap_or(&self.name)
    }

    /// The learner's copy.
    pub fn copy(&self, root: &Path) -> PathBuf {
        work(root).join(&self.name)
    }

    /// The hint that fits: by the check that has failed, then by what was seen.
    pub fn hint_for(&self, check: &str, seen: &str) -> Option<&Hint> {
        let of = |hint: &Hint| hint.check == check || hint.also.iter().any(|also| also == check);
        let matches = |hint: &Hint| hint.says.is_empty() || hint.says.iter().any(|says| seen.contains(says));
        // A hint whose words were not seen is better than none.
        let best = self.hints.iter().find(|hint| of(hint) && matches(hint));
        best.or_else(|| self.hints.iter().find(|hint| hint.check == check))
    }
}

/// The texts of all checks that a step's worker must pass, each from the step that describes it.
fn texts(root: &Path, name: &str) -> failure::Result<BTreeMap<String, CheckText>> {
    let mut all = BTreeMap::new();
    for (step, _) in checks::steps() {
        let texts: BTreeMap<String, CheckText> = toml(&root.join("steps").join(step).join("checks.toml"))?;
        all.extend(texts.into_iter().filter(|(check, _)| checks::described_in(name, check) == step));
        if step == name {
            break;
        }
    }
    Ok(all)
}

fn toml<T: for<'a> Deserialize<'a>>(path: &Path) -> failure::Result<T> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// The learner's folder.
pub fn work(root: &Path) -> PathBuf {
    root.join("work")
}

/// All steps, in their order.
pub fn all(root: &Path) -> Result<Vec<Arc<Step>>> {
    let read = |(name, checks): (&str, &'static [Check])| Ok(Arc::new(Step::read(root, name, checks)?));
    checks::steps().into_iter().map(read).collect()
}

/// The step that is meant by `3`, `step3` or the full name.
pub fn find<'a>(steps: &'a [Arc<Step>], wanted: &str, lang: Lang) -> Result<&'a Arc<Step>> {
    steps.iter().find(|step| [step.number(), step.short(), &step.name].contains(&wanted)).ok_or_else(|| {
        let names = steps.iter().map(|step| step.number()).collect::<Vec<_>>().join(" ");
        Error::Cannot(
            tr!(
                lang,
                "there is no step \"{wanted}\"; there are {names}",
                "「{wanted}」というステップはありません ({names} があります)"
            ),
            "cargo workbook list".into(),
        )
    })
}
