//! Finds log records and spans outside the backend's ingest window before they are sent.
//!
//! OpenObserve answers 200 and discards logs (by time or observed time) and spans (by start) that are older than
//! `ZO_INGEST_ALLOWED_UPTO` (5 hours) or more than `ZO_INGEST_ALLOWED_IN_FUTURE` (24 hours) ahead. It accepts metrics of any age
//! (measured with v0.60.5). Other backends have no such window.

use backend::{Profile, Times};
use settings::{Kind, Reader, Variable};
use std::time::Duration;
use wire::protobuf::{Reader as Fields, Value, Writer, messages, messages_of};
use wire::timestamp::rfc3339_nanos;
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
            let (request, restamped) = restamp(&request, window, now_unix_nano);
            return Sorted { send: Some(request), restamped, ..Sorted::default() };
        }
        let (recent, old) = partition(&request, window, now_unix_nano);
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

/// The attribute with the original time of a restamped record.
pub const ORIGINAL_TIME: &str = "lambda_otlp.original_time";

const SPAN_END: u32 = 8;
const SPAN_ATTRIBUTE: u32 = 9;
const SPAN_EVENT: u32 = 11;
const EVENT_TIME: u32 = 1;
const LOG_ATTRIBUTE: u32 = 6;
const KEY: u32 = 1;
const VALUE: u32 = 2;
const STRING: u32 = 1;

/// Items inside and items outside the window, each with their resources and scopes.
fn partition(
    request: &Request,
    window: IngestWindow,
    now_unix_nano: u64,
) -> (Option<Request>, Option<Request>) {
    let kind = request.kind();
    let is_outside = |item: &[u8]| window.misses(item_time(kind, item), now_unix_nano);
    let part = |outside: bool| {
        let mut bytes = Vec::new();
        let has_items = copy(
            request.bytes(),
            &[CONTAINER, SCOPE, ITEM],
            &|item| is_outside(item) == outside,
            &mut bytes,
        );
        has_items.then(|| Request::trusted(kind, bytes))
    };
    (part(false), part(true))
}

/// Copies wanted items and the fields around them. Returns `true` if there is a wanted item.
fn copy(message: &[u8], path: &[u32], wanted: &dyn Fn(&[u8]) -> bool, out: &mut Vec<u8>) -> bool {
    let Some((number, deeper)) = path.split_first() else { return wanted(message) };
    let mut has_items = false;
    for field in Fields::new(message).map_while(Result::ok) {
        match field.as_len().filter(|_| field.number == *number) {
            None => out.extend_from_slice(field.raw),
            Some(inner) if deeper.is_empty() => {
                if wanted(inner) {
                    has_items = true;
                    out.extend_from_slice(field.raw);
                }
            }
            Some(inner) => {
                let mut part = Vec::new();
                if copy(inner, deeper, wanted, &mut part) {
                    has_items = true;
                    Writer::new(out).always_bytes(field.number, &part);
                }
            }
        }
    }
    has_items
}

/// Gives items outside the window the present time, and returns their number.
fn restamp(request: &Request, window: IngestWindow, now_unix_nano: u64) -> (Request, usize) {
    let kind = request.kind();
    let mut restamped = 0;
    let mut bytes = Vec::with_capacity(request.bytes().len() + request.bytes().len() / 4);
    rewrite(request.bytes(), &[CONTAINER, SCOPE, ITEM], &mut bytes, &mut |item, out| {
        let time = item_time(kind, item);
        if !window.misses(time, now_unix_nano) {
            out.extend_from_slice(item);
            return;
        }
        restamped += 1;
        if kind == SignalKind::Traces {
            move_span(item, now_unix_nano, out);
        } else {
            move_log_record(item, time, now_unix_nano, out);
        }
    });
    (Request::trusted(kind, bytes), restamped)
}

fn rewrite(
    message: &[u8],
    path: &[u32],
    out: &mut Vec<u8>,
    item: &mut dyn FnMut(&[u8], &mut Vec<u8>),
) {
    let Some((number, deeper)) = path.split_first() else { return item(message, out) };
    for field in Fields::new(message).map_while(Result::ok) {
        match field.as_len().filter(|_| field.number == *number) {
            None => out.extend_from_slice(field.raw),
            Some(inner) => {
                let mut part = Vec::with_capacity(inner.len());
                rewrite(inner, deeper, &mut part, item);
                Writer::new(out).always_bytes(field.number, &part);
            }
        }
    }
}

fn move_log_record(record: &[u8], time: u64, now_unix_nano: u64, out: &mut Vec<u8>) {
    Writer::new(out).fixed64(LOG_TIME, now_unix_nano);
    for field in Fields::new(record).map_while(Result::ok) {
        if field.number != LOG_TIME {
            out.extend_from_slice(field.raw);
        }
    }
    keep_time(record, LOG_ATTRIBUTE, time, out);
}

