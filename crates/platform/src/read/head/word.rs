//! A word of a head, and what stands around it.

use super::evidence::place;
use super::{MAX_BYTES, beginning};
use crate::read::begins;
use crate::read::steps;
use crate::read::time::stated_time;

/// What separates a word from its neighbours, as bits.
pub(super) mod mark {
    pub(in crate::read::head) const BLANK: u16 = 1;
    /// Several blanks.
    pub(in crate::read::head) const PADDED: u16 = 2;
    pub(in crate::read::head) const TAB: u16 = 4;
    pub(in crate::read::head) const BAR: u16 = 8;
    pub(in crate::read::head) const COLON: u16 = 16;
    /// A colon between blanks.
    pub(in crate::read::head) const SPACED_COLON: u16 = 32;
    /// A colon without a blank.
    pub(in crate::read::head) const JOINED: u16 = 64;
    /// Dashes or an arrow.
    pub(in crate::read::head) const DASH: u16 = 128;
    pub(in crate::read::head) const COMMA: u16 = 256;
    pub(in crate::read::head) const SEMICOLON: u16 = 512;
    /// A bracket follows.
    pub(in crate::read::head) const GROUP: u16 = 1024;
    pub(in crate::read::head) const END: u16 = 2048;
    /// A time follows, perhaps in brackets.
    pub(in crate::read::head) const TIME: u16 = 4096;
    /// A name follows, and a colon or, after a logger's name, a dash between blanks.
    pub(in crate::read::head) const LABEL: u16 = 8192;
    /// A word with a capital follows.
    pub(in crate::read::head) const CAPITAL: u16 = 16384;
    /// A symbol such as a cross.
    pub(in crate::read::head) const SYMBOL: u16 = 32768;

    pub(in crate::read::head) const ANY: u16 = u16::MAX;
    /// Nothing but blanks, or the colon after a name.
    pub(in crate::read::head) const PLAIN: u16 = BLANK | PADDED | COLON;
    /// Marks that nobody writes between the words of a sentence.
    pub(in crate::read::head) const FIELD: u16 = TAB | BAR | DASH | COMMA | SEMICOLON;
}

/// How a word is written, as bits.
pub(super) mod form {
    pub(in crate::read::head) const UPPER: u8 = 1;
    pub(in crate::read::head) const LOWER: u8 = 2;
    pub(in crate::read::head) const CAPITALISED: u8 = 4;
    /// A level's letter, alone or before a date: `E`, `E0921` of klog, `E20260921` of glog.
    pub(in crate::read::head) const LETTER: u8 = 8;
    /// A name with a sign that other words have not, such as a point.
    pub(in crate::read::head) const SIGNED: u8 = 16;
    /// A file and the number of its line: `orders.py:12`.
    pub(in crate::read::head) const FILE: u8 = 32;

    pub(in crate::read::head) const WORD: u8 = UPPER | LOWER | CAPITALISED;
    pub(in crate::read::head) const ANY: u8 = u8::MAX;

    pub(in crate::read::head) fn is_letter(text: &str) -> bool {
        matches!(text.len(), 1 | 5 | 9)
            && text.as_bytes().split_first().is_some_and(|(letter, date)| {
                letter.is_ascii_uppercase() && date.iter().all(u8::is_ascii_digit)
            })
    }

    pub(in crate::read::head) fn of(text: &str) -> u8 {
        let bytes = text.as_bytes();
        if is_letter(text) {
            return LETTER;
        }
        let is_sign = |byte: &u8| matches!(byte, b'.' | b'_' | b'[' | b'@' | b'=');
        if bytes.iter().any(is_sign) || bytes.windows(2).any(|pair| pair == b"::") {
            let file = text.trim_end_matches(|c: char| c.is_ascii_digit());
            let is_file = file.len() < text.len() && file.ends_with(':') && file.contains('.');
            return if is_file { FILE | SIGNED } else { SIGNED };
        }
        let has_lower = bytes.iter().any(u8::is_ascii_lowercase);
        let has_upper = bytes.iter().any(u8::is_ascii_uppercase);
        match (has_upper, has_lower) {
            (_, false) => UPPER,
            (false, true) => LOWER,
            (true, true) => CAPITALISED,
        }
    }
}

/// A word with its neighbours.
#[derive(Clone, Copy)]
pub(super) struct HeadWord<'a> {
    /// Without colons and dashes after it.
    pub(super) text: &'a str,
    pub(super) before: u16,
    /// The text after the word and its colons.
    pub(super) rest: &'a str,
    pub(super) after: u16,
}

