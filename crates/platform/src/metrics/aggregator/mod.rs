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
mod open;

pub(crate) use open::{OpenInvocations, counted_failures, is_reported};

use crate::event::{EventKind, PlatformEvent, nanoseconds, seconds};
use crate::metrics::instrument as metric;
use crate::metrics::points::{ErrorType, Period, Points};
use crate::options::{Names, Shape};
use crate::outcome::FunctionStatement;
use crate::read::runtime_error::Failure;
use error_type::{TIMEOUT, failure_in, failure_of, failure_of_phase};
use open::{InvocationState, OpenInvocation};
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

/// Adds up the events of one log stream or execution environment, given in their order.
///
/// It holds one entry for each request id of a batch, and keeps the newest [`Aggregator::MAX_OPEN`] entries for the next batch.
#[derive(Debug, Default)]
pub struct Aggregator {
    owner: Owner,
    names: Names,
    points: Points,
    invocations: OpenInvocations,
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

    /// Adds an event that was logged at `time_unix_nano`.
    pub fn add(&mut self, event: &PlatformEvent, time_unix_nano: u64) {
        let duration_ms = event.figures.duration_ms.unwrap_or(0.0);
        let period = Period {
            begin: time_unix_nano.saturating_sub(nanoseconds(duration_ms)),
            end: time_unix_nano,
        };
        if self.owner != Owner::Extension {
            self.add_as_forwarder(event, period);
        }
        if self.owner != Owner::Forwarder {
            self.add_as_extension(event, period);
        }
    }

    /// Adds what the function says about the end of its invocation. Lambda may report a failed one as a success.
    pub fn add_statement(
        &mut self,
        request_id: &str,
        statement: FunctionStatement,
        time_unix_nano: u64,
    ) {
        if self.owner == Owner::Extension {
            return;
        }
        let key = request_id.to_ascii_lowercase();
        if matches!(statement, FunctionStatement::SpanSucceeded(_)) {
            // It only matters beside other evidence.
            if let Some(invocation) = self.invocations.get_mut(&key) {
                invocation.evidence.note_statement(statement);
            }
            return;
        }
        let invocation =
            self.invocations.entry(key).or_insert_with(|| OpenInvocation::seen_at(time_unix_nano));
        invocation.evidence.note_statement(statement);
        invocation.fail();
    }

    /// Adds a failure that an earlier delivery counted, and whose report did not come with it.
    pub(crate) fn add_counted_failure(
        &mut self,
        request_id: &str,
        failure: Failure,
        time_unix_nano: u64,
    ) {
        let mut invocation = OpenInvocation::seen_at(time_unix_nano);
        invocation.state = InvocationState::FailedCounted;
        invocation.evidence.note_statement(FunctionStatement::RuntimeLine(failure));
        self.invocations.entry(request_id.to_owned()).or_insert(invocation);
    }

    /// The failed invocations, each with its failure.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (&str, Failure)> {
        self.invocations.iter().filter_map(|(request_id, invocation)| {
            Some((request_id.as_str(), failure_in(&invocation.evidence)?))
        })
    }

    /// Adds a runtime's message about exhausted memory, and its invocation, if known. A later report of the platform about the same
    /// invocation is not counted again.
    pub fn add_out_of_memory(&mut self, request_id: Option<&str>, time_unix_nano: u64) {
        let key = request_id.unwrap_or(UNKNOWN_INVOCATION).to_ascii_lowercase();
        let invocation =
            self.invocations.entry(key).or_insert(OpenInvocation::seen_at(time_unix_nano));
        let is_counted = std::mem::replace(&mut invocation.is_out_of_memory, true);
        if !is_counted {
            self.points.count(&metric::OUT_OF_MEMORY, None, Period::at(time_unix_nano));
        }
    }

    /// Returns `true` if an event or a line named this invocation.
    pub(crate) fn knows_invocation(&self, request_id: &str) -> bool {
        self.invocations.contains_key(request_id)
    }

    /// Returns the metrics so far and continues with the next batch. A failed invocation is not counted yet, because its report,
    /// which states the failure too, may follow in a later batch.
    pub fn take(&mut self) -> Vec<Metric> {
        let is_open = |_: &String, invocation: &mut OpenInvocation| {
            matches!(invocation.state, InvocationState::NoResult | InvocationState::Failed)
        };
        let mut all = std::mem::take(&mut self.invocations);
        self.invocations = all.extract_if(.., is_open).collect();
        for invocation in all.values() {
            self.close(invocation);
        }
        self.forget_oldest();
        self.points.take_metrics()
    }

    pub(crate) fn resume(&mut self, open: OpenInvocations) {
        self.invocations = open;
    }

    /// Returns the metrics with all invocations counted, and the state for the next chunk.
    pub(crate) fn finish_chunk(&mut self) -> (Vec<Metric>, OpenInvocations) {
        self.forget_oldest();
        let mut known = std::mem::take(&mut self.invocations);
        for invocation in known.values_mut() {
            self.close(invocation);
            invocation.state = match invocation.state {
                InvocationState::Failed if failure_of(&invocation.evidence).is_none() => {
                    InvocationState::NoResult
                }
                InvocationState::Failed => InvocationState::FailedCounted,
                InvocationState::Reported => InvocationState::Counted,
                state => state,
            };
        }
        (self.points.take_metrics(), known)
    }
}

