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
//! - The runtime's own line about a failed invocation, and a span of the function with its failure, count like a failure line: Lambda
//!   reports an error of the handler as a success. What the evidence says is decided when the invocation is closed.
//! - A runtime's message about exhausted memory counts as `aws.lambda.out_of_memory` at once; a later event of Lambda about the
//!   same invocation does not count it again.
//! - In the Telemetry API a failed `platform.runtimeDone` counts like a failure line, because its report may never come. In
//!   CloudWatch it counts nothing, because the report follows with the same status. It may state the type of the failure.
//! - `INIT_REPORT`: the init duration, only if no `REPORT` will repeat it because the init phase failed or made a snapshot.
//!   `RESTORE_REPORT`: the restore duration, only if the restore failed. So no duration counts twice, even across deliveries.

mod error_type;
mod figures;

pub(crate) use error_type::failure_in;

use crate::event::{EventKind, PlatformEvent, nanoseconds, seconds};
use crate::invocations::{Count, CountState, End, Invocations};
use crate::metrics::instrument as metric;
use crate::metrics::points::{ErrorType, Period, Points};
use crate::options::{Names, Shape};
use crate::outcome::{FunctionStatement, OutcomeEvidence};
use error_type::{TIMEOUT, failure_of, failure_of_phase};
use opentelemetry_proto::tonic::metrics::v1::Metric;

/// The owner of an event's metrics. A backend stores a repeated value as a second point, so each metric has one owner if
/// forwarder and extension see the same invocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Owner {
    /// The forwarder makes the metrics that CloudWatch's text lines contain: the figures of reports, and the results of
    /// invocations.
    #[default]
    Forwarder,
    /// The extension makes, if there is a forwarder too, the metrics missing from text lines: latency, duration and size of responses,
    /// overheads, dropped logs.
    Extension,
    /// An extension without a forwarder makes both.
    ExtensionAlone,
    /// A forwarder of functions without the extension makes both.
    ForwarderAlone,
}

/// Adds up the events of one log stream or execution environment, given in their order. What it knows about an invocation is in the
/// table of invocations.
#[derive(Debug, Default)]
pub struct Aggregator {
    owner: Owner,
    names: Names,
    points: Points,
}

impl Aggregator {
    pub fn new(shape: Shape, names: Names) -> Self {
        Self { names, points: Points::new(shape), ..Self::default() }
    }

    #[must_use]
    pub fn with_owner(mut self, owner: Owner) -> Self {
        self.owner = owner;
        self
    }

    /// Adds an event that was logged at `time_unix_nano`, and notes what it says about the end of its invocation.
    pub fn add(
        &mut self,
        invocations: &mut Invocations,
        event: &PlatformEvent,
        time_unix_nano: u64,
    ) {
        let is_evidence = match self.owner {
            // The report has the same status.
            Owner::Forwarder => event.kind != EventKind::RuntimeDone,
            // Only spans need it.
            Owner::Extension => invocations.makes_spans() && event.request_id.is_some(),
            Owner::ExtensionAlone | Owner::ForwarderAlone => true,
        };
        let earlier =
            if is_evidence { invocations.note_evidence(event, time_unix_nano) } else { None };
        let duration_ms = event.figures.duration_ms.unwrap_or(0.0);
        let period = Period {
            begin: time_unix_nano.saturating_sub(nanoseconds(duration_ms)),
            end: time_unix_nano,
        };
        if self.owner != Owner::Extension {
            self.add_as_forwarder(invocations, event, period);
            // All earlier evidence belongs to the attempt before.
            if let Some(End { evidence, count: Some(count) }) = earlier {
                self.points.close(&evidence, &count);
            }
        }
        if self.owner != Owner::Forwarder {
            self.add_as_extension(event, period);
        }
    }

    /// Adds what the function says about the end of its invocation. Lambda may report a failed one as a success.
    pub fn add_statement(
        &mut self,
        invocations: &mut Invocations,
        request_id: &str,
        statement: FunctionStatement,
        time_unix_nano: u64,
    ) {
        // A success only matters beside other evidence.
        let is_success = matches!(statement, FunctionStatement::SpanSucceeded(_));
        if is_success || self.owner == Owner::Extension {
            invocations.note_statement(request_id, statement);
        } else {
            let (evidence, count) = invocations.counted_end(request_id, time_unix_nano);
            evidence.note_statement(statement);
            count.fail();
        }
    }

    /// Adds a runtime's message about exhausted memory, and its invocation, if known. A later report of the platform about the same
    /// invocation is not counted again.
    pub fn add_out_of_memory(
        &mut self,
        invocations: &mut Invocations,
        request_id: Option<&str>,
        time_unix_nano: u64,
    ) {
        if invocations.exhaust_memory(request_id, time_unix_nano) {
            self.points.count(&metric::OUT_OF_MEMORY, None, Period::at(time_unix_nano));
        }
    }

