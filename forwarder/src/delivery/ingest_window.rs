//! Finds log records and spans outside the backend's ingest window before they are sent.
//!
//! OpenObserve answers 200 and discards logs (by time or observed time) and spans (by start) that are older than
//! `ZO_INGEST_ALLOWED_UPTO` (5 hours) or more than `ZO_INGEST_ALLOWED_IN_FUTURE` (24 hours) ahead. It accepts metrics of any age
//! (measured with v0.60.5). Other backends have no such window.

use backend::{Profile, TimeRange};
use settings::{Reader, Setting, SettingWithDefault, Variable, Word};
use std::time::Duration;
use wire::edit::{Edit, Editor};
use wire::field::{event, log_record, span};
use wire::protobuf::{Value, Writer, fields};
use wire::reserved::ORIGINAL_TIME;
use wire::timestamp::rfc3339_nanos;
use wire::view::{Container, Item, ItemKind, ScopeContainer, fixed64, key_and_value};
use wire::{Request, SignalKind};

/// OpenObserve's `ZO_INGEST_ALLOWED_IN_FUTURE`.
const FUTURE: Duration = Duration::from_hours(24);
/// Safety margin: a delivery takes up to 10 s.
const MARGIN: Duration = Duration::from_secs(15);

const INGEST_WINDOW: SettingWithDefault<Duration> = Setting::duration(
    "LAMBDA_OTLP_INGEST_WINDOW",
    "Maximum age of logs and traces that OpenObserve accepts. Set it to the value of `ZO_INGEST_ALLOWED_UPTO` if you changed that, or to `24h` with its Helm charts. Ignored with `LAMBDA_OTLP_BACKEND=otlp`.",
)
.with_default("5h");

const FATE_OF_OLD_RECORDS: SettingWithDefault<Word> = Setting::choice(
    "LAMBDA_OTLP_OLD_RECORDS",
    &["keep", "restamp", "drop"],
    "Fate of older logs and traces. `keep` dead-letters them. `restamp` sends them with the current time, and the original in `lambda_otlp.original_time`. `drop` discards them.",
)
.with_default("keep");

pub(crate) const OLD_RECORDS: &[Variable] = &[INGEST_WINDOW.row(), FATE_OF_OLD_RECORDS.row()];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OldRecords {
    /// The word of the variable is `keep`.
    #[default]
    DeadLetter,
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
    /// Reads the variables, for a destination with a window; see [`for_profile`](Self::for_profile).
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        let choices = [
            ("keep", OldRecords::DeadLetter),
            ("restamp", OldRecords::Restamp),
            ("drop", OldRecords::Drop),
        ];
        let old_records = reader.choice(FATE_OF_OLD_RECORDS, &choices, OldRecords::DeadLetter);
        let past = reader.read(INGEST_WINDOW);
        if past <= MARGIN {
            reader.mistake(INGEST_WINDOW, "must be longer than 15s: every record would be too old");
        }
        Self { window: Some(IngestWindow { past }), old_records }
    }

    /// Adapts the policy to a profile: only OpenObserve has a window.
    #[must_use]
    pub fn for_profile(self, profile: Profile) -> Self {
        let window = self.window.filter(|_| profile == Profile::OpenObserve);
        Self { window, ..self }
    }

    pub fn any_time() -> Self {
        Self { window: None, old_records: OldRecords::DeadLetter }
    }

    /// Separates the items of a request that the backend would discard. `known_range` contains their times, and may be wider.
    /// Copies the request only if an item is outside the window.
    pub(super) fn sort(
        &self,
        request: Request,
        known_range: Option<TimeRange>,
        now_unix_nano: u64,
    ) -> SortedRequest {
        let Some(window) = self.window else { return SortedRequest::timely(request) };
        let accepts = |time_unix_nano| !window.excludes(time_unix_nano, now_unix_nano);
        let accepts_all =
            |range: TimeRange| accepts(range.oldest_unix_nano) && accepts(range.newest_unix_nano);
        if known_range.is_some_and(accepts_all) || !window.excludes_any(&request, now_unix_nano) {
            return SortedRequest::timely(request);
        }
        let mut keep_inside = KeepSide { window, now_unix_nano, is_outside: false };
        let mut keep_outside = KeepSide { window, now_unix_nano, is_outside: true };
        match self.old_records {
            OldRecords::Restamp => {
                let mut restamp = Restamp { window, now_unix_nano, restamped: 0 };
                let timely = request.edit(&mut restamp);
                let restamped = restamp.restamped;
                SortedRequest { timely, restamped, ..SortedRequest::default() }
            }
            OldRecords::Drop => {
                let items = request.items();
                let timely = request.edit(&mut keep_inside);
                let dropped = items - timely.as_ref().map_or(0, Request::items);
                SortedRequest { timely, dropped, ..SortedRequest::default() }
            }
            OldRecords::DeadLetter => {
                let outside = request.clone().edit(&mut keep_outside);
                let timely = request.edit(&mut keep_inside);
                SortedRequest { timely, outside, ..SortedRequest::default() }
            }
        }
    }
}

