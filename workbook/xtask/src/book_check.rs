//! `cargo xtask book-check`: what mdBook lets pass. It reads the Markdown as mdBook does, with what the directives stand for.
//!
//! 1. Both languages have the same pages in the same order, and the same in them of all that is no prose: directives, headings' ids,
//!    notes, tables' columns and the names in their first column, boxes to tick, folds, drawings. Paragraphs are free.
//! 2. Each directive finds what it names, and no local link leads nowhere.
//! 3. Nothing is typed that has its place elsewhere: no code, no version, no range of majors.
//! 4. What should be a table or emphasis is one. Japanese: a space between half and full width, one paragraph on one line.
//! 5. No chapter shows the answer to its exercise, and the minutes of `workshop.toml` fit.

use crate::book::workshop::Workshop;
use crate::book::{self, Book, read};
use crate::update;
use anyhow::{Context, Result, bail};
use cluster::Lang;
use cluster::checkout;
use course::source;
use mdbook_markdown::pulldown_cmark::{CodeBlockKind, Event, Tag, TagEnd};
use mdbook_markdown::{MarkdownOptions, new_cmark_parser};
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::Path;

const LANGUAGES: [Lang; 2] = [Lang::En, Lang::Ja];
/// What stands at the top of the repository, without its ending.
const AT_THE_TOP: [&str; 2] = ["README", "CONTRIBUTING"];

pub fn run() -> Result<()> {
    let root = checkout();
    let steps = course::step::all(root).map_err(|error| anyhow::anyhow!(error.show(Lang::En)))?;
    let mut faults = Vec::new();
    let [en, ja] = LANGUAGES.map(|lang| Pages::read(root, lang, &mut faults));
    let (en, ja) = (en?, ja?);
    if en.order != ja.order {
        faults.push(format!("SUMMARY.md: en lists {:?}, ja lists {:?}", en.order, ja.order));
    }
    let typed = Typed::new(root)?;
    for pages in [&en, &ja] {
        for (name, page) in &pages.texts {
            let place = pages.place(name);
            if !pages.order.contains(name) {
                faults.push(format!("{place}: SUMMARY.md does not list it"));
            }
            faults.extend(typed.faults(&place, &page.source));
            faults.extend(broken(&place, &page.expanded));
            faults.extend(pages.dead_links(root, name, page));
            if pages.lang == Lang::Ja {
                faults.extend(japanese(&place, &page.source));
            }
            let step = steps.iter().find(|step| format!("{}.md", step.short()) == *name);
            if let Some(step) = step {
                faults.extend(answers(&place, &page.expanded, &source::secrets(&step.folder)?));
            }
        }
    }
    for name in &en.order {
        if let (Some(a), Some(b)) = (en.texts.get(name), ja.texts.get(name)) {
            faults.extend(differ(name, &a.source, &b.source));
        }
    }
    for name in AT_THE_TOP {
        let [en, ja] = ["", ".ja"].map(|end| format!("{name}{end}.md"));
        let (a, b) = (read(&root.join(&en))?, read(&root.join(&ja))?);
        faults.extend(differ(&ja, &a, &b));
        faults.extend(japanese(&ja, &b));
        for (name, text) in [(&en, &a), (&ja, &b)] {
            faults.extend(broken(name, text));
            faults.extend(unnamed_blocks(name, text));
            faults.extend(links(text).into_iter().filter_map(|link| {
                let path = link.split('#').next().unwrap_or_default();
                let dead = !path.is_empty() && !is_elsewhere(path) && !root.join(path).exists();
                dead.then(|| format!("{name}: dead link: {link}"))
            }));
        }
    }
    faults.extend(update::stale(root)?.iter().map(|name| format!("{name} is stale\n  next: cargo xtask update")));
    faults.extend(drawings(root)?);
    for step in &steps {
        let known: BTreeSet<_> = source::secrets(&step.folder)?.into_values().collect();
        let lost = step.holes.iter().filter(|hole| !known.contains(&hole.id));
        faults.extend(
            lost.map(|hole| {
                format!("{}: no line of the hole {} is its own: no page could hide it", step.name, hole.id)
            }),
        );
    }
    faults.extend(Workshop::read(root)?.faults()?);
    for fault in &faults {
        eprintln!("{fault}");
    }
    match faults.len() {
        0 => {
            println!("{} pages, no faults", en.texts.len() + ja.texts.len());
            Ok(())
        }
        count => bail!("the book has {count} faults"),
    }
}

