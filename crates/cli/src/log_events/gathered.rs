//! Groups a log group's events by stream, like the deliveries of a subscription.

use forwarder::{Event, LogEvent};
use std::collections::BTreeMap;
use subscriber::{LoggedLine, delivery};

#[derive(Debug, Default)]
pub(crate) struct Gathered {
    streams: BTreeMap<String, Vec<LogEvent>>,
    bytes: usize,
    newest_ms: i64,
}

pub(crate) type StreamEvents = (String, Vec<LogEvent>);

impl Gathered {
    pub(crate) fn add(&mut self, stream: String, event: LogEvent) {
        self.bytes += event.message.len();
        self.newest_ms = self.newest_ms.max(event.timestamp_ms);
        self.streams.entry(stream).or_default().push(event);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Time of the newest event so far.
    pub(crate) fn newest_ms(&self) -> i64 {
        self.newest_ms
    }

    /// Removes the events before this time. Later events stay, because a line that begins there may continue in unread
    /// events.
    pub(crate) fn take_before(&mut self, cut_ms: i64) -> Vec<StreamEvents> {
        let mut taken = Vec::new();
        let mut rest = BTreeMap::new();
        for (stream, events) in std::mem::take(&mut self.streams) {
            let (before, after): (Vec<_>, Vec<_>) =
                events.into_iter().partition(|event| event.timestamp_ms < cut_ms);
            self.bytes -= before.iter().map(|event| event.message.len()).sum::<usize>();
            if !after.is_empty() {
                rest.insert(stream.clone(), after);
            }
            if !before.is_empty() {
                taken.push((stream, before));
            }
        }
        self.streams = rest;
        taken
    }
}

/// Returns the event by which CloudWatch Logs would deliver these.
pub(crate) fn as_delivered(
    account: &str,
    log_group: &str,
    stream: &str,
    events: &[LogEvent],
) -> serde_json::Result<Event> {
    let lines = events.iter().map(|event| LoggedLine {
        id: &event.id,
        timestamp_ms: event.timestamp_ms,
        message: &event.message,
    });
    serde_json::from_value(delivery(account, log_group, stream, "replay", lines))
}

#[cfg(test)]
mod tests {
    use super::*;
    use forwarder::SourceLimits;

    fn event(timestamp_ms: i64, message: &str) -> LogEvent {
        LogEvent { id: timestamp_ms.to_string(), timestamp_ms, message: message.to_owned() }
    }

    #[test]
    fn gathered_events_before_the_cut_are_taken_by_stream() {
        let mut gathered = Gathered::default();
        for (stream, time) in [("a", 1), ("b", 2), ("a", 3), ("b", 9), ("c", 8)] {
            gathered.add(stream.to_owned(), event(time, "xx"));
        }
        assert_eq!((gathered.bytes(), gathered.newest_ms()), (10, 9));
        let taken = gathered.take_before(8);
        let expected = [
            ("a".to_owned(), vec![event(1, "xx"), event(3, "xx")]),
            ("b".to_owned(), vec![event(2, "xx")]),
        ];
        assert_eq!(taken, expected);
        assert_eq!(gathered.bytes(), 4);
        assert_eq!(gathered.take_before(i64::MAX).len(), 2);
        assert_eq!(gathered.take_before(i64::MAX), []);
    }

    #[test]
    fn the_forwarder_reads_a_rebuilt_delivery() {
        let events = [event(1, "one\n"), event(2, "two \u{1f600}")];
        let event = as_delivered("123456789012", "/g", "s", &events).unwrap();
        let mut read = Vec::new();
        event
            .read(&SourceLimits::default(), &mut |batch| {
                assert_eq!(batch.origin.account, "123456789012");
                assert_eq!(batch.origin.log_group, "/g");
                assert_eq!(batch.origin.log_stream, "s");
                read.extend(batch.events);
                true
            })
            .unwrap();
        assert_eq!(read, events);
    }
}
