//! Documents of X-Ray's SDKs, sent to the extension as to X-Ray's daemon.

use crate::fake_lambda::direct::{started_backend, to};
use crate::fake_lambda::lines::{root_of, start};
use crate::fake_lambda::support::{FIRST, Lambda, now_ms, read, request_of, shutdown, traces};
use lambda_otlp_extension::Count;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Value, json};
use std::net::UdpSocket;

const TRACE: &str = "1-5759e988-bd862e3fe1be46a994272793";
const SEGMENT: [u8; 8] = [0x53, 0x99, 0x5c, 0x3f, 0x42, 0xcd, 0x8a, 0xd8];

fn send(lambda: &Lambda, datagram: &[u8]) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(datagram, lambda.receiver).unwrap();
}

fn send_document(lambda: &Lambda, document: &Value) {
    let datagram = format!("{{\"format\": \"json\", \"version\": 1}}\n{document}");
    send(lambda, datagram.as_bytes());
}

fn seconds() -> f64 {
    f64::from(u32::try_from(now_ms() / 1000).unwrap())
}

/// A subsegment of the invocation's segment.
fn subsegment(id: u64) -> Value {
    json!({"type": "subsegment", "trace_id": TRACE, "id": format!("{id:016x}"), "parent_id": "53995c3f42cd8ad8",
        "name": "## handler", "start_time": seconds() + 1.0, "end_time": seconds() + 1.5})
}

fn in_progress(id: u64) -> Value {
    let mut document = subsegment(id);
    document["in_progress"] = true.into();
    document.as_object_mut().unwrap().remove("end_time");
    document
}

fn named<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("{name}: {spans:?}"))
}

#[tokio::test]
async fn subsegments_are_children_of_the_invocations_span() {
    let lambda = Lambda::invoked(&[]).await;
    lambda.telemetry(&[start(FIRST)]).await;
    // The SDK for Python sends a subsegment before its parent.
    let mut below = subsegment(2);
    below["parent_id"] = "0000000000000001".into();
    below["name"] = "DynamoDB".into();
    send_document(&lambda, &below);
    send_document(&lambda, &subsegment(1));
    let (stdout, counts) = lambda.done_and_ended().await;
    let spans = stdout.spans();
    let (own, call, of_invocation) =
        (named(&spans, "## handler"), named(&spans, "DynamoDB"), named(&spans, "orders"));
    assert_eq!(spans.len(), 3, "{spans:?}");
    assert_eq!(call.parent_span_id, own.span_id);
    assert_eq!(own.parent_span_id, of_invocation.span_id);
    assert_eq!(
        (of_invocation.span_id.as_slice(), of_invocation.parent_span_id.as_slice()),
        (SEGMENT.as_slice(), [].as_slice())
    );
    assert!(spans.iter().all(|span| span.trace_id == own.trace_id));
    assert_eq!(wire::ids::xray_trace_id(TRACE).unwrap().as_slice(), own.trace_id);
    assert!(!counts.to_string().contains("lost"), "{counts}");
}

#[tokio::test]
async fn with_an_opentelemetry_root_subsegments_stay_below_the_invocation() {
    let lambda = Lambda::invoked(&[]).await;
    lambda.telemetry(&[start(FIRST)]).await;
    let trace_id = wire::ids::xray_trace_id(TRACE).unwrap();
    let root = root_of(FIRST, &trace_id);
    assert_eq!(lambda.protobuf(wire::SignalKind::Traces, &root).await.status, 200);
    send_document(&lambda, &subsegment(1));
    let (stdout, _) = lambda.done_and_ended().await;
    let spans = stdout.spans();
    let of_invocation = named(&spans, "aws.lambda.invocation");
    assert_eq!(of_invocation.span_id, SEGMENT);
    assert_eq!(of_invocation.parent_span_id, named(&spans, "handler").span_id);
    assert_eq!(named(&spans, "## handler").parent_span_id, SEGMENT);
}

