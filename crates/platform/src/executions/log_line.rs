//! Reads the log events of a state machine: one event of an execution's history each, as one JSON text.
//!
//! Source: Step Functions Developer Guide, "Logging using CloudWatch Logs"; recordings of LocalStack's tests on AWS
//! (`tests/aws/services/stepfunctions/v2/logs`).

use super::event::{TextBudget, read_log_event};
use super::logged::ExpressEvent;
use super::status::{Workflow, is_machine_execution};
use crate::executions::ids;
use crate::identity::Identity;
use crate::names;
use crate::names::step_functions as own;
use crate::read::crash::Exception;
use crate::read::exceptions;
use crate::read::fields::{Fields, text_of};
use crate::read::ids::{TraceIds, canonical, is_uuid};
use crate::read::line::{
    FunctionLine, LineFields, MAX_ATTRIBUTES, Value, json_object, line_fields,
};
use crate::read::severity::Severity;
use std::borrow::Cow;
use wire::arn::Arn;

/// A log event of a state machine.
#[derive(Debug)]
pub(crate) struct HistoryLine<'a> {
    /// When the event happened, in milliseconds since the Unix epoch.
    pub(crate) time_ms: i64,
    /// The content of its record.
    pub(crate) line: FunctionLine<'a>,
    /// The same event, if its execution has no other history.
    pub(crate) express: Option<Box<ExpressEvent>>,
}

/// Reads a line of a state machine's log stream. `None` for any other line, also if it names an execution of another machine: the
/// stream, which Step Functions names, decides whose executions it has. `budget` limits the error of an Express execution.
pub(crate) fn read<'a>(
    identity: &Identity,
    message: &'a str,
    mut budget: TextBudget,
) -> Option<HistoryLine<'a>> {
    let machine = identity.state_machine.as_deref()?;
    let text = message.trim_ascii();
    if !text.starts_with("{\"") {
        return None;
    }
    let fields = Fields::of(text)?;
    let kind = fields.text("type").filter(|kind| is_type(kind))?;
    let id = fields.text("id").filter(|id| is_number(id))?;
    let time_ms = fields.text("event_timestamp").filter(|time| is_number(time))?.parse().ok()?;
    let arn = fields.text("execution_arn")?;
    let workflow = find_workflow(identity, machine, &arn)?;
    let details = fields.get("details").map_or("{}", |details| details.get());
    let details = Fields::of(details)?;
    let express = (workflow == Workflow::Express && is_machine_execution(&arn))
        .then(|| read_log_event(&fields, &details, &mut budget))
        .flatten()
        .map(|event| Box::new(ExpressEvent { execution_arn: arn.as_ref().into(), event }));
    let mut details = line_fields(details);

    let mut attributes: Vec<(Cow<'a, str>, Value<'a>)> = Vec::new();
    let mut add = |key: &'static str, text: Cow<'a, str>| {
        attributes.push((Cow::Borrowed(key), Value::Text(text)));
    };
    add(own::EVENT_TYPE, kind.clone());
    add(own::EVENT_ID, id);
    for (key, attribute) in
        [("previous_event_id", own::PREVIOUS_EVENT_ID), ("redrive_count", own::REDRIVE_COUNT)]
    {
        if let Some(number) = fields.text(key).filter(|number| is_number(number)) {
            add(attribute, number);
        }
    }
    let trace_id = ids::trace_of_machine(&arn);
    add(own::EXECUTION_ARN, arn);
    let state = text_in(&details, "name");
    let body = match &state {
        Some(name) => Cow::Owned(format!("{kind} {name}")),
        None => kind.clone(),
    };
    if let Some(name) = state {
        add(own::STATE_NAME, name.into());
        details.retain(|field| field.key != "name");
    }
    let failure = Failure::take(&mut details, is_failure(&kind));
    keep_details(details, &mut attributes);
    let line = FunctionLine {
        severity: Some(if is_failure(&kind) { Severity::ERROR } else { Severity::INFO }),
        message: Some(body),
        request_id: failure.request_id.map(Cow::Owned),
        trace: Some(TraceIds { trace_id, span_id: None }),
        attributes,
        exception: failure.exception.map(Box::new),
        ..FunctionLine::default()
    };
    Some(HistoryLine { time_ms, line, express })
}