/// Moves a span to the present. Duration and relative times of its events stay.
fn move_span(span: &[u8], now_unix_nano: u64, out: &mut Vec<u8>) {
    let start = fixed64(span, SPAN_START);
    let end = fixed64(span, SPAN_END);
    let moved = |time: u64| {
        let since_start = i128::from(time) - i128::from(start);
        let moved = (i128::from(now_unix_nano) + since_start).clamp(0, i128::from(u64::MAX));
        u64::try_from(moved).unwrap_or(u64::MAX)
    };
    Writer::new(out).fixed64(SPAN_START, now_unix_nano);
    Writer::new(out).fixed64(SPAN_END, moved(end.max(start)));
    for field in Fields::new(span).map_while(Result::ok) {
        match (field.number, field.value) {
            (SPAN_START | SPAN_END, _) => {}
            (SPAN_EVENT, Value::Len(event)) if fixed64(event, EVENT_TIME) > 0 => {
                Writer::new(out).message(SPAN_EVENT, |out| {
                    out.fixed64(EVENT_TIME, moved(fixed64(event, EVENT_TIME)));
                    for field in Fields::new(event).map_while(Result::ok) {
                        if field.number != EVENT_TIME {
                            out.raw(field.raw);
                        }
                    }
                });
            }
            _ => out.extend_from_slice(field.raw),
        }
    }
    keep_time(span, SPAN_ATTRIBUTE, start, out);
}

/// Adds the original time, unless an earlier restamp added it.
fn keep_time(item: &[u8], attribute: u32, time: u64, out: &mut Vec<u8>) {
    let has_it = messages(item, attribute)
        .any(|attribute| messages(attribute, KEY).last() == Some(ORIGINAL_TIME.as_bytes()));
    if !has_it {
        Writer::new(out).message(attribute, |out| {
            out.string(KEY, ORIGINAL_TIME);
            out.message(VALUE, |out| out.always_string(STRING, &rfc3339_nanos(time)));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_790_000_000_000_000_000;
    const HOUR: u64 = 3_600_000_000_000;
    const WINDOW: IngestWindow = IngestWindow { past: Duration::from_hours(5) };

    fn policy(old_records: OldRecords) -> IngestPolicy {
        IngestPolicy { window: Some(WINDOW), old_records }
    }

    #[test]
    fn the_ingest_window_is_narrowed_by_a_margin_at_both_ends() {
        let check = |time: u64, misses: bool| {
            assert_eq!(WINDOW.misses(time, NOW), misses, "{time}");
        };
        check(NOW, false);
        check(NOW - 5 * HOUR + 15_000_000_000, false);
        check(NOW - 5 * HOUR + 14_999_999_999, true);
        check(NOW + 24 * HOUR - 15_000_000_000, false);
        check(NOW + 24 * HOUR - 14_999_999_999, true);
        check(0, true);
        check(u64::MAX, true);
        assert!(!WINDOW.misses(0, HOUR));
        assert_eq!(WINDOW.time_left(NOW - HOUR, NOW), Some(Duration::from_secs(4 * 3600 - 15)));
        assert_eq!(WINDOW.time_left(NOW - 5 * HOUR, NOW), None);
    }

    #[test]
    fn the_ingest_policy_is_read_from_variables() {
        use settings::Table;
        const TABLE: Table = Table::new(&[OLD_RECORDS]);
        assert_eq!(TABLE.problems(), Vec::<String>::new());
        let check = |variables: &[(&'static str, &'static str)],
                     profile,
                     expected: IngestPolicy| {
            let source: std::collections::HashMap<String, String> =
                variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            let mut reader = Reader::new(&source, TABLE);
            assert_eq!(IngestPolicy::read(&mut reader).of(profile), expected);
            assert_eq!(reader.finish(), []);
        };
        check(&[], Profile::OpenObserve, policy(OldRecords::Keep));
        let none = IngestPolicy { window: None, old_records: OldRecords::Keep };
        check(&[], Profile::Otlp, none);
        check(
            &[("LAMBDA_OTLP_INGEST_WINDOW", "48h"), ("LAMBDA_OTLP_OLD_RECORDS", "restamp")],
            Profile::OpenObserve,
            IngestPolicy {
                window: Some(IngestWindow { past: Duration::from_hours(48) }),
                old_records: OldRecords::Restamp,
            },
        );
    }

    proptest! {

        #[test]
        fn arbitrary_bytes_are_sorted_without_panic_or_loss(bytes in prop::collection::vec(any::<u8>(), 0..200), traces: bool) {
            let kind = if traces { SignalKind::Traces } else { SignalKind::Logs };
            let request = Request::trusted(kind, bytes);
            for old_records in [OldRecords::Keep, OldRecords::Restamp, OldRecords::Drop] {
                let Sorted { send, keep, dropped, .. } = policy(old_records).sort(request.clone(), None, NOW);
                let parts = [send, keep].into_iter().flatten();
                prop_assert_eq!(parts.map(|part| part.items()).sum::<usize>() + dropped, request.items());
            }
            prop_assert!(time_range(&request).is_none_or(|(oldest, newest)| oldest <= newest));
        }
    }
}
