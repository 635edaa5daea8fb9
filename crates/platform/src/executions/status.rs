//! EventBridge's events about ended executions.
//!
//! Source: Step Functions Developer Guide, "Automating Step Functions event delivery with EventBridge"; Lambda Developer Guide,
//! "Monitoring durable functions".

use super::operation::Outcome;
use crate::read::fields::Fields;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wire::arn::Arn;

/// An execution that ended, as its status event describes it. Without input and output, so that a queue doesn't keep them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedExecution {
    pub kind: ExecutionKind,
    pub arn: String,
    pub outcome: Outcome,
    pub started_unix_nano: u64,
    pub ended_unix_nano: u64,
    /// Why it failed, if the event says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The execution that started this one, if its input names it as AWS recommends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_by: Option<String>,
    /// The run of the Distributed Map that started it, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map_run_arn: Option<String>,
    /// X-Ray's header of a durable function's execution, if known. The function's trace follows it if it says that X-Ray samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_header: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecutionKind {
    StateMachine,
    DurableFunction,
}

/// A status event that isn't about an ended execution of this account and region.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEndedExecution {
    #[error("not a status event of an execution")]
    Other,
    #[error("the execution has not ended")]
    Running,
    #[error("an execution of another account or region")]
    Foreign,
    #[error("the event has no usable {0}")]
    Invalid(&'static str),
}

/// Where executions must be.
#[derive(Clone, Copy, Debug)]
pub struct Home<'a> {
    pub account: &'a str,
    pub region: &'a str,
}

/// A key of a state machine's input that names the execution that started it (Step Functions Developer Guide, "Start workflow
/// executions from a task state").
const STARTED_BY: &str = "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID";
pub(super) const MAX_ARN_BYTES: usize = 1024;
const MAX_ERROR_BYTES: usize = 1024;
const MAX_CAUSE_BYTES: usize = 16 * 1024;

impl EndedExecution {
    /// Reads a status event.
    ///
    /// # Errors
    ///
    /// Fails for other events, and for executions that run or belong to another account or region.
    pub fn from_event(event: &Value, home: Home<'_>) -> Result<Self, NoEndedExecution> {
        use NoEndedExecution::{Invalid, Other};
        let text =
            |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let names = [text(event, "source"), text(event, "detail-type")];
        let kind = match names.each_ref().map(|name| name.as_deref().unwrap_or_default()) {
            ["aws.states", "Step Functions Execution Status Change"] => ExecutionKind::StateMachine,
            ["aws.lambda", "Durable Execution Status Change"] => ExecutionKind::DurableFunction,
            _ => return Err(Other),
        };
        let detail = event.get("detail").ok_or(Invalid("detail"))?;
        let is_machine = kind == ExecutionKind::StateMachine;
        let arn_key = if is_machine { "executionArn" } else { "durableExecutionArn" };
        let arn = text(detail, arn_key).ok_or(Invalid("execution ARN"))?;
        let is_home = [text(event, "account"), text(event, "region")]
            == [Some(home.account.to_owned()), Some(home.region.to_owned())];
        let parsed = Arn::parse(&arn).ok_or(Invalid("execution ARN"))?;
        if !is_home || parsed.account != home.account || parsed.region != home.region {
            return Err(NoEndedExecution::Foreign);
        }
        let workflow = Workflow::split(parsed.resource).map(|(workflow, _)| workflow);
        // Express state machines send no status events.
        if find_name(kind, &arn).is_none() || workflow == Some(Workflow::Express) {
            return Err(Invalid("execution ARN"));
        }
        let status = text(detail, "status").ok_or(Invalid("status"))?;
        let outcome = Outcome::read_end(&status).ok_or(NoEndedExecution::Running)?;
        let time = |key: &str| match detail.get(key)? {
            Value::String(text) => wire::timestamp::parse(text),
            millis => millis.as_u64()?.checked_mul(1_000_000),
        };
        let (started, ended) = match kind {
            ExecutionKind::StateMachine => (time("startDate"), time("stopDate")),
            ExecutionKind::DurableFunction => (time("startTimestamp"), time("endTimestamp")),
        };
        let started_unix_nano = started.ok_or(Invalid("start"))?;
        let input = detail.get("input").and_then(Value::as_str);
        let started_by = input.and_then(find_starter);
        let short = |key: &str, most: usize| {
            let text = text(detail, key)?;
            Some(if text.len() > most { wire::shortened_text(&text, most) } else { text })
        };
        Ok(Self {
            kind,
            outcome,
            started_unix_nano,
            ended_unix_nano: ended.ok_or(Invalid("end"))?.max(started_unix_nano),
            error: short("error", MAX_ERROR_BYTES),
            cause: short("cause", MAX_CAUSE_BYTES),
            started_by,
            map_run_arn: None,
            trace_header: None,
            arn,
        })
    }

