use super::*;
use crate::invocations::identity::FunctionIdentity;
use crate::test_spans::{Span, traces};
use extensions_api::Registration;
use platform::{Identity, LineSource};
use simulator::secrets::{SecretAnswer, SecretServer};
use simulator::sink::{Faults, ScriptedResponse, Sink};
use std::collections::BTreeMap;

/// A pipe with a slow reader.
struct SlowStdout;

impl std::io::Write for SlowStdout {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        std::thread::sleep(Duration::from_millis(20));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A backend sink that sends to this simulated backend, and does not wait long beside a handler.
fn backend(sink: &Sink) -> Backend {
    backend_with(sink, &[])
}

/// Like [`backend`], with these variables.
fn backend_with(sink: &Sink, more: &[(&str, &str)]) -> Backend {
    let config = config(sink, more);
    let counts = Arc::<Counts>::default();
    let output = LineOutput::start(&config, SlowStdout, Arc::clone(&counts));
    let output = output.unwrap();
    let buffer = buffer(&config);
    Backend::start(&config, function(&config), buffer.as_ref(), &output, &counts).unwrap()
}

fn function(config: &Config) -> Identity {
    FunctionIdentity::of(config, &Registration::default()).into_function()
}

fn config(sink: &Sink, more: &[(&str, &str)]) -> Config {
    let variables = [
        ("LAMBDA_OTLP_OUTPUT", "otlp"),
        ("LAMBDA_OTLP_ENDPOINT", sink.base()),
        ("O2_FLUSH_INTERVAL_MS", "1"),
    ];
    let variables = variables.iter().chain(more);
    let source: BTreeMap<String, String> =
        variables.map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Config::from_source(&source)
}

fn running(is_done: bool) -> Running {
    let now_ms = unix_millis();
    Running {
        invoked_ms: now_ms,
        deadline_ms: now_ms + 60_000,
        is_done,
        is_told_of_end: true,
        is_rare: false,
        last_failed: false,
        usual_handler: None,
    }
}

async fn slow_sink() -> Sink {
    sink_with_delay(Duration::from_millis(100)).await
}

async fn sink_with_delay(delay: Duration) -> Sink {
    let sink = Sink::builder().no_window().start().await.unwrap();
    let slow = ScriptedResponse::Delayed(delay, Box::new(ScriptedResponse::Ok));
    sink.inject(Faults::seeded(1, 1.0).among([slow]));
    sink
}

#[test]
fn spilled_requests_are_merged_to_the_size_of_a_line() {
    let request = traces(&vec![Span::default(); 100]);
    let requests = vec![request.clone(); 200];
    let merged = spill::merge(requests.clone());
    let items = |requests: &[Request]| requests.iter().map(Request::items).sum::<usize>();
    assert_eq!(items(&merged), items(&requests));
    let bytes: usize = requests.iter().map(|request| request.bytes().len()).sum();
    assert!(merged.len() <= bytes / (128 << 10) + 1, "{}", merged.len());
    assert!(merged.iter().all(|request| request.bytes().len() <= 256 << 10));
}

#[tokio::test]
async fn a_probe_outlasts_the_handler_and_closes_the_circuit() {
    let sink = slow_sink().await;
    let mut backend = backend(&sink);
    backend.invoked();
    for _ in 0..3 {
        backend.flights.health.failed(Duration::ZERO, None, unix_millis() - 20_000);
    }
    assert_eq!(backend.flights.health.at(unix_millis()), Health::Open);
    backend.buffer.put(traces(&[Span::default()])).unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!backend.due(Some(&running(false)), false), "the probe is under way");
    assert!(!backend.due(Some(&running(true)), false), "and keeps the environment awake");
    backend.landed().await;
    assert_eq!(backend.flights.health.at(unix_millis()), Health::Good);
    assert_eq!((sink.spans().len(), backend.buffer.bytes()), (1, 0));
    assert!(backend.due(Some(&running(true)), false));
}

