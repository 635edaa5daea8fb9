//! Recognizes events that Live Tail showed before polling began.

use super::Found;
use std::collections::HashMap;

/// Counts of events by content, because Live Tail sends no ids.
#[derive(Debug, Default)]
pub(super) struct Seen(HashMap<Key, usize>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    group: usize,
    stream: String,
    timestamp_ms: i64,
    message: String,
}

impl Key {
    fn of(Found { group, stream, event }: &Found) -> Self {
        Self {
            group: *group,
            stream: stream.clone(),
            timestamp_ms: event.timestamp_ms,
            // Only one of the two APIs returns the line feed.
            message: event.message.trim_end().to_owned(),
        }
    }
}

impl Seen {
    pub(super) fn note(&mut self, found: &Found) {
        *self.0.entry(Key::of(found)).or_default() += 1;
    }

    pub(super) fn forget_before(&mut self, time_ms: i64) {
        self.0.retain(|key, _| key.timestamp_ms >= time_ms);
    }

    /// Returns `true` for a known event, and reduces its count.
    pub(super) fn take(&mut self, found: &Found) -> bool {
        match self.0.get_mut(&Key::of(found)) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use forwarder::LogEvent;

    #[test]
    fn each_seen_event_is_skipped_once() {
        let found = |timestamp_ms, message: &str| {
            let message = message.to_owned();
            let event = LogEvent { id: String::new(), timestamp_ms, message };
            Found { group: 0, stream: "s".to_owned(), event }
        };
        let mut seen = Seen::default();
        seen.note(&found(1, "old"));
        seen.note(&found(5, "twice\n"));
        seen.note(&found(5, "twice"));
        seen.forget_before(5);
        let mut check = |time, message, expected| {
            assert_eq!(seen.take(&found(time, message)), expected, "{message}");
        };
        check(1, "old", false);
        check(5, "twice", true);
        check(5, "twice\n", true);
        check(5, "twice", false);
        check(6, "twice", false);
    }
}
