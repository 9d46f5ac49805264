//! `cargo workbook new NAME`: a worker extension of one's own, outside of this repository: the finished step 7 under other names, with
//! its tests, a README and a script that runs it.

use crate::learner::Learner;
use cluster::Lang;
use cluster::tr;
use course::error::{Error, Result, machine};
use course::starter::{self, Open};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Names that are taken: by Rust, by pgrx's prelude, or by the modules of the template.
const TAKEN: &[&str] = &[
    "activity",
    "alloc",
    "compat",
    "core",
    "counted",
    "latch",
    "launch",
    "launcher",
    "pgrx",
    "pgrx_tests",
    "self",
    "settings",
    "std",
    "super",
    "test",
    "testing",
    "tests",
    "tx",
    "wake",
    "as",
    "async",
    "await",
    "break",
    "const",
    "continue",
    "crate",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "match",
    "mod",
    "move",
    "mut",
    "pub",
    "ref",
    "return",
    "static",
    "struct",
    "trait",
    "true",
    "type",
    "unsafe",
    "use",
    "where",
    "while",
    "abstract",
    "become",
    "box",
    "do",
    "final",
    "macro",
    "override",
    "priv",
    "try",
    "typeof",
    "unsized",
    "virtual",
    "yield",
];

/// May an extension, a crate, a schema and a prefix of settings have this name?
fn suitable(name: &str) -> bool {
    let letters = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    letters
        && name.len() <= 30
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
        && !name.starts_with("pg_")
        && !TAKEN.contains(&name)
}

/// `my_worker` as a name that PostgreSQL shows: `MyWorker`.
fn camel(name: &str) -> String {
    let word = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('_').filter(|part| !part.is_empty()).map(word).collect()
}

pub fn run(learner: &Learner, wanted: &str) -> Result<()> {
    let lang = learner.lang;
    // The folder in which the command was typed; cargo itself stays there, too.
    let to = PathBuf::from(wanted);
    let name = to.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if !suitable(&name) {
        return Err(Error::Cannot(
            tr!(
                lang,
                "\"{name}\" cannot be the name of an extension, a crate and a schema at once (a-z, 0-9 and _, at most 30, no word of Rust's, not pg_...)",
                "「{name}」は、拡張・クレート・スキーマに共通の名前として使えません (a-z 0-9 _ で 30 文字まで。Rust の予約語と pg_ で始まる名前は不可)"
            ),
            "cargo workbook new my_worker".into(),
        ));
    }
    let to = std::path::absolute(&to).map_err(|error| machine(&to, error))?;
    let shown = to.display();
    if to.exists() {
        return Err(Error::Cannot(
            tr!(lang, "{shown} exists already", "{shown} はすでに存在します"),
            format!("cargo workbook new {wanted}_2"),
        ));
    }
    let parent = to.parent().unwrap_or(Path::new("/"));
    if parent.canonicalize().is_ok_and(|parent| parent.starts_with(&learner.root)) {
        return Err(Error::Cannot(
            tr!(lang, "{shown} is inside the workbook", "{shown} はワークブックの中にあります"),
            tr!(
                lang,
                "choose a place outside: cargo workbook new ../{name}",
                "外の場所を指定してください: cargo workbook new ../{name}"
            ),
        ));
    }
    write(learner, &name, &to, lang)?;
    let root = learner.root.display();
    println!(
        "{}",
        tr!(lang, "{shown} is ready. In this shell:", "{shown} を作成しました。このシェルで次のように実行します:")
    );
    println!("  . {root}/scripts/env step7\n  cd {shown}\n  ./run\n  cargo pgrx test pg{}", major(learner));
    Ok(())
}

/// The major version that the workbook's PostgreSQL has by default.
fn major(learner: &Learner) -> String {
    let manifest =
        learner.steps.last().map(|step| fs::read_to_string(step.folder.join("Cargo.toml")).unwrap_or_default());
    let found = manifest.as_deref().and_then(|text| text.split_once("default = [\"pg")).map(|(_, rest)| &rest[..2]);
    found.unwrap_or("18").to_owned()
}

