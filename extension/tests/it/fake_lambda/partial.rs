//! Spans that are exported before they have ended, since their invocation is about to be cut off.

use crate::fake_lambda::direct::{FIRST, MINUTE, sending_to, sink};
use crate::fake_lambda::lines::{root, start};
use crate::fake_lambda::support::{Lambda, Posted, Script, invoke, read, shutdown};
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Value, json};
use simulator::sink::Sink;
use wire::{SignalKind, Traces};

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

async fn post_partial(lambda: &Lambda, body: &[u8]) -> Posted {
    lambda.otlp("/v1/traces", &[PROTOBUF, ("lambda-otlp-partial", "true")], body).await
}

/// Lambda's events for a timeout.
fn timed_out() -> Value {
    json!({"time": "2026-09-21T14:13:20.123Z", "type": "platform.runtimeDone", "record": {
        "requestId": FIRST, "status": "timeout", "metrics": {"durationMs": 3000.0, "producedBytes": 0},
    }})
}

/// Returns the spans of each line of traces, and `true` if they are partial.
fn lines_of_spans(stdout: &str) -> Vec<(bool, Vec<Span>)> {
    let lines = stdout.lines().map(|line| (line.contains("\"partial\":true"), read(line)));
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
    let mut lambda = Lambda::start(&[]).await;
    lambda.next().await.answer(200, invoke(FIRST, MINUTE));
    assert_eq!(post_partial(&lambda, &root(FIRST)).await.status, 200);
    assert_eq!(lambda.protobuf(SignalKind::Traces, &root(FIRST)).await.status, 200);
    // Any other value says nothing.
    let odd = [PROTOBUF, ("lambda-otlp-partial", "false")];
    assert_eq!(lambda.otlp("/v1/traces", &odd, &root(FIRST)).await.status, 200);
    lambda.next().await.answer(200, shutdown("spindown"));
    let (ended, stdout, _) = lambda.ended().await;
    ended.unwrap();
    let found: Vec<bool> =
        lines_of_spans(&stdout.text()).iter().map(|(is_partial, _)| *is_partial).take(3).collect();
    assert_eq!(found, [true, false, false]);
}

#[tokio::test]
async fn an_invocation_with_a_partial_root_has_no_second_server_span() {
    let mut lambda = Lambda::start(&[]).await;
    lambda.next().await.answer(200, invoke(FIRST, MINUTE));
    lambda.telemetry(&[start(FIRST)]).await;
    assert_eq!(post_partial(&lambda, &root(FIRST)).await.status, 200);
    lambda.telemetry(&[timed_out()]).await;
    lambda.next().await.answer(200, shutdown("timeout"));
    let (ended, stdout, _) = lambda.ended().await;
    ended.unwrap();
    let lines = lines_of_spans(&stdout.text());
    let [(true, partial), (false, own)] = lines.as_slice() else { panic!("{lines:?}") };
    let ([root], [child]) = (partial.as_slice(), own.as_slice()) else { panic!("{lines:?}") };
    assert_eq!((root.kind, child.kind), (2, 1), "SERVER, and INTERNAL");
    assert_eq!((&child.trace_id, &child.parent_span_id), (&root.trace_id, &root.span_id));
    assert_eq!(child.status.as_ref().map(|status| status.code), Some(2), "ERROR");
}

#[tokio::test]
async fn a_partial_span_is_sent_when_its_invocation_is_cut_off() {
    // The invocation is cut off.
    let backend = sink().await;
    let mut lambda = sending_to(&backend, &[], Script::default()).await;
    lambda.next().await.answer(200, invoke(FIRST, MINUTE));
    assert_eq!(post_partial(&lambda, &root(FIRST)).await.status, 200);
    lambda.telemetry(&[timed_out()]).await;
    lambda.next().await.answer(200, shutdown("timeout"));
    lambda.ended().await.0.unwrap();
    assert_eq!(servers(&backend), 1);

    // Only the end of the environment reveals that.
    let backend = sink().await;
    let script = Script { subscribe: &[404] };
    let mut lambda = sending_to(&backend, &[], script).await;
    lambda.next().await.answer(200, invoke(FIRST, MINUTE));
    let next = lambda.next().await;
    assert_eq!(post_partial(&lambda, &root(FIRST)).await.status, 200);
    next.answer(200, shutdown("timeout"));
    lambda.ended().await.0.unwrap();
    assert_eq!(servers(&backend), 1);
}
