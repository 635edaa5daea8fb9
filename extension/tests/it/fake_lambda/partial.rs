//! Spans that are exported before they have ended, since their invocation is about to be cut off.

use crate::fake_lambda::direct::{sink, to};
use crate::fake_lambda::lines::{root, start};
use crate::fake_lambda::support::{FIRST, Lambda, Stdout, read, shutdown};
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Value, json};
use simulator::sink::Sink;
use wire::{SignalKind, Traces};

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

/// Posts the root span, before it has ended.
async fn post_partial_root(lambda: &Lambda) {
    let headers = [PROTOBUF, ("lambda-otlp-partial", "true")];
    assert_eq!(lambda.otlp("/v1/traces", &headers, &root(FIRST)).await.status, 200);
}

/// Lambda's events for a timeout.
fn timed_out() -> Value {
    json!({"time": "2026-09-21T14:13:20.123Z", "type": "platform.runtimeDone", "record": {
        "requestId": FIRST, "status": "timeout", "metrics": {"durationMs": 3000.0, "producedBytes": 0},
    }})
}

/// Returns the spans of each line of traces, and `true` if they are partial.
fn lines_of_spans(stdout: &Stdout) -> Vec<(bool, Vec<Span>)> {
    let text = stdout.text();
    let lines = text.lines().map(|line| (line.contains("\"partial\":true"), read(line)));
    let traces = lines.filter_map(|(is_partial, request)| {
        let traces = request.decode::<Traces>()?.unwrap();
        let scopes = traces.resource_spans.into_iter().flat_map(|of| of.scope_spans);
        Some((is_partial, scopes.flat_map(|scope| scope.spans).collect()))
    });
    traces.collect()
}

fn servers(sink: &Sink) -> usize {
    sink.spans().iter().filter(|span| span.item.kind == 2).count()
}

#[tokio::test]
async fn only_lines_of_partial_spans_are_marked_partial() {
    let lambda = Lambda::invoked(&[]).await;
    post_partial_root(&lambda).await;
    assert_eq!(lambda.protobuf(SignalKind::Traces, &root(FIRST)).await.status, 200);
    // Any other value says nothing.
    let odd = [PROTOBUF, ("lambda-otlp-partial", "false")];
    assert_eq!(lambda.otlp("/v1/traces", &odd, &root(FIRST)).await.status, 200);
    let (stdout, _) = lambda.shut_down().await;
    let found: Vec<bool> =
        lines_of_spans(&stdout).iter().map(|(is_partial, _)| *is_partial).take(3).collect();
    assert_eq!(found, [true, false, false]);
}

#[tokio::test]
async fn an_invocation_with_a_partial_root_has_no_second_server_span() {
    let mut lambda = Lambda::invoked(&[]).await;
    lambda.telemetry(&[start(FIRST)]).await;
    post_partial_root(&lambda).await;
    lambda.telemetry(&[timed_out()]).await;
    lambda.next().await.answer(200, shutdown("timeout"));
    let (stdout, _) = lambda.finished().await;
    let lines = lines_of_spans(&stdout);
    let [(true, partial), (false, own)] = lines.as_slice() else { panic!("{lines:?}") };
    let ([root], [child]) = (partial.as_slice(), own.as_slice()) else { panic!("{lines:?}") };
    assert_eq!((root.kind, child.kind), (2, 1), "SERVER, and INTERNAL");
    assert_eq!((&child.trace_id, &child.parent_span_id), (&root.trace_id, &root.span_id));
    assert_eq!(child.status.as_ref().map(|status| status.code), Some(2), "ERROR");
}

#[tokio::test]
async fn a_partial_span_is_sent_when_its_invocation_is_cut_off() {
    let backend = sink().await;
    let mut lambda = Lambda::invoked(&to(&backend, &[])).await;
    post_partial_root(&lambda).await;
    lambda.telemetry(&[timed_out()]).await;
    lambda.next().await.answer(200, shutdown("timeout"));
    lambda.finished().await;
    assert_eq!(servers(&backend), 1);

    // Only the end of the environment reveals that.
    let backend = sink().await;
    let (lambda, next) = Lambda::untold(&to(&backend, &[])).await;
    post_partial_root(&lambda).await;
    next.answer(200, shutdown("timeout"));
    lambda.finished().await;
    assert_eq!(servers(&backend), 1);
}
