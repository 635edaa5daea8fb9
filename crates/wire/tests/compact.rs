//! Compact lines decode to the requests that were encoded, and damaged ones to an error.
//!
//! `LAMBDA_OTLP_COMPACT_CASES` sets the number of generated requests and of mutated lines.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use base64::prelude::{BASE64_STANDARD as STANDARD, Engine as _};
use lambda_otlp_wire::compact::{CompactError, Context, Encoder, Flags, Names, UsedNames, decode};
use lambda_otlp_wire::ids::{id_of_number, to_hex};
use lambda_otlp_wire::{
    Envelope, Limits, LineEncoder, LineLimits, Logs, Malformed, Metrics, Request, Signal,
    SignalKind, Traces, read_line, read_line_of,
};
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, exponential_histogram_data_point,
    metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span, Status, span::Event, span::Link,
};
use proptest::prelude::*;
use std::cell::RefCell;

const CONTEXT: Context<'_> = Context {
    function: "orders-api",
    account: "012345678901",
    log_stream: "2026/11/22/[$LATEST]0123456789abcdef0123456789abcdef",
    region: "eu-west-1",
};

#[expect(clippy::disallowed_methods, reason = "the number of cases is no setting of a program")]
fn cases(fallback: u32) -> ProptestConfig {
    let cases = std::env::var("LAMBDA_OTLP_COMPACT_CASES").ok();
    let cases = cases.and_then(|cases| cases.parse().ok());
    ProptestConfig::with_cases(cases.unwrap_or(fallback))
}

const TELEMETRY: &str = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"orders-api"}}]},"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"GET /orders/{id}","startTimeUnixNano":"1790000000000000001","endTimeUnixNano":"1790000000042000000","attributes":[{"key":"faas.invocation_id","value":{"stringValue":"8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11"}},{"key":"http.response.status_code","value":{"intValue":"200"}}]}]}]}]}"#;

fn request_of(json: &str) -> Request {
    read_line(json, &Limits::default()).unwrap().decoded.remove(0).request
}

/// A request of one span with this name.
fn named(name: &str) -> Request {
    let mut bytes = Vec::new();
    lambda_otlp_wire::protobuf::Writer::new(&mut bytes).message(1, |container| {
        container.message(2, |scope| scope.message(2, |span| span.string(5, name)));
    });
    Request::trusted(SignalKind::Traces, bytes)
}

thread_local! {
    static ENCODER: RefCell<Encoder> = RefCell::default();
}

fn text(requests: &[&Request]) -> String {
    ENCODER.with_borrow_mut(|encoder| encoder.text(&CONTEXT, Flags::default(), requests))
}

fn requests(text: &str) -> Result<Vec<Request>, CompactError> {
    decode(text, &CONTEXT, &Limits::default()).map(|line| line.requests)
}

/// Text in every form that the encoder treats in its own way, and in forms that nearly are one.
fn string() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        any::<String>(),
        "[ -~]{0,12}",
        "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "[0-9a-fA-F]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9A-F]{4}-[0-9a-f]{12}",
        "1-[0-9a-f]{8}-[0-9a-f]{24}",
        "[0-9a-f]{6,40}",
        "0?[0-9]{1,22}",
        "[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}",
        "[A-Z0-9]{8,60}",
        "[0-9A-V]{52}",
        "[0-9A-V]{26}VV4KQNSO5AEMVJF66Q9ASUAAJG",
        Just("VV4KQNSO5AEMVJF66Q9ASUAAJG".to_owned()),
        "[A-Za-z0-9]{8,300}",
        "[\\x00-\\x20]{1,5}",
        Just(CONTEXT.function.to_owned()),
        Just(format!(
            "arn:aws:lambda:{}:{}:function:{}",
            CONTEXT.region, CONTEXT.account, CONTEXT.function
        )),
        Just(CONTEXT.log_stream.to_owned()),
        Just("eu-west-1a eu-west-10".to_owned()),
    ];
    prop::collection::vec((word, prop::sample::select(vec!["", " ", "/", "-", "\n"])), 0..4)
        .prop_map(|words| words.into_iter().map(|(word, behind)| word + behind).collect())
}

