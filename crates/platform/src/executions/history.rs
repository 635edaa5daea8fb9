//! Collects the pages of an execution's history, and makes one trace of it.

use super::event::{self, HistoryEvent, Place, TextBudget};
use super::operation::Outcome;
use super::status::{EndedExecution, ExecutionKind, MAX_ARN_BYTES, is_machine_execution};
use super::trace::{TraceWriter, Whole};
use super::{durable, machine};
use crate::attributes::{integer, string};
use crate::names;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use serde::Deserialize;
use serde_json::value::RawValue;
use wire::Request;

/// The history of an ended execution. Order and repetition of its events don't matter.
#[derive(Debug)]
pub struct History {
    execution: EndedExecution,
    events: Vec<HistoryEvent>,
    budget: TextBudget,
    /// Events that can't be read, or are beyond the limit.
    left_out: usize,
}

/// The limit of AWS is 25,000 events, and 3,000 operations of a durable function.
const MAX_EVENTS: usize = 30_000;
/// Limit on the span events of an execution's span.
const MAX_SPAN_EVENTS: usize = 128;

/// A page that isn't an answer of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer is no page of an execution's history")]
pub struct NoPage;

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow, alias = "Events")]
    events: Vec<&'a RawValue>,
    #[serde(alias = "NextMarker", alias = "nextToken", default)]
    next: Option<String>,
}

impl History {
    pub fn new(execution: EndedExecution) -> Self {
        Self { execution, events: Vec::new(), budget: TextBudget::default(), left_out: 0 }
    }

    /// Adds the events of a page, and returns the token of the next one.
    ///
    /// # Errors
    ///
    /// Fails if the answer is no page. What it has of bad events is left out.
    pub fn add_page(&mut self, answer: &[u8]) -> Result<Option<String>, NoPage> {
        let text = std::str::from_utf8(answer).map_err(|_| NoPage)?;
        let page: Page<'_> = serde_json::from_str(text).map_err(|_| NoPage)?;
        for raw in page.events {
            let read = match self.execution.kind {
                ExecutionKind::StateMachine => event::read_machine_event(raw, &mut self.budget),
                ExecutionKind::DurableFunction => event::read_durable_event(raw, &mut self.budget),
            };
            match read.filter(|_| self.events.len() < MAX_EVENTS) {
                Some(event) => self.events.push(event),
                None => self.left_out += 1,
            }
        }
        Ok(page.next.filter(|token| !token.is_empty()))
    }

    /// Sets X-Ray's header of a durable function's execution.
    pub fn set_trace_header(&mut self, header: Option<String>) {
        const MAX_BYTES: usize = 1024;
        self.execution.trace_header = header.filter(|header| header.len() <= MAX_BYTES);
    }

    /// Sets the execution that started this one, if the ARN is that of a state machine's execution.
    pub fn set_parent(&mut self, arn: String) {
        if is_machine_execution(&arn) {
            self.execution.started_by = Some(arn);
        }
    }

