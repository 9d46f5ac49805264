//! What is wrong, and the next command, in the reader's language.

use clap::error::{ContextKind, ErrorKind};
use cluster::{Lang, tr};
use std::fmt;
use std::process::ExitCode;

/// An error that says what to do next, as those of the scripts do.
#[derive(Debug)]
pub struct Problem {
    lang: Lang,
    cause: String,
    next: String,
}

/// The error with this cause, and this command to be typed next.
pub fn problem(lang: Lang, cause: String, next: impl Into<String>) -> anyhow::Error {
    Problem { lang, cause, next: next.into() }.into()
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lang, cause, next } = self;
        f.write_str(&tr!(lang, "error: {cause}\n  next: {next}", "エラー: {cause}\n  次の操作: {next}"))
    }
}

impl std::error::Error for Problem {}

/// Prints what clap has to say of the arguments. What it says itself is English.
pub fn refused(error: &clap::Error, lang: Lang) -> ExitCode {
    let argument = error.get(ContextKind::InvalidArg).map(ToString::to_string).unwrap_or_default();
    let argument = argument.split([' ', '=', '[']).next().unwrap_or_default();
    let no_value = error.get(ContextKind::InvalidValue).is_none_or(|value| value.to_string().is_empty());
    let cause = match error.kind() {
        ErrorKind::InvalidValue if no_value => {
            tr!(lang, "{argument} needs a value", "{argument} に値が指定されていません")
        }
        ErrorKind::UnknownArgument => tr!(lang, "unknown option: {argument}", "不明なオプションです: {argument}"),
        kind => {
            let _ = error.print();
            let asked = matches!(kind, ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if asked { ExitCode::SUCCESS } else { ExitCode::from(2) };
        }
    };
    // What has been typed: a script that starts us gives us its own name.
    let typed =
        std::env::args().next().filter(|name| !name.ends_with("/xtask")).unwrap_or_else(|| "cargo xtask".into());
    eprintln!("{}", Problem { lang, cause, next: format!("{typed} --help") });
    ExitCode::from(2)
}
