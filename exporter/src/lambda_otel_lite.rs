//! The names of lambda-otel-lite 0.20 and otlp-stdout-span-exporter 0.18 (feature `lambda-otel-lite`), so that migrating only
//! changes the dependency: their modules, functions and types, the methods of their builders, their events and their logger.
//!
//! New code needs nothing from here.

use crate::config::{Config, LogLevel, ProcessorMode, TelemetryConfig, TelemetryConfigBuilder};
use crate::export::{LambdaSpanProcessorBuilder, Output, StdoutSpanExporterBuilder};
use crate::handler::instrumentation::Instrumentation;
use crate::handler::{HandlerError, InvocationFuture, OtelTracingLayer};
use crate::output::stderr;
use crate::state::completion::TelemetryCompletionHandler;
use crate::trigger::{SpanAttributesBuilder, SpanAttributesExtractor, TriggerType};
use lambda_runtime::LambdaEvent;
use opentelemetry::trace::{Link, SpanKind, get_active_span};
use opentelemetry::{Key, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SpanExporter};
use serde::Serialize;
use settings::Env;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;
use tracing::Level;
use tracing::level_filters::LevelFilter;

/// The names at the root.
#[cfg(any(test, feature = "lambda-otel-lite"))]
pub(crate) mod root {
    pub use super::{
        EventBuilder, EventLevel, Logger, OtlpStdoutSpanExporter, create_traced_handler, event,
        get_lambda_resource, init_telemetry, record_event,
    };
    pub use crate::config::{LogLevel, ProcessorMode, TelemetryConfigBuilder, lambda_resource};
    pub use crate::export::*;
    pub use crate::handler::*;
    pub use crate::propagation::*;
    pub use crate::trigger::*;

    macro_rules! modules {
        ($($name:ident)*) => {$(
            /// All names of the root, as in lambda-otel-lite's module.
            pub mod $name {
                pub use crate::*;
            }
        )*};
    }

    modules! { events extractors layer logger mode processor resource telemetry }
}

/// [`init`](crate::init) in the form of lambda-otel-lite.
///
/// # Errors
/// None: telemetry must not fail a function.
pub async fn init_telemetry(
    config: TelemetryConfig,
) -> Result<(SdkTracer, TelemetryCompletionHandler), lambda_runtime::Error> {
    let completion_handler = crate::init(config);
    Ok((completion_handler.tracer().clone(), completion_handler))
}

/// [`TracedHandler`](crate::TracedHandler) as a function for `lambda_runtime::service_fn`.
pub fn create_traced_handler<T, R, E, F, Fut, Form>(
    name: impl Into<Cow<'static, str>>,
    completion_handler: TelemetryCompletionHandler,
    handler: F,
) -> impl Fn(LambdaEvent<T>) -> InvocationFuture<Fut> + Clone
where
    T: SpanAttributesExtractor,
    F: Fn(LambdaEvent<T>) -> Fut,
    Fut: Future<Output = Result<R, E>>,
    R: Serialize,
    E: HandlerError<Form>,
{
    let handler = Arc::new(handler);
    let instrumentation =
        Instrumentation::at_end_of_init(completion_handler).with_default_name(name.into());
    move |event| instrumentation.invoke(event, |event| handler(event))
}

/// lambda-otel-lite's name.
impl<X, Form> OtelTracingLayer<X, Form> {
    /// [`with_default_name`](Self::with_default_name).
    #[must_use]
    pub fn with_name(self, name: impl Into<Cow<'static, str>>) -> Self {
        self.with_default_name(name)
    }
}

/// lambda-otel-lite's name for [`StdoutSpanExporter`](crate::export::StdoutSpanExporter), originally of otlp-stdout-span-exporter.
pub type OtlpStdoutSpanExporter = crate::export::exporters::StdoutSpanExporter;

/// lambda-otel-lite's name for [`lambda_resource`](crate::config::lambda_resource).
#[must_use]
pub fn get_lambda_resource() -> Resource {
    crate::config::lambda_resource()
}

/// Additional names of a builder's methods.
macro_rules! names {
    ($($old:ident = $new:ident($argument:ident: $type:ty);)*) => {$(
        #[doc = concat!("[`", stringify!($new), "`](Self::", stringify!($new), ").")]
        #[must_use]
        pub fn $old(self, $argument: $type) -> Self {
            self.$new($argument)
        }
    )*};
}

