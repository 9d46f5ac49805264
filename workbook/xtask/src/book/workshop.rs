//! `book/workshop.toml`: the minutes of the chapters, and the run sheets for teachers.

use super::read;
use super::text::markdown;
use anyhow::{Context, Result, anyhow};
use cluster::{Lang, tr};
use course::step::{self, Step};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    chapter: BTreeMap<String, Minutes>,
    part: BTreeMap<String, Vec<String>>,
    measured: Measured,
    plan: Vec<Plan>,
}

/// How long a chapter takes: as a whole, or its parts by the ids of their headings.
#[derive(Deserialize)]
#[serde(untagged)]
enum Minutes {
    Whole(u32),
    Parts(BTreeMap<String, u32>),
}

/// What was measured, in seconds.
#[derive(Deserialize)]
struct Measured {
    setup: u32,
    again: u32,
    quick: u32,
    full: u32,
    goto: BTreeMap<u32, u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    id: String,
    minutes: u32,
    reserve: u32,
    section: Vec<Section>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Section {
    page: Option<String>,
    closing: bool,
    talk: u32,
    show: Vec<String>,
    lab: u32,
    labs: Vec<String>,
    demo: bool,
    hole: u32,
    open: Option<String>,
    build: u32,
    goto: Option<u32>,
    r#break: u32,
    cut: Vec<Kind>,
}

/// What minutes are for, in the order of a section.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Talk,
    Lab,
    Hole,
    Build,
    Break,
}

const KINDS: [Kind; 5] = [Kind::Talk, Kind::Lab, Kind::Hole, Kind::Build, Kind::Break];

impl Section {
    fn minutes(&self, kind: Kind) -> u32 {
        match kind {
            Kind::Talk => self.talk,
            Kind::Lab => self.lab,
            Kind::Hole => self.hole,
            Kind::Build => self.build,
            Kind::Break => self.r#break,
        }
    }

    /// Which step it is about, if it is about one.
    fn step(&self) -> Option<&str> {
        self.page.as_deref()?.strip_prefix("step")
    }
}

impl Plan {
    fn total(&self, kind: Kind) -> u32 {
        self.section.iter().map(|section| section.minutes(kind)).sum()
    }

    fn sum(&self) -> u32 {
        KINDS.iter().map(|&kind| self.total(kind)).sum::<u32>() + self.reserve
    }
}

/// The minutes, and where the chapters are that they speak of.
pub struct Workshop {
    root: PathBuf,
    data: Data,
}

impl Workshop {
    pub fn read(root: &Path) -> Result<Self> {
        Self::of(root, &read(&root.join("book/workshop.toml"))?)
    }

    fn of(root: &Path, text: &str) -> Result<Self> {
        Ok(Self { root: root.into(), data: ::toml::from_str(text).context("book/workshop.toml")? })
    }

    /// How long it takes to read a chapter, or a part of one that has a name.
    pub fn minutes(&self, name: &str) -> Result<u32> {
        if let Some(ids) = self.data.part.get(name) {
            let chapter = name.split('_').next().unwrap_or(name);
            return ids.iter().map(|id| self.needed(chapter, id)).sum();
        }
        match self.data.chapter.get(name).with_context(|| format!("workshop.toml has no minutes of {name}"))? {
            Minutes::Whole(minutes) => Ok(*minutes),
            Minutes::Parts(parts) => Ok(parts.values().sum()),
        }
    }

    /// How long a part of a chapter takes.
    fn needed(&self, chapter: &str, id: &str) -> Result<u32> {
        match self.data.chapter.get(chapter) {
            Some(Minutes::Parts(parts)) => parts.get(id).copied(),
            _ => None,
        }
        .with_context(|| format!("workshop.toml has no minutes of {chapter}, {id}"))
    }

    /// The headings of a chapter: their ids and titles.
    fn headings(&self, chapter: &str, lang: Lang) -> Result<BTreeMap<String, String>> {
        let text = read(&self.root.join("book").join(lang.name()).join("src").join(format!("{chapter}.md")))?;
        let heading = |line: &str| {
            let (title, id) = line.strip_prefix("##")?.trim_start_matches('#').trim().rsplit_once(" {#")?;
            Some((id.strip_suffix('}')?.to_owned(), title.to_owned()))
        };
        Ok(text.lines().filter_map(heading).collect())
    }

    fn links(&self, chapter: &str, ids: &[String], lang: Lang) -> Result<String> {
        let headings = self.headings(chapter, lang)?;
        let link = |id: &String| {
            let title = headings.get(id).with_context(|| format!("{chapter} has no heading {id}"))?;
            Ok(format!("[{title}]({chapter}.md#{id})"))
        };
        Ok(ids.iter().map(link).collect::<Result<Vec<_>>>()?.join(&and(lang)))
    }

