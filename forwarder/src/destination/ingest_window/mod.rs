//! Finds log records and spans that the backend discards for their time, before they are sent.
//!
//! OpenObserve answers 200 and throws away logs (by their time, or where that is 0 their observed time) and spans (by
//! their start) that are older than `ZO_INGEST_ALLOWED_UPTO`, 5 hours, or more than `ZO_INGEST_ALLOWED_IN_FUTURE`, 24
//! hours, ahead; metrics of any age are taken (v0.60.5, measured). Other backends have no such window.

pub(crate) mod rewrite;

use backend::{Profile, Times};
use settings::{Kind, Reader, Variable};
use std::time::Duration;
use wire::protobuf::{Reader as Fields, Value, messages, messages_of};
use wire::{Request, SignalKind};

/// OpenObserve's `ZO_INGEST_ALLOWED_IN_FUTURE`.
const FUTURE: Duration = Duration::from_hours(24);
/// What is this close to the end of the window may be outside when it arrives: a delivery takes 10 s at most.
const MARGIN: Duration = Duration::from_secs(15);

/// The variables.
pub const OLD_RECORDS: &[Variable] = &[
    Variable {
        name: "LAMBDA_OTLP_INGEST_WINDOW",
        default: Some("5h"),
        kind: Kind::Duration,
        doc: "Maximum age of logs and traces that OpenObserve accepts. Set it to the value of `ZO_INGEST_ALLOWED_UPTO` if you changed that. Ignored with `LAMBDA_OTLP_BACKEND=otlp`.",
    },
    Variable {
        name: "LAMBDA_OTLP_OLD_RECORDS",
        default: Some("keep"),
        kind: Kind::Choice(&["keep", "restamp", "drop"]),
        doc: "The fate of logs and traces older than that. `keep` sends them to the dead-letter queue. Set `restamp` to send them with the current time; `lambda_otlp.original_time` then has the original. Set `drop` to discard them.",
    },
];

/// What is done with records that are outside the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OldRecords {
    /// They are dead-lettered.
    #[default]
    Keep,
    /// They get the present time.
    Restamp,
    /// They are dropped and counted.
    Drop,
}

/// Which records the backend takes by their time, and what is done with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IngestPolicy {
    /// `None` where the backend takes every time.
    pub window: Option<IngestWindow>,
    /// What is done with those outside.
    pub old_records: OldRecords,
}

impl IngestPolicy {
    /// What the variables say, for a destination that has a window; see [`of`](Self::of).
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let choices = [
            ("keep", OldRecords::Keep),
            ("restamp", OldRecords::Restamp),
            ("drop", OldRecords::Drop),
        ];
        let old_records = reader.choice("LAMBDA_OTLP_OLD_RECORDS", &choices, OldRecords::Keep);
        let past = reader.duration("LAMBDA_OTLP_INGEST_WINDOW");
        if past <= MARGIN {
            reader.mistake(
                "LAMBDA_OTLP_INGEST_WINDOW",
                "must be longer than 15s: every record would be too old",
            );
        }
        Self { window: Some(IngestWindow { past }), old_records }
    }

    /// The same for a destination of this profile: only OpenObserve has a window.
    #[must_use]
    pub fn of(self, profile: Profile) -> Self {
        let window = self.window.filter(|_| profile == Profile::OpenObserve);
        Self { window, ..self }
    }

    /// Takes records of all times.
    pub fn any_time() -> Self {
        Self { window: None, old_records: OldRecords::Keep }
    }

    /// Sorts the items of a request; `times` are those of all of them, and of others maybe, where they are known. Decodes
    /// nothing, and copies only where an item is outside.
    pub fn sort(&self, request: Request, times: Option<Times>, now_unix_nano: u64) -> Sorted {
        let sent = |request| Sorted { send: Some(request), ..Sorted::default() };
        let Some(window) = self.window else { return sent(request) };
        let takes = |time_unix_nano| !window.misses(time_unix_nano, now_unix_nano);
        let takes_all =
            |times: Times| takes(times.oldest_unix_nano) && takes(times.newest_unix_nano);
        if times.is_some_and(takes_all) || !window.misses_any(&request, now_unix_nano) {
            return sent(request);
        }
        if self.old_records == OldRecords::Restamp {
            let (request, restamped) = rewrite::restamp(&request, window, now_unix_nano);
            return Sorted { send: Some(request), restamped, ..Sorted::default() };
        }
        let (recent, old) = rewrite::partition(&request, window, now_unix_nano);
        match self.old_records {
            OldRecords::Drop => {
                let dropped = old.as_ref().map_or(0, Request::items);
                Sorted { send: recent, dropped, ..Sorted::default() }
            }
            OldRecords::Keep | OldRecords::Restamp => {
                Sorted { send: recent, keep: old, ..Sorted::default() }
            }
        }
    }
}

