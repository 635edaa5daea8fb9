//! Converts platform events to OTLP metrics, and counts each invocation once.
//!
//! The temporality is delta. The events of a batch are added up to one data point for each metric and set of attributes. This
//! loses nothing: sums, and histograms with equal buckets, add exactly.
//!
//! Events and their counts:
//! - `REPORT`: the invocation with its figures, `aws.lambda.invocations`, the cold start, and exactly one of `faas.invocations`,
//!   `faas.errors` and `faas.timeouts`.
//! - Failure lines of the older notation (`Task timed out`, `Runtime exited`) come before or after a `REPORT` without status and
//!   state the result; a status on the `REPORT` wins. A failure line without a `REPORT` in the batch counts the failure alone.
//! - A runtime's message about exhausted memory counts as `aws.lambda.out_of_memory` at once; a later event of Lambda about the
//!   same invocation does not count it again.
//! - In the Telemetry API a failed `platform.runtimeDone` counts like a failure line, because its report may never come. In
//!   CloudWatch it is ignored: the report follows with the same status.
//! - `INIT_REPORT`: the init duration, only if no `REPORT` will repeat it because the init phase failed or made a snapshot.
//!   `RESTORE_REPORT`: the restore duration, only if the restore failed. So no duration counts twice, even across deliveries.

mod chunks;
mod figures;
mod memory;

use foldhash::HashMap;
use memory::UNNAMED;

use crate::event::figures::{nanoseconds, plausible, seconds};
use crate::event::{EventKind, PlatformEvent};
use crate::metrics::error_type;
use crate::metrics::instrument as metric;
use crate::metrics::open_invocations::{Failure, InvocationState, OpenInvocation};
use crate::metrics::points::{ErrorType, Measured, Points};
use crate::options::{Names, Shape};

/// The owner of an event's metrics. A backend stores a repeated value as a second point, so each metric has one owner if
/// forwarder and extension see the same invocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Owner {
    /// The forwarder makes the metrics that CloudWatch's text lines contain: the figures of reports, and the results of
    /// invocations.
    #[default]
    Forwarder,
    /// The extension, beside a forwarder, makes the metrics missing from text lines: latency, duration and size of responses,
    /// overheads, dropped logs.
    Extension,
    /// An extension without a forwarder makes both.
    Sole,
}

/// Adds up the events of one log stream or execution environment, given in their order.
///
/// It holds one entry for each request id of a batch, and keeps the newest [`Aggregator::MAX_OPEN`] entries for the next batch.
#[derive(Debug, Default)]
pub struct Aggregator {
    owner: Owner,
    pub(crate) shape: Shape,
    names: Names,
    pub(crate) points: Points,
    pub(crate) invocations: HashMap<String, OpenInvocation>,
    dropped_values: usize,
}

impl Aggregator {
    /// Creates an empty aggregator for the forwarder.
    pub fn new(shape: Shape, names: Names) -> Self {
        Self { shape, names, ..Self::default() }
    }

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
        };
        if self.owner != Owner::Extension {
            self.add_report(event, measured);
        }
        if self.owner != Owner::Forwarder {
            self.add_parts(event, measured);
        }
    }

    fn add_report(&mut self, event: &PlatformEvent, measured: Measured) {
        let figures = &event.figures;
        if event.kind != EventKind::Start
            && let Some(request_id) = &event.request_id
        {
            self.name_the_unnamed(request_id);
        }
        match event.kind {
            EventKind::Start => self.begin(event),
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
            // The first invocation's report repeats the duration of a successful init phase, unless that made a snapshot.
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

    /// Number of values that were not finite, plausible numbers.
    pub fn dropped_values(&self) -> usize {
        self.dropped_values
    }

    /// Starts an invocation. A known request id is an earlier attempt, which has ended.
    fn begin(&mut self, event: &PlatformEvent) {
        let Some(request_id) = &event.request_id else { return };
        self.invocations.remove(UNNAMED);
        if let Some(earlier) = self.invocations.remove(request_id) {
            self.close(&earlier);
        }
    }

    fn report(&mut self, event: &PlatformEvent, measured: Measured) {
        self.points.count(&metric::INVOCATIONS, None, measured);
        if event.is_cold_start() {
            self.points.count(&metric::COLDSTARTS, None, measured);
        }
        self.figures(event, measured);
        if self.names == Names::Legacy {
            self.legacy_gauges(event, measured);
        }

        let key = event.request_id.as_deref().unwrap_or_default();
        let before = self.invocations.remove(key);
        let state_before = before.as_ref().map(|before| before.state);
        if state_before == Some(InvocationState::Reported) {
            // Lambda's retries keep the request id: two reports of one request id are two attempts.
            self.count_end(None, measured);
        }
        let state = match (state_before, &event.status) {
            (Some(InvocationState::FailedCounted), _) => InvocationState::Counted,
            (_, Some(_)) => {
                self.count_end(failure_of(event), measured);
                InvocationState::Counted
            }
            (Some(InvocationState::Failed(failure)), None) => {
                self.count_end(Some(failure), measured);
                InvocationState::Counted
            }
            (_, None) => InvocationState::Reported,
        };
        // A failure line or runtime message before this report has counted the exhausted memory, unless another report came
        // first: then it belonged to an earlier attempt.
        let of_this_attempt = matches!(
            state_before,
            Some(
                InvocationState::Running
                    | InvocationState::Failed(_)
                    | InvocationState::FailedCounted
            )
        );
        let known_out_of_memory =
            of_this_attempt && before.is_some_and(|before| before.out_of_memory);
        if event.is_out_of_memory() && !known_out_of_memory {
            self.points.count(&metric::OUT_OF_MEMORY, None, measured);
        }
        let out_of_memory = known_out_of_memory || event.is_out_of_memory();
        let invocation =
            OpenInvocation { state, out_of_memory, time: measured.time, since: measured.since };
        self.invocations.insert(key.to_owned(), invocation);
    }

    fn fail(&mut self, failure: Failure, event: &PlatformEvent, measured: Measured) {
        let key = event.request_id.as_deref().unwrap_or_default();
        let before = self.invocations.get(key);
        let known_out_of_memory = before.is_some_and(|before| before.out_of_memory);
        let state = match before.map(|before| before.state) {
            None | Some(InvocationState::Running) => InvocationState::Failed(failure),
            Some(
                state @ (InvocationState::Failed(_)
                | InvocationState::FailedCounted
                | InvocationState::Counted),
            ) => state,
            Some(InvocationState::Reported) => {
                self.count_end(Some(failure), measured);
                InvocationState::Counted
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

    pub(crate) fn count_end(&mut self, failure: Option<Failure>, measured: Measured) {
        match failure {
            None => self.points.count(&metric::SUCCESSES, None, measured),
            Some(Failure::Timeout) => self.points.count(&metric::TIMEOUTS, None, measured),
            Some(Failure::Error(error_type)) => {
                self.points.count(&metric::ERRORS, Some(error_type), measured);
            }
        }
    }
}

/// The failure stated by an event's status; `None` for success or without a status.
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
