//! Signs that a word is no level: the text goes on as a sentence, a value or an operand.

use super::beginning;
use super::sets::{Places, mark, place};
use super::word::HeadWord;
use crate::read::begins;
use crate::read::severity::{LevelWordSet, Severity};
use crate::read::steps;

/// A sign that a word is no level, although it stands in a level's place.
#[derive(Clone, Copy)]
pub(super) enum Doubt {
    Nothing,
    /// The text after the colon is the value of something with this name: `error: none`.
    Value,
    /// The word is an operand, one of several levels, or the subject of a sentence.
    Operand,
    /// A sentence goes on after the word.
    Sentence,
    /// The word does not have the width of rich's column.
    Width,
}

impl Doubt {
    pub(super) fn is_raised(self, word: &HeadWord<'_>, place: Places) -> bool {
        match self {
            Self::Nothing => false,
            Self::Value => place != place::TIMED && is_value(word.rest),
            Self::Operand => !word.is_followed_by(mark::COLON) && !begins_message(word, place),
            Self::Sentence => is_english(after_separators(beginning(word.rest))),
            Self::Width => !has_width_of_rich(word),
        }
    }
}

fn is_value(text: &str) -> bool {
    const VALUES: [&str; 11] =
        ["true", "false", "null", "nil", "none", "undefined", "yes", "no", "on", "off", "nan"];
    let first = beginning(text).split_ascii_whitespace().next().unwrap_or_default();
    steps::count(first.len());
    let word = first.trim_end_matches([',', ';', '%', '.']);
    let is_only_word = text.trim().len() <= word.len() + 1;
    word.parse::<f64>().is_ok()
        || is_only_word && VALUES.iter().any(|value| value.eq_ignore_ascii_case(word))
}

/// Returns `true` unless the text after a level without a colon shows that it is an operand, one of several levels, or the subject
/// of a sentence.
fn begins_message(word: &HeadWord<'_>, place: Places) -> bool {
    let text = beginning(word.rest);
    let is_separated = word.is_followed_by(mark::FIELD.without(mark::TAB));
    let next = if is_separated { after_separators(text) } else { text.trim_start_matches(' ') };
    let second = next.split([' ', '\t', '|', ',']).next().unwrap_or_default();
    steps::count(second.len());
    let is_level = |evidence| Severity::of_text(second, evidence).is_some();
    if is_separated {
        let is_sentence = place == place::FIRST && is_english(second);
        let is_number = second.parse::<f64>().is_ok();
        return !(second.is_empty() || is_level(LevelWordSet::Usual) || is_sentence || is_number);
    }
    // `TRACE /path` and `TRACE http://…` are requests.
    let is_operator = begins(next, &["=", ":=", "!", "->", "/", "http", "|"]);
    !(is_operator || is_level(LevelWordSet::UpperUsual))
}

fn after_separators(text: &str) -> &str {
    text.trim_start_matches([' ', '|', '-', ',', ';', '>', '→', '—'])
}

fn has_width_of_rich(word: &HeadWord<'_>) -> bool {
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
