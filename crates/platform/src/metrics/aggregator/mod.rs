//! Turns platform events into OTLP metrics, and counts each invocation once.
//!
//! Source: design §4 "To metrics". Temporality is delta. Events of one batch are added up, so a
//! delivery costs one data point a metric and attribute set, whatever it holds; nothing is lost
//! by that, as sums and histograms with equal buckets add exactly.
//!
//! Which event feeds what:
//! - `REPORT` is the invocation: its figures, `aws.lambda.invocations`, the cold start, and
//!   exactly one of `faas.invocations`, `faas.errors`, `faas.timeouts`.
//! - The older failure lines (`Task timed out`, `Runtime exited`) say how a `REPORT` without
//!   status ended, before or after it; a status on the `REPORT` wins. A failure line whose
//!   `REPORT` is not in the batch counts its failure alone.
//! - In the Telemetry API a failed `platform.runtimeDone` stands for the failure line: its report
//!   may never come. In CloudWatch it is not counted, as the report of the same status follows.
//! - `INIT_REPORT` feeds the init duration only where no `REPORT` will: the init phase failed, or
//!   made a snapshot. `RESTORE_REPORT` likewise, only if the restore failed. So no duration is
//!   counted twice, even when the lines come in different deliveries.

mod chunks;

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::metrics::v1::Metric;

use crate::event::figures::{MIB, nanoseconds, plausible};
use crate::event::{EventKind, PlatformEvent};
use crate::metrics::error_type;
use crate::metrics::instrument::{self as metric, Instrument, legacy};
use crate::metrics::open_invocations::{Failure, OpenInvocation, State};
use crate::metrics::points::{ErrorType, Measured, Points};
use crate::options::{Names, Shape};

/// Who makes the metrics of an event. The backend stores what it gets twice, so in stdout mode
/// each metric has one owner (design §4 "Who owns what").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Owner {
    /// The forwarder makes what the text lines of CloudWatch say: the figures of reports, how
    /// invocations ended.
    #[default]
    Forwarder,
    /// The extension beside it makes the rest: latency, duration and size of responses,
    /// overheads, dropped logs.
    Extension,
    /// Both, in the extension's direct modes: nobody else is there.
    Sole,
}

/// Adds up the events of one log stream or execution environment, given in their order.
///
/// It holds one entry a request id; the batch that it is given bounds them, and between batches
/// the newest [`Aggregator::MAX_OPEN`] are kept.
#[derive(Debug, Default)]
pub struct Aggregator {
    owner: Owner,
    pub(crate) shape: Shape,
    names: Names,
    pub(crate) points: Points,
    pub(crate) invocations: BTreeMap<String, OpenInvocation>,
    dropped_values: usize,
}

impl Aggregator {
    /// An empty aggregator of the forwarder.
    pub fn new(shape: Shape, names: Names) -> Self {
        Self { shape, names, ..Self::default() }
    }

    /// The same for another owner.
    #[must_use]
    pub fn with_owner(mut self, owner: Owner) -> Self {
        self.owner = owner;
        self
    }

    /// Adds an event that was logged at `time_unix_nano`.
    pub fn add(&mut self, event: &PlatformEvent, time_unix_nano: u64) {
        let figures = &event.figures;
        let duration_ms = figures.duration_ms.and_then(plausible).unwrap_or(0.0);
        let measured = Measured {
            time: time_unix_nano,
            since: time_unix_nano.saturating_sub(nanoseconds(duration_ms)),
            request_id: event.request_id.as_deref(),
        };
        if self.owner != Owner::Extension {
            self.add_report(event, measured);
        }
        if self.owner != Owner::Forwarder {
            self.add_parts(event, measured);
        }
    }

    /// What the forwarder makes.
    fn add_report(&mut self, event: &PlatformEvent, measured: Measured<'_>) {
        let figures = &event.figures;
        match event.kind {
            EventKind::Start => self.begin(measured),
            EventKind::Report => self.report(event, measured),
            EventKind::Timeout => self.fail(Failure::Timeout, event, measured),
            EventKind::ExitError | EventKind::OutOfMemory | EventKind::Fault => {
                let said = event.counted_error_type().unwrap_or("Runtime.ExitError");
                self.fail(Failure::Error(error_type::bounded(Some(said))), event, measured);
            }
            EventKind::RuntimeDone if self.owner == Owner::Sole => {
                if let Some(failure) = failure_of(event) {
                    self.fail(failure, event, measured);
                }
            }
            // The report of the first invocation repeats the duration of an init phase that went
            // well, except where that was the one before a snapshot.
            EventKind::InitReport
                if !event.succeeded() || event.phase.as_deref() == Some("snap-start") =>
            {
                self.init_duration(figures.duration_ms, failure_type(event), measured);
            }
            EventKind::RestoreReport if !event.succeeded() => {
                let seconds = figures.duration_ms.map(seconds);
                self.record(&metric::RESTORE_DURATION, failure_type(event), seconds, measured);
            }
            _ => {}
        }
    }

