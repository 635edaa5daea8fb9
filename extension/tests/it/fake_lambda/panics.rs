//! Panics of the extension: requests, deliveries and `next` are answered and called all the same, and acknowledged items reach
//! the log or the backend.
//!
//! No request makes the released program panic. So here, logging a chosen event panics.

use crate::fake_lambda::direct::{always, silent, spilled, started_backend, to};
use crate::fake_lambda::lines::start;
use crate::fake_lambda::support::{
    FIRST, Lambda, Stdout, invoke, log, logged, numbered_traces, runtime_done,
};
use lambda_otlp_extension::{Counts, read_config, report_panics};
use opentelemetry_proto::tonic::trace::v1::Span;
use settings::Source;
use std::panic::{catch_unwind, resume_unwind, set_hook, take_hook};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use test_support::openobserve::{FakeOpenObserve, ScriptedResponse};
use tracing::subscriber::DefaultGuard;
use wire::SignalKind;

const REQUEST: &str = "OTLP received";
const DELIVERY: &str = "telemetry received";
const EVENT: &str = "platform event";
const INVOCATION: &str = "invocation begins";
const FLUSH_BEGIN: &str = "flush begins";
const FLUSH: &str = "cannot deliver";

/// Panics where this is logged, so often at most. Returns how often it still may.
fn panicking(place: &'static str, most: usize) -> (Arc<AtomicUsize>, DefaultGuard) {
    let left = Arc::new(AtomicUsize::new(most));
    let of_log = Arc::clone(&left);
    let guard = log(move |fields| {
        let may_panic = |left: usize| left.checked_sub(1);
        let order = Ordering::Relaxed;
        let is_place = fields.contains(place);
        if is_place && of_log.fetch_update(order, order, may_panic).is_ok() {
            // Without the hook, which would print each of them.
            resume_unwind(Box::new("on purpose"));
        }
    });
    (left, guard)
}

/// The numbers of spans, in order.
type Numbers = Vec<u64>;

/// Invokes the function until the extension has panicked there. Returns its output, and the spans that it acknowledged.
async fn panicked(
    place: &'static str,
    most: usize,
    variables: &[(&str, &str)],
) -> (Stdout, Numbers) {
    let mut lambda = Lambda::start(variables).await;
    let (left, _log) = panicking(place, most);
    let mut acknowledged = Numbers::new();
    let mut posted = 0;
    let mut invocations = 0;
    while invocations < 4 || left.load(Ordering::Relaxed) == most {
        assert!(invocations < 20, "no panic at {place}");
        invocations += 1;
        let request_id = format!("request-{invocations}");
        // Nothing else ends the hold if the report of the handler's end panics.
        lambda.next().await.answer(200, invoke(&request_id, Duration::from_millis(400)));
        // Another test may register the event at the same moment as this log, and then tracing keeps it without a subscriber.
        tracing::callsite::rebuild_interest_cache();
        for _ in 0..2 {
            let numbers = posted + 1..=posted + 3;
            posted += 3;
            let spans = numbered_traces(numbers.clone());
            let status = lambda.protobuf(SignalKind::Traces, &spans).await.status;
            assert!(status == 200 || (place == REQUEST && status == 500), "{place}: {status}");
            acknowledged.extend(numbers.filter(|_| status == 200));
        }
        let events = [start(&request_id), runtime_done(&request_id)];
        assert_eq!(lambda.telemetry(&events).await, 200);
    }
    (lambda.shut_down().await.0, acknowledged)
}

