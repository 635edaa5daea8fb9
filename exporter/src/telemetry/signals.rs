//! The three signals, flushed together.

use super::loss_metrics::LossMetrics;
use crate::export::line::LineExporter;
use crate::export::loss_counts::Loss;
use crate::output::stderr;
use crate::processor::spans::LambdaSpanProcessor;
use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanProcessor as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use wire::SignalKind;

/// The three signals, flushed together.
pub(crate) struct Signals {
    /// Our own processor, unless the application has chosen others.
    spans: Option<Arc<LambdaSpanProcessor>>,
    /// Span processors of the application's, whose exporters may be asynchronous.
    pub(crate) has_processors_of_others: bool,
    pub(crate) tracer_provider: SdkTracerProvider,
    pub(crate) logger_provider: SdkLoggerProvider,
    pub(crate) meter_provider: SdkMeterProvider,
    pub(crate) line: LineExporter,
    loss_metrics: LossMetrics,
    metrics_panicked: AtomicBool,
}

impl Signals {
    pub(crate) fn new(
        spans: Option<Arc<LambdaSpanProcessor>>,
        has_processors_of_others: bool,
        tracer_provider: SdkTracerProvider,
        logger_provider: SdkLoggerProvider,
        meter_provider: SdkMeterProvider,
        line: LineExporter,
    ) -> Self {
        Self {
            spans,
            has_processors_of_others,
            tracer_provider,
            logger_provider,
            meter_provider,
            line,
            loss_metrics: LossMetrics::default(),
            metrics_panicked: AtomicBool::new(false),
        }
    }

    /// Writes all finished spans, all log records and all measurements; never panics. `spans_are_written` is called as soon as they
    /// are, and by our own processor where there is one: what else is flushed may take until the deadline.
    pub(crate) fn flush(&self, spans_are_written: impl FnOnce()) {
        // Each signal is flushed on its own: code of the application's is called, and a panic in it costs one signal. Errors
        // are counted where they occur, and here is nothing more to do about them.
        let mut spans_are_written = Some(spans_are_written);
        let mut flush = |spans: &dyn Fn() -> OTelSdkResult| {
            let mut are_written = false;
            self.contained(SignalKind::Traces, || are_written = spans().is_ok());
            if let Some(tell) = spans_are_written.take().filter(|_| are_written) {
                tell();
            }
        };
        if let Some(spans) = &self.spans {
            flush(&|| spans.force_flush());
        }
        flush(&|| self.tracer_provider.force_flush());
        self.contained(SignalKind::Logs, || drop(self.logger_provider.force_flush()));
        let are_written = self.contained(SignalKind::Metrics, || {
            self.loss_metrics.report(self.line.losses(), &self.meter_provider);
            drop(self.meter_provider.force_flush());
        });
        if !are_written && !self.metrics_panicked.swap(true, Ordering::Relaxed) {
            stderr::warn(
                "the callback of an observable instrument panicked: the OpenTelemetry SDK collects no metrics in this \
                 environment any more",
            );
        }
    }

    /// Whether this part of a flush did not panic; one that did is counted.
    fn contained(&self, kind: SignalKind, part: impl FnOnce()) -> bool {
        let contained = catch_unwind(AssertUnwindSafe(|| {
            let _suppressed = Context::enter_telemetry_suppressed_scope();
            part();
        }));
        if contained.is_err() {
            self.line.losses().lose(kind, Loss::Panicked, 1);
        }
        contained.is_ok()
    }
}