fn double() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        prop::sample::select(vec![
            -0.0,
            0.0,
            f64::NAN,
            f64::INFINITY,
            f64::MIN_POSITIVE,
            9.1e15,
            0.1
        ]),
        (any::<i32>(), 0..9).prop_map(|(digits, places)| f64::from(digits) / 10_f64.powi(places)),
    ]
}

fn integer() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), -300..70_000_i64, Just(1 << 40), Just(i64::MIN), Just(1 << 60)]
}

fn any_value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        string().prop_map(Value::StringValue),
        any::<bool>().prop_map(Value::BoolValue),
        integer().prop_map(Value::IntValue),
        double().prop_map(Value::DoubleValue),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Value::BytesValue),
    ];
    let leaf = prop::option::weighted(0.9, leaf).prop_map(|value| AnyValue { value });
    leaf.prop_recursive(3, 8, 3, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..3)
            .prop_map(|values| Value::ArrayValue(ArrayValue { values }));
        let map =
            prop::collection::vec((string(), prop::option::of(inner)), 0..3).prop_map(|pairs| {
                let pair = |(key, value)| KeyValue { key, value, ..Default::default() };
                Value::KvlistValue(KeyValueList { values: pairs.into_iter().map(pair).collect() })
            });
        prop_oneof![list, map].prop_map(|value| AnyValue { value: Some(value) })
    })
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    prop::collection::vec((string(), prop::option::weighted(0.95, any_value())), 0..4).prop_map(
        |pairs| {
            pairs
                .into_iter()
                .map(|(key, value)| KeyValue { key, value, ..Default::default() })
                .collect()
        },
    )
}

fn time() -> impl Strategy<Value = u64> {
    let now = 1_790_000_000_000_000_000_u64;
    prop_oneof![
        any::<u64>(),
        (0..1_000_000_u64).prop_map(move |n| now + n * 1_000_000),
        Just(0),
        Just(now)
    ]
}

fn span_id() -> impl Strategy<Value = Vec<u8>> {
    let id = prop_oneof![any::<u64>(), 0..3_u64].prop_map(|id| id.to_be_bytes().to_vec());
    prop_oneof![9 => id, 1 => prop::collection::vec(any::<u8>(), 0..20)]
}

fn trace_id() -> impl Strategy<Value = Vec<u8>> {
    let id = prop_oneof![any::<u128>(), 0..3_u128].prop_map(|id| id.to_be_bytes().to_vec());
    prop_oneof![9 => id, 1 => prop::collection::vec(any::<u8>(), 0..20)]
}

fn span() -> impl Strategy<Value = Span> {
    let ids = (trace_id(), span_id(), span_id());
    let events = prop::collection::vec((time(), string(), attributes()), 0..2);
    let links = prop::collection::vec((trace_id(), span_id(), attributes()), 0..2);
    let rest = (any::<i32>(), any::<u32>(), prop::option::of(string()));
    (ids, string(), time(), time(), attributes(), events, links, rest).prop_map(
        |(
            (trace_id, span_id, parent_span_id),
            name,
            start,
            end,
            attributes,
            events,
            links,
            (kind, flags, status),
        )| Span {
            trace_id,
            span_id,
            parent_span_id,
            trace_state: name.clone(),
            name,
            kind,
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            attributes,
            events: events
                .into_iter()
                .map(|(time_unix_nano, name, attributes)| Event {
                    time_unix_nano,
                    name,
                    attributes,
                    dropped_attributes_count: flags,
                })
                .collect(),
            links: links
                .into_iter()
                .map(|(trace_id, span_id, attributes)| Link {
                    trace_id,
                    span_id,
                    attributes,
                    flags,
                    ..Default::default()
                })
                .collect(),
            status: status.map(|message| Status { message, code: 2 }),
            flags,
            ..Default::default()
        },
    )
}

