//! The directives of a chapter.
//!
//! | Directive | What comes there |
//! |---|---|
//! | `{{#code step1/lib.rs:register}}` | the piece of `steps/step1_*/src/lib.rs` between the anchors; what belongs into a hole is folded away |
//! | `{{#code step1/lib.rs:main solved}}` | the same with nothing folded |
//! | `{{#console step1/run:shown}}` | the piece of `steps/step1_*/transcripts/run.console` |
//! | `{{#console workbook:start}}` | the piece of `book/transcripts/workbook.console`, in the reader's language |
//! | `{{#file Cargo.toml:pgrx}}` | the piece of that file |
//! | `{{#exercise step1}}` | the holes of the exercise, each with its hints and its solution folded away |
//! | `{{#diff step1 no_symbol}}` | what that variant changes; folded away, as the next is, where it shows what belongs into a hole |
//! | `{{#since step4}}`, `{{#since step2 lib.rs}}` | what the step changes in the files, or in one file, of the step before it |
//! | `{{#lesson step1 no_symbol}}` | what that variant teaches |
//! | `{{#minutes step1}}`, `{{#minutes exercise step1}}` | how long the chapter takes, or its exercise |
//! | `{{#version pgrx}}` | a version |
//! | `{{#diagram life}}` | the drawing, in the reader's language |
//! | `{{#table glossary}}` | a table: `glossary`, `concerns` |
//! | `{{#workshop short}}`, `{{#workshop short sums}}` | the run sheet of a plan; what its kinds sum up to; what can be left out: `cuts`; `{{#workshop measured}}` |
//! | `{{#bench table}}` | what `scripts/bench` has measured: `table`, `beside`, `machine`, `plot` |
//! | `{{#rescue}}` | the rescue cards |

use super::{Book, bench, exercise, lines_of, rescue, toml, version};
use anyhow::{Context, Result, bail};
use cluster::Lang;
use course::source;
use serde::Deserialize;
use std::path::Path;

impl Book {
    /// What a directive stands for.
    pub fn directive(&self, name: &str, arguments: &str) -> Result<String> {
        let arguments: Vec<_> = arguments.split_whitespace().collect();
        let lines = match (name, arguments.as_slice()) {
            ("code", [place]) => self.code(place, false)?,
            ("code", [place, "solved"]) => self.code(place, true)?,
            ("console", [place]) => self.console(place)?,
            ("file", [place]) => {
                let (file, anchor) = split(place);
                let kind = Path::new(file).extension().unwrap_or_default().to_string_lossy();
                fence(&kind, &lines_of(&self.root.join(file), anchor)?)
            }
            ("exercise", [step]) => exercise::exercise(self, self.step(step)?)?,
            ("diff", [step, variant]) => exercise::variant(self, step, variant)?,
            ("since", [step]) => exercise::since(self, self.step(step)?, None)?,
            ("since", [step, file]) => exercise::since(self, self.step(step)?, Some(file))?,
            ("lesson", [step, variant]) => vec![exercise::lesson(self, step, variant)?],
            ("minutes", ["exercise", step]) => {
                vec![self.step(step)?.holes.iter().map(|hole| hole.minutes).sum::<u32>().to_string()]
            }
            ("minutes", [chapter]) => vec![self.workshop.minutes(chapter)?.to_string()],
            ("version", [name]) => vec![version(&self.root, name)?],
            ("diagram", [name]) => {
                vec![self.text(&Path::new("book/diagrams").join(self.lang.name()).join(format!("{name}.svg")))?]
            }
            ("table", ["glossary"]) => self.glossary()?,
            ("table", ["concerns"]) => {
                vec![self.text(&Path::new("book/tables").join(format!("concerns.{}.md", self.lang.name())))?]
            }
            ("workshop", ["measured"]) => self.workshop.measured(self.lang),
            ("workshop", [plan]) => self.workshop.sheet(plan, &self.steps, self.lang)?,
            ("workshop", [plan, "sums"]) => self.workshop.sums(plan, self.lang)?,
            ("workshop", [plan, "cuts"]) => self.workshop.cuts(plan, self.lang)?,
            ("bench", ["table"]) => bench::table(&self.root, self.lang)?,
            ("bench", ["beside"]) => bench::beside(&self.root, self.lang)?,
            ("bench", ["machine"]) => vec![bench::machine(&self.root, self.lang)?],
            ("bench", ["plot"]) => vec![bench::plot(&self.root, self.lang, false)?],
            ("rescue", []) => rescue::cards(self)?,
            _ => bail!("there is no such directive"),
        };
        Ok(lines.join("\n"))
    }

