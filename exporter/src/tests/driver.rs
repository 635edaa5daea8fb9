//! A function without Lambda: its environment, its invocations and its lines.

use crate::export::losses::Loss;
use crate::init::init_from;
use crate::init::telemetry_config::{TelemetryConfig, TelemetryConfigBuilder};
use crate::invocations::Invocations;
use crate::lambda_otel_lite::create_traced_handler;
use crate::output::{InMemoryOutput, Output};
use crate::state::completion::TelemetryCompletionHandler;
use lambda_runtime::{Context, Error, LambdaEvent};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::{Span, status::StatusCode};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanProcessor};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::fmt::{self, Debug};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};
use test_support::Logged;
use tracing_subscriber::layer::SubscriberExt as _;
use wire::{Limits, RootLine, SignalKind};

pub(super) const REQUEST_ID: &str = "3da1f2dc-3222-475e-9205-e2e6c6318895";
/// By an alias, which the running version replaces in the resource id.
const ARN: &str = "arn:aws:lambda:eu-west-1:123456789012:function:orders:live";

/// The variables of a function that writes compact lines.
pub(super) const COMPACT: [(&str, &str); 4] = [
    ("LAMBDA_OTLP_LINE", "compact"),
    ("AWS_REGION", "eu-west-1"),
    ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/orders"),
    ("AWS_LAMBDA_LOG_STREAM_NAME", "2026/11/22/[7]0123456789abcdef0123456789abcdef"),
];
/// The names in a delivery of the function's log.
pub(super) const DELIVERY: wire::compact::Context<'_> = wire::compact::Context {
    function: "orders",
    account: "123456789012",
    log_stream: COMPACT[3].1,
    region: "",
};

/// One environment of a function, on this thread.
pub(super) struct Function {
    pub(super) completion: TelemetryCompletionHandler,
    pub(super) output: Arc<InMemoryOutput>,
    /// Milliseconds since the epoch; constant until a test changes it.
    pub(super) clock: Arc<AtomicU64>,
    subscriber_guard: Option<tracing::subscriber::DefaultGuard>,
}

pub(super) const NOW_MS: u64 = 1_790_000_000_000;

impl Function {
    pub(super) fn new() -> Self {
        Self::with(&[], |config| config)
    }

    pub(super) fn with_variables(variables: &[(&str, &str)]) -> Self {
        Self::with(variables, |config| config)
    }

    pub(super) fn with(
        variables: &[(&str, &str)],
        change: impl FnOnce(TelemetryConfigBuilder) -> TelemetryConfigBuilder,
    ) -> Self {
        let mut function = Self::without_subscriber(variables, change);
        let subscriber = tracing_subscriber::registry().with(function.completion.tracing_layer());
        function.subscriber_guard = Some(tracing::subscriber::set_default(subscriber));
        function
    }