fn resource() -> impl Strategy<Value = Option<Resource>> {
    prop::option::of(
        attributes().prop_map(|attributes| Resource { attributes, ..Default::default() }),
    )
}

fn scope() -> impl Strategy<Value = Option<InstrumentationScope>> {
    let scope = (string(), attributes());
    prop::option::of(scope.prop_map(|(name, attributes)| InstrumentationScope {
        name,
        attributes,
        ..Default::default()
    }))
}

fn traces() -> impl Strategy<Value = Request> {
    (resource(), scope(), prop::collection::vec(span(), 0..4)).prop_map(
        |(resource, scope, spans)| {
            let scope_spans = vec![ScopeSpans { scope, spans, ..Default::default() }];
            Request::encode::<Traces>(&Traces::request(vec![ResourceSpans {
                resource,
                scope_spans,
                ..Default::default()
            }]))
        },
    )
}

fn logs() -> impl Strategy<Value = Request> {
    let record = (
        time(),
        time(),
        prop::option::of(any_value()),
        attributes(),
        trace_id(),
        span_id(),
        0..30_i32,
    )
        .prop_map(|(time, observed, body, attributes, trace_id, span_id, severity_number)| {
            LogRecord {
                time_unix_nano: time,
                observed_time_unix_nano: observed,
                severity_number,
                body,
                attributes,
                trace_id,
                span_id,
                flags: 1,
                ..Default::default()
            }
        });
    (resource(), scope(), prop::collection::vec(record, 0..4)).prop_map(
        |(resource, scope, log_records)| {
            let scope_logs = vec![ScopeLogs { scope, log_records, ..Default::default() }];
            Request::encode::<Logs>(&Logs::request(vec![ResourceLogs {
                resource,
                scope_logs,
                ..Default::default()
            }]))
        },
    )
}

fn metric() -> impl Strategy<Value = Metric> {
    let number = (
        attributes(),
        time(),
        time(),
        prop_oneof![
            double().prop_map(number_data_point::Value::AsDouble),
            integer().prop_map(number_data_point::Value::AsInt),
        ],
    )
        .prop_map(|(attributes, start, time, value)| NumberDataPoint {
            attributes,
            start_time_unix_nano: start,
            time_unix_nano: time,
            value: Some(value),
            ..Default::default()
        });
    let counts = || prop::collection::vec(prop_oneof![any::<u64>(), 0..300_u64], 0..20);
    let histogram = (
        prop::option::of(double()),
        counts(),
        prop::collection::vec(double(), 0..15),
        any::<u64>(),
    )
        .prop_map(|(sum, bucket_counts, explicit_bounds, count)| HistogramDataPoint {
            sum,
            min: sum,
            bucket_counts,
            explicit_bounds,
            count,
            ..Default::default()
        });
    let exponential =
        (any::<i32>(), counts(), any::<u64>()).prop_map(|(scale, bucket_counts, zero_count)| {
            ExponentialHistogramDataPoint {
                scale,
                zero_count,
                positive: Some(exponential_histogram_data_point::Buckets {
                    offset: scale,
                    bucket_counts,
                }),
                ..Default::default()
            }
        });
    let data = prop_oneof![
        prop::collection::vec(number, 0..3)
            .prop_map(|data_points| metric::Data::Gauge(Gauge { data_points })),
        integer().prop_map(|value| {
            let value = Some(number_data_point::Value::AsInt(value));
            let data_points = vec![NumberDataPoint { value, ..Default::default() }];
            metric::Data::Sum(Sum { data_points, aggregation_temporality: 1, is_monotonic: true })
        }),
        histogram.prop_map(|point| metric::Data::Histogram(Histogram {
            data_points: vec![point],
            aggregation_temporality: 2,
        })),
        exponential.prop_map(|point| metric::Data::ExponentialHistogram(ExponentialHistogram {
            data_points: vec![point],
            aggregation_temporality: 2,
        })),
    ];
    (string(), data).prop_map(|(name, data)| Metric {
        name,
        data: Some(data),
        ..Default::default()
    })
}

