//! What became of each item of a request.

use crate::reason::Reason;
use wire::Request;

/// The account of one export: `accepted` and the items of `parts` add up to the items of the request.
#[must_use = "what was not accepted must be parked, dead-lettered or returned"]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Items that the backend said it has.
    pub accepted: usize,
    /// What it does not have, in pieces that never overlap.
    pub parts: Vec<Undelivered>,
    /// Items of requests whose answer did not come, or could not be read, after the request was sent: those, and no others,
    /// may be stored although they are counted as undelivered, or stored twice.
    pub ambiguous_items: usize,
    /// HTTP requests sent, repetitions included.
    pub requests_sent: usize,
    /// Bytes of their bodies, as compressed.
    pub bytes_sent: usize,
    /// A warning that came with an accepted request, the last one if there were several; empty for none.
    pub warning: String,
}

impl Outcome {
    /// Items that the backend does not have.
    pub fn undelivered(&self) -> usize {
        self.parts.iter().map(|part| part.items).sum()
    }

    /// Accepted and undelivered together: the items of the request, always.
    pub fn items(&self) -> usize {
        self.accepted + self.undelivered()
    }

    /// Whether every item was accepted.
    pub fn is_complete(&self) -> bool {
        self.parts.is_empty()
    }
}

/// A piece of a request that the backend did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// The piece. For [`Fate::DeadLetterPartial`] the whole request that was sent: the backend does not say which of its
    /// items it rejected.
    pub request: Request,
    /// How many items were not taken: all of `request`, except for [`Fate::DeadLetterPartial`].
    pub items: usize,
    /// What happened last.
    pub reason: Reason,
    /// What is to be done with it.
    pub fate: Fate,
}

/// What is to be done with what was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Keep it and try later.
    Park,
    /// Keep it, and tell a person: it stays undeliverable until a setting is changed.
    ParkWithAlarm,
    /// Never send it again by itself: the backend refuses this very record.
    DeadLetter,
    /// `items` of these were rejected, the others stored; sending it again would store those twice.
    DeadLetterPartial,
}
