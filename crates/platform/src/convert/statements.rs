//! What lines and spans say about the ends of invocations.

use super::Converter;
use crate::event::{EventKind, PlatformEvent};
use crate::invocations::{LastWords, LineInvocation};
use crate::logs::LogEventRef;
use crate::metrics::aggregator::failure_in;
use crate::outcome::FunctionStatement;
use crate::read::ids::request_id_of;
use crate::read::line::{FunctionLine, function_line};
use crate::read::runtime_error::{Failure, Proof, RuntimeError};
use crate::read::runtime_text::is_out_of_memory;
use crate::read::severity::Severity;
use crate::recent::EarlierFacts;
use std::collections::{BTreeMap, BTreeSet};
use wire::SpanError;

/// What the function said about the end of one of its invocations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvocationStatement {
    pub request_id: String,
    pub statement: FunctionStatement,
    pub time_unix_nano: u64,
}

/// The records of errors, to have one of each.
#[derive(Debug, Default)]
pub(super) struct ErrorRecords {
    of_runtime: Vec<RuntimeRecord>,
    /// By the request ids of their invocations.
    of_library: BTreeMap<String, LibraryRecord>,
}

/// The record that the runtime's line became.
#[derive(Debug)]
struct RuntimeRecord {
    position: usize,
    request_id: String,
    /// The error as its type's `Debug` writes it.
    message: String,
}

/// The record of the library.
#[derive(Debug)]
struct LibraryRecord {
    error_type: String,
    /// The error as its type's `Display` writes it.
    message: String,
}

impl LibraryRecord {
    /// Returns `true` if this `Debug` output is that of the same error: the text in quotes, or with more after it, or the name of the
    /// type with its fields.
    fn is_shown_as(&self, debug: &str) -> bool {
        let quoted = debug.len() > 1 && debug == format!("{:?}", self.message);
        let name = self.error_type.rsplit("::").next().unwrap_or_default();
        let has_name = !name.is_empty() && name != "_OTHER" && debug.starts_with(name);
        quoted || has_name || !self.message.is_empty() && debug.starts_with(&self.message)
    }
}

/// One record of each error.
impl Converter {
    /// Notes that our library wrote a record of the handler's error.
    pub fn note_error_record(&mut self, request_id: &str, error: &SpanError<'_>) {
        let SpanError { error_type, message } = *error;
        let record =
            LibraryRecord { error_type: error_type.to_owned(), message: message.to_owned() };
        self.errors.of_library.insert(request_id_of(request_id), record);
    }

    /// Returns `true` if [`Self::note_error_record`] may still change a record: the runtime's line about an error became one.
    pub fn awaits_error_records(&self) -> bool {
        !self.errors.of_runtime.is_empty()
    }

    /// Removes the records of errors of which the library wrote one too. Such a function has a subscriber that prints the runtime's
    /// event.
    pub(super) fn remove_repeated_errors(&mut self) {
        let ErrorRecords { of_runtime, of_library } = &self.errors;
        let is_repeated = |record: &&RuntimeRecord| {
            let of_library = of_library.get(&record.request_id);
            of_library.is_some_and(|own| own.is_shown_as(&record.message))
        };
        let repeated = of_runtime.iter().filter(is_repeated);
        let positions: BTreeSet<usize> = repeated.map(|record| record.position).collect();
        self.consumed.repeated_errors += positions.len();
        self.line_records.remove(&positions);
        self.invocations.forget_records();
    }

    fn note_error_of_runtime(
        &mut self,
        request_id: &str,
        position: Option<usize>,
        failure: &Failure,
    ) {
        let Some((position, message)) = position.zip(failure.message.clone()) else { return };
        let request_id = request_id.to_owned();
        self.errors.of_runtime.push(RuntimeRecord { position, request_id, message });
    }
}

impl Converter {
    /// Notes what a span of the function says about the end of its invocation. Only an invocation that Lambda's lines name counts.
    pub fn note_span_statement(&mut self, request_id: &str, statement: FunctionStatement) {
        let request_id = request_id_of(request_id);
        let is_known =
            self.invocations.is_counted(&request_id) || self.invocations.is_running(&request_id);
        if is_known {
            self.add_statement(&request_id, statement, self.observed_unix_nano);
        }
    }

