//! What can go wrong in a learner's command, and its exit code.

use cluster::{Failure, Lang, tr};
use std::fmt::{self, Display};
use std::path::Path;
use std::process::ExitCode;

/// The result of a learner's command.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a command has not done what was asked.
#[derive(Debug)]
pub enum Error {
    /// The learner's worker is not right yet, and they have been told so.
    Red,
    /// The command cannot do that: the cause, and what to type next.
    Cannot(String, String),
    /// The doctor has found something, and has said so.
    Faults,
    /// Something is wrong with the machine, not with what the learner has written.
    Machine(Failure),
    /// The step's server is not there, or not its worker.
    Run(Box<cluster::error::Error>),
}

impl Error {
    /// 1: not right yet, 2: cannot be done like that, 3: the machine. (0: all is well.)
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    /// The same as a number.
    pub fn code(&self) -> u8 {
        match self {
            Self::Red | Self::Run(_) => 1,
            Self::Cannot(..) => 2,
            Self::Machine(_) | Self::Faults => 3,
        }
    }

    /// The text for the terminal.
    pub fn show(&self, lang: Lang) -> String {
        match self {
            Self::Red | Self::Faults => String::new(),
            Self::Run(error) => error.show(lang),
            Self::Cannot(cause, next) => {
                tr!(lang, "error: {cause}\n  next: {next}\n", "エラー: {cause}\n  次の操作: {next}\n")
            }
            Self::Machine(failure) => {
                let cause = failure.text(lang);
                let next = "cargo workbook doctor";
                tr!(
                    lang,
                    "error: {cause}\n  This is the machine's fault, not that of your code.\n  next: {next}\n",
                    "エラー: {cause}\n  原因はコードではなく、このマシンの環境にあります。\n  次の操作: {next}\n"
                )
            }
        }
    }
}

/// In English, for tests.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.show(Lang::En))
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Machine(failure)
    }
}

/// A file, a folder or a program that fails.
pub fn machine(what: impl AsRef<Path>, error: impl Display) -> Error {
    Error::Machine(format!("{}: {error}", what.as_ref().display()).into())
}
