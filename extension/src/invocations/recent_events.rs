//! Recognizes repeated events of the Telemetry API. Lambda repeats a delivery if it did not get the answer.

use platform::PlatformEvent;
use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};

/// The number of remembered events, more than a delivery contains.
const MAX_RECENT: usize = 2048;

/// Hashes of the newest events.
#[derive(Debug, Default)]
pub(crate) struct RecentEvents {
    hashes: VecDeque<u64>,
    hasher: RandomState,
}

impl RecentEvents {
    /// Notes an event. Returns `true` if it came before. Events without a time never count as repeated.
    pub(crate) fn is_repeated(&mut self, event: &PlatformEvent) -> bool {
        let Some(time) = event.time_unix_nano else { return false };
        let key =
            (event.kind.as_str(), &event.request_id, time, &event.phase, &event.name, &event.state);
        let hash = self.hasher.hash_one(key);
        if self.hashes.contains(&hash) {
            return true;
        }
        if self.hashes.len() == MAX_RECENT {
            self.hashes.pop_front();
        }
        self.hashes.push_back(hash);
        false
    }
}
