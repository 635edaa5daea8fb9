use super::*;
use crate::invocations::identity::FunctionIdentity;
use crate::test_spans::spans;
use extensions_api::Registration;
use platform::{Identity, LineSource};
use std::io::{self, Write};
use std::sync::{Condvar, Mutex};
use test_support::openobserve::{Faults, ScriptedResponse, Sink};

/// Stdout, which takes nothing while it is full.
#[derive(Clone, Default)]
struct Pipe(Arc<(Mutex<bool>, Condvar)>);

impl Pipe {
    fn fill(&self, is_full: bool) {
        *self.0.0.lock().unwrap() = is_full;
        self.0.1.notify_all();
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        drop(self.0.1.wait_while(self.0.0.lock().unwrap(), |is_full| *is_full).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A backend sink that sends to this simulated backend, and does not wait long beside a handler.
fn backend(sink: &Sink) -> Backend {
    backend_at(sink.base(), &Pipe::default())
}

/// Like [`backend`], with another endpoint, and this pipe as stdout.
fn backend_at(endpoint: &str, stdout: &Pipe) -> Backend {
    backend_of(&config(endpoint), stdout)
}

fn backend_of(config: &Config, stdout: &Pipe) -> Backend {
    let counts = Arc::<Counts>::default();
    let output = LineOutput::start(config, stdout.clone(), Arc::clone(&counts)).unwrap();
    let buffer = buffer(config);
    Backend::start(config, function(config), buffer.as_ref(), &output, &counts).unwrap()
}

fn function(config: &Config) -> Identity {
    FunctionIdentity::of(config, &Registration::default()).into_function()
}

fn config(endpoint: &str) -> Config {
    let variables = [
        ("LAMBDA_OTLP_OUTPUT", "otlp"),
        ("LAMBDA_OTLP_ENDPOINT", endpoint),
        ("O2_FLUSH_INTERVAL_MS", "1"),
    ];
    Config::from_source(&variables)
}

fn running(is_done: bool) -> Running {
    let now_ms = unix_millis();
    Running {
        invoked_ms: now_ms,
        deadline_ms: now_ms + 60_000,
        is_done,
        end_is_expected: true,
        ..Running::default()
    }
}

fn printed(text: &str) -> LogLine {
    let (from, message) = (LineSource::Function, text.into());
    LogLine { from, time_unix_nano: None, message, is_json: false }
}

fn one() -> Request {
    spans(1)
}

/// Spans of this many KiB.
fn kibibytes(number: usize) -> Request {
    let request = spans(number * 21);
    assert!(request.bytes().len() > number << 10);
    request
}

/// An endpoint where nothing listens.
const NOWHERE: &str = "http://127.0.0.1:9/api/default";

async fn sink() -> Sink {
    Sink::builder().no_window().start().await.unwrap()
}

/// A backend that always answers like this.
async fn always(answer: ScriptedResponse) -> Sink {
    let sink = sink().await;
    sink.inject(Faults::seeded(1, 1.0).among([answer]));
    sink
}

async fn slow_sink() -> Sink {
    let answer = Box::new(ScriptedResponse::Ok);
    always(ScriptedResponse::Delayed(Duration::from_millis(100), answer)).await
}

/// Sends all of the buffer.
async fn flush(backend: &mut Backend) {
    backend.flushes.begin(Duration::from_mins(1), false);
    backend.flush_ended().await;
}

#[tokio::test]
async fn a_probe_outlasts_the_handler_and_closes_the_circuit() {
    let sink = slow_sink().await;
    let mut backend = backend(&sink);
    backend.invoked();
    for _ in 0..3 {
        backend.flushes.health.failed(Duration::ZERO, None, unix_millis() - 20_000);
    }
    assert_eq!(backend.flushes.health.at(unix_millis()), Health::Open);
    backend.buffer.put(one()).unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!backend.due(Some(&running(false)), false), "the probe is under way");
    assert!(!backend.due(Some(&running(true)), false), "and keeps the environment awake");
    backend.flush_ended().await;
    assert_eq!(backend.flushes.health.at(unix_millis()), Health::Good);
    assert_eq!((sink.spans().len(), backend.buffer.bytes()), (1, 0));
    assert!(backend.due(Some(&running(true)), false));
}

#[tokio::test]
async fn an_unfinished_search_for_bad_records_is_no_failure_of_the_backend() {
    let sink = sink().await;
    let (good, bad) = (ScriptedResponse::Ok, ScriptedResponse::Status(400));
    // The first span goes ahead. The request with the others is refused: one half is accepted, and the other is not answered.
    sink.script([good.clone(), bad, good, ScriptedResponse::held()]);
    let mut backend = backend(&sink);
    backend.invoked();
    backend.buffer.put(spans(5)).unwrap();
    backend.flushes.begin(Duration::from_millis(200), false);
    backend.flush_ended().await;
    assert_eq!((sink.spans().len(), backend.buffer.bytes() > 0), (3, true));
    assert_eq!(backend.flushes.health.not_before_ms(), 0);
    flush(&mut backend).await;
    assert_eq!((sink.spans().len(), backend.buffer.bytes()), (5, 0));
}

#[tokio::test]
async fn a_failure_after_an_accepted_request_pauses_flushes() {
    let (retry_after, status) = (vec![("retry-after".into(), "20".into())], 503);
    let asks = ScriptedResponse::Response { status, headers: retry_after, body: Vec::new() };
    let slow =
        ScriptedResponse::Delayed(Duration::from_millis(1200), Box::new(ScriptedResponse::Ok));
    let held = ScriptedResponse::held();
    for (first, second, pause_s) in [
        (ScriptedResponse::Ok, asks, 20),
        (ScriptedResponse::Ok, held.clone(), 5),
        // The second request had little time.
        (slow, held, 0),
    ] {
        let sink = sink().await;
        // One span goes ahead.
        sink.script([ScriptedResponse::Ok, first, second]);
        // Small requests cost a busy machine little time.
        let mut config = config(sink.base());
        let Output::Otlp(direct) = &mut config.choice.output else { panic!("direct mode") };
        direct.destination.max_request_bytes = 8 << 10;
        let mut backend = backend_of(&config, &Pipe::default());
        for _ in 0..2 {
            backend.buffer.put(kibibytes(6)).unwrap();
        }
        backend.flushes.begin(Duration::from_secs(2), false);
        backend.flush_ended().await;
        let pause = backend.flushes.health.not_before_ms().saturating_sub(unix_millis());
        assert_eq!(pause.div_ceil(1000), pause_s);
    }
}

#[tokio::test]
async fn a_refused_signal_is_a_failure_unless_another_one_is_accepted() {
    for (has_line, failures, health) in [(false, 1, Health::Paused), (true, 0, Health::Good)] {
        let sink = sink().await;
        sink.script_for(test_support::openobserve::Signal::Traces, [ScriptedResponse::Status(415)]);
        let mut backend = backend(&sink);
        backend.buffer.put(one()).unwrap();
        if has_line {
            backend.line(&printed("paid"));
            backend.finish_lines();
        }
        flush(&mut backend).await;
        assert_eq!(backend.counts.get(Count::FailedFlushes), failures);
        assert_eq!(backend.flushes.health.at(unix_millis()), health);
        assert_eq!(sink.log_records().len(), usize::from(has_line));
    }
}

#[tokio::test]
async fn while_stdout_is_blocked_a_full_buffer_keeps_acknowledged_telemetry() {
    const REQUESTS: usize = 140;
    let stdout = Pipe::default();
    stdout.fill(true);
    let mut backend = backend_at(NOWHERE, &stdout);
    // The backend refused one request.
    backend.buffer.put(one()).unwrap();
    backend.buffer.take(SignalKind::Traces).settle(Vec::new(), vec![one()]);
    // There is room for no other.
    backend.buffer.spill_from_now_on();
    backend.write(vec![one()]);
    assert!(!backend.is_behind());
    assert_eq!(backend.wake_at_ms(None, false, 1000), None);
    // More than the queue holds.
    let large = kibibytes(33);
    backend.xray(vec![large.clone(); REQUESTS]);
    backend.write(vec![one()]);
    assert!(backend.is_behind());
    assert_eq!(backend.wake_at_ms(None, false, 1000), Some(1010));
    backend.due(None, false);
    assert_eq!(backend.buffer.bytes(), one().bytes().len(), "it waits for room in the queue");
    stdout.fill(false);
    // The queue holds less than half of them.
    for _ in 0..4 {
        backend.wait_written(Duration::from_mins(1)).await;
        backend.due(None, false);
    }
    let count = |count| usize::try_from(backend.counts.get(count)).unwrap();
    assert_eq!(count(Count::Spilled), 2 + REQUESTS * large.items());
    assert_eq!((count(Count::PlatformLost), count(Count::SpillLost)), (1, 0));
}
