//! What lines and spans say about the ends of invocations.

use super::Converter;
use crate::event::{EventKind, PlatformEvent};
use crate::logs::LogEventRef;
use crate::logs::request_window::LineInvocation;
use crate::metrics::aggregator::{OpenInvocations, counted_failures, is_reported};
use crate::outcome::FunctionStatement;
use crate::read::ids::request_id_of;
use crate::read::line::{FunctionLine, function_line};
use crate::read::runtime_error::{Proof, RuntimeError};
use crate::read::runtime_text::is_out_of_memory;
use crate::read::severity::Severity;
use crate::recent::EarlierFacts;

/// What the function said about the end of one of its invocations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvocationStatement {
    pub request_id: String,
    pub statement: FunctionStatement,
    pub time_unix_nano: u64,
}

impl Converter {
    /// Notes what a span of the function says about the end of its invocation. Only an invocation that Lambda's lines name counts.
    pub fn note_span_statement(&mut self, request_id: &str, statement: FunctionStatement) {
        let request_id = request_id_of(request_id);
        let is_known = self.aggregator.knows_invocation(&request_id)
            || self.state.window.invocation_of_line(Some(&request_id))
                == LineInvocation::Running(&request_id);
        if is_known {
            self.add_statement(&request_id, statement, self.observed_unix_nano);
        }
    }

    /// Notes a line of the function, for a caller of [`Self::counted_elsewhere`].
    pub fn note_printed_line(&mut self, text: &str, time_unix_nano: u64) {
        let error = RuntimeError::read(text);
        if error.is_some() || !self.state.last_words.is_empty() {
            let line = function_line(text, self.identity.is_lambda);
            self.note_runtime_line(line.request_id.as_deref(), error, time_unix_nano);
        }
    }

    /// Takes what lines said about the ends of invocations, for a caller of [`Self::counted_elsewhere`].
    pub fn take_statements(&mut self) -> Vec<InvocationStatement> {
        std::mem::take(&mut self.statements)
    }

    /// Notes the failure and the exhausted memory that a runtime's line states. `plain` is the line without colours.
    #[inline]
    pub(super) fn note_failures(
        &mut self,
        event: &LogEventRef<'_>,
        line: &FunctionLine<'_>,
        plain: &str,
    ) {
        let is_error =
            line.severity.is_some_and(|severity| severity.number >= Severity::ERROR.number);
        let may_be_error = is_error || RuntimeError::may_lack_a_level(plain);
        let error = if may_be_error { RuntimeError::read(plain) } else { None };
        if error.is_some() || !self.state.last_words.is_empty() {
            self.note_runtime_line(line.request_id.as_deref(), error, event.time_unix_nano());
        }
        if is_out_of_memory(event.message) {
            let request_id = line.request_id.as_deref().or(self.state.window.request_id());
            self.aggregator.add_out_of_memory(request_id, event.time_unix_nano());
        }
    }

    /// Notes a line of the function, which names this request id, and perhaps is the runtime's own one about a failure.
    #[cold]
    #[inline(never)]
    pub(super) fn note_runtime_line(
        &mut self,
        named: Option<&str>,
        error: Option<RuntimeError>,
        time_unix_nano: u64,
    ) {
        let window = &self.state.window;
        if let Some(request_id) = named.or(window.request_id()) {
            self.state.last_words.remove(request_id);
        }
        let Some(RuntimeError { request_id, failure, proof }) = error else { return };
        match (window.invocation_of_line(request_id.as_deref()), proof) {
            (LineInvocation::Running(request_id), Proof::Certain) => {
                let request_id = request_id.to_owned();
                let statement = FunctionStatement::RuntimeLine(failure);
                self.add_statement(&request_id, statement, time_unix_nano);
            }
            (LineInvocation::Running(request_id), Proof::IfLast) => {
                self.state.last_words.insert(request_id.to_owned(), failure);
            }
            (LineInvocation::Unknown, Proof::Certain) => {
                self.state.unnamed_failure.get_or_insert(failure);
            }
            (LineInvocation::Unknown | LineInvocation::None, _) => {}
        }
    }

