//! The reader's language: a message exists in both, or it does not compile.

use std::sync::OnceLock;

/// A text in the reader's language: `tr!(lang, "English {x}", "Japanese {x}")`. Both are formatted with the variables in scope, so a
/// text without one of them does not compile.
#[macro_export]
macro_rules! tr {
    ($lang:expr, $en:literal, $ja:literal $(, $more:expr)* $(,)?) => {
        match $lang {
            $crate::Lang::En => format!($en $(, $more)*),
            $crate::Lang::Ja => format!($ja $(, $more)*),
        }
    };
}

/// The reader's language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lang {
    /// English
    En,
    /// Japanese
    Ja,
}

/// What [`Lang::choose`] has chosen.
static CHOSEN: OnceLock<Lang> = OnceLock::new();

impl Lang {
    /// Chooses the language of this process, once: the scripts that it calls speak it, too.
    pub fn choose(self) {
        let _ = CHOSEN.set(self); // the first one counts
    }

    /// What was chosen, else `WORKBOOK_LANG`, else the locale, as the scripts decide it.
    pub fn from_env() -> Self {
        if let Some(chosen) = CHOSEN.get() {
            return *chosen;
        }
        let value = ["WORKBOOK_LANG", "LC_ALL", "LC_MESSAGES", "LANG"]
            .iter()
            .filter_map(|name| std::env::var(name).ok())
            .find(|value| !value.is_empty());
        value.map_or(Lang::En, |value| Lang::named(&value))
    }

    /// The language of a name or a locale: `ja`, `ja_JP.UTF-8`.
    pub fn named(value: &str) -> Self {
        if value.starts_with("ja") { Lang::Ja } else { Lang::En }
    }

    /// Its name, as files and options have it.
    pub fn name(self) -> &'static str {
        match self {
            Lang::En => "en",
            Lang::Ja => "ja",
        }
    }
}