/// Each invocation is counted once, whatever the order of its events.
impl Aggregator {
    /// Adds the metrics that [`Owner::Forwarder`] owns.
    fn add_as_forwarder(&mut self, event: &PlatformEvent, period: Period) {
        let figures = &event.figures;
        match event.kind {
            EventKind::Start => self.start(event),
            EventKind::Report => self.report(event, period),
            EventKind::Timeout | EventKind::ExitError | EventKind::OutOfMemory => {
                self.add_failure_event(event, period);
            }
            EventKind::RuntimeDone if self.owner == Owner::ExtensionAlone && event.is_failure() => {
                self.add_failure_event(event, period);
            }
            EventKind::RuntimeDone if self.owner == Owner::ForwarderAlone && event.is_failure() => {
                self.note_failure_event(event, period);
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

    /// Starts an invocation. A known request id is an earlier attempt, which has ended.
    fn start(&mut self, event: &PlatformEvent) {
        let Some(request_id) = &event.request_id else { return };
        self.invocations.remove(UNKNOWN_INVOCATION);
        if let Some(earlier) = self.invocations.remove(request_id) {
            self.close(&earlier);
        }
    }

    fn report(&mut self, event: &PlatformEvent, period: Period) {
        self.points.count(&metric::INVOCATIONS, None, period);
        if event.is_cold_start() {
            self.points.count(&metric::COLDSTARTS, None, period);
        }
        self.record_figures(event, period);
        if self.names == Names::Legacy {
            self.record_legacy_gauges(event, period);
        }

        let mut invocation = self.take_invocation(event, period);
        if invocation.is_reported() {
            // Lambda's retries keep the request id: two reports of one request id are two attempts. All earlier evidence belongs to
            // the first.
            self.close(&invocation);
            invocation = OpenInvocation::new(period);
        }
        invocation.evidence.note(event);
        invocation.state = match invocation.state {
            InvocationState::FailedCounted => InvocationState::Counted,
            _ => InvocationState::Reported,
        };
        self.keep_invocation(event, invocation, period);
    }

    /// Adds a line or an event of Lambda about a failure.
    fn add_failure_event(&mut self, event: &PlatformEvent, period: Period) {
        let mut invocation = self.take_invocation(event, period);
        invocation.evidence.note(event);
        invocation.fail();
        self.keep_invocation(event, invocation, period);
    }

    /// Notes an event of Lambda about a failure that the report will count, perhaps in the next delivery. Here it only has the type.
    fn note_failure_event(&mut self, event: &PlatformEvent, period: Period) {
        let mut invocation = self.take_invocation(event, period);
        invocation.evidence.note(event);
        self.insert(event, invocation, period);
    }

    /// Takes the invocation of an event out of the table, or begins one. An invocation with an unknown `START` is the first that an
    /// event names.
    fn take_invocation(&mut self, event: &PlatformEvent, period: Period) -> OpenInvocation {
        let own = self.invocations.remove(event.request_id.as_deref().unwrap_or(NO_REQUEST_ID));
        let known = own.or_else(|| self.invocations.remove(UNKNOWN_INVOCATION));
        known.unwrap_or_else(|| OpenInvocation::new(period))
    }

    /// Puts the invocation back into the table after its event, and counts exhausted memory unless it was counted.
    fn keep_invocation(
        &mut self,
        event: &PlatformEvent,
        mut invocation: OpenInvocation,
        period: Period,
    ) {
        if event.is_out_of_memory() && !invocation.is_out_of_memory {
            self.points.count(&metric::OUT_OF_MEMORY, None, period);
            invocation.is_out_of_memory = true;
        }
        self.insert(event, invocation, period);
    }

    fn insert(&mut self, event: &PlatformEvent, mut invocation: OpenInvocation, period: Period) {
        invocation.period = period;
        let key = event.request_id.clone().unwrap_or_else(|| NO_REQUEST_ID.to_owned());
        self.invocations.insert(key, invocation);
    }

    /// Counts a finished invocation unless it was counted before.
    fn close(&mut self, invocation: &OpenInvocation) {
        match invocation.state {
            InvocationState::Reported => {
                self.count_end(failure_of(&invocation.evidence), invocation.period);
            }
            InvocationState::Failed => {
                if let failure @ Some(_) = failure_of(&invocation.evidence) {
                    self.count_end(failure, invocation.period);
                }
            }
            InvocationState::NoResult
            | InvocationState::FailedCounted
            | InvocationState::Counted => {}
        }
    }

    fn count_end(&mut self, failure: ErrorType, period: Period) {
        match failure {
            None => self.points.count(&metric::SUCCESSES, None, period),
            Some(TIMEOUT) => self.points.count(&metric::TIMEOUTS, None, period),
            Some(_) => self.points.count(&metric::ERRORS, failure, period),
        }
    }

    /// Maximum number of invocations remembered between batches.
    pub const MAX_OPEN: usize = 256;

    /// Closes the invocations beyond the limit, those with the oldest events first.
    fn forget_oldest(&mut self) {
        let excess = self.invocations.len().saturating_sub(Self::MAX_OPEN);
        if excess == 0 {
            return;
        }
        let mut times: Vec<_> =
            self.invocations.values().map(|invocation| invocation.period.end).collect();
        let (older, selected, _) = times.select_nth_unstable(excess - 1);
        let newest_to_go = *selected;
        // Of those with this very time, only some go.
        let mut of_this_time = 1 + older.iter().filter(|time| **time == newest_to_go).count();
        let mut invocations = std::mem::take(&mut self.invocations);
        invocations.retain(|_, invocation| {
            let time = invocation.period.end;
            let goes = time < newest_to_go || time == newest_to_go && of_this_time > 0;
            if goes {
                of_this_time -= usize::from(time == newest_to_go);
                self.close(invocation);
            }
            !goes
        });
        self.invocations = invocations;
    }
}

/// The key of the events of Lambda that name no request. They are never joined with an invocation.
const NO_REQUEST_ID: &str = "";

/// The key of a runtime's message about exhausted memory before a known `START`. The next event of Lambda takes it over, unless
/// that is a `START`.
const UNKNOWN_INVOCATION: &str = "?";

#[cfg(test)]
mod tests;
