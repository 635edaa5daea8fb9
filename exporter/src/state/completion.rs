//! Writes the telemetry of an invocation at its end.

use super::Telemetry;
use crate::bounded::within;
use crate::extension::Mode;
use lambda_runtime::{BoxFuture, Error, SnapStartResource};
use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Writes an invocation's telemetry at its end, and provides everything that [`init`](crate::init()) set up.
///
/// [`TracedHandler`](crate::TracedHandler) calls [`complete`](Self::complete) itself, however the invocation ends. Clones are
/// cheap.
#[derive(Clone)]
pub struct TelemetryCompletionHandler {
    pub(crate) telemetry: Arc<Telemetry>,
}

impl TelemetryCompletionHandler {
    /// Writes the invocation's telemetry before returning, in every mode. Call it before the response, unless
    /// [`TracedHandler`](crate::TracedHandler) does.
    pub fn complete(&self) {
        self.telemetry.is_written_by_application.store(true, Ordering::Relaxed);
        self.telemetry.write_ended();
        if let Mode::Async(extension) = self.telemetry.fix_mode() {
            extension.release();
        }
    }

    /// Writes ended spans, log records and metrics, and waits at most `timeout`.
    ///
    /// # Errors
    /// `Timeout` if the write takes longer, and then it continues on its own; otherwise the first error of a processor or
    /// exporter.
    pub fn force_flush(&self, timeout: Duration) -> OTelSdkResult {
        self.telemetry.is_written_by_application.store(true, Ordering::Relaxed);
        let telemetry = Arc::clone(&self.telemetry);
        let flushed = within(timeout, move || telemetry.flush(|| ()));
        flushed.unwrap_or(Err(OTelSdkError::Timeout(timeout)))
    }

    /// Writes all telemetry, with open spans as partial spans, and shuts the providers down. Waits for at most `timeout`. Nothing
    /// is recorded afterwards.
    ///
    /// Not needed for SIGTERM, which Lambda sends before it ends an environment with an extension: everything is written then.
    ///
    /// # Errors
    /// `Timeout` if the write takes longer, and then it continues on its own; otherwise the first error of a processor or
    /// exporter.
    pub fn shutdown(&self, timeout: Duration) -> OTelSdkResult {
        let telemetry = Arc::clone(&self.telemetry);
        let shut_down = move || telemetry.write_all_at_end().and(telemetry.shut_down(timeout));
        let ended = within(timeout, shut_down);
        ended.unwrap_or(Err(OTelSdkError::Timeout(timeout)))
    }

    /// The tracer of the invocations' spans.
    #[must_use]
    pub fn tracer(&self) -> &SdkTracer {
        &self.telemetry.tracer
    }

    /// Returns a meter. Its instruments are collected at the end of the invocation.
    ///
    /// The callback of an observable instrument must not panic: the function continues, but the SDK stops collecting metrics in
    /// this environment.
    #[must_use]
    pub fn meter(&self, name: &'static str) -> Meter {
        self.telemetry.meter_provider.meter(name)
    }

    /// The tracer provider.
    #[must_use]
    pub fn tracer_provider(&self) -> &SdkTracerProvider {
        &self.telemetry.tracer_provider
    }

    /// The logger provider, for log records that do not come from `tracing`.
    #[must_use]
    pub fn logger_provider(&self) -> &SdkLoggerProvider {
        &self.telemetry.logger_provider
    }

    /// The meter provider.
    #[must_use]
    pub fn meter_provider(&self) -> &SdkMeterProvider {
        &self.telemetry.meter_provider
    }
}

/// For [`Runtime::register_snapstart_resource`](lambda_runtime::Runtime::register_snapstart_resource): telemetry of resources that
/// are released before the snapshot is written too. Without a registration, what was recorded until the handler was made is written
/// before the snapshot.
impl SnapStartResource for TelemetryCompletionHandler {
    fn before_snapshot(&self) -> BoxFuture<'_, Result<(), Error>> {
        /// Lambda limits the init to at least ten seconds.
        const LONGEST: Duration = Duration::from_secs(1);
        Box::pin(async {
            // Losses are counted where they occur. Lambda would discard the snapshot after an error.
            self.force_flush(LONGEST).ok();
            Ok(())
        })
    }

    fn after_restore(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async {
            self.telemetry.restart_measurements();
            Ok(())
        })
    }
}

impl fmt::Debug for TelemetryCompletionHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TelemetryCompletionHandler").finish_non_exhaustive()
    }
}
