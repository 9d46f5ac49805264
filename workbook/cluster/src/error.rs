//! An error as the reader meets it: first the cause, then the next command to type.

use crate::messages::{Lang, Message};

/// The cause, what the server's log says about it (if it says anything), and what to do next.
#[derive(Debug)]
pub struct Error {
    cause: Box<Message>,
    log: Vec<String>,
    next: Box<Message>,
}

/// What every function of this crate that can fail returns.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with its cause and the next step.
    pub fn new(cause: Message, next: Message) -> Self {
        Error { cause: Box::new(cause), log: Vec::new(), next: Box::new(next) }
    }

    /// The same error, with lines of the server's log below it.
    pub fn with_log(mut self, lines: Vec<String>) -> Self {
        self.log = lines;
        self
    }

    /// The cause alone.
    pub fn cause(&self) -> &Message {
        &self.cause
    }

    /// The text for the terminal.
    pub fn show(&self, lang: Lang) -> String {
        let mut text = String::new();
        if !self.log.is_empty() {
            text += &format!("{}\n", Message::LastLogLines.text(lang));
            self.log.iter().for_each(|line| text += &format!("    {line}\n"));
        }
        text += &format!("{}\n", Message::Error(self.cause.clone()).text(lang));
        text += &format!("{}\n", Message::Next(self.next.clone()).text(lang));
        text
    }
}
