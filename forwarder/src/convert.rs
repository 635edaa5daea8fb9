//! Turns the log events of one batch into OTLP requests: lines decoded, all else converted.

use crate::ledger::Ledger;
use crate::shift::{self, TimeShift};
use crate::source::{Envelope, LogEvent, MessageType};
use platform::{Converter, Identity, Undecodable, Window};
use wire::{Limits, Logs, Metrics, Request, Signal, UndecodableLine, read_line};

/// What does not change from batch to batch.
#[derive(Clone, Debug, Default)]
pub struct ConvertOptions {
    /// How Lambda's own events are converted.
    pub platform: platform::Options,
    /// The region of the log groups: a subscription delivers within its region.
    pub region: Option<String>,
    /// Bounds on every line.
    pub limits: Limits,
    /// Moves all times; for replaying old samples.
    pub time_shift: TimeShift,
}

/// Decoded requests of this size are delivered before more log events are decoded: a line of a
/// few kilobytes may inflate to [`Limits::inflated_bytes`].
const MOST_DECODED_BYTES: usize = 8 * 1024 * 1024;

/// What the first log events of a batch became.
#[derive(Debug, Default)]
pub struct Converted {
    /// How many log events these were: all of the batch, unless they hold very much.
    pub taken: usize,
    /// Checked requests of all signals, not merged yet.
    pub requests: Vec<Request>,
    /// Their size.
    pub decoded_bytes: usize,
    /// The service that telemetry without a service name is given to.
    pub service_name: String,
    /// Events, consumed events, items, and dead-lettered lines so far.
    pub ledger: Ledger,
    /// The lines that claim to be OTLP and did not decode, with the id of their log event.
    pub undecodable: Vec<(String, UndecodableLine)>,
    /// Figures of Lambda's that were no plausible numbers.
    pub implausible_figures: usize,
    /// Where the stream stands, for its next batch.
    pub window: Window,
}

/// Converts log events of one stream, in order, until they are at their end or hold very much.
/// `window` is what the stream's log events before these left.
pub fn convert(
    envelope: &Envelope,
    events: &[LogEvent],
    window: Window,
    options: &ConvertOptions,
    observed_unix_nano: u64,
) -> Converted {
    if envelope.message_type == MessageType::Control {
        let taken = events.len();
        let ledger = Ledger { events: taken, consumed: taken, ..Ledger::default() };
        return Converted { taken, ledger, ..Converted::default() };
    }
    let identity = Identity::of(&platform::Source {
        account: &envelope.owner,
        region: options.region.as_deref(),
        log_group: &envelope.log_group,
        log_stream: &envelope.log_stream,
    });
    let service_name = identity.service_name.clone();
    let mut converted = Converted { service_name, ..Converted::default() };
    let mut others =
        Converter::new(identity, options.platform, observed_unix_nano).with_window(window);
    for event in events {
        convert_event(event, options, &mut others, &mut converted);
        converted.taken += 1;
        if converted.decoded_bytes >= MOST_DECODED_BYTES {
            break;
        }
    }
    converted.ledger.events = converted.taken;
    let rest = others.finish();
    converted.ledger.consumed += rest.consumed;
    converted.implausible_figures = rest.dropped_values;
    converted.window = rest.window;
    let logs = rest.logs.map(|logs| Request::encode::<Logs>(&Logs::request(vec![logs])));
    let metrics =
        rest.metrics.map(|metrics| Request::encode::<Metrics>(&Metrics::request(vec![metrics])));
    for request in logs.into_iter().chain(metrics) {
        take(&mut converted, request);
    }
    converted
}

fn convert_event(
    event: &LogEvent,
    options: &ConvertOptions,
    others: &mut Converter,
    converted: &mut Converted,
) {
    let time_ms = options.time_shift.apply_to_millis(event.timestamp_ms);
    let log_event = |message| platform::LogEvent { id: &event.id, time_ms, message };
    let Some(reading) = read_line(&event.message, &options.limits) else {
        others.log_event(&log_event(&event.message));
        return;
    };
    let has_items = reading.decoded.iter().any(|line| line.request.items() > 0);
    if !has_items && reading.undecodable.is_empty() && reading.text.is_none() {
        converted.ledger.consumed += 1;
    }
    for line in reading.decoded {
        take(converted, shift::request(line.request, options.time_shift));
    }
    for line in reading.undecodable {
        let reason = line.reason.to_string();
        others.undecodable(
            &log_event(&event.message),
            &Undecodable { reason: &reason, size_bytes: line.bytes, sha256: &line.sha256 },
        );
        converted.ledger.items.undecodable += 1;
        converted.ledger.dead_lettered += 1;
        converted.undecodable.push((event.id.clone(), line));
    }
    if let Some(text) = &reading.text {
        others.log_event(&log_event(text));
    }
}

fn take(converted: &mut Converted, request: Request) {
    converted.ledger.items.add(request.kind(), request.items());
    if request.items() > 0 {
        converted.decoded_bytes += request.bytes().len();
        converted.requests.push(request);
    }
}
