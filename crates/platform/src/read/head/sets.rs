//! The sets in the rows of `evidence`: places, marks and forms, as bits, because each word of a head is compared with every row.

use std::marker::PhantomData;
use std::ops::{BitOr, BitOrAssign};

/// A set of up to 16 members, which `Kind` distinguishes from those of other sets.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BitSet<Kind> {
    bits: u16,
    kind: PhantomData<Kind>,
}

impl<Kind> Clone for BitSet<Kind> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Kind> Copy for BitSet<Kind> {}

impl<Kind> BitSet<Kind> {
    pub(super) const NONE: Self = Self::of_bits(0);
    pub(super) const ANY: Self = Self::of_bits(u16::MAX);

    const fn of_bits(bits: u16) -> Self {
        Self { bits, kind: PhantomData }
    }

    /// The set with this one member.
    const fn member(number: u32) -> Self {
        Self::of_bits(1 << number)
    }

    pub(super) const fn union(sets: &[Self]) -> Self {
        let mut bits = 0;
        let mut rest = sets;
        while let [set, others @ ..] = rest {
            bits |= set.bits;
            rest = others;
        }
        Self::of_bits(bits)
    }

    pub(super) const fn without(self, others: Self) -> Self {
        Self::of_bits(self.bits & !others.bits)
    }

    pub(super) const fn intersects(self, others: Self) -> bool {
        self.bits & others.bits != 0
    }
}

impl<Kind> BitOr for BitSet<Kind> {
    type Output = Self;

    fn bitor(self, others: Self) -> Self {
        Self::of_bits(self.bits | others.bits)
    }
}