/// The pages of a language.
struct Pages {
    lang: Lang,
    /// Their names, as SUMMARY.md lists them.
    order: Vec<String>,
    texts: BTreeMap<String, Page>,
}

struct Page {
    source: String,
    /// With what its directives stand for.
    expanded: String,
    /// What a link can lead to.
    ids: BTreeSet<String>,
}

impl Pages {
    fn read(root: &Path, lang: Lang, faults: &mut Vec<String>) -> Result<Self> {
        let folder = root.join("book").join(lang.name()).join("src");
        let summary = read(&folder.join("SUMMARY.md"))?;
        let order = links(&summary).into_iter().filter(|link| link.ends_with(".md")).collect();
        let mut pages = Self { lang, order, texts: BTreeMap::new() };
        let book = Book::read(root, lang)?;
        for entry in fs::read_dir(&folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name != "SUMMARY.md" && name.ends_with(".md") {
                let source = read(&folder.join(&name))?;
                let expanded = book.expand(&source, &pages.place(&name), faults);
                let ids = ids(&expanded);
                pages.texts.insert(name, Page { source, expanded, ids });
            }
        }
        Ok(pages)
    }

    fn place(&self, name: &str) -> String {
        format!("book/{}/src/{name}", self.lang.name())
    }

    fn dead_links(&self, root: &Path, name: &str, page: &Page) -> Vec<String> {
        let folder = root.join("book").join(self.lang.name()).join("src");
        let dead = |link: &String| {
            let (path, id) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { Some(page) } else { self.texts.get(path) };
            match target {
                Some(target) => !id.is_empty() && !target.ids.contains(id),
                None => !is_elsewhere(path) && !folder.join(path).exists(),
            }
        };
        let dead = links(&page.expanded).into_iter().filter(dead);
        dead.map(|link| format!("{}: dead link: {link}", self.place(name))).collect()
    }
}

fn is_elsewhere(link: &str) -> bool {
    link.contains("://") || link.starts_with("mailto:")
}

/// What mdBook's parser makes of a text.
fn events(text: &str) -> impl Iterator<Item = (Event<'_>, Range<usize>)> {
    new_cmark_parser(text, &MarkdownOptions::default()).into_offset_iter()
}

/// The place of a byte in a text, for a reader.
fn line(place: &str, text: &str, at: usize) -> String {
    format!("{place}:{}", text[..at].matches('\n').count() + 1)
}

fn find(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a valid expression")
}

/// Where local links lead, and images.
fn links(text: &str) -> Vec<String> {
    let html = find(r#"<a [^>]*href="([^"]*)""#);
    let links = events(text).flat_map(|(event, _)| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => vec![dest_url.to_string()],
        Event::Html(html_text) | Event::InlineHtml(html_text) => {
            html.captures_iter(&html_text).map(|found| found[1].to_owned()).collect()
        }
        _ => Vec::new(),
    });
    links.collect()
}