/// lambda-otel-lite's names.
impl TelemetryConfigBuilder {
    names! {
        resource = with_resource(resource: Resource);
        enable_fmt_layer = with_fmt_layer(enable: bool);
        set_global_provider = with_global_providers(set: bool);
        env_var_name = with_log_filter_variable(name: impl Into<String>);
        processor_mode = with_processor_mode(mode: ProcessorMode);
    }
}

/// lambda-otel-lite's names.
impl SpanAttributesBuilder {
    names! {
        kind = with_kind(kind: SpanKind);
        span_name = with_span_name(name: impl Into<String>);
        links = with_links(links: impl IntoIterator<Item = Link>);
        carrier = with_carrier(carrier: HashMap<String, String>);
        trigger = with_trigger(trigger: TriggerType);
    }

    /// [`with_attributes`](Self::with_attributes) of pairs, as in a `HashMap<String, Value>`.
    #[must_use]
    pub fn attributes(
        self,
        attributes: impl IntoIterator<Item = (impl Into<Key>, impl Into<Value>)>,
    ) -> Self {
        self.with_attributes(attributes.into_iter().map(|(key, value)| KeyValue::new(key, value)))
    }
}

/// lambda-otel-lite's names.
impl<E: SpanExporter> LambdaSpanProcessorBuilder<E> {
    names! { max_queue_size = with_max_queue_size(spans: usize); }

    /// [`with_exporter`](Self::with_exporter).
    #[must_use]
    pub fn exporter<Other: SpanExporter + 'static>(
        self,
        exporter: Other,
    ) -> LambdaSpanProcessorBuilder<Other> {
        self.with_exporter(exporter)
    }
}

/// lambda-otel-lite's name.
impl TelemetryCompletionHandler {
    /// [`tracer`](Self::tracer).
    #[must_use]
    pub fn get_tracer(&self) -> &SdkTracer {
        self.tracer()
    }
}

/// otlp-stdout-span-exporter's names.
impl StdoutSpanExporterBuilder {
    names! {
        compression_level = with_compression_level(level: u8);
        level = with_level(level: LogLevel);
        output = with_output(output: Arc<dyn Output>);
    }

    /// Has no effect. Credentials do not belong in a log, and OTLP lines have no headers.
    #[deprecated = "lines have no headers; set the headers of the backend where the forwarder or the layer sends"]
    #[must_use]
    pub fn headers(self, _headers: HashMap<String, String>) -> Self {
        self
    }

    /// Has no effect: the provider's resource replaces it.
    #[deprecated = "set the resource on the provider, which replaces this one"]
    #[must_use]
    pub fn resource(self, _resource: Resource) -> Self {
        self
    }

    /// Has no effect: lines always go to stdout.
    #[deprecated = "lines go to stdout; the extension of this project reads OTLP over HTTP"]
    #[must_use]
    pub fn pipe(self, _pipe: bool) -> Self {
        self
    }
}

/// The severity of an event, as OpenTelemetry's severity numbers (OpenTelemetry specification, "Log and Event Record
/// Definition").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[expect(missing_docs, reason = "the levels of `tracing`")]
#[non_exhaustive]
pub enum EventLevel {
    Trace = 1,
    Debug = 5,
    #[default]
    Info = 9,
    Warn = 13,
    Error = 17,
}

impl From<EventLevel> for Level {
    fn from(level: EventLevel) -> Self {
        match level {
            EventLevel::Trace => Self::TRACE,
            EventLevel::Debug => Self::DEBUG,
            EventLevel::Info => Self::INFO,
            EventLevel::Warn => Self::WARN,
            EventLevel::Error => Self::ERROR,
        }
    }
}

impl From<EventLevel> for u8 {
    fn from(level: EventLevel) -> Self {
        level as Self
    }
}

