//! Names of lambda-otel-lite and otlp-stdout-span-exporter for methods of this crate.

use crate::config::log_level::LogLevel;
use crate::config::processor_mode::ProcessorMode;
use crate::export::exporters::StdoutSpanExporterBuilder;
use crate::handler::trigger::span_attributes::{SpanAttributesBuilder, TriggerType};
use crate::init::telemetry_config::TelemetryConfigBuilder;
use crate::output::Output;
use crate::processor::spans::LambdaSpanProcessorBuilder;
use crate::telemetry::completion::TelemetryCompletionHandler;
use opentelemetry::trace::{Link, SpanKind};
use opentelemetry::{Key, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SpanExporter};
use std::collections::HashMap;
use std::sync::Arc;

/// An attribute: a [`KeyValue`], or a pair of key and value as in a `HashMap`.
pub trait Attribute: sealed::Sealed {
    /// The attribute.
    fn into_key_value(self) -> KeyValue;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for opentelemetry::KeyValue {}
    impl<K, V> Sealed for (K, V) {}
}

impl Attribute for KeyValue {
    fn into_key_value(self) -> KeyValue {
        self
    }
}

impl<K: Into<Key>, V: Into<Value>> Attribute for (K, V) {
    fn into_key_value(self) -> KeyValue {
        KeyValue::new(self.0, self.1)
    }
}

/// lambda-otel-lite's names.
impl TelemetryConfigBuilder {
    /// [`with_resource`](Self::with_resource).
    #[must_use]
    pub fn resource(self, resource: Resource) -> Self {
        self.with_resource(resource)
    }

    /// [`with_fmt_layer`](Self::with_fmt_layer).
    #[must_use]
    pub fn enable_fmt_layer(self, enable: bool) -> Self {
        self.with_fmt_layer(enable)
    }

    /// [`with_global_providers`](Self::with_global_providers).
    #[must_use]
    pub fn set_global_provider(self, set: bool) -> Self {
        self.with_global_providers(set)
    }

    /// [`with_log_filter_variable`](Self::with_log_filter_variable).
    #[must_use]
    pub fn env_var_name(self, name: impl Into<String>) -> Self {
        self.with_log_filter_variable(name)
    }

    /// [`with_processor_mode`](Self::with_processor_mode).
    #[must_use]
    pub fn processor_mode(self, mode: ProcessorMode) -> Self {
        self.with_processor_mode(mode)
    }
}

/// lambda-otel-lite's names.
impl SpanAttributesBuilder {
    /// [`with_kind`](Self::with_kind).
    #[must_use]
    pub fn kind(self, kind: SpanKind) -> Self {
        self.with_kind(kind)
    }

    /// [`with_span_name`](Self::with_span_name).
    #[must_use]
    pub fn span_name(self, name: impl Into<String>) -> Self {
        self.with_span_name(name)
    }

    /// [`with_attributes`](Self::with_attributes), and of a `HashMap<String, Value>`.
    #[must_use]
    pub fn attributes(self, attributes: impl IntoIterator<Item = impl Attribute>) -> Self {
        self.with_attributes(attributes.into_iter().map(Attribute::into_key_value))
    }

    /// [`with_links`](Self::with_links).
    #[must_use]
    pub fn links(self, links: impl IntoIterator<Item = Link>) -> Self {
        self.with_links(links)
    }

    /// [`with_carrier`](Self::with_carrier).
    #[must_use]
    pub fn carrier(self, carrier: HashMap<String, String>) -> Self {
        self.with_carrier(carrier)
    }

    /// [`with_trigger`](Self::with_trigger).
    #[must_use]
    pub fn trigger(self, trigger: TriggerType) -> Self {
        self.with_trigger(trigger)
    }
}

/// lambda-otel-lite's names.
impl<E: SpanExporter> LambdaSpanProcessorBuilder<E> {
    /// [`with_exporter`](Self::with_exporter).
    #[must_use]
    pub fn exporter<Other: SpanExporter + 'static>(
        self,
        exporter: Other,
    ) -> LambdaSpanProcessorBuilder<Other> {
        self.with_exporter(exporter)
    }

    /// [`with_max_queue_size`](Self::with_max_queue_size).
    #[must_use]
    pub fn max_queue_size(self, spans: usize) -> Self {
        self.with_max_queue_size(spans)
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
    /// Has no effect. Credentials do not belong in a log, and OTLP lines have no headers.
    #[deprecated = "lines have no headers; set the headers of the backend where the forwarder or the layer sends"]
    #[must_use]
    pub fn headers(self, _headers: HashMap<String, String>) -> Self {
        self
    }

    /// [`with_compression_level`](Self::with_compression_level).
    #[must_use]
    pub fn compression_level(self, level: u8) -> Self {
        self.with_compression_level(level)
    }

    /// [`with_level`](Self::with_level).
    #[must_use]
    pub fn level(self, level: LogLevel) -> Self {
        self.with_level(level)
    }

    /// [`with_output`](Self::with_output).
    #[must_use]
    pub fn output(self, output: Arc<dyn Output>) -> Self {
        self.with_output(output)
    }

    /// Has no effect: lines always go to stdout.
    #[deprecated = "lines go to stdout; the extension of this project reads OTLP over HTTP"]
    #[must_use]
    pub fn pipe(self, _pipe: bool) -> Self {
        self
    }
}
