//! The language of the book, of the files for contributors and of what the exercises say: textlint for Japanese, with the words of
//! `book/glossary.toml`; a spelling check over everything, and rules of our own for English. scripts/test --book puts the tools in place.

use anyhow::{Context, Result, bail};
use libtest_mimic::{Failed, Trial};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use regex::Regex;
use serde::Deserialize;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

pub fn run(tests: &libtest_mimic::Arguments) -> Result<()> {
    let root = cluster::checkout();
    let work = tempfile::tempdir()?;
    let mut trials = japanese_trials(root, work.path())?;
    trials.extend(spelling_trials(root, work.path())?);
    trials.extend(english_trials(root)?);
    if libtest_mimic::run(tests, trials).has_failed() {
        bail!("the prose breaks a rule");
    }
    Ok(())
}

/// A test that fails with what was found.
fn trial(name: &str, found: Vec<String>) -> Trial {
    Trial::test(name, move || if found.is_empty() { Ok(()) } else { Err(Failed::from(found.join("\n"))) })
}

fn tool(variable: &str) -> Result<PathBuf> {
    let path = std::env::var_os(variable).with_context(|| format!("{variable} is not set: run scripts/test --book"))?;
    Ok(path.into())
}

fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let done = command.output().context(program)?;
    Ok(String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr))
}

// ---- what is read

#[derive(Deserialize)]
struct Glossary {
    term: Vec<Term>,
}

/// A term, and how it is not written.
#[derive(Deserialize)]
struct Term {
    en: String,
    ja: String,
    #[serde(default)]
    en_not: Vec<String>,
    #[serde(default)]
    ja_not: Vec<String>,
}

fn glossary(root: &Path) -> Result<Vec<Term>> {
    Ok(toml::from_str::<Glossary>(&fs::read_to_string(root.join("book/glossary.toml"))?)?.term)
}

/// The Markdown files of a language: the book, and what stands at the top of the repository.
fn pages(root: &Path, language: &str) -> Result<Vec<PathBuf>> {
    let mut pages = files(&root.join("book").join(language).join("src"), "md")?;
    pages.retain(|page| !page.ends_with("SUMMARY.md"));
    let end = if language == "ja" { ".ja.md" } else { ".md" };
    let top = ["README", "CONTRIBUTING", "CHANGELOG"].map(|name| root.join(format!("{name}{end}")));
    pages.extend(top.into_iter().filter(|page| page.exists()));
    Ok(pages)
}

fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|found| found == extension));
    files.sort();
    Ok(files)
}

/// A text in a TOML file: what an exercise, a hint, a check or the doctor says.
struct Text {
    file: PathBuf,
    line: usize,
    text: String,
}

fn texts(root: &Path, language: &str) -> Result<Vec<Text>> {
    let mut all = vec![];
    for parent in ["steps", "workbook"] {
        for folder in fs::read_dir(root.join(parent))?.flatten().map(|entry| entry.path()).filter(|path| path.is_dir())
        {
            all.extend(files(&folder, "toml")?);
        }
    }
    all.retain(|file| !file.ends_with("Cargo.toml"));
    all.sort();
    let mut texts = vec![];
    for file in all {
        let source = fs::read_to_string(&file)?;
        let mut strings = vec![];
        of_language(
            &toml::from_str(&source).with_context(|| file.display().to_string())?,
            language,
            false,
            &mut strings,
        );
        let mut of_file: Vec<Text> = strings
            .into_iter()
            .map(|text| {
                let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
                let begin: String = serde_json::json!(first).to_string().trim_matches('"').chars().take(30).collect();
                let line = source.find(&begin).map_or(1, |place| source[..place].matches('\n').count() + 1);
                Text { file: file.strip_prefix(root).unwrap_or(&file).to_owned(), line, text }
            })
            .collect();
        of_file.sort_by_key(|text| text.line);
        texts.extend(of_file);
    }
    Ok(texts)
}

/// The texts of a language in a table: whatever stands under the key `en` or `ja`, `..._en`, or `en_is...`.
fn of_language(value: &toml::Value, language: &str, inside: bool, texts: &mut Vec<String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let inside = inside
                    || key == language
                    || key.ends_with(&format!("_{language}"))
                    || key.starts_with(&format!("{language}_is"));
                of_language(value, language, inside, texts);
            }
        }
        toml::Value::Array(values) => values.iter().for_each(|value| of_language(value, language, inside, texts)),
        toml::Value::String(text) if inside => texts.push(text.clone()),
        _ => {}
    }
}

