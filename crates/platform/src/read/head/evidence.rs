//! The tables of the grammar: which words are levels, and which are names before a level, by their place, what stands around them,
//! and how they are written.

use super::prose::{is_displayed_by_php, is_doubted};
use super::sets::{Forms, Marks, Places, form, is_letter, mark, place};
use super::word::HeadWord;
use crate::read::severity::{LevelWordSet, Severity};

/// A kind of place where loggers write a word, and what the word is there. A set that a row does not name is [`ANY`](Marks::ANY).
#[derive(Clone, Copy)]
struct EvidenceRow<T> {
    places: Places,
    before: Marks,
    forms: Forms,
    after: Marks,
    is: T,
}

impl<T: Copy> EvidenceRow<T> {
    const fn new(is: T) -> Self {
        Self { places: Places::ANY, before: Marks::ANY, forms: Forms::ANY, after: Marks::ANY, is }
    }

    const fn at(self, places: &[Places]) -> Self {
        Self { places: Places::union(places), ..self }
    }

    /// The marks of which one stands before the word.
    const fn preceded_by(self, marks: &[Marks]) -> Self {
        Self { before: Marks::union(marks), ..self }
    }

    const fn written(self, forms: &[Forms]) -> Self {
        Self { forms: Forms::union(forms), ..self }
    }

    /// The marks of which one stands after the word.
    const fn followed_by(self, marks: &[Marks]) -> Self {
        Self { after: Marks::union(marks), ..self }
    }

    fn fits(&self, place: Places, word: &HeadWord<'_>, form: Forms) -> bool {
        let has =
            |expected: Marks, found: Marks| expected == Marks::ANY || expected.intersects(found);
        self.places.intersects(place)
            && has(self.before, word.before)
            && self.forms.intersects(form)
            && has(self.after, word.after)
    }
}

/// Which words are levels, and how sure they are.
#[derive(Clone, Copy)]
struct LevelWords {
    words: LevelWordSet,
    certainty: Certainty,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Certainty {
    /// Only loggers write a word so: it is a level whatever follows.
    Certain,
    /// It may as well be a word of a text, see [`is_doubted`].
    Doubtful,
}

/// A place where these words are levels.
const fn level(words: LevelWordSet) -> EvidenceRow<LevelWords> {
    EvidenceRow::new(LevelWords { words, certainty: Certainty::Certain })
}

/// A place where these words are levels unless what follows casts doubt on them.
const fn doubtful(words: LevelWordSet) -> EvidenceRow<LevelWords> {
    EvidenceRow::new(LevelWords { words, certainty: Certainty::Doubtful })
}

/// A name before a level.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Marked,
    /// It might as well be a word of a sentence.
    Bare,
    /// As sure as brackets.
    Sure,
}

const fn name(is: Name) -> EvidenceRow<Name> {
    EvidenceRow::new(is)
}

use LevelWordSet::{Any, Upper, UpperUsual, Usual, UsualIfCapitalised};
use form::{CAPITALISED, LETTER, LOWER, SIGNED, UPPER, WORD};
use mark::{
    BAR, BLANK, CAPITAL, COLON, COMMA, DASH, END, FIELD, GROUP, JOINED, LABEL, PADDED, PLAIN,
    SEMICOLON, SPACED_COLON, SYMBOL, TAB, TIME,
};
use place::{BARE, CLOCKED, FIRST, GO_TIMED, GROUPED, INDENTED, ISO, NAMED, NUMBERED, TIMED};

const ALL_BUT_END: Marks = Marks::ANY.without(END);
const ALL_BUT_SYMBOL: Marks = Marks::ANY.without(SYMBOL);

