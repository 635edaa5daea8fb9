//! Spans that are exported before they have ended, since their invocation is about to be cut off.

use crate::fake_lambda::direct::{started_backend, to};
use crate::fake_lambda::lines::{root, start};
use crate::fake_lambda::support::{FIRST, Lambda, runtime_done_with, shutdown};
use test_support::openobserve::FakeOpenObserve;
use wire::SignalKind;

/// Posts the root span, before it has ended.
async fn post_partial_root(lambda: &Lambda) {
    assert_eq!(lambda.protobuf(SignalKind::Traces, &root(FIRST)).await.status, 200);
}

fn servers(backend: &FakeOpenObserve) -> usize {
    backend.spans().iter().filter(|span| span.item.kind == 2).count()
}

#[tokio::test]
async fn an_invocation_with_a_partial_root_has_no_second_server_span() {
    let mut lambda = Lambda::invoked(&[]).await;
    lambda.telemetry(&[start(FIRST)]).await;
    post_partial_root(&lambda).await;
    lambda.telemetry(&[runtime_done_with(FIRST, "timeout")]).await;
    lambda.next().await.answer(200, shutdown("timeout"));
    let (stdout, _) = lambda.finished().await;
    let spans = stdout.spans();
    let [root, child] = spans.as_slice() else { panic!("{spans:?}") };
    assert_eq!((root.kind, child.kind), (2, 1), "SERVER, and INTERNAL");
    assert_eq!((&child.trace_id, &child.parent_span_id), (&root.trace_id, &root.span_id));
    assert_eq!(child.status.as_ref().map(|status| status.code), Some(2), "ERROR");
}

#[tokio::test]
async fn a_partial_span_is_sent_when_its_invocation_is_cut_off() {
    let backend = started_backend().await;
    let mut lambda = Lambda::invoked(&to(&backend, &[])).await;
    post_partial_root(&lambda).await;
    lambda.telemetry(&[runtime_done_with(FIRST, "timeout")]).await;
    lambda.next().await.answer(200, shutdown("timeout"));
    lambda.finished().await;
    assert_eq!(servers(&backend), 1);

    // Only the end of the environment reveals that.
    let backend = started_backend().await;
    let (lambda, next) = Lambda::untold(&to(&backend, &[])).await;
    post_partial_root(&lambda).await;
    next.answer(200, shutdown("timeout"));
    lambda.finished().await;
    assert_eq!(servers(&backend), 1);
}