/// The numbers of the posted spans among these. The extension's own spans have another parent.
fn posted<'a>(spans: impl IntoIterator<Item = &'a Span>) -> Numbers {
    let posted = spans.into_iter().filter(|span| span.parent_span_id == [9; 8]);
    let number = |span: &Span| u64::from_be_bytes(span.span_id.as_slice().try_into().unwrap());
    let mut numbers: Numbers = posted.map(number).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn in_stdout_mode_a_panic_loses_no_acknowledged_span() {
    for place in [REQUEST, DELIVERY, EVENT, INVOCATION] {
        for most in [1, usize::MAX] {
            let (stdout, acknowledged) = panicked(place, most, &[]).await;
            assert_eq!(posted(&stdout.spans()), acknowledged, "{place}");
        }
    }
}

/// Direct mode with a backend that fails, or with one that works. Spans are stored twice if a backend that works misses the
/// timeout on a busy machine.
async fn in_direct_mode(
    backend: impl AsyncFn() -> FakeOpenObserve,
    flush_timeout: &str,
    places: &[&'static str],
) {
    for place in places {
        for most in [1, usize::MAX] {
            let backend = backend().await;
            let variables = [("OTEL_LAMBDA_FLUSH_TIMEOUT", flush_timeout)];
            let (stdout, acknowledged) = panicked(place, most, &to(&backend, &variables)).await;
            let in_lines = stdout.spans();
            let delivered = backend.spans();
            let mut stored = posted(in_lines.iter().chain(delivered.iter().map(|it| &it.item)));
            stored.dedup();
            assert_eq!(stored, acknowledged, "{place}");
            assert_eq!(stdout.spans().len(), spilled(&stdout), "{place}");
        }
    }
}

#[tokio::test]
async fn in_direct_mode_a_panic_loses_no_acknowledged_span() {
    let places = [REQUEST, DELIVERY, EVENT, INVOCATION, FLUSH_BEGIN];
    in_direct_mode(started_backend, "5s", &places).await;
}

#[tokio::test]
async fn a_panic_beside_a_failing_backend_loses_no_acknowledged_span() {
    let failing = async || always(ScriptedResponse::Status(503)).await;
    in_direct_mode(failing, "100ms", &[FLUSH_BEGIN, FLUSH]).await;
    in_direct_mode(silent, "100ms", &[REQUEST, EVENT, FLUSH]).await;
}

/// Lambda would refuse a second call.
#[tokio::test]
async fn a_panic_while_next_is_outstanding_does_not_repeat_the_call() {
    let (lambda, next) = Lambda::waiting(&[]).await;
    // The first delivery panics when it is received, and the second one in the loop.
    for place in [DELIVERY, EVENT] {
        let (left, _log) = panicking(place, 1);
        for _ in 0..100 {
            tracing::callsite::rebuild_interest_cache();
            assert_eq!(lambda.telemetry(&[runtime_done(FIRST)]).await, 200);
        }
        assert_eq!(left.load(Ordering::Relaxed), 0, "{place}");
    }
    // A second call would follow at once.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(lambda.no_call(), "next is called again");
    lambda.end(next).await;
}

/// A function's variables, of which only Lambda's can be read.
struct Unreadable;

impl Source for Unreadable {
    fn get(&self, name: &str) -> Option<String> {
        let is_lambdas = name.starts_with("AWS_LAMBDA_") || name == "LAMBDA_TASK_ROOT";
        assert!(is_lambdas, "on purpose");
        (name == "AWS_LAMBDA_RUNTIME_API").then(|| "127.0.0.1:9001".to_owned())
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A bug in the reading of variables does not keep the function from starting.
#[test]
fn a_panic_while_variables_are_read_leaves_the_defaults() {
    assert!(read_config(&Unreadable).is_in_lambda());
}

#[test]
fn a_panic_is_logged_once_by_its_place_and_without_its_message() {
    let (lines, _log) = logged();
    let counts = Arc::new(Counts::default());
    let before = take_hook();
    report_panics(&counts);
    let secret = "somebody's secret";
    let panicked = [(); 2].map(|()| catch_unwind(|| panic!("{secret}")).is_err());
    set_hook(before);
    let lines = lines.lock().unwrap();
    let [line] = lines.as_slice() else { panic!("{panicked:?}: {lines:?}") };
    assert!(line.contains("panics.rs:") && !line.contains(secret), "{line}");
    assert_eq!(counts.to_string(), "panics=2");
}