    fn code(&self, place: &str, solved: bool) -> Result<Vec<String>> {
        let (path, anchor) = split(place);
        let (step, file) = path.split_once('/').context("no step before the file")?;
        let folder = self.folder(step)?;
        let path = folder.join("src").join(file);
        let text = super::read(&path)?;
        let pieces = source::pieces(&text, anchor);
        let pieces =
            pieces.with_context(|| format!("{} has no anchor {}", path.display(), anchor.unwrap_or_default()))?;
        if solved || pieces.iter().all(|piece| piece.hole.is_none()) {
            let lines: Vec<_> = pieces.into_iter().flat_map(|piece| piece.lines).collect();
            return Ok(fence("rust,ignore", &lines));
        }
        let step = self.step(step)?;
        let mut out = Vec::new();
        for piece in pieces.iter().filter(|piece| piece.lines.iter().any(|line| !line.trim().is_empty())) {
            let text = piece.lines.join("\n");
            let block = fence("rust,ignore", &text.trim_matches('\n').split('\n').collect::<Vec<_>>());
            out.extend(match piece.hole {
                Some(id) => exercise::folded_answer(step, id, self.lang, block)?,
                None => block,
            });
            out.push(String::new());
        }
        out.pop();
        Ok(out)
    }

    fn console(&self, place: &str) -> Result<Vec<String>> {
        let (path, anchor) = split(place);
        let anchor = Some(anchor.context("all of a transcript, with what its runner is told; name an anchor")?);
        let file = match (path.split_once('/'), self.lang) {
            (Some((step, name)), _) => self.folder(step)?.join("transcripts").join(format!("{name}.console")),
            (None, Lang::En) => self.root.join(format!("book/transcripts/{path}.console")),
            (None, Lang::Ja) => self.root.join(format!("book/transcripts/{path}.ja.console")),
        };
        Ok(fence("console", &lines_of(&file, anchor)?))
    }

    fn glossary(&self) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Glossary {
            term: Vec<Term>,
        }
        #[derive(Deserialize)]
        struct Term {
            en: String,
            ja: String,
            en_is: String,
            ja_is: String,
        }
        let mut terms = toml::<Glossary>(&self.root.join("book/glossary.toml"))?.term;
        terms.sort_by_key(|term| term.en.to_lowercase());
        let mut out = vec![
            cluster::tr!(self.lang, "| Term | Japanese | Meaning |", "| 用語 | 英語 | 意味 |"),
            "|---|---|---|".into(),
        ];
        out.extend(terms.iter().map(|Term { en, ja, en_is, ja_is }| {
            cluster::tr!(self.lang, "| {en} | {ja} | {en_is} |", "| {ja} | {en} | {ja_is} |")
        }));
        Ok(out)
    }
}

/// `file:anchor`
fn split(place: &str) -> (&str, Option<&str>) {
    place.split_once(':').map_or((place, None), |(file, anchor)| (file, Some(anchor)))
}

/// A code block.
pub fn fence(kind: &str, lines: &[impl AsRef<str>]) -> Vec<String> {
    let mut block = vec![format!("```{kind}")];
    block.extend(lines.iter().map(|line| line.as_ref().to_owned()));
    block.push("```".into());
    block
}
