//! Doubt: the signs that a word is no level although it stands in a level's place.

use super::beginning;
use super::sets::{Forms, form, mark};
use super::word::HeadWord;
use crate::read::begins;
use crate::read::severity::{LevelWordSet, Severity};
use crate::read::steps;

/// Returns `true` if this word of a doubtful place is no level: what follows makes it one of several levels, the name of a value, an
/// operand, or the subject of a sentence.
///
/// Loggers write most levels in capitals, and texts few: therefore capitals need stronger signs.
pub(super) fn is_doubted(word: &HeadWord<'_>, form: Forms) -> bool {
    let text = beginning(word.rest);
    let is_upper = form == form::UPPER;
    if word.is_followed_by(mark::COLON) {
        return is_value(text.trim_start_matches(' '));
    }
    let is_separated = word.is_followed_by(mark::FIELD.without(mark::TAB));
    let next = if is_separated { after_separators(text) } else { text.trim_start_matches(' ') };
    let second = next.split([' ', '\t', '|', ',', ';', ':', '/']).next().unwrap_or_default();
    steps::count(second.len());
    let is_operand = !is_separated && begins(next, &["=", ":=", "!", "/", "http", "|"]);
    let is_list = || {
        let after = next.get(second.len()..).unwrap_or_default();
        Severity::is_level(second) && (!is_upper && is_separated || goes_on_as_list(after))
    };
    let is_sentence = || !is_upper && is_english(second);
    is_operand || is_list() || is_sentence()
}

/// Returns `true` if the text after the second of several levels ends, or goes on to the next one.
fn goes_on_as_list(text: &str) -> bool {
    let next = text.trim_start_matches(' ');
    let word = next.split([' ', ',', '|']).next().unwrap_or_default();
    next.trim_end().is_empty()
        || next.starts_with(['|', ',', ';', '/'])
        || ["and", "or"].contains(&word)
        || Severity::of_text(word, LevelWordSet::UpperUsual).is_some()
}

/// Returns `true` for a text that is only a value, or a list of values with the names before them: `none`, `0`, `3, warn: 7`.
fn is_value(text: &str) -> bool {
    const VALUES: [&str; 11] =
        ["true", "false", "null", "nil", "none", "undefined", "yes", "no", "on", "off", "nan"];
    let first = text.split_ascii_whitespace().next().unwrap_or_default();
    steps::count(first.len());
    let word = first.trim_end_matches([',', ';', '%', '.']);
    let is_value =
        word.parse::<f64>().is_ok() || VALUES.iter().any(|value| value.eq_ignore_ascii_case(word));
    is_value && (first.ends_with([',', ';', '%']) || text.trim_end().len() == first.len())
}

fn after_separators(text: &str) -> &str {
    text.trim_start_matches([' ', '|', '-', ',', ';', '>', '→', '—'])
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
