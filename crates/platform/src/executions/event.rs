//! The events of an execution's history, in one form for state machines and durable functions.
//!
//! Source: the service models of Step Functions (`GetExecutionHistory`) and Lambda (`GetDurableExecutionHistory`), and recordings of
//! LocalStack's tests on AWS (`tests/aws/services/stepfunctions/v2`).

use super::status::find_starter;
use crate::read::fields::{Elements, Fields, text_of};
use crate::read::ids::{canonical, is_uuid};
use serde_json::value::RawValue;

/// An event. AWS numbers those of an execution from 1.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HistoryEvent {
    pub(crate) id: u64,
    pub(crate) time_unix_nano: u64,
    /// AWS's name: `TaskStateEntered`, `StepFailed`.
    pub(crate) kind: Box<str>,
    pub(crate) place: Place,
    /// The name of its state or operation.
    pub(crate) name: Option<Box<str>>,
    pub(crate) details: Option<Box<Details>>,
}

/// How an event says what it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Place {
    /// A state machine's event follows another one, its cause; 0 at the beginning.
    After(u64),
    /// A durable function's event names its operation and the operation around it.
    Of { operation: Option<Box<str>>, parent: Option<Box<str>> },
}

/// What some events have.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Details {
    pub(crate) failure: Option<FailureText>,
    /// What a task calls: the ARN of a function or activity, or the name of an action such as `invoke`.
    pub(crate) resource: Option<Box<str>>,
    /// The service of an action: `lambda`.
    pub(crate) resource_type: Option<Box<str>>,
    /// The position of a Map's iteration.
    pub(crate) index: Option<u32>,
    pub(crate) map_run_arn: Option<Box<str>>,
    pub(crate) redrive_count: Option<u32>,
    /// `Step`, `Map`, `WaitForCallback` of a durable operation.
    pub(crate) sub_type: Option<Box<str>>,
    /// `true` if an operation is attempted again after this failure.
    pub(crate) is_retried: bool,
    /// The durable execution that an operation started.
    pub(crate) started_arn: Option<Box<str>>,
    pub(crate) invocation: Option<CompletedInvocation>,
    /// The execution that started this one, if the input names it. Only log events have the input.
    pub(crate) started_by: Option<Box<str>>,
}

impl HistoryEvent {
    /// The memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        let of_details = self.details.as_ref().map_or(0, |details| details.bytes());
        let name_bytes = self.name.as_ref().map_or(0, |name| name.len());
        size_of::<Self>() + self.kind.len() + name_bytes + of_details
    }
}

impl Details {
    fn bytes(&self) -> usize {
        let failure = self.failure.iter().flat_map(|it| [&it.error, &it.cause, &it.stacktrace]);
        let texts = [&self.resource, &self.resource_type, &self.map_run_arn, &self.started_by];
        let text_bytes = failure.chain(texts).flatten().map(|text| text.len()).sum::<usize>();
        size_of::<Self>() + text_bytes
    }
}

/// An error as an event states it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FailureText {
    pub(crate) error: Option<Box<str>>,
    /// The message, or for a function the JSON of its error.
    pub(crate) cause: Option<Box<str>>,
    pub(crate) stacktrace: Option<Box<str>>,
}

/// An invocation of a durable function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CompletedInvocation {
    pub(crate) start_unix_nano: u64,
    pub(crate) end_unix_nano: u64,
    pub(crate) request_id: Box<str>,
}

/// Limit on a cause or stack trace. AWS allows 32 KB, and an execution may have 12,000 failures.
const MAX_TEXT_BYTES: usize = 16 * 1024;
/// Limit on the same once an execution has much of it.
const FEW_TEXT_BYTES: usize = 256;
/// Limit on names and ARNs, of which AWS's longest have 2,000 characters.
const MAX_NAME_BYTES: usize = 2_000;

/// The memory that the causes of an execution may still take.
#[derive(Debug)]
pub(crate) struct TextBudget(usize);

impl Default for TextBudget {
    fn default() -> Self {
        Self(8 * 1024 * 1024)
    }
}

impl TextBudget {
    pub(crate) fn with_bytes(bytes: usize) -> Self {
        Self(bytes)
    }

    /// A text, cut to what is left.
    fn keep(&mut self, text: &str) -> Box<str> {
        let most = if self.0 > MAX_TEXT_BYTES { MAX_TEXT_BYTES } else { FEW_TEXT_BYTES };
        let kept = shortened(text, most);
        self.0 = self.0.saturating_sub(kept.len());
        kept
    }
}

/// Reads an event of `GetExecutionHistory`. `None` if it lacks id, type or time.
pub(crate) fn read_machine_event(raw: &RawValue, budget: &mut TextBudget) -> Option<HistoryEvent> {
    let fields = Fields::of(raw.get())?;
    let mut pairs = fields.pairs.iter();
    let details = pairs.find(|(key, _)| key.ends_with("EventDetails"));
    let details = details.and_then(|(_, raw)| Fields::of(raw.get())).unwrap_or_default();
    Some(HistoryEvent {
        id: number_in(&fields, "id")?,
        time_unix_nano: time_in(&fields, "timestamp")?,
        kind: name_in(&fields, "type")?,
        place: Place::After(number_in(&fields, "previousEventId").unwrap_or_default()),
        name: name_in(&details, "name"),
        details: boxed(read_machine_details(&details, budget)),
    })
}