    fn plan(&self, id: &str) -> Result<&Plan> {
        self.data.plan.iter().find(|plan| plan.id == id).with_context(|| format!("workshop.toml has no plan {id}"))
    }

    /// The run sheet of a plan.
    pub fn sheet(&self, plan: &str, steps: &[Arc<Step>], lang: Lang) -> Result<Vec<String>> {
        let plan = self.plan(plan)?;
        let head = tr!(lang, "| From | What | Kind | Min. | In detail |", "| 時刻 | 内容 | 区分 | 分 | すること |");
        let mut out = vec![head, "|---|---|---|---:|---|".into()];
        let mut now = 0;
        for (number, section) in plan.section.iter().enumerate() {
            let after = plan.section[number + 1..].iter().find(|section| section.page.is_some());
            let mut what = match section.step() {
                _ if section.closing => tr!(lang, "Closing", "まとめ"),
                _ if section.r#break > 0 => tr!(lang, "Break", "休憩"),
                Some(step) => title(step, lang),
                None => tr!(lang, "Opening", "導入"),
            };
            for kind in KINDS.into_iter().filter(|&kind| section.minutes(kind) > 0) {
                let detail = self.detail(section, kind, after, steps, lang)?;
                let name = match kind {
                    Kind::Talk => tr!(lang, "talk", "説明"),
                    Kind::Lab if section.demo => tr!(lang, "demonstration", "実演"),
                    Kind::Lab => tr!(lang, "lab", "実験"),
                    Kind::Hole => tr!(lang, "hole", "穴埋め"),
                    Kind::Build => tr!(lang, "check, goto", "判定と\u{a0}goto"),
                    Kind::Break => tr!(lang, "break", "休憩"),
                };
                let minutes = section.minutes(kind);
                out.push(format!("| {}:{:02} | {what} | {name} | {minutes} | {detail} |", now / 60, now % 60));
                now += minutes;
                what.clear();
            }
        }
        let reserve = tr!(lang, "reserve", "予備");
        out.push(format!("| {}:{:02} | | {reserve} | {} | |", now / 60, now % 60, plan.reserve));
        Ok(out)
    }

    fn detail(
        &self,
        section: &Section,
        kind: Kind,
        after: Option<&Section>,
        steps: &[Arc<Step>],
        lang: Lang,
    ) -> Result<String> {
        let page = section.page.as_deref();
        match (kind, page) {
            (Kind::Talk, None) => Ok(tr!(lang, "questions, and where to go on", "質疑と、この先の進め方")),
            (Kind::Talk, Some(page)) => self.links(page, &section.show, lang),
            (Kind::Lab, Some(page)) => self.links(page, &section.labs, lang),
            (Kind::Hole, Some(page)) => {
                let open = section.open.as_deref().with_context(|| format!("{page}: no hole is opened"))?;
                let hole = steps.iter().find(|step| step.short() == page);
                let hole = hole.and_then(|step| step.holes.iter().find(|hole| hole.id == open));
                let hole = hole.with_context(|| format!("{page} has no hole {open}"))?;
                Ok(format!("`{open}`: {}", markdown(&hole.title, lang)))
            }
            (Kind::Build, _) => {
                let step = section.goto.context("a section that does not end at a goto")?;
                let of_next = after.filter(|after| after.page == Some(format!("step{step}")));
                let hole = of_next.and_then(|after| after.open.as_ref());
                let hole = hole.map(|hole| format!(" --hole {hole}")).unwrap_or_default();
                let goto = format!("`cargo workbook goto {step}{hole}`");
                let judge = match section.step() {
                    _ if section.open.is_some() => "`cargo workbook check`",
                    None => "`cargo workbook doctor`",
                    Some(_) => "",
                };
                Ok(match (judge, after) {
                    ("", Some(_)) => goto,
                    ("", None) => tr!(lang, "At home: {goto}", "続きは各自で: {goto}"),
                    (judge, Some(_)) => format!("{judge}{}{goto}", and(lang)),
                    (judge, None) => tr!(lang, "{judge}; at home: {goto}", "{judge}。続きは各自で: {goto}"),
                })
            }
            (Kind::Lab | Kind::Hole | Kind::Break, _) => Ok(String::new()),
        }
    }