/// What a link can lead to: the ids of headings, and those in HTML.
fn ids(text: &str) -> BTreeSet<String> {
    let html = find(r#"\bid="([^"]*)""#);
    let ids = events(text).flat_map(|(event, _)| match event {
        Event::Start(Tag::Heading { id: Some(id), .. }) => vec![id.to_string()],
        Event::Html(text) | Event::InlineHtml(text) => {
            html.captures_iter(&text).map(|found| found[1].to_owned()).collect()
        }
        _ => Vec::new(),
    });
    ids.collect()
}

/// The directives of a page, and where each begins.
fn directives(text: &str) -> Vec<(usize, String)> {
    let found = book::DIRECTIVE.captures_iter(text);
    found.map(|found| (found.get_match().start(), format!("{} {}", &found[1], &found[2]).trim().to_owned())).collect()
}

/// What a page has besides its prose, each with its place. Versions stand in sentences, and those are free.
fn shape(text: &str) -> Vec<(usize, String)> {
    let mut shape: Vec<_> = directives(text).into_iter().filter(|(_, it)| !it.starts_with("version ")).collect();
    shape.iter_mut().for_each(|(_, directive)| directive.insert_str(0, "directive "));
    let html = find(r"<(details|figure|summary|table|ul|ol|img|h\d)\b");
    let (mut cell, mut key) = (0, None::<Vec<String>>);
    for (event, range) in events(text) {
        let at = range.start;
        match event {
            Event::Start(Tag::Heading { level, id, .. }) => {
                shape.push((at, format!("heading {level} {}", id.as_deref().unwrap_or_default())));
            }
            Event::Start(Tag::BlockQuote(kind)) => shape.push((at, format!("note {kind:?}"))),
            Event::Start(Tag::Table(columns)) => shape.push((at, format!("table of {} columns", columns.len()))),
            Event::Start(Tag::TableHead | Tag::TableRow) => cell = 0,
            Event::Start(Tag::TableCell) => {
                cell += 1;
                key = (cell == 1).then(Vec::new);
            }
            Event::End(TagEnd::TableCell) => {
                if let Some(mut key) = key.take() {
                    key.sort(); // the order of the words is the language's
                    shape.push((at, format!("row {}", key.join(" "))));
                }
            }
            Event::Code(code) => key.iter_mut().for_each(|key| key.push(code.to_string())),
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(kind))) => shape.push((at, format!("code block {kind}"))),
            Event::TaskListMarker(_) => shape.push((at, "box to tick".into())),
            Event::Html(text) | Event::InlineHtml(text) => {
                shape.extend(html.captures_iter(&text).map(|found| (at, format!("<{}>", &found[1]))));
            }
            _ => {}
        }
    }
    shape.sort_by_key(|(at, _)| *at);
    shape
}

/// The first thing in which the two languages of a page differ, prose left out.
fn differ(name: &str, en: &str, ja: &str) -> Option<String> {
    let (a, b) = (shape(en), shape(ja));
    let same = a.iter().zip(&b).take_while(|((_, a), (_, b))| a == b).count();
    let at = |text: &str, shape: &[(usize, String)]| match shape.get(same) {
        Some((at, what)) => format!("line {}: {what}", text[..*at].matches('\n').count() + 1),
        None => "nothing more".into(),
    };
    (same < a.len().max(b.len()))
        .then(|| format!("{name}: en and ja differ\n    en {}\n    ja {}", at(en, &a), at(ja, &b)))
}

/// What a page may not have typed: each pattern with what to write instead.
struct Typed(Vec<(Regex, String)>);

impl Typed {
    fn new(root: &Path) -> Result<Self> {
        let mut patterns = Vec::new();
        // Versions with a dot are long enough not to be anything else.
        for name in ["pgrx", "rust", "mdbook"] {
            let version = regex::escape(&book::version(root, name)?);
            let pattern = format!(r"(?:^|[^\w.])({version})(?:$|[^\w.]|\.\D|\.$)");
            patterns.push((Regex::new(&pattern)?, format!("a version is typed: write {{{{#version {name}}}}}")));
        }
        let oldest = book::version(root, "oldest")?;
        let range = Regex::new(&format!(r"\b({oldest}(?: to | から |–|, |、)\d\d)"))?;
        patterns.push((range, "a range of majors is typed: write {{#version oldest}}, newest or majors".into()));
        Ok(Self(patterns))
    }

