//! The texts of the TOML files as Markdown.

use cluster::Lang;
use course::bilingual::Bilingual;
use regex::Regex;
use std::collections::HashSet;
use std::sync::LazyLock;

/// What makes a word code in running text: a name with an underscore or a path in it, a call, an attribute, a file.
static CODE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"[A-Za-z0-9]_|_[A-Za-z]|\w::\w|\w!?\(|#\[|^[A-Za-z]\w*\.[a-z]+$").expect("a valid expression")
});

/// Hiragana, katakana, kanji, and wide signs.
pub fn is_wide(c: char) -> bool {
    matches!(c, '\u{3000}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ff00}'..='\u{ffef}')
}

/// The text on one line; between two Japanese characters a line break is no blank.
pub fn one_line(text: &str) -> String {
    let mut result = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let (Some(last), Some(first)) = (result.chars().last(), line.chars().next())
            && !(is_wide(last) && is_wide(first) || "。、」）".contains(last))
        {
            result.push(' ');
        }
        result += line;
    }
    result
}

/// The text as Markdown. A word is code if it is that in both languages.
pub fn markdown(text: &Bilingual, lang: Lang) -> String {
    let (en, ja) = (one_line(&text.en), one_line(&text.ja));
    if en == ja {
        return format!("`` {en} ``");
    }
    let (ours, other) = if lang == Lang::En { (en, ja) } else { (ja, en) };
    let others: HashSet<String> = code_words(&other).into_iter().map(|(_, word)| word).collect();
    let (mut result, mut rest) = (String::new(), 0);
    let chars: Vec<char> = ours.chars().collect();
    let part = |from: usize, to: usize| chars[from..to].iter().collect::<String>();
    for (at, word) in code_words(&ours) {
        if others.contains(&word) {
            result += &format!("{}`{word}`", escape(&part(rest, at)));
            rest = at + word.chars().count();
        }
    }
    result + &escape(&part(rest, chars.len()))
}

/// The words of running text that are code, and where they begin. A word goes on over blanks inside of brackets.
fn code_words(text: &str) -> Vec<(usize, String)> {
    let chars: Vec<char> = text.chars().collect();
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut words, mut place) = (Vec::new(), 0);
    let begins = |i: usize| {
        let before = i.checked_sub(1).map(|i| chars[i]);
        (chars[i].is_ascii_alphabetic() || "_.#".contains(chars[i]))
            && !before.is_some_and(|c| part_of_word(c) || c == '.')
    };
    while let Some(start) = (place..chars.len()).find(|&i| begins(i)) {
        let (mut end, mut depth) = (start, 0);
        while end < chars.len() {
            let c = chars[end];
            let ends = " ,;)]}\"'".contains(c) || is_wide(c);
            if depth == 0 && ends && !(c == ' ' && chars.get(end + 1) == Some(&'{')) {
                break;
            }
            depth += i32::from("([{".contains(c)) - i32::from(")]}".contains(c));
            end += 1;
        }
        let word: String = chars[start..end].iter().collect();
        let mut word = word.trim_end_matches(['.', ':']);
        if word.ends_with('?') && !word.ends_with(")?") && word.len() > 1 {
            word = &word[..word.len() - 1];
        }
        if depth == 0 && CODE.is_match(word) {
            place = start + word.chars().count();
            words.push((start, word.to_owned()));
            continue;
        }
        let plain: String = chars[start..].iter().take_while(|&&c| part_of_word(c) || ".#".contains(c)).collect();
        place = start + plain.chars().count();
        let word = plain.trim_end_matches('.');
        if CODE.is_match(word) {
            words.push((start, word.to_owned()));
        }
    }
    words
}

/// Plain text in Markdown.
pub fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut result, c| {
        if "\\`*_<>[]#".contains(c) {
            result.push('\\');
        }
        result.push(c);
        result
    })
}
