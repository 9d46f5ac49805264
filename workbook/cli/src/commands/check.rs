//! `cargo workbook check`: the verdict on a copy.

use crate::learner::Learner;
use crate::present::{self, Printer, shown};
use cluster::tr;
use course::checks::Tier;
use course::error::{Error, Result};
use course::judge::{Judge, Verdict};
use course::starter::{self, Open};

/// What to check, and how to say it.
#[derive(Clone, Copy, Default)]
pub struct Options {
    pub quick: bool,
    pub long: bool,
    pub finished: bool,
    pub json: bool,
}

pub fn run(learner: &Learner, wanted: Option<&str>, options: Options) -> Result<()> {
    let step = learner.step(wanted)?;
    let source = if options.finished { step.folder.clone() } else { learner.copy(step)? };
    let mut tiers = vec![Tier::Quick];
    if !options.quick {
        tiers.push(Tier::Full);
    }
    if options.long {
        tiers.push(Tier::Long);
    }
    let mut printer = Printer::new(step, learner.lang, options.json);
    if !options.json {
        let (number, title, path) = (step.number(), step.title.get(learner.lang), shown(&learner.root, &source));
        println!("{}", tr!(learner.lang, "Step {number}, {title}: {path}", "ステップ {number}「{title}」: {path}"));
    }
    let mut judge = Judge::open(&learner.root, step, source, learner.lang, &mut |event| printer.event(event))?;
    if options.finished {
        judge.use_fresh(Open::None)?;
    }
    let judged = starter::fingerprint(&step.copy(&learner.root));
    let mut verdict = judge.verdict(&tiers, &mut |event| printer.event(event));
    if matches!(verdict, Ok(Verdict::Green)) && !options.quick {
        // Of what the steps before demand the quick ones show in seconds that nothing is broken.
        let inherited = if options.long { &tiers[..] } else { &tiers[..1] };
        verdict = judge.judge_inherited(inherited, &mut |event| printer.event(event));
    }
    printer.finish();
    let verdict = verdict?;
    if !options.finished {
        learner.note(step, &verdict, &printer.passed, !options.quick, judged)?;
    }
    match options.json {
        true => println!("{}", present::json(step, &verdict, &printer, learner.lang)),
        false => println!("{}", present::verdict(step, &verdict, options.quick, options.finished, learner.lang)),
    }
    match verdict {
        Verdict::Green => Ok(()),
        _ => Err(Error::Red),
    }
}