    /// Notes a line of the function, for a caller of [`Self::counted_elsewhere`].
    pub fn note_printed_line(&mut self, text: &str, time_unix_nano: u64) {
        let error = RuntimeError::read(text);
        if error.is_some() || self.invocations.has_last_words() {
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
        if error.is_some() || self.invocations.has_last_words() {
            self.note_runtime_line(line.request_id.as_deref(), error, event.time_unix_nano());
        }
        if is_out_of_memory(event.message) {
            let request_id = line.request_id.as_deref().or(self.invocations.only_running());
            let request_id = request_id.map(str::to_owned);
            self.aggregator.add_out_of_memory(
                &mut self.invocations,
                request_id.as_deref(),
                event.time_unix_nano(),
            );
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
        let invocations = &mut self.invocations;
        if invocations.has_last_words()
            && let Some(request_id) = named.or(invocations.only_running()).map(str::to_owned)
        {
            invocations.take_last_words(&request_id);
        }
        let Some(RuntimeError { request_id, failure, proof }) = error else { return };
        // The line has just become a record.
        let record = self.line_records.last_position();
        match (invocations.invocation_of_line(request_id.as_deref()), proof) {
            (LineInvocation::Running(request_id), Proof::Certain) => {
                let request_id = request_id.to_owned();
                self.note_error_of_runtime(&request_id, record, &failure);
                let statement = FunctionStatement::RuntimeLine(failure);
                self.add_statement(&request_id, statement, time_unix_nano);
            }
            (LineInvocation::Running(request_id), Proof::IfLast) => {
                let words = LastWords { failure, record };
                let request_id = request_id.to_owned();
                invocations.set_last_words(&request_id, words);
            }
            (LineInvocation::Unknown, Proof::Certain) => {
                self.invocations.unnamed_failure.get_or_insert_with(|| Box::new(failure));
            }
            (LineInvocation::Unknown | LineInvocation::None, _) => {}
        }
    }

    /// Counts the runtime's line after which the invocation of this event printed nothing more.
    pub(super) fn end_last_words(&mut self, platform: &PlatformEvent, time_unix_nano: u64) {
        if !self.invocations.has_last_words() {
            return;
        }
        let Some(request_id) = &platform.request_id else { return };
        let is_end =
            matches!(platform.kind, EventKind::End | EventKind::RuntimeDone | EventKind::Report);
        if let Some(words) = self.invocations.take_last_words(request_id).filter(|_| is_end) {
            let LastWords { failure, record } = words;
            self.note_error_of_runtime(request_id, record, &failure);
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
                let is_known = self.invocations.is_running(request_id);
                let earlier = if is_known { None } else { recent.find(&self.identity, request_id) };
                let Some(EarlierFacts { has_span, counted_failure }) = earlier else { return };
                if has_span {
                    self.invocations.add_earlier_root(request_id);
                }
                if let Some(failure) = counted_failure {
                    let statement = FunctionStatement::RuntimeLine(failure);
                    self.invocations.add_counted_failure(request_id, statement, time_unix_nano);
                }
            }
            _ => {}
        }
    }

    /// Remembers what this delivery says about invocations whose report it does not have.
    pub(super) fn remember(&self) {
        let Some(recent) = &self.recent else { return };
        let invocations = &self.invocations;
        for (request_id, evidence) in invocations.counted_failures() {
            let Some(failure) = failure_in(evidence) else { continue };
            recent.remember(&self.identity, request_id, |facts| {
                facts.counted_failure = Some(failure);
            });
        }
        if invocations.makes_spans() {
            for request_id in invocations.with_root().filter(|id| !invocations.is_reported(id)) {
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
        if self.invocations.unnamed_failure.is_none() {
            return;
        }
        match (&platform.kind, &platform.request_id) {
            (EventKind::Start, _) => self.invocations.unnamed_failure = None,
            (EventKind::Report, Some(request_id)) => {
                if let Some(failure) = self.invocations.unnamed_failure.take() {
                    let statement = FunctionStatement::RuntimeLine(*failure);
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
        self.aggregator.add_statement(&mut self.invocations, request_id, statement, time_unix_nano);
    }
}
