//! Forwards ended executions: reads their history, and sends its spans like those of a function.
//!
//! The redrive function does this, because an execution may have to wait: AWS completes a history a little later, throttles, or lacks
//! a right that somebody adds. The forwarder's environments stay free for log events.

use super::{Arrival, ForwardedBatch, Forwarding, Panicked};
use crate::convert::Converted;
use crate::delivery::destination::{DEFAULT_DESTINATION, Export};
use crate::executions::{Executions, Unread};
use crate::ledger::Ledger;
use crate::queues::redrive::{FIRST_PAUSE, wait_in_message};
use crate::queues::{Content, Queue, QueuedTelemetry};
use crate::source::{LogBatch, LogEventRange, Origin, QueueMessage};
use backend::Fate;
use platform::EndedExecution;
use std::sync::Arc;
use wire::Request;

/// Receptions of a message after which the execution's span is written without its history: about 45 minutes, which leaves hours
/// until OpenObserve would refuse it as too old.
const MAX_RECEPTIONS: u32 = 8;

/// The queue in which an execution waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    /// That of the stack's rule.
    StatusEvents,
    RetryQueue,
}

impl<E: Export, Q: Queue> Forwarding<'_, E, Q> {
    /// The reader of histories, if the message comes from the queue of the stack's rule.
    pub(super) fn status_events(&self, message: &QueueMessage) -> Option<Arc<Executions>> {
        let executions = self.forwarder.executions.as_ref()?;
        executions.is_own_queue(message.event_source_arn()).then(|| Arc::clone(executions))
    }

    /// Forwards the execution that a status event names. Returns the number of items that have to come again with the message.
    pub(super) async fn forward_status_event(
        &mut self,
        executions: &Executions,
        message: &QueueMessage,
    ) -> usize {
        match executions.read_status(message.text()) {
            Ok(execution) => {
                let first_seen = self.invocation.observed_unix_nano;
                let log_events = LogEventRange::of(&origin(&execution), &[]);
                let queued = QueuedTelemetry::new(
                    DEFAULT_DESTINATION,
                    Content::Execution(Box::new(execution.clone())),
                    1,
                    String::new(),
                    &log_events,
                    first_seen,
                );
                self.forward_execution(message, queued, execution, Waiting::StatusEvents).await
            }
            Err(error) => {
                let bytes = message.text().into();
                let reason = format!("not an ended execution of this account and region: {error}");
                self.outbox.dead_letter_raw(bytes, reason, &LogEventRange::default());
                self.outbox.flush().await
            }
        }
    }

    /// Forwards an execution of the retry queue. Returns the number of items that have to come again with the message.
    pub(super) async fn forward_queued_execution(
        &mut self,
        message: &QueueMessage,
        queued: QueuedTelemetry,
        execution: EndedExecution,
    ) -> usize {
        self.forward_execution(message, queued, execution, Waiting::RetryQueue).await
    }

    async fn forward_execution(
        &mut self,
        message: &QueueMessage,
        queued: QueuedTelemetry,
        execution: EndedExecution,
        waiting: Waiting,
    ) -> usize {
        let origin = origin(&execution);
        let service_name = self.forwarder.rules.service_name(&origin);
        let name = service_name.as_deref();
        let requests = match self.read_history(&execution).await {
            Ok(history) => history.into_requests(name),
            Err(unread) if self.may_wait(message, waiting) => {
                return self.wait(message, queued, &execution, &unread, waiting).await;
            }
            Err(unread) => {
                self.outbox.report.warnings.push(format!(
                    "the execution {} has no complete trace: {unread}",
                    execution.arn
                ));
                match unread {
                    Unread::Incomplete(history) => history.into_requests(name),
                    _ => vec![execution.to_request(name)],
                }
            }
        };
        let queued = QueuedTelemetry { content: Content::Execution(Box::new(execution)), ..queued };
        self.forward_spans(requests, origin, service_name, queued).await;
        self.outbox.flush().await
    }

    async fn read_history(&self, execution: &EndedExecution) -> Result<platform::History, Unread> {
        let Some(executions) = &self.forwarder.executions else {
            return Err(Unread::NoPage(
                "this function has no setting LAMBDA_OTLP_EXECUTIONS_QUEUE_ARN; set the stack's parameter Executions again",
            ));
        };
        // Boxed, so that other events don't carry its state.
        Box::pin(executions.read_history(execution, self.invocation.deadline)).await
    }

    fn may_wait(&self, message: &QueueMessage, waiting: Waiting) -> bool {
        let has_retry_queue = self.forwarder.queues.retry.is_some();
        waiting == Waiting::StatusEvents && has_retry_queue
            || message.receive_count() < MAX_RECEPTIONS
    }

    /// Lets an execution wait for its history: in the retry queue, where a message is hidden for longer and longer.
    async fn wait(
        &mut self,
        message: &QueueMessage,
        queued: QueuedTelemetry,
        execution: &EndedExecution,
        unread: &Unread,
        waiting: Waiting,
    ) -> usize {
        self.outbox.report.ledgers.add(&queued.destination, Ledger::count_executions(1));
        let reason = format!("the history of {} is not read yet: {unread}", execution.arn);
        let queued = QueuedTelemetry { reason, items: 1, ..queued };
        match waiting {
            Waiting::StatusEvents => self.outbox.enqueue(vec![queued], FIRST_PAUSE).await,
            Waiting::RetryQueue => wait_in_message(&mut self.outbox, message, &queued).await,
        }
    }

    /// Takes the spans of an execution through the rules to their destinations. If that panics, dead-letters the execution.
    async fn forward_spans(
        &mut self,
        requests: Vec<Request>,
        origin: Origin,
        service_name: Option<String>,
        queued: QueuedTelemetry,
    ) {
        let name = service_name.unwrap_or_else(|| origin.identity().service_name);
        if let Some(mut traces) = self.forwarder.rules.trace_reading() {
            for request in &requests {
                traces.add(request);
            }
            self.traces = Some(traces.finish());
        }
        let batch = Arc::new(LogBatch { origin, ..LogBatch::default() });
        let routing = self.forwarder.select_routes(&batch, Arrival::Redriven);
        let batch = ForwardedBatch { batch, routing };
        let converted = Converted { requests, service_name: name, ..Converted::default() };
        if let Err(Panicked) = self.route(converted, &batch).await {
            self.outbox.report.panics += 1;
            let reason = "forwarding this execution panicked, please report this".to_owned();
            let fate = Fate::DeadLetter;
            self.outbox.dead_letter(QueuedTelemetry { reason, items: 1, fate, ..queued });
        }
    }
}

/// The origin of an execution, for rules.
fn origin(execution: &EndedExecution) -> Origin {
    Origin::new(execution.account(), execution.region(), &execution.log_group(), "")
}