fn metrics() -> impl Strategy<Value = Request> {
    (resource(), scope(), prop::collection::vec(metric(), 0..4)).prop_map(
        |(resource, scope, metrics)| {
            let scope_metrics = vec![ScopeMetrics { scope, metrics, ..Default::default() }];
            Request::encode::<Metrics>(&Metrics::request(vec![ResourceMetrics {
                resource,
                scope_metrics,
                ..Default::default()
            }]))
        },
    )
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn a_line_decodes_to_the_requests_that_were_encoded(
        mut encoded in prop::collection::vec(prop_oneof![traces(), logs(), metrics()], 1..4),
        copies in 0..3_usize,
    ) {
        let first = encoded.first().cloned();
        encoded.extend(std::iter::repeat_n(first, copies).flatten());
        let text = text(&encoded.iter().collect::<Vec<_>>());
        prop_assert_eq!(requests(&text), Ok(encoded));
    }

    /// Bytes that are not as encoders write them: unknown fields, other types, lengths with needless bytes, no protobuf at all.
    #[test]
    fn odd_bytes_survive_unchanged(
        request in prop_oneof![traces(), logs(), metrics()],
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        insert in any::<bool>(),
    ) {
        let mut bytes = request.bytes().to_vec();
        for (at, value) in changes {
            let at = at.index(bytes.len() + 1);
            match bytes.get_mut(at) {
                Some(byte) if !insert => *byte = value,
                _ => bytes.insert(at, value),
            }
        }
        let checked = Request::check(request.kind(), bytes.clone(), &Limits::default());
        let text = text(&[&Request::counted(request.kind(), bytes, 0)]);
        let expected = checked.map(|request| vec![request]).map_err(CompactError::Malformed);
        prop_assert_eq!(requests(&text), expected);
    }
}

/// One changed, lost or inserted character is an error, except for the odds of a 2-byte checksum.
#[test]
fn a_damaged_line_is_an_error() {
    let cases: u32 = cases(20_000).cases;
    let request = request_of(TELEMETRY);
    let text = text(&[&request]).into_bytes();
    let mut state = 7_u64;
    let mut random = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % bound
    };
    let mut wrong = 0;
    for _ in 0..cases {
        let mut damaged = text.clone();
        let at = random(damaged.len());
        match random(4) {
            0 => drop(damaged.remove(at)),
            1 => damaged.insert(at, b'!' + u8::try_from(random(90)).unwrap()),
            2 => damaged.truncate(at),
            _ => damaged[at] = b'!' + u8::try_from(random(90)).unwrap(),
        }
        if damaged != text
            && let Ok(decoded) = requests(&String::from_utf8(damaged).unwrap())
        {
            wrong += u32::from(decoded != [request.clone()]);
        }
    }
    // One in 65,536 of those whose structure is still right.
    assert!(wrong <= 1 + cases / 30_000, "{wrong} of {cases}");
}

#[test]
fn a_line_of_another_function_or_dictionary_is_refused() {
    let request = named("orders-api in eu-west-1");
    let text = text(&[&request]);
    let read = |context: &Context<'_>| {
        decode(&text, context, &Limits::default()).map(|line| line.requests)
    };
    assert_eq!(read(&CONTEXT), Ok(vec![request.clone()]));
    // The line states its region, and uses neither account nor log stream.
    assert_eq!(
        read(&Context { region: "", account: "", log_stream: "x", ..CONTEXT }),
        Ok(vec![request.clone()])
    );
    let other = Context { function: "payments-api", ..CONTEXT };
    let used = UsedNames { function: true, account: false, log_stream: false };
    assert_eq!(read(&other), Err(CompactError::OtherContext(used)));
    let mut encoder = Encoder::new(100, (&[]).into());
    let text = encoder.text(&CONTEXT, Flags::default(), &[&request]);
    assert_eq!(requests(&text), Err(CompactError::UnknownDictionary(100)));
}