#[tokio::test]
async fn after_failed_probes_a_slower_backend_closes_the_circuit() {
    let sink = sink_with_delay(Duration::from_millis(400)).await;
    let mut backend = backend(&sink);
    backend.invoked();
    // Three flushes and two probes failed.
    for _ in 0..5 {
        backend.flights.health.failed(Duration::ZERO, None, unix_millis() - 20_000);
    }
    backend.buffer.put(traces(&[Span::default()])).unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!backend.due(Some(&running(false)), false), "the probe is under way");
    backend.landed().await;
    assert_eq!(backend.flights.health.at(unix_millis()), Health::Good);
    assert_eq!((sink.spans().len(), backend.buffer.bytes()), (1, 0));
}

#[tokio::test]
async fn an_overdue_flush_wakes_the_loop_immediately() {
    let sink = slow_sink().await;
    let mut backend = backend(&sink);
    backend.invoked();
    backend.due(Some(&running(false)), false);
    backend.buffer.put(traces(&[Span::default()])).unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let now_ms = unix_millis();
    assert_eq!(backend.wake_at_ms(Some(&running(false)), false, now_ms), Some(now_ms));
}

#[tokio::test]
async fn credentials_are_read_at_start_and_required_for_sending() {
    let sink = slow_sink().await;
    let secrets = SecretServer::start(SecretAnswer::Denied).await.unwrap();
    let mut backend = backend_with(
        &sink,
        &[
            ("LAMBDA_OTLP_SECRET", "ssm:/o2/auth"),
            ("AWS_ENDPOINT_URL", &secrets.endpoint()),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ACCESS_KEY_ID", "AKID"),
            ("AWS_SECRET_ACCESS_KEY", "simulated"),
        ],
    );
    let asked = async {
        while secrets.asked().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), asked).await.expect("nothing is to be sent");
    backend.invoked();
    backend.buffer.put(traces(&[Span::default()])).unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!backend.due(Some(&running(true)), false));
    backend.landed().await;
    assert_eq!((sink.requests().len(), backend.counts.get(Count::FailedFlushes)), (0, 1));
    assert!(backend.buffer.oldest().is_some(), "it is to be sent again");
}

/// A subscriber whose events with this message panic.
struct PanicsAt(&'static str);

impl tracing::Subscriber for PanicsAt {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut message = String::new();
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            if field.name() == "message" {
                message = format!("{value:?}");
            }
        });
        assert!(!message.contains(self.0), "on purpose");
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test]
async fn telemetry_of_a_panicking_flush_is_spilled_and_not_resent() {
    let sink = Sink::builder().no_window().start().await.unwrap();
    sink.inject(Faults::seeded(1, 1.0).among([ScriptedResponse::Status(503)]));
    let mut backend = backend(&sink);
    let _log = tracing::subscriber::set_default(PanicsAt("cannot deliver"));
    backend.invoked();
    backend.buffer.put(traces(&[Span::default()])).unwrap();
    assert!(!backend.due(Some(&running(true)), false));
    backend.landed().await;
    backend.wait_written(Duration::from_mins(1)).await;
    assert_eq!(backend.buffer.bytes(), 0);
    assert_eq!((sink.requests().len(), backend.counts.get(Count::Spilled)), (1, 1));
    assert_eq!(backend.flights.health.at(unix_millis()), Health::Good, "no fault of the backend");
}

#[tokio::test]
async fn after_a_panic_waiting_records_move_to_the_buffer() {
    let server = slow_sink().await;
    let config = config(&server, &[]);
    let mut sink = crate::sink::Sink::open(&config, SlowStdout, &Arc::<Counts>::default()).unwrap();
    sink.connect(&config, function(&config));
    sink.line(&LogLine {
        from: LineSource::Function,
        time_unix_nano: None,
        message: "paid".into(),
        is_json: false,
    });
    let buffered = |sink: &crate::sink::Sink| sink.door().buffer.as_ref().unwrap().bytes();
    assert_eq!(buffered(&sink), 0);
    sink.after_panic();
    assert!(buffered(&sink) > 0);
}
