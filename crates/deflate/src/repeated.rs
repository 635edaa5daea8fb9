//! Reuses the search results for a part that many inputs share, such as the resource in each line of a function.

use crate::effort::Effort;
use crate::matches::MatchFinder;
use crate::preset::Preset;
use crate::symbols::Tokens;

/// A longer part is searched with the rest of its input, to keep this cache small.
const MOST_BYTES: usize = 4 * 1024;

/// A part, and its tokens, which copy only from the part itself and are thus independent of its position.
#[derive(Default)]
pub(crate) struct Repeated {
    bytes: Vec<u8>,
    effort: Option<Effort>,
    tokens: Tokens,
}

impl Repeated {
    /// Maximum number of unsearched bytes before the part.
    pub(crate) const FURTHEST: usize = 32;

    /// Searches this part, unless it is the last one searched.
    pub(crate) fn find(&mut self, matches: &mut MatchFinder, effort: Effort, part: &[u8]) {
        let part = if part.len() > MOST_BYTES { &[] } else { part };
        if self.effort == Some(effort) && self.bytes == part {
            return;
        }
        self.bytes.clear();
        self.bytes.extend_from_slice(part);
        self.effort = Some(effort);
        self.tokens.clear();
        matches.search(&Preset::default(), part, effort).fill(&mut self.tokens, usize::MAX);
    }

    /// Returns `true` if there is no such part.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.tokens
    }
}
