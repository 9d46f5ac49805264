//! A learner, in a checkout: their copies of the steps, and how far they are.

use crate::present::shown;
use crate::progress::{self, FailedCheck, Progress, now};
use cluster::environment::Environment;
use cluster::{Lang, tr};
use course::compiler;
use course::error::{Error, Result, machine};
use course::judge::{Verdict, shell};
use course::starter::{self, Open};
use course::step::{self, Step};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A learner, in a checkout.
pub struct Learner {
    pub root: PathBuf,
    pub lang: Lang,
    pub steps: Vec<Arc<Step>>,
}

impl Learner {
    pub fn new(root: &Path, lang: Lang) -> Result<Self> {
        Ok(Self { root: root.into(), lang, steps: step::all(root)? })
    }

    /// The step that is meant; without a number, the one where the learner is.
    pub fn step(&self, wanted: Option<&str>) -> Result<&Arc<Step>> {
        match wanted {
            Some(wanted) => step::find(&self.steps, wanted, self.lang),
            None => {
                let current = Progress::read(&self.root)?.current;
                Ok(self.steps.iter().find(|step| Some(&step.name) == current.as_ref()).unwrap_or(&self.steps[0]))
            }
        }
    }

    /// The step's copy, which must be there.
    pub fn copy(&self, step: &Step) -> Result<PathBuf> {
        let copy = self.started(step)?;
        if copy.join("Cargo.toml").exists() {
            return Ok(copy);
        }
        let (number, path) = (step.number(), shown(&self.root, &copy));
        Err(Error::Cannot(
            tr!(self.lang, "there is no Cargo.toml in {path}", "{path} に Cargo.toml がありません"),
            tr!(
                self.lang,
                "cargo workbook reset {number}   (what is left of your copy is kept)",
                "cargo workbook reset {number}   (残っているファイルは退避します)"
            ),
        ))
    }

    /// Where the step's copy is. Something must be there, whole or not.
    pub fn started(&self, step: &Step) -> Result<PathBuf> {
        let copy = step.copy(&self.root);
        if fs::symlink_metadata(&copy).is_ok() {
            return Ok(copy);
        }
        let number = step.number();
        Err(Error::Cannot(
            tr!(
                self.lang,
                "there is no copy of step {number} of yours",
                "ステップ {number} の自分用のコピーがありません"
            ),
            format!("cargo workbook start {number}"),
        ))
    }

