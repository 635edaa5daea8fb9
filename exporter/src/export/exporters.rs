//! The SDK's exporter traits for the three signals, thin wrappers of [`LineExporter`].

use super::line::{LineExporter, LineExporterBuilder};
use super::otlp::EncodedResource;
use super::otlp::{logs::logs, metrics::metrics, traces::traces};
use crate::config::{Config, LogLevel, RecordLimits};
use crate::output::Output;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use settings::Env;
use std::sync::Arc;
use std::time::Duration;
use wire::SignalKind;

/// The builder of one exporter.
macro_rules! builder {
    ($builder:ident, $exporter:ident, $doc:literal) => {
        #[doc = $doc]
        ///
        /// The environment overrides these settings.
        #[derive(Debug, Default)]
        pub struct $builder {
            line: LineExporterBuilder,
        }

        impl $builder {
            setters! { |builder|
                /// gzip level, 0 (stored) to 9 (smallest); 6 if unset.
                with_compression_level(level: u8) => builder.line.compression_level = Some(level.into());
                /// Writes this `level` in the text log format; ignored with Lambda's JSON format.
                with_level(level: LogLevel) => builder.line.level = Some(level);
                /// Writes lines to this output instead of stdout.
                with_output(output: Arc<dyn Output>) => builder.line.output = Some(output);
            }

            /// Reads the environment and builds the exporter.
            #[must_use]
            pub fn build(self) -> $exporter {
                let config = Config::from_source(&Env);
                $exporter::over(self.line.build(&config), &config)
            }
        }

        impl $exporter {
            /// Creates a builder with the defaults.
            #[must_use]
            pub fn builder() -> $builder {
                $builder::default()
            }
        }

        impl Default for $exporter {
            fn default() -> Self {
                Self::builder().build()
            }
        }
    };
}

builder!(StdoutSpanExporterBuilder, StdoutSpanExporter, "Builds a [`StdoutSpanExporter`].");
builder!(StdoutLogExporterBuilder, StdoutLogExporter, "Builds a [`StdoutLogExporter`].");
builder!(StdoutMetricExporterBuilder, StdoutMetricExporter, "Builds a [`StdoutMetricExporter`].");

/// Writes spans as OTLP lines.
#[derive(Debug)]
pub struct StdoutSpanExporter {
    pub(crate) line: Arc<LineExporter>,
    resource: EncodedResource,
    /// Maximum length of a text attribute, in characters.
    value_length: usize,
}

impl StdoutSpanExporter {
    pub(crate) fn over(line: Arc<LineExporter>, config: &Config) -> Self {
        let value_length = config.span_value_length;
        Self { line, resource: EncodedResource::default(), value_length }
    }

    pub(crate) fn export_now(&self, spans: &[SpanData]) -> OTelSdkResult {
        let encode = || traces(&self.resource, spans, self.value_length);
        self.line.write_or_gather(SignalKind::Traces, &self.resource, spans.len(), encode)
    }
}

impl SpanExporter for StdoutSpanExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.export_now(&batch)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = self.line.resource(resource);
    }
}

/// Writes log records as OTLP lines.
#[derive(Debug)]
pub struct StdoutLogExporter {
    pub(crate) line: Arc<LineExporter>,
    resource: EncodedResource,
    limits: RecordLimits,
}

impl StdoutLogExporter {
    pub(crate) fn over(line: Arc<LineExporter>, config: &Config) -> Self {
        Self { line, resource: EncodedResource::default(), limits: config.record_limits }
    }

    pub(crate) fn export_now(&self, batch: &LogBatch<'_>) -> OTelSdkResult {
        let records = batch.iter().count();
        let encode = || logs(&self.resource, batch.iter(), self.limits);
        self.line.write_or_gather(SignalKind::Logs, &self.resource, records, encode)
    }
}

impl LogExporter for StdoutLogExporter {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        self.export_now(&batch)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = self.line.resource(resource);
    }
}

/// Writes metrics as OTLP lines, with delta temporality unless `OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE` is set.
#[derive(Debug)]
pub struct StdoutMetricExporter {
    pub(crate) line: Arc<LineExporter>,
    temporality: Temporality,
}

impl StdoutMetricExporter {
    pub(crate) fn over(line: Arc<LineExporter>, config: &Config) -> Self {
        Self { line, temporality: config.temporality }
    }

    pub(crate) fn export_now(&self, measured: &ResourceMetrics) -> OTelSdkResult {
        // The SDK passes the resource of metrics with each batch.
        let resource = self.line.resource(measured.resource());
        // Encoding determines the number of data points; there is at least one.
        self.line
            .write_or_gather(SignalKind::Metrics, &resource, 1, || metrics(&resource, measured))
    }
}

impl PushMetricExporter for StdoutMetricExporter {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        self.export_now(metrics)
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        self.temporality
    }
}
