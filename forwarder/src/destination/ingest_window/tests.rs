//! Items outside the window are found, removed or moved, and all items add up.

use super::rewrite::ORIGINAL_TIME;
use super::*;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, span};
use proptest::prelude::*;
use wire::{Limits, Logs, Metrics, Traces};

const NOW: u64 = 1_790_000_000_000_000_000;
const HOUR: u64 = 3_600_000_000_000;
const WINDOW: IngestWindow = IngestWindow { past: Duration::from_hours(5) };

fn policy(old_records: OldRecords) -> IngestPolicy {
    IngestPolicy { window: Some(WINDOW), old_records }
}

/// One record per number, spread over resources. The `text` identifies it.
fn logs(times: &[(u64, u64)]) -> Request {
    let record = |(at, (time, observed)): (usize, &(u64, u64))| LogRecord {
        time_unix_nano: *time,
        observed_time_unix_nano: *observed,
        severity_text: at.to_string(),
        ..LogRecord::default()
    };
    let records: Vec<LogRecord> = times.iter().enumerate().map(record).collect();
    let container = |records: &[LogRecord]| ResourceLogs {
        resource: Some(Resource { dropped_attributes_count: 7, ..Resource::default() }),
        scope_logs: vec![ScopeLogs {
            scope: Some(InstrumentationScope { name: "scope".to_owned(), ..Default::default() }),
            log_records: records.to_vec(),
            schema_url: "url".to_owned(),
        }],
        ..ResourceLogs::default()
    };
    let resource_logs = records.chunks(3).map(container).collect();
    Request::encode::<Logs>(&ExportLogsServiceRequest { resource_logs })
}

fn records(request: &Request) -> Vec<LogRecord> {
    let decoded = request.decode::<Logs>().unwrap().unwrap();
    let scopes = decoded.resource_logs.into_iter().flat_map(|container| {
        assert_eq!(container.resource.unwrap().dropped_attributes_count, 7);
        container.scope_logs
    });
    let records = scopes.flat_map(|scope| {
        assert_eq!(
            (scope.scope.unwrap().name.as_str(), scope.schema_url.as_str()),
            ("scope", "url")
        );
        scope.log_records
    });
    records.collect()
}

fn names(request: Option<&Request>) -> String {
    let names: Vec<String> =
        request.map(records).into_iter().flatten().map(|record| record.severity_text).collect();
    names.join(" ")
}

fn traces(spans: Vec<Span>) -> Request {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    Request::encode::<Traces>(&ExportTraceServiceRequest { resource_spans })
}

fn spans(request: &Request) -> Vec<Span> {
    let decoded = request.decode::<Traces>().unwrap().unwrap();
    let scopes = decoded.resource_spans.into_iter().flat_map(|container| container.scope_spans);
    scopes.flat_map(|scope| scope.spans).collect()
}

fn metrics(times: &[u64]) -> Request {
    let point =
        |time: &u64| NumberDataPoint { time_unix_nano: *time, ..NumberDataPoint::default() };
    let gauge = Gauge { data_points: times.iter().map(point).collect() };
    let metrics = vec![Metric { data: Some(metric::Data::Gauge(gauge)), ..Metric::default() }];
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    let resource_metrics = vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }];
    Request::encode::<Metrics>(&ExportMetricsServiceRequest { resource_metrics })
}

