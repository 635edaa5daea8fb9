//! The Rust function of the tests of modes. Its event tells its action: `{"does": "ok", "step": "a name"}`.
//!
//! With `SPANS=batch` its spans go through the SDK's own batch processor. `MAIN` names a change of `main`.

#![expect(clippy::disallowed_methods, reason = "the function's own variable")]

use exporter::export::StdoutSpanExporter;
use exporter::trigger::SpanAttributes;
use exporter::{TelemetryCompletionHandler, TelemetryConfig, TracedHandler, init};
use lambda_runtime::{Error, LambdaEvent};
use opentelemetry_sdk::trace::BatchSpanProcessor;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Deserialize)]
struct Instructions {
    does: Does,
    step: String,
    /// The caller's span.
    traceparent: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Does {
    Ok,
    Fail,
    Panic,
    /// Waits for ever in the step, after a span that has ended.
    Hang,
    /// The same with its thread.
    Block,
    /// Leaves the step open until the response is on its way.
    EndLate,
}

struct Reply {
    body: Value,
    _open: Option<tracing::Span>,
}

impl Serialize for Reply {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.body.serialize(serializer)
    }
}

async fn handle(event: LambdaEvent<Instructions>) -> Result<Reply, Error> {
    let Instructions { does, step, .. } = event.payload;
    let span = || tracing::info_span!("step", otel.name = step, step.number = 7_i64);
    let reply = |open| Reply { body: json!({ "statusCode": 200 }), _open: open };
    tracing::info!("received");
    match does {
        Does::Ok => {
            span().in_scope(|| ());
            Ok(reply(None))
        }
        Does::Fail => Err("as told".into()),
        Does::Panic => {
            let _open = span().entered();
            panic!("as told");
        }
        Does::Hang => {
            tracing::info_span!("before").in_scope(|| ());
            tracing::Instrument::instrument(std::future::pending::<()>(), span()).await;
            Ok(reply(None))
        }
        Does::Block => {
            tracing::info_span!("before").in_scope(|| ());
            let _open = span().entered();
            loop {
                std::thread::park();
            }
        }
        Does::EndLate => {
            let open = span();
            // A span that was never entered has not begun.
            open.in_scope(|| ());
            Ok(reply(Some(open)))
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let variable = |name| std::env::var(name).unwrap_or_default();
    let change = variable("MAIN");
    let mut config = TelemetryConfig::builder();
    if variable("SPANS") == "batch" {
        let processor = BatchSpanProcessor::builder(StdoutSpanExporter::default()).build();
        config = config.with_span_processor(processor);
    }
    if change == "own hook that shuts down" {
        config = config.with_sigterm_handler(false);
    }
    if change == "hook first" {
        spawn_graceful_shutdown_handler(async || ());
    }
    if change == "default subscriber" {
        tracing_subscriber::fmt().init();
    }
    let completion_handler = init(config.build());
    let telemetry: TelemetryCompletionHandler = completion_handler.clone();
    match change.as_str() {
        "hook last" => spawn_graceful_shutdown_handler(async || ()),
        "own hook that shuts down" => spawn_graceful_shutdown_handler(async move || {
            drop(telemetry.shutdown(Duration::from_millis(250)));
        }),
        _ => {}
    }
    if change.starts_with("connects") {
        tracing::info_span!("connect").in_scope(|| tracing::error!("no table"));
    }
    match change.as_str() {
        "connects and fails" => return Err("no table".into()),
        "connects and panics" => panic!("no table"),
        "connects and exits" => {
            tracing::error!("the end");
            std::process::exit(1)
        }
        _ => {}
    }
    let handler = TracedHandler::new("modes", completion_handler, handle).with_extractor(
        |own: &Instructions| {
            let caller = own.traceparent.clone().map(|caller| ("traceparent".to_owned(), caller));
            SpanAttributes::builder().with_carrier(caller.into_iter().collect()).build()
        },
    );
    // A managed instance runs several invocations at a time; elsewhere this is `run`.
    lambda_runtime::run_concurrent(handler).await
}

/// Like the function of this name in `lambda_runtime`, whose feature brings a crate that nothing else here needs.
fn spawn_graceful_shutdown_handler<Hook>(hook: impl FnOnce() -> Hook + Send + 'static)
where
    Hook: Future<Output = ()> + Send + 'static,
{
    tokio::task::spawn(async move {
        let Ok(_interrupt) = signal(SignalKind::interrupt()) else { return };
        let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
        terminate.recv().await;
        hook().await;
        std::process::exit(0);
    });
}
