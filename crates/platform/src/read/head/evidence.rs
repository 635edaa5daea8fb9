//! The tables of the grammar: which words are levels, and which are names before a level, by their place, what stands around them,
//! and how they are written.

use super::prose::Doubt::{self, Nothing, Operand, Sentence, Value, Width};
use super::prose::is_displayed_by_php;
use super::word::{HeadWord, form, mark};
use crate::read::severity::{Evidence, Severity};

/// What stands before a word, as bits.
pub(super) mod place {
    /// Nothing.
    pub(in crate::read::head) const FIRST: u8 = 1;
    /// Only blanks, as many as another line's time has.
    pub(in crate::read::head) const INDENTED: u8 = 2;
    /// A time, and perhaps other fields.
    pub(in crate::read::head) const TIMED: u8 = 4;
    /// The time of Go's `log`, after which a text is like a line without a time.
    pub(in crate::read::head) const GO_TIMED: u8 = 128;
    /// A name in brackets.
    pub(in crate::read::head) const GROUPED: u8 = 8;
    /// Only a name.
    pub(in crate::read::head) const NAMED: u8 = 16;
    /// Only a number.
    pub(in crate::read::head) const NUMBERED: u8 = 32;
    /// A time, and after it a word without any mark of a name.
    pub(in crate::read::head) const BARE: u8 = 64;

    pub(in crate::read::head) const CLOCKED: u8 = TIMED | GO_TIMED;
}

/// A kind of place where loggers write a word, and what the word is there. All bits of a column are alternatives.
struct EvidenceRow<T> {
    place: u8,
    before: u16,
    form: u8,
    after: u16,
    is: T,
}

/// Which words are levels, and what would show that one is none in spite of its place.
struct LevelWords {
    words: Evidence,
    unless: Doubt,
}

/// A name before a level.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Marked,
    /// It might as well be a word of a sentence.
    Bare,
    /// As sure as brackets.
    File,
}

#[rustfmt::skip]
const fn level(place: u8, before: u16, form: u8, after: u16, words: Evidence, unless: Doubt) -> EvidenceRow<LevelWords> {
    EvidenceRow { place, before, form, after, is: LevelWords { words, unless } }
}

const fn name(place: u8, before: u16, form: u8, after: u16, is: Name) -> EvidenceRow<Name> {
    EvidenceRow { place, before, form, after, is }
}

use Evidence::{AfterTime, AtStart, AtStartWithColon, Marked, Separated};
use form::{FILE, LETTER, LOWER, SIGNED, UPPER, WORD};
use mark::{
    ANY, BAR, BLANK, CAPITAL, COLON, COMMA, DASH, END, FIELD, GROUP, JOINED, LABEL, PADDED, PLAIN,
    SEMICOLON, SPACED_COLON, SYMBOL, TAB, TIME,
};
use place::{BARE, CLOCKED, FIRST, GO_TIMED, GROUPED, INDENTED, NAMED, NUMBERED, TIMED};

