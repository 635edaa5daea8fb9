//! Decides how an invocation ended.
//!
//! [`decide`] is the only place that does. Metrics, spans, forwarder and extension collect the [`OutcomeEvidence`] that they see.
//!
//! | evidence, the strongest first | says |
//! |---|---|
//! | status of the report, then of `platform.runtimeDone` | timeouts, crashes, exhausted memory |
//! | the root span of our library or the layer's wrapper | how the handler ended |
//! | Lambda's line: `Task timed out …`, `Runtime exited …` | the same, in the older notation; void if the report or that span says success |
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
//! its handler succeeded.

use crate::event::{EventKind, PlatformEvent};
use crate::read::runtime_error::Failure;
use opentelemetry_proto::tonic::trace::v1::Status;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use wire::SpanIds;

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
#[derive(Clone, Debug, PartialEq, Eq)]
enum Statement {
    Succeeded,
    Failed { failure: Failure, kind: EventKind, status: Option<String> },
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
            Self::Failed { failure, kind, status } => {
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
        let Self::Failed { failure, kind, status } = self else { return Outcome::Succeeded };
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
    SpanSucceeded,
}

impl FunctionStatement {
    /// The statement of a span that names its invocation.
    pub fn from_span(span: &SpanIds<'_>) -> Option<Self> {
        match &span.error {
            Some(error) if Failure::is_result(error) => {
                span.is_complete_root_of_ours.then_some(Self::SpanSucceeded)
            }
            Some(error) => Failure::from_span(error).map(Self::SpanFailed),
            None => span.is_complete_root_of_ours.then_some(Self::SpanSucceeded),
        }
    }
}

/// The evidence about the end of one invocation. Of each kind the first counts: a function can print a runtime's line again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OutcomeEvidence {
    report: Option<Statement>,
    runtime_done: Option<Statement>,
    lambda_line: Option<Statement>,
    runtime_error: Option<Failure>,
    span_failure: Option<Failure>,
    span_succeeded: bool,
    /// The error type of an environment's end.
    closed: Option<&'static str>,
}

impl OutcomeEvidence {
    /// Notes the statement of an event of the invocation, if it has one.
    pub(crate) fn note(&mut self, event: &PlatformEvent) {
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
            FunctionStatement::SpanSucceeded => self.span_succeeded = true,
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
        self.span_succeeded && self.span_failure.is_none()
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
    let reports_success = evidence.report == Some(Statement::Succeeded);
    let is_void = reports_success || evidence.voids_text();
    let lambda_line = evidence.lambda_line.as_ref().filter(|_| !is_void);
    let by_lambda = [evidence.report.as_ref(), evidence.runtime_done.as_ref(), lambda_line];
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

/// The outcome of a failure that the function states, with the type that Lambda states if the function knows none.
fn conclude(failure: &Failure, by_lambda: &Statement) -> Outcome {
    let stated = match by_lambda {
        Statement::Failed { failure, .. } => failure.error_type.as_ref(),
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