#[test]
fn a_line_that_expands_too_far_is_refused() {
    let limits = Limits { inflated_bytes: 1 << 20, ..Limits::default() };
    let with_name = |name: &str| text(&[&named(name)]);
    let large = with_name(&"x".repeat(2 << 20));
    assert!(large.len() < 10_000);
    assert!(matches!(decode(&large, &CONTEXT, &limits), Err(CompactError::Inflate(_))));
    // Each byte of this skeleton stands for a log stream.
    let many = with_name(&format!("{}/", CONTEXT.log_stream).repeat(30_000));
    assert_eq!(decode(&many, &CONTEXT, &limits).err(), Some(CompactError::TooLarge));
    // Each item after the first is two bytes of the skeleton.
    let large = named(&"x".repeat(60_000));
    let many = text(&vec![&large; 100]);
    assert_eq!(decode(&many, &CONTEXT, &limits).err(), Some(CompactError::TooLarge));
    // A request without bytes takes memory, too.
    let empty = Request::trusted(SignalKind::Traces, Vec::new());
    let many = text(&vec![&empty; 100_000]);
    assert_eq!(decode(&many, &CONTEXT, &limits).err(), Some(CompactError::TooLarge));
    let deep = Limits { nesting: 2, ..Limits::default() };
    assert_eq!(
        decode(&with_name("x"), &CONTEXT, &deep).err(),
        Some(CompactError::Malformed(Malformed::TooDeep(2)))
    );
}

/// Lines that inflate to much and then fail use up what failing lines may inflate to, and nothing of what good lines may.
#[test]
fn undecodable_lines_cost_a_bounded_number_of_bytes() {
    const MIB: usize = 1 << 20;
    let mut bytes = Vec::new();
    lambda_otlp_wire::protobuf::Writer::new(&mut bytes).message(1, |container| {
        container.message(2, |scope| {
            scope.message(2, |span| span.bytes(5, &[vec![b'x'; MIB], vec![0xff]].concat()));
        });
    });
    let standard = |request: &Request| {
        let payload = STANDARD.encode(lambda_otlp_wire::gzip::compress(6, request.bytes()));
        format!("{{\"__otel_otlp_stdout\":\"1\",\"payload\":\"{payload}\"}}\n")
    };
    let compact = |request: &Request| format!("{{\"_otelc\":\"{}\"}}\n", text(&[request]));
    let (good, bad) = (named("work"), Request::counted(SignalKind::Traces, bytes, 0));
    for (good, bad) in [(compact(&good), compact(&bad)), (standard(&good), standard(&bad))] {
        assert!(bad.len() < 2_500, "{}", bad.len());
        let many = 20;
        let limits = Limits { refused_bytes: 2 * MIB, ..Limits::default() };
        let reading = read_line_of(&(bad.repeat(many) + &good), &CONTEXT, &limits).unwrap();
        assert_eq!((reading.decoded.len(), reading.undecodable.len()), (1, many));
        // The limit, the line that exceeds it, and then for skeleton and request 64 times the size of each line.
        let most = 4 * MIB + many * 2 * 65 * bad.len();
        assert!(reading.refused_bytes >= 2 * MIB && reading.refused_bytes < most);
        // The next log event of the same event.
        let limits = Limits { refused_bytes: 0, ..Limits::default() };
        let reading = read_line_of(&(bad.clone() + &good), &CONTEXT, &limits).unwrap();
        assert_eq!((reading.decoded.len(), reading.undecodable.len()), (1, 1));
        assert!(reading.refused_bytes < 2 * 65 * bad.len(), "{}", reading.refused_bytes);
    }
}

