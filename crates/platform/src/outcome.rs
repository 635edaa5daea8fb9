//! Decides how an invocation ended.
//!
//! [`decide`] is the only place that does. The table of [`invocations`](crate::invocations) has the [`OutcomeEvidence`] of each one.
//!
//! | evidence, the strongest first | says |
//! |---|---|
//! | status of the report, then of `platform.runtimeDone` | timeouts, crashes, exhausted memory |
//! | the root span of our library or the layer's wrapper | how the handler ended |
//! | Lambda's line: `Task timed out …`, `Runtime exited …` | the same, in the older notation; void if the report says success, or that span does and nothing proves the line |
//! | the runtime's own line of the request | an error of the handler; void if that span says success |
//! | the failure in a span of another instrumentation | the same, also if the runtime prints no certain line |
//! | the reason for which the environment ended | a timeout or a failure |
//! | success in the report or `platform.runtimeDone` | no failure that Lambda sees |
//!
//! On AWS, `platform.runtimeDone` has the status `success` when the handler failed and the runtime reported it (AWS's runtime
//! interface emulator at 4fa2157; aws-samples/aws-lambda-extensions #85). It may say `error` too. Both give the same outcome:
//! Lambda's success never outweighs a failure that the runtime or the function states.
//!
//! A function can print any text, and nobody else can write its root span. So a root span that ended well outweighs printed text, and
//! nothing outweighs the status of the report or of `platform.runtimeDone`: a response that Lambda refused fails the invocation after
//! its handler succeeded. In the older notation, reports have no status. There, a line of Lambda is proved by what the function can't
//! print ([`OutcomeEvidence::proves`]).

use crate::event::{EventKind, PlatformEvent};
use crate::read::runtime_error::Failure;
use opentelemetry_proto::tonic::trace::v1::Status;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use wire::{RootWriter, SpanIds};

/// The end of an invocation or a phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Unknown,
    /// Lambda says so. The handler may have failed unseen.
    Succeeded,
    Failed {
        error_type: String,
        message: Option<String>,
    },
}

/// The statement of one event of Lambda.
#[derive(Clone, Debug, PartialEq)]
enum Statement {
    Succeeded,
    Failed { failure: Failure, kind: EventKind, status: Option<String>, timeout_ms: Option<f64> },
}

impl Statement {
    /// `None` for an event without a status.
    fn of(event: &PlatformEvent) -> Option<Self> {
        if event.is_failure() {
            let failure = Failure {
                error_type: event.counted_error_type().map(str::to_owned),
                message: event.message.clone(),
            };
            return Some(Self::Failed {
                failure,
                kind: event.kind.clone(),
                status: event.status.clone(),
                timeout_ms: event.figures.timeout_ms,
            });
        }
        event.status.is_some().then_some(Self::Succeeded)
    }

    fn has_failed(&self) -> bool {
        matches!(self, Self::Failed { .. })
    }

    /// Returns `true` for a failure with a type. A timeout is one: Lambda then ends the process, which is no other failure.
    fn states_type(&self) -> bool {
        match self {
            Self::Failed { failure, kind, status, .. } => {
                failure.error_type.as_deref().is_some_and(|own| !is_vague_type(own))
                    || *kind == EventKind::Timeout
                    || status.as_deref() == Some("timeout")
            }
            Self::Succeeded => false,
        }
    }

    /// Returns `true` for an error of the handler whose type Lambda does not know.
    fn is_vague(&self) -> bool {
        match self {
            Self::Failed { failure, status, .. } => match failure.error_type.as_deref() {
                Some(error_type) => is_vague_type(error_type),
                None => status.as_deref() == Some("error"),
            },
            Self::Succeeded => false,
        }
    }

    fn message(&self) -> Option<String> {
        match self {
            Self::Failed { failure, .. } => failure.message.clone(),
            Self::Succeeded => None,
        }
    }

    fn outcome(&self) -> Outcome {
        let Self::Failed { failure, kind, status, .. } = self else { return Outcome::Succeeded };
        let fallback = match kind {
            EventKind::Timeout => "timeout",
            EventKind::ExitError => "Runtime.ExitError",
            _ => status.as_deref().unwrap_or("_OTHER"),
        };
        let error_type = failure.error_type.as_deref().unwrap_or(fallback).to_owned();
        Outcome::Failed { error_type, message: failure.message.clone() }
    }
}

