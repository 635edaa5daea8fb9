//! Reads the histories of ended executions, for their traces.
//!
//! EventBridge's rule of the stack writes an event about each ended execution into a queue, and the redrive function reads that queue.
//! An event counts only if its message comes from this queue, which nobody but the rule may write to. A direct invocation with one, or
//! a line, makes no spans.

use aws::{ExecutionHistories, HistoryError, HistoryPage, HistorySettings};
use platform::{EndedExecution, ExecutionKind, History, Home, NoEndedExecution, NoPage};
use settings::{Reader, Setting, Variable};
use std::fmt;
use std::time::SystemTime;
use tokio::time::Instant;
use wire::arn::Arn;

const QUEUE: Setting<String> = Setting::text(
    "LAMBDA_OTLP_EXECUTIONS_QUEUE_ARN",
    "ARN of the SQS queue with EventBridge's events about ended [executions](executions.md). The stack sets it. Only messages of this queue become traces of executions.",
);

pub(crate) const EXECUTIONS: &[Variable] = &[QUEUE.row()];

/// Events of a page. If their errors make a page too large, it is read in smaller ones.
const PAGE_SIZES: [u32; 3] = [1_000, 100, 10];
/// Limit on the pages of a history, if a service repeats itself.
const MAX_PAGES: usize = 3_000;

/// The settings of executions.
#[derive(Clone, Debug)]
pub struct ExecutionSettings {
    pub(crate) queue_arn: String,
    pub(crate) histories: HistorySettings,
}

impl ExecutionSettings {
    /// Reads the settings; `None` if the traces of executions are off.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let queue_arn = reader.read(QUEUE)?;
        let is_queue = |arn: Arn<'_>| {
            arn.service == "sqs" && arn.account_id().is_some() && !arn.region.is_empty()
        };
        if !Arn::parse(&queue_arn).is_some_and(is_queue) {
            reader.mistake(QUEUE, "is not the ARN of an SQS queue, such as arn:aws:sqs:eu-west-1:123456789012:executions");
            return None;
        }
        let Some(histories) = HistorySettings::read(reader) else {
            reader.mistake(QUEUE, "needs a region and credentials, which Lambda sets: AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY");
            return None;
        };
        Some(Self { queue_arn, histories })
    }
}

/// The reader of histories.
#[derive(Debug)]
pub struct Executions {
    queue_arn: String,
    histories: ExecutionHistories,
}

/// The reason why a history can't be read now, without the execution's data.
#[derive(Debug)]
pub(crate) enum Unread {
    Refused(HistoryError),
    NoPage(&'static str),
    /// Its end is missing, or events before it. The part that is there.
    Incomplete(Box<History>),
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => error.fmt(f),
            Self::NoPage(problem) => f.write_str(problem),
            Self::Incomplete(_) => f.write_str("the history is incomplete"),
        }
    }
}

impl Executions {
    /// Creates the reader; `clock` gives the signing time.
    pub fn new(settings: &ExecutionSettings, clock: fn() -> SystemTime) -> Self {
        Self {
            queue_arn: settings.queue_arn.clone(),
            histories: ExecutionHistories::new(&settings.histories, clock),
        }
    }

    /// Returns `true` for the queue that only the stack's rule writes to.
    pub(crate) fn is_own_queue(&self, event_source_arn: &str) -> bool {
        self.queue_arn == event_source_arn
    }

    /// Reads a status event of an execution in the queue's account and region.
    pub(crate) fn read_status(&self, body: &str) -> Result<EndedExecution, NoEndedExecution> {
        let event = serde_json::from_str(body).map_err(|_| NoEndedExecution::Other)?;
        let queue = Arn::parse(&self.queue_arn).ok_or(NoEndedExecution::Other)?;
        let home = Home { account: queue.account, region: queue.region };
        EndedExecution::from_event(&event, home)
    }

    /// Reads the whole history of an execution.
    pub(crate) async fn read_history(
        &self,
        execution: &EndedExecution,
        deadline: Instant,
    ) -> Result<History, Unread> {
        let mut read = Err(Unread::NoPage("not read"));
        for max_events in PAGE_SIZES {
            read = self.read_pages(execution, max_events, deadline).await;
            let is_too_long = matches!(&read, Err(Unread::Refused(error)) if error.is_too_long());
            if !is_too_long {
                break;
            }
        }
        let mut history = read?;
        if execution.kind == ExecutionKind::DurableFunction {
            let header = self.histories.read_trace_header(&execution.arn, deadline).await;
            history.set_trace_header(header.map_err(Unread::Refused)?);
        } else if execution.is_child_of_map() {
            let found = self.histories.find_map_run(&execution.arn, deadline).await;
            if let Some(map_run) = found.map_err(Unread::Refused)? {
                history.set_map_run(map_run.arn);
                history.set_parent(map_run.execution_arn);
            }
        }
        if !history.is_complete() {
            return Err(Unread::Incomplete(Box::new(history)));
        }
        Ok(history)
    }

    async fn read_pages(
        &self,
        execution: &EndedExecution,
        max_events: u32,
        deadline: Instant,
    ) -> Result<History, Unread> {
        let mut history = History::new(execution.clone());
        let mut token: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let page = HistoryPage { arn: &execution.arn, token: token.as_deref(), max_events };
            let answer = match execution.kind {
                ExecutionKind::StateMachine => {
                    self.histories.read_machine_page(page, deadline).await
                }
                ExecutionKind::DurableFunction => {
                    self.histories.read_durable_page(page, deadline).await
                }
            };
            let answer = answer.map_err(Unread::Refused)?;
            let next = history.add_page(&answer).map_err(|NoPage| {
                Unread::NoPage("the answer is no page of a history; check AWS_ENDPOINT_URL")
            })?;
            match next {
                None => return Ok(history),
                same if same == token => {
                    return Err(Unread::NoPage("the service answers with the same page again"));
                }
                next => token = next,
            }
        }
        Err(Unread::NoPage("the history has too many pages"))
    }
}