fn write(learner: &Learner, name: &str, to: &Path, lang: Lang) -> Result<()> {
    let Some(step) = learner.steps.last() else { return Err(Error::Machine("steps".into())) };
    let workspace = fs::read_to_string(learner.root.join("Cargo.toml")).map_err(|e| machine("Cargo.toml", e))?;
    let value = |start: &str| workspace.lines().find_map(|line| line.strip_prefix(start)?.strip_suffix('"'));
    let versions = [("pgrx = \"=", "?"), ("postgres = \"", "0.19"), ("rust-version = \"", "?")];
    let [pgrx, postgres, rust] = versions.map(|(start, otherwise)| value(start).unwrap_or(otherwise));
    let features = fs::read_to_string(step.folder.join("Cargo.toml")).map_err(|e| machine("Cargo.toml", e))?;
    let features: String = features
        .lines()
        .filter(|line| line.starts_with("pg") && line.contains("pgrx-tests/pg"))
        .map(|l| format!("{l}\n"))
        .collect();
    let parent = to.parent().unwrap_or(to);
    let renamed = |text: &str| {
        let short = step.short();
        let title = short[..1].to_uppercase() + &short[1..];
        let text = text.replace(&step.name, name).replace(short, name).replace(&title, &camel(name));
        text.replace(
            "//! Step 7: workers start on demand.",
            "//! Background workers that start with the server and on demand.",
        )
    };
    let filled = |text: &str| {
        let port = 29000 + name.bytes().fold(0u32, |sum, byte| (sum * 31 + u32::from(byte)) % 900);
        [("NAME", name), ("SCHEMA", name), ("PGRX", pgrx), ("MAJOR", &major(learner)), ("PORT", &port.to_string())]
            .iter()
            .fold(text.to_owned(), |text, (key, value)| text.replace(&format!("@{key}@"), value))
    };
    let put = || -> std::io::Result<Result<(), Error>> {
        fs::create_dir_all(parent)?;
        let scratch = tempfile::Builder::new().prefix(".new").tempdir_in(parent)?;
        let copy = scratch.path().join(name);
        if let Err(error) = starter::write(step, Open::None, &copy, lang) {
            return Ok(Err(error));
        }
        for entry in fs::read_dir(copy.join("src"))?.flatten() {
            let text = renamed(&fs::read_to_string(entry.path())?);
            let text = text.replace("is tested by the crate `course`.", "is not tested here.");
            let text = text.replace(" They are about what is new in this step.", "");
            // What the tests of the steps share comes along.
            let text =
                text.replace("use testing::", "use crate::testing::").replace(TESTS, &format!("{TESTING}{TESTS}"));
            fs::write(entry.path(), text)?;
        }
        fs::write(copy.join("src/testing.rs"), include_str!("../../../testing/src/lib.rs"))?;
        let control = renamed(&fs::read_to_string(copy.join(format!("{}.control", step.name)))?);
        let control = control.replace("workbook step 7: b", "b");
        fs::remove_file(copy.join(format!("{}.control", step.name)))?;
        fs::write(copy.join(format!("{name}.control")), control)?;
        fs::write(copy.join("Cargo.toml"), manifest(name, pgrx, postgres, rust, &features, &major(learner)))?;
        // The lock file, too: what is built has been tested, and can be built without a network.
        for file in ["rust-toolchain.toml", "rustfmt.toml", "Cargo.lock"] {
            fs::copy(learner.root.join(file), copy.join(file))?;
        }
        fs::write(copy.join(".gitignore"), "/target/\n/.run/\n")?;
        fs::write(copy.join("README.md"), filled(include_str!("../../templates/README.md")))?;
        fs::write(copy.join("README.ja.md"), filled(include_str!("../../templates/README.ja.md")))?;
        let run = copy.join("run");
        fs::write(&run, filled(include_str!("../../templates/run")))?;
        fs::set_permissions(&run, fs::Permissions::from_mode(0o755))?;
        let status = std::process::Command::new("cargo").args(["fmt", "--all"]).current_dir(&copy).status();
        drop(status); // only for looks: the names have another length now
        fs::rename(copy, to)?;
        Ok(Ok(()))
    };
    put().map_err(|error| machine(to, error))?
}

/// Where `lib.rs` names its tests, and what is to stand above.
const TESTS: &str = "#[cfg(any(test, feature = \"pg_test\"))]\nmod tests;";
const TESTING: &str =
    "#[cfg(test)]\n#[allow(dead_code, reason = \"some of it is for tests that are to come\")]\nmod testing;\n";

fn manifest(name: &str, pgrx: &str, postgres: &str, rust: &str, features: &str, major: &str) -> String {
    format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\nrust-version = \"{rust}\"\npublish = false\n\n\
         [workspace]\n\n[lib]\ncrate-type = [\"cdylib\"]\n\n[features]\ndefault = [\"pg{major}\"]\n{features}pg_test = []\n\n\
         [dependencies]\n# cargo-pgrx must have exactly the same version.\npgrx = \"={pgrx}\"\n\n\
         [dev-dependencies]\npgrx-tests = \"={pgrx}\"\n# The tests look at the server as a client does. pgrx-tests is built on it.\n\
         postgres = \"{postgres}\"\n\n[profile.dev]\npanic = \"unwind\"\n\n[profile.release]\npanic = \"unwind\"\nopt-level = 3\nlto = \"fat\"\ncodegen-units = 1\n"
    )
}