/// Calls of one kind differ in holes only: times, ids, and the nanoseconds busy and idle, which add up to the duration.
#[test]
fn a_span_like_a_recent_one_costs_its_holes() {
    let calls = |count: u64| {
        let span = |number: u64| {
            let (start, busy) = (1_790_000_000_000_000_000 + number * 9_000_017, 50_000 + number);
            let id = to_hex(&id_of_number(number));
            format!(
                r#"{{"spanId":"{id}","name":"DynamoDB.Query","startTimeUnixNano":"{start}","endTimeUnixNano":"{}","flags":257,"attributes":[{{"key":"aws.request_id","value":{{"stringValue":"0123456789ABCDEFGHIJ{:06}VV4KQNSO5AEMVJF66Q9ASUAAJG"}}}},{{"key":"busy_ns","value":{{"intValue":"{busy}"}}}},{{"key":"idle_ns","value":{{"intValue":"{}"}}}}]}}"#,
                start + 5_000_000,
                number * 7,
                5_000_000 - busy + number % 3,
            )
        };
        let spans: Vec<String> = (1..=count).map(span).collect();
        request_of(&format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{}]}}]}}]}}"#,
            spans.join(",")
        ))
    };
    let lengths = [10, 60].map(|count| {
        let calls = calls(count);
        let text = text(&[&calls]);
        assert_eq!(requests(&text), Ok(vec![calls]));
        text.len()
    });
    // 29 bytes a span: 8 of times, 17 of the request id, 3 of busy_ns, 1 of idle_ns and few bits of the skeleton.
    assert!(lengths[1] - lengths[0] < 1800, "{lengths:?}");
}

#[test]
fn a_request_too_large_for_a_line_becomes_several_lines() {
    let names =
        Names::of_function("orders-api", "eu-west-1", "/aws/lambda/orders-api", CONTEXT.log_stream);
    let mut encoder = LineEncoder::compact(names, LineLimits::default());
    let mut bytes = Vec::new();
    lambda_otlp_wire::protobuf::Writer::new(&mut bytes).message(1, |container| {
        container.message(2, |scope| {
            for number in 0..5000_u64 {
                scope.message(2, |span| {
                    span.bytes(
                        2,
                        &(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 3 ^ number).to_be_bytes(),
                    );
                    span.string(5, &format!("span {} of orders-api", number * number));
                });
            }
        });
    });
    let request = Request::trusted(SignalKind::Traces, bytes);
    let mut out = Vec::new();
    let envelope =
        Envelope { level: Some("INFO"), unix_nanos: Some(7), partial: true, ..Envelope::default() };
    let written = encoder.encode(&envelope, request.clone(), &mut out);
    assert_eq!((written.items, written.dropped_items), (5000, 0));
    let lines: Vec<&str> = std::str::from_utf8(&out).unwrap().lines().collect();
    assert!(lines.len() > 1 && lines.len() == written.lines, "{}", lines.len());
    let mut read = Vec::new();
    for line in &lines {
        assert!(line.len() < 60 * 1024, "{}", line.len());
        let mut reading = read_line_of(line, &CONTEXT, &Limits::default()).unwrap();
        assert!(reading.undecodable.is_empty() && reading.decoded.len() == 1, "{reading:?}");
        let line = reading.decoded.remove(0);
        assert!(line.is_partial);
        read.push(line.request);
    }
    assert_eq!(lambda_otlp_wire::merge(read, usize::MAX), [request]);
}