/// Reads a log event of a state machine, whose numbers are texts. `None` if it lacks id, type or time.
pub(crate) fn read_log_event(
    fields: &Fields<'_>,
    details: &Fields<'_>,
    budget: &mut TextBudget,
) -> Option<HistoryEvent> {
    let kind = name_in(fields, "type")?;
    let time_ms: u64 = number_in(fields, "event_timestamp")?;
    let input = details.text("input").filter(|_| kind.as_ref() == "ExecutionStarted");
    let started_by = input.and_then(|input| find_starter(&input));
    let own =
        Details { started_by: started_by.map(Into::into), ..read_machine_details(details, budget) };
    Some(HistoryEvent {
        id: number_in(fields, "id")?,
        time_unix_nano: time_ms.checked_mul(1_000_000)?,
        kind,
        place: Place::After(number_in(fields, "previous_event_id").unwrap_or_default()),
        name: name_in(details, "name"),
        details: boxed(own),
    })
}

fn read_machine_details(details: &Fields<'_>, budget: &mut TextBudget) -> Details {
    Details {
        failure: failure_in(details, ["error", "cause"], budget),
        resource: name_in(details, "resource"),
        resource_type: name_in(details, "resourceType"),
        index: number_in(details, "index"),
        map_run_arn: name_in(details, "mapRunArn"),
        redrive_count: number_in(details, "redriveCount"),
        ..Details::default()
    }
}

/// Reads an event of `GetDurableExecutionHistory`. `None` if it lacks id, type or time.
pub(crate) fn read_durable_event(raw: &RawValue, budget: &mut TextBudget) -> Option<HistoryEvent> {
    let fields = Fields::of(raw.get())?;
    let kind = name_in(&fields, "EventType")?;
    let of_kind = fields.get(&format!("{kind}Details"));
    let own = of_kind.and_then(|raw| Fields::of(raw.get())).unwrap_or_default();
    let within = |key: &str| own.get(key).and_then(|raw| Fields::of(raw.get()));
    let error = within("Error").and_then(|error| Fields::of(error.get("Payload")?.get()));
    let failure = error.and_then(|error| {
        let stack = error.get("StackTrace").map(|stack| join_lines(stack, budget));
        let failure = failure_in(&error, ["ErrorType", "ErrorMessage"], budget)?;
        Some(FailureText { stacktrace: stack.filter(|text| !text.is_empty()), ..failure })
    });
    let retry = within("RetryDetails");
    let invocation = || {
        let request_id = own.text("RequestId").filter(|id| is_uuid(id))?;
        Some(CompletedInvocation {
            start_unix_nano: time_in(&own, "StartTimestamp")?,
            end_unix_nano: time_in(&own, "EndTimestamp")?,
            request_id: canonical(&request_id).into(),
        })
    };
    let details = Details {
        failure,
        resource: name_in(&own, "FunctionName"),
        sub_type: name_in(&fields, "SubType"),
        is_retried: retry.is_some_and(|retry| retry.get("NextAttemptDelaySeconds").is_some()),
        started_arn: name_in(&own, "DurableExecutionArn"),
        invocation: invocation(),
        ..Details::default()
    };
    Some(HistoryEvent {
        id: number_in(&fields, "EventId")?,
        time_unix_nano: time_in(&fields, "EventTimestamp")?,
        kind,
        place: Place::Of {
            operation: name_in(&fields, "Id"),
            parent: name_in(&fields, "ParentId"),
        },
        name: name_in(&fields, "Name"),
        details: boxed(details),
    })
}

fn boxed(details: Details) -> Option<Box<Details>> {
    (details != Details::default()).then(|| Box::new(details))
}

fn name_in(fields: &Fields<'_>, key: &str) -> Option<Box<str>> {
    let text = fields.text(key).filter(|text| !text.is_empty())?;
    Some(shortened(&text, MAX_NAME_BYTES))
}

fn shortened(text: &str, max_bytes: usize) -> Box<str> {
    if text.len() <= max_bytes { text.into() } else { wire::shortened_text(text, max_bytes).into() }
}

fn number_in<N: std::str::FromStr>(fields: &Fields<'_>, key: &str) -> Option<N> {
    let raw = fields.get(key)?;
    text_of(raw).map_or_else(|| raw.get().parse().ok(), |text| text.parse().ok())
}

fn failure_in(
    fields: &Fields<'_>,
    [error, cause]: [&str; 2],
    budget: &mut TextBudget,
) -> Option<FailureText> {
    let error = name_in(fields, error);
    let cause = fields.text(cause).filter(|cause| !cause.is_empty());
    let cause = cause.map(|cause| budget.keep(&cause));
    (error.is_some() || cause.is_some()).then_some(FailureText { error, cause, stacktrace: None })
}

fn join_lines(array: &RawValue, budget: &mut TextBudget) -> Box<str> {
    const MAX_LINES: usize = 256;
    let elements = Elements::first_of(array.get(), MAX_LINES).values;
    let lines: Vec<_> = elements.into_iter().filter_map(text_of).collect();
    budget.keep(&lines.join("\n"))
}

/// The year 2500. A float has microseconds until then, which is all that AWS writes.
const LAST_SECOND: f64 = 16_725_225_600.0;

/// A time in seconds since the Unix epoch with a fraction, or as RFC 3339, in nanoseconds.
pub(crate) fn time_in(fields: &Fields<'_>, key: &str) -> Option<u64> {
    let raw = fields.get(key)?;
    if let Some(text) = text_of(raw) {
        return wire::timestamp::parse(&text);
    }
    let seconds: f64 = raw.get().parse().ok()?;
    if !(0.0..LAST_SECOND).contains(&seconds) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the value is bounded, and casts from float saturate"
    )]
    Some(((seconds * 1e6).round() as u64) * 1000)
}
