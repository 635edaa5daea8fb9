//! Where loggers write levels: a word, what stands around it, and what that says.

use super::{MAX_BYTES, beginning};
use crate::read::begins;
use crate::read::severity::Evidence;
use crate::read::time::stated_time;

/// What stands before a word, as bits.
pub(super) mod place {
    /// Nothing.
    pub(in crate::read::head) const FIRST: u8 = 1;
    /// Only blanks, as many as another line's time has.
    pub(in crate::read::head) const INDENTED: u8 = 2;
    /// A time, and perhaps other fields.
    pub(in crate::read::head) const TIMED: u8 = 4;
    /// A name in brackets.
    pub(in crate::read::head) const GROUPED: u8 = 8;
    /// Only a name.
    pub(in crate::read::head) const NAMED: u8 = 16;
    /// Only a number.
    pub(in crate::read::head) const NUMBERED: u8 = 32;
    /// A time, and behind it a word without any mark of a name.
    pub(in crate::read::head) const BARE: u8 = 64;
}

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
    /// Dashes or an arrow.
    pub(in crate::read::head) const DASH: u16 = 64;
    pub(in crate::read::head) const COMMA: u16 = 128;
    pub(in crate::read::head) const SEMICOLON: u16 = 256;
    /// A bracket follows.
    pub(in crate::read::head) const GROUP: u16 = 512;
    pub(in crate::read::head) const END: u16 = 1024;
    /// A time follows.
    pub(in crate::read::head) const TIME: u16 = 2048;
    /// A name and a colon between blanks follow.
    pub(in crate::read::head) const LABEL: u16 = 4096;

    pub(in crate::read::head) const ANY: u16 = u16::MAX;
    /// Marks that nobody writes between the words of a sentence.
    pub(in crate::read::head) const FIELD: u16 = TAB | BAR | DASH | COMMA | SEMICOLON;
}

/// How a word is written, as bits.
pub(super) mod form {
    pub(in crate::read::head) const UPPER: u8 = 1;
    pub(in crate::read::head) const LOWER: u8 = 2;
    pub(in crate::read::head) const CAPITALISED: u8 = 4;
    pub(in crate::read::head) const ANY: u8 = 7;
}

/// A kind of place where loggers write levels. All bits of a column are alternatives.
pub(super) struct Row {
    pub(super) place: u8,
    pub(super) before: u16,
    pub(super) form: u8,
    pub(super) after: u16,
    /// Which words are levels there.
    pub(super) words: Evidence,
}

const fn row(place: u8, before: u16, form: u8, after: u16, words: Evidence) -> Row {
    Row { place, before, form, after, words }
}

/// The first row that fits and knows the word decides.
#[rustfmt::skip]
pub(super) static EVIDENCE: [Row; 16] = {
    use form::{LOWER, UPPER};
    use mark::{BAR, BLANK, COLON, COMMA, DASH, END, FIELD, GROUP, LABEL, PADDED, SEMICOLON, SPACED_COLON, TAB, TIME};
    use place::{BARE, FIRST, GROUPED, INDENTED, NAMED, NUMBERED, TIMED};
    [
        // `ERROR [main] shop`, `ERROR declined`, `FATA declined`
        row(FIRST, mark::ANY, UPPER, GROUP, Evidence::AfterTime),
        row(FIRST, mark::ANY, UPPER, BLANK | PADDED | TAB | END, Evidence::AtStart),
        // `error: declined`
        row(FIRST | INDENTED, mark::ANY, form::ANY, COLON, Evidence::AtStartWithColon),
        // `ERROR | declined`, `error - declined`, `WARN, low`
        row(FIRST, mark::ANY, UPPER | LOWER, BAR | DASH | COMMA | SEMICOLON, Evidence::Separated),
        // `           WARNING  low` of rich
        row(INDENTED, mark::ANY, UPPER, BLANK | PADDED, Evidence::AtStart),
        // `shop - ERROR - declined`, `shop : ERROR  declined`, `shop: error: declined`, `shop  ERROR  2026-09-21 …`
        row(NAMED, DASH | BAR, UPPER, DASH | BAR, Evidence::AfterTime),
        row(NAMED, SPACED_COLON, UPPER, !END, Evidence::AfterTime),
        row(NAMED, COLON, UPPER | LOWER, COLON, Evidence::Separated),
        row(NAMED, mark::ANY, UPPER, TIME, Evidence::AfterTime),
        // `167 INFO: declined`
        row(NUMBERED, mark::ANY, UPPER, COLON | PADDED, Evidence::AtStart),
        // `14:13:20 error: declined`, `14:13:20 | error | declined`, `14:13:20 error --- declined`, `14:13:20 error shop : declined`
        row(TIMED | GROUPED, mark::ANY, form::ANY, COLON, Evidence::Marked),
        row(TIMED | GROUPED, FIELD, form::ANY, FIELD, Evidence::Marked),
        row(TIMED, mark::ANY, LOWER, DASH | LABEL, Evidence::Separated),
        // `14:13:20 ERROR declined`, `[main] ERROR declined`
        row(TIMED | GROUPED, mark::ANY, UPPER, mark::ANY, Evidence::AfterTime),
        // `14:13:20 worker ERROR declined`, `14:13:20 worker | error | declined`
        row(BARE, mark::ANY, UPPER, !END, Evidence::AtStart),
        row(BARE, FIELD, form::ANY, FIELD, Evidence::Marked),
    ]
};

/// A word with its neighbours.
#[derive(Clone, Copy)]
pub(super) struct Word<'a> {
    /// Without colons and dashes behind it.
    pub(super) text: &'a str,
    pub(super) before: u16,
    /// The text behind the word and its colons.
    pub(super) rest: &'a str,
    pub(super) after: u16,
}

impl Word<'_> {
    pub(super) fn form(&self) -> u8 {
        let has_lower = self.text.bytes().any(|byte| byte.is_ascii_lowercase());
        let has_upper = self.text.bytes().any(|byte| byte.is_ascii_uppercase());
        match (has_upper, has_lower) {
            (_, false) => form::UPPER,
            (false, true) => form::LOWER,
            (true, true) => form::CAPITALISED,
        }
    }

    pub(super) fn is_followed_by(&self, marks: u16) -> bool {
        self.after & marks != 0
    }

    /// The number of bytes up to the rest.
    pub(super) fn bytes(&self, whole: &str) -> usize {
        whole.len() - self.rest.len()
    }
}

/// The marks at the beginning of the text behind a word.
pub(super) fn marks(text: &str) -> u16 {
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
            [b':', ..] if blanks == 0 => mark::COLON,
            [b',', ..] if blanks == 0 => mark::COMMA,
            [b';', ..] if blanks == 0 => mark::SEMICOLON,
            [b'[' | b'(', ..] => mark::GROUP,
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

/// The marks of [`EVIDENCE`] that only few places need.
pub(super) fn marks_far_behind(word: Word<'_>, place: u8) -> u16 {
    let next = beginning(word.rest).trim_start();
    let is_upper = word.form() == form::UPPER;
    if place == place::NAMED && is_upper && stated_time(next).is_some() {
        return mark::TIME;
    }
    let is_label = || next.split_once(' ').is_some_and(|(_, rest)| rest.starts_with(": "));
    if place == place::TIMED && !is_upper && is_label() { mark::LABEL } else { 0 }
}