/// Returns `true` for the types by which Lambda means an error of the handler whose type it does not know.
pub fn is_vague_type(error_type: &str) -> bool {
    matches!(error_type, "Function.Unknown" | "Function.Unhandled" | "Runtime.Unknown")
}

/// What a function says about the end of its invocation, which Lambda may report as a success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FunctionStatement {
    /// The runtime's own line about a failure. A function can print it too.
    RuntimeLine(Failure),
    SpanFailed(Failure),
    /// The root span of our library or the layer's wrapper, which saw the handler succeed.
    SpanSucceeded(RootWriter),
}

impl FunctionStatement {
    /// The statement of a span that names its invocation.
    pub fn from_span(span: &SpanIds<'_>) -> Option<Self> {
        match &span.error {
            Some(error) if !Failure::is_result(error) => {
                Failure::from_span(error).map(Self::SpanFailed)
            }
            _ => span.complete_root_of.map(Self::SpanSucceeded),
        }
    }
}

/// The evidence about the end of one invocation. Of each kind the first counts: a function can print a runtime's line again.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct OutcomeEvidence {
    report: Option<Statement>,
    /// The duration in the report.
    reported_ms: Option<f64>,
    runtime_done: Option<Statement>,
    lambda_line: Option<Statement>,
    runtime_error: Option<Failure>,
    span_failure: Option<Failure>,
    succeeded_root: Option<RootWriter>,
    /// The error type of an environment's end.
    closed: Option<&'static str>,
}

impl OutcomeEvidence {
    /// Notes the statement of an event of the invocation, if it has one.
    pub(crate) fn note(&mut self, event: &PlatformEvent) {
        if event.kind == EventKind::Report {
            self.reported_ms = self.reported_ms.or(event.figures.duration_ms);
        }
        let Some(statement) = Statement::of(event) else { return };
        let known = match event.kind {
            EventKind::Report => &mut self.report,
            EventKind::RuntimeDone => &mut self.runtime_done,
            _ => &mut self.lambda_line,
        };
        // The first failure with an error type says most.
        let is_better = known.as_ref().is_none_or(|known| {
            statement.has_failed()
                && (!known.has_failed() || !known.states_type() && statement.states_type())
        });
        if is_better {
            *known = Some(statement);
        }
    }

    pub(crate) fn note_statement(&mut self, statement: FunctionStatement) {
        match statement {
            FunctionStatement::RuntimeLine(failure) => merge(&mut self.runtime_error, failure),
            FunctionStatement::SpanFailed(failure) => merge(&mut self.span_failure, failure),
            FunctionStatement::SpanSucceeded(writer) => self.succeeded_root = Some(writer),
        }
    }

    pub(crate) fn note_closed(&mut self, error_type: Option<&'static str>) {
        self.closed = self.closed.or(error_type);
    }

    pub(crate) fn of_events<'a>(events: impl Iterator<Item = &'a PlatformEvent>) -> Self {
        let mut evidence = Self::default();
        events.for_each(|event| evidence.note(event));
        evidence
    }

    /// The failure that the runtime or the function states, and not Lambda. Printed text only counts as one if nothing voids it.
    fn failure_of_function(&self) -> Option<&Failure> {
        self.details().filter(|_| !self.voids_text())
    }

    /// Type and message for a failure that Lambda states without them.
    fn details(&self) -> Option<&Failure> {
        self.runtime_error.as_ref().or(self.span_failure.as_ref())
    }

    /// Returns `true` if printed text proves nothing, because the function's own root span ended well.
    fn voids_text(&self) -> bool {
        self.succeeded_root.is_some() && self.span_failure.is_none()
    }

    /// Lambda's line, unless the function may have printed it: it succeeded, and nothing proves the line.
    fn valid_lambda_line(&self) -> Option<&Statement> {
        let is_valid = |line: &&Statement| {
            self.report != Some(Statement::Succeeded) && (!self.voids_text() || self.proves(line))
        };
        self.lambda_line.as_ref().filter(is_valid)
    }

    /// Returns `true` for a line that a function whose root span ended well can't have printed, or that something proves:
    ///
    /// - a timeout that the report's duration reaches
    /// - the end of a process in whose root span our library says success: a response that can't be serialized ends the process
    ///   after the handler. Lambda's event has two lines, and of two lines that such a function prints Lambda makes two events.
    fn proves(&self, line: &Statement) -> bool {
        /// Lambda states a timeout in hundredths of a second.
        const ROUNDED_MS: f64 = 10.0;
        let Statement::Failed { failure, kind, timeout_ms, .. } = line else { return false };
        match kind {
            EventKind::Timeout => self
                .reported_ms
                .zip(*timeout_ms)
                .is_some_and(|(reported, timeout)| reported + ROUNDED_MS > timeout),
            EventKind::ExitError | EventKind::OutOfMemory => {
                self.succeeded_root == Some(RootWriter::Library) && failure.error_type.is_some()
            }
            _ => false,
        }
    }
}

