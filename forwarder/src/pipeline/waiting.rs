//! What was converted and waits to be delivered, and what waits to be dead-lettered.

use crate::deliver::enqueue::ToEnqueue;
use crate::deliver::outgoing::Outgoing;

/// What waits for the next delivery.
#[derive(Default)]
pub(super) struct Waiting {
    outgoing: Vec<Outgoing>,
    /// To be dead-lettered.
    letters: Vec<ToEnqueue>,
    bytes: usize,
}

impl Waiting {
    /// Bytes of all of it.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.outgoing.is_empty() && self.letters.is_empty()
    }

    /// Adds requests that are to be delivered.
    pub(super) fn deliver(&mut self, outgoing: Vec<Outgoing>) {
        self.bytes += outgoing.iter().map(|out| out.request.bytes().len()).sum::<usize>();
        self.outgoing.extend(outgoing);
    }

    /// Adds something that is to be dead-lettered.
    pub(super) fn dead_letter(&mut self, letter: ToEnqueue) {
        self.bytes += letter.parked.content_bytes();
        self.letters.push(letter);
    }

    /// Gives all of it away.
    pub(super) fn take(&mut self) -> (Vec<Outgoing>, Vec<ToEnqueue>) {
        self.bytes = 0;
        (std::mem::take(&mut self.outgoing), std::mem::take(&mut self.letters))
    }
}
