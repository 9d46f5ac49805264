//! What the checks have to say: a sentence in both languages at once. Which one is shown is decided by whoever shows it; a hint and
//! a test find the English words, whatever the learner reads.

use crate::messages::Lang;
use std::fmt;
use std::time::Duration;

/// A sentence in both languages, with the variables in scope: `tell!("English {x}", "Japanese {x}")`. It does not compile if one of
/// the texts lacks a value that the other has, or if the second has no Japanese in it.
#[macro_export]
macro_rules! tell {
    ($en:literal, $ja:literal $(, $more:expr)* $(,)?) => {{
        const _: () =
            assert!($crate::text::fit($en, $ja), "a value is missing in one of the texts, or the second is not Japanese");
        $crate::text::Text { en: format!($en $(, $more)*), ja: format!($ja $(, $more)*) }
    }};
}

/// Have these texts equally many values, and is the second Japanese?
pub const fn fit(en: &str, ja: &str) -> bool {
    const fn values(text: &[u8]) -> usize {
        let (mut count, mut place) = (0, 0);
        while place < text.len() {
            count += (text[place] == b'{') as usize;
            place += 1;
        }
        count
    }
    values(en.as_bytes()) == values(ja.as_bytes()) && !ja.is_ascii()
}

/// A sentence in both languages. Without a language it is shown in English.
#[derive(Clone, Debug)]
pub struct Text {
    /// English
    pub en: String,
    /// Japanese
    pub ja: String,
}

impl Text {
    /// The sentence in this language.
    pub fn get(&self, lang: Lang) -> &str {
        match lang {
            Lang::En => &self.en,
            Lang::Ja => &self.ja,
        }
    }

    /// What has not happened, with the time that it had.
    pub fn within(&self, limit: Duration) -> Self {
        let seconds = limit.as_secs_f64();
        Self {
            en: format!("{} within {seconds:.1} s", self.en),
            ja: format!("{seconds:.1} 秒待ちましたが、{}", self.ja),
        }
    }
}

/// What nobody translates: the words of PostgreSQL, of the system, or of a test of ours.
impl<T: AsRef<str>> From<T> for Text {
    fn from(text: T) -> Self {
        Self { en: text.as_ref().to_owned(), ja: text.as_ref().to_owned() }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.en)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_languages_have_the_values() {
        assert!(fit("after {took:.1} s", "{took:.1} 秒後"));
        assert!(!fit("after {took:.1} s", "後"));
        assert!(!fit("after {took:.1} s", "after {took:.1} s"));
    }

    #[test]
    fn a_time_is_told_in_seconds() {
        let told = tell!("no moon", "月が現れませんでした。").within(Duration::from_micros(863_500));
        assert_eq!(told.en, "no moon within 0.9 s");
        assert_eq!(told.ja, "0.9 秒待ちましたが、月が現れませんでした。");
    }
}
