//! The pages for looking things up against pgrx itself: `cargo test -p xtask --test reference`.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn root() -> PathBuf {
    cluster::checkout().into()
}

/// The folder of a crate's sources.
fn sources(name: &str) -> Result<PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version", "1", "--offline", "--locked"]).current_dir(root());
    let out = String::from_utf8(cargo.output()?.stdout)?;
    let paths = out.split("\"manifest_path\":\"").skip(1).filter_map(|rest| rest.split('"').next());
    let path = paths.map(Path::new).find_map(|path| {
        let folder = path.parent()?;
        let version = folder.file_name()?.to_str()?.strip_prefix(name)?.strip_prefix('-')?;
        version.starts_with(|c: char| c.is_ascii_digit()).then_some(folder)
    });
    Ok(path.ok_or(format!("cargo metadata does not name {name}"))?.join("src"))
}

/// The tables of a page: their rows' cells, without the backquotes.
fn tables(language: &str) -> Result<Vec<Vec<Vec<String>>>> {
    let text = fs::read_to_string(root().join("book").join(language).join("src/fields.md"))?;
    let mut tables = vec![Vec::new()];
    for line in text.lines() {
        if let Some(row) = line.strip_prefix("| ") {
            let cells = row.trim_end_matches(" |").split(" | ").map(|cell| cell.replace('`', ""));
            tables.last_mut().ok_or("no table")?.push(cells.collect());
        } else if !line.starts_with('|') && tables.last().is_some_and(|rows| !rows.is_empty()) {
            tables.push(Vec::new());
        }
    }
    Ok(tables.into_iter().filter(|rows| !rows.is_empty()).collect())
}

/// The public functions of a type in pgrx.
fn functions(source: &str, of: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut inside = false;
    for line in source.lines() {
        if line.starts_with("impl") {
            inside = line == format!("impl {of} {{");
        } else if line == "}" {
            inside = false;
        } else if let Some(rest) = line.trim().strip_prefix("pub fn ")
            && inside
        {
            found.insert(rest.split(['(', '<']).next().unwrap_or_default().to_owned());
        }
    }
    found
}

#[test]
fn every_function_is_there() -> Result<()> {
    let source = fs::read_to_string(sources("pgrx")?.join("bgworkers.rs"))?;
    for language in ["en", "ja"] {
        let tables = tables(language)?;
        for kind in ["BackgroundWorkerBuilder", "BackgroundWorker", "DynamicBackgroundWorker"] {
            let table =
                tables.iter().find(|rows| rows[0][0] == kind).ok_or(format!("{language}: no table for {kind}"))?;
            let listed: BTreeSet<_> = table[1..].iter().map(|row| row[0].clone()).collect();
            assert_eq!(listed, functions(&source, kind), "{language}: {kind}");
        }
    }
    Ok(())
}