/// A page without comments and what mdBook takes out of it. A number that is included in a sentence becomes a number.
fn without_directives(text: &str) -> Result<String> {
    let comment = |found: &regex::Captures| "\n".repeat(found[0].matches('\n').count());
    let text = Regex::new("(?s)<!--.*?-->")?.replace_all(text, comment);
    let text = Regex::new(r" \{\{[^}\n]*\}\}|\{\{[^}\n]*\}\} ")?
        .replace_all(&text, |found: &regex::Captures| if found[0].starts_with(' ') { " 18" } else { "18 " });
    let text = Regex::new(r"\{\{[^}\n]*\}\}")?.replace_all(&text, "");
    Ok(Regex::new(r"(?m)[ \t]*\{#[\w-]+\}[ \t]*$")?.replace_all(&text, "").into_owned())
}

// ---- Japanese: textlint

/// What textlint has to find in `SEEDED`. A linter that finds nothing may not have looked.
const RULES_OF_TEXTLINT: [(&str, &str); 6] = [
    ("ja-no-mixed-desumasu", "no-mix-dearu-desumasu"),
    ("long", "sentence-length"),
    ("glossary", "prh"),
    ("doubled", "no-doubled-joshi"),
    ("ra", "no-dropping-the-ra"),
    ("space", "ja-space-between-half-and-full-width"),
];
const SEEDED: &str = "サーバはワーカーを起動します。これはワーカーの停止である。停止は終了コードで伝わります。

この文は、バックグラウンドワーカーが起動してから終了するまでの間に、postmaster とサーバーのほかのプロセスとの間で何が起きるのかを、順を追って、できるだけ詳しく、しかも例を挙げながら説明しようとして、読む人が息をつく間もないほど長くなり、どこで終わるのかが誰にも分からなくなってしまいました。

ワーカーが停止が必要が分かります。この表は見れます。PostgreSQLのワーカーです。
";

/// What textlint says of a file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Linted {
    file_path: PathBuf,
    messages: Vec<Fault>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fault {
    rule_id: String,
    message: String,
    line: usize,
    column: usize,
}

fn japanese_trials(root: &Path, work: &Path) -> Result<Vec<Trial>> {
    let folder = work.join("ja");
    let mut written = 0;
    let mut write = |name: &Path, text: &str| -> Result<()> {
        let to = folder.join(name);
        fs::create_dir_all(to.parent().context("no folder")?)?;
        written += 1;
        Ok(fs::write(to, text)?)
    };
    write(Path::new("seeded.md"), SEEDED)?;
    for page in pages(root, "ja")? {
        // A person's name has its space.
        let text = without_directives(&fs::read_to_string(&page)?)?.replace("勝俣 智成", "勝俣智成");
        write(page.strip_prefix(root)?, &text)?;
    }
    for texts in texts(root, "ja")?.chunk_by(|one, next| one.file == next.file) {
        let mut lines: Vec<String> = vec![];
        for text in texts {
            lines.resize(lines.len().max(text.line - 1), String::new()); // the source's line, where the file has not grown past it
            lines.extend([one_paragraph(&text.text)?, String::new()]);
        }
        write(&PathBuf::from(format!("{}.md", texts[0].file.display())), &(lines.join("\n") + "\n"))?;
    }
    let mut settings: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(root.join("book/tools/textlint.json"))?)?;
    settings["rules"]["prh"] = serde_json::json!({ "rulePaths": ["words.json"] });
    fs::write(folder.join(".textlintrc.json"), settings.to_string())?;
    fs::write(folder.join("words.json"), words(root)?.to_string())?; // JSON is YAML

    let modules = tool("BOOK_TOOLS")?.join("node_modules");
    let mut textlint = Command::new(tool("NODE")?);
    textlint.arg(modules.join("textlint/bin/textlint.js")).args(["--format", "json", "--config"]);
    textlint.arg(folder.join(".textlintrc.json")).arg("--rules-base-directory").arg(&modules).arg(&folder);
    let said = output(&mut textlint)?;
    let results: Vec<Linted> = serde_json::from_str(&said).with_context(|| format!("textlint: {said}"))?;
    let all = results.iter().flat_map(|of_file| of_file.messages.iter().map(move |fault| (of_file, fault)));
    let (seeded, found): (Vec<_>, Vec<_>) = all
        .map(|(of_file, fault)| {
            let file = of_file.file_path.strip_prefix(&folder).unwrap_or(&of_file.file_path);
            format!("{}:{}:{}: {} ({})", file.display(), fault.line, fault.column, fault.message, fault.rule_id)
        })
        .partition(|fault| fault.starts_with("seeded.md:"));
    let mut trials =
        vec![trial(&format!("Japanese: textlint, with the words of the glossary ({} files)", written - 1), found)];
    for (name, rule) in RULES_OF_TEXTLINT {
        let missing = if seeded.iter().any(|line| line.contains(rule)) {
            vec![]
        } else {
            vec![format!("textlint does not report {rule}:\n{}", seeded.join("\n"))]
        };
        trials.push(trial(&format!("Japanese: a fault is found ({name})"), missing));
    }
    Ok(trials)
}