/// What became of the items of a request: those of `send` and `keep` and `dropped` add up to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "what is kept has to be dead-lettered, and what is dropped counted"]
pub struct Sorted {
    /// To be sent.
    pub send: Option<Request>,
    /// To be dead-lettered.
    pub keep: Option<Request>,
    /// Items that are dropped.
    pub dropped: usize,
    /// Items of `send` that got the present time.
    pub restamped: usize,
}

/// The times that the backend takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IngestWindow {
    /// How old a record may be.
    pub past: Duration,
}

impl IngestWindow {
    /// Whether a record of this time is discarded when it is sent now. A time of 0 is 1970.
    pub fn misses(&self, time_unix_nano: u64, now_unix_nano: u64) -> bool {
        time_unix_nano < self.oldest(now_unix_nano)
            || time_unix_nano > now_unix_nano.saturating_add(nanos(FUTURE.saturating_sub(MARGIN)))
    }

    /// The earliest time that is taken now.
    fn oldest(&self, now_unix_nano: u64) -> u64 {
        now_unix_nano.saturating_sub(nanos(self.past.saturating_sub(MARGIN)))
    }

    /// How long a record of this time will still be taken; `None` if it is not now.
    pub fn time_left(&self, time_unix_nano: u64, now_unix_nano: u64) -> Option<Duration> {
        let left = time_unix_nano.checked_sub(self.oldest(now_unix_nano))?;
        Some(Duration::from_nanos(left))
    }

    fn misses_any(&self, request: &Request, now_unix_nano: u64) -> bool {
        let mut any = false;
        each_time(request, &mut |time| any |= self.misses(time, now_unix_nano));
        any && has_window(request.kind())
    }
}

/// Metrics of any age are taken.
fn has_window(kind: SignalKind) -> bool {
    kind != SignalKind::Metrics
}

/// Times of the oldest and the newest item, in nanoseconds since the Unix epoch: log records by their time (where it is 0
/// their observed time), spans by their start, data points by their time. Items without a time are passed over.
pub fn time_range(request: &Request) -> Option<(u64, u64)> {
    let mut range: Option<(u64, u64)> = None;
    each_time(request, &mut |time| {
        if time > 0 {
            let (oldest, newest) = range.unwrap_or((time, time));
            range = Some((oldest.min(time), newest.max(time)));
        }
    });
    range
}

// Field numbers: opentelemetry-proto 1.x, `trace/v1/trace.proto`, `logs/v1/logs.proto`, `metrics/v1/metrics.proto`.
const CONTAINER: u32 = 1;
const SCOPE: u32 = 2;
const ITEM: u32 = 2;
/// Gauge, sum, histogram, exponential histogram, summary.
const DATA: &[u32] = &[5, 7, 9, 10, 11];
const DATA_POINT: u32 = 1;
const SPAN_START: u32 = 7;
const LOG_TIME: u32 = 1;
const LOG_OBSERVED: u32 = 11;
const POINT_TIME: u32 = 3;

fn each_time(request: &Request, take: &mut dyn FnMut(u64)) {
    let kind = request.kind();
    for container in messages(request.bytes(), CONTAINER) {
        for scope in messages(container, SCOPE) {
            for item in messages(scope, ITEM) {
                if kind == SignalKind::Metrics {
                    messages_of(item, DATA)
                        .flat_map(|data| messages(data, DATA_POINT))
                        .for_each(|point| take(fixed64(point, POINT_TIME)));
                } else {
                    take(item_time(kind, item));
                }
            }
        }
    }
}

/// The time by which OpenObserve judges a span or log record.
fn item_time(kind: SignalKind, item: &[u8]) -> u64 {
    if kind == SignalKind::Traces {
        return fixed64(item, SPAN_START);
    }
    match fixed64(item, LOG_TIME) {
        0 => fixed64(item, LOG_OBSERVED),
        time => time,
    }
}

/// The last value counts, as everywhere in protobuf.
fn fixed64(message: &[u8], number: u32) -> u64 {
    let mut found = 0;
    for field in Fields::new(message).map_while(Result::ok) {
        if let (true, Value::Fixed64(value)) = (field.number == number, field.value) {
            found = value;
        }
    }
    found
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