    pub(super) fn without_subscriber(
        variables: &[(&str, &str)],
        change: impl FnOnce(TelemetryConfigBuilder) -> TelemetryConfigBuilder,
    ) -> Self {
        let output = Arc::new(InMemoryOutput::default());
        let clock = Arc::new(AtomicU64::new(NOW_MS));
        let config = TelemetryConfig::builder()
            .with_output(Arc::clone(&output) as _)
            .with_global_providers(false)
            .with_global_subscriber(false);
        let mut config = change(config).build();
        let millis = Arc::clone(&clock);
        let time = move || UNIX_EPOCH + Duration::from_millis(millis.load(Ordering::Relaxed));
        config.invocations = Some(Arc::new(Invocations::without_thread(time)));
        let mut environment: HashMap<String, String> =
            [("AWS_LAMBDA_FUNCTION_NAME", "orders"), ("AWS_LAMBDA_FUNCTION_VERSION", "7")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into();
        environment.extend(variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        let completion = init_from(config, &environment);
        Self { completion, output, clock, subscriber_guard: None }
    }

    /// Calls `gate` with the timeout before each write. If it fails, so does the write.
    pub(super) fn with_gate(
        variables: &[(&str, &str)],
        gate: impl Fn(Duration) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let output = Arc::new(InMemoryOutput::default());
        let gated = Own((gate, Arc::clone(&output)));
        let function = Self::with(variables, |config| config.with_output(Arc::new(gated)));
        Self { output, ..function }
    }

    /// Checks the deadline so many milliseconds after the invocation began, and returns the lines since the last call; for another
    /// thread.
    pub(super) fn watch(&self) -> impl Fn(u64) -> Vec<String> + Send + Sync + 'static + use<> {
        let completion = self.completion.clone();
        let output = Arc::clone(&self.output);
        let clock = Arc::clone(&self.clock);
        move |after_ms| {
            clock.store(NOW_MS + after_ms, Ordering::Relaxed);
            completion.telemetry.invocations.step();
            output.take_lines()
        }
    }

    /// Runs one invocation with this handler, like `lambda_runtime` in the `current_thread` flavor.
    pub(super) fn handle<Fut>(
        &self,
        event: LambdaEvent<Value>,
        handler: impl Fn(LambdaEvent<Value>) -> Fut + Send + Sync + 'static,
    ) -> Result<Value, Error>
    where
        Fut: Future<Output = Result<Value, Error>> + Send + 'static,
    {
        block_on(create_traced_handler("orders", self.completion.clone(), handler)(event))
    }

    pub(super) fn invoke(&self) {
        self.handle(event(json!({})), succeed).unwrap();
    }

    /// Runs one invocation with a child span, a log record and a measurement.
    pub(super) fn invoke_with_all_signals(&self) {
        let counter = self.completion.meter("test").u64_counter("orders").build();
        let handler = move |event| {
            tracing::info_span!("child").in_scope(|| tracing::info!("received"));
            counter.add(1, &[]);
            succeed(event)
        };
        self.handle(event(json!({})), handler).unwrap();
    }

    pub(super) fn lost(&self, loss: Loss) -> [u64; 3] {
        let losses = &self.completion.telemetry.line.losses;
        SignalKind::ALL.map(|kind| losses.lost(kind, loss))
    }

    /// Runs one invocation with this body, and returns its telemetry.
    pub(super) fn run(&self, body: impl Fn() + Clone + Send + Sync + 'static) -> Written {
        let handler = move |event| {
            let body = body.clone();
            async move {
                body();
                succeed(event).await
            }
        };
        self.handle(event(json!({})), handler).unwrap();
        self.written()
    }

    pub(super) fn written(&self) -> Written {
        Written::read(self.output.take_lines())
    }

    pub(super) fn span(&self) -> Span {
        let written = self.written();
        assert_eq!(written.spans.len(), 1, "{:?}", written.span_names());
        written.spans.into_iter().next().unwrap()
    }
}

/// A part of the application: a processor or an exporter that tells this about each call, or an output behind a gate.
pub(super) struct Own<F>(pub(super) F);

pub(super) const FLUSHED: &str = "is flushed";

impl<F> Debug for Own<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Own")
    }
}

impl<F: Fn(String) + Send + Sync> SpanProcessor for Own<F> {
    fn on_start(&self, _: &mut opentelemetry_sdk::trace::Span, _: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        (self.0)(format!("sees {}", span.name));
    }