/// The places of levels. The first row that fits and knows the word decides.
#[rustfmt::skip]
static LEVELS: [EvidenceRow<LevelWords>; 27] = [
    // `E 2026-09-21 …`, `E0921 14:13:20 …`, `E, [2026-09-21T14:13:20 #8] ERROR -- : …`
    level(FIRST | CLOCKED | GROUPED, ANY, LETTER, TIME, Marked, Nothing),
    // `14:13:20 E [8:main] …`, `14:13:20 E orders.go:12 …`, `14:13:20 | E | …`
    level(CLOCKED, ANY, LETTER, GROUP, Marked, Nothing),
    level(CLOCKED, FIELD, LETTER, FIELD, Marked, Nothing),
    // `Error  2026-09-21 …`, `shop ERROR: 2026-09-21 …`, `[shop] error @2026-09-21 …`
    level(FIRST | NAMED | GROUPED, ANY, WORD, TIME, Marked, Nothing),
    // `ERROR [main] shop`, `ERRO[0000] declined`, `ERROR declined`, `FATA declined`
    level(FIRST | GO_TIMED, PLAIN, UPPER, GROUP, AfterTime, Nothing),
    level(FIRST | GO_TIMED, PLAIN, UPPER, BLANK | PADDED | TAB | END, AtStart, Operand),
    // `error: declined`, `ERROR:root:declined`
    level(FIRST | GO_TIMED | INDENTED, PLAIN, WORD, COLON, AtStartWithColon, Value),
    level(FIRST | GO_TIMED | INDENTED, PLAIN, UPPER, JOINED, AfterTime, Nothing),
    // `ERROR | declined`, `error - declined`, `WARN, low`
    level(FIRST, ANY, UPPER | LOWER, BAR | DASH | COMMA | SEMICOLON, Separated, Operand),
    // `✖  error     declined`
    level(FIRST | TIMED | GROUPED, SYMBOL, WORD, PADDED, Separated, Sentence),
    // `           WARNING  low` of rich
    level(INDENTED, ANY, UPPER, BLANK | PADDED, AtStart, Width),
    // `shop - ERROR - declined`, `shop : ERROR  declined`, `shop: error: declined`, `app:ERROR:declined`
    level(NAMED, DASH | BAR, UPPER, DASH | BAR, AfterTime, Operand),
    level(NAMED, SPACED_COLON, UPPER, !END, AfterTime, Operand),
    level(NAMED, COLON, UPPER | LOWER, COLON, Separated, Value),
    level(NAMED, JOINED, UPPER, COLON | JOINED, AtStart, Value),
    // `167 INFO: declined`, `464 WARN shop.Orders - declined`, `20545  ERROR declined`
    level(NUMBERED, ANY, UPPER, COLON | PADDED, AtStart, Value),
    level(NUMBERED, ANY, UPPER, LABEL, AtStart, Nothing),
    level(NUMBERED, PADDED, UPPER, BLANK, AtStart, Operand),
    // `14:13:20 error: declined`, `14:13:20 app.ERROR: declined`
    level(TIMED | GROUPED, ANY, WORD, COLON | JOINED, Marked, Value),
    // `14:13:20 | error | declined`, `14:13:20 error --- declined`, `14:13:20 error shop : declined`
    level(CLOCKED | GROUPED, FIELD, !LOWER, FIELD, Marked, Nothing),
    level(CLOCKED | GROUPED, FIELD, LOWER, FIELD, Marked, Sentence),
    level(TIMED, ANY, LOWER, DASH | LABEL, Separated, Sentence),
    // `14:13:20 ERROR declined`, `[main] ERROR declined`
    level(TIMED | GROUPED, ANY, UPPER, ANY, AfterTime, Nothing),
    // `14:13:20 worker ERROR: declined`, `14:13:20 shop error: declined`, `14:13:20 worker ERROR declined`,
    // `14:13:20 worker | error | declined`
    level(BARE, ANY, UPPER, COLON | JOINED, AfterTime, Nothing),
    level(BARE, ANY, LOWER, COLON, Separated, Nothing),
    level(BARE, ANY, UPPER, !END, AtStart, Sentence),
    level(BARE, FIELD, WORD, FIELD, Marked, Sentence),
];