    /// What the extension makes. Each part of an invocation is said by one event: by
    /// `platform.runtimeDone`, and on managed instances, which have none, by `platform.report`.
    fn add_parts(&mut self, event: &PlatformEvent, measured: Measured<'_>) {
        for span in &event.spans {
            let instrument = match span.name.as_str() {
                "responseLatency" => &metric::RESPONSE_LATENCY,
                "responseDuration" => &metric::RESPONSE_DURATION,
                "runtimeOverhead" => &metric::RUNTIME_OVERHEAD,
                "extensionOverhead" => &metric::EXTENSION_OVERHEAD,
                _ => continue,
            };
            self.record(instrument, None, span.duration_ms.map(seconds), measured);
        }
        self.record(&metric::PRODUCED_BYTES, None, event.figures.produced_bytes, measured);
        if let Some(records) = self.believed(event.figures.dropped_records) {
            self.points.add(&metric::LOGS_DROPPED, None, whole(records), measured);
        }
    }

    /// The metrics; empty if no event made any.
    pub fn finish(mut self) -> Vec<Metric> {
        self.finish_chunk().0
    }

    /// How many values were not counted because they are no finite, plausible numbers.
    pub fn dropped_values(&self) -> usize {
        self.dropped_values
    }

    /// An invocation begins: one with the same request id before it was an earlier attempt.
    fn begin(&mut self, measured: Measured<'_>) {
        let Some(request_id) = measured.request_id else { return };
        if let Some(earlier) = self.invocations.remove(request_id) {
            self.close(request_id, &earlier);
        }
    }

    fn report(&mut self, event: &PlatformEvent, measured: Measured<'_>) {
        let uncounted = Measured { request_id: None, ..measured };
        self.points.count(&metric::INVOCATIONS, None, uncounted);
        if event.is_cold_start() {
            self.points.count(&metric::COLDSTARTS, None, measured);
        }
        self.figures(event, measured);
        if self.names == Names::Legacy {
            self.legacy_gauges(event, measured);
        }

        let key = measured.request_id.unwrap_or_default();
        let before = self.invocations.remove(key);
        let state_before = before.as_ref().map(|before| before.state);
        if state_before == Some(State::Reported) {
            // Two reports of one request id are two attempts.
            self.count_outcome(None, uncounted);
        }
        let state = match (state_before, &event.status) {
            (Some(State::FailedCounted), _) => State::Counted,
            (_, Some(_)) => {
                self.count_outcome(failure_of(event), measured);
                State::Counted
            }
            (Some(State::Failed(failure)), None) => {
                self.count_outcome(Some(failure), measured);
                State::Counted
            }
            (_, None) => State::Reported,
        };
        // An out-of-memory line before this report was about this invocation, not about one that
        // had its report already.
        let failed_before = matches!(state_before, Some(State::Failed(_) | State::FailedCounted));
        let known_out_of_memory =
            failed_before && before.is_some_and(|before| before.out_of_memory);
        if event.is_out_of_memory() && !known_out_of_memory {
            self.points.count(&metric::OUT_OF_MEMORY, None, measured);
        }
        let out_of_memory = known_out_of_memory || event.is_out_of_memory();
        let invocation =
            OpenInvocation { state, out_of_memory, time: measured.time, since: measured.since };
        self.invocations.insert(key.to_owned(), invocation);
    }

    /// A failure line of the older notation.
    fn fail(&mut self, failure: Failure, event: &PlatformEvent, measured: Measured<'_>) {
        let key = measured.request_id.unwrap_or_default();
        let before = self.invocations.get(key);
        let known_out_of_memory = before.is_some_and(|before| before.out_of_memory);
        let state = match before.map(|before| before.state) {
            None => State::Failed(failure),
            Some(state @ (State::Failed(_) | State::FailedCounted | State::Counted)) => state,
            Some(State::Reported) => {
                self.count_outcome(Some(failure), measured);
                State::Counted
            }
        };
        if event.is_out_of_memory() && !known_out_of_memory {
            self.points.count(&metric::OUT_OF_MEMORY, None, measured);
        }
        let out_of_memory = known_out_of_memory || event.is_out_of_memory();
        let invocation =
            OpenInvocation { state, out_of_memory, time: measured.time, since: measured.since };
        self.invocations.insert(key.to_owned(), invocation);
    }

    pub(crate) fn count_outcome(&mut self, failure: Option<Failure>, measured: Measured<'_>) {
        match failure {
            None => {
                let uncounted = Measured { request_id: None, ..measured };
                self.points.count(&metric::SUCCESSES, None, uncounted);
            }
            Some(Failure::Timeout) => self.points.count(&metric::TIMEOUTS, None, measured),
            Some(Failure::Error(error_type)) => {
                self.points.count(&metric::ERRORS, Some(error_type), measured);
            }
        }
    }