impl<Kind> BitOrAssign for BitSet<Kind> {
    fn bitor_assign(&mut self, others: Self) {
        self.bits |= others.bits;
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum PlaceKind {}
#[derive(Debug, PartialEq, Eq)]
pub(super) enum MarkKind {}
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FormKind {}

/// The place of a word, by the fields before it.
pub(super) type Places = BitSet<PlaceKind>;
/// The separators between a word and its neighbours.
pub(super) type Marks = BitSet<MarkKind>;
/// The spelling of a word: its case, and the signs in it.
pub(super) type Forms = BitSet<FormKind>;

/// The places of a word. It stands in one of them.
pub(super) mod place {
    use super::Places;

    /// At the beginning.
    pub(in crate::read::head) const FIRST: Places = Places::member(0);
    /// After blanks only, as many as another line's time has.
    pub(in crate::read::head) const INDENTED: Places = Places::member(1);
    /// After a time, and perhaps other fields.
    pub(in crate::read::head) const TIMED: Places = Places::member(2);
    /// After the time of Go's `log`, where a text is like a line without a time.
    pub(in crate::read::head) const GO_TIMED: Places = Places::member(3);
    /// After a name in brackets.
    pub(in crate::read::head) const GROUPED: Places = Places::member(4);
    /// After a name only.
    pub(in crate::read::head) const NAMED: Places = Places::member(5);
    /// After a number only.
    pub(in crate::read::head) const NUMBERED: Places = Places::member(6);
    /// After a time and a word without any mark of a name.
    pub(in crate::read::head) const BARE: Places = Places::member(7);

    /// [`TIMED`], directly after a time that programs write and people do not: `2026-09-21T14:13:20.000Z`.
    pub(in crate::read::head) const ISO_TIMED: Places = Places::union(&[TIMED, ISO]);
    /// The mark of [`ISO_TIMED`].
    pub(in crate::read::head) const ISO: Places = Places::member(8);

    pub(in crate::read::head) const CLOCKED: Places = Places::union(&[TIMED, GO_TIMED]);
}

pub(super) mod mark {
    use super::Marks;

    pub(in crate::read::head) const BLANK: Marks = Marks::member(0);
    /// Several blanks.
    pub(in crate::read::head) const PADDED: Marks = Marks::member(1);
    pub(in crate::read::head) const TAB: Marks = Marks::member(2);
    pub(in crate::read::head) const BAR: Marks = Marks::member(3);
    pub(in crate::read::head) const COLON: Marks = Marks::member(4);
    /// A colon between blanks.
    pub(in crate::read::head) const SPACED_COLON: Marks = Marks::member(5);
    /// A colon without a blank.
    pub(in crate::read::head) const JOINED: Marks = Marks::member(6);
    /// Dashes or an arrow.
    pub(in crate::read::head) const DASH: Marks = Marks::member(7);
    pub(in crate::read::head) const COMMA: Marks = Marks::member(8);
    pub(in crate::read::head) const SEMICOLON: Marks = Marks::member(9);
    /// A bracket follows.
    pub(in crate::read::head) const GROUP: Marks = Marks::member(10);
    pub(in crate::read::head) const END: Marks = Marks::member(11);
    /// A time follows, perhaps in brackets.
    pub(in crate::read::head) const TIME: Marks = Marks::member(12);
    /// A name follows, and a colon or, after a logger's name, a dash between blanks.
    pub(in crate::read::head) const LABEL: Marks = Marks::member(13);
    /// A word with a capital follows.
    pub(in crate::read::head) const CAPITAL: Marks = Marks::member(14);
    /// A symbol such as a cross.
    pub(in crate::read::head) const SYMBOL: Marks = Marks::member(15);

    /// Nothing but blanks, or the colon after a name.
    pub(in crate::read::head) const PLAIN: Marks = Marks::union(&[BLANK, PADDED, COLON]);
    /// Marks that nobody writes between the words of a sentence.
    pub(in crate::read::head) const FIELD: Marks =
        Marks::union(&[TAB, BAR, DASH, COMMA, SEMICOLON]);
}

pub(super) mod form {
    use super::Forms;

    pub(in crate::read::head) const UPPER: Forms = Forms::member(0);
    pub(in crate::read::head) const LOWER: Forms = Forms::member(1);
    pub(in crate::read::head) const CAPITALISED: Forms = Forms::member(2);
    /// A level's letter, alone or before a date: `E`, `E0921` of klog, `E20260921` of glog.
    pub(in crate::read::head) const LETTER: Forms = Forms::member(3);
    /// A name with a sign that other words have not: a point, a number after a dash, a capital within it.
    pub(in crate::read::head) const SIGNED: Forms = Forms::member(4);
    /// A file and the number of its line: `orders.py:12`.
    pub(in crate::read::head) const FILE: Forms = Forms::member(5);

    pub(in crate::read::head) const WORD: Forms = Forms::union(&[UPPER, LOWER, CAPITALISED]);
}

impl Forms {
    /// The form of a word. A file's is also [`form::SIGNED`].
    pub(super) fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        if is_letter(text) {
            return form::LETTER;
        }
        let is_sign = |byte: &u8| matches!(byte, b'.' | b'_' | b'[' | b'@' | b'=');
        let is_pair =
            |pair: &[u8]| matches!(pair, b"::" | [b'a'..=b'z', b'A'..=b'Z'] | [b'-', b'0'..=b'9']);
        if bytes.iter().any(is_sign) || bytes.windows(2).any(is_pair) {
            let file = text.trim_end_matches(|c: char| c.is_ascii_digit());
            let is_file = file.len() < text.len() && file.ends_with(':') && file.contains('.');
            return if is_file { form::FILE | form::SIGNED } else { form::SIGNED };
        }
        let has_lower = bytes.iter().any(u8::is_ascii_lowercase);
        let has_upper = bytes.iter().any(u8::is_ascii_uppercase);
        match (has_upper, has_lower) {
            (_, false) => form::UPPER,
            (false, true) => form::LOWER,
            (true, true) => form::CAPITALISED,
        }
    }
}

/// Returns `true` for a word of the form [`form::LETTER`].
pub(super) fn is_letter(text: &str) -> bool {
    matches!(text.len(), 1 | 5 | 9)
        && text.as_bytes().split_first().is_some_and(|(letter, date)| {
            letter.is_ascii_uppercase() && date.iter().all(u8::is_ascii_digit)
        })
}
