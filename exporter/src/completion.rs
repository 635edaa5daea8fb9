//! What an invocation's end calls: it writes the telemetry of the invocation.

use crate::deadline::{Armed, DeadlineWatch};
use crate::line_exporter::LineExporter;
use crate::processor::LambdaSpanProcessor;
use crate::propagation::Propagation;
use crate::root_record::RootRecord;
use crate::vitals::Loss;
use crate::{stderr, subscriber};
use opentelemetry::metrics::{Counter, Meter, MeterProvider as _};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, SpanProcessor as _};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;
use wire::SignalKind;

/// Counts items that could not be written, by `signal` and `error.type`. Absent while nothing is lost.
pub(crate) const LOST_METRIC: &str = "lambda_otlp.exporter.lost";
/// Counts attribute values that were shortened to fit a line. Absent while none is.
const TRUNCATED_METRIC: &str = "lambda_otlp.exporter.truncated_values";

/// Writes the telemetry of an invocation when it is over, and gives access to all that
/// [`init_telemetry`](crate::init_telemetry) set up.
///
/// [`TracedHandler`](crate::TracedHandler) calls [`complete`](Self::complete) by itself, whatever way the invocation
/// ends. Cheap to clone.
#[derive(Clone)]
pub struct TelemetryCompletionHandler {
    pub(crate) telemetry: Arc<Telemetry>,
}

/// The providers and what they share.
pub(crate) struct Telemetry {
    pub(crate) tracer: SdkTracer,
    pub(crate) propagation: Propagation,
    /// A `tracing` subscriber with our layer exists, so that the invocation can be a `tracing` span.
    pub(crate) has_layer: AtomicBool,
    pub(crate) facts: InvocationFacts,
    pub(crate) deadline: DeadlineWatch,
    pub(crate) signals: Arc<Signals>,
    pub(crate) max_level: tracing::level_filters::LevelFilter,
}

/// What the spans of invocations need to know of the environment.
#[derive(Debug, Default)]
pub(crate) struct InvocationFacts {
    pub(crate) function_version: Option<String>,
    pub(crate) is_provisioned: bool,
    pub(crate) duplicate_http_names: bool,
    /// No invocation was seen yet.
    pub(crate) is_cold: AtomicBool,
    pub(crate) root_record: RootRecord,
}

impl InvocationFacts {
    /// Whether this is the invocation that waited for the environment; true once.
    pub(crate) fn take_cold_start(&self) -> bool {
        self.is_cold.swap(false, Ordering::Relaxed) && !self.is_provisioned
    }
}

/// The three signals, flushed together.
pub(crate) struct Signals {
    /// Our own processor, unless the application has chosen others.
    spans: Option<Arc<LambdaSpanProcessor>>,
    pub(crate) tracer_provider: SdkTracerProvider,
    pub(crate) logger_provider: SdkLoggerProvider,
    pub(crate) meter_provider: SdkMeterProvider,
    pub(crate) line: LineExporter,
    reported: Mutex<Reported>,
    metrics_panicked: AtomicBool,
}

/// How much of the vitals is in the metrics already.
#[derive(Default)]
struct Reported {
    lost: [[u64; Loss::ALL.len()]; 3],
    truncated_values: u64,
    counters: Option<(Counter<u64>, Counter<u64>)>,
}

impl Signals {
    pub(crate) fn new(
        spans: Option<Arc<LambdaSpanProcessor>>,
        tracer_provider: SdkTracerProvider,
        logger_provider: SdkLoggerProvider,
        meter_provider: SdkMeterProvider,
        line: LineExporter,
    ) -> Self {
        let reported = Mutex::default();
        let metrics_panicked = AtomicBool::new(false);
        Self {
            spans,
            tracer_provider,
            logger_provider,
            meter_provider,
            line,
            reported,
            metrics_panicked,
        }
    }

    /// Writes all finished spans, all log records and all measurements; never panics.
    pub(crate) fn flush(&self) {
        // Each on its own: code of the application's is called, and its panic costs one signal. Errors are counted where
        // they occur, and nobody here could do more.
        if let Some(spans) = &self.spans {
            self.contained(SignalKind::Traces, || drop(spans.force_flush()));
        }
        self.contained(SignalKind::Traces, || drop(self.tracer_provider.force_flush()));
        self.contained(SignalKind::Logs, || drop(self.logger_provider.force_flush()));
        let are_written = self.contained(SignalKind::Metrics, || {
            self.report_losses();
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
            self.line.vitals().lose(kind, Loss::Panicked, 1);
        }
        contained.is_ok()
    }

    /// Turns what was lost since the last time into measurements.
    fn report_losses(&self) {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let Reported { lost, truncated_values, counters } = &mut *reported;
        let meter = || {
            let meter = self.meter_provider.meter(env!("CARGO_PKG_NAME"));
            let lost = meter.u64_counter(LOST_METRIC).with_unit("{item}").build();
            let truncated = meter.u64_counter(TRUNCATED_METRIC).with_unit("{value}").build();
            (lost, truncated)
        };
        for (kind, lost) in SignalKind::ALL.into_iter().zip(lost) {
            for (loss, before) in Loss::ALL.into_iter().zip(lost) {
                let now = self.line.vitals().lost(kind, loss);
                if now > *before {
                    let attributes = [
                        KeyValue::new("signal", kind.as_str()),
                        KeyValue::new("error.type", loss.as_str()),
                    ];
                    counters.get_or_insert_with(meter).0.add(now - *before, &attributes);
                    *before = now;
                }
            }
        }
        let now = self.line.vitals().truncated_values();
        if now > *truncated_values {
            counters.get_or_insert_with(meter).1.add(now - *truncated_values, &[]);
            *truncated_values = now;
        }
    }
}

impl TelemetryCompletionHandler {
    /// Writes what the invocation made. Call it before the response is returned, unless
    /// [`TracedHandler`](crate::TracedHandler) does.
    pub fn complete(&self) {
        self.telemetry.signals.flush();
    }

    /// The tracer that makes the invocations' spans.
    #[must_use]
    pub fn get_tracer(&self) -> &SdkTracer {
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
    /// let config = TelemetryConfig::builder().install_subscriber(false).build();
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
        self.telemetry.has_layer.store(true, Ordering::Relaxed);
        subscriber::layer(
            self.telemetry.tracer.clone(),
            &self.telemetry.signals.logger_provider,
            self.telemetry.max_level,
        )
    }

    /// Watches the deadline of an invocation until the result is dropped.
    pub(crate) fn watch(&self, deadline: std::time::SystemTime) -> Option<Armed> {
        self.telemetry.signals.line.deadline().set(deadline);
        self.telemetry.deadline.arm(deadline)
    }

    /// The invocation with this deadline is over: what is written from now on is no longer bound by it.
    pub(crate) fn forget(&self, deadline: std::time::SystemTime) {
        self.telemetry.signals.line.deadline().clear(deadline);
    }
}

impl fmt::Debug for TelemetryCompletionHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TelemetryCompletionHandler").finish_non_exhaustive()
    }
}

/// The scope of the invocations' spans; short, since it is in every line.
pub(crate) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
        .with_version(env!("CARGO_PKG_VERSION"))
        .build()
}
