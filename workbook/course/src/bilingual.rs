//! Texts that are data: both languages side by side in a TOML file.

use cluster::Lang;
use serde::Deserialize;

/// A text in both languages; a file in which one is missing cannot be read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bilingual {
    /// English
    pub en: String,
    /// Japanese
    pub ja: String,
}

impl Bilingual {
    /// The text in this language.
    pub fn get(&self, lang: Lang) -> &str {
        match lang {
            Lang::En => self.en.trim_end(),
            Lang::Ja => self.ja.trim_end(),
        }
    }
}

/// Puts values into a text: `{found}`.
pub fn fill(text: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}