#[test]
fn every_number_is_right() -> Result<()> {
    let folder = sources("pgrx-pg-sys")?.join("include");
    let table: toml::Table = fs::read_to_string(root().join("postgresql.toml"))?.parse()?;
    let majors = table.get("major").and_then(|majors| majors.as_table()).ok_or("no majors")?;
    let majors: Vec<_> = majors.keys().map(String::as_str).collect();
    let mut checked = 0;
    for (column, major) in majors.iter().enumerate() {
        let bindings = fs::read_to_string(folder.join(format!("pg{major}.rs")))?;
        let value = |name: &str| {
            let start = format!("pub const {name}: ");
            let line = bindings.lines().find_map(|line| line.trim().strip_prefix(&start))?;
            line.split(" = ").nth(1)?.strip_suffix(';').map(str::to_owned)
        };
        for language in ["en", "ja"] {
            for table in tables(language)? {
                let by_major = table[0].get(1).is_some_and(|cell| cell == majors[0]);
                assert!(!by_major || table[0][1..=majors.len()] == majors, "{language}: {:?}", table[0]);
                let one_value = table[0].get(1).is_some_and(|cell| cell == "C");
                for row in &table[1..] {
                    let (name, cell) = match (by_major, one_value) {
                        (true, _) => (&row[0], &row[1 + column]),
                        (_, true) => (&row[1], &row[2]),
                        _ => continue,
                    };
                    if name == "–" {
                        continue;
                    }
                    assert_eq!(*cell, value(name).unwrap_or("–".into()), "{language}, {major}: {name}");
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 100, "only {checked} numbers");
    Ok(())
}

/// The terms of book/glossary.toml.
fn terms() -> Result<Vec<toml::Table>> {
    let text = fs::read_to_string(root().join("book/glossary.toml"))?;
    let file: toml::Table = text.parse()?;
    let terms = file.get("term").and_then(|terms| terms.as_array()).ok_or("no [[term]]")?;
    Ok(terms.iter().filter_map(|term| term.as_table().cloned()).collect())
}

fn text<'a>(term: &'a toml::Table, key: &str) -> Result<&'a str> {
    term.get(key).and_then(|value| value.as_str()).ok_or(format!("{key} is missing: {term}").into())
}

/// What a reader is shown in this language: the book's pages, the scripts' messages, and the lines of the steps' and our own TOML
/// files that belong to it. The glossary itself names what it rules out.
fn prose(language: &str) -> Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    let files = |folder: PathBuf, extension: &str| -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
        let all = entries.collect::<std::io::Result<Vec<_>>>()?;
        Ok(all.into_iter().filter(|file| file.extension().is_some_and(|it| it == extension)).collect())
    };
    for page in files(root().join("book").join(language).join("src"), "md")? {
        found.push((page.clone(), fs::read_to_string(page)?));
    }
    let messages = root().join("scripts/lib").join(format!("{language}.sh"));
    found.push((messages.clone(), fs::read_to_string(messages)?));
    let mut tables = vec![root().join("workbook/cli/doctor.toml"), root().join("workbook/course/compiler.toml")];
    for step in fs::read_dir(root().join("steps"))? {
        let step = step?.path();
        if step.is_dir() {
            tables.extend(files(step, "toml")?);
        }
    }
    for table in tables {
        // Other lines are left empty, so that the numbers of the lines stay right.
        let mut ours = false;
        let mut text = String::new();
        for line in fs::read_to_string(&table)?.lines() {
            if let Some((key, _)) = line.split_once(" = ") {
                ours = key.split('.').next_back() == Some(language) || key.ends_with(&format!("_{language}"));
            }
            text.push_str(if ours { line } else { "" });
            text.push('\n');
        }
        found.push((table, text));
    }
    Ok(found)
}

/// Nothing that is shown has a spelling that the glossary rules out.
#[test]
fn words_are_spelt_one_way() -> Result<()> {
    let terms = terms()?;
    let mut wrong = Vec::new();
    for language in ["en", "ja"] {
        let list = |term: &toml::Table, key: &str| -> Vec<String> {
            let words = term.get(&format!("{language}_{key}")).and_then(|value| value.as_array()).into_iter().flatten();
            words.filter_map(|word| word.as_str().map(str::to_owned)).collect()
        };
        let mut right: Vec<String> =
            terms.iter().filter_map(|term| text(term, language).ok().map(str::to_owned)).collect();
        right.extend(terms.iter().flat_map(|term| list(term, "also")));
        let ruled_out: Vec<_> = terms.iter().flat_map(|term| list(term, "not")).collect();
        assert!(!ruled_out.is_empty());
        for (page, text) in prose(language)? {
            for (number, line) in text.lines().enumerate() {
                let line = if language == "en" { line.to_lowercase() } else { line.to_owned() };
                for word in &ruled_out {
                    for (at, _) in line.match_indices(word.as_str()) {
                        // Part of a word that is right?
                        let covered = right.iter().flat_map(|good| good.split('、')).any(|good| {
                            line.match_indices(good)
                                .any(|(start, _)| start <= at && at + word.len() <= start + good.len())
                        });
                        if !covered {
                            wrong.push(format!("{}:{}: {word}", page.display(), number + 1));
                        }
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