/// The glossary as textlint's list of words. A word that is refused may be the beginning of the one that is right.
fn words(root: &Path) -> Result<serde_json::Value> {
    let mut rules = vec![];
    for term in glossary(root)? {
        for bad in &term.ja_not {
            let rest = term.ja.strip_prefix(bad).map(|rest| format!("(?!{rest})")).unwrap_or_default();
            let before = "プリロード".split_once(bad).map(|(before, _)| format!("(?<!{before})")).unwrap_or_default(); // a title in the manual
            rules.push(serde_json::json!({ "expected": term.ja, "pattern": format!("/{before}{bad}{rest}/") }));
        }
    }
    Ok(serde_json::json!({ "version": 1, "rules": rules }))
}

/// A text of a TOML file as one paragraph. It has no marks for code: what looks like code becomes a letter.
fn one_paragraph(text: &str) -> Result<String> {
    let mut joined = String::new();
    for line in text.trim().lines() {
        let (last, first) = (joined.chars().last(), line.chars().next());
        if let (Some(last), Some(first)) = (last, first)
            && last.is_ascii_graphic() != first.is_ascii_graphic()
        {
            joined.push(' ');
        }
        joined.push_str(line);
    }
    let joined = Regex::new(r"\{[^}\n]{0,9}\}")?.replace_all(&joined, "X").into_owned();
    let code = Regex::new(r##"[!-~]*[A-Za-z][!-~]*(?: +[!-~]*[A-Za-z0-9_"'({\[;=:.!&][!-~]*)*"##)?;
    let looks_like_code =
        |found: &str| found.contains(['_', '(', '{', '[', '#', ':', '!', '=', ';', '&', '<', '>', '"']);
    Ok(code
        .replace_all(
            &joined,
            |found: &regex::Captures| if looks_like_code(&found[0]) { "X".to_owned() } else { found[0].to_owned() },
        )
        .into_owned())
}

// ---- spelling

fn spelling_trials(root: &Path, work: &Path) -> Result<Vec<Trial>> {
    let typos = tool("TYPOS")?;
    let spelling = |files: &[&str]| {
        let mut command = Command::new(&typos);
        command.current_dir(root).args(["--config", "book/tools/typos.toml", "--format", "brief"]).args(files);
        output(&mut command)
    };
    let listed = output(Command::new("git").current_dir(root).args(["ls-files", "-z"]))?;
    let files: Vec<&str> = listed.split_terminator('\0').filter(|file| root.join(file).exists()).collect();
    if files.len() < 100 {
        bail!("git ls-files: {listed}");
    }
    let found = spelling(&[&["--force-exclude"], files.as_slice()].concat())?;
    let seeded = work.join("seeded.md");
    fs::write(&seeded, format!("The worker {}ieves a signal.\n", "rec"))?; // in two parts, for the check above
    let fault = spelling(&[&seeded.to_string_lossy()])?;
    let missing = if fault.contains("receives") { vec![] } else { vec![format!("typos does not report it: {fault}")] };
    Ok(vec![
        trial(&format!("spelling, in {} files", files.len()), found.lines().map(str::to_owned).collect()),
        trial("spelling: a fault is found", missing),
    ])
}

// ---- English: rules of the house

const WORDS_IN_A_SENTENCE: usize = 40;

/// What is not written, as a pattern.
struct Rule {
    name: &'static str,
    pattern: &'static str,
    /// What to write instead.
    instead: &'static str,
    /// A text that breaks it.
    broken: &'static str,
}

const fn rule(name: &'static str, pattern: &'static str, instead: &'static str, broken: &'static str) -> Rule {
    Rule { name, pattern, instead, broken }
}

const RULES: [Rule; 9] = [
    rule(
        "filler",
        r"(?i)\b(?:basically|obviously|of course|needless to say|please note|it should be noted|as you can see|simply put|in order to|due to the fact|at this point in time)\b",
        "nothing, or to, or because",
        "In order to start it, type this.",
    ),
    rule(
        "praise",
        r"(?i)\b(?:seamless(?:ly)?|robust|elegant(?:ly)?|blazing(?:ly)?|state-of-the-art|world-class|cutting-edge|effortless(?:ly)?|comprehensive)\b",
        "what it does",
        "A robust worker.",
    ),
    rule(
        "officialese",
        r"(?i)\b(?:utili[sz]e[sd]?|utilization|leverag(?:e[sd]?|ing)|facilitate[sd]?|functionality|aforementioned|thereof)\b",
        "use, help, it",
        "It utilizes a latch.",
    ),
    rule(
        "American spelling",
        r"(?i)\b(?:behavior|color|favor|honor|center|analyze|license[sd]? (?:of|under)|canceling|canceled|modeled|labeled)s?\b",
        "the British one",
        "The behavior of a worker.",
    ),
    rule(
        "Latin",
        r"(?i)\b(?:e\.g\.|i\.e\.|etc\.|viz\.|cf\.)",
        "for example, that is, and so on",
        "Signals, e.g. SIGTERM.",
    ),
    rule("an exclamation mark", r"\b[a-z]{3,}!(?:\s|$)", "a full stop", "It works!"),
    rule("a space before a mark", r"\w [,;:.?](?:\s|$)", "no space", "It works ."),
    rule("typographic quotes", "[‘’“”]", "straight ones", "It’s a worker."),
    rule("click here", r"(?i)\bclick here\b|\[here\]", "what the link leads to", "Look [here](x)."),
];

/// The rules, compiled.
struct English {
    rules: Vec<(&'static Rule, Regex)>,
    glossary: Vec<(Regex, String)>,
    twice: Regex,
    end: Regex,
    word: Regex,
}

impl English {
    fn new(root: &Path) -> Result<Self> {
        let rules = RULES.iter().map(|rule| Ok((rule, Regex::new(rule.pattern)?))).collect::<Result<_>>()?;
        let mut words = vec![];
        for term in glossary(root)? {
            for bad in &term.en_not {
                words.push((
                    Regex::new(&format!(r"(?i)\b{}\b", regex::escape(bad)))?,
                    format!("\"{bad}\"; write \"{}\"", term.en),
                ));
            }
        }
        Ok(Self {
            rules,
            glossary: words,
            twice: Regex::new(r"(?i)\b[a-z]+\b")?,
            end: Regex::new(r"[.?!:;]\s+")?,
            word: Regex::new(r"[\w'/-]+")?,
        })
    }

    /// What is wrong with a paragraph, a heading, an item or a cell. Code in it is "``".
    fn faults(&self, text: &str) -> Vec<String> {
        let mut faults = vec![];
        for (rule, pattern) in &self.rules {
            let found = pattern.find_iter(text);
            faults.extend(
                found.map(|found| format!("{}: \"{}\"; write {}", rule.name, found.as_str().trim(), rule.instead)),
            );
        }
        let words: Vec<regex::Match> = self.twice.find_iter(text).collect();
        for pair in words.windows(2) {
            let between = &text[pair[0].end()..pair[1].start()];
            let word = pair[0].as_str();
            let may_be = ["that", "had", "is", "in", "on"].contains(&word.to_lowercase().as_str());
            if !between.is_empty()
                && between.trim().is_empty()
                && word.eq_ignore_ascii_case(pair[1].as_str())
                && !may_be
            {
                faults.push(format!("a word twice: \"{word} {word}\"; write once"));
            }
        }
        for (pattern, instead) in &self.glossary {
            if pattern.is_match(text) {
                faults.push(format!("not a word of the glossary: {instead}"));
            }
        }
        for sentence in self.end.split(text) {
            let count = self.word.find_iter(sentence).count();
            if count > WORDS_IN_A_SENTENCE {
                let begin: String = sentence.trim().chars().take(60).collect();
                faults.push(format!("a sentence of {count} words, at most {WORDS_IN_A_SENTENCE}: {begin} ..."));
            }
        }
        faults
    }
}

/// The paragraphs, headings, items and cells of a page, with their lines. Inline code is "``", a link's text stands in brackets.
fn blocks(page: &str) -> Vec<(usize, String)> {
    let options =
        Options::ENABLE_TABLES | Options::ENABLE_TASKLISTS | Options::ENABLE_DEFINITION_LIST | Options::ENABLE_GFM;
    let mut blocks: Vec<(usize, String)> = vec![];
    let line = |place: &Range<usize>| page[..place.start].matches('\n').count() + 1;
    let tag = Regex::new("<[^>]*>?").expect("a pattern");
    let mut code = false;
    let mut begins = true;
    for (event, place) in Parser::new_ext(page, options).into_offset_iter() {
        let text = match event {
            Event::Start(Tag::CodeBlock(_)) | Event::End(TagEnd::CodeBlock) => {
                code = matches!(event, Event::Start(_));
                continue;
            }
            Event::Start(Tag::Link { .. }) => "[".into(),
            Event::End(TagEnd::Link) => "]".into(),
            Event::Start(Tag::Emphasis | Tag::Strong | Tag::Image { .. })
            | Event::End(TagEnd::Emphasis | TagEnd::Strong | TagEnd::Image) => continue,
            Event::Html(html) => {
                blocks.push((line(&place), tag.replace_all(&html, "").into_owned()));
                begins = true;
                continue;
            }
            Event::Start(_) | Event::End(_) => {
                begins = true;
                continue;
            }
            Event::Code(_) => "``".into(),
            Event::SoftBreak | Event::HardBreak => " ".into(),
            Event::Text(text) if !code => text,
            _ => continue,
        };
        if begins {
            blocks.push((line(&place), String::new()));
            begins = false;
        }
        if let Some((_, block)) = blocks.last_mut() {
            block.push_str(&text);
        }
    }
    blocks
}

fn english_trials(root: &Path) -> Result<Vec<Trial>> {
    let english = English::new(root)?;
    let mut found = vec![];
    let mut read = 0;
    for page in pages(root, "en")? {
        let name = page.strip_prefix(root)?.display().to_string();
        for (line, block) in blocks(&without_directives(&fs::read_to_string(&page)?)?) {
            read += 1;
            found.extend(english.faults(&block).into_iter().map(|fault| format!("{name}:{line}: {fault}")));
        }
    }
    if read < 1000 {
        bail!("only {read} paragraphs were read");
    }
    let code = Regex::new(r"``.*?``|`[^`\n]*`|\w+!")?; // vec! is code
    for text in texts(root, "en")? {
        let line = text.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let faults = english.faults(&code.replace_all(&line, "``"));
        found.extend(faults.into_iter().map(|fault| format!("{}:{}: {fault}", text.file.display(), text.line)));
    }

    let mut blind = vec![];
    let too_long = "word ".repeat(WORDS_IN_A_SENTENCE + 1);
    let seeded = RULES.iter().map(|rule| (rule.name, rule.broken)).chain([
        ("a word twice", "It is the the worker."),
        ("not a word of the glossary", "Wait for the restart interval."),
        ("a sentence of", too_long.as_str()),
    ]);
    for (name, broken) in seeded {
        let faults: Vec<String> = blocks(broken).iter().flat_map(|(_, block)| english.faults(block)).collect();
        if !faults.iter().any(|fault| fault.starts_with(name)) {
            blind.push(format!("\"{name}\" is not found in: {broken}"));
        }
    }
    Ok(vec![trial("English: the rules of the house", found), trial("English: each rule finds its fault", blind)])
}