    /// What the minutes of a plan sum up to, by kind.
    pub fn sums(&self, plan: &str, lang: Lang) -> Result<Vec<String>> {
        let plan = self.plan(plan)?;
        let head = tr!(
            lang,
            "| talk | labs | holes | waiting | break | reserve | together |",
            "| 説明 | 実験 | 穴埋め | 待ち時間 | 休憩 | 予備 | 合計 |"
        );
        let totals = KINDS.iter().map(|&kind| plan.total(kind)).chain([plan.reserve, plan.sum()]);
        let totals: Vec<_> = totals.map(|total| total.to_string()).collect();
        Ok(vec![head, format!("|{}", "---:|".repeat(totals.len())), format!("| {} |", totals.join(" | "))])
    }

    /// What can be left out of a plan.
    pub fn cuts(&self, plan: &str, lang: Lang) -> Result<Vec<String>> {
        let mut out = vec![tr!(lang, "| Leave out | Gains |", "| 省くもの | 浮く時間 |"), "|---|---:|".into()];
        for section in &self.plan(plan)?.section {
            for &kind in &section.cut {
                let step = title(section.step().context("only a step can be cut")?, lang);
                let links = self.links(section.page.as_deref().unwrap_or_default(), &section.labs, lang)?;
                let minutes = section.minutes(kind);
                out.push(tr!(lang, "| {step}: {links} | {minutes} min |", "| {step}: {links} | {minutes} 分 |"));
            }
        }
        Ok(out)
    }

    /// How long one waits.
    pub fn measured(&self, lang: Lang) -> Vec<String> {
        let Measured { setup, again, quick, full, goto } = &self.data.measured;
        let time = |seconds: u32| match seconds {
            0..100 => tr!(lang, "{seconds} s", "{seconds} 秒"),
            _ => {
                let (minutes, seconds) = (seconds / 60, seconds % 60);
                tr!(lang, "{minutes}:{seconds:02} min", "{minutes} 分 {seconds:02} 秒")
            }
        };
        let goto: Vec<_> = goto.iter().filter(|(step, _)| **step != 1).map(|(_, seconds)| *seconds).collect();
        let last = goto.len() + 1;
        let row = |text: String, seconds: u32| format!("| {text} | {} |", time(seconds));
        vec![
            tr!(lang, "| On two cores | Time |", "| 2 コアでの実測 | 時間 |"),
            "|---|---:|".into(),
            row(
                tr!(
                    lang,
                    "`scripts/run step1` on a new machine, with network",
                    "新しいマシンでの `scripts/run step1` (ネットワークあり)"
                ),
                *setup,
            ),
            row(tr!(lang, "`scripts/ready` again", "2 回目の `scripts/ready`"), *again),
            row(
                tr!(lang, "`cargo workbook check --quick` after a change", "変更後の `cargo workbook check --quick`"),
                *quick,
            ),
            row("`cargo workbook check`".into(), *full),
            format!(
                "| {} | {} – {} |",
                tr!(
                    lang,
                    "`cargo workbook goto`, from step1 to step{last}",
                    "`cargo workbook goto` (step1 から step{last})"
                ),
                time(goto.iter().copied().min().unwrap_or_default()),
                time(goto.iter().copied().max().unwrap_or_default())
            ),
        ]
    }

    /// What does not fit: minutes of something that is not there, something without minutes, and plans that do not add up.
    pub fn faults(&self) -> Result<Vec<String>> {
        let mut faults = Vec::new();
        let guides = ["en", "ja"].map(|language| self.root.join("book").join(language).join("src/teaching.md"));
        let guides = guides.iter().map(|guide| read(guide)).collect::<Result<Vec<_>>>()?;
        for (chapter, minutes) in &self.data.chapter {
            let text = read(&self.root.join(format!("book/en/src/{chapter}.md")))?;
            if !text.contains(&format!("{{{{#minutes {chapter}}}}}")) {
                faults.push(format!("{chapter}.md does not say its minutes: {{{{#minutes {chapter}}}}}"));
            }
            let Minutes::Parts(parts) = minutes else { continue };
            let headings = self.headings(chapter, Lang::En)?;
            let missing = parts.keys().filter(|id| !headings.contains_key(*id));
            faults.extend(missing.map(|id| format!("workshop.toml: {chapter} has no heading {id}")));
            for lab in headings.keys().filter(|id| id.starts_with("lab-")) {
                if !parts.contains_key(lab) {
                    faults.push(format!("workshop.toml: no minutes of the lab {chapter}.md#{lab}"));
                }
                if !guides.iter().all(|guide| guide.contains(&format!("]({chapter}.md#{lab})"))) {
                    faults.push(format!("teaching.md says nothing of the lab {chapter}.md#{lab}"));
                }
            }
        }
        let steps = step::all(&self.root).map_err(|error| anyhow!(error.show(Lang::En)))?;
        for plan in &self.data.plan {
            faults.extend(
                self.plan_faults(plan, &steps)?
                    .into_iter()
                    .map(|fault| format!("workshop.toml: plan {}: {fault}", plan.id)),
            );
        }
        Ok(faults)
    }

