//! Moves undeliverable parts to the outcome.

use super::{Delivery, QueuedPart};
use crate::export::outcome::{Fate, UndeliveredPart};
use crate::judge::Reason;
use wire::Request;

impl Delivery {
    /// Records this part, which has left the queue, as undelivered.
    pub(super) fn keep(&mut self, part: QueuedPart, reason: &Reason, fate: Fate) {
        let items = part.request.items();
        self.outcome.parts.push(UndeliveredPart {
            request: part.request,
            items,
            reason: reason.clone(),
            fate,
        });
    }

    /// Records all queued parts as undelivered.
    pub(super) fn give_up(&mut self, reason: &Reason, fate: Fate) {
        while let Some(part) = self.waiting.pop_front() {
            self.keep(part, reason, fate);
        }
    }

    /// Queues everything undelivered for retry, including single records that seemed to be at fault, and joins neighbours again.
    pub(super) fn give_up_whole(&mut self, reason: &Reason) {
        self.give_up(reason, Fate::Park);
        for part in &mut self.outcome.parts {
            part.reason.clone_from(reason);
            part.fate = Fate::Park;
        }
        self.join_parked();
    }

    /// Joins neighbours that failed for the same reason, up to the size limit.
    pub(super) fn join_parked(&mut self) {
        let mut joined: Vec<(Vec<u8>, UndeliveredPart)> = Vec::new();
        for mut part in std::mem::take(&mut self.outcome.parts) {
            // The loop below builds the new request from all adjacent bytes.
            let empty = Request::trusted(self.kind, Vec::new());
            let bytes = std::mem::replace(&mut part.request, empty).into_bytes();
            match joined.last_mut() {
                // Concatenated protobuf messages are one message whose repeated fields are combined (protobuf encoding, "Last One
                // Wins").
                Some((last_bytes, last))
                    if (last.fate, part.fate) == (Fate::Park, Fate::Park)
                        && last.reason == part.reason
                        && last_bytes.len() + bytes.len() <= self.max_bytes =>
                {
                    last_bytes.extend(bytes);
                    last.items += part.items;
                }
                _ => joined.push((bytes, part)),
            }
        }
        self.outcome.parts.extend(joined.into_iter().map(|(bytes, part)| UndeliveredPart {
            request: Request::trusted(self.kind, bytes),
            ..part
        }));
    }
}
