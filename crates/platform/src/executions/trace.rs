//! Writes the spans of an execution.

use super::durable::find_function_name;
use super::event::FailureText;
use super::ids;
use super::log_line::Failure;
use super::operation::{Attempt, AttributeValue, Ending, Operation, Outcome};
use super::status::{EndedExecution, ExecutionKind};
use crate::attributes::{integer, scope, string};
use crate::names;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use wire::arn::Arn;
use wire::ids::XRayHeader;
use wire::{Request, Signal as _, Traces};

/// The scope of the spans of executions.
const SCOPE: &str = "lambda-otlp/executions";
/// Spans of a request. One with all 12,000 spans of the longest history would be copied a few times on its way.
const MAX_SPANS: usize = 1_000;

/// Writes the spans of an execution, the execution's own first.
pub(crate) struct TraceWriter<'e> {
    execution: &'e EndedExecution,
    /// The name of the service, if it isn't that of machine or function.
    service_name: Option<&'e str>,
    trace_id: [u8; 16],
    span_id: [u8; 8],
    spans: Vec<Span>,
    requests: Vec<Request>,
}

/// What the history says about the whole execution.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    pub(crate) failure: Option<FailureText>,
    pub(crate) redrive_count: Option<u32>,
    pub(crate) events: Vec<Event>,
    pub(crate) dropped_events: u32,
}

impl<'e> TraceWriter<'e> {
    pub(crate) fn begin(
        execution: &'e EndedExecution,
        service_name: Option<&'e str>,
        whole: Whole,
    ) -> Self {
        let arn = &execution.arn;
        let (trace_id, span_id) = match execution.kind {
            ExecutionKind::StateMachine => (ids::trace_of_machine(arn), ids::span_id(arn)),
            ExecutionKind::DurableFunction => {
                let header = execution.trace_header.as_deref().map(XRayHeader::parse);
                let sampled = header.filter(|header| header.sampled == Some(true));
                let trace_id = sampled
                    .and_then(|header| header.trace_id)
                    .unwrap_or_else(|| ids::trace_of_durable(arn, execution.started_unix_nano));
                (trace_id, ids::span_of_durable(arn))
            }
        };
        let spans = Vec::new();
        let requests = Vec::new();
        let mut writer = Self { execution, service_name, trace_id, span_id, spans, requests };
        writer.add_execution(whole);
        writer
    }

    fn add_execution(&mut self, whole: Whole) {
        let Whole { failure, redrive_count, events, dropped_events } = whole;
        let execution = self.execution;
        let of_event = FailureText {
            error: execution.error.as_deref().map(Into::into),
            cause: execution.cause.as_deref().map(Into::into),
            stacktrace: None,
        };
        let failure = failure.or_else(|| (of_event != FailureText::default()).then_some(of_event));
        let (outcome, ended) = (execution.outcome, execution.ended_unix_nano);
        let (arn_key, status_key) = match execution.kind {
            ExecutionKind::StateMachine => {
                (names::step_functions::EXECUTION_ARN, names::step_functions::STATUS)
            }
            ExecutionKind::DurableFunction => (names::durable::ARN, names::durable::STATUS),
        };
        let status = match (execution.kind, outcome) {
            (ExecutionKind::DurableFunction, Outcome::Aborted) => "STOPPED",
            _ => outcome.as_str(),
        };
        let mut attributes = vec![string(arn_key, &execution.arn), string(status_key, status)];
        let redrives = redrive_count.filter(|count| *count > 0);
        let redrive_key = names::step_functions::REDRIVE_COUNT;
        attributes.extend(redrives.map(|count| integer(redrive_key, count.into())));
        let map_run_arn = execution.map_run_arn.as_deref();
        attributes.extend(map_run_arn.map(|arn| string(names::step_functions::MAP_RUN_ARN, arn)));
        let mut span = Span {
            name: format!("{} execution", execution.name()),
            kind: SpanKind::Internal as i32,
            start_time_unix_nano: execution.started_unix_nano,
            attributes,
            events,
            dropped_events_count: dropped_events,
            ..self.span(self.span_id, None)
        };
        // Somebody stopped it on purpose, but nobody has its result.
        let is_stopped = outcome == Outcome::Aborted;
        let of_stop = || FailureText { error: Some(status.into()), ..FailureText::default() };
        let ending = Ending {
            unix_nano: ended,
            outcome: if is_stopped { Outcome::Failed } else { outcome },
            failure: failure.or_else(|| is_stopped.then(of_stop)),
        };
        end(&mut span, &ending);
        span.links.extend(execution.started_by.as_deref().map(|arn| Link {
            trace_id: ids::trace_of_machine(arn).to_vec(),
            span_id: ids::span_id(arn).to_vec(),
            attributes: vec![string(names::step_functions::EXECUTION_ARN, arn)],
            ..Link::default()
        }));
        self.push(span);
    }

    pub(crate) fn add(&mut self, operation: Operation) {
        let Operation { span_id, parent, name, start_unix_nano, ending, attempts, .. } = operation;
        let kind = if operation.is_call { SpanKind::Client } else { SpanKind::Internal };
        let attempt_attributes = called_function(&operation.attributes);
        let mut attributes: Vec<KeyValue> =
            operation.attributes.into_iter().map(|(key, value)| attribute(key, value)).collect();
        attributes.extend(attempt_attributes.iter().cloned());
        let mut span = Span {
            name: name.to_string(),
            kind: kind as i32,
            start_time_unix_nano: start_unix_nano,
            attributes,
            ..self.span(span_id, parent.or(Some(self.span_id)))
        };
        let latest = ending.unix_nano;
        end(&mut span, &ending);
        self.push(span);
        for Attempt { span_id: own, number, start_unix_nano, ending } in attempts {
            let attempt_key = match self.execution.kind {
                ExecutionKind::StateMachine => names::step_functions::ATTEMPT,
                ExecutionKind::DurableFunction => names::durable::ATTEMPT,
            };
            let mut attributes = vec![integer(attempt_key, number.into())];
            attributes.extend(attempt_attributes.iter().cloned());
            let mut span = Span {
                name: format!("{name} attempt"),
                kind: kind as i32,
                start_time_unix_nano: start_unix_nano,
                attributes,
                ..self.span(own, Some(span_id))
            };
            let cut = Ending { unix_nano: latest, outcome: Outcome::Aborted, failure: None };
            end(&mut span, &ending.unwrap_or(cut));
            self.push(span);
        }
    }

