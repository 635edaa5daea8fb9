//! A function for testing your instrumentation: it collects the telemetry of invocations for assertions.
//!
//! Enable the feature `testing` in `[dev-dependencies]`, where it adds nothing to the function:
//!
//! ```toml
//! [dev-dependencies]
//! lambda-otlp-exporter = { version = "0.1", features = ["testing"] }
//! ```
//!
//! ```
//! use lambda_otlp_exporter::testing::TestFunction;
//! use lambda_otlp_exporter::{TelemetryConfig, create_traced_handler};
//! use lambda_runtime::{Error, LambdaEvent};
//! use serde_json::{Value, json};
//!
//! async fn handle(event: LambdaEvent<Value>) -> Result<Value, Error> {
//!     let items = event.payload["items"].as_u64();
//!     tracing::info_span!("store", items).in_scope(|| tracing::info!("order stored"));
//!     Ok(json!({ "statusCode": 201 }))
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let function = TestFunction::new(TelemetryConfig::builder());
//! let handler = create_traced_handler("orders", function.completion_handler(), handle);
//! handler(function.event(json!({ "items": 3 }))).await?;
//!
//! let written = function.take();
//! let store = written.span("store");
//! assert_eq!(store.attribute("items"), Some(&3.into()));
//! assert_eq!(store.parent_span_id, written.span("orders").span_id);
//! assert_eq!(written.logs[0].body, "order stored");
//! # Ok::<(), Error>(())
//! # })?;
//! # Ok::<(), Error>(())
//! ```

mod written;

use crate::clock::Clock;
use crate::init::init;
use crate::init::telemetry_config::TelemetryConfigBuilder;
use crate::output::InMemoryOutput;
use crate::telemetry::completion::TelemetryCompletionHandler;
use crate::telemetry::invocations::Invocations;
use crate::telemetry::propagation::Propagation;
use crate::telemetry::subscriber;
use lambda_runtime::{Context, LambdaEvent};
use opentelemetry::global;
use opentelemetry::propagation::text_map_propagator::FieldIter;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tracing_subscriber::layer::SubscriberExt as _;
use written::read_lines;

pub use written::{DataPoint, Event, Link, LogRecord, Metric, Span, Written};

/// One environment of a function named `test`, without Lambda and without the process's environment variables.
///
/// It belongs to the creating thread. During its lifetime it receives that thread's `tracing` spans, `tracing` events and records
/// of the `log` crate, and its propagators write the context of outgoing calls ([`inject_headers`](crate::inject_headers),
/// `opentelemetry::global::get_text_map_propagator`). This suits `#[tokio::test]`, whose runtime has one thread, and parallel
/// tests. A test of two functions that call each other must drop the first one before it creates the second: the newest on a
/// thread receives all spans. Meters and tracers of `opentelemetry::global` belong to the whole process: a test of code that uses
/// them calls [`set_globals`](Self::set_globals).
///
/// ```
/// use lambda_otlp_exporter::testing::TestFunction;
/// use lambda_otlp_exporter::{TelemetryConfig, create_traced_handler, inject_json};
/// use lambda_runtime::{Error, LambdaEvent};
/// use serde_json::{Value, json};
///
/// async fn handle(_event: LambdaEvent<Value>) -> Result<Value, Error> {
///     Ok(serde_json::from_str(&inject_json("{}"))?)
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let function = TestFunction::new(TelemetryConfig::builder());
/// let handler = create_traced_handler("orders", function.completion_handler(), handle);
/// let sent = handler(function.event(json!({}))).await?;
///
/// let written = function.take();
/// let orders = written.span("orders");
/// let traceparent = format!("00-{}-{}-01", orders.trace_id, orders.span_id);
/// assert_eq!(sent["headers"]["traceparent"], traceparent);
/// # Ok::<(), Error>(())
/// # })?;
/// # Ok::<(), Error>(())
/// ```
pub struct TestFunction {
    completion: TelemetryCompletionHandler,
    output: Arc<InMemoryOutput>,
    _subscriber: tracing::subscriber::DefaultGuard,
    _propagator: ThreadPropagator,
}

impl fmt::Debug for TestFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestFunction").finish_non_exhaustive()
    }
}

