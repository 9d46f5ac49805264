//! The pages for looking things up against pgrx itself: `cargo test -p workbook --test reference`.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const MAJORS: [u16; 4] = [15, 16, 17, 18];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
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
    let mut checked = 0;
    for (column, major) in MAJORS.iter().enumerate() {
        let bindings = fs::read_to_string(folder.join(format!("pg{major}.rs")))?;
        let value = |name: &str| {
            let start = format!("pub const {name}: ");
            let line = bindings.lines().find_map(|line| line.trim().strip_prefix(&start))?;
            line.split(" = ").nth(1)?.strip_suffix(';').map(str::to_owned)
        };
        for language in ["en", "ja"] {
            for table in tables(language)? {
                let by_major = table[0].get(1).is_some_and(|cell| cell == "15");
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
