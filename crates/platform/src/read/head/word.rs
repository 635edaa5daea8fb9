//! A word of a head, and what stands around it.

use super::beginning;
use super::scan::MAX_BYTES;
use super::sets::{Forms, Marks, Places, form, mark, place};
use crate::read::begins;
use crate::read::severity::{LevelWordSet, Severity};
use crate::read::steps;
use crate::read::time::stated_time;

/// A word with its neighbours.
#[derive(Clone, Copy)]
pub(super) struct HeadWord<'a> {
    /// Without colons and dashes after it.
    pub(super) text: &'a str,
    /// The marks before the word.
    pub(super) before: Marks,
    /// The text after the word and its colons.
    pub(super) rest: &'a str,
    /// The marks after the word.
    pub(super) after: Marks,
}

impl<'a> HeadWord<'a> {
    /// The word at the beginning of a text. `before` are the marks before it.
    pub(super) fn first_of(text: &'a str, before: Marks) -> Self {
        let all = text.as_bytes();
        let bytes = all.get(..MAX_BYTES).unwrap_or(all);
        let may_be_end = |byte: u8| {
            matches!(
                byte,
                b' ' | b'\t' | b'|' | b'\n' | b'\r' | b',' | b';' | b':' | b'[' | b'-' | b'>'
            )
        };
        let is_end = |at: usize| match bytes.get(at..).unwrap_or_default() {
            // `app:ERROR:declined`, `ERROR:42 left`, but `shop::Orders`, `10.0.0.1:8080` and `https://`
            [b':', next, ..] => {
                matches!(next, b' ' | b'\t' | b'\r' | b'\n' | b'_' | b'[' | b'A'..=b'Z' | b'a'..=b'z')
                    && !bytes.get(..at).is_some_and(|before| before.ends_with(b":"))
                    || next.is_ascii_digit() && text.get(..at).is_some_and(Severity::is_level)
            }
            // `ERRO[0000]`, but `worker[8]` and `T[main]`; `-ERROR-`, but `X-Ray`; `ERROR>` of Log4perl
            [b'[' | b'>', ..] if at > 1 && is_constant(bytes, at) => true,
            // `shop[WARN] low`
            [b'[', in_brackets @ ..] => at > 0 && begins_with_level(in_brackets),
            [b'>', ..] => false,
            [b'-', ..] => before.intersects(mark::DASH) && is_constant(bytes, at),
            _ => true,
        };
        let end = (0..bytes.len())
            .find(|at| bytes.get(*at).copied().is_some_and(may_be_end) && is_end(*at))
            .unwrap_or_else(|| text.floor_char_boundary(MAX_BYTES));
        steps::count(end);
        let (word, rest) = text.split_at_checked(end).unwrap_or((text, ""));
        let following = rest.trim_start_matches(':');
        let mut after = marks(following);
        if following.len() < rest.len() || word.ends_with(':') {
            let is_apart = after.intersects(mark::BLANK | mark::TAB | mark::END);
            after |= if is_apart { mark::COLON } else { mark::JOINED };
        }
        let name = word.trim_end_matches([':', '-']);
        let has_dash = name.len() < word.len() || following.starts_with('-');
        if before.intersects(mark::DASH) && has_dash {
            after |= mark::DASH;
        }
        Self { text: name, before, rest: following, after }
    }

    pub(super) fn is_preceded_by(&self, marks: Marks) -> bool {
        self.before.intersects(marks)
    }

    pub(super) fn is_followed_by(&self, marks: Marks) -> bool {
        self.after.intersects(marks)
    }

    /// The number of bytes of the word and its colons in the text that begins with it.
    pub(super) fn bytes(&self, text: &str) -> usize {
        text.len() - self.rest.len()
    }