    /// The histograms of a report.
    fn figures(&mut self, event: &PlatformEvent, measured: Measured<'_>) {
        let figures = &event.figures;
        let restore = figures.restore_duration_ms.map(seconds);
        let billed_restore = figures.billed_restore_duration_ms.map(seconds);
        let used = figures.max_memory_used_mb.map(|mb| mb * MIB);
        let utilization = figures
            .max_memory_used_mb
            .zip(figures.memory_size_mb.filter(|size| *size > 0.0))
            .map(|(used, size)| used / size);
        // The billed duration has the billed init and restore in it already (REPORT lines of
        // 2025 and later: 2338.66 ms and a billed restore of 182 ms make 2521 ms billed).
        let gib_seconds = figures
            .billed_duration_ms
            .zip(figures.memory_size_mb)
            .map(|(billed, size)| seconds(billed) * size / 1024.0);

        self.record(&metric::INVOKE_DURATION, None, figures.duration_ms.map(seconds), measured);
        self.record(
            &metric::BILLED_DURATION,
            None,
            figures.billed_duration_ms.map(seconds),
            measured,
        );
        self.record(&metric::BILLED_GB_SECONDS, None, gib_seconds, measured);
        self.record(&metric::MEM_USAGE, None, used, measured);
        self.record(&metric::MEMORY_UTILIZATION, None, utilization, measured);
        self.init_duration(figures.init_duration_ms, None, measured);
        self.record(&metric::RESTORE_DURATION, None, restore, measured);
        self.record(&metric::BILLED_RESTORE_DURATION, None, billed_restore, measured);
        if let Some(limit) = self.believed(figures.memory_size_mb.map(|mb| mb * MIB)) {
            self.points.set(&metric::MEMORY_LIMIT, limit, measured);
        }
    }

    fn init_duration(&mut self, ms: Option<f64>, error_type: ErrorType, measured: Measured<'_>) {
        match self.names {
            Names::Current => {
                self.record(&metric::INIT_DURATION, error_type, ms.map(seconds), measured);
            }
            // The gauge of this name takes the histogram's place.
            Names::Legacy => {
                self.append(&legacy::INIT_DURATION, ms, measured);
                self.append(&legacy::LAMBDA_INIT_DURATION, ms, measured);
            }
        }
    }

    fn legacy_gauges(&mut self, event: &PlatformEvent, measured: Measured<'_>) {
        let figures = &event.figures;
        let coldstart = if event.is_cold_start() { 1.0 } else { 0.0 };
        self.append(&legacy::DURATION, figures.duration_ms, measured);
        self.append(&legacy::INVOCATION_DURATION, figures.duration_ms, measured);
        self.append(&legacy::BILLED_DURATION, figures.billed_duration_ms, measured);
        self.append(&legacy::MAX_MEMORY, figures.max_memory_used_mb, measured);
        let used = figures.max_memory_used_mb.map(|mb| mb * MIB);
        self.append(&legacy::LAMBDA_MAX_MEMORY_USED, used, measured);
        self.append(&legacy::COLDSTART, Some(coldstart), measured);
    }

    fn record(
        &mut self,
        instrument: &'static Instrument,
        error_type: ErrorType,
        value: Option<f64>,
        measured: Measured<'_>,
    ) {
        if let Some(value) = self.believed(value) {
            self.points.record(instrument, error_type, value, measured);
        }
    }

    fn append(
        &mut self,
        instrument: &'static Instrument,
        value: Option<f64>,
        measured: Measured<'_>,
    ) {
        if let Some(value) = self.believed(value) {
            self.points.append(instrument, value, measured);
        }
    }

    /// Events may be built by others: NaN, infinities and the like are counted, not sent.
    fn believed(&mut self, value: Option<f64>) -> Option<f64> {
        let believed = value.filter(|value| (0.0..=MAX_VALUE).contains(value));
        if value.is_some() && believed.is_none() {
            self.dropped_values += 1;
        }
        believed
    }
}

/// The largest value that is recorded: plausible mebibytes in bytes.
const MAX_VALUE: f64 = 1e12 * MIB;

fn seconds(ms: f64) -> f64 {
    ms / 1000.0
}

/// A plausible number without its fraction.
#[expect(clippy::cast_possible_truncation, reason = "the value is plausible: at most 1e18")]
fn whole(value: f64) -> i64 {
    value as i64
}

/// How an event with a status ended.
fn failure_of(event: &PlatformEvent) -> Option<Failure> {
    match event.status.as_deref() {
        None | Some("success") => None,
        Some("timeout") => Some(Failure::Timeout),
        Some(_) => Some(Failure::Error(error_type::bounded(event.error_type.as_deref()))),
    }
}

/// The error type of a failed init phase or restore, as an attribute of its duration.
fn failure_type(event: &PlatformEvent) -> ErrorType {
    match failure_of(event)? {
        Failure::Timeout => Some("timeout"),
        Failure::Error(error_type) => Some(error_type),
    }
}

#[cfg(test)]
mod tests;
