//! What has failed, on a server or in a check: a sentence in both languages, and the end of the server's log.

use crate::text::Text;
use crate::{Lang, tell};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// What has failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What it is.
    pub what: Text,
    /// The last lines of the server's log at that moment; empty if there are none.
    pub log: Vec<String>,
    /// The message of the server, if an SQL statement has failed: such an error knows no server, see [`Logs`].
    message: Option<String>,
}

/// The result of everything that works on a server.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// A failure with these lines of the log.
    pub fn new(what: impl Into<Text>, log: Vec<String>) -> Self {
        Self { what: what.into(), log, message: None }
    }

    /// All of it in this language.
    pub fn text(&self, lang: Lang) -> String {
        let what = self.what.get(lang);
        if self.log.is_empty() {
            return what.to_owned();
        }
        let heading = tell!("the server log ends with:", "サーバーログの最後の部分:");
        format!("{what}\n{}\n    {}", heading.get(lang), self.log.join("\n    "))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.text(Lang::En))
    }
}

impl std::error::Error for Failure {}

impl From<Text> for Failure {
    fn from(what: Text) -> Self {
        Self::new(what, Vec::new())
    }
}

impl From<postgres::Error> for Failure {
    fn from(error: postgres::Error) -> Self {
        let why = answer(&error);
        let message = error.as_db_error().map(|db| db.message().to_owned());
        let what = tell!("an SQL statement failed: {why}", "SQL 文がエラーになりました: {why}");
        Self { what, log: Vec::new(), message }
    }
}

/// What nobody translates.
macro_rules! from {
    ($($error:ty),+ $(,)?) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Text::from(error.to_string()).into()
            }
        })+
    };
}

from!(
    &str,
    String,
    std::ffi::IntoStringError,
    std::fmt::Error,
    std::io::Error,
    std::num::ParseIntError,
    std::path::StripPrefixError,
    std::str::Utf8Error,
    std::string::FromUtf8Error,
    std::time::SystemTimeError,
    rustix::io::Errno,
);

/// The ends of the logs of servers that are gone, the latest last. An error that an SQL statement has met gets the log of its server
/// from here, by the message: whoever has the error does not know which server it was.
#[derive(Clone, Debug, Default)]
pub struct Logs(Arc<Mutex<Vec<Vec<String>>>>);

impl Logs {
    /// Keeps the end of a log.
    pub fn keep(&self, end: Vec<String>) {
        let mut logs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logs.push(end);
        let old = logs.len().saturating_sub(2); // a check has at most two servers
        logs.drain(..old);
    }

    /// The failure with the log in which the server has written it.
    pub fn complete(&self, mut failure: Failure) -> Failure {
        if let Some(message) = &failure.message {
            let logs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let has = |log: &&Vec<String>| log.iter().any(|line| line.contains(message.as_str()));
            failure.log = logs.iter().rev().find(has).cloned().unwrap_or_default();
        }
        failure
    }
}

/// All that the server has answered: the reason, and what it has added.
pub fn answer(error: &postgres::Error) -> String {
    let mut text = reason(error);
    let db = error.as_db_error();
    for (name, more) in [("DETAIL", db.and_then(|db| db.detail())), ("HINT", db.and_then(|db| db.hint()))] {
        if let Some(more) = more {
            text += &format!("\n{name}:  {more}");
        }
    }
    text
}

/// What the server has answered, or why there was no answer.
pub fn reason(error: &postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} {}: {}", db.severity(), db.code().code(), db.message()),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_follows_what_has_failed() {
        let failure = Failure::new(tell!("no moon", "月がありません。"), vec!["LOG:  night".into()]);
        assert_eq!(failure.text(Lang::En), "no moon\nthe server log ends with:\n    LOG:  night");
        assert_eq!(failure.text(Lang::Ja), "月がありません。\nサーバーログの最後の部分:\n    LOG:  night");
    }
}
