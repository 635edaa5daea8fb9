//! Collects the log events of Express executions: Step Functions keeps no history of these and sends no status event.
//!
//! Source: Step Functions Developer Guide, "EventBridge for Step Functions execution status changes" and "Logging using CloudWatch
//! Logs".

use super::event::{HistoryEvent, TextBudget};
use super::history::History;
use std::collections::BTreeMap;
use std::mem;
use wire::Request;

/// Limit on the events that wait for others of their execution. Most take 250 to 500 bytes.
const MAX_WAITING_BYTES: usize = 4 * 1024 * 1024;

/// The events of executions that lack some so far. Order and repetition don't matter.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LoggedExecutions {
    by_arn: BTreeMap<Box<str>, Vec<HistoryEvent>>,
    waiting_bytes: usize,
}

/// A log event of an Express execution.
#[derive(Debug)]
pub(crate) struct ExpressEvent {
    pub(crate) execution_arn: Box<str>,
    pub(crate) event: HistoryEvent,
}

impl LoggedExecutions {
    /// The memory that texts of the next event may take.
    pub(crate) fn text_budget(&self) -> TextBudget {
        TextBudget::with_bytes(MAX_WAITING_BYTES.saturating_sub(self.waiting_bytes))
    }

    /// Adds an event. Beyond the limit it is left out, and its execution gets no trace.
    pub(crate) fn add(&mut self, logged: ExpressEvent) {
        let ExpressEvent { execution_arn, event } = logged;
        let bytes = event.bytes() + execution_arn.len();
        if self.waiting_bytes.saturating_add(bytes) <= MAX_WAITING_BYTES {
            self.waiting_bytes += bytes;
            self.by_arn.entry(execution_arn).or_default().push(event);
        }
    }

    /// Makes the traces of the executions of which no event is missing.
    pub(crate) fn take_traces(&mut self, service_name: &str) -> Vec<Request> {
        let mut requests = Vec::new();
        self.waiting_bytes = 0;
        for (arn, mut events) in mem::take(&mut self.by_arn) {
            if let Some(history) = History::from_log(&arn, &mut events) {
                requests.extend(history.into_requests(Some(service_name)));
            } else {
                let bytes = events.iter().map(|event| event.bytes() + arn.len()).sum::<usize>();
                self.waiting_bytes += bytes;
                self.by_arn.insert(arn, events);
            }
        }
        requests
    }
}