impl<'a> HeadWord<'a> {
    /// The word at the beginning of a text. `before` are the marks before it.
    pub(super) fn first_of(text: &'a str, before: u16) -> Self {
        let all = text.as_bytes();
        let bytes = all.get(..MAX_BYTES).unwrap_or(all);
        let may_be_end = |byte: u8| {
            matches!(byte, b' ' | b'\t' | b'|' | b'\n' | b'\r' | b',' | b';' | b':' | b'[' | b'-')
        };
        let is_end = |at: usize| match bytes.get(at..).unwrap_or_default() {
            // `app:ERROR:`, but `shop::Orders`, `10.0.0.1:8080` and `https://`
            [b':', next, ..] => {
                matches!(next, b' ' | b'\t' | b'\r' | b'\n' | b'_' | b'[' | b'A'..=b'Z' | b'a'..=b'z')
                    && !bytes.get(..at).is_some_and(|before| before.ends_with(b":"))
            }
            // `ERRO[0000]`, but `worker[8]` and `T[main]`; `-ERROR-`, but `X-Ray`
            [b'[', ..] => at > 1 && is_constant(bytes, at),
            [b'-', ..] => before & mark::DASH != 0 && is_constant(bytes, at),
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
            let is_joined = after & (mark::BLANK | mark::TAB | mark::END) == 0;
            after |= if is_joined { mark::JOINED } else { mark::COLON };
        }
        let text = word.trim_end_matches([':', '-']);
        if before & mark::DASH != 0 && (text.len() < word.len() || following.starts_with('-')) {
            after |= mark::DASH;
        }
        Self { text, before, rest: following, after }
    }

    pub(super) fn is_followed_by(&self, marks: u16) -> bool {
        self.after & marks != 0
    }

    /// The number of bytes up to the rest.
    pub(super) fn bytes(&self, whole: &str) -> usize {
        whole.len() - self.rest.len()
    }

    /// What may be a level: after other fields also a part of a name, `app.ERROR: …` of Monolog, `host/ERROR/shop: …` of locust.
    pub(super) fn level_part(&self, place: u8) -> &'a str {
        let is_behind = place & (place::CLOCKED | place::GROUPED | place::BARE) != 0;
        if !is_behind || !self.is_followed_by(mark::COLON) {
            return self.text;
        }
        let between_slashes = || self.text.split_once('/')?.1.split_once('/').map(|(part, _)| part);
        let after_point = || self.text.rsplit_once('.').map(|(_, part)| part);
        between_slashes().or_else(after_point).unwrap_or(self.text)
    }

    /// The marks that need a look at the next words.
    pub(super) fn marks_further_on(&self, place: u8, form: u8) -> u16 {
        let next = beginning(self.rest).trim_start_matches([' ', ',', '[', '@']);
        let may_have_time =
            form == form::LETTER || place & (place::FIRST | place::NAMED | place::GROUPED) != 0;
        if may_have_time && stated_time(next).is_some_and(|time| time.has_clock) {
            return mark::TIME;
        }
        let is_before_file =
            || form::of(HeadWord::first_of(next, mark::BLANK).text) & form::FILE != 0;
        if form == form::LETTER && is_before_file() {
            return mark::GROUP;
        }
        let is_label = || {
            let Some((name, rest)) = next.split_once(' ') else { return false };
            let is_logger = form::of(name) & form::SIGNED != 0;
            rest.starts_with(": ") || is_logger && rest.starts_with("- ")
        };
        let is_clear = place & place::CLOCKED != 0 && form == form::UPPER;
        let may_have_label = place & (place::CLOCKED | place::NUMBERED) != 0 && !is_clear;
        if may_have_label && is_label() { mark::LABEL } else { 0 }
    }
}

/// Returns `true` if there are only capitals before this place.
fn is_constant(bytes: &[u8], at: usize) -> bool {
    bytes.get(..at).is_some_and(|text| text.iter().all(u8::is_ascii_uppercase))
}

/// The marks at the beginning of the text after a word.
fn marks(text: &str) -> u16 {
    const ARROWS: [&str; 5] = ["—", "–", "→", "->", "=>"];
    let blanks = text.bytes().take(MAX_BYTES).take_while(|byte| *byte == b' ').count();
    let next = text.get(blanks..).unwrap_or_default();
    let blank = match blanks {
        0 => 0,
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
            [b'-', ..] => {
                let dashes = next.bytes().take_while(|byte| *byte == b'-').count();
                if blanks > 0 && is_before_blank(dashes) || begins(next, &ARROWS) {
                    mark::DASH
                } else {
                    0
                }
            }
            [128..=255 | b'=', ..] if begins(next, &ARROWS) => mark::DASH,
            _ => 0,
        }
}