/// The places of names before a level. If none follows, they belong to the message.
#[rustfmt::skip]
static NAMES: [EvidenceRow<Name>; 9] = [
    // `orders.py:12 ERROR …`
    name(FIRST, ANY, FILE, BLANK, Name::File),
    // `shop - ERROR …`, `shop: error: …`, `shop  ERROR  …`, `shop ERROR 2026-09-21 …`
    name(FIRST, ANY, form::ANY, BAR | DASH | SPACED_COLON | COLON | JOINED | PADDED, Name::Marked),
    name(FIRST, ANY, SIGNED | LOWER, CAPITAL, Name::Marked),
    // `14:13:20 shop - ERROR …`, `14:13:20 shop.orders ERROR …`, `14:13:20,shop,ERROR,…`
    name(CLOCKED | GROUPED | BARE, ANY, form::ANY, TAB | BAR | DASH | SPACED_COLON, Name::Marked),
    name(CLOCKED | GROUPED | BARE, ANY, SIGNED, ANY, Name::Marked),
    name(CLOCKED | GROUPED | BARE, FIELD, form::ANY, COMMA | SEMICOLON, Name::Marked),
    // `2026/09/21 14:13:20 shop: error: …` of Go, `14:13:20 shop: error: …`, `14:13:20 worker ERROR …`
    name(GO_TIMED, BLANK, LOWER, COLON, Name::Marked),
    name(TIMED | BARE, ANY, LOWER, COLON, Name::Bare),
    name(TIMED | BARE, ANY, form::ANY, BLANK, Name::Bare),
];

impl<T> EvidenceRow<T> {
    fn fits(&self, place: u8, word: &HeadWord<'_>, form: u8) -> bool {
        self.place & place != 0
            && (self.before & word.before != 0 || self.before == ANY)
            && self.form & form != 0
            && (self.after & word.after != 0 || self.after == ANY)
    }
}

/// The level that the word is in this place.
pub(super) fn level_of(word: &HeadWord<'_>, place: u8) -> Option<Severity> {
    const LONGEST: usize = 16;
    let text = word.level_part(place);
    // Excludes nearly all words.
    if text.len() > LONGEST || !(form::is_letter(text) || Severity::is_level(text)) {
        return None;
    }
    let form = form::of(text);
    let known = |evidence| match text.as_bytes().first() {
        Some(letter) if form == LETTER => Severity::of_letter(*letter),
        _ => Severity::of_text(text, evidence),
    };
    let word = HeadWord { after: word.after | word.marks_further_on(place, form), ..*word };
    let mut rows = LEVELS.iter().filter(|row| row.fits(place, &word, form));
    let (severity, unless) = rows.find_map(|row| Some((known(row.is.words)?, row.is.unless)))?;
    (!unless.is_raised(&word, place)).then_some(severity)
}

/// What kind of name the word may be in this place.
pub(super) fn name_of(word: &HeadWord<'_>, place: u8) -> Option<Name> {
    let form = form::of(word.text);
    NAMES.iter().find(|row| row.fits(place, word, form)).map(|row| row.is)
}

/// Words that state a level together: of PHP's own messages, of V8 and of npm. `true` for messages that must name PHP's file and
/// line.
static PHRASES: [(&str, Severity, bool); 13] = [
    ("npm ERR! ", Severity::ERROR, false),
    ("npm error ", Severity::ERROR, false),
    ("npm WARN ", Severity::WARN, false),
    ("npm warn ", Severity::WARN, false),
    ("FATAL ERROR: ", Severity::FATAL, false),
    ("PHP Fatal error: ", Severity::ERROR, false),
    ("PHP Parse error: ", Severity::ERROR, false),
    ("PHP Warning: ", Severity::WARN, false),
    ("PHP Deprecated: ", Severity::WARN, false),
    ("PHP Notice: ", Severity::INFO, false),
    ("Fatal error: ", Severity::ERROR, false),
    ("Deprecated: ", Severity::WARN, true),
    ("Warning: ", Severity::WARN, true),
];

/// The level of a phrase, and its bytes.
pub(super) fn phrase(text: &str) -> Option<(Severity, usize)> {
    let may_begin = matches!(text.as_bytes().first(), Some(b'n' | b'F' | b'P' | b'D' | b'W'));
    let mut phrases = PHRASES.iter().filter(|_| may_begin);
    let (words, severity, names_line) = phrases.find(|(words, ..)| text.starts_with(words))?;
    (!names_line || is_displayed_by_php(text)).then_some((*severity, words.len()))
}