fn original_time(attributes: &[KeyValue]) -> Vec<&str> {
    let texts =
        attributes.iter().filter(|attribute| attribute.key == ORIGINAL_TIME).map(|attribute| {
            match attribute.value.as_ref().unwrap().value.as_ref().unwrap() {
                any_value::Value::StringValue(text) => text.as_str(),
                other => panic!("{other:?}"),
            }
        });
    texts.collect()
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
fn records_outside_the_window_are_kept_dropped_or_restamped() {
    // Recent, old, by observed time, old by observed time, no time at all, too far ahead.
    let times = [
        (NOW, 0),
        (NOW - 6 * HOUR, NOW),
        (0, NOW - HOUR),
        (0, NOW - 7 * HOUR),
        (0, 0),
        (NOW + 25 * HOUR, NOW),
        (NOW - HOUR, NOW),
    ];
    let request = logs(&times);
    let sorted = policy(OldRecords::Keep).sort(request.clone(), None, NOW);
    assert_eq!(names(sorted.send.as_ref()), "0 2 6");
    assert_eq!(names(sorted.keep.as_ref()), "1 3 4 5");
    assert_eq!((sorted.dropped, sorted.restamped), (0, 0));
    let sorted = policy(OldRecords::Drop).sort(request.clone(), None, NOW);
    assert_eq!((names(sorted.send.as_ref()).as_str(), sorted.dropped), ("0 2 6", 4));
    assert_eq!(sorted.keep, None);
    let sorted = policy(OldRecords::Restamp).sort(request.clone(), None, NOW);
    assert_eq!((names(sorted.send.as_ref()).as_str(), sorted.restamped), ("0 1 2 3 4 5 6", 4));
    let moved = records(sorted.send.as_ref().unwrap());
    assert_eq!(moved[1].time_unix_nano, NOW);
    assert_eq!(moved[1].observed_time_unix_nano, NOW);
    assert_eq!(original_time(&moved[1].attributes), ["2026-09-21T08:13:20.000000000Z"]);
    assert_eq!(original_time(&moved[3].attributes), ["2026-09-21T07:13:20.000000000Z"]);
    assert_eq!(original_time(&moved[4].attributes), ["1970-01-01T00:00:00.000000000Z"]);
    assert_eq!(original_time(&moved[0].attributes), [""; 0]);
    assert_eq!(moved[0], records(&request)[0]);
    // Moved again after a wait: the first time stays.
    let later = NOW + 8 * HOUR;
    let sorted = policy(OldRecords::Restamp).sort(sorted.send.unwrap(), None, later);
    let again = records(sorted.send.as_ref().unwrap());
    assert_eq!(again[1].time_unix_nano, later);
    assert_eq!(original_time(&again[1].attributes), ["2026-09-21T08:13:20.000000000Z"]);
}

#[test]
fn a_restamped_span_keeps_its_duration_and_event_offsets() {
    let start = NOW - 10 * HOUR;
    let event =
        |time| span::Event { time_unix_nano: time, name: "e".to_owned(), ..Default::default() };
    let span = Span {
        name: "s".to_owned(),
        start_time_unix_nano: start,
        end_time_unix_nano: start + 5,
        events: vec![event(start + 2), event(0), event(start - 1)],
        flags: 1,
        ..Span::default()
    };
    let recent = Span { start_time_unix_nano: NOW - HOUR, ..Span::default() };
    let request = traces(vec![span.clone(), recent.clone()]);
    let sorted = policy(OldRecords::Restamp).sort(request.clone(), None, NOW);
    assert_eq!(sorted.restamped, 1);
    let moved = spans(&sorted.send.unwrap());
    assert_eq!(moved[1], recent);
    assert_eq!((moved[0].start_time_unix_nano, moved[0].end_time_unix_nano), (NOW, NOW + 5));
    let times: Vec<u64> = moved[0].events.iter().map(|event| event.time_unix_nano).collect();
    assert_eq!(times, [NOW + 2, 0, NOW - 1]);
    assert!(moved[0].events.iter().all(|event| event.name == "e"));
    assert_eq!((moved[0].name.as_str(), moved[0].flags), ("s", 1));
    assert_eq!(original_time(&moved[0].attributes), ["2026-09-21T04:13:20.000000000Z"]);
    let sorted = policy(OldRecords::Keep).sort(request, None, NOW);
    assert_eq!(spans(&sorted.keep.unwrap()), [span]);
    // An end before the start, and times near the limit.
    let odd = Span { start_time_unix_nano: u64::MAX, end_time_unix_nano: 3, ..Span::default() };
    let sorted = policy(OldRecords::Restamp).sort(traces(vec![odd]), None, NOW);
    let moved = spans(&sorted.send.unwrap());
    assert_eq!((moved[0].start_time_unix_nano, moved[0].end_time_unix_nano), (NOW, NOW));
}

#[test]
fn metrics_and_other_backends_have_no_window() {
    let old = metrics(&[1, NOW + 48 * HOUR]);
    let sorted = policy(OldRecords::Drop).sort(old.clone(), None, NOW);
    assert_eq!(sorted, Sorted { send: Some(old), ..Sorted::default() });
    let policy = IngestPolicy { window: None, old_records: OldRecords::Drop };
    let old = logs(&[(1, 0)]);
    let sorted = policy.sort(old.clone(), None, NOW);
    assert_eq!(sorted, Sorted { send: Some(old), ..Sorted::default() });
}

#[test]
fn the_ingest_policy_is_read_from_variables() {
    use settings::Table;
    const TABLE: Table = Table::new(&[OLD_RECORDS]);
    assert_eq!(TABLE.problems(), Vec::<String>::new());
    let check = |variables: &[(&'static str, &'static str)], profile, expected: IngestPolicy| {
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