    fn force_flush(&self) -> OTelSdkResult {
        (self.0)(FLUSHED.to_owned());
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl<G> Output for Own<(G, Arc<InMemoryOutput>)>
where
    G: Fn(Duration) -> io::Result<()> + Send + Sync,
{
    fn write_lines(&self, lines: &[u8], timeout: Duration) -> io::Result<()> {
        let (gate, output) = &self.0;
        gate(timeout)?;
        output.write_lines(lines, timeout)
    }
}

/// An invocation's context, with three seconds remaining.
pub(super) fn context() -> Context {
    let mut context = Context::default();
    context.request_id = REQUEST_ID.to_owned();
    context.deadline = NOW_MS + 3000;
    context.invoked_function_arn = ARN.to_owned();
    context.tenant_id = Some("BlueTenant".to_owned());
    context
}

pub(super) fn event(payload: Value) -> LambdaEvent<Value> {
    LambdaEvent::new(payload, context())
}

/// Runs a future of an invocation on this thread, like `lambda_runtime` in the `current_thread` flavor.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[derive(Debug)]
pub(super) struct Written {
    pub(super) lines: Vec<String>,
    pub(super) spans: Vec<Span>,
    pub(super) logs: Vec<LogRecord>,
    pub(super) metrics: Vec<Metric>,
    /// Request id and trace id of each root line, which `lines` lacks.
    pub(super) roots: BTreeSet<(String, Vec<u8>)>,
}

impl Written {
    pub(super) fn read(mut lines: Vec<String>) -> Self {
        let mut logged = Logged::default();
        let mut roots = BTreeSet::new();
        lines.retain(|line| match RootLine::read(line) {
            Some(root) => !roots.insert((root.request_id.to_owned(), root.trace_id.to_vec())),
            None => true,
        });
        for line in &lines {
            let reading =
                wire::read_line_of(line, &DELIVERY, &Limits::default()).expect("an OTLP line");
            assert_eq!(reading.undecodable.len(), 0);
            let is_compact = line.starts_with(r#"{"_otelc":""#);
            assert!(is_compact || line.contains(r#""source":"orders""#), "{line}");
            assert!(reading.decoded.iter().all(|own| own.items() > 0), "an empty batch");
            logged.add(&reading.decoded);
        }
        let Logged { spans, records, metrics } = logged;
        let spans = spans.into_iter().map(|(_, span)| span).collect();
        Self { lines, spans, logs: records, metrics, roots }
    }

    pub(super) fn counts(&self) -> [usize; 4] {
        [self.lines.len(), self.spans.len(), self.logs.len(), self.metrics.len()]
    }

    pub(super) fn span_names(&self) -> Vec<&str> {
        self.spans.iter().map(|span| span.name.as_str()).collect()
    }

    pub(super) fn span_named(&self, name: &str) -> &Span {
        self.spans.iter().find(|span| span.name == name).expect("the span was written")
    }
}

/// Sorted `key=value` lines; quotes mark text.
pub(super) fn shown(attributes: &[KeyValue]) -> String {
    let mut lines: Vec<String> = attributes
        .iter()
        .map(|attribute| {
            format!("{}={}\n", attribute.key, shown_value(attribute.value.as_ref().unwrap()))
        })
        .collect();
    lines.sort();
    lines.concat()
}

pub(super) fn shown_value(value: &AnyValue) -> String {
    match value.value.as_ref().unwrap() {
        any_value::Value::StringValue(text) => format!("{text:?}"),
        any_value::Value::BoolValue(value) => value.to_string(),
        any_value::Value::IntValue(value) => value.to_string(),
        any_value::Value::DoubleValue(value) => format!("{value:?}"),
        any_value::Value::ArrayValue(list) => {
            format!("{:?}", list.values.iter().map(shown_value).collect::<Vec<_>>())
        }
        other => format!("{other:?}"),
    }
}

/// The status as `unset`, `ok` or `error: description`.
pub(super) fn status(span: &Span) -> String {
    let status = span.status.clone().unwrap_or_default();
    match status.code() {
        StatusCode::Unset => "unset".to_owned(),
        StatusCode::Ok => "ok".to_owned(),
        StatusCode::Error => format!("error: {}", status.message),
    }
}

pub(super) fn attribute(span: &Span, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
    found.value.as_ref().map(shown_value)
}

pub(super) async fn succeed(_event: LambdaEvent<Value>) -> Result<Value, Error> {
    Ok(json!({ "statusCode": 200 }))
}

/// The file of the records about root spans, which an extension creates before it registers.
pub(super) struct Records {
    api: String,
}

impl Records {
    /// `name` is unique among the tests.
    pub(super) fn new(name: &str) -> Self {
        let records = Self { api: format!("{name}:{}", std::process::id()) };
        std::fs::write(records.path(), "").unwrap();
        records
    }

    /// The variable by which a function finds the file.
    pub(super) fn variable(&self) -> (&'static str, &str) {
        ("AWS_LAMBDA_RUNTIME_API", &self.api)
    }

    pub(super) fn read(&self) -> Vec<u8> {
        std::fs::read(self.path()).unwrap()
    }

    /// The content of the first invocation's record about its root.
    pub(super) fn root(&self) -> wire::invocation_record::RootSpan {
        wire::invocation_record::find(&self.read(), REQUEST_ID).next().unwrap()
    }

    fn path(&self) -> String {
        wire::invocation_record::path(&self.api)
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        std::fs::remove_file(self.path()).ok();
    }
}
