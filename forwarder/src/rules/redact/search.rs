//! Searches text with a regular expression, with a linear limit on the total work.
//!
//! A single search is linear. But a search reads beyond its match while a longer match is possible, and the next search reads the
//! same bytes again: `a(.*b)?` reads the rest of a text of `a` after each match.

use super::TextRange;
use regex::{Regex, RegexBuilder};
use regex_automata::Input;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::util::syntax;
use std::sync::{Arc, OnceLock};

/// The search for a pattern.
#[derive(Clone, Debug)]
pub(super) struct Search {
    regex: Regex,
    /// `true` if the group `value` is replaced instead of the whole match.
    has_value: bool,
    /// `true` if a match must not touch a letter or digit.
    is_word: bool,
    /// Measures how far a search reads. Created only for texts with many matches.
    reader: Arc<OnceLock<Option<DFA>>>,
}

/// Searching or replacing takes more than the limits allow.
#[derive(Debug)]
pub(super) struct TooMuchWork;

/// Limit on reading a text again.
const MAX_READ_AGAIN: usize = 16;
/// Bytes of every text that may be read again.
const FREE_BYTES: usize = 4096;

impl Search {
    pub(super) fn new(pattern: &str, is_word: bool) -> Result<Self, InvalidPattern> {
        let regex = compile(pattern)?;
        let has_value = regex.capture_names().flatten().any(|name| name == "value");
        Ok(Self { regex, has_value, is_word, reader: Arc::default() })
    }

    /// Finds the ranges to replace, from left to right.
    pub(super) fn find(
        &self,
        text: &str,
        found: &mut dyn FnMut(TextRange),
    ) -> Result<(), TooMuchWork> {
        let mut budget = ReadBudget::new(self, text);
        let mut from = 0;
        while let Some(RegexMatch { whole, value }) = self.next(text, from) {
            let is_match = !self.is_word || is_word(text, &whole);
            let next = if !is_match {
                text.ceil_char_boundary(whole.start + 1)
            } else if whole.is_empty() {
                text.ceil_char_boundary(whole.end + 1)
            } else {
                whole.end
            };
            if is_match && !value.is_empty() {
                found(value);
            }
            budget.spend(from, next)?;
            // Only an empty match can remain.
            if next >= text.len() {
                break;
            }
            from = next;
        }
        Ok(())
    }

    /// The next match.
    fn next(&self, text: &str, from: usize) -> Option<RegexMatch> {
        if !self.has_value {
            let whole = self.regex.find_at(text, from)?.range();
            return Some(RegexMatch { value: whole.clone(), whole });
        }
        let groups = self.regex.captures_at(text, from)?;
        let whole = groups.get(0)?.range();
        let value = groups.name("value").map_or(whole.end..whole.end, |value| value.range());
        Some(RegexMatch { whole, value })
    }

    fn reader(&self) -> Option<&DFA> {
        let build = |unicode| {
            let config = DFA::config().cache_capacity(MAX_REGEX_BYTES);
            DFA::builder()
                .configure(config.skip_cache_capacity_check(true))
                .syntax(syntax::Config::new().unicode(unicode).utf8(unicode))
                .build(self.regex.as_str())
                .ok()
        };
        // A DFA has no Unicode word boundaries. ASCII word boundaries are near enough for measuring.
        self.reader.get_or_init(|| build(true).or_else(|| build(false))).as_ref()
    }
}

/// A match of a regular expression.
struct RegexMatch {
    whole: TextRange,
    /// The part to replace.
    value: TextRange,
}

/// The bytes that the searches of one text may read again.
struct ReadBudget<'s> {
    search: &'s Search,
    text: &'s str,
    bytes_left: usize,
    /// Measures each search. `None` while assumed costs are within the budget.
    reader: Option<MeasuredReader<'s>>,
}

struct MeasuredReader<'s> {
    dfa: &'s DFA,
    cache: Cache,
}

impl<'s> ReadBudget<'s> {
    fn new(search: &'s Search, text: &'s str) -> Self {
        Self { search, text, bytes_left: Self::max_bytes(text), reader: None }
    }

    fn max_bytes(text: &str) -> usize {
        text.len().saturating_mul(MAX_READ_AGAIN).saturating_add(FREE_BYTES)
    }

    /// Spends the bytes that a search from `from` read after `next`, from where the next search reads them again.
    fn spend(&mut self, from: usize, next: usize) -> Result<(), TooMuchWork> {
        if let Some(MeasuredReader { dfa, cache }) = &mut self.reader {
            let most = next.saturating_add(self.bytes_left);
            let read = read_to(dfa, cache, self.text.as_bytes(), from, most);
            let read_again = read.saturating_sub(next);
            self.bytes_left = self.bytes_left.checked_sub(read_again).ok_or(TooMuchWork)?;
            return Ok(());
        }
        // A few searches are cheap even if each one read to the end of the text.
        let to_the_end = self.text.len().saturating_sub(next);
        if let Some(bytes_left) = self.bytes_left.checked_sub(to_the_end) {
            self.bytes_left = bytes_left;
        } else {
            let dfa = self.search.reader().ok_or(TooMuchWork)?;
            self.reader = Some(MeasuredReader { dfa, cache: dfa.create_cache() });
            self.bytes_left = Self::max_bytes(self.text);
        }
        Ok(())
    }
}

/// Returns `true` if no letter or digit touches the range.
fn is_word(text: &str, range: &TextRange) -> bool {
    let is_part = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_alphanumeric);
    !range.start.checked_sub(1).is_some_and(is_part) && !is_part(range.end)
}

/// The position where a search from `from` stops, or a position after `most`.
fn read_to(reader: &DFA, cache: &mut Cache, text: &[u8], from: usize, most: usize) -> usize {
    let Ok(mut state) = reader.start_state_forward(cache, &Input::new(text).range(from..)) else {
        return text.len();
    };
    for (at, byte) in text.iter().enumerate().skip(from) {
        match reader.next_state(cache, state, *byte) {
            Ok(next) if next.is_dead() || at > most => return at,
            Ok(next) => state = next,
            Err(_) => break,
        }
    }
    text.len()
}

/// Limit on a compiled pattern, and on its cache.
const MAX_REGEX_BYTES: usize = 256 * 1024;

/// The reason why a regular expression cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in super::super) enum InvalidPattern {
    #[error("the pattern is too large: compiled it has more than {} bytes", MAX_REGEX_BYTES)]
    TooLarge,
    #[error("the pattern does not compile: {0}")]
    Syntax(String),
}

/// Compiles a pattern of limited size. A search is linear for any pattern.
pub(in super::super) fn compile(pattern: &str) -> Result<Regex, InvalidPattern> {
    let built = RegexBuilder::new(pattern)
        .size_limit(MAX_REGEX_BYTES)
        .dfa_size_limit(MAX_REGEX_BYTES)
        .nest_limit(50)
        .build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => InvalidPattern::TooLarge,
        // The text shows the pattern with a mark; its last line is the error.
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            InvalidPattern::Syntax(last.to_owned())
        }
    })
}