    fn faults(&self, place: &str, text: &str) -> Vec<String> {
        let mut faults = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            if line.contains("<!-- of that version -->") {
                continue; // a fact about that version, which stays when we move on
            }
            let line = book::DIRECTIVE.replace_all(line, "");
            let found = self.0.iter().filter(|(pattern, _)| pattern.is_match(&line));
            faults.extend(found.map(|(_, instead)| format!("{place}:{number}: {instead}")));
        }
        let code = find(r"<(pre|code|samp|kbd)\b");
        for (event, range) in events(text) {
            let fault = match event {
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(_))) => {
                    "code is typed: write {{#code}}, {{#console}} or {{#file}}"
                }
                Event::Start(Tag::CodeBlock(CodeBlockKind::Indented)) => "an indented line is a code block",
                Event::Html(html) | Event::InlineHtml(html) if code.is_match(&html) => "code in HTML: write backticks",
                _ => continue,
            };
            faults.push(format!("{}: {fault}", line(place, text, range.start)));
        }
        faults
    }
}

/// What should be a table or emphasis, and is none.
fn broken(place: &str, text: &str) -> Vec<String> {
    let (mut faults, mut code, mut begins) = (Vec::new(), false, false);
    for (event, _) in events(text) {
        let begin = matches!(event, Event::Start(Tag::Paragraph));
        match event {
            Event::Start(Tag::CodeBlock(_)) => code = true,
            Event::End(TagEnd::CodeBlock) => code = false,
            Event::Text(text) if !code => {
                if begins && text.starts_with('|') {
                    faults.push(format!("{place}: no table; has the line below its head as many cells? {text}"));
                }
                if text.contains('*') {
                    faults.push(format!("{place}: asterisks that did not become emphasis: {text}"));
                }
            }
            _ => {}
        }
        begins = begin;
    }
    faults
}

/// The lines of code outside of folds that belong into a hole.
fn answers(place: &str, text: &str, secrets: &BTreeMap<String, String>) -> Vec<String> {
    let text = find(r"(?s)<details.*?</details>").replace_all(text, "");
    let (mut faults, mut code) = (Vec::new(), false);
    for (event, _) in events(&text) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => code = true,
            Event::End(TagEnd::CodeBlock) => code = false,
            Event::Text(text) if code => {
                for line in text.lines() {
                    // In a diff, a sign stands before it.
                    let hole = [line.trim(), line.get(1..).unwrap_or_default().trim()]
                        .into_iter()
                        .find_map(|line| secrets.get(line));
                    faults.extend(hole.map(|hole| format!("{place}: shows what belongs into the hole {hole}: {line}")));
                }
            }
            _ => {}
        }
    }
    faults
}

/// The rules of Japanese that a parser can see.
fn japanese(place: &str, source: &str) -> Vec<String> {
    const WIDE: &str = r"[\u{3040}-\u{30ff}\u{3400}-\u{9fff}\u{ff66}-\u{ff9f}]";
    let space = find(&format!(r"{WIDE}[A-Za-z0-9]|[A-Za-z0-9)]{WIDE}|{WIDE}\("));
    let full_width = find("[０-９Ａ-Ｚａ-ｚ]");
    let number = find(r"\{\{#(?:version|minutes) [^}]*\}\}");
    let text = number.replace_all(source, "18");
    let (mut faults, mut block, mut code) = (Vec::new(), String::new(), false);
    for (event, range) in events(&text) {
        let mut fault = |cause: String| faults.push(format!("{}: {cause}", line(place, &text, range.start)));
        match event {
            Event::Start(Tag::CodeBlock(_)) => code = true,
            Event::End(TagEnd::CodeBlock) => code = false,
            Event::Text(text) if !code => block += &text,
            Event::Code(_) => block.push('x'), // counts as half width
            Event::SoftBreak => fault("a paragraph of two lines: a browser puts a space between them".into()),
            Event::Start(Tag::Emphasis | Tag::Strong | Tag::Link { .. } | Tag::Strikethrough) => {}
            Event::End(TagEnd::Emphasis | TagEnd::Strong | TagEnd::Link | TagEnd::Strikethrough) => {}
            _ => {
                if let Some(found) = space.find(&block) {
                    fault(format!("no space between half and full width: {} in {block}", found.as_str()));
                }
                if full_width.is_match(&block) {
                    fault(format!("a full-width digit or Latin letter: {block}"));
                }
                block.clear();
            }
        }
    }
    faults
}