    /// Returns `true` for an execution that the Distributed Map of another one started: `MACHINE/LABEL:NAME`.
    pub fn is_child_of_map(&self) -> bool {
        let machine = self.arn_parts().and_then(|arn| arn.resource.split(':').nth(1));
        self.kind == ExecutionKind::StateMachine && machine.is_some_and(|name| name.contains('/'))
    }

    /// Size of its texts.
    pub fn bytes(&self) -> usize {
        let arns = [&self.started_by, &self.map_run_arn];
        let texts = [&self.error, &self.cause, &self.trace_header].into_iter().chain(arns);
        let of_texts = texts.flatten().map(String::len).sum::<usize>();
        self.arn.len() + of_texts
    }

    /// The name of the state machine or the function.
    pub fn name(&self) -> &str {
        find_name(self.kind, &self.arn).unwrap_or("unknown")
    }

    pub(crate) fn arn_parts(&self) -> Option<Arn<'_>> {
        Arn::parse(&self.arn)
    }

    pub fn account(&self) -> &str {
        self.arn_parts().map_or("", |arn| arn.account)
    }

    pub fn region(&self) -> &str {
        self.arn_parts().map_or("", |arn| arn.region)
    }

    /// The log group whose telemetry it counts as, for rules: that of the function, or the one that AWS's console names.
    pub fn log_group(&self) -> String {
        match self.kind {
            ExecutionKind::StateMachine => format!("/aws/vendedlogs/states/{}-Logs", self.name()),
            ExecutionKind::DurableFunction => format!("/aws/lambda/{}", self.name()),
        }
    }
}

/// Finds the execution that started this one in the input of this one.
pub(super) fn find_starter(input: &str) -> Option<String> {
    if !input.contains(STARTED_BY) {
        return None;
    }
    let arn = Fields::of(input)?.text(STARTED_BY)?;
    is_machine_execution(&arn).then(|| arn.into_owned())
}

pub(super) fn is_machine_execution(arn: &str) -> bool {
    find_name(ExecutionKind::StateMachine, arn).is_some()
}

/// The type of a state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Workflow {
    Standard,
    /// Without a history.
    Express,
}

impl Workflow {
    /// Reads the resource of an execution's ARN: `execution:MACHINE:NAME` or `express:MACHINE:NAME:ID`. Also returns the part from the
    /// machine on.
    pub(super) fn split(resource: &str) -> Option<(Self, &str)> {
        let standard = || Some((Self::Standard, resource.strip_prefix("execution:")?));
        let express = || Some((Self::Express, resource.strip_prefix("express:")?));
        standard().or_else(express)
    }
}

/// The name of the state machine or function in an ARN of an execution.
fn find_name(kind: ExecutionKind, arn: &str) -> Option<&str> {
    let parsed = Arn::parse(arn).filter(|_| arn.len() <= MAX_ARN_BYTES && arn.is_ascii())?;
    let name = match kind {
        ExecutionKind::StateMachine if parsed.service == "states" => {
            let (_, execution) = Workflow::split(parsed.resource)?;
            let (machine, name) = execution.split_once(':')?;
            // A child of a Distributed Map: `MACHINE/LABEL`
            machine.split('/').next().filter(|_| !name.is_empty())?
        }
        ExecutionKind::DurableFunction if parsed.resource.contains("/durable-execution/") => {
            parsed.function()?.name
        }
        _ => return None,
    };
    let is_name = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
    (!name.is_empty() && name.bytes().all(is_name)).then_some(name)
}