    /// The part of the word that may be a level: `ERROR/app: …`, `host/ERROR/shop: …` of locust, and the end of a name, `app.ERROR: …` of Monolog,
    /// after other fields in any case.
    pub(super) fn level_part(&self, place: Places) -> &'a str {
        if !self.is_followed_by(mark::COLON) {
            return self.text;
        }
        let is_level = |part: &&str| Severity::of_text(part, LevelWordSet::UpperUsual).is_some();
        let between_slashes =
            || self.text.contains('/').then(|| self.text.split('/').find(is_level)).flatten();
        let is_after_field = place.intersects(place::CLOCKED | place::GROUPED | place::BARE);
        let after_point = || {
            self.text
                .rsplit_once('.')
                .map(|(_, part)| part)
                .filter(|part| is_after_field || is_level(part))
        };
        between_slashes().or_else(after_point).unwrap_or(self.text)
    }

    /// The marks that need a look at the next words.
    pub(super) fn marks_further_on(&self, place: Places, form: Forms) -> Marks {
        let next = beginning(self.rest).trim_start_matches([' ', ',', '[', '@']);
        let may_have_time =
            form == form::LETTER || place.intersects(place::FIRST | place::NAMED | place::GROUPED);
        if may_have_time && stated_time(next).is_some_and(|time| time.has_clock) {
            return mark::TIME;
        }
        let is_before_file = || {
            let next_word = HeadWord::first_of(next, mark::BLANK);
            Forms::of(next_word.text).intersects(form::FILE)
        };
        if form == form::LETTER && is_before_file() {
            return mark::GROUP;
        }
        let is_label = || {
            let Some((name, rest)) = next.split_once(' ') else { return false };
            let is_logger = Forms::of(name).intersects(form::SIGNED);
            rest.starts_with(": ") || is_logger && rest.starts_with("- ")
        };
        // There an upper-case word is a level whatever follows.
        let is_certain = place.intersects(place::CLOCKED) && form == form::UPPER;
        let may_have_label = place.intersects(place::CLOCKED | place::NUMBERED) && !is_certain;
        let has_label = match form {
            form::LOWER if self.rest.starts_with(" [") => true,
            form::CAPITALISED if place == place::NAMED => begins_with_number(self.rest),
            _ => may_have_label && is_label(),
        };
        if has_label { mark::LABEL } else { Marks::NONE }
    }
}

/// ` 7 : `, the number of an event between a level and the message in .NET's trace listeners.
fn begins_with_number(text: &str) -> bool {
    let rest = text.trim_start().trim_start_matches(|c: char| c.is_ascii_digit());
    rest.starts_with(" : ") && !text.trim_start().starts_with(':')
}

/// Returns `true` if there are only capitals before this place.
fn is_constant(bytes: &[u8], at: usize) -> bool {
    bytes.get(..at).is_some_and(|text| text.iter().all(u8::is_ascii_uppercase))
}

/// The marks at the beginning of the text after a word.
fn marks(text: &str) -> Marks {
    const ARROWS: [&str; 5] = ["—", "–", "→", "->", "=>"];
    let blanks = text.bytes().take(MAX_BYTES).take_while(|byte| *byte == b' ').count();
    let next = text.get(blanks..).unwrap_or_default();
    let blank = match blanks {
        0 => Marks::NONE,
        1 => mark::BLANK,
        _ => mark::BLANK | mark::PADDED,
    };
    let is_before_blank =
        |bytes: usize| next.as_bytes().get(bytes).is_none_or(|byte| *byte == b' ');
    blank
        | match next.as_bytes() {
            [] | [b'\n' | b'\r', ..] => mark::END,
            [b'\t', ..] => mark::TAB,
            [b'|', ..] => mark::BAR,
            [b':', ..] if blanks > 0 && is_before_blank(1) => mark::COLON | mark::SPACED_COLON,
            [b',', ..] if blanks == 0 => mark::COMMA,
            [b';', ..] if blanks == 0 => mark::SEMICOLON,
            [b'[' | b'(', ..] => mark::GROUP,
            [b'A'..=b'Z', ..] if blanks > 0 => mark::CAPITAL,
            [b'>', b' ', ..] => mark::DASH,
            [b'-', ..] => {
                let dashes = next.bytes().take_while(|byte| *byte == b'-').count();
                if blanks > 0 && is_before_blank(dashes) || begins(next, &ARROWS) {
                    mark::DASH
                } else {
                    Marks::NONE
                }
            }
            [128..=255 | b'=', ..] if begins(next, &ARROWS) => mark::DASH,
            _ => Marks::NONE,
        }
}

/// `WARN] …`
fn begins_with_level(bytes: &[u8]) -> bool {
    let end = bytes.iter().position(|byte| *byte == b']').unwrap_or_default();
    let word = bytes.get(..end).and_then(|word| str::from_utf8(word).ok());
    word.is_some_and(|word| Severity::of_text(word, LevelWordSet::UpperUsual).is_some())
}
