//! The client against the fake OpenObserve, over real sockets and on a paused clock.

use crate::requests::{
    attribute, destination, export, gauge, log_record, logs, numbered, send, span, spans, started,
    stored, summary,
};
use lambda_otlp_backend::{Client, Fate, Profile, sanitize};
#[cfg(feature = "grpc")]
use lambda_otlp_backend::{Compression, HttpTransport, Protocol};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use std::collections::BTreeMap;
use std::time::Duration;
#[cfg(feature = "grpc")]
use test_support::openobserve::grpc::GrpcFront;
use test_support::openobserve::{FakeOpenObserve, ScriptedResponse};
use tokio::time::Instant;
use wire::{Request, Traces};

/// Sends ten log records against these answers and returns the outcome and the number of stored records.
async fn deliver_ten(answers: impl IntoIterator<Item = ScriptedResponse>) -> (String, usize) {
    let backend = started(FakeOpenObserve::builder()).await;
    backend.script(answers);
    let outcome = export(&destination(backend.base()), numbered(0..10)).await;
    assert_eq!(outcome.items(), 10);
    assert_eq!(outcome.requests_sent, backend.requests().len());
    (summary(&outcome), backend.log_records().len())
}

#[tokio::test(start_paused = true)]
async fn each_scripted_response_decides_the_fate_of_ten_records() {
    use ScriptedResponse::{
        CloseAfterBody, CloseAfterStore, Gzipped, HalfResponse, Huge, PartialSuccess, Response,
        RetryAfter, Status, WriteFailed,
    };
    let check = async |answers: &[ScriptedResponse], outcome: &str, stored: usize| {
        let found = deliver_ten(answers.iter().cloned()).await;
        assert_eq!(found, (outcome.to_owned(), stored), "{answers:?}");
    };
    let seconds = Duration::from_secs;
    let accepted = "10 accepted, 0 ambiguous";
    check(&[], accepted, 10).await;
    check(&[Status(503), Status(503)], accepted, 10).await;
    check(&[RetryAfter(429, seconds(3))], accepted, 10).await;
    let later = "0 accepted, 0 ambiguous; 10 Park: answered 503 Service Unavailable: {\"code\":503,\"message\":\"Service Unavailable\"}";
    check(&[RetryAfter(503, seconds(60))], later, 0).await;
    let redirected = "0 accepted, 0 ambiguous; 10 ParkWithAlarm: answered 302 Found: redirects are not followed, give the final URL as the endpoint";
    let headers = vec![("location".to_owned(), "http://127.0.0.1:9/".to_owned())];
    check(&[Response { status: 302, headers, body: Vec::new() }], redirected, 0).await;
    let three =
        "7 accepted, 0 ambiguous; 3 DeadLetterPartial: rejected: rejected by the fake's script";
    check(&[PartialSuccess(3)], three, 7).await;
    check(&[WriteFailed], "10 accepted, 10 ambiguous", 10).await;
    check(&[CloseAfterBody, CloseAfterBody], "10 accepted, 10 ambiguous", 10).await;
    check(&[CloseAfterStore], "10 accepted, 10 ambiguous", 20).await;
    check(&[HalfResponse], "10 accepted, 10 ambiguous", 20).await;
    let two =
        "8 accepted, 0 ambiguous; 2 DeadLetterPartial: rejected: rejected by the fake's script";
    check(&[Gzipped(Box::new(PartialSuccess(2)))], two, 8).await;
    let huge = "0 accepted, 10 ambiguous; 10 ParkWithAlarm: answered 200 OK with more than 64 KiB: is the endpoint right?";
    check(&[Huge(10 << 20)], huge, 10).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_backend_is_abandoned_at_the_deadline() {
    let backend = started(FakeOpenObserve::builder()).await;
    backend.script([ScriptedResponse::held()]);
    let start = Instant::now();
    let outcome = export(&destination(backend.base()), numbered(0..10)).await;
    assert!(start.elapsed() <= Duration::from_secs(10), "{:?}", start.elapsed());
    let late = format!("no answer from {}: timed out", backend.address());
    assert_eq!(summary(&outcome), format!("0 accepted, 10 ambiguous; 10 Park: {late}"));
}

#[tokio::test(start_paused = true)]
async fn every_signal_is_accepted_with_valid_credentials() {
    let backend = started(FakeOpenObserve::builder()).await;
    let mut destination = destination(backend.base());
    destination.stream = Some("lambda".to_owned());
    for request in [numbered(0..10), spans(vec![span()]), gauge([vec![]])] {
        let items = request.items();
        assert_eq!(
            summary(&export(&destination, request).await),
            format!("{items} accepted, 0 ambiguous")
        );
    }
    let headers = |name: &str| -> Vec<Option<String>> {
        let value = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
        backend.requests().iter().map(|request| request.headers.get(name).map(value)).collect()
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

/// The answers of a gRPC server are in `http::grpc`, and TLS in the extension's tests.
#[cfg(feature = "grpc")]
#[tokio::test]
async fn every_signal_is_accepted_over_grpc() {
    let backend = started(FakeOpenObserve::builder()).await;
    let server = GrpcFront::start(&backend).await;
    let mut destination = destination(&format!("http://{}/ignored", server.address()));
    destination.headers.push("organization", "shop").unwrap();
    destination.stream = Some("lambda".to_owned());
    // Larger than the window of a stream.
    let large =
        LogRecord { body: Some(crate::requests::text(&"7".repeat(300_000))), ..log_record(1) };
    for compression in [Compression::Gzip, Compression::None] {
        destination.compression = compression;
        let transport = HttpTransport::with_protocol(&destination, Protocol::Grpc).unwrap();
        let client = Client::with_transport(&destination, transport).unwrap();
        for request in [spans(vec![span()]), gauge([vec![]]), logs(vec![large.clone()])] {
            let outcome = send(&client, request).await;
            assert_eq!(summary(&outcome), "1 accepted, 0 ambiguous");
        }
    }
    let calls: Vec<_> = backend
        .requests()
        .iter()
        .map(|request| {
            let has = |name: &str| request.headers.contains_key(name);
            (request.path.clone(), has("content-encoding"), has("stream-name"))
        })
        .collect();
    let path = |signal: &str| format!("/api/shop/v1/{signal}");
    let of = |gzip| {
        [("traces", true), ("metrics", false), ("logs", true)]
            .map(|(signal, stream)| (path(signal), gzip, stream))
    };
    assert_eq!(calls, [of(true), of(false)].concat());
}

#[tokio::test(start_paused = true)]
async fn only_the_bad_item_of_64_is_dead_lettered() {
    // More columns than the stream may have: logs answer 200 `0a 00`, traces 400.
    let attributes = own_keys(0, 200);
    let bad_span = Span { attributes: attributes.clone(), ..span() };
    let bad_record = LogRecord { attributes, ..log_record(37) };
    let mut all_spans = vec![span(); 63];
    all_spans.insert(37, bad_span.clone());
    let mut all_records: Vec<LogRecord> = (0..64).map(log_record).collect();
    all_records[37] = bad_record.clone();
    let backend = started(FakeOpenObserve::builder().max_columns(100)).await;
    for (all, bad) in
        [(spans(all_spans), spans(vec![bad_span])), (logs(all_records), logs(vec![bad_record]))]
    {
        let outcome = export(&destination(backend.base()), all).await;
        let [part] = outcome.parts.as_slice() else { panic!("{outcome:?}") };
        assert_eq!((outcome.accepted, part.fate, &part.request), (63, Fate::DeadLetter, &bad));
    }
    let good = (0..64).filter(|number| *number != 37);
    assert_eq!(stored(&backend), good.map(|number| (number, 1)).collect());
}

/// Keys that no other item has.
fn own_keys(item: usize, keys: usize) -> Vec<KeyValue> {
    (0..keys).map(|key| attribute(&format!("key{item}.{key}"))).collect()
}

/// Spans of which each has this number of keys of its own.
fn wide_spans(items: usize, keys: usize) -> Request {
    let item = |item| Span { attributes: own_keys(item, keys), ..span() };
    spans((0..items).map(item).collect())
}

fn wide_logs(items: usize, keys: usize) -> Request {
    let item = |item| LogRecord { attributes: own_keys(item, keys), ..log_record(item) };
    logs((0..items).map(item).collect())
}

#[tokio::test(start_paused = true)]
async fn a_request_over_the_column_limit_is_split_before_sending() {
    let backend = started(FakeOpenObserve::builder()).await;
    let outcome = export(&destination(backend.base()), wide_logs(60, 100)).await;
    assert_eq!(summary(&outcome), "60 accepted, 0 ambiguous");
    assert_eq!(outcome.requests_sent, 8, "eight items fit into one request");
}

/// OpenObserve Cloud accepts 200 columns and says so for traces. Later requests keep to that limit.
#[tokio::test(start_paused = true)]
async fn a_column_limit_in_a_response_binds_later_requests() {
    let backend = started(FakeOpenObserve::builder().max_columns(200)).await;
    let client = Client::new(&destination(backend.base())).unwrap();
    let first = send(&client, wide_spans(12, 40)).await;
    assert_eq!(summary(&first), "12 accepted, 0 ambiguous");
    assert_eq!(first.requests_sent, 1 + 3, "refused once, then four items a request");
    let second = send(&client, wide_spans(12, 40)).await;
    assert_eq!((second.accepted, second.requests_sent), (12, 3), "remembered");
    let logs = send(&client, wide_logs(12, 40)).await;
    assert_eq!((logs.accepted, logs.requests_sent), (12, 3), "for the other signals too");
    assert_eq!(stored(&backend), (0..12).map(|number| (number, 1)).collect());
}

/// The columns of the rows of a request for OpenObserve.
async fn rows(request: Request) -> Vec<BTreeMap<String, serde_json::Value>> {
    let backend = started(FakeOpenObserve::builder()).await;
    let kind = request.kind();
    let items = request.items();
    let sanitized = sanitize(Profile::OpenObserve, request, "shop").request.unwrap();
    let outcome = export(&destination(backend.base()), sanitized).await;
    assert_eq!(summary(&outcome), format!("{items} accepted, 0 ambiguous"));
    backend.rows(kind)
}

/// Attributes as `a=1, b=2`.
fn pairs(text: &str) -> Vec<KeyValue> {
    let pairs = text.split(", ").filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(key, value)| KeyValue {
            value: Some(crate::requests::text(value)),
            ..attribute(key)
        })
        .collect()
}

#[tokio::test]
async fn errors_of_all_loggers_are_found_by_one_condition() {
    let errors = [
        (17, "ERROR"),
        (17, "Error"),
        (17, "error"),
        (17, "SEVERE"),
        (18, "ERROR2"),
        (21, "CRITICAL"),
        (21, "Fatal"),
        (0, "CRITICAL"),
        (17, ""),
    ];
    let record = |(number, text): (i32, &str)| LogRecord {
        severity_number: number,
        severity_text: text.to_owned(),
        ..log_record(1)
    };
    let rows = rows(logs(errors.map(record).to_vec())).await;
    let is_error = |row: &&BTreeMap<String, serde_json::Value>| {
        ["ERROR", "FATAL"].iter().any(|name| row["severity"] == *name)
    };
    assert_eq!(rows.iter().filter(is_error).count(), errors.len(), "{rows:?}");
    let own = rows.iter().filter_map(|row| row.get("lambda_otlp_severity_text")?.as_str());
    assert_eq!(own.collect::<Vec<_>>(), ["SEVERE", "ERROR2", "CRITICAL", "CRITICAL"]);
}

#[tokio::test]
async fn spans_keep_the_values_that_the_processing_of_generative_ai_loses() {
    let check = async |attributes: &str, expected: &str| {
        let span = Span { attributes: pairs(attributes), ..span() };
        let row = rows(spans(vec![span])).await.remove(0);
        let expected: BTreeMap<_, _> =
            expected.split(", ").filter_map(|pair| pair.split_once('=')).collect();
        let found: BTreeMap<_, _> = expected
            .keys()
            .map(|key| (*key, row.get(*key).and_then(serde_json::Value::as_str).unwrap_or("-")))
            .collect();
        assert_eq!(found, expected, "{attributes}: {row:?}");
        let is_processed = row.contains_key("gen_ai_operation_name");
        assert_eq!(is_processed, expected.contains_key("gen_ai_operation_name"), "{attributes}");
    };
    check("input=a, prompt=b", "attr_input=a, attr_prompt=b").await;
    check("input=a, output=b, tool_arguments=c", "attr_input=a, output=b, tool_arguments=c").await;
    check("agent.name=a, output=b", "attr_agent_name=a, output=b").await;
    check(
        "tool.name=a, tool_call.function.name=b, input.value=c, output.value=d",
        "attr_tool_name=a, attr_tool_call_function_name=b, attr_input_value=c, output_value=d",
    )
    .await;
    check(
        "prompt=a, session.id=s, gen_ai.conversation.id=c",
        "attr_prompt=a, session_id=s, gen_ai_conversation_id=c",
    )
    .await;
    check("tool_response=a, Input=b, input_value=c", "tool_response=a, input=b, input_value=c")
        .await;

    let agent = "gen_ai.operation.name=invoke_agent";
    let processed = "gen_ai_operation_name=invoke_agent";
    for (more, expected) in [
        ("input=a, output=b", "gen_ai_input_messages=a, gen_ai_output_messages=b"),
        ("input=a, prompt=b, output=c", "gen_ai_input_messages=b, attr_input=a, attr_output=c"),
        (
            "gen_ai.input.messages=a, gen_ai.output.messages=b, input.value=c, output.value=d",
            "gen_ai_input_messages=a, gen_ai_output_messages=b, attr_input_value=c, attr_output_value=d",
        ),
        ("gen_ai.output.messages=a", "attr_gen_ai_output_messages=a"),
        (
            "gen_ai.tool.call.arguments=a, tool_arguments=b",
            "gen_ai_tool_call_arguments=a, gen_ai_input_messages=a, attr_tool_arguments=b",
        ),
        (
            "session.id=s, gen_ai.conversation.id=c",
            "session_id=s, gen_ai_conversation_id=s, attr_gen_ai_conversation_id=c",
        ),
        ("gen_ai.conversation.id=c", "gen_ai_conversation_id=c"),
    ] {
        check(&format!("{agent}, {more}"), &format!("{processed}, {expected}")).await;
    }

    // Columns for numbers.
    check("gen_ai.usage.cost=unknown, x=y", "attr_gen_ai_usage_cost=unknown, x=y").await;
    check("gen-ai.usage.input_tokens=many", "attr_gen_ai_usage_input_tokens=many").await;
    check("gen_ai.usage.output_tokens=1.5, x=y", "attr_gen_ai_usage_output_tokens=1.5, x=y").await;
    let span = Span { attributes: pairs("gen_ai.usage.input_tokens=7"), ..span() };
    assert_eq!(rows(spans(vec![span])).await[0]["gen_ai_usage_input_tokens"], 7);

    // Messages in events come first, and the scope `ai` is enough.
    let attributes = pairs("gen_ai.operation.name=chat, input=a");
    let event = Event { name: "gen_ai.user.message".to_owned(), ..Event::default() };
    let span = Span { attributes, events: vec![event], ..crate::requests::span() };
    assert_eq!(rows(spans(vec![span])).await[0]["attr_input"], "a");
    let mut request = ExportTraceServiceRequest::default();
    let span = Span { attributes: pairs("output=a"), ..crate::requests::span() };
    request.resource_spans = spans(vec![span]).decode::<Traces>().unwrap().unwrap().resource_spans;
    request.resource_spans[0].scope_spans[0].scope =
        Some(InstrumentationScope { name: "ai".to_owned(), ..Default::default() });
    assert_eq!(rows(Request::encode::<Traces>(&request)).await[0]["attr_output"], "a");
}

/// OpenObserve's JSON library marks numbers with this key.
#[tokio::test]
async fn a_map_with_the_key_of_a_json_number_keeps_its_text() {
    for token in ["$serde_json::private::Number", "$serde_json::private::RawValue"] {
        let entry = pairs(&format!("{token}=text"));
        let map =
            AnyValue { value: Some(Value::KvlistValue(KeyValueList { values: entry.clone() })) };
        let nested = KeyValue { value: Some(map.clone()), ..attribute("map") };
        let attributes = [entry, vec![nested]].concat();
        let has_texts = |row: &BTreeMap<String, serde_json::Value>, texts: usize| {
            assert_eq!(row.values().filter(|value| **value == "text").count(), texts, "{row:?}");
        };
        let span = Span { attributes: attributes.clone(), ..span() };
        has_texts(&rows(spans(vec![span])).await[0], 2);
        has_texts(
            &rows(logs(vec![LogRecord {
                attributes: attributes.clone(),
                body: Some(map),
                ..log_record(1)
            }]))
            .await[0],
            3,
        );
        let request = sanitize(Profile::OpenObserve, gauge([attributes]), "shop").request.unwrap();
        let text = request.to_json();
        assert_eq!(text.matches("\"key\":\"$serde_json::private::Number").count(), 0, "{text}");
    }
}
