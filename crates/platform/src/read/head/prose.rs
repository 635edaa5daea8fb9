//! Signs that a word is no level: the text goes on as a sentence, a value or an operand.

use super::beginning;
use super::evidence::{Word, mark, place};
use crate::read::begins;
use crate::read::severity::{Evidence, Severity};
use crate::read::steps;

/// Returns `true` if the text after `error:` is the value of something with this name, such as `error: none`.
pub(super) fn is_value(text: &str) -> bool {
    const VALUES: [&str; 11] =
        ["true", "false", "null", "nil", "none", "undefined", "yes", "no", "on", "off", "nan"];
    let word = beginning(text).split_ascii_whitespace().next().unwrap_or_default();
    steps::count(word.len());
    let word = word.trim_end_matches([',', ';', '%', '.']);
    let is_only_word = text.trim().len() <= word.len() + 1;
    word.parse::<f64>().is_ok()
        || is_only_word && VALUES.iter().any(|value| value.eq_ignore_ascii_case(word))
}

/// Returns `true` unless the text after a level at the line's start shows that it is an operand, one of several levels, the
/// subject of a sentence, or HTTP's method `TRACE`.
pub(super) fn begins_message(word: Word<'_>, place: u8) -> bool {
    let text = beginning(word.rest);
    let is_separated = word.is_followed_by(mark::FIELD & !mark::TAB);
    let next = if is_separated { behind_separators(text) } else { text.trim_start_matches(' ') };
    let second = next.split([' ', '\t', '|', ',']).next().unwrap_or_default();
    steps::count(second.len());
    let is_operator = begins(next, &["=", ":=", "!", "->", "/", "http", "|"]);
    let is_level = |evidence| Severity::of_text(second, evidence).is_some();
    if is_separated {
        let is_sentence = place == place::FIRST && is_english(second);
        return !(second.is_empty()
            || is_level(Evidence::Separated)
            || is_sentence
            || second.parse::<f64>().is_ok());
    }
    !(is_operator || is_level(Evidence::AtStart))
}

/// Returns `true` if a sentence goes on behind the word and its separators.
pub(super) fn begins_sentence(word: Word<'_>) -> bool {
    is_english(behind_separators(beginning(word.rest)))
}

fn behind_separators(text: &str) -> &str {
    text.trim_start_matches([' ', '|', '-', ',', ';', '>', '→', '—'])
}

/// Returns `true` for a level that rich pads to the width of its column.
pub(super) fn is_of_rich(word: Word<'_>) -> bool {
    const COLUMN: usize = 9;
    let blanks = word.rest.bytes().take(COLUMN).take_while(|byte| *byte == b' ').count();
    word.text.len() + blanks == COLUMN
}

/// Returns `true` for PHP's message about its own code, which ends with the place.
pub(super) fn is_displayed_by_php(text: &str) -> bool {
    let line = text.lines().next().unwrap_or_default().trim_end();
    let number = line.trim_end_matches(|c: char| c.is_ascii_digit());
    number.len() < line.len() && number.ends_with(" on line ")
}

/// Returns `true` for a text whose first word is one of those that make a sentence of English, and that no thread, logger or host
/// has for a name.
pub(super) fn is_english(text: &str) -> bool {
    const WORDS: &str = "a about after all also an and any are as at be because been before but by can cannot could did \
        does done each every first for found from get got had has have her his how i if in into is it its \
        last may more most must my new no not of on one only or our out returned see should some than that \
        the their then there this to two was we were when which while will with without you";
    const LONGEST: usize = 8;
    let word = text.trim_start().split([' ', ',', '.']).next().unwrap_or_default();
    word.len() <= LONGEST && WORDS.split(' ').any(|known| known.eq_ignore_ascii_case(word))
}