/// Returns `true` for the types that Step Functions logs at level ERROR.
pub(crate) fn is_failure(kind: &str) -> bool {
    kind == "FailStateEntered"
        || ["Failed", "Aborted", "TimedOut"].iter().any(|end| kind.ends_with(end))
}

fn is_type(kind: &str) -> bool {
    const MAX_BYTES: usize = 64;
    kind.len() <= MAX_BYTES
        && kind.starts_with(|first: char| first.is_ascii_uppercase())
        && kind.bytes().all(|byte| byte.is_ascii_alphabetic())
}

fn is_number(text: &str) -> bool {
    (1..=15).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The type of the machine, if the ARN is that of an execution of this machine in the log group's account and region.
fn find_workflow(identity: &Identity, machine: &str, arn: &str) -> Option<Workflow> {
    let is_same = |known: &Option<String>, own: &str| known.as_ref().is_none_or(|it| it == own);
    let arn = Arn::parse(arn).filter(|arn| arn.service == "states")?;
    let (workflow, execution) = Workflow::split(arn.resource)?;
    let rest = execution.strip_prefix(machine)?;
    // A child of a Distributed Map: `MACHINE/LABEL:NAME`
    let is_own = rest.starts_with([':', '/'])
        && is_same(&identity.account, arn.account)
        && is_same(&identity.region, arn.region);
    is_own.then_some(workflow)
}

fn text_in(fields: &LineFields<'_>, key: &str) -> Option<String> {
    fields.iter().find(|field| field.key == key)?.value.text().map(str::to_owned)
}

/// The type of an error that has a cause and no name.
const UNNAMED: &str = "States.Failed";

/// What `error` and `cause` say.
#[derive(Debug, Default)]
pub(crate) struct Failure {
    pub(crate) exception: Option<Exception>,
    /// The failed invocation.
    pub(crate) request_id: Option<String>,
}

impl Failure {
    /// Takes `error` and `cause` out of the details of a failed event.
    fn take(details: &mut LineFields<'_>, is_failure: bool) -> Self {
        let error = text_in(details, "error");
        let cause = text_in(details, "cause");
        if !is_failure || error.is_none() && cause.is_none() {
            return Self::default();
        }
        details.retain(|field| !matches!(field.key.as_ref(), "error" | "cause"));
        Self::read(error.as_deref(), cause.as_deref())
    }

    /// Reads an error's name and its cause. For a function, that is the error's JSON with the failed invocation's request id.
    pub(crate) fn read(error: Option<&str>, cause: Option<&str>) -> Self {
        let of_lambda = cause.filter(|cause| cause.starts_with('{')).and_then(|cause| {
            let fields = Fields::of(cause)?;
            fields.get("errorMessage").or_else(|| fields.get("errorType"))?;
            let request_id = fields.get("requestId").and_then(text_of).filter(|id| is_uuid(id));
            Some((exceptions::read_error(cause), request_id.map(|id| canonical(&id).into_owned())))
        });
        let (stated, request_id) = of_lambda.unwrap_or_default();
        let named = error.filter(|error| !error.is_empty());
        let exception = match stated {
            Some(stated) => Exception { kind: named.map_or(stated.kind, str::to_owned), ..stated },
            None => Exception {
                kind: named.unwrap_or(UNNAMED).to_owned(),
                message: cause.filter(|cause| !cause.is_empty()).map(str::to_owned),
                stacktrace: None,
            },
        };
        Self { exception: Some(exception), request_id }
    }
}

/// Adds the other details as attributes, up to the limit of all lines.
fn keep_details<'a>(details: LineFields<'a>, attributes: &mut Vec<(Cow<'a, str>, Value<'a>)>) {
    let mut rest = Vec::new();
    for field in details {
        let key = format!("{}{}", own::DETAILS, field.key);
        let is_plain =
            !field.key.is_empty() && field.key.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let is_taken = attributes.iter().any(|(taken, _)| *taken == key);
        if is_taken || !is_plain || attributes.len() >= MAX_ATTRIBUTES {
            rest.push(field);
        } else if field.value.word() != "null" {
            attributes.push((Cow::Owned(key), field.value));
        }
    }
    if !rest.is_empty() {
        attributes.push((names::REST.into(), Value::Text(json_object(&rest).into())));
    }
}