/// The places of levels. The first row that fits and knows the word decides.
#[rustfmt::skip]
static LEVELS: [EvidenceRow<LevelWords>; 29] = [
    // `14:13:20 ERROR declined`, `[main] ERROR declined`
    level(Upper).at(&[TIMED, GROUPED]).written(&[UPPER]),
    // `E 2026-09-21 …`, `E0921 14:13:20 …`, `E, [2026-09-21T14:13:20 #8] ERROR -- : …`
    level(Any).at(&[FIRST, CLOCKED, GROUPED]).written(&[LETTER]).followed_by(&[TIME]),
    // `14:13:20 E [8:main] …`, `14:13:20 E orders.go:12 …`, `14:13:20 E | …`, `14:13:20 E Shop declined`
    level(Any).at(&[CLOCKED]).written(&[LETTER]).followed_by(&[GROUP, BAR]),
    doubtful(Any).at(&[TIMED]).preceded_by(&[BLANK]).written(&[LETTER]).followed_by(&[BLANK]),
    // `Error  2026-09-21 …`, `shop ERROR: 2026-09-21 …`, `[shop] error @2026-09-21 …`
    level(Any).at(&[FIRST, NAMED, GROUPED]).written(&[WORD]).followed_by(&[TIME]),
    // `ERROR [main] shop`, `ERRO[0000] declined`, `ERROR declined`, `├─ ERROR declined`
    level(Upper).at(&[FIRST, GO_TIMED]).preceded_by(&[PLAIN, SYMBOL]).written(&[UPPER]).followed_by(&[GROUP]),
    doubtful(UpperUsual).at(&[FIRST, GO_TIMED]).preceded_by(&[PLAIN, SYMBOL]).written(&[UPPER])
        .followed_by(&[BLANK, PADDED, TAB, END]),
    // `error: declined`, `ERROR:root:declined`
    doubtful(UsualIfCapitalised).at(&[FIRST, GO_TIMED, INDENTED]).preceded_by(&[PLAIN]).written(&[WORD])
        .followed_by(&[COLON]),
    level(Upper).at(&[FIRST, GO_TIMED, INDENTED]).preceded_by(&[PLAIN]).written(&[UPPER]).followed_by(&[JOINED]),
    // `ERROR | declined`, `error - declined`, `WARN, low`
    doubtful(Usual).at(&[FIRST, GO_TIMED]).written(&[UPPER, LOWER]).followed_by(&[BAR, DASH, COMMA, SEMICOLON]),
    // `error   declined`, ` Error      declined`
    doubtful(UsualIfCapitalised).at(&[FIRST]).preceded_by(&[PLAIN]).written(&[WORD]).followed_by(&[PADDED]),
    // `error [shop] declined`, `● debug [shop] declined`
    doubtful(Usual).at(&[FIRST]).written(&[LOWER]).followed_by(&[LABEL]),
    // `shop Error: 7 : declined`
    level(Any).at(&[NAMED]).written(&[CAPITALISED]).followed_by(&[LABEL]),
    // `✖  error     declined`
    level(Usual).at(&[FIRST, TIMED, GROUPED]).preceded_by(&[SYMBOL]).written(&[WORD]).followed_by(&[PADDED]),
    // `           WARNING  low` of rich
    doubtful(UpperUsual).at(&[INDENTED]).written(&[UPPER]).followed_by(&[BLANK, PADDED]),
    // `app    ERROR : declined`
    level(Upper).at(&[NAMED]).preceded_by(&[PADDED]).written(&[UPPER]).followed_by(&[SPACED_COLON, DASH, BAR]),
    // `shop - ERROR - declined`, `shop : ERROR  declined`, `shop: error: declined`, `app:ERROR:declined`
    level(Upper).at(&[NAMED]).preceded_by(&[DASH, BAR]).written(&[UPPER]).followed_by(&[DASH, BAR]),
    level(Upper).at(&[NAMED]).preceded_by(&[SPACED_COLON]).written(&[UPPER]).followed_by(&[ALL_BUT_END]),
    doubtful(Usual).at(&[NAMED]).preceded_by(&[COLON]).written(&[UPPER, LOWER]).followed_by(&[COLON]),
    doubtful(UpperUsual).at(&[NAMED]).preceded_by(&[JOINED]).written(&[UPPER]).followed_by(&[COLON, JOINED]),
    // `167 INFO: declined`, `464 WARN shop.Orders - declined`, `20545  ERROR declined`
    doubtful(UpperUsual).at(&[NUMBERED]).written(&[UPPER]).followed_by(&[COLON, PADDED]),
    level(UpperUsual).at(&[NUMBERED]).written(&[UPPER]).followed_by(&[LABEL]),
    doubtful(UpperUsual).at(&[NUMBERED]).preceded_by(&[PADDED]).written(&[UPPER]).followed_by(&[BLANK]),
    // `14:13:20 error: declined`, `14:13:20 app.ERROR: declined`
    level(Any).at(&[TIMED, GROUPED]).preceded_by(&[ALL_BUT_SYMBOL]).written(&[WORD]).followed_by(&[COLON, JOINED]),
    // `14:13:20 | error | declined`, `14:13:20 error --- declined`, `14:13:20 error shop : declined`
    level(Any).at(&[CLOCKED, GROUPED]).preceded_by(&[FIELD]).followed_by(&[FIELD]),
    doubtful(Usual).at(&[TIMED]).written(&[LOWER]).followed_by(&[DASH, LABEL]),
    // `2026-09-21T14:13:20.000Z error declined`
    level(Usual).at(&[ISO]).preceded_by(&[BLANK]).written(&[LOWER]).followed_by(&[BLANK]),
    // `14:13:20 shop error: declined`, `14:13:20 worker ERROR declined`
    level(Usual).at(&[BARE]).written(&[LOWER]).followed_by(&[COLON]),
    doubtful(UpperUsual).at(&[BARE]).written(&[UPPER]).followed_by(&[ALL_BUT_END]),
];

