use super::*;
use crate::invocations::identity::identity;
use crate::test_spans::spans;
use extensions_api::Registration;
use test_support::openobserve::{FakeOpenObserve, ScriptedResponse};

/// The pause after a flush of these requests, in seconds, where the backend answers like this.
async fn pause_after(
    script: [ScriptedResponse; 4],
    requests: impl IntoIterator<Item = Request>,
    at_most: Duration,
) -> u64 {
    let backend = FakeOpenObserve::builder().no_window().start().await.unwrap();
    backend.script(script);
    let variables = [("LAMBDA_OTLP_OUTPUT", "otlp"), ("LAMBDA_OTLP_ENDPOINT", backend.base())];
    let mut config = Config::from_source(&variables);
    // Small requests cost a busy machine little time.
    config.output.direct.as_mut().unwrap().destination.max_request_bytes = 8 << 10;
    let counts = Arc::<Counts>::default();
    let output = LineOutput::start(&config, std::io::sink(), Arc::clone(&counts)).unwrap();
    let function = identity(&config, &Registration::default());
    let buffer = buffer(&config);
    let mut backend = Backend::start(&config, function, buffer.as_ref(), &output, &counts).unwrap();
    for request in requests {
        backend.buffer.put(request, BatchOrigin::Otlp).unwrap();
    }
    backend.flushes.begin(at_most, false);
    backend.flush_ended().await;
    backend.flushes.health.pause_end_ms().saturating_sub(unix_millis()).div_ceil(1000)
}

#[tokio::test]
async fn flushes_pause_after_a_failure_but_not_if_the_rest_had_too_little_time() {
    use ScriptedResponse::{Delayed, Ok, Response, Status};
    let retry_after = vec![("retry-after".into(), "20".into())];
    let status = 503;
    let asks = Response { status, headers: retry_after, body: Vec::new() };
    let slow = Delayed(Duration::from_millis(1200), Box::new(Ok));
    let held = ScriptedResponse::held;
    // Each goes in a request of its own, and one span with new columns before both.
    let two = || [spans(6 * 21), spans(6 * 21)];
    let long = Duration::from_secs(2);
    assert_eq!(pause_after([Ok, Ok, asks, Ok], two(), long).await, 20);
    assert_eq!(pause_after([Ok, Ok, held(), Ok], two(), long).await, 5);
    assert_eq!(pause_after([Ok, slow, held(), Ok], two(), long).await, 0);
    // The search for a bad record: one half is accepted, and the other is not answered.
    let search = [Ok, Status(400), Ok, held()];
    assert_eq!(pause_after(search, [spans(5)], Duration::from_millis(200)).await, 0);
}
