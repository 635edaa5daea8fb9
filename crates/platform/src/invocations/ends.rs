//! How invocations ended: the evidence that metrics and spans share, and what the metrics have counted.

use super::limits::MAX_COUNTED;
use super::{Id, Invocation, Invocations};
use crate::event::{EventKind, PlatformEvent};
use crate::metrics::points::Period;
use crate::outcome::{FunctionStatement, OutcomeEvidence};
use crate::read::ids::canonical;
use std::sync::Arc;

/// The end of an invocation: of its newest attempt, because Lambda's retries keep the request id.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct End {
    pub(crate) evidence: OutcomeEvidence,
    pub(crate) count: Option<Count>,
}

/// What the metrics know about an invocation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Count {
    pub(crate) state: CountState,
    /// `true` if its exhausted memory was counted.
    pub(crate) is_out_of_memory: bool,
    /// The time of the event that led to the state.
    pub(crate) period: Period,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CountState {
    /// Neither a report nor a failure arrived. The runtime may have reported exhausted memory.
    NoResult,
    /// A failure line of Lambda or the runtime arrived, and the `REPORT` has not.
    Failed,
    /// A failure line arrived, its `REPORT` has not, and the failure was counted at the end of a chunk.
    FailedCounted,
    /// A `REPORT` arrived. Until the invocation is closed, further evidence about its end may follow.
    Reported,
    /// The invocation was counted; further lines repeat known facts.
    Counted,
}

impl Count {
    fn begin(period: Period) -> Self {
        Self { state: CountState::NoResult, is_out_of_memory: false, period }
    }

    /// Notes that the evidence has a failure.
    pub(crate) fn fail(&mut self) {
        if self.state == CountState::NoResult {
            self.state = CountState::Failed;
        }
    }

    fn is_reported(&self) -> bool {
        matches!(self.state, CountState::Reported | CountState::Counted)
    }
}

/// The id of Lambda's events that name no request.
const NO_REQUEST_ID: &str = "";

impl Invocations {
    /// Notes what an event of Lambda says about the end of its invocation. Returns the end of the attempt before: a start begins
    /// another attempt, and so does a second report.
    pub(crate) fn note_evidence(
        &mut self,
        event: &PlatformEvent,
        time_unix_nano: u64,
    ) -> Option<End> {
        let named = event.request_id.as_deref();
        match event.kind {
            EventKind::Start => {
                let request_id = named?;
                self.was_memory_exhausted = false;
                self.finish_earlier_attempt(request_id, time_unix_nano);
                self.entries.get_mut(request_id)?.end.take().map(|end| *end)
            }
            EventKind::Report
            | EventKind::RuntimeDone
            | EventKind::Timeout
            | EventKind::ExitError
            | EventKind::OutOfMemory => {
                let end = self.end_of(named.unwrap_or(NO_REQUEST_ID));
                let reported = end.count.as_ref().filter(|count| count.is_reported());
                let again = reported.map(|count| Count::begin(count.period));
                let earlier = (event.kind == EventKind::Report && again.is_some())
                    .then(|| std::mem::replace(end, End { count: again, ..End::default() }));
                end.evidence.note(event);
                earlier
            }
            _ => None,
        }
    }

    /// Notes what the function says about the end of a known invocation. It may not be counted.
    pub(crate) fn note_statement(&mut self, request_id: &str, statement: FunctionStatement) {
        if let Some(invocation) = self.entries.get_mut(&*canonical(request_id)) {
            invocation.end.get_or_insert_default().evidence.note_statement(statement);
        }
    }

    /// The end of an invocation that is counted from now on.
    pub(crate) fn counted_end(
        &mut self,
        request_id: &str,
        time_unix_nano: u64,
    ) -> (&mut OutcomeEvidence, &mut Count) {
        let End { evidence, count } = self.end_of(&canonical(request_id));
        (evidence, count.get_or_insert_with(|| Count::begin(Period::at(time_unix_nano))))
    }

    /// The count of the invocation of an event. Memory that was exhausted before a known start belongs to the first invocation that
    /// an event names.
    pub(crate) fn count_of(&mut self, event: &PlatformEvent, period: Period) -> &mut Count {
        let request_id = event.request_id.as_deref().unwrap_or(NO_REQUEST_ID);
        let was_memory_exhausted = self.was_memory_exhausted && !self.is_counted(request_id);
        if was_memory_exhausted {
            self.was_memory_exhausted = false;
        }
        let count = self.end_of(request_id).count.get_or_insert_with(|| Count::begin(period));
        count.is_out_of_memory |= was_memory_exhausted;
        count.period = period;
        count
    }

    /// Notes exhausted memory, of the first invocation that an event names if the invocation is unknown. Returns `false` if that
    /// was known.
    pub(crate) fn exhaust_memory(&mut self, request_id: Option<&str>, time_unix_nano: u64) -> bool {
        let known = match request_id {
            Some(request_id) => {
                &mut self.counted_end(request_id, time_unix_nano).1.is_out_of_memory
            }
            None => &mut self.was_memory_exhausted,
        };
        !std::mem::replace(known, true)
    }

