//! The tables "C | Rust with pgrx" of the book name what exists: each C name is in PostgreSQL's headers, each Rust name is one that
//! pgrx defines. Both languages have the same tables (`cargo xtask book-check` compares them), so the English ones are read.

use course::build_dir::Shell;
use regex::Regex;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What Rust itself brings, and what is ours.
const NOT_OF_PGRX: [&str; 6] = ["None", "Some", "Ok", "Err", "std", "c"];

#[test]
fn the_names_in_the_tables_exist() -> Result<()> {
    let root = cluster::checkout();
    let shell = Shell::of(root, "step1")?;
    let headers = PathBuf::from(shell.value("$(\"$WORKBOOK_PG_CONFIG\" --includedir-server)")?);
    let c = names_in(&headers, "h", r"\b[A-Za-z_]\w+\b")?;
    let mut metadata = Command::new("cargo");
    metadata.args(["metadata", "--format-version", "1", "--offline"]).current_dir(root);
    let manifests = String::from_utf8(manifests_of(&mut metadata)?)?;
    let mut rust: HashSet<String> = NOT_OF_PGRX.iter().map(|name| (*name).to_owned()).collect();
    let defined =
        r"\b(?:fn|struct|enum|trait|mod|type|const|static|macro_rules!|union)\s+(\w+)|^\s*(\w+)\s*(?:=|,|\()|#\[(\w+)";
    for package in ["pgrx", "pgrx-pg-sys", "pgrx-macros"] {
        let found = Regex::new(&format!(r#""manifest_path":"([^"]*/{package}-\d[^"]*)/Cargo\.toml""#))?;
        let folder = found.captures(&manifests).ok_or(format!("cargo knows no {package}"))?[1].to_owned();
        rust.extend(names_in(&Path::new(&folder).join("src"), "rs", defined)?);
    }
    // The bindings are made from the headers: what is in `pg_sys` is in them. And the steps' own names are compiled with the steps.
    let ours = names_in(&root.join("steps"), "rs", r"\b(?:fn|mod|struct)\s+(\w+)")?;

    let (code, word) = (Regex::new("`([^`]+)`")?, Regex::new(r"[A-Za-z_]\w*")?);
    let (mut wrong, mut rows) = (Vec::new(), 0);
    for page in sorted(&root.join("book/en/src"))? {
        let text = fs::read_to_string(&page)?;
        let mut inside = false;
        for line in text.lines() {
            inside = line.starts_with("| C | Rust") || inside && line.starts_with('|');
            if !inside || line.starts_with("| C | Rust") || line.starts_with("|---") {
                continue;
            }
            rows += 1;
            let cells: Vec<_> = line.split('|').collect();
            let names = |cell: &str| -> Vec<String> {
                let all = code.captures_iter(cell).flat_map(|found| {
                    word.find_iter(found.get(1).map_or("", |it| it.as_str()))
                        .map(|it| it.as_str().to_owned())
                        .collect::<Vec<_>>()
                });
                all.collect()
            };
            let place = page.file_name().unwrap_or_default().to_string_lossy().into_owned();
            for name in names(cells.get(1).unwrap_or(&"")) {
                // PostgreSQL has no declaration of what a library defines, and LOG and NULL are words of C.
                if !c.contains(&name) && name != "_PG_init" {
                    wrong.push(format!("{place}: no header of PostgreSQL has {name}"));
                }
            }
            for name in names(cells.get(2).unwrap_or(&"")) {
                if !rust.contains(&name) && !c.contains(&name) && !ours.contains(&name) && name != "client" {
                    wrong.push(format!("{place}: pgrx has no {name}"));
                }
            }
        }
    }
    assert!(rows >= 30, "only {rows} rows of tables were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn manifests_of(command: &mut Command) -> Result<Vec<u8>> {
    let out = command.output()?;
    if out.status.success() { Ok(out.stdout) } else { Err(String::from_utf8_lossy(&out.stderr).into_owned().into()) }
}

/// The names that the expression finds in the files below a folder.
fn names_in(folder: &Path, extension: &str, expression: &str) -> Result<HashSet<String>> {
    let expression = Regex::new(&format!("(?m){expression}"))?;
    let (mut folders, mut names) = (vec![folder.to_owned()], HashSet::new());
    while let Some(folder) = folders.pop() {
        for path in sorted(&folder)? {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == extension) {
                let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
                for found in expression.captures_iter(&text) {
                    let name = found.iter().skip(1).flatten().next().or(found.get(0));
                    names.extend(name.map(|it| it.as_str().to_owned()));
                }
            }
        }
    }
    Ok(names)
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}