#[test]
fn requests_of_one_flush_share_a_line_if_they_fit() {
    const LOGS: &str = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1790000000123000000","body":{"stringValue":"orders-api of 012345678901"}}]}]}]}"#;
    let (spans, records) = (request_of(TELEMETRY), request_of(LOGS));
    let names =
        Names::of_function("orders-api", "eu-west-1", "/aws/lambda/orders-api", CONTEXT.log_stream);
    let mut encoder = LineEncoder::compact(names.clone(), LineLimits::default());
    encoder.set_account(CONTEXT.account);
    let envelope = Envelope { unix_nanos: Some(7), level: Some("WARN"), ..Envelope::default() };
    let mut out = b"before".to_vec();
    let written = encoder.encode_together(&envelope, &[&spans, &records], &mut out).unwrap();
    assert_eq!((written.lines, written.items, written.dropped_items), (1, 2, 0));
    let line = String::from_utf8(out.split_off(6)).unwrap();
    assert!(line.ends_with("\"level\":\"WARN\"}\n") && line.lines().count() == 1, "{line}");
    let read: Vec<Request> = read_line_of(&line, &CONTEXT, &Limits::default())
        .unwrap()
        .decoded
        .into_iter()
        .map(|line| line.request)
        .collect();
    assert_eq!(read, [spans.clone(), records.clone()]);
    let other_account = Context { account: "123456789012", ..CONTEXT };
    let reading = read_line_of(&line, &other_account, &Limits::default()).unwrap();
    assert_eq!((reading.decoded.len(), reading.undecodable.len()), (0, 1));

    // Standard lines have one request each, and these do not fit into one line.
    let standard = LineEncoder::new(6, LineLimits::default());
    let small = LineLimits { max_bytes: 150, ..LineLimits::default() };
    for mut encoder in [standard, LineEncoder::compact(names, small)] {
        assert_eq!(encoder.encode_together(&envelope, &[&spans, &records], &mut out), None);
        assert_eq!(encoder.encode_together(&envelope, &[], &mut out), None);
        assert_eq!(out, b"before");
    }
}