/// A code block of a README has its source in a comment above it: `cargo xtask update` takes it from there.
fn unnamed_blocks(place: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (event, range) in events(text) {
        let above = text[..range.start].trim_end().lines().last().unwrap_or_default();
        if matches!(event, Event::Start(Tag::CodeBlock(_))) && !(above.starts_with("<!-- from ") && above.contains(':'))
        {
            faults.push(format!(
                "{}: a code block without <!-- from FILE:ANCHOR --> above it",
                line(place, text, range.start)
            ));
        }
    }
    faults
}

/// The drawings are the same in both languages, apart from their texts.
fn drawings(root: &Path) -> Result<Vec<String>> {
    let shapes = |text: &str| -> Vec<String> {
        let (shape, place) =
            (find(r"<(rect|path|circle|text|line)\b([^>]*)>"), find(r#"\b(?:class|x|y|width|height|d)="[^"]*""#));
        let shapes = shape.captures_iter(text).map(|found| match &found[1] {
            "text" => "text".into(),
            kind => {
                format!("{kind} {}", place.find_iter(&found[2]).map(|it| it.as_str()).collect::<Vec<_>>().join(" "))
            }
        });
        shapes.collect()
    };
    let read_all = |lang: Lang| -> Result<BTreeMap<String, Vec<String>>> {
        let folder = root.join("book/diagrams").join(lang.name());
        let files = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        files
            .map(|entry| {
                let entry = entry?;
                Ok((entry.file_name().to_string_lossy().into_owned(), shapes(&read(&entry.path())?)))
            })
            .collect()
    };
    let (en, ja) = (read_all(Lang::En)?, read_all(Lang::Ja)?);
    let names: BTreeSet<_> = en.keys().chain(ja.keys()).collect();
    let differ = names.into_iter().filter(|name| en.get(*name) != ja.get(*name));
    Ok(differ.map(|name| format!("book/diagrams: {name}: en and ja differ in more than their texts")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page in which nothing is wrong.
    const PAGE: &str = "# A step {#step}\n\nPostgreSQL {{#version oldest}} and *newer*.\n\n{{#code step1/lib.rs:init}}\n\n> [!NOTE]\n> A note.\n\n\
        | C | Rust |\n|---|---|\n| `a` | `b` |\n\n- [ ] done\n\n<details>\n<summary>More</summary>\n\n[A link](step2.md#idea)\n\n</details>\n";

    #[test]
    fn what_is_no_prose_is_the_same_in_both_languages() {
        assert_eq!(differ("page", PAGE, PAGE), None);
        assert_eq!(differ("page", PAGE, &PAGE.replace("A note.", "Two.\n>\n> Paragraphs.")), None);
        assert_eq!(differ("page", PAGE, &PAGE.replace("PostgreSQL {{#version oldest}} and *newer*.", "")), None);
        for (part, fault) in [
            ("{#step}", "heading h1 step"),
            ("{{#code step1/lib.rs:init}}", "directive code step1/lib.rs:init"),
            ("[!NOTE]", "note Some(Note)"),
            ("| `a` | `b` |\n", "row a"),
            ("`a`", "row a"),
            ("[ ] ", "box to tick"),
            ("<summary>More</summary>", "<summary>"),
        ] {
            let said = differ("page", PAGE, &PAGE.replacen(part, "", 1)).unwrap_or_default();
            assert!(said.contains(&format!(": {fault}")), "{part}: {said}");
        }
    }

    #[test]
    fn what_has_its_place_elsewhere_is_not_typed() {
        let typed = Typed::new(checkout()).unwrap();
        assert_eq!(typed.faults("page", PAGE), Vec::<String>::new());
        let pgrx = book::version(checkout(), "pgrx").unwrap();
        for (text, fault) in [
            (&*format!("It needs pgrx {pgrx}."), "page:3: a version is typed: write {{#version pgrx}}"),
            ("From 15 to 18.", "page:3: a range of majors is typed"),
            ("15、16 の", "page:3: a range of majors is typed"),
            ("```rust\nfn main() {}\n```", "page:3: code is typed"),
            ("    fn main() {}", "page:3: an indented line is a code block"),
            ("It is <code>typed</code>.", "page:3: code in HTML"),
        ] {
            let said = typed.faults("page", &format!("# A step\n\n{text}\n")).concat();
            assert!(said.contains(fault), "{text}: {said}");
        }
        let said = typed.faults("page", &format!("Since pgrx {pgrx} <!-- of that version -->\n"));
        assert_eq!(said, Vec::<String>::new());
    }

    #[test]
    fn what_should_be_a_table_or_emphasis_is_one() {
        assert_eq!(broken("page", PAGE), Vec::<String>::new());
        for (text, fault) in [
            ("| a | b |\n|---|\n| c | d |\n", "no table"),
            ("It is ** bold **.", "asterisks that did not become emphasis"),
        ] {
            let said = broken("page", text).concat();
            assert!(said.contains(fault), "{text}: {said}");
        }
    }

    #[test]
    fn an_answer_is_in_a_fold() {
        let secrets = BTreeMap::from([("let answer = 42;".to_owned(), "x".to_owned())]);
        let code = |sign: &str| format!("```rust\n{sign}    let answer = 42;\n```\n");
        assert_eq!(
            answers("page", &format!("<details>\n\n{}\n</details>\n", code("")), &secrets),
            Vec::<String>::new()
        );
        assert!(answers("page", &code(""), &secrets).concat().contains("the hole x"));
        assert!(answers("page", &code("+"), &secrets).concat().contains("the hole x"));
    }

    #[test]
    fn japanese_has_its_spaces_and_its_lines() {
        assert_eq!(
            japanese(
                "page",
                "# 題 {#id}\n\n`code` を `psql` で試し、PostgreSQL {{#version oldest}} で **動く** (はず)。\n"
            ),
            Vec::<String>::new()
        );
        for (text, fault) in [
            ("PostgreSQLの", "page:1: no space"),
            ("`psql`で", "page:1: no space"),
            ("PostgreSQL {{#version oldest}}から", "page:1: no space"),
            ("| a |\n|---|\n| 本(book) |", "page:3: no space"),
            ("１つ", "a full-width digit"),
            ("一行目。\n二行目。", "a paragraph of two lines"),
        ] {
            let said = japanese("page", text).concat();
            assert!(said.contains(fault), "{text}: {said}");
        }
    }

    #[test]
    fn a_link_leads_somewhere() {
        let page = |source: &str| Page { source: source.into(), expanded: source.into(), ids: ids(source) };
        let texts = [("step1.md", PAGE), ("step2.md", "## The idea {#idea}\n")];
        let texts = texts.map(|(name, text)| (name.to_owned(), page(text))).into();
        let mut pages = Pages { lang: Lang::En, order: Vec::new(), texts };
        let dead = |pages: &Pages| pages.dead_links(checkout(), "step1.md", &pages.texts["step1.md"]).concat();
        assert_eq!(dead(&pages), "");
        pages.texts.insert("step2.md".into(), page("## The thought {#thought}\n"));
        assert!(dead(&pages).contains("dead link: step2.md#idea"));
        pages.texts.insert("step1.md".into(), page("[A page](step9.md)"));
        assert!(dead(&pages).contains("dead link: step9.md"));
    }

    #[test]
    fn a_block_of_a_readme_names_its_source() {
        assert_eq!(
            unnamed_blocks("page", "<!-- from a/run.console:x -->\n```console\n$ ls\n```\n"),
            Vec::<String>::new()
        );
        assert!(
            unnamed_blocks("page", "See:\n\n```console\n$ ls\n```\n").concat().contains("page:3: a code block without")
        );
    }
}
