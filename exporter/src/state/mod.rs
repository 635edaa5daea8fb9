//! The state shared by all invocations of an environment: providers, propagators, the deadline watch.

pub(crate) mod completion;
pub(crate) mod id_generator;
#[cfg(feature = "log")]
pub(crate) mod log_crate;
pub(crate) mod record_filter;
pub(crate) mod resource;

use crate::bounded::TimedLock;
use crate::config::{Config, InitializationType};
use crate::export::line::{ItemCount, LineExporter};
use crate::extension::{self, Mode};
use crate::invocations::root_record::RootRecord;
use crate::invocations::{CutOff, InvocationNumber, Invocations};
use crate::output::stderr;
use crate::processors::spans::LambdaSpanProcessor;
use crate::propagation::Propagation;
use opentelemetry::InstrumentationScope;
use opentelemetry::trace::{SpanContext, SpanId};
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, ShouldSample, SpanProcessor as _};
use record_filter::RecordFilter;
use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use tokio::runtime::Handle;
use wire::SignalKind;

/// The providers and their shared state.
#[expect(clippy::struct_excessive_bools, reason = "settings that are independent of each other")]
pub(crate) struct Telemetry {
    pub(crate) environment: Config,
    pub(crate) tracer: SdkTracer,
    pub(crate) tracer_provider: SdkTracerProvider,
    /// The sampler of our provider; `None` if the application brought its own provider.
    pub(crate) sampler: Option<Box<dyn ShouldSample>>,
    pub(crate) logger_provider: SdkLoggerProvider,
    pub(crate) meter_provider: SdkMeterProvider,
    /// Our own processor, unless the application replaced it.
    pub(crate) spans: Option<Arc<LambdaSpanProcessor>>,
    /// The application's span processors, whose exporters may be asynchronous.
    pub(crate) has_application_processors: bool,
    pub(crate) line: Arc<LineExporter>,
    /// Held while records and spans are taken and written together: a thread that finds nothing must not return the response
    /// before another one has written them.
    pub(crate) writing_together: TimedLock,
    pub(crate) propagation: Propagation,
    /// `true` if a `tracing` subscriber has our layer, so that the invocation can be a `tracing` span.
    pub(crate) has_layer: AtomicBool,
    /// The name of spans whose event has no better one.
    pub(crate) default_name: OnceLock<Cow<'static, str>>,
    /// `true` from the first invocation on.
    pub(crate) is_warm: AtomicBool,
    pub(crate) root_record: RootRecord,
    /// `true` if a line names each root span as it begins, because the printed lines of concurrent invocations are mixed.
    pub(crate) writes_root_lines: bool,
    /// `true` once a line reported that a caller's decision suppresses spans.
    pub(crate) warned_of_unsampled: AtomicBool,
    /// `true` once a line reported that the handler is wrapped twice.
    pub(crate) warned_of_two_wrappers: AtomicBool,
    /// `true` once the application has written telemetry itself.
    pub(crate) is_written_by_application: AtomicBool,
    pub(crate) invocations: Arc<Invocations>,
    pub(crate) record_filter: RecordFilter,
    pub(crate) bridges_logs: bool,
    /// `true` if our subscriber prints events, which are no log records then.
    pub(crate) prints_events: bool,
    /// Set after everything else; `Sync` until then.
    pub(crate) mode: OnceLock<Mode>,
    /// `true` if the process ends after the last write, `false` if another handler ends it; `None` if SIGTERM is not handled.
    pub(crate) exits_at_sigterm: Option<bool>,
    pub(crate) has_shutdown_hook: OnceLock<bool>,
}

impl Telemetry {
    /// Decides the mode of all invocations at the first one, when all shutdown hooks are installed, and returns it. A shutdown hook
    /// ends the process without waiting for the last write.
    pub(crate) fn fix_mode(&self) -> &Mode {
        self.has_shutdown_hook.get_or_init(|| {
            let exits = self.exits_at_sigterm;
            let has_hook = exits.is_some_and(|exits| !exits || extension::is_hook_installed());
            if has_hook {
                stderr::warn(
                    "a shutdown hook may end the process before telemetry is written, so mode finalize is unavailable: set \
                     with_sigterm_handler(false), and call TelemetryCompletionHandler::shutdown in the hook",
                );
            }
            has_hook
        });
        self.mode()
    }

    /// The mode of invocations, as [`fix_mode`](Self::fix_mode) decided.
    pub(crate) fn mode(&self) -> &Mode {
        let has_hook = self.has_shutdown_hook.get().is_some_and(|has_hook| *has_hook);
        match self.mode.get() {
            Some(Mode::Finalize) if has_hook => &Mode::Sync,
            Some(mode) => mode,
            None => &Mode::Sync,
        }
    }