/// Keeps the first failure, and fills in what it lacks: Ruby's runtime prints words first, then the error.
pub(crate) fn merge(place: &mut Option<Failure>, failure: Failure) {
    match place {
        Some(known) if known.error_type.is_none() && known.message.is_none() => *known = failure,
        Some(_) => {}
        None => *place = Some(failure),
    }
}

/// The outcome of an invocation or a phase, from all its evidence.
pub(crate) fn decide(evidence: &OutcomeEvidence) -> Outcome {
    let by_lambda =
        [evidence.report.as_ref(), evidence.runtime_done.as_ref(), evidence.valid_lambda_line()];
    let failures = || by_lambda.into_iter().flatten().filter(|statement| statement.has_failed());
    let failure_by_lambda =
        failures().find(|failure| failure.states_type()).or_else(|| failures().next());
    if let Some(by_lambda) = failure_by_lambda.filter(|failure| failure.is_vague())
        && let Some(details) = evidence.details()
    {
        return conclude(details, by_lambda);
    }
    match (failure_by_lambda, evidence.failure_of_function()) {
        (Some(by_lambda), _) => match by_lambda.outcome() {
            Outcome::Failed { error_type, message } => {
                // The report has no message, and Lambda's line has one.
                let message = message.or_else(|| failures().find_map(Statement::message));
                Outcome::Failed { error_type, message }
            }
            other => other,
        },
        (None, Some(by_function)) => conclude(by_function, &Statement::Succeeded),
        (None, None) => match evidence.closed {
            Some(error_type) => {
                Outcome::Failed { error_type: error_type.to_owned(), message: None }
            }
            None if by_lambda.into_iter().flatten().next().is_some() => Outcome::Succeeded,
            None => Outcome::Unknown,
        },
    }
}

/// The outcome of a failure that the function states, with the type that Lambda states if the function knows none and Lambda does.
fn conclude(failure: &Failure, by_lambda: &Statement) -> Outcome {
    let stated = match by_lambda {
        Statement::Failed { failure, .. } => {
            failure.error_type.as_ref().filter(|stated| !is_vague_type(stated))
        }
        Statement::Succeeded => None,
    };
    let error_type = failure.error_type.as_ref().or(stated);
    Outcome::Failed {
        error_type: error_type.map_or_else(|| "_OTHER".to_owned(), String::clone),
        message: failure.message.clone(),
    }
}

impl Outcome {
    /// The outcome of an init phase, a restore, or a part of an invocation.
    pub(crate) fn of_events<'a>(events: impl Iterator<Item = &'a PlatformEvent>) -> Self {
        decide(&OutcomeEvidence::of_events(events))
    }

    /// The status of a span. `knows_success` is `false` for invocations, of which Lambda also calls failed ones a success.
    pub(crate) fn to_otlp(&self, knows_success: bool) -> Status {
        match self {
            Self::Succeeded if knows_success => {
                Status { code: StatusCode::Ok as i32, ..Status::default() }
            }
            Self::Unknown | Self::Succeeded => Status::default(),
            Self::Failed { error_type, message } => Status {
                code: StatusCode::Error as i32,
                message: message.clone().unwrap_or_else(|| error_type.clone()),
            },
        }
    }
}
