//! The client against the simulator's fake OpenObserve, over real sockets and on a paused clock.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use lambda_otlp_backend::{
    Client, Compression, DestinationConfig, Fate, Outcome, Profile, RetryPolicy, sanitize,
};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric::Data, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use simulator::sink::{Builder, Faults, ScriptedResponse, Sink};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;
use url::Url;
use wire::{Logs, Metrics, Request, Traces};

/// Nanoseconds since 1970 on the sink's clock: all records are of this time.
const NOW: u64 = 1_785_500_000_000_000_000;

async fn started(builder: Builder) -> Sink {
    builder.clock(|| NOW).start().await.unwrap()
}

fn destination(base: &str) -> DestinationConfig {
    DestinationConfig::new(&Url::parse(base).unwrap())
}

async fn export(destination: &DestinationConfig, request: Request) -> Outcome {
    let client = Client::new(destination).unwrap();
    client.export(None, request, Instant::now() + Duration::from_secs(10)).await
}

fn text(text: &str) -> AnyValue {
    AnyValue { value: Some(any_value::Value::StringValue(text.to_owned())) }
}

fn attribute(key: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(text("x")), ..Default::default() }
}

fn shop() -> Resource {
    let attributes = vec![KeyValue { value: Some(text("shop")), ..attribute("service.name") }];
    Resource { attributes, ..Default::default() }
}

fn log_record(number: usize) -> LogRecord {
    LogRecord {
        time_unix_nano: NOW,
        severity_text: "INFO".to_owned(),
        body: Some(text(&number.to_string())),
        ..Default::default()
    }
}

fn logs(log_records: Vec<LogRecord>) -> Request {
    let scope_logs = vec![ScopeLogs { log_records, ..Default::default() }];
    let resource_logs =
        vec![ResourceLogs { resource: Some(shop()), scope_logs, ..Default::default() }];
    Request::encode::<Logs>(&ExportLogsServiceRequest { resource_logs })
}

/// Log records whose bodies are these numbers.
fn numbered(numbers: std::ops::Range<usize>) -> Request {
    logs(numbers.map(log_record).collect())
}