    /// From now on, the thread that watches the deadlines writes this telemetry.
    pub(crate) fn write_before_timeouts(self: &Arc<Self>) {
        let this = Arc::downgrade(self);
        self.invocations.set_write(move |due| {
            if let Some(telemetry) = this.upgrade() {
                // Errors are counted where they occur.
                drop(telemetry.write_cut_off(|number| due.contains(&number), CutOff::TIMEOUT));
            }
        });
    }

    /// Writes open spans as partial spans, then all other telemetry, even if an invocation has timed out.
    pub(crate) fn write_all_at_end(&self) -> OTelSdkResult {
        self.invocations.forget_deadlines();
        self.write_cut_off(|_| true, CutOff::END)
    }

    /// Writes the open spans of the interrupted invocations with these numbers, then all other telemetry.
    pub(crate) fn write_cut_off(
        &self,
        is_cut_off: impl Fn(InvocationNumber) -> bool,
        cut_off: CutOff,
    ) -> OTelSdkResult {
        // Partial spans first: the following flush may take all the remaining time.
        let written = self.write_open(is_cut_off, cut_off);
        self.mark_roots_written(|_, root| written.contains(&root));
        self.flush(|| ())
    }

    /// Tells extension and forwarder of the root span of an invocation. Returns the number of its record, if it has one.
    pub(crate) fn announce_root(&self, request_id: &str, root: &SpanContext) -> Option<u64> {
        if self.writes_root_lines && root.is_valid() && root.is_sampled() {
            self.line.write_root_line(request_id, root);
        }
        self.root_record.store(request_id, root)
    }

    /// Returns `true` if the error of a handler becomes a log record here. A printed event about it becomes one in the forwarder.
    pub(crate) fn records_errors(&self) -> bool {
        self.bridges_logs && !self.prints_events && self.record_filter.takes_handler_errors()
    }

    /// Reports an invocation that neither a handler of ours nor the application itself has written. The handler may have other
    /// telemetry than the subscriber.
    pub(crate) fn warn_without_handler(&self) {
        let is_written = self.is_written_by_application.load(Ordering::Relaxed);
        if !is_written && !self.environment.disabled && !Invocations::have_begun_in_process() {
            stderr::warn(
                "the handler isn't wrapped, so its telemetry is written only at the end of the environment, if at all: pass it to \
                 TracedHandler::new, or add OtelTracingLayer to the service",
            );
        }
    }

    /// Returns `true` for the invocation that waited for the start of the environment, at most once.
    pub(crate) fn take_cold_start(&self) -> bool {
        let is_ready_before = matches!(
            self.environment.lambda.initialization_type,
            InitializationType::ProvisionedConcurrency | InitializationType::ManagedInstances
        );
        !self.is_warm.swap(true, Ordering::Relaxed) && !is_ready_before
    }

    /// Adds an invocation, and returns its number. It is watched until
    /// [`write_and_forget`](Self::write_and_forget): if the callback of an instrument
    /// hangs, the thread that watches the deadline writes the rest.
    pub(crate) fn begin(&self, deadline: SystemTime) -> InvocationNumber {
        let initialization = self.environment.lambda.initialization_type;
        if initialization == InitializationType::SnapStart && !self.is_warm.load(Ordering::Relaxed)
        {
            self.restart_measurements();
        }
        // A managed instance goes on after a timeout, and one invocation must not stop the writes of the others (AWS Lambda
        // "Managed Instances execution environment").
        let bounds_writes = initialization != InitializationType::ManagedInstances;
        self.invocations.begin(deadline, bounds_writes)
    }

    /// Writes the telemetry of an init that may precede the first invocation by hours, or by a snapshot, which each restored
    /// environment would repeat. Exporters of the application may need this thread.
    pub(crate) fn write_init(&self) {
        let initialization = self.environment.lambda.initialization_type;
        let is_waiting = initialization != InitializationType::OnDemand;
        if is_waiting && !self.has_application_processors && !self.invocations.have_begun() {
            self.write_ended();
        }
    }

    /// Measurements begin now, instead of when the snapshot was made.
    pub(crate) fn restart_measurements(&self) {
        // Errors are counted where they occur.
        drop(self.flush_metrics());
    }

    /// Notes that the roots of these invocations are in a line.
    fn mark_roots_written(&self, is_written: impl Fn(InvocationNumber, SpanId) -> bool) {
        for root in self.invocations.written_roots(is_written) {
            self.root_record.mark_written(root);
        }
    }