#[test]
fn a_compact_line_is_found_where_an_otlp_line_is() {
    let content = text(&[&named("work")]);
    let line = format!(r#"{{"_otelc":"{content}"}}"#);
    let check = |text: &str, expected: (usize, usize, Option<&str>)| {
        let reading = read_line_of(text, &CONTEXT, &Limits::default()).unwrap_or_default();
        let found = (reading.decoded.len(), reading.undecodable.len(), reading.text.as_deref());
        assert_eq!(found, expected, "{text}");
    };
    check(&line, (1, 0, None));
    check(&format!("[INFO]\t2026-09-21T14:13:20.123Z\t8f507cfc-c7a1\t{line}"), (1, 0, None));
    check(&format!("{line}\n{line}"), (2, 0, None));
    check(&format!("printed before {line}"), (1, 0, Some("printed before")));
    check(&format!(r#"{{"message":{}}}"#, serde_json::Value::from(line.as_str())), (1, 0, None));
    // Cut off, damaged, or without the names of its function.
    check(line.get(..line.len() - 3).unwrap(), (0, 1, None));
    check(&line.replacen(":\"", ":\"%", 1), (0, 1, None));
    // A log record that has such a key.
    check(&format!(r#"{{"_otelc":"{content}","more":1}}"#), (0, 0, None));
    check(&format!(r#"{{"_otelc":"{content}","requestId":"a","logger":"b"}}"#), (0, 0, None));
    check(r#"{"_otelc":{"a":1}}"#, (0, 0, None));
    check(r#"{"_otelc":5,"level":"INFO"}"#, (0, 0, None));
    // Two contents are ambiguous.
    check(&format!(r#"{{"_otelc":"{content}","_otelc":"{content}"}}"#), (0, 1, None));
}

/// Test vectors for other implementations: these requests of [`CONTEXT`]'s function have this content.
#[test]
fn contents_of_known_requests() {
    let check = |dictionary: u8, json: &str, expected: &str| {
        let request = request_of(json);
        let bytes = lambda_otlp_wire::compact::dictionary::of_number(dictionary).unwrap();
        let mut encoder = Encoder::new(dictionary, bytes.into());
        let content = encoder.text(&CONTEXT, Flags::default(), &[&request]);
        assert_eq!(content, expected);
        assert_eq!(requests(&content), Ok(vec![request]));
    };
    check(
        0,
        TELEMETRY,
        "#!3Kh,s,I$Xhl[0mh#s9=4dpcUa%k*rzCAA/D#@`^^Q._D%?i91{z&hIk/G@#O*%Z!I4{R-mSqAwCH9sV,%WC9Mpsqhf:Fy?oG.efvM1wR3m`wE7NbGoysOKrOA@}*P>N!;|+-!PvkI#`96HLZsrGT&sfx(|p6Qbrv#~DzPSKjE{Pr91XQx-]Ucp/+iwAEFUNm(iij!",
    );
    check(
        1,
        TELEMETRY,
        "o$7KGLtgKbuc9GP6c47jH.;2mz4>:hgo+p$tFx87cgA<2l35]|I4Gqqf;gN$oW.}!P(gV?W{b}m,Ut@?/t*KYYShNZT2nm4YG{p+",
    );
    let metrics = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"load","gauge":{"dataPoints":[{"timeUnixNano":"1790000000000000000","asDouble":-0.25},{"timeUnixNano":"1790000001000000000","asInt":"-7"},{"timeUnixNano":"1790000002000000000","asDouble":-0.0}]}}]}]}]}"#;
    check(0, metrics, "H#eXYjH0zt59Z1uDD/D9}Q#[;!@iz3p*F47&!!!~[w>$)#V(*PF#!!!!!!!!0mh3");
    let histogram = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"wait","histogram":{"dataPoints":[{"timeUnixNano":"1790000000000000000","count":"1","sum":71.5,"bucketCounts":["0","1"],"explicitBounds":[750],"min":71.5,"max":71.5}]}},{"name":"wait","histogram":{"dataPoints":[{"timeUnixNano":"1790000000000000000","count":"1","sum":72.5,"bucketCounts":["0","1"],"explicitBounds":[750],"min":72.5,"max":72.5}]}}]}]}]}"#;
    check(0, histogram, "H#eXYjH0nW?470vrC/D9}Qa`h|J6>4amUTB{$M`tus!yxxg+kge084%!q}qIL5Nk(!8Le!n%");
    let span = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":"1790000000000000000","endTimeUnixNano":"1790000000001000000","attributes":[{"key":"busy_ns","value":{"intValue":"300000"}},{"key":"idle_ns","value":{"intValue":"700001"}},{"key":"aws.request_id","value":{"stringValue":"0123456789ABCDEFGHIJKLMNOPVV4KQNSO5AEMVJF66Q9ASUAAJG"}}]}]}]}]}"#;
    check(
        0,
        span,
        "H#d+ZjH0vO&jRKP_PiMT7D}+t|&Z!>S>}gKO<GHkZ`7]{*S5Qi8S%GU+A1R_zQ5i`P5&Hg>-Zv347e#lPP%LRJ=-vuvL*P!!#~nz1Q&!R@w$iXZ4h!dK.I-0qH(vLT{>0]_0",
    );
    let logs = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1790000000123000000","severityNumber":9,"body":{"stringValue":"orders-api in eu-west-1: 10.0.0.255, 0123456789, DEADBEEF0123456789AB,\u0001 1-5b8efff7-98038103d269b633813fc60c"},"traceId":"5b8efff798038103d269b633813fc60c"}]}]}]}"#;
    check(
        0,
        logs,
        "Q#S;{ezF_4DS,[5iBA2yc.iMg(WW}oU](#3,8pI^!5$R5Lgg~(54b?P`<F(#p#kg-$)!A)EenmI1!!a}h-rpF{Ocy!Q@gVv9bp$tFx87cgA<2l35]|I4.KC&",
    );
}