    /// Notes a failure that an earlier delivery counted, and whose report did not come with it.
    pub(crate) fn add_counted_failure(
        &mut self,
        request_id: &str,
        statement: FunctionStatement,
        time_unix_nano: u64,
    ) {
        if !self.is_counted(request_id) {
            let (evidence, count) = self.counted_end(request_id, time_unix_nano);
            count.state = CountState::FailedCounted;
            evidence.note_statement(statement);
        }
    }

    fn end_of(&mut self, request_id: &str) -> &mut End {
        self.entry(request_id).end.get_or_insert_default()
    }

    /// Returns `true` if an event or a line of this invocation counts.
    pub(crate) fn is_counted(&self, request_id: &str) -> bool {
        self.get(request_id).is_some_and(|known| known.count().is_some())
    }

    pub(crate) fn is_reported(&self, request_id: &str) -> bool {
        self.get(request_id).and_then(Invocation::count).is_some_and(Count::is_reported)
    }

    /// The counted invocations.
    pub(crate) fn counted(&self) -> impl Iterator<Item = (&str, &OutcomeEvidence, &Count)> {
        self.entries.values().filter_map(|known| {
            let End { evidence, count } = known.end.as_deref()?;
            Some((&*known.id, evidence, count.as_ref()?))
        })
    }

    /// The invocations whose failure was counted and whose report has not come.
    pub(crate) fn counted_failures(&self) -> impl Iterator<Item = (&str, &OutcomeEvidence)> {
        self.counted()
            .filter(|(id, _, count)| {
                count.state == CountState::FailedCounted && *id != NO_REQUEST_ID
            })
            .map(|(id, evidence, _)| (id, evidence))
    }

    /// Gives the counted invocations that `is_chosen` selects to `close`, in the order of their ids.
    pub(crate) fn close_counts(
        &mut self,
        is_chosen: impl Fn(CountState) -> bool,
        mut close: impl FnMut(&OutcomeEvidence, &mut Count),
    ) {
        for id in self.ids_of_counts(|count| is_chosen(count.state)) {
            let known = self.entries.get_mut(&id).and_then(|known| known.end.as_deref_mut());
            if let Some(End { evidence, count: Some(count) }) = known {
                close(evidence, count);
            }
        }
    }

    /// Forgets counts that `is_chosen` selects.
    pub(crate) fn forget_counts(&mut self, is_chosen: impl Fn(CountState) -> bool) {
        for id in self.ids_of_counts(|count| is_chosen(count.state)) {
            self.forget_count(&id);
        }
    }

    /// Gives the counts beyond the limit to `close`, those with the oldest events, and forgets them.
    pub(crate) fn forget_oldest_counts(
        &mut self,
        mut close: impl FnMut(&OutcomeEvidence, &mut Count),
    ) {
        let known = self.ids_of_counts(|_| true);
        let excess = known.len().saturating_sub(MAX_COUNTED);
        if excess == 0 {
            return;
        }
        let time_of = |id: &Id| self.get(id)?.count().map(|count| count.period.end);
        let mut oldest: Vec<(Option<u64>, Id)> =
            known.into_iter().map(|id| (time_of(&id), id)).collect();
        oldest.select_nth_unstable(excess - 1);
        oldest.truncate(excess);
        oldest.sort_unstable_by(|(_, one), (_, other)| one.cmp(other));
        for (_, id) in oldest {
            let known = self.entries.get_mut(&id).and_then(|known| known.end.as_deref_mut());
            if let Some(End { evidence, count: Some(count) }) = known {
                close(evidence, count);
            }
            self.forget_count(&id);
        }
    }

    /// The ids of these counts, in order.
    fn ids_of_counts(&self, is_chosen: impl Fn(&Count) -> bool) -> Vec<Id> {
        let is_chosen = |known: &&Invocation| known.count().is_some_and(&is_chosen);
        let chosen = self.entries.values().filter(is_chosen);
        let mut ids: Vec<Id> = chosen.map(|known| Arc::clone(&known.id)).collect();
        ids.sort_unstable();
        ids
    }

    fn forget_count(&mut self, id: &Id) {
        let Some(invocation) = self.entries.get_mut(id) else { return };
        if let Some(end) = &mut invocation.end {
            end.count = None;
        }
        invocation.forget_unneeded_evidence();
        if invocation.is_empty() {
            self.entries.remove(id);
        }
    }
}

impl Invocation {
    pub(super) fn count(&self) -> Option<&Count> {
        self.end.as_ref()?.count.as_ref()
    }

    /// Forgets evidence that neither metrics nor a span will read.
    pub(super) fn forget_unneeded_evidence(&mut self) {
        let awaits_span = match &self.open_span {
            Some(span) => !span.is_written,
            None => self.received.as_ref().is_some_and(|received| !received.is_passed_on),
        };
        if self.count().is_none() && !awaits_span && self.start.is_none() {
            self.end = None;
        }
    }
}