/// Adds a span event named `event`, with a severity, to the active span, at `timestamp` or now. Records nothing without a span, or below the level in
/// `AWS_LAMBDA_LOG_LEVEL`, or else `LOG_LEVEL`, or else `INFO`. For
/// new code, prefer `tracing` events, which become log records of the span.
pub fn record_event(
    level: EventLevel,
    message: impl AsRef<str>,
    attributes: Vec<KeyValue>,
    timestamp: Option<SystemTime>,
) {
    let event = EventBuilder { level, message: message.as_ref().to_owned(), attributes, timestamp };
    event.call();
}

/// Like [`record_event`], as a builder: `event().level(…).message(…).attribute(…, …).call()`.
#[must_use = "nothing is recorded before `call`"]
pub fn event() -> EventBuilder {
    EventBuilder::default()
}

/// Builds an event. Created by [`event`]; [`call`](Self::call) records it.
#[derive(Debug, Clone, Default)]
pub struct EventBuilder {
    level: EventLevel,
    message: String,
    attributes: Vec<KeyValue>,
    timestamp: Option<SystemTime>,
}

impl EventBuilder {
    setters! { |builder|
        /// The severity; `Info` if unset.
        level(level: EventLevel) => builder.level = level;
        /// The message, stored in the attribute `event.body`.
        message(message: impl Into<String>) => builder.message = message.into();
        /// Adds attributes.
        add_attributes(attributes: Vec<KeyValue>) => builder.attributes.extend(attributes);
        /// The time; now if unset.
        timestamp(timestamp: SystemTime) => builder.timestamp = Some(timestamp);
    }

    /// Adds an attribute.
    #[must_use]
    pub fn attribute(self, key: impl Into<Key>, value: impl Into<Value>) -> Self {
        self.add_attributes(vec![KeyValue::new(key, value)])
    }

    /// Adds the event to the active span.
    pub fn call(self) {
        const NAME: &str = "event";
        static MOST_VERBOSE: OnceLock<LevelFilter> = OnceLock::new();
        let most_verbose = MOST_VERBOSE.get_or_init(|| Config::from_source(&Env).event_level());
        let level = Level::from(self.level);
        if level > *most_verbose {
            return;
        }
        let mut attributes = vec![
            KeyValue::new("event.severity_text", level.as_str()),
            KeyValue::new("event.severity_number", i64::from(u8::from(self.level))),
        ];
        if !self.message.is_empty() {
            attributes.push(KeyValue::new("event.body", self.message));
        }
        attributes.extend(self.attributes);
        get_active_span(|span| match self.timestamp {
            Some(timestamp) => span.add_event_with_timestamp(NAME, timestamp, attributes),
            None => span.add_event(NAME, attributes),
        });
    }
}

/// A message of a [`Logger`]. Without a subscriber, an event would be lost.
macro_rules! log {
    ($logger:ident, $level:ident, $message:ident) => {
        if tracing::dispatcher::has_been_set() {
            tracing::event!(Level::$level, "[{}] {}", $logger.prefix, $message.as_ref());
        } else if Level::$level <= Level::INFO {
            stderr::print(&format!("[{}] {}", $logger.prefix, $message.as_ref()));
        }
    };
}

/// lambda-otel-lite's logger, which prefixes messages. There it prints lines of text; here each message is a `tracing` event, and
/// thereby a log record of its invocation. Before [`init_telemetry`], it is a line on stderr, from INFO on. For new code, prefer
/// `tracing`'s macros.
#[derive(Debug, Clone)]
pub struct Logger {
    prefix: Cow<'static, str>,
}

impl Logger {
    /// Creates a logger with this prefix.
    pub fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: Cow::Owned(prefix.into()) }
    }

    /// Like [`new`](Self::new), for a `static`.
    #[must_use]
    pub const fn const_new(prefix: &'static str) -> Self {
        Self { prefix: Cow::Borrowed(prefix) }
    }

    /// Logs a message with level DEBUG.
    pub fn debug(&self, message: impl AsRef<str>) {
        log!(self, DEBUG, message);
    }

    /// Logs a message with level INFO.
    pub fn info(&self, message: impl AsRef<str>) {
        log!(self, INFO, message);
    }

    /// Logs a message with level WARN.
    pub fn warn(&self, message: impl AsRef<str>) {
        log!(self, WARN, message);
    }

    /// Logs a message with level ERROR.
    pub fn error(&self, message: impl AsRef<str>) {
        log!(self, ERROR, message);
    }
}
