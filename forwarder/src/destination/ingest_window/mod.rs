//! Finds log records and spans outside the backend's ingest window before they are sent.
//!
//! OpenObserve answers 200 and discards logs (by time or observed time) and spans (by start) that are older than
//! `ZO_INGEST_ALLOWED_UPTO` (5 hours) or more than `ZO_INGEST_ALLOWED_IN_FUTURE` (24 hours) ahead. It accepts metrics of any age
//! (measured with v0.60.5). Other backends have no such window.

pub(crate) mod rewrite;

use backend::{Profile, Times};
use settings::{Kind, Reader, Variable};
use std::time::Duration;
use wire::protobuf::{Reader as Fields, Value, messages, messages_of};
use wire::{Request, SignalKind};

/// OpenObserve's `ZO_INGEST_ALLOWED_IN_FUTURE`.
const FUTURE: Duration = Duration::from_hours(24);
/// Safety margin: a delivery takes up to 10 s.
const MARGIN: Duration = Duration::from_secs(15);

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
        doc: "Fate of older logs and traces. `keep` dead-letters them. `restamp` sends them with the current time, and the original in `lambda_otlp.original_time`. `drop` discards them.",
    },
];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OldRecords {
    /// Dead-letter them.
    #[default]
    Keep,
    /// Give them the present time.
    Restamp,
    Drop,
}

/// The ingest window of a destination and the treatment of records outside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IngestPolicy {
    /// `None` if the backend accepts every time.
    pub window: Option<IngestWindow>,
    pub old_records: OldRecords,
}

impl IngestPolicy {
    /// Reads the variables, for a destination with a window; see [`of`](Self::of).
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

    /// Adapts the policy to a profile: only OpenObserve has a window.
    #[must_use]
    pub fn of(self, profile: Profile) -> Self {
        let window = self.window.filter(|_| profile == Profile::OpenObserve);
        Self { window, ..self }
    }

    pub fn any_time() -> Self {
        Self { window: None, old_records: OldRecords::Keep }
    }

    /// Sorts the items of a request by the window. `times` is the known range of their times, which may be wider. Copies the
    /// request only if an item is outside.
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

/// The sorted items of a request. The items of `send`, `keep` and `dropped` add up to all items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "`keep` must be dead-lettered, and `dropped` counted"]
pub struct Sorted {
    pub send: Option<Request>,
    /// Items for the dead-letter queue.
    pub keep: Option<Request>,
    pub dropped: usize,
    /// Items of `send` that got the present time.
    pub restamped: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IngestWindow {
    pub past: Duration,
}

impl IngestWindow {
    /// Returns `true` if the backend would discard a record of this time now. A time of 0 is 1970.
    pub fn misses(&self, time_unix_nano: u64, now_unix_nano: u64) -> bool {
        time_unix_nano < self.oldest(now_unix_nano)
            || time_unix_nano > now_unix_nano.saturating_add(nanos(FUTURE.saturating_sub(MARGIN)))
    }

    fn oldest(&self, now_unix_nano: u64) -> u64 {
        now_unix_nano.saturating_sub(nanos(self.past.saturating_sub(MARGIN)))
    }

    /// Time until a record leaves the window; `None` if it is outside.
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

/// Metrics of any age are accepted.
fn has_window(kind: SignalKind) -> bool {
    kind != SignalKind::Metrics
}

/// Times of the oldest and the newest item, in nanoseconds since the Unix epoch: time or observed time of log records, start of
/// spans, time of data points. Ignores items without a time.
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

fn item_time(kind: SignalKind, item: &[u8]) -> u64 {
    if kind == SignalKind::Traces {
        return fixed64(item, SPAN_START);
    }
    match fixed64(item, LOG_TIME) {
        0 => fixed64(item, LOG_OBSERVED),
        time => time,
    }
}

/// The last occurrence of a field counts, as always in protobuf.
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