    /// Counts the runtime's line after which the invocation of this event printed nothing more.
    pub(super) fn end_last_words(&mut self, platform: &PlatformEvent, time_unix_nano: u64) {
        if self.state.last_words.is_empty() {
            return;
        }
        let Some(request_id) = &platform.request_id else { return };
        let is_end =
            matches!(platform.kind, EventKind::End | EventKind::RuntimeDone | EventKind::Report);
        if let Some(failure) = self.state.last_words.remove(request_id).filter(|_| is_end) {
            let statement = FunctionStatement::RuntimeLine(failure);
            self.add_statement(request_id, statement, time_unix_nano);
        }
    }

    /// Adds what earlier deliveries said about the invocation of a report whose start is not in this one.
    pub(super) fn recall(&mut self, platform: &PlatformEvent, time_unix_nano: u64) {
        let Some(recent) = &self.recent else { return };
        let Some(request_id) = &platform.request_id else { return };
        match platform.kind {
            EventKind::Start => recent.forget(&self.identity, request_id),
            EventKind::Report => {
                let is_known = self.state.window.invocation_of_line(Some(request_id))
                    == LineInvocation::Running(request_id);
                let earlier = if is_known { None } else { recent.find(&self.identity, request_id) };
                let Some(EarlierFacts { has_span, counted_failure }) = earlier else { return };
                if has_span {
                    self.seen.add_earlier_root(request_id);
                }
                if let Some(failure) = counted_failure {
                    if let Some(invocations) = &mut self.state.spans {
                        let statement = FunctionStatement::RuntimeLine(failure.clone());
                        invocations.note_early_statement(request_id, statement, time_unix_nano);
                    }
                    self.aggregator.add_counted_failure(request_id, failure, time_unix_nano);
                }
            }
            _ => {}
        }
    }

    /// Remembers what this delivery says about invocations whose report it does not have.
    pub(super) fn remember(&self, open: &OpenInvocations) {
        let Some(recent) = &self.recent else { return };
        for (request_id, failure) in counted_failures(open) {
            recent.remember(&self.identity, request_id, |facts| {
                facts.counted_failure = Some(failure);
            });
        }
        if self.state.spans.is_some() {
            for request_id in self.seen.with_root().filter(|id| !is_reported(open, id)) {
                recent.remember(&self.identity, request_id, |facts| facts.has_span = true);
            }
        }
    }

    /// Assigns a runtime's line before the first start to the invocation of the first report. A start means that an init phase printed
    /// the line.
    pub(super) fn assign_unnamed_failure(
        &mut self,
        platform: &PlatformEvent,
        event: &LogEventRef<'_>,
    ) {
        if self.state.unnamed_failure.is_none() {
            return;
        }
        match (&platform.kind, &platform.request_id) {
            (EventKind::Start, _) => self.state.unnamed_failure = None,
            (EventKind::Report, Some(request_id)) => {
                if let Some(failure) = self.state.unnamed_failure.take() {
                    let statement = FunctionStatement::RuntimeLine(failure);
                    self.add_statement(request_id, statement, event.time_unix_nano());
                }
            }
            _ => {}
        }
    }

    pub(super) fn add_statement(
        &mut self,
        request_id: &str,
        statement: FunctionStatement,
        time_unix_nano: u64,
    ) {
        if self.is_counted_elsewhere {
            let request_id = request_id.to_owned();
            self.statements.push(InvocationStatement { request_id, statement, time_unix_nano });
            return;
        }
        if let Some(invocations) = &mut self.state.spans {
            invocations.note_statement(request_id, statement.clone());
        }
        self.aggregator.add_statement(request_id, statement, time_unix_nano);
    }
}
