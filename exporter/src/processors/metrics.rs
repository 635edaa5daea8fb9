//! Collects metrics at the end of the invocation.

use crate::bounded::TimedLock;
use crate::export::exporters::StdoutMetricExporter;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter as _;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{InstrumentKind, ManualReader, Pipeline, Temporality};
use std::sync::Weak;
use std::time::Duration;

/// Collects and writes at each flush. The SDK's periodic reader needs a thread and a timer, which Lambda freezes between
/// invocations.
#[derive(Debug)]
pub(crate) struct FlushReader {
    reader: ManualReader,
    exporter: StdoutMetricExporter,
    /// Held during collection and writing: a thread that finds another collecting must not return the response before the
    /// measurements are written.
    exporting: TimedLock,
}

impl FlushReader {
    pub(crate) fn new(exporter: StdoutMetricExporter) -> Self {
        let reader = ManualReader::builder().with_temporality(exporter.temporality()).build();
        Self { reader, exporter, exporting: TimedLock::default() }
    }
}

impl MetricReader for FlushReader {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.reader.register_pipeline(pipeline);
    }

    fn collect(&self, metrics: &mut ResourceMetrics) -> OTelSdkResult {
        self.reader.collect(metrics)
    }

    fn force_flush(&self) -> OTelSdkResult {
        let Some(_exporting) = self.exporting.lock(self.exporter.line.write_timeout()) else {
            // Nothing is lost: later measurements are collected next time.
            return Err(OTelSdkError::InternalFailure("metrics are being written".to_owned()));
        };
        let mut metrics = ResourceMetrics::default();
        self.reader.collect(&mut metrics)?;
        if metrics.scope_metrics().next().is_none() {
            return Ok(());
        }
        self.exporter.export_now(&metrics)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        let flushed = self.force_flush();
        self.reader.shutdown_with_timeout(timeout)?;
        flushed
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.reader.temporality(kind)
    }
}
