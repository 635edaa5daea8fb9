//! The three signals, flushed together.

use super::invocations::CutOff;
use crate::bounded::TimedLock;
use crate::export::line::LineExporter;
use crate::export::losses::LossMetrics;
use crate::processor::spans::LambdaSpanProcessor;
use opentelemetry::trace::SpanId;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanProcessor as _};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::SignalKind;

/// The three signals, flushed together.
pub(crate) struct Signals {
    /// Our own processor, unless the application replaced it.
    pub(crate) spans: Option<Arc<LambdaSpanProcessor>>,
    /// The application's span processors, whose exporters may be asynchronous.
    pub(crate) has_processors_of_others: bool,
    pub(crate) tracer_provider: SdkTracerProvider,
    pub(crate) logger_provider: SdkLoggerProvider,
    pub(crate) meter_provider: SdkMeterProvider,
    pub(crate) line: Arc<LineExporter>,
    pub(crate) loss_metrics: LossMetrics,
    /// Held while records and spans are taken and written together: a thread that finds nothing must not return the response
    /// before another one has written them.
    pub(crate) writing_together: TimedLock,
}

impl Signals {
    /// Writes all finished spans, all log records and all measurements; never panics. Calls `spans_are_written` as soon as our
    /// own processor, if there is one, has written the spans: other parts of the flush may take until the deadline.
    ///
    /// # Errors
    /// The first error of a signal.
    pub(crate) fn flush(&self, spans_are_written: impl FnOnce()) -> OTelSdkResult {
        // Each signal is flushed separately, whatever the results of the others: a panic in the application's code costs one signal.
        // Errors are counted where they occur and need no further handling.
        let flushed = self.flush_spans();
        if flushed.is_ok() {
            spans_are_written();
        }
        let flushed = flushed.and(self.flush_processors_of_others());
        flushed.and(self.flush_logs()).and(self.flush_metrics())
    }

    /// Like [`flush`](Self::flush) at the end of an invocation: all signals share one compact line if they fit.
    pub(crate) fn flush_invocation(&self, spans_are_written: impl FnOnce()) -> OTelSdkResult {
        if !self.line.is_compact() {
            return self.flush(spans_are_written);
        }
        let mut writing = None;
        let ((flushed, spans), written) = self.line.together(|| {
            // Spans last: the callback of an observable instrument may hang, and a processor of the application. Spans are still in
            // their buffer then, from which the thread that watches the deadline writes them with `flush`.
            let flushed = self.flush_metrics();
            writing = self.writing_together.lock(self.line.write_timeout());
            (flushed.and(self.flush_logs()), self.flush_spans())
        });
        let spans = spans.and(written);
        if spans.is_ok() {
            spans_are_written();
        }
        drop(writing);
        flushed.and(spans).and(self.flush_processors_of_others())
    }

    /// Flushes our own processor, or else the provider.
    fn flush_spans(&self) -> OTelSdkResult {
        self.contained(SignalKind::Traces, || match &self.spans {
            Some(spans) => spans.force_flush(),
            None => self.tracer_provider.force_flush(),
        })
    }

    fn flush_processors_of_others(&self) -> OTelSdkResult {
        if self.spans.is_none() {
            return Ok(());
        }
        self.contained(SignalKind::Traces, || self.tracer_provider.force_flush())
    }

    fn flush_logs(&self) -> OTelSdkResult {
        self.contained(SignalKind::Logs, || self.logger_provider.force_flush())
    }

    fn flush_metrics(&self) -> OTelSdkResult {
        self.contained(SignalKind::Metrics, || {
            self.loss_metrics.report(&self.line.losses, &self.meter_provider);
            self.meter_provider.force_flush()
        })
    }

    /// Writes the open spans of interrupted invocations as partial spans, and returns them. Never panics.
    pub(crate) fn write_open(
        &self,
        is_cut_off: impl Fn(u64) -> bool,
        cut_off: CutOff,
    ) -> Vec<SpanId> {
        let Some(spans) = &self.spans else { return Vec::new() };
        let write = || spans.write_open(is_cut_off, cut_off);
        // Errors are counted where they occur.
        self.contained(SignalKind::Traces, write).unwrap_or_default()
    }

    /// Writes everything and shuts the providers down, which ends recording. Never panics.
    pub(crate) fn shut_down(&self, timeout: Duration) -> OTelSdkResult {
        let end = Instant::now() + timeout;
        let left = || end.saturating_duration_since(Instant::now());
        let traces = || self.tracer_provider.shutdown_with_timeout(left());
        let logs = || self.logger_provider.shutdown_with_timeout(left());
        let metrics = || self.meter_provider.shutdown_with_timeout(left());
        let ended = self.flush(|| ()).and(self.contained(SignalKind::Traces, traces));
        let ended = ended.and(self.contained(SignalKind::Logs, logs));
        ended.and(self.contained(SignalKind::Metrics, metrics))
    }

    /// The result of this part of a flush; a panic in it is counted.
    fn contained<T>(
        &self,
        kind: SignalKind,
        part: impl FnOnce() -> Result<T, OTelSdkError>,
    ) -> Result<T, OTelSdkError> {
        self.line.contained(&[(kind, 1)], part)
    }
}