/// The places of names before a level. If none follows, they belong to the message.
#[rustfmt::skip]
static NAMES: [EvidenceRow<Name>; 9] = [
    // `orders.py:12 ERROR …`, `shop.orders ERROR …`, `20 MainThread ERROR …`, `pid=8 tid=91b ERROR: …`
    name(Name::Sure).at(&[FIRST, NUMBERED]).written(&[SIGNED]).followed_by(&[BLANK]),
    // `shop - ERROR …`, `shop: error: …`, `shop  ERROR  …`, `shop ERROR 2026-09-21 …`
    name(Name::Marked).at(&[FIRST]).followed_by(&[BAR, DASH, SPACED_COLON, COLON, JOINED, PADDED]),
    name(Name::Marked).at(&[FIRST]).written(&[SIGNED, LOWER]).followed_by(&[CAPITAL]),
    // `shop[WARN] low`
    name(Name::Marked).at(&[FIRST]).followed_by(&[GROUP]),
    // `14:13:20 shop - ERROR …`, `14:13:20 shop.orders ERROR …`, `14:13:20,shop,ERROR,…`
    name(Name::Marked).at(&[CLOCKED, GROUPED, BARE]).followed_by(&[TAB, BAR, DASH, SPACED_COLON]),
    name(Name::Marked).at(&[CLOCKED, GROUPED, BARE]).written(&[SIGNED]),
    name(Name::Marked).at(&[CLOCKED, GROUPED, BARE]).preceded_by(&[FIELD]).followed_by(&[COMMA, SEMICOLON]),
    // `2026/09/21 14:13:20 shop: error: …` of Go, `14:13:20 shop: error: …`, `14:13:20 worker ERROR …`
    name(Name::Marked).at(&[GO_TIMED]).preceded_by(&[BLANK]).written(&[LOWER]).followed_by(&[COLON]),
    name(Name::Bare).at(&[TIMED, BARE]).followed_by(&[BLANK]),
];

/// The level that the word is in this place.
pub(super) fn level_of(word: &HeadWord<'_>, place: Places) -> Option<Severity> {
    const LONGEST: usize = 16;
    let text = word.level_part(place);
    // Excludes nearly all words.
    if text.len() > LONGEST || !(is_letter(text) || Severity::is_level(text)) {
        return None;
    }
    let form = Forms::of(text);
    let known = |words| match text.as_bytes().first() {
        Some(letter) if form == LETTER => Severity::of_letter(*letter),
        _ => Severity::of_text(text, words),
    };
    let in_context = HeadWord { after: word.after | word.marks_further_on(place, form), ..*word };
    let fitting = LEVELS.iter().filter(|row| row.fits(place, &in_context, form));
    for row in fitting {
        if let Some(severity) = known(row.is.words) {
            let is_certain = row.is.certainty == Certainty::Certain;
            return (is_certain || !is_doubted(&in_context, form)).then_some(severity);
        }
    }
    None
}

/// The kind of name that the word may be in this place.
pub(super) fn name_of(word: &HeadWord<'_>, place: Places) -> Option<Name> {
    let form = Forms::of(word.text);
    NAMES.iter().find(|row| row.fits(place, word, form)).map(|row| row.is)
}

/// Words that state a level together.
struct Phrase {
    speaker: Speaker,
    words: &'static str,
    severity: Severity,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Speaker {
    /// npm.
    Itself,
    /// PHP's own messages, with `PHP ` before them in its log. On a page or a terminal they end with the place of the code.
    Php,
    /// As [`Php`](Self::Php), but the place may be in a later line.
    PhpBeforeStack,
}

const fn phrase(speaker: Speaker, words: &'static str, severity: Severity) -> Phrase {
    Phrase { speaker, words, severity }
}

static PHRASES: [Phrase; 8] = [
    phrase(Speaker::Itself, "npm ERR! ", Severity::ERROR),
    phrase(Speaker::Itself, "npm error ", Severity::ERROR),
    phrase(Speaker::Itself, "npm WARN ", Severity::WARN),
    phrase(Speaker::Itself, "npm warn ", Severity::WARN),
    phrase(Speaker::PhpBeforeStack, "Fatal error: ", Severity::ERROR),
    phrase(Speaker::Php, "Parse error: ", Severity::ERROR),
    phrase(Speaker::Php, "Warning: ", Severity::WARN),
    phrase(Speaker::Php, "Deprecated: ", Severity::WARN),
];

/// The level of a phrase at the beginning of a text.
pub(super) struct PhraseLevel {
    pub(super) severity: Severity,
    pub(super) bytes: usize,
}

pub(super) fn level_of_phrase(text: &str) -> Option<PhraseLevel> {
    let may_begin = matches!(text.as_bytes().first(), Some(b'n' | b'F' | b'P' | b'D' | b'W'));
    let mut phrases = PHRASES.iter().filter(|_| may_begin);
    phrases.find_map(|phrase| {
        let is_in_log = phrase.speaker != Speaker::Itself && text.starts_with("PHP ");
        let prefix = if is_in_log { "PHP " } else { "" };
        let needs_place = phrase.speaker == Speaker::Php && !is_in_log;
        text.strip_prefix(prefix)?.strip_prefix(phrase.words)?;
        let is_level = !needs_place || is_displayed_by_php(text);
        let bytes = prefix.len() + phrase.words.len();
        is_level.then_some(PhraseLevel { severity: phrase.severity, bytes })
    })
}