#[tokio::test]
async fn a_segment_is_a_service_of_its_own() {
    let backend = started_backend().await;
    let lambda = Lambda::invoked(&to(&backend, &[])).await;
    let mut segment = subsegment(1);
    segment.as_object_mut().unwrap().remove("type");
    segment["name"] = "shop".into();
    send_document(&lambda, &segment);
    send_document(&lambda, &subsegment(2));
    lambda.done_and_ended().await;
    for (name, service) in [("shop", "shop"), ("## handler", "orders")] {
        let spans = backend.spans();
        let span = spans.iter().find(|span| span.item.name == name).unwrap();
        assert_eq!(span.service_name, service);
    }
}

/// As AWS's OpenTelemetry distributions write it.
const HEADER: &str = "{\"format\":\"json\",\"version\":1}\n";

#[tokio::test]
async fn a_malformed_datagram_is_counted_and_blocks_no_other() {
    let lambda = Lambda::invoked(&[]).await;
    let whole = format!("{HEADER}{}", subsegment(1));
    let cut = &whole.as_bytes()[..whole.len() - 9];
    for malformed in [b"".as_slice(), b"{}", b"{}\n{}", b"\xff", cut] {
        send(&lambda, malformed);
    }
    for otlp in ["T1S?", "T1Sabcd"] {
        send(&lambda, format!("{HEADER}{otlp}").as_bytes());
    }
    let mut document = subsegment(1);
    document["subsegments"] = json!([{"id": "short"}]);
    send_document(&lambda, &document);
    let (stdout, counts) = lambda.done_and_ended().await;
    assert_eq!(named(&stdout.spans(), "## handler").end_time_unix_nano % 1_000_000, 0);
    assert_eq!(counts.get(Count::XRayLost), 8, "{counts}");
}

#[tokio::test]
async fn base64_otlp_datagrams_of_aws_distributions_are_accepted() {
    let lambda = Lambda::invoked(&[]).await;
    let metrics = metrics("Latency");
    for (prefix, request) in [("T1S", traces(3)), ("T1U", traces(3)), ("M1", metrics)] {
        let mut datagram = format!("{HEADER}{prefix}").into_bytes();
        wire::push_base64(&mut datagram, &request);
        send(&lambda, &datagram);
    }
    let (stdout, counts) = lambda.done_and_ended().await;
    let queries = stdout.spans().into_iter().filter(|span| span.name == "query");
    assert_eq!((queries.count(), counts.get(Count::XRayLost)), (6, 0));
    let requests: Vec<wire::Request> = stdout.text().lines().map(read).collect();
    let has = |request: &wire::Request, text: &str| {
        request.bytes().windows(text.len()).any(|at| at == text.as_bytes())
    };
    for name in ["query", "Latency"] {
        let mut found = requests.iter().filter(|request| has(request, name)).peekable();
        assert!(found.peek().is_some() && found.all(|request| has(request, "orders")), "{name}");
    }
}

fn metrics(name: &str) -> Vec<u8> {
    request_of(|metric| {
        metric.string(1, name);
        metric.message(5, |gauge| gauge.message(1, |point| point.fixed64(4, 0)));
    })
}

#[tokio::test]
async fn a_subsegment_in_progress_is_a_partial_span() {
    // Nothing completes it.
    let backend = started_backend().await;
    let (lambda, next) = Lambda::without_telemetry(&to(&backend, &[])).await;
    send_document(&lambda, &in_progress(1));
    next.answer(200, shutdown("timeout"));
    lambda.finished().await;
    let spans = backend.spans();
    assert_eq!(spans.iter().filter(|span| span.item.name == "## handler").count(), 1);

    let lambda = Lambda::invoked(&[]).await;
    send_document(&lambda, &in_progress(1));
    send_document(&lambda, &subsegment(1));
    let (stdout, _) = lambda.done_and_ended().await;
    // The third is the invocation's.
    assert_eq!(stdout.spans().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_subsegments_at_once_are_written_or_counted() {
    let lambda = Lambda::invoked(&[]).await;
    for id in 1..=1000 {
        send_document(&lambda, &subsegment(id));
    }
    let (stdout, counts) = lambda.done_and_ended().await;
    let written = stdout.spans().iter().filter(|span| span.name == "## handler").count();
    assert_eq!(written + usize::try_from(counts.get(Count::XRayLost)).unwrap(), 1000, "{counts}");
    assert!(written > 0, "{counts}");
}