    /// Writes all ended telemetry, which belongs to no invocation of our handlers.
    pub(crate) fn write_ended(&self) {
        // Errors are counted where they occur.
        drop(self.flush_invocation(|| ()));
    }

    /// Writes the telemetry of ended invocations, notes their roots as written as soon as they are, and forgets the invocations.
    pub(crate) fn write_and_forget(&self, numbers: &[InvocationNumber]) {
        let are_written = || self.mark_roots_written(|number, _| numbers.contains(&number));
        // Errors are counted where they occur.
        drop(self.flush_invocation(are_written));
        for number in numbers {
            self.invocations.forget(*number);
        }
    }
}

/// The three signals, flushed together.
impl Telemetry {
    /// Writes all finished spans, all log records and all measurements; never panics. Calls `spans_are_written` as soon as our
    /// own processor, if there is one, has written the spans: other parts of the flush may take until the deadline.
    ///
    /// # Errors
    /// The first error of a signal.
    pub(crate) fn flush(&self, spans_are_written: impl FnOnce()) -> OTelSdkResult {
        // Each signal is flushed separately, whatever the results of the others: a panic in the application's code costs one signal.
        let spans = self.flush_spans();
        if spans.is_ok() {
            spans_are_written();
        }
        let spans_of_application = self.flush_application_processors();
        let logs = self.flush_logs();
        let metrics = self.flush_metrics();
        spans.and(spans_of_application).and(logs).and(metrics)
    }

    /// Like [`flush`](Self::flush) at the end of an invocation: all signals share one compact line if they fit.
    pub(crate) fn flush_invocation(&self, spans_are_written: impl FnOnce()) -> OTelSdkResult {
        if !self.line.is_compact() {
            return self.flush(spans_are_written);
        }
        let mut writing = None;
        let mut metrics = Ok(());
        let mut logs = Ok(());
        let mut spans = Ok(());
        let written = self.line.together(|| {
            // Spans last: the callback of an observable instrument may hang, and a processor of the application. Spans are still in
            // their buffer then, from which the thread that watches the deadline writes them with `flush`.
            metrics = self.flush_metrics();
            writing = self.writing_together.lock(self.line.write_timeout());
            logs = self.flush_logs();
            spans = self.flush_spans();
        });
        let spans = spans.and(written);
        if spans.is_ok() {
            spans_are_written();
        }
        drop(writing);
        let spans_of_application = self.flush_application_processors();
        metrics.and(logs).and(spans).and(spans_of_application)
    }

    fn flush_spans(&self) -> OTelSdkResult {
        self.contained(SignalKind::Traces, || match &self.spans {
            Some(spans) => spans.force_flush(),
            None => self.tracer_provider.force_flush(),
        })
    }

    fn flush_application_processors(&self) -> OTelSdkResult {
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
            self.line.losses.report(self.environment.temporality, &self.meter_provider);
            self.meter_provider.force_flush()
        })
    }

    /// Writes the open spans of interrupted invocations as partial spans, and returns them. Never panics.
    pub(crate) fn write_open(
        &self,
        is_cut_off: impl Fn(InvocationNumber) -> bool,
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
        let flushed = self.flush(|| ());
        let traces = self
            .contained(SignalKind::Traces, || self.tracer_provider.shutdown_with_timeout(left()));
        let logs =
            self.contained(SignalKind::Logs, || self.logger_provider.shutdown_with_timeout(left()));
        let metrics = self
            .contained(SignalKind::Metrics, || self.meter_provider.shutdown_with_timeout(left()));
        flushed.and(traces).and(logs).and(metrics)
    }

    /// Returns the result of this part of a flush. A panic in it is counted as the loss of one item.
    fn contained<T>(
        &self,
        kind: SignalKind,
        part: impl FnOnce() -> Result<T, OTelSdkError>,
    ) -> Result<T, OTelSdkError> {
        self.line.contained(&[ItemCount { kind, items: 1 }], part)
    }
}

impl Drop for Telemetry {
    /// Writes what is left when `main` ends without SIGTERM: after a failed initialisation, in a panic, after an error of the
    /// runtime.
    fn drop(&mut self) {
        self.invocations.forget_deadlines();
        let write = || drop(self.flush(|| ()));
        if !self.has_application_processors {
            return write();
        }
        // Exporters of the application may need the runtime's thread.
        let runtime = Handle::try_current().ok();
        thread::scope(|scope| {
            scope.spawn(|| {
                let _entered = runtime.as_ref().map(Handle::enter);
                write();
            });
        });
    }
}

/// The scope of the invocations' spans; short, because every line contains it.
pub(crate) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
        .with_version(env!("CARGO_PKG_VERSION"))
        .build()
}