    /// Sets the run of a Distributed Map that started this execution.
    pub fn set_map_run(&mut self, arn: String) {
        self.execution.map_run_arn = Some(arn).filter(|arn| arn.len() <= MAX_ARN_BYTES);
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Events that can't be read, or are beyond the limit.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Returns `true` if no event is missing up to the end of the execution.
    pub fn is_complete(&mut self) -> bool {
        sort(&mut self.events);
        has_all(&self.events)
    }

    /// Makes the history of an execution of an Express state machine, which has no status event, of the events that it logged. `None`
    /// if one is missing.
    pub(super) fn from_log(arn: &str, events: &mut Vec<HistoryEvent>) -> Option<Self> {
        sort(events);
        let (end, before) = events.split_last().filter(|_| has_all(events))?;
        // It can't be redriven, and each of many forged ends would be compared with all states.
        if !is_end(&end.kind) || before.iter().any(|event| is_end(&event.kind)) {
            return None;
        }
        let first = before.first()?;
        let started_by = first.details.as_ref().and_then(|details| details.started_by.as_deref());
        let execution = EndedExecution {
            kind: ExecutionKind::StateMachine,
            arn: arn.to_owned(),
            outcome: Outcome::read_end(&end.kind)?,
            started_unix_nano: first.time_unix_nano,
            ended_unix_nano: end.time_unix_nano.max(first.time_unix_nano),
            error: None,
            cause: None,
            started_by: started_by.map(str::to_owned),
            map_run_arn: None,
            trace_header: None,
        };
        Some(Self { events: std::mem::take(events), ..Self::new(execution) })
    }

    /// Makes the spans of the execution, as requests of up to 1,000. A history without its end gives what it has. The service has the
    /// name of the machine or function, unless another one is given.
    pub fn into_requests(mut self, service_name: Option<&str>) -> Vec<Request> {
        sort(&mut self.events);
        // A redrive may have begun that will end with an event of its own.
        let end = self.events.iter().rposition(|event| is_end(&event.kind));
        if let Some(end) = end {
            self.events.truncate(end + 1);
        }
        let Self { execution, events, .. } = self;
        let mut writer = TraceWriter::begin(&execution, service_name, read_whole(&events));
        let operations = match execution.kind {
            ExecutionKind::StateMachine => machine::read_operations(&execution.arn, &events),
            ExecutionKind::DurableFunction => {
                durable::read_operations(&execution.arn, &events, execution.ended_unix_nano)
            }
        };
        drop(events);
        for operation in operations {
            writer.add(operation);
        }
        writer.finish()
    }
}

impl EndedExecution {
    /// The span of the execution alone, for one whose history can't be had.
    pub fn to_request(&self, service_name: Option<&str>) -> Request {
        let mut requests = TraceWriter::begin(self, service_name, Whole::default()).finish();
        requests.pop().unwrap_or_else(|| Request::of_spans(None, Vec::new()))
    }
}

/// Sorts events by their ids, without repetitions.
fn sort(events: &mut Vec<HistoryEvent>) {
    events.sort_by_key(|event| event.id);
    events.dedup_by_key(|event| event.id);
}

/// Returns `true` if sorted events lack none up to the end of the execution. AWS numbers them from 1.
fn has_all(events: &[HistoryEvent]) -> bool {
    let Some(last) = events.iter().rposition(|event| is_end(&event.kind)) else { return false };
    let count = u64::try_from(last + 1).unwrap_or(u64::MAX);
    let begins_with_first = events.first().is_some_and(|event| event.id == 1);
    begins_with_first && events.get(last).is_some_and(|event| event.id == count)
}

fn is_end(kind: &str) -> bool {
    kind.strip_prefix("Execution").and_then(Outcome::read_end).is_some()
}

fn read_whole(events: &[HistoryEvent]) -> Whole {
    let last_end = events.iter().rfind(|event| is_end(&event.kind));
    let failure = last_end.and_then(|event| event.details.as_ref()?.failure.clone());
    let redriven = events.iter().rfind(|event| event.kind.as_ref() == "ExecutionRedriven");
    let redrive_count = redriven
        .map(|event| event.details.as_ref().and_then(|details| details.redrive_count).unwrap_or(1));
    let mut own = events.iter().filter_map(make_span_event);
    let shown = own.by_ref().take(MAX_SPAN_EVENTS).collect();
    let dropped_events = own.count().try_into().unwrap_or(u32::MAX);
    Whole { failure, redrive_count, events: shown, dropped_events }
}

/// The invocations of a durable function, its pauses, and redrives of a state machine.
fn make_span_event(event: &HistoryEvent) -> Option<Event> {
    let invocation = event.details.as_ref().and_then(|details| details.invocation.as_ref());
    if let Some(invocation) = invocation {
        let took = invocation.end_unix_nano.saturating_sub(invocation.start_unix_nano);
        let took_ms = i64::try_from(took / 1_000_000).unwrap_or(i64::MAX);
        return Some(Event {
            time_unix_nano: invocation.start_unix_nano,
            name: "invocation".to_owned(),
            attributes: vec![
                string(names::FAAS_INVOCATION_ID, invocation.request_id.as_ref()),
                integer(names::lambda::DURATION_MS, took_ms),
            ],
            ..Event::default()
        });
    }
    let name = match event.kind.as_ref() {
        "ExecutionPaused" => "paused",
        "ExecutionResumed" => "resumed",
        "ExecutionRedriven" => "redriven",
        _ => return None,
    };
    let is_of_machine = matches!(event.place, Place::After(_));
    (is_of_machine == (name == "redriven")).then(|| Event {
        time_unix_nano: event.time_unix_nano,
        name: name.to_owned(),
        ..Event::default()
    })
}