    /// Which holes are to be open: all of them, or the one that is named.
    pub fn open<'a>(&self, step: &'a Step, hole: Option<&str>) -> Result<Open<'a>> {
        let Some(wanted) = hole else { return Ok(Open::All) };
        if let Some(hole) = step.holes.iter().find(|hole| hole.id == wanted) {
            return Ok(Open::Only(&hole.id));
        }
        let (number, ids) = (step.number(), step.holes.iter().map(|hole| hole.id.as_str()).collect::<Vec<_>>());
        Err(Error::Cannot(
            tr!(
                self.lang,
                "step {number} has no hole \"{wanted}\"; its holes are: {}",
                "ステップ {number} に「{wanted}」という穴はありません。あるのは次の穴です: {}",
                ids.join(" ")
            ),
            format!("cargo workbook start {number} --hole {}", ids.first().unwrap_or(&"ID")),
        ))
    }

    /// A fresh copy, at which the learner is from now on.
    pub fn begin(&self, step: &Step, open: Open) -> Result<()> {
        self.renew(step, open)?;
        Progress::change(&self.root, |progress| {
            progress.current = Some(step.name.clone());
            let record = progress.step(&step.name);
            if record.started == 0 {
                // If it was skipped before, it is not done any longer.
                *record = progress::Record { started: now(), ..Default::default() };
            }
        })?;
        self.introduce(step, open)
    }

    /// Writes a copy of the step, and what is around it. What stands in its place is the learner's: it is moved away when the new copy
    /// is whole, and they are told at once where it is, whatever fails after that.
    pub fn renew(&self, step: &Step, open: Open) -> Result<()> {
        let shell = shell(&self.root, &step.name)?;
        let value = |name: &str| shell.value(name);
        let target = shell.target()?;
        let home = value("$PGRX_HOME")?;
        starter::workspace(&self.root, &target.join("workshops/learner"), &target, &home)?;
        let copy = step.copy(&self.root);
        let new = starter::prepare(step, open, &copy, self.lang)?;
        if fs::symlink_metadata(&copy).is_ok() {
            let kept = shown(&self.root, &self.set_aside(step)?);
            println!(
                "{}",
                tr!(self.lang, "What you had is kept in {kept}", "これまでのコピーは {kept} に退避しました")
            );
        }
        new.place()
    }

    pub fn introduce(&self, step: &Step, open: Open) -> Result<()> {
        let (number, title) = (step.number(), step.title.get(self.lang));
        let copy = shown(&self.root, &step.copy(&self.root));
        println!(
            "{}",
            tr!(
                self.lang,
                "Step {number}, {title}: your copy is {copy}",
                "ステップ {number}「{title}」: 自分用のコピーは {copy} です"
            )
        );
        let files = starter::solutions(step)?;
        let is_open = |hole: &course::step::Hole| open == Open::All || open == Open::Only(&hole.id);
        for (hole, solution) in step.holes.iter().zip(files).filter(|(hole, _)| is_open(hole)) {
            let (title, minutes, file) = (hole.title.get(self.lang), hole.minutes, solution.file.display());
            let optional = match hole.optional {
                true => tr!(self.lang, ", may be left out", "、省略可"),
                false => String::new(),
            };
            println!(
                "{}",
                tr!(
                    self.lang,
                    "  {file}: HOLE {}: {title} (about {minutes} min{optional})",
                    "  {file}: 穴 {}: {title} (目安 {minutes} 分{optional})",
                    hole.id
                )
            );
        }
        println!(
            "{}",
            tr!(
                self.lang,
                "A comment at each hole says what to write. Then: cargo workbook check    (at every save: cargo workbook watch)",
                "それぞれの穴に、書くべきことが書かれています。書いたら: cargo workbook check    (保存のたびに検査: cargo workbook watch)"
            )
        );
        Ok(())
    }

    /// Writes down what has come of a check, of all of them or of the quick ones only, and of what the copy was then.
    pub fn note(
        &self,
        step: &Step,
        verdict: &Verdict,
        passed: &[&str],
        whole: bool,
        judged: Option<String>,
    ) -> Result<()> {
        Progress::change(&self.root, |progress| {
            progress.current = Some(step.name.clone());
            let record = progress.step(&step.name);
            record.checked += 1;
            record.passed = passed.iter().map(|id| (*id).to_owned()).collect();
            record.failed = match verdict {
                Verdict::Red(red) => Some(FailedCheck { check: red.check.into(), hint: red.hint.clone() }),
                _ => None,
            };
            record.compiler = match verdict {
                Verdict::DoesNotCompile(text) => Some(compiler::first_error(text, &step.name)),
                _ => None,
            };
            if whole && matches!(verdict, Verdict::Green) {
                record.done.get_or_insert_with(now);
                record.green = judged;
            }
        })
    }

    /// Has the copy of a step that was green changed since?
    pub fn changed(&self, step: &Step, record: &progress::Record) -> bool {
        let failed = record.failed.is_some() || record.compiler.is_some();
        match (&record.green, starter::fingerprint(&step.copy(&self.root))) {
            (Some(green), Some(now)) if green.len() == now.len() => *green != now,
            (_, Some(_)) => failed, // green before fingerprints were kept, or were what they are now
            (_, None) => false,
        }
    }

    /// What of this step may be left out, if anything.
    pub fn left_out(&self, step: &Step) -> String {
        let optional: Vec<_> = step.holes.iter().filter(|hole| hole.optional).map(|hole| hole.id.as_str()).collect();
        if optional.is_empty() {
            return String::new();
        }
        let ids = optional.join(" ");
        let after = self.steps.iter().skip_while(|other| other.name != step.name).nth(1);
        let goto = format!("cargo workbook goto {}", after.map_or(step, |after| after).number());
        tr!(
            self.lang,
            "The hole {ids} may be left out, as no later step builds on it: {goto} fills it for you.",
            "穴 {ids} は、あとのステップで使わないので省いてもかまいません。{goto} で埋めて先に進めます。"
        )
    }

    /// Moves a copy away, and says where to.
    fn set_aside(&self, step: &Step) -> Result<PathBuf> {
        let kept = step::work(&self.root).join("kept");
        let mut to = kept.join(format!("{}-{}", step.name, now()));
        while to.exists() {
            to.as_mut_os_string().push("x");
        }
        let moved = fs::create_dir_all(&kept).and_then(|()| fs::rename(step.copy(&self.root), &to));
        moved.map(|()| to).map_err(|error| machine(step.copy(&self.root), error))
    }

    /// Where the learner's copy of a step is built and run.
    pub fn environment(&self, step: &Step) -> Result<Environment> {
        let shell = shell(&self.root, &step.name)?;
        let target = shell.target()?.join("workshops/learner");
        let mut variables = shell.variables()?;
        variables.retain(|(key, _)| key != "CARGO_TARGET_DIR");
        variables.push(("CARGO_TARGET_DIR".into(), target.into()));
        let mut environment = Environment::from_variables(variables).map_err(|error| Error::Run(Box::new(error)))?;
        environment.source = step.copy(&self.root);
        Ok(environment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands;

    fn learner(lang: Lang) -> Learner {
        Learner::new(cluster::checkout(), lang).unwrap()
    }

    /// In a workshop one hole of each step is open: that one, and no other.
    #[test]
    fn only_the_hole_that_is_named_is_open() {
        let learner = learner(Lang::En);
        for step in &learner.steps {
            for hole in &step.holes {
                let open = learner.open(step, Some(&hole.id)).unwrap();
                let folder = tempfile::tempdir().unwrap();
                let copy = folder.path().join("copy");
                starter::write(step, open, &copy, Lang::En).unwrap();
                let mut open = Vec::new();
                for entry in fs::read_dir(copy.join("src")).unwrap().flatten() {
                    let text = fs::read_to_string(entry.path()).unwrap();
                    open.extend(text.lines().filter_map(|line| {
                        line.trim().strip_prefix("// vvv HOLE ")?.split_once(':').map(|(id, _)| id.to_owned())
                    }));
                }
                assert_eq!(open.join(" "), hole.id, "{}", step.name);
            }
            assert_eq!(learner.open(step, None).unwrap(), Open::All);
        }
    }

    #[test]
    fn a_hole_that_is_not_there_is_refused_with_the_names_of_the_others() {
        for (lang, words) in
            [(Lang::En, "its holes are: register loop exit"), (Lang::Ja, "次の穴です: register loop exit")]
        {
            let learner = learner(lang);
            let error = commands::start::run(&learner, Some("1"), Some("lop")).unwrap_err();
            let text = error.show(lang);
            assert!(text.contains(words) && text.contains("cargo workbook start 1 --hole register"), "{text}");
            assert_eq!(error.code(), 2);
            assert_eq!(commands::goto::run(&learner, "1", Some("lop")).unwrap_err().code(), 2);
        }
    }
}