/// The items of a request by the ingest window.
#[derive(Debug, Default)]
pub(super) struct SortedRequest {
    /// The items to send.
    pub(super) timely: Option<Request>,
    /// The items to dead-letter.
    pub(super) outside: Option<Request>,
    pub(super) dropped: usize,
    /// Items to send whose time was replaced.
    pub(super) restamped: usize,
}

impl SortedRequest {
    fn timely(request: Request) -> Self {
        Self { timely: Some(request), ..Self::default() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IngestWindow {
    pub past: Duration,
}

impl IngestWindow {
    /// Returns `true` if the backend would discard a record of this time now. A time of 0 is 1970.
    fn excludes(&self, time_unix_nano: u64, now_unix_nano: u64) -> bool {
        time_unix_nano < self.oldest(now_unix_nano)
            || time_unix_nano > now_unix_nano.saturating_add(nanos(FUTURE.saturating_sub(MARGIN)))
    }

    fn oldest(&self, now_unix_nano: u64) -> u64 {
        now_unix_nano.saturating_sub(nanos(self.past.saturating_sub(MARGIN)))
    }

    /// Time until a record leaves the window; `None` if it is outside.
    pub(crate) fn time_left(&self, time_unix_nano: u64, now_unix_nano: u64) -> Option<Duration> {
        let left = time_unix_nano.checked_sub(self.oldest(now_unix_nano))?;
        Some(Duration::from_nanos(left))
    }

    /// Metrics of any age are accepted.
    fn excludes_any(&self, request: &Request, now_unix_nano: u64) -> bool {
        request.kind() != SignalKind::Metrics
            && times_of_items(request).any(|time| self.excludes(time, now_unix_nano))
    }
}

fn times_of_items(request: &Request) -> impl Iterator<Item = u64> {
    let scopes = request.containers().flat_map(Container::scopes);
    scopes.flat_map(ScopeContainer::items).map(Item::time_unix_nano)
}

/// The times of the items that have one.
pub(crate) fn known_times(request: &Request) -> Option<TimeRange> {
    TimeRange::of(times_of_items(request).filter(|time| *time > 0))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Keeps the items outside the window, or those inside.
struct KeepSide {
    window: IngestWindow,
    now_unix_nano: u64,
    is_outside: bool,
}

impl Editor for KeepSide {
    fn item(&mut self, item: Item<'_>) -> Edit {
        let is_outside = self.window.excludes(item.time_unix_nano(), self.now_unix_nano);
        if is_outside == self.is_outside { Edit::Keep } else { Edit::Drop }
    }
}

/// Gives items outside the window the present time, and counts them.
struct Restamp {
    window: IngestWindow,
    now_unix_nano: u64,
    restamped: usize,
}

impl Editor for Restamp {
    fn item(&mut self, item: Item<'_>) -> Edit {
        let time = item.time_unix_nano();
        let now_unix_nano = self.now_unix_nano;
        if !self.window.excludes(time, now_unix_nano) {
            return Edit::Keep;
        }
        self.restamped += 1;
        let mut out = Vec::with_capacity(item.bytes.len() + 128);
        // First, because shortening a large item keeps its first attributes.
        write_original_time(item, time, &mut out);
        if item.kind == ItemKind::Span {
            write_moved_span(item.bytes, now_unix_nano, &mut out);
        } else {
            let mut writer = Writer::new(&mut out);
            write_with_time(item.bytes, log_record::TIME, now_unix_nano, &mut writer);
        }
        Edit::Replace(out)
    }
}

/// Writes a message with another time in this field.
fn write_with_time(message: &[u8], number: u32, time: u64, out: &mut Writer<'_>) {
    out.fixed64(number, time);
    fields(message).filter(|field| field.number != number).for_each(|field| out.raw(field.raw));
}

/// Writes a span moved to the present. Its duration and the relative times of its events stay.
fn write_moved_span(bytes: &[u8], now_unix_nano: u64, out: &mut Vec<u8>) {
    let start = fixed64(bytes, span::START_TIME);
    let end = fixed64(bytes, span::END_TIME);
    let moved = |time: u64| {
        let since_start = i128::from(time) - i128::from(start);
        let present = i128::from(now_unix_nano) + since_start;
        u64::try_from(present.max(0)).unwrap_or(u64::MAX)
    };
    let mut out = Writer::new(out);
    out.fixed64(span::START_TIME, now_unix_nano);
    out.fixed64(span::END_TIME, moved(end.max(start)));
    for field in fields(bytes) {
        match (field.number, field.value) {
            (span::START_TIME | span::END_TIME, _) => {}
            (span::EVENTS, Value::Len(event)) if fixed64(event, event::TIME) > 0 => {
                let time = moved(fixed64(event, event::TIME));
                out.message(span::EVENTS, |out| write_with_time(event, event::TIME, time, out));
            }
            _ => out.raw(field.raw),
        }
    }
}

/// Writes the attribute with the original time, unless an earlier restamp added it.
fn write_original_time(item: Item<'_>, time: u64, out: &mut Vec<u8>) {
    let has_attribute = item.attributes().any(|attribute| {
        let (key, _) = key_and_value(attribute);
        key == ORIGINAL_TIME.as_bytes()
    });
    if !has_attribute {
        Writer::new(out).text_attribute(
            item.kind.attributes(),
            ORIGINAL_TIME,
            &rfc3339_nanos(time),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::KeyValue;
    use opentelemetry_proto::tonic::logs::v1::LogRecord;
    use opentelemetry_proto::tonic::trace::v1::Span;

    const NOW: u64 = 1_790_000_000_000_000_000;
    const HOUR: u64 = 3_600_000_000_000;
    const WINDOW: IngestWindow = IngestWindow { past: Duration::from_hours(5) };

    #[test]
    fn the_ingest_window_is_narrowed_by_a_margin_at_both_ends() {
        let check = |time: u64, is_excluded: bool| {
            assert_eq!(WINDOW.excludes(time, NOW), is_excluded, "{time}");
        };
        check(NOW, false);
        check(NOW - 5 * HOUR + 15_000_000_000, false);
        check(NOW - 5 * HOUR + 14_999_999_999, true);
        check(NOW + 24 * HOUR - 15_000_000_000, false);
        check(NOW + 24 * HOUR - 14_999_999_999, true);
        check(0, true);
        check(u64::MAX, true);
        assert!(!WINDOW.excludes(0, HOUR));
        assert_eq!(WINDOW.time_left(NOW - HOUR, NOW), Some(Duration::from_secs(4 * 3600 - 15)));
        assert_eq!(WINDOW.time_left(NOW - 5 * HOUR, NOW), None);
    }

    #[test]
    fn a_shortened_item_keeps_its_original_time() {
        let attributes: Vec<KeyValue> = (0..5_000)
            .map(|number| KeyValue { key: format!("key.{number}"), ..KeyValue::default() })
            .collect();
        let span = Span {
            start_time_unix_nano: HOUR,
            end_time_unix_nano: HOUR,
            attributes: attributes.clone(),
            ..Span::default()
        };
        let record = LogRecord { time_unix_nano: HOUR, attributes, ..LogRecord::default() };
        for request in
            [Request::of_spans(None, vec![span]), Request::of_log_records(None, vec![record])]
        {
            let mut restamp = Restamp { window: WINDOW, now_unix_nano: NOW, restamped: 0 };
            let restamped = request.edit(&mut restamp).unwrap();
            let smallest = restamped.shortened().last().unwrap().request;
            assert!(smallest.bytes().len() < 2_000);
            let original = b"1970-01-01T01:00:00.000000000Z";
            assert!(smallest.bytes().windows(original.len()).any(|part| part == original));
        }
    }

    #[test]
    fn the_ingest_policy_is_read_from_variables() {
        const TABLE: settings::Table = settings::Table::new(&[OLD_RECORDS]);
        let check = |variables: &[(&str, &str)], profile, expected: (Option<u64>, OldRecords)| {
            let source: std::collections::HashMap<String, String> =
                variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            let IngestPolicy { window, old_records } =
                IngestPolicy::read(&mut Reader::new(&source, TABLE)).for_profile(profile);
            let hours = window.map(|window| window.past.as_secs() / 3600);
            assert_eq!((hours, old_records), expected);
        };
        check(&[], Profile::OpenObserve, (Some(5), OldRecords::DeadLetter));
        check(&[], Profile::Otlp, (None, OldRecords::DeadLetter));
        let set = [("LAMBDA_OTLP_INGEST_WINDOW", "48h"), ("LAMBDA_OTLP_OLD_RECORDS", "restamp")];
        check(&set, Profile::OpenObserve, (Some(48), OldRecords::Restamp));
    }
}