fn number(record: &LogRecord) -> usize {
    match record.body.as_ref().and_then(|body| body.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.parse().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn numbers(request: &Request) -> Vec<usize> {
    let decoded = request.decode::<Logs>().unwrap().unwrap();
    let scopes = decoded.resource_logs.iter().flat_map(|resource| &resource.scope_logs);
    scopes.flat_map(|scope| &scope.log_records).map(number).collect()
}

/// How often each number is stored.
fn stored(sink: &Sink) -> BTreeMap<usize, usize> {
    let mut stored = BTreeMap::new();
    for record in sink.log_records() {
        *stored.entry(number(&record.item)).or_default() += 1;
    }
    stored
}

fn summary(outcome: &Outcome) -> String {
    let accepted = format!("{} accepted, {} ambiguous", outcome.accepted, outcome.ambiguous_items);
    let parts = outcome
        .parts
        .iter()
        .map(|part| format!("; {} {:?}: {}", part.items, part.fate, part.reason));
    std::iter::once(accepted).chain(parts).collect()
}

/// Ten log records against these answers: the outcome, and how many are stored.
async fn deliver_ten(answers: impl IntoIterator<Item = ScriptedResponse>) -> (String, usize) {
    let sink = started(Sink::builder()).await;
    sink.script(answers);
    let outcome = export(&destination(sink.base()), numbered(0..10)).await;
    assert_eq!(outcome.items(), 10);
    assert_eq!(outcome.requests_sent, sink.requests().len());
    (summary(&outcome), sink.log_records().len())
}

#[tokio::test(start_paused = true)]
async fn answers_decide_what_becomes_of_ten_records() {
    #[track_caller]
    fn check(found: &(String, usize), outcome: &str, stored: usize) {
        assert_eq!((found.0.as_str(), found.1), (outcome, stored));
    }
    let seconds = Duration::from_secs;
    check(&deliver_ten([]).await, "10 accepted, 0 ambiguous", 10);
    check(
        &deliver_ten([ScriptedResponse::Status(503), ScriptedResponse::MemoryTableOverflow]).await,
        "10 accepted, 0 ambiguous",
        10,
    );
    check(
        &deliver_ten([ScriptedResponse::RetryAfter(429, seconds(3))]).await,
        "10 accepted, 0 ambiguous",
        10,
    );
    check(
        &deliver_ten([ScriptedResponse::RetryAfter(503, seconds(60))]).await,
        "0 accepted, 0 ambiguous; 10 Park: answered 503 Service Unavailable: {\"code\":503,\"message\":\"Service Unavailable\"}",
        0,
    );
    check(
        &deliver_ten([ScriptedResponse::Redirect(302, "http://127.0.0.1:9/".to_owned())]).await,
        "0 accepted, 0 ambiguous; 10 ParkWithAlarm: answered 302 Found: redirects are not followed, give the final URL as the endpoint",
        0,
    );
    check(
        &deliver_ten([ScriptedResponse::PartialSuccess(3)]).await,
        "7 accepted, 0 ambiguous; 3 DeadLetterPartial: rejected: rejected by the sink's script",
        7,
    );
    check(&deliver_ten([ScriptedResponse::WriteFailed]).await, "10 accepted, 0 ambiguous", 10);
    check(&deliver_ten([ScriptedResponse::CloseAfterBody]).await, "10 accepted, 10 ambiguous", 10);
    check(&deliver_ten([ScriptedResponse::CloseAfterStore]).await, "10 accepted, 10 ambiguous", 20);
    check(&deliver_ten([ScriptedResponse::HalfResponse]).await, "10 accepted, 10 ambiguous", 20);
    check(
        &deliver_ten([ScriptedResponse::Gzipped(Box::new(ScriptedResponse::PartialSuccess(2)))])
            .await,
        "8 accepted, 0 ambiguous; 2 DeadLetterPartial: rejected: rejected by the sink's script",
        8,
    );
    check(
        &deliver_ten([ScriptedResponse::Huge { status: 200, bytes: 10 << 20 }]).await,
        "0 accepted, 10 ambiguous; 10 ParkWithAlarm: answered 200 OK with more than 64 KiB: is the endpoint right?",
        10,
    );
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_said_and_never_shown() {
    let sink = started(Sink::builder().user("root@example.com", "right")).await;
    let mut destination = destination(sink.base());
    // root@example.com:hunter2
    destination.headers.push("authorization", "Basic cm9vdEBleGFtcGxlLmNvbTpodW50ZXIy").unwrap();
    let outcome = export(&destination, numbered(0..10)).await;
    assert_eq!(
        summary(&outcome),
        "0 accepted, 0 ambiguous; 10 ParkWithAlarm: answered 401 Unauthorized: Unauthorized Access: check the authorization header"
    );

    let echo = b"bad request, authorization: Basic cm9vdEBleGFtcGxlLmNvbTpodW50ZXIy".to_vec();
    sink.script([ScriptedResponse::Response { status: 403, headers: vec![], body: echo }]);
    let outcome = export(&destination, numbered(0..1)).await;
    assert_eq!(
        summary(&outcome),
        "0 accepted, 0 ambiguous; 1 ParkWithAlarm: answered 403 Forbidden: bad request, authorization: ****: check the authorization header"
    );
    assert!(!format!("{:?}", Client::new(&destination).unwrap()).contains("cm9vd"));
}

#[tokio::test(start_paused = true)]
async fn what_a_server_repeats_of_a_credential_is_masked_wherever_it_stands() {
    let sink = started(Sink::builder()).await;
    let mut destination = destination(&format!("{}?token=s3cret-token", sink.base()));
    destination.profile = Profile::Otlp;
    destination.headers.push("authorization", "Basic cm9vdEBleGFtcGxlLmNvbTpodW50ZXIy").unwrap();
    // The credential begins before the 200th character, and ends after it.
    for padding in 150..210 {
        let body = format!("{}cm9vdEBleGFtcGxlLmNvbTpodW50ZXIy s3cret-token", "x".repeat(padding));
        sink.script([ScriptedResponse::Response {
            status: 403,
            headers: vec![],
            body: body.into_bytes(),
        }]);
        let text = summary(&export(&destination, numbered(0..1)).await);
        assert!(!text.contains("cm9") && !text.contains("s3c"), "{text}");
    }
    let message = b"bad Basic cm9vdEBleGFtcGxlLmNvbTpodW50ZXIy";
    let length = u8::try_from(message.len()).unwrap();
    let body = [&[0x0a, length + 2, 0x12, length], &message[..]].concat();
    sink.script([ScriptedResponse::Response { status: 200, headers: vec![], body }]);
    assert_eq!(export(&destination, numbered(0..1)).await.warning, "bad ****");
}

#[tokio::test(start_paused = true)]
async fn a_policy_without_end_is_bounded_by_the_deadline() {
    let sink = started(Sink::builder()).await;
    sink.script([ScriptedResponse::RetryAfter(503, Duration::from_mins(1))]);
    let second = Duration::from_secs(1);
    let policy = RetryPolicy::new(1, second, second, Duration::MAX).unwrap();
    let client = Client::new(&destination(sink.base())).unwrap().with_retry_policy(policy);
    let outcome = client.export(None, numbered(0..1), Instant::now() + 100 * second).await;
    assert_eq!(summary(&outcome), "1 accepted, 0 ambiguous");
}

#[tokio::test(start_paused = true)]
async fn a_right_password_opens_every_signal() {
    let sink = started(Sink::builder().user("root@example.com", "right")).await;
    let mut destination = destination(sink.base());
    // root@example.com:right
    destination.headers.push("authorization", "Basic cm9vdEBleGFtcGxlLmNvbTpyaWdodA==").unwrap();
    destination.stream = Some("lambda".to_owned());
    for request in [numbered(0..10), spans(vec![span()]), metrics(vec![delta()])] {
        let items = request.items();
        assert_eq!(
            summary(&export(&destination, request).await),
            format!("{items} accepted, 0 ambiguous")
        );
    }
    let headers = |name: &str| -> Vec<Option<String>> {
        let value = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
        sink.requests().iter().map(|request| request.headers.get(name).map(value)).collect()
    };
    let all = |value: &str| vec![Some(value.to_owned()); 3];
    assert_eq!(headers("content-type"), all("application/x-protobuf"));
    assert_eq!(headers("content-encoding"), all("gzip"));
    assert_eq!(headers("accept-encoding"), vec![None; 3]);
    assert_eq!(
        headers("stream-name"),
        [Some("lambda".to_owned()), Some("lambda".to_owned()), None]
    );
    assert_eq!(headers("user-agent"), all(concat!("lambda-otlp/", env!("CARGO_PKG_VERSION"))));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_organization_is_told_how_a_base_url_looks() {
    let sink = started(Sink::builder().strict_organizations()).await;
    let outcome = export(&destination(&format!("{}/api/nope", sink.url())), numbered(0..10)).await;
    let text = summary(&outcome);
    assert!(
        text.starts_with("0 accepted, 0 ambiguous; 10 ParkWithAlarm: answered 404 Not Found: "),
        "{text}"
    );
    assert!(
        text.ends_with(
            "the base URL of OpenObserve ends in /api/{organization}; does the organization exist? Other backends have no /api in it"
        ),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_port_is_named_and_not_ambiguous() {
    let sink = started(Sink::builder()).await;
    let address = sink.address();
    sink.stop().await;
    let outcome =
        export(&destination(&format!("http://{address}/api/default?key=hunter2")), numbered(0..10))
            .await;
    assert_eq!(
        summary(&outcome),
        format!("0 accepted, 0 ambiguous; 10 Park: cannot reach {address}: connection refused")
    );
    assert_eq!(outcome.requests_sent, 3);
}

#[tokio::test]
async fn tls_that_fails_is_not_ambiguous() {
    let sink = started(Sink::builder()).await;
    let https = destination(&sink.base().replace("http://", "https://"));
    // On a system without certificates there is no client, and no panic.
    let Ok(client) = Client::new(&https) else { return };
    let policy = RetryPolicy::default().once();
    let outcome = client
        .with_retry_policy(policy)
        .export(None, numbered(0..10), Instant::now() + Duration::from_secs(5))
        .await;
    assert_eq!((outcome.ambiguous_items, outcome.undelivered()), (0, 10));
    let text = outcome.parts[0].reason.to_string();
    assert!(text.starts_with(&format!("cannot reach {}: ", sink.address())), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_never_answers_costs_the_deadline_and_no_more() {
    let sink = started(Sink::builder()).await;
    sink.script([ScriptedResponse::held(), ScriptedResponse::held(), ScriptedResponse::held()]);
    let mut destination = destination(sink.base());
    destination.request_timeout = Duration::from_mins(1);
    let start = Instant::now();
    let client = Client::new(&destination).unwrap();
    let outcome = client.export(None, numbered(0..10), start + Duration::from_secs(4)).await;
    assert_eq!(start.elapsed().as_secs(), 4);
    assert_eq!((outcome.undelivered(), outcome.ambiguous_items), (10, 10));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_too_large_is_split() {
    let request = numbered(0..64);
    let sink = started(Sink::builder().payload_limit(request.bytes().len() / 3)).await;
    let outcome = export(&destination(sink.base()), request).await;
    assert_eq!(summary(&outcome), "64 accepted, 0 ambiguous");
    assert_eq!(stored(&sink), (0..64).map(|number| (number, 1)).collect());
}

#[tokio::test(start_paused = true)]
async fn one_bad_record_of_64_is_dead_lettered_and_its_neighbours_are_stored() {
    // More columns than the stream may have: logs answer 200 `0a 00`, traces 400.
    let many = (0..200).map(|index| attribute(&format!("key{index}"))).collect::<Vec<_>>();
    let sink = started(Sink::builder().max_columns(100)).await;
    let record = |number| match number {
        37 => LogRecord { attributes: many.clone(), ..log_record(number) },
        _ => log_record(number),
    };
    let outcome = export(&destination(sink.base()), logs((0..64).map(record).collect())).await;
    assert_eq!((outcome.accepted, outcome.parts.len()), (63, 1));
    assert_eq!(
        (outcome.parts[0].fate, numbers(&outcome.parts[0].request)),
        (Fate::DeadLetter, vec![37])
    );
    assert_eq!(
        stored(&sink),
        (0..64).filter(|number| *number != 37).map(|number| (number, 1)).collect()
    );

    let bad = Span { attributes: many.clone(), ..span() };
    let mut all = vec![span(); 63];
    all.insert(37, bad.clone());
    let outcome = export(&destination(sink.base()), spans(all)).await;
    assert_eq!((outcome.accepted, outcome.parts.len()), (63, 1));
    assert_eq!(
        (outcome.parts[0].fate, &outcome.parts[0].request),
        (Fate::DeadLetter, &spans(vec![bad]))
    );
}

/// Keys that no other item has.
fn own_keys(item: usize, keys: usize) -> Vec<KeyValue> {
    (0..keys).map(|key| attribute(&format!("key{item}.{key}"))).collect()
}

#[tokio::test(start_paused = true)]
async fn a_merged_request_of_too_many_columns_is_split_before_it_is_sent() {
    let sink = started(Sink::builder()).await;
    let item = |item| Span { attributes: own_keys(item, 100), ..span() };
    let traces = spans((0..60).map(item).collect());
    let item = |item| LogRecord { attributes: own_keys(item, 100), ..log_record(item) };
    let logs = logs((0..60).map(item).collect());
    let item = |item| NumberDataPoint { attributes: own_keys(item, 100), ..point(1.0, &[]) };
    let gauge = Gauge { data_points: (0..60).map(item).collect() };
    let metrics = metrics(vec![metric("queue", Data::Gauge(gauge))]);
    for request in [traces, logs, metrics] {
        let outcome = export(&destination(sink.base()), request).await;
        assert_eq!(summary(&outcome), "60 accepted, 0 ambiguous");
        assert_eq!(outcome.requests_sent, 8, "eight items fit into one request");
    }
    assert_eq!(stored(&sink), (0..60).map(|number| (number, 1)).collect());
}

#[tokio::test(start_paused = true)]
async fn a_stricter_server_is_not_given_up_while_requests_hold_several_items() {
    let sink = started(Sink::builder().max_columns(100)).await;
    let item = |item| Span { attributes: own_keys(item, 40), ..span() };
    let outcome = export(&destination(sink.base()), spans((0..12).map(item).collect())).await;
    assert_eq!(summary(&outcome), "12 accepted, 0 ambiguous");
    let item = |item| LogRecord { attributes: own_keys(item, 40), ..log_record(item) };
    let outcome = export(&destination(sink.base()), logs((0..12).map(item).collect())).await;
    assert_eq!(summary(&outcome), "12 accepted, 0 ambiguous");
}

#[tokio::test(start_paused = true)]
async fn under_random_faults_every_record_is_stored_or_kept() {
    for seed in 0..30 {
        let sink = started(Sink::builder()).await;
        let mut kinds = Faults::transient();
        kinds.extend(Faults::lasting());
        kinds.extend([ScriptedResponse::Status(400), ScriptedResponse::TooLarge]);
        sink.inject(Faults::seeded(seed, 0.5).among(kinds));
        let mut destination = destination(sink.base());
        destination.max_request_bytes = 1024;
        destination.compression = if seed % 2 == 0 { Compression::Gzip } else { Compression::None };
        let client = Client::new(&destination).unwrap();
        let (mut kept, mut ambiguous) = (BTreeSet::new(), 0);
        for first in (0..300).step_by(100) {
            let outcome = client
                .export(
                    None,
                    numbered(first..first + 100),
                    Instant::now() + Duration::from_secs(10),
                )
                .await;
            assert_eq!(outcome.items(), 100, "seed {seed}");
            ambiguous += outcome.ambiguous_items;
            for part in &outcome.parts {
                for number in numbers(&part.request) {
                    assert!(kept.insert(number), "seed {seed}: {number} is in two parts");
                }
            }
        }
        let stored = stored(&sink);
        let missing: Vec<usize> = (0..300)
            .filter(|number| !stored.contains_key(number) && !kept.contains(number))
            .collect();
        assert!(missing.is_empty(), "seed {seed}: {missing:?}");
        let duplicates =
            stored.iter().filter(|(number, times)| **times > 1 || kept.contains(number)).count();
        assert!(
            duplicates <= ambiguous,
            "seed {seed}: {duplicates} duplicates, {ambiguous} ambiguous"
        );
    }
}

fn span() -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: "checkout".to_owned(),
        start_time_unix_nano: NOW,
        end_time_unix_nano: NOW + 1,
        ..Default::default()
    }
}

fn spans(spans: Vec<Span>) -> Request {
    let scope_spans = vec![ScopeSpans { spans, ..Default::default() }];
    let resource_spans =
        vec![ResourceSpans { resource: Some(shop()), scope_spans, ..Default::default() }];
    Request::encode::<Traces>(&ExportTraceServiceRequest { resource_spans })
}

fn metrics(metrics: Vec<Metric>) -> Request {
    let scope_metrics = vec![ScopeMetrics { metrics, ..Default::default() }];
    let resource_metrics =
        vec![ResourceMetrics { resource: Some(shop()), scope_metrics, ..Default::default() }];
    Request::encode::<Metrics>(&ExportMetricsServiceRequest { resource_metrics })
}

fn metric(name: &str, data: Data) -> Metric {
    Metric { name: name.to_owned(), data: Some(data), ..Default::default() }
}

fn point(value: f64, keys: &[&str]) -> NumberDataPoint {
    NumberDataPoint {
        attributes: keys.iter().map(|key| attribute(key)).collect(),
        start_time_unix_nano: NOW - 9,
        time_unix_nano: NOW,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..Default::default()
    }
}

fn delta() -> Metric {
    let sum =
        Sum { data_points: vec![point(1.0, &[])], aggregation_temporality: 1, is_monotonic: true };
    metric("orders", Data::Sum(sum))
}

#[tokio::test(start_paused = true)]
async fn what_openobserve_would_show_wrongly_is_shaped_before() {
    let nameless = |request: Request| {
        // A second resource, without a service name.
        let mut decoded = request.decode::<Traces>().unwrap().unwrap();
        let mut second = decoded.resource_spans[0].clone();
        second.resource = None;
        decoded.resource_spans.push(second);
        Request::encode::<Traces>(&decoded)
    };
    let keys = ["service.name", "flags", "duration", "_timestamp", "http.route"];
    let bad_span = Span {
        end_time_unix_nano: 0,
        parent_span_id: vec![0; 8],
        attributes: keys.iter().map(|key| attribute(key)).collect(),
        ..span()
    };
    let keys = ["_timestamp", "Body", "severity", "service.name", "trace_id"];
    let bad_record = LogRecord {
        severity_text: String::new(),
        attributes: keys.iter().map(|key| attribute(key)).collect(),
        ..log_record(0)
    };
    let exponential = ExponentialHistogramDataPoint {
        start_time_unix_nano: NOW - 9,
        time_unix_nano: NOW,
        count: 3,
        scale: 2,
        positive: Some(Buckets { offset: -3, bucket_counts: vec![1, 0, 2] }),
        ..Default::default()
    };
    let incomplete = HistogramDataPoint {
        start_time_unix_nano: NOW - 9,
        time_unix_nano: NOW,
        count: 3,
        bucket_counts: vec![1, 2],
        explicit_bounds: vec![10.0],
        ..Default::default()
    };
    let bad_metrics = vec![
        delta(),
        metric(
            "queue",
            Data::Gauge(Gauge {
                data_points: vec![point(f64::NAN, &[]), point(1.0, &["a"]), point(2.0, &["b"])],
            }),
        ),
        metric(
            "latency",
            Data::Histogram(Histogram {
                data_points: vec![incomplete],
                aggregation_temporality: 1,
            }),
        ),
        metric(
            "size",
            Data::ExponentialHistogram(ExponentialHistogram {
                data_points: vec![exponential],
                aggregation_temporality: 1,
            }),
        ),
        metric("nothing", Data::Gauge(Gauge::default())),
    ];
    let requests = [nameless(spans(vec![bad_span])), logs(vec![bad_record]), metrics(bad_metrics)];

    let sink = started(Sink::builder()).await;
    for request in &requests {
        assert_eq!(export(&destination(sink.base()), request.clone()).await.parts, []);
    }
    let unshaped: BTreeSet<_> = sink.oddities().iter().map(|oddity| oddity.kind).collect();
    assert!(unshaped.len() >= 8, "{unshaped:?}");

    let sink = started(Sink::builder()).await;
    for request in requests {
        let sanitized = sanitize(Profile::OpenObserve, request, "fallback");
        let outcome = export(&destination(sink.base()), sanitized.request.unwrap()).await;
        assert_eq!(outcome.parts, []);
    }
    assert_eq!(sink.oddities(), []);
    assert_eq!(sink.counts().data_points, 5, "NaN is left out");
    let services: Vec<String> = sink.spans().iter().map(|span| span.service_name.clone()).collect();
    assert_eq!(services, ["shop", "fallback"]);
}