    /// Returns the metrics so far and continues with the next batch. A failed invocation is not counted yet, because its report,
    /// which states the failure too, may follow in a later batch.
    pub fn take(&mut self, invocations: &mut Invocations) -> Vec<Metric> {
        let has_ended = |state| !matches!(state, CountState::NoResult | CountState::Failed);
        let Self { points, .. } = self;
        invocations.close_counts(has_ended, |evidence, count| points.close(evidence, count));
        invocations.forget_counts(has_ended);
        invocations.forget_oldest_counts(|evidence, count| points.close(evidence, count));
        points.take_metrics()
    }

    /// Returns the metrics of a chunk, with all invocations counted.
    pub(crate) fn finish_chunk(&mut self, invocations: &mut Invocations) -> Vec<Metric> {
        let Self { points, .. } = self;
        invocations.forget_oldest_counts(|evidence, count| points.close(evidence, count));
        invocations.close_counts(
            |_| true,
            |evidence, count| {
                points.close(evidence, count);
                count.state = match count.state {
                    CountState::Failed if failure_of(evidence).is_none() => CountState::NoResult,
                    CountState::Failed => CountState::FailedCounted,
                    CountState::Reported => CountState::Counted,
                    state => state,
                };
            },
        );
        points.take_metrics()
    }
}

/// Each invocation is counted once, whatever the order of its events.
impl Aggregator {
    /// Adds the metrics that [`Owner::Forwarder`] owns.
    fn add_as_forwarder(
        &mut self,
        invocations: &mut Invocations,
        event: &PlatformEvent,
        period: Period,
    ) {
        let figures = &event.figures;
        match event.kind {
            EventKind::Report => self.report(invocations, event, period),
            EventKind::Timeout | EventKind::ExitError | EventKind::OutOfMemory => {
                self.add_failure(invocations, event, period);
            }
            EventKind::RuntimeDone if self.owner == Owner::ExtensionAlone && event.is_failure() => {
                self.add_failure(invocations, event, period);
            }
            // The report will count it, perhaps in the next delivery.
            EventKind::RuntimeDone if self.owner == Owner::ForwarderAlone && event.is_failure() => {
                invocations.count_of(event, period);
            }
            // The first invocation's report repeats the duration of a successful init phase, unless that made a snapshot.
            EventKind::InitReport
                if !event.succeeded() || event.phase.as_deref() == Some("snap-start") =>
            {
                let failure = failure_of_phase(event);
                self.record_init_duration(figures.duration_ms, failure, period);
            }
            EventKind::RestoreReport if !event.succeeded() => {
                let seconds = figures.duration_ms.map(seconds);
                let failure = failure_of_phase(event);
                self.points.record(&metric::RESTORE_DURATION, failure, seconds, period);
            }
            _ => {}
        }
    }

    fn report(&mut self, invocations: &mut Invocations, event: &PlatformEvent, period: Period) {
        self.points.count(&metric::INVOCATIONS, None, period);
        if event.is_cold_start() {
            self.points.count(&metric::COLDSTARTS, None, period);
        }
        self.record_figures(event, period);
        if self.names == Names::Legacy {
            self.record_legacy_gauges(event, period);
        }
        let count = invocations.count_of(event, period);
        count.state = match count.state {
            CountState::FailedCounted => CountState::Counted,
            _ => CountState::Reported,
        };
        self.points.count_memory(event, count);
    }

    /// Adds a line or an event of Lambda about a failure.
    fn add_failure(
        &mut self,
        invocations: &mut Invocations,
        event: &PlatformEvent,
        period: Period,
    ) {
        let count = invocations.count_of(event, period);
        count.fail();
        self.points.count_memory(event, count);
    }
}

impl Points {
    /// Counts exhausted memory unless it was counted.
    fn count_memory(&mut self, event: &PlatformEvent, count: &mut Count) {
        if event.is_out_of_memory() && !count.is_out_of_memory {
            self.count(&metric::OUT_OF_MEMORY, None, count.period);
            count.is_out_of_memory = true;
        }
    }

    /// Counts the end of an invocation unless it was counted before.
    fn close(&mut self, evidence: &OutcomeEvidence, count: &Count) {
        match count.state {
            CountState::Reported => self.count_end(failure_of(evidence), count.period),
            CountState::Failed => {
                if let failure @ Some(_) = failure_of(evidence) {
                    self.count_end(failure, count.period);
                }
            }
            CountState::NoResult | CountState::FailedCounted | CountState::Counted => {}
        }
    }

    fn count_end(&mut self, failure: ErrorType, period: Period) {
        match failure {
            None => self.count(&metric::SUCCESSES, None, period),
            Some(TIMEOUT) => self.count(&metric::TIMEOUTS, None, period),
            Some(_) => self.count(&metric::ERRORS, failure, period),
        }
    }
}

#[cfg(test)]
mod tests;