    fn plan_faults(&self, plan: &Plan, steps: &[Arc<Step>]) -> Result<Vec<String>> {
        let mut faults = Vec::new();
        if plan.sum() != plan.minutes {
            faults.push(format!("its sections and its reserve are {} minutes, not {}", plan.sum(), plan.minutes));
        }
        let pages: Vec<_> = plan.section.iter().filter_map(|section| Some((section, section.step()?))).collect();
        for (place, (section, number)) in pages.iter().enumerate() {
            let page = format!("step{number}");
            let after = pages.get(place + 1).and_then(|(_, number)| number.parse().ok());
            if after.is_some() && section.goto != after {
                faults
                    .push(format!("{page} ends at a goto {:?}, and the next section is step {after:?}", section.goto));
            }
            let hole = steps.iter().find(|step| step.short() == page).and_then(|step| {
                step.holes.iter().find(|hole| Some(&hole.id) == section.open.as_ref()).map(|hole| hole.minutes)
            });
            let needed = |ids: &[String]| ids.iter().map(|id| self.needed(&page, id)).sum::<Result<u32>>();
            for (what, given, needed) in [
                ("its talk", section.talk, needed(&section.show)?),
                ("its labs", section.lab, needed(&section.labs)?),
                ("its hole", section.hole, hole.unwrap_or_default()),
            ] {
                if given < needed {
                    faults.push(format!("{page}: {what} has {given} minutes and takes {needed}"));
                }
            }
        }
        Ok(faults)
    }
}

fn and(lang: Lang) -> String {
    tr!(lang, ", ", "、")
}

fn title(step: &str, lang: Lang) -> String {
    tr!(lang, "Step\u{a0}{step}", "ステップ\u{a0}{step}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster::checkout;

    #[test]
    fn what_does_not_fit_is_found() {
        let file = checkout().join("book/workshop.toml");
        let text = read(&file).unwrap();
        let faults = |text: &str| Workshop::of(checkout(), text).and_then(|workshop| workshop.faults());
        assert_eq!(faults(&text).unwrap(), Vec::<String>::new());
        for (from, to, fault) in [
            ("\ntalk = 11\n", "\ntalk = 12\n", "are 91 minutes, not 90"),
            ("\ngoto = 3\n", "\ngoto = 5\n", "step2 ends at a goto Some(5), and the next section is step Some(3)"),
            ("\nidea = 5\n", "\nidea = 12\n", "step1: its talk has 11 minutes and takes 17"),
            ("\nlab-signal-nine = 3\n", "\nlab-signal-nine = 9\n", "step1: its labs has 4 minutes and takes 9"),
            ("\nhole = 10\n", "\nhole = 1\n", "step1: its hole has 1 minutes and takes"),
            ("\nlab-silence = 2\n", "\n", "no minutes of the lab step1.md#lab-silence"),
            ("\nlab-silence = 2\n", "\nlab-silence = 2\nlab-nothing = 2\n", "step1 has no heading lab-nothing"),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            let said = faults(&changed).unwrap().concat();
            assert!(said.contains(fault), "{from}: {said}");
        }
        let unknown = faults(&text.replacen("\ntalk = ", "\ntalks = ", 1)).unwrap_err();
        assert!(format!("{unknown:#}").contains("unknown field `talks`"), "{unknown:#}");
    }

    #[test]
    fn a_sheet_names_what_is_there() {
        let text = read(&checkout().join("book/workshop.toml")).unwrap();
        let steps = step::all(checkout()).unwrap();
        for (from, to, fault) in [
            ("open = \"loop\"", "open = \"loops\"", "step1 has no hole loops"),
            ("labs = [\"lab-signal-nine\"]", "labs = [\"lab-signal-ten\"]", "step1 has no heading lab-signal-ten"),
            ("\ngoto = 3\n", "\n", "a section that does not end at a goto"),
        ] {
            let workshop = Workshop::of(checkout(), &text.replacen(from, to, 1)).unwrap();
            let error = workshop.sheet("short", &steps, Lang::En).unwrap_err();
            assert!(format!("{error:#}").contains(fault), "{error:#}");
        }
    }
}