impl TestFunction {
    /// Sets telemetry up like [`init_telemetry`](crate::init_telemetry) with this configuration, except for its output and the
    /// globals.
    #[must_use]
    pub fn new(config: TelemetryConfigBuilder) -> Self {
        Self::with_variables(config, [])
    }

    /// Like [`new`](Self::new), with these environment variables, such as `("OTEL_PROPAGATORS", "xray")`.
    #[must_use]
    pub fn with_variables<'a>(
        config: TelemetryConfigBuilder,
        variables: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let output = Arc::new(InMemoryOutput::default());
        let config = config.with_output(output.clone());
        let mut config = config.with_global_providers(false).with_global_subscriber(false).build();
        // Functions of parallel tests are not interrupted together.
        config.invocations = Some(Arc::new(Invocations::new(Clock::system())));
        let environment: BTreeMap<String, String> = [("AWS_LAMBDA_FUNCTION_NAME", "test")]
            .into_iter()
            .chain(variables)
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let completion = init(config, &environment);
        let subscriber = tracing_subscriber::registry().with(completion.tracing_layer());
        let subscriber = tracing::subscriber::set_default(subscriber);
        subscriber::bridge_log_crate();
        let propagator = ThreadPropagator::set(completion.telemetry.propagation.clone());
        Self { completion, output, _subscriber: subscriber, _propagator: propagator }
    }

    /// Installs its meters and tracers in `opentelemetry::global`, for this test and all parallel ones.
    pub fn set_globals(&self) {
        opentelemetry::global::set_meter_provider(self.completion.meter_provider().clone());
        opentelemetry::global::set_tracer_provider(self.completion.tracer_provider().clone());
    }

    /// The argument for wrapping a handler.
    #[must_use]
    pub fn completion_handler(&self) -> TelemetryCompletionHandler {
        self.completion.clone()
    }

    /// An invocation of the function with this payload, a remaining time of one minute, and a constant request id.
    #[must_use]
    pub fn event<T>(&self, payload: T) -> LambdaEvent<T> {
        let deadline = opentelemetry::time::now() + Duration::from_secs(60);
        let deadline = deadline.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let mut context = Context::default();
        "3da1f2dc-3222-475e-9205-e2e6c6318895".clone_into(&mut context.request_id);
        context.deadline = u64::try_from(deadline).unwrap_or(u64::MAX);
        "arn:aws:lambda:eu-west-1:123456789012:function:test"
            .clone_into(&mut context.invoked_function_arn);
        LambdaEvent::new(payload, context)
    }

    /// Returns the telemetry written since the last call.
    ///
    /// # Panics
    /// If the forwarder cannot read a line, which would be a bug in this crate.
    #[must_use]
    #[track_caller]
    pub fn take(&self) -> Written {
        read_lines(&self.output.take_lines())
    }
}

thread_local! {
    static OF_THREAD: RefCell<Option<Propagation>> = const { RefCell::new(None) };
}

/// Sets the propagators of this thread. Dropping the value restores the previous ones.
struct ThreadPropagator {
    before: Option<Propagation>,
}

impl ThreadPropagator {
    fn set(propagation: Propagation) -> Self {
        global::set_text_map_propagator(GlobalPropagator);
        Self { before: OF_THREAD.replace(Some(propagation)) }
    }
}

impl Drop for ThreadPropagator {
    fn drop(&mut self) {
        // A terminating thread may have no such value left.
        OF_THREAD.try_with(|own| own.replace(self.before.take())).ok();
    }
}

/// Uses the thread's propagators; without any it reads and writes nothing.
#[derive(Debug)]
struct GlobalPropagator;

fn of_thread() -> Option<Propagation> {
    OF_THREAD.with_borrow(Clone::clone)
}

impl TextMapPropagator for GlobalPropagator {
    fn inject_context(&self, cx: &opentelemetry::Context, injector: &mut dyn Injector) {
        if let Some(own) = of_thread() {
            own.inject_context(cx, injector);
        }
    }

    fn extract_with_context(
        &self,
        cx: &opentelemetry::Context,
        extractor: &dyn Extractor,
    ) -> opentelemetry::Context {
        of_thread().map_or_else(|| cx.clone(), |own| own.extract_with_context(cx, extractor))
    }

    /// Returns no names, because they would have to outlive the propagators of the thread.
    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(&[])
    }
}