    fn span(&self, span_id: [u8; 8], parent: Option<[u8; 8]>) -> Span {
        Span {
            trace_id: self.trace_id.to_vec(),
            span_id: span_id.to_vec(),
            parent_span_id: parent.map(Vec::from).unwrap_or_default(),
            ..Span::default()
        }
    }

    fn push(&mut self, span: Span) {
        self.spans.push(span);
        if self.spans.len() >= MAX_SPANS {
            self.write();
        }
    }

    fn write(&mut self) {
        if self.spans.is_empty() {
            return;
        }
        let scope_spans = vec![ScopeSpans {
            scope: Some(scope(SCOPE)),
            spans: std::mem::take(&mut self.spans),
            ..ScopeSpans::default()
        }];
        let resource = Some(resource(self.execution, self.service_name));
        let spans = ResourceSpans { resource, scope_spans, ..ResourceSpans::default() };
        self.requests.push(Request::encode::<Traces>(&Traces::request(vec![spans])));
    }

    pub(crate) fn finish(mut self) -> Vec<Request> {
        self.write();
        self.requests
    }
}

/// Sets end, status and exception.
fn end(span: &mut Span, Ending { unix_nano, outcome, failure }: &Ending) {
    span.end_time_unix_nano = (*unix_nano).max(span.start_time_unix_nano);
    let is_failed = matches!(outcome, Outcome::Failed | Outcome::TimedOut);
    let Some(FailureText { error, cause, stacktrace }) = failure.as_ref().filter(|_| is_failed)
    else {
        if is_failed {
            fail(span, outcome.as_str(), "");
        }
        return;
    };
    let Failure { exception, request_id } = Failure::read(error.as_deref(), cause.as_deref());
    span.attributes.extend(request_id.map(|id| string(names::FAAS_INVOCATION_ID, id)));
    let Some(exception) = exception else { return };
    let stack = exception.stacktrace.or_else(|| stacktrace.as_deref().map(str::to_owned));
    let texts = [
        (names::EXCEPTION_TYPE, Some(exception.kind.as_str())),
        (names::EXCEPTION_MESSAGE, exception.message.as_deref()),
        (names::EXCEPTION_STACKTRACE, stack.as_deref()),
    ];
    span.events.push(Event {
        time_unix_nano: span.end_time_unix_nano,
        name: "exception".to_owned(),
        attributes: texts.iter().filter_map(|(key, text)| Some(string(key, (*text)?))).collect(),
        ..Event::default()
    });
    fail(span, &exception.kind, exception.message.as_deref().unwrap_or_default());
}

fn fail(span: &mut Span, error_type: &str, message: &str) {
    span.attributes.push(string(names::ERROR_TYPE, error_type));
    span.status = Some(Status { code: StatusCode::Error as i32, message: message.to_owned() });
}

fn attribute(key: &str, value: AttributeValue) -> KeyValue {
    match value {
        AttributeValue::Text(text) => string(key, text),
        AttributeValue::Int(number) => integer(key, number.into()),
    }
}

/// What the conventions say about a call of a function.
fn called_function(attributes: &[(&'static str, AttributeValue)]) -> Vec<KeyValue> {
    let mut of_task = attributes.iter().filter(|(key, _)| *key == names::step_functions::RESOURCE);
    let Some((_, AttributeValue::Text(resource))) = of_task.next() else { return Vec::new() };
    let Some(arn) = Arn::parse(resource).filter(|arn| arn.function().is_some()) else {
        return Vec::new();
    };
    vec![
        string(names::FAAS_INVOKED_NAME, find_function_name(resource)),
        string(names::FAAS_INVOKED_PROVIDER, "aws"),
        string(names::FAAS_INVOKED_REGION, arn.region),
    ]
}

fn resource(execution: &EndedExecution, service_name: Option<&str>) -> Resource {
    let name = execution.name();
    let mut attributes = vec![
        string(names::SERVICE_NAME, service_name.unwrap_or(name)),
        string(names::CLOUD_PROVIDER, "aws"),
        string(names::CLOUD_REGION, execution.region()),
        string(names::CLOUD_ACCOUNT_ID, execution.account()),
    ];
    match (execution.kind, execution.arn_parts()) {
        (ExecutionKind::StateMachine, Some(Arn { partition, region, account, .. })) => {
            let arn = format!("arn:{partition}:states:{region}:{account}:stateMachine:{name}");
            attributes.push(string(names::step_functions::STATE_MACHINE_ARN, arn));
        }
        (ExecutionKind::DurableFunction, arn) => {
            attributes.push(string(names::CLOUD_PLATFORM, "aws_lambda"));
            attributes.push(string(names::FAAS_NAME, name));
            let qualifier = arn.and_then(|arn| arn.function()).and_then(|name| name.qualifier);
            let version = qualifier.and_then(|text| text.split('/').next());
            attributes.extend(version.map(|version| string(names::FAAS_VERSION, version)));
        }
        (ExecutionKind::StateMachine, None) => {}
    }
    Resource { attributes, ..Resource::default() }
}
