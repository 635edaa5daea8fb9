//! Keeps what was found in a part that many inputs have in common, such as the resource in each line of a function.

use crate::matches::{Effort, MatchFinder};
use crate::symbols::Tokens;

/// A longer part is searched with the rest of its input: what is kept stays small.
const MOST_BYTES: usize = 4 * 1024;

/// A part, and the tokens that stand for it wherever it stands: they copy from the part alone.
#[derive(Default)]
pub(crate) struct Repeated {
    bytes: Vec<u8>,
    effort: Option<Effort>,
    tokens: Tokens,
}

impl Repeated {
    /// How many bytes stand before the part at most: they are not searched.
    pub(crate) const FURTHEST: usize = 32;

    /// Searches this part, unless it was the last that was searched.
    pub(crate) fn find(&mut self, matches: &mut MatchFinder, effort: Effort, part: &[u8]) {
        let part = if part.len() > MOST_BYTES { &[] } else { part };
        if self.effort == Some(effort) && self.bytes == part {
            return;
        }
        self.bytes.clear();
        self.bytes.extend_from_slice(part);
        self.effort = Some(effort);
        self.tokens.clear();
        matches.search(part, effort).fill(&mut self.tokens, usize::MAX);
    }

    /// Whether there is no such part.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What stands for the part.
    pub(crate) fn tokens(&self) -> &Tokens {
        &self.tokens
    }
}
