//! What an invocation's end calls: it writes the telemetry of the invocation.

use super::bounded::within;
use super::deadline_watch::Armed;
use super::{Telemetry, subscriber};
use crate::extension::Mode;
use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

/// Writes the telemetry of an invocation when it is over, and gives access to all that
/// [`init_telemetry`](crate::init_telemetry) set up.
///
/// [`TracedHandler`](crate::TracedHandler) calls [`complete`](Self::complete) by itself, whatever way the invocation
/// ends. Cheap to clone.
///
/// ```
/// use lambda_otlp_exporter::opentelemetry::trace::Tracer as _;
/// use lambda_otlp_exporter::{TelemetryConfig, init_telemetry};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let (_tracer, completion_handler) = init_telemetry(TelemetryConfig::default()).await?;
/// let orders = completion_handler.meter("orders").u64_counter("shop.orders").build();
///
/// // Outside a handler: a span and a measurement, written by `complete`.
/// completion_handler.tracer().in_span("nightly", |_context| orders.add(1, &[]));
/// completion_handler.complete();
/// # Ok::<(), lambda_otlp_exporter::InitError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TelemetryCompletionHandler {
    pub(crate) telemetry: Arc<Telemetry>,
}

impl TelemetryCompletionHandler {
    /// Writes what the invocation made, in every mode before it returns. Call it before the response is returned, unless
    /// [`TracedHandler`](crate::TracedHandler) does.
    pub fn complete(&self) {
        self.telemetry.write([]);
        if let Mode::Async(extension) = self.telemetry.mode() {
            extension.release();
        }
    }

    /// Writes what has ended, and waits for that as long as `timeout` says.
    ///
    /// # Errors
    /// `Timeout` where it takes longer, and then it goes on by itself; else the first error of a processor or exporter.
    pub fn force_flush(&self, timeout: Duration) -> OTelSdkResult {
        self.telemetry.force_flush(timeout)
    }

    /// Writes all telemetry, with open spans as partial spans, and shuts the providers down. Waits for at most `timeout`. Nothing is
    /// recorded afterwards.
    ///
    /// At SIGTERM, which Lambda sends before it ends an environment that has an extension, everything is written without this.
    ///
    /// # Errors
    /// `Timeout` where it takes longer, and then it goes on by itself; else the first error of a processor or exporter.
    pub fn shutdown(&self, timeout: Duration) -> OTelSdkResult {
        let telemetry = Arc::clone(&self.telemetry);
        let ended = within(timeout, move || {
            let written = telemetry.write_all_at_end();
            written.and(telemetry.signals.shut_down(timeout))
        });
        ended.unwrap_or(Err(OTelSdkError::Timeout(timeout)))
    }

    /// The tracer that makes the invocations' spans.
    #[must_use]
    pub fn tracer(&self) -> &SdkTracer {
        &self.telemetry.tracer
    }

    /// A meter; its instruments are collected when the invocation is over.
    ///
    /// The callback of an observable instrument must not panic: the panic costs the function nothing, but the SDK
    /// collects no metrics in this environment any more. One line on stderr says so.
    #[must_use]
    pub fn meter(&self, name: &'static str) -> Meter {
        self.telemetry.signals.meter_provider.meter(name)
    }

    /// The tracer provider.
    #[must_use]
    pub fn tracer_provider(&self) -> &SdkTracerProvider {
        &self.telemetry.signals.tracer_provider
    }

    /// The logger provider, for log records that do not come from `tracing`.
    #[must_use]
    pub fn logger_provider(&self) -> &SdkLoggerProvider {
        &self.telemetry.signals.logger_provider
    }

    /// The meter provider.
    #[must_use]
    pub fn meter_provider(&self) -> &SdkMeterProvider {
        &self.telemetry.signals.meter_provider
    }

    /// The layer that makes OpenTelemetry spans of `tracing` spans and log records of `tracing` events, for a
    /// subscriber of your own.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use lambda_otlp_exporter::{TelemetryConfig, init_telemetry};
    /// use tracing_subscriber::prelude::*;
    ///
    /// let config = TelemetryConfig::builder().with_global_subscriber(false).build();
    /// let (_tracer, completion_handler) = init_telemetry(config).await?;
    /// let subscriber = tracing_subscriber::registry().with(completion_handler.tracing_layer());
    /// tracing::subscriber::set_global_default(subscriber)?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn tracing_layer<S>(&self) -> impl Layer<S> + Send + Sync + 'static + use<S>
    where
        S: tracing::Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        self.layer_of(true)
    }

    /// The same, and without log records where they are not wanted.
    pub(crate) fn layer_of<S>(
        &self,
        with_logs: bool,
    ) -> impl Layer<S> + Send + Sync + 'static + use<S>
    where
        S: tracing::Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        self.telemetry.has_layer.store(true, Ordering::Relaxed);
        let Telemetry { tracer, signals, record_filter, bridges_logs, .. } = &*self.telemetry;
        let bridges_logs = with_logs && *bridges_logs;
        subscriber::layer(tracer.clone(), &signals.logger_provider, bridges_logs, record_filter)
    }

    /// Watches the deadline of the running invocation of this number until the result is dropped.
    pub(crate) fn watch(&self, number: u64, deadline: SystemTime) -> Option<Armed> {
        self.telemetry.signals.line.deadline().set(deadline);
        self.telemetry.deadline.arm(number, deadline)
    }

    /// The invocation with this deadline is over: what is written from now on is no longer bound by it.
    pub(crate) fn forget(&self, deadline: SystemTime) {
        self.telemetry.signals.line.deadline().clear(deadline);
    }
}

impl fmt::Debug for TelemetryCompletionHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TelemetryCompletionHandler").finish_non_exhaustive()
    }
}
