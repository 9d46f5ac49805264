//! Prints the PDFs of both languages, the second time with nothing to do, and looks at them with poppler's tools. What a PDF has to contain
//! is taken from the built book, BOOK_SITE. Solutions are printed in one language; Letter in both, the short ones only.

use libtest_mimic::{Arguments, Failed, Trial};
use regex::Regex;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use unicode_normalization::UnicodeNormalization;

type Problems = Vec<String>;

/// Points in a millimetre.
const MM: f64 = 72.0 / 25.4;
const CODE: &str = r"(?s)<pre><code[^>]*>(.*?)</code>";

fn main() {
    let arguments = Arguments::from_args();
    let variable = |name: &str| {
        PathBuf::from(
            std::env::var_os(name).unwrap_or_else(|| panic!("{name} is not set: run scripts/checks/book/handout")),
        )
    };
    let (site, mdbook, chromium) = (variable("BOOK_SITE"), variable("MDBOOK"), variable("CHROMIUM"));
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/handout");
    let work = tempfile::tempdir().unwrap();
    let handout = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .env("WORKBOOK_LANG", "en")
            .arg("handout")
            .arg("--mdbook")
            .arg(&mdbook)
            .arg("--chromium")
            .arg(&chromium)
            .args(more);
        let done = command.output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{more:?}: {said}\n{}", String::from_utf8_lossy(&done.stderr));
        print!("{said}");
        said
    };
    let mut trials = vec![];
    if !arguments.list {
        handout(&["en", "ja"]);
        let again = handout(&["en", "ja"]).matches("nothing has changed").count();
        handout(&["ja", "--solutions"]);
        handout(&[
            "en",
            "ja",
            "--paper",
            "letter",
            "--only",
            "cheatsheet,rescue",
            "--out",
            work.path().to_str().unwrap(),
        ]);
        trials.push(Trial::test("what has not changed is not printed again", move || {
            if again == 2 { Ok(()) } else { Err(format!("{again} of 2 are not").into()) }
        }));
        for language in ["en", "ja"] {
            let book = site.join(language);
            let pdf = |folder: &Path, name: &str| {
                Arc::new(Pdf::new(&folder.join(language).join(format!("{name}.pdf")), &book, language))
            };
            workbook(&mut trials, &pdf(&made, "workbook-a4"), false);
            if language == "ja" {
                workbook(&mut trials, &pdf(&made, "workbook-solutions-a4"), true);
            }
            for (folder, paper) in [(made.as_path(), "a4"), (work.path(), "letter")] {
                cheatsheet(&mut trials, &pdf(folder, &format!("cheatsheet-{paper}")), paper);
                rescue(&mut trials, &pdf(folder, &format!("rescue-{paper}")), paper);
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// A PDF, and the page of the book that it was made from.
struct Pdf {
    name: String,
    path: PathBuf,
    language: String,
    book: PathBuf,
    /// The text of each page: as it is laid out, in the order of reading, in the order of drawing.
    laid_out: Vec<String>,
    flowing: Vec<String>,
    raw: Vec<String>,
}

impl Pdf {
    fn new(path: &Path, book: &Path, language: &str) -> Self {
        let pages = |option: &[&str]| {
            let text = tool("pdftotext", &[option, &[path.to_str().unwrap(), "-"]].concat());
            let mut pages: Vec<String> = text.split('\u{c}').map(str::to_owned).collect();
            pages.pop();
            pages
        };
        let name = format!("{language}/{}", path.file_name().unwrap().to_string_lossy());
        let (laid_out, flowing, raw) = (pages(&["-layout"]), pages(&[]), pages(&["-raw"]));
        Self { name, path: path.into(), language: language.into(), book: book.into(), laid_out, flowing, raw }
    }

    fn tool(&self, program: &str, before: &[&str], after: &[&str]) -> String {
        tool(program, &[before, &[self.path.to_str().unwrap()], after].concat())
    }

    /// What stands in `<main>` of a built page.
    fn main_part(&self, page: &str) -> String {
        let page = fs::read_to_string(self.book.join(page)).unwrap();
        one(r"(?s)<main>(.*)</main>", &page)
    }

    /// The words of each page, with its width and height.
    fn words(&self) -> Vec<(f64, f64, Vec<Word>)> {
        let size = Regex::new(r#"^width="([\d.]+)" height="([\d.]+)""#).unwrap();
        let word =
            Regex::new(r#"(?s)xMin="([-\d.]+)" yMin="([-\d.]+)" xMax="([-\d.]+)" yMax="([-\d.]+)">(.*?)</word>"#)
                .unwrap();
        let number = |text: &str| text.parse::<f64>().unwrap();
        let text = self.tool("pdftotext", &["-bbox"], &["-"]);
        let page = |page: &str| {
            let size = size.captures(page).unwrap();
            let words = word.captures_iter(page);
            let words = words.map(|w| Word {
                left: number(&w[1]),
                top: number(&w[2]),
                right: number(&w[3]),
                bottom: number(&w[4]),
                text: unescaped(&w[5]),
            });
            (number(&size[1]), number(&size[2]), words.collect())
        };
        text.split("<page ").skip(1).map(page).collect()
    }
}

/// A word and where it stands, in points.
struct Word {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
    text: String,
}

/// Adds a test, which fails where there are problems.
fn check(
    trials: &mut Vec<Trial>,
    pdf: &Arc<Pdf>,
    name: &str,
    problems: impl FnOnce(&Pdf) -> Problems + Send + 'static,
) {
    let (name, pdf) = (format!("{}: {name}", pdf.name), Arc::clone(pdf));
    trials.push(Trial::test(name, move || {
        let problems = problems(&pdf);
        if problems.is_empty() {
            return Ok(());
        }
        let more = problems.len().saturating_sub(8);
        let rest = if more > 0 { format!("\n... and {more} more") } else { String::new() };
        Err(Failed::from(problems.into_iter().take(8).collect::<Vec<_>>().join("\n") + &rest))
    }));
}

// ---- any of them

fn every(trials: &mut Vec<Trial>, pdf: &Arc<Pdf>, paper: &str, landscape: bool, margins: [f64; 4]) {
    let [left, top, right, bottom] = margins.map(|millimetres| millimetres * MM);
    let (mut width, mut height) = if paper == "a4" { (595.0, 842.0) } else { (612.0, 792.0) };
    if landscape {
        (width, height) = (height, width);
    }
    check(trials, pdf, "fonts are embedded, none is of type 3", |pdf| {
        let rows = pdf.tool("pdffonts", &[], &[]);
        let embedded = Regex::new(r" yes +(yes|no) +(yes|no) +\d+ +\d+$").unwrap();
        let mut problems: Problems = rows
            .lines()
            .skip(2)
            .filter(|row| !embedded.is_match(row) || row.contains("Type 3"))
            .map(|row| format!("not embedded, or drawn letter by letter: {row}"))
            .collect();
        if rows.lines().count() < 3 {
            problems.push("there is no font at all".into());
        }
        problems
    });
    check(trials, pdf, "nothing stands beyond the margins", move |pdf| {
        let mut problems = vec![];
        for (number, (w, h, words)) in (1..).zip(pdf.words()) {
            if (w - width).abs() > 1.5 || (h - height).abs() > 1.5 {
                problems.push(format!("page {number} is {w} x {h} points"));
            }
            for word in words {
                if word.left < left - 2.0
                    || word.right > w - right + 2.0
                    || word.top < top - 2.0
                    || word.bottom > h - bottom + 2.0
                {
                    problems.push(format!(
                        "page {number}: {:?} at {:.0}, {:.0} is beyond the margin",
                        word.text, word.left, word.top
                    ));
                }
            }
        }
        problems
    });
}

// ---- the workbook

fn workbook(trials: &mut Vec<Trial>, pdf: &Arc<Pdf>, solutions: bool) {
    every(trials, pdf, "a4", false, [15.0, 8.0, 15.0, 5.0]);
    // The HTML of the chapters, one after the other.
    let print = pdf.main_part("print.html");
    let all = print[print.find("<h1 ").unwrap()..].to_owned();
    let printed = if solutions { all.clone() } else { without_solutions(&all) };
    let code: Vec<String> = each(CODE, &printed).iter().map(|block| untagged(block)).collect();
    let shared = Arc::new((printed, code, whole(pdf)));

    check(trials, pdf, "between 120 and 300 pages", |pdf| {
        let pages = pdf.laid_out.len();
        if (120..=300).contains(&pages) { vec![] } else { vec![format!("it has {pages}")] }
    });
    let book = Arc::clone(&shared);
    check(trials, pdf, "the contents name the pages that the headings are on, and so does the outline", move |pdf| {
        contents(pdf, &book.0)
    });
    check(trials, pdf, "no page is empty", |pdf| {
        let mut problems = vec![];
        for (number, page) in (1..).zip(&pdf.laid_out) {
            let lines: Vec<&str> = page.trim_end().lines().collect();
            let body = if number > 1 && lines.len() > 1 { lines[1..lines.len() - 1].concat() } else { lines.concat() };
            let letters = bare(&body).chars().count();
            if letters < 30 {
                problems.push(format!("page {number} has {letters} letters"));
            }
        }
        problems
    });
    check(trials, pdf, "each page has its number, and the title page nothing in its margins", |pdf| {
        let last = |page: &str| page.trim_end().lines().last().unwrap_or_default().trim().to_owned();
        let mut problems: Problems = (1..)
            .zip(&pdf.laid_out)
            .skip(1)
            .map(|(number, page): (usize, _)| (number, last(page)))
            .filter(|(number, last)| *last != number.to_string())
            .map(|(number, last)| format!("page {number} has {last:?} at its foot"))
            .collect();
        let (_, height, words) = &pdf.words()[0];
        let outside = words.iter().filter(|word| word.top < 60.0 * MM || word.bottom > height - 15.0 * MM);
        problems.extend(outside.map(|word| format!("page 1 has {:?} in a margin", word.text)));
        problems
    });
    let book = Arc::clone(&shared);
    check(trials, pdf, "each line of code is there, and begins a line", move |pdf| {
        let begin = |line: &str| bare(line).chars().take(12).collect::<String>();
        let begins: HashSet<String> = pdf.laid_out.iter().flat_map(|page| page.lines()).map(begin).collect();
        let mut problems = vec![];
        for line in book.1.iter().flat_map(|block| block.lines()).filter(|line| !bare(line).is_empty()) {
            if !begins.contains(&begin(line)) {
                problems.push(format!("does not begin a line: {}", start(line, 70)));
                continue;
            }
            // It may stand on two pages, where it is wrapped.
            let letters: Vec<char> = bare(line).chars().collect();
            let (first, second) = letters.split_at(letters.len() / 2);
            let is_there = |letters: &[char]| book.2.contains(&letters.iter().collect::<String>());
            if !is_there(&letters) && !is_there(first) && !is_there(second) {
                problems.push(format!("is not there whole: {}", start(line, 70)));
            }
        }
        problems
    });
    let book = Arc::clone(&shared);
    check(trials, pdf, "no block is split that fits on a page", move |pdf| {
        let pages: Vec<String> = pdf.raw.iter().map(|page| bare(page)).collect();
        let joined: String = pdf.raw.iter().map(|page| bare(&page.lines().skip(2).collect::<String>())).collect();
        let short = book.1.iter().filter(|block| block.matches('\n').count() <= 45);
        let split = short
            .filter(|block| !pages.iter().any(|page| page.contains(&bare(block))) && joined.contains(&bare(block)));
        split.map(|block| format!("is on two pages: {:?}", start(block, 60))).collect()
    });
    if !solutions {
        let book = Arc::clone(&shared);
        check(trials, pdf, "no answer to an exercise is printed", move |_| answers(&all, &book.2));
    }
    let book = Arc::clone(&shared);
    check(trials, pdf, "paragraphs can be searched", move |_| {
        let text = without(r"(?s)<pre.*?</pre>|<svg.*?</svg>", &book.0);
        // A link has its page behind it.
        let paragraphs: Vec<String> = each(r"(?s)<p>(.*?)</p>", &text)
            .into_iter()
            .filter(|p| !p.contains("<a href="))
            .map(|p| untagged(&p))
            .collect();
        let paragraphs: Vec<&String> = paragraphs.iter().filter(|p| bare(p).chars().count() >= 20).collect();
        let lost: Vec<String> =
            paragraphs.iter().filter(|p| !book.2.contains(&bare(p))).map(|p| start(p, 60)).collect();
        let mut problems = vec![];
        if paragraphs.len() < 300 {
            problems.push(format!("the book has only {} paragraphs", paragraphs.len()));
        }
        // A few stand on two pages, with header and footer between their halves.
        if lost.len() * 20 > paragraphs.len() {
            problems.push(format!(
                "{} of {} paragraphs are not found, among them: {:?}",
                lost.len(),
                paragraphs.len(),
                &lost[..4]
            ));
        }
        problems
    });
    let book = Arc::clone(&shared);
    check(trials, pdf, "addresses can be read on paper", move |_| {
        let addresses: HashSet<String> = each(r#"<a href="https?://([^"]*?)/?""#, &book.0).into_iter().collect();
        addresses
            .into_iter()
            .filter(|address| !book.2.contains(&bare(address)))
            .map(|address| format!("{address} cannot be read"))
            .collect()
    });
    let book = Arc::clone(&shared);
    check(trials, pdf, "links name their page", move |_| {
        let marks = each(r"(\(p\.\d+\)|\(\d+ページ\))", &book.2).len();
        let links = each(r##"(<a href="#)"##, &without(r#"(?s)<a class="header".*?</a>"#, &book.0)).len();
        if marks * 100 < links * 97 {
            vec![format!("{links} links to other pages, but {marks} numbers behind them")]
        } else {
            vec![]
        }
    });
    if pdf.language == "ja" {
        let book = Arc::clone(&shared);
        check(trials, pdf, "Japanese is broken by its rules, without blanks", move |pdf| {
            let wrong = Regex::new(r"^\s*[、。」）』ーぁぃぅぇぉっゃゅょァィゥェォッャュョ]").unwrap();
            let mut problems = vec![];
            for (number, page) in (1..).zip(&pdf.laid_out) {
                let begins = page.lines().filter(|line| wrong.is_match(line) && line.trim() != "ー");
                problems.extend(
                    begins.map(|line| format!("page {number}: a line begins with {:?}", start(line.trim(), 12))),
                );
            }
            let blank = |text: &str| each("([ぁ-ん。、] [ぁ-ん。、])", text).into_iter().collect::<HashSet<_>>();
            let known = blank(&untagged(&book.0)); // as after a bold word
            let blanks: Vec<String> =
                pdf.flowing.iter().flat_map(|page| blank(page)).filter(|blank| !known.contains(blank)).collect();
            if !blanks.is_empty() {
                problems.push(format!("blanks within Japanese: {blanks:?}"));
            }
            problems
        });
    }
    let wanted = if solutions { print.matches(r#"<details class="solution">"#).count() } else { 0 };
    check(trials, pdf, &format!("{wanted} solutions"), move |pdf| {
        let solution = if pdf.language == "ja" { "解答" } else { "Solution" };
        let shown = pdf.laid_out.iter().flat_map(|page| page.lines()).filter(|line| line.trim() == solution).count();
        if shown == wanted { vec![] } else { vec![format!("{shown} are shown")] }
    });
}

fn contents(pdf: &Pdf, text: &str) -> Problems {
    let headings: Vec<String> =
        each(r"(?s)<h[12] [^>]*>(.*?)</h[12]>", text).iter().map(|title| untagged(title)).collect();
    let xml = pdf.tool("pdftohtml", &["-xml", "-i", "-stdout", "-f", "1", "-l", "1"], &[]);
    let outline: Vec<(usize, String)> = Regex::new(r#"(?s)<item page="(\d+)">(.*?)</item>"#)
        .unwrap()
        .captures_iter(&xml)
        .map(|item| (item[1].parse().unwrap(), bare(&untagged(&item[2]))))
        .collect();
    let first = outline.iter().find(|(_, title)| *title == bare(&headings[0])).map_or(5, |(page, _)| *page);
    let entry = Regex::new(r"(?m)^(.*\S) (\d+)$").unwrap();
    let printed: Vec<(String, usize)> = pdf.raw[1..first - 1]
        .iter()
        .flat_map(|page| entry.captures_iter(page))
        .map(|entry| (entry[1].to_owned(), entry[2].parse().unwrap()))
        .collect();
    if !printed.iter().map(|(title, _)| title).eq(&headings) {
        let missing: Vec<&String> =
            headings.iter().filter(|heading| !printed.iter().any(|(title, _)| title == *heading)).take(5).collect();
        return vec![format!(
            "the contents have {} lines for {} headings; missing: {missing:?}",
            printed.len(),
            headings.len()
        )];
    }
    let mut problems = vec![];
    let mut items = outline.iter();
    for (title, number) in &printed {
        if !pdf.flowing.get(number - 1).is_some_and(|page| bare(page).contains(&bare(title))) {
            problems.push(format!("{title} is not on page {number}"));
        }
        let place = items.find(|(_, item)| *item == bare(title)).map(|(page, _)| *page);
        if place != Some(*number) {
            problems.push(format!("{title}: the contents say {number}, the outline {place:?}"));
        }
    }
    problems
}

/// What the folds with answers hold, and nothing else of the book does, nor a hint.
fn answers(all: &str, whole: &str) -> Problems {
    let inside = each(r#"(?s)(<details class="solution(?: answer)?".*?</details>)"#, all).concat();
    let elsewhere = bare(&untagged(&without_solutions(all)));
    let code = untagged(&each(CODE, &inside).join("\n"));
    let secret: HashSet<&str> = code
        .lines()
        .map(str::trim)
        .filter(|line| bare(line).chars().count() > 20 && !elsewhere.contains(&bare(line)))
        .collect();
    let mut problems: Problems = secret
        .iter()
        .filter(|line| whole.contains(&bare(line)))
        .map(|line| format!("is printed: {}", start(line, 70)))
        .collect();
    if secret.len() < 50 {
        problems.push(format!("the book has only {} lines that are answers", secret.len()));
    }
    problems
}

// ---- the cards

fn cheatsheet(trials: &mut Vec<Trial>, pdf: &Arc<Pdf>, paper: &str) {
    every(trials, pdf, paper, true, [7.0, 5.0, 7.0, 3.0]);
    check(trials, pdf, "two pages", |pdf| {
        let pages = pdf.laid_out.len();
        if pages == 2 { vec![] } else { vec![format!("it has {pages}")] }
    });
    check(trials, pdf, "all of the chapter is there", |pdf| {
        let (text, whole) = (pdf.main_part("cheatsheet.html"), bare(&pdf.raw.concat()));
        let cells = each(r"(?s)<(?:h2|td|li)(?: [^>]*)?>(.*?)</(?:h2|td|li)>", &text);
        let code = each(CODE, &text);
        let parts = cells
            .iter()
            .map(|cell| untagged(cell))
            .chain(code.iter().flat_map(|block| untagged(block).lines().map(str::to_owned).collect::<Vec<_>>()));
        parts.filter(|part| !whole.contains(&bare(part))).map(|part| format!("not there: {part}")).collect()
    });
}

fn rescue(trials: &mut Vec<Trial>, pdf: &Arc<Pdf>, paper: &str) {
    every(trials, pdf, paper, false, [5.0, 4.0, 5.0, 2.0]);
    let text = pdf.main_part("rescue.html");
    let cards: Vec<String> = text.split("<h2 ").skip(1).map(|card| format!("<h2 {card}")).collect();
    let wanted = cards.len().div_ceil(2);
    check(trials, pdf, &format!("{} cards, two on a page", cards.len()), move |pdf| {
        let pages = pdf.laid_out.len();
        if pages == wanted { vec![] } else { vec![format!("it has {pages} pages")] }
    });
    check(trials, pdf, "each card stands on its half page", move |pdf| {
        let mut halves = vec![];
        for (_, height, words) in pdf.words() {
            let half = |is_there: &dyn Fn(&Word) -> bool| {
                words.iter().filter(|word| is_there(word)).map(|word| word.text.as_str()).collect::<String>()
            };
            halves.extend([half(&|word| word.bottom <= height / 2.0), half(&|word| word.top > height / 2.0)]);
        }
        let mut problems = vec![];
        for (card, half) in cards.iter().zip(halves) {
            let normal: String = half.nfkc().collect();
            for cell in each(r"(?s)<(?:h2|td)(?: [^>]*)?>(.*?)</(?:h2|td)>", card).iter().map(|cell| untagged(cell)) {
                // poppler gives the words of a page in an order of its own; each of them has to be on this half.
                let words = each("([A-Za-z_]{3,})", &cell);
                let lost = words.iter().filter(|word| word.split('_').any(|part| !half.contains(part)));
                problems.extend(lost.map(|word| format!("{}: {word} is not on its card", start(&cell, 50))));
                let signs: HashSet<char> =
                    cell.chars().filter(|sign| ('\u{3041}'..='\u{9fff}').contains(sign)).collect();
                let lost = signs.into_iter().filter(|sign| !normal.contains(*sign));
                problems.extend(lost.map(|sign| format!("{}: {sign} is not on its card", start(&cell, 50))));
            }
        }
        problems
    });
    check(trials, pdf, "what the cards mean can be searched", move |pdf| {
        let whole = bare(&pdf.raw.concat());
        let cells = each(r"(?s)<td[^>]*>(.*?)</td>", &text).into_iter().map(|cell| untagged(&cell));
        cells
            .filter(|cell| !whole.contains(&bare(cell)))
            .map(|cell| format!("not there: {}", start(&cell, 60)))
            .collect()
    });
}

// ---- text

fn tool(program: &str, arguments: &[&str]) -> String {
    let done = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(done.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// What the first group has, at each place that the pattern finds.
fn each(pattern: &str, text: &str) -> Vec<String> {
    Regex::new(pattern).unwrap().captures_iter(text).map(|found| found[1].to_owned()).collect()
}

fn one(pattern: &str, text: &str) -> String {
    each(pattern, text).into_iter().next().unwrap_or_else(|| panic!("nothing is like {pattern}"))
}

fn without(pattern: &str, text: &str) -> String {
    Regex::new(pattern).unwrap().replace_all(text, "").into_owned()
}

fn without_solutions(text: &str) -> String {
    without(r#"(?s)<details class="solution(?: answer)?"[^>]*>.*?</details>"#, text)
}

/// Text of HTML, without its tags.
fn untagged(html: &str) -> String {
    unescaped(&without("<[^>]*>", html)).trim().to_owned()
}

fn unescaped(text: &str) -> String {
    let text = text
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&#x27;", "'");
    text.replace("&amp;", "&")
}

/// Without blanks, and with letters that only look different made the same.
fn bare(text: &str) -> String {
    text.nfkc().filter(|letter| !letter.is_whitespace() && !['\u{200b}', '\u{ad}'].contains(letter)).collect()
}

/// All of it, without the lines at the head of its pages.
fn whole(pdf: &Pdf) -> String {
    pdf.raw.iter().map(|page| bare(&page.lines().skip(1).collect::<Vec<_>>().join("\n"))).collect()
}

fn start(text: &str, letters: usize) -> String {
    text.chars().take(letters).collect()
}
