//! A field in brackets.

use super::scan::MAX_BYTES;
use crate::read::severity::{LevelWordSet, Severity};
use crate::read::steps;
use crate::read::time::stated_time;

/// A text in brackets at the beginning of another one.
pub(super) struct Bracketed<'a> {
    /// The opening bracket.
    pub(super) open: u8,
    pub(super) inner: &'a str,
    pub(super) after: &'a str,
    /// Size with the brackets.
    pub(super) bytes: usize,
}

impl<'a> Bracketed<'a> {
    pub(super) fn at_start(text: &'a str) -> Option<Self> {
        let open = *text.as_bytes().first()?;
        let close = match open {
            b'[' => b']',
            b'(' => b')',
            b'<' => b'>',
            _ => b'}',
        };
        let found = text.bytes().take(MAX_BYTES).position(|byte| byte == close);
        steps::count(found.unwrap_or(MAX_BYTES));
        let bytes = found? + 1;
        let inner = text.get(1..bytes - 1).unwrap_or_default().trim();
        Some(Self { open, inner, after: text.get(bytes..).unwrap_or_default(), bytes })
    }

    /// Returns `true` if no word goes on after the brackets.
    pub(super) fn is_apart(&self) -> bool {
        const NEXT: [char; 9] = [' ', '\t', ':', '[', '(', '-', '|', '\n', '\r'];
        self.after.is_empty() || self.after.starts_with(NEXT)
    }
}

/// The level before or after a name in brackets: `[core:error]` of Apache, `[shop#error]` of Twisted, `[ERROR/MainProcess]`,
/// `[NR_EXT ERROR]`, `[E 260921 14:13:20 web:12]` of Tornado. A letter may also stand alone after a time.
pub(super) fn level_near_name(inner: &str, has_clock: bool) -> Option<Severity> {
    match inner.as_bytes() {
        [letter, b' ', b'0'..=b'9', ..] => return Severity::of_letter(*letter),
        [letter] if has_clock => return Severity::of_letter(*letter),
        _ => {}
    }
    let is_name = |text: &str, is_letter: fn(&u8) -> bool| {
        text.bytes().all(|byte| is_letter(&byte) || matches!(byte, b'_' | b'-' | b'.'))
    };
    let of_text = |word| Severity::of_text(word, LevelWordSet::Any);
    if let Some((level, _)) = inner.split_once('/').filter(|(_, time)| stated_time(time).is_some())
    {
        return of_text(level);
    }
    if let Some((first, second)) = inner.split_once([':', '/', '#'])
        && is_name(first, u8::is_ascii_alphanumeric)
        && is_name(second, u8::is_ascii_alphanumeric)
    {
        return of_text(second).or_else(|| of_text(first));
    }
    let (name, level) = inner.split_once(' ')?;
    let is_constant = name.contains(['_', '-', '.']) && is_name(name, u8::is_ascii_uppercase);
    Severity::of_text(level, LevelWordSet::UpperUsual).filter(|_| is_constant)
}
