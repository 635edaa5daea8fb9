//! Forwards the messages of a queue: requests that were parked, lines and log events that were put
//! aside, events whose invocation failed.

use crate::deliver::enqueue::Keep;
use crate::deliver::{Outgoing, deliver};
use crate::destination::ingest_window::Policy;
use crate::destination::{Export, Outlet};
use crate::ledger::Ledger;
use crate::parking::{Content, Origin, Parked, Queue};
use crate::pipeline::kinesis::bury_record;
use crate::pipeline::redrive::{Next, Receipt, decide};
use crate::pipeline::run::Progress;
use crate::pipeline::{Forwarder, Invocation};
use crate::source::{Event, HandOn, LogBatch, LogEvent, QueueBody, QueueMessage};
use backend::{Fate, Outcome, Reason};
use std::sync::Arc;
use std::time::Duration;
use wire::Request;

impl<E: Export, Q: Queue> Forwarder<E, Q> {
    pub(crate) async fn forward_messages(
        &self,
        messages: Vec<QueueMessage>,
        invocation: &Invocation,
        progress: &mut Progress,
    ) {
        let mut failures = Vec::new();
        for message in messages {
            let returned_before = progress.returned();
            self.forward_message(&message, invocation, progress).await;
            if progress.returned() > returned_before {
                failures.push(message.message_id);
            }
        }
        progress.report.batch_item_failures = Some(failures);
    }

    async fn forward_message(
        &self,
        message: &QueueMessage,
        invocation: &Invocation,
        progress: &mut Progress,
    ) {
        progress.is_redriven = false;
        match message.body() {
            QueueBody::Event(event) => {
                self.forward_event(message, event, invocation, progress).await;
            }
            QueueBody::Other(body) => match Parked::from_body(body) {
                Ok(parked) => self.forward_parked(message, parked, invocation, progress).await,
                Err(error) => bury_message(message, error.to_string(), invocation, progress),
            },
        }
        self.flush(invocation, progress).await;
    }

    /// Forwards an event of its own, or of a failed invocation. It is returned or kept as a whole, but
    /// for Kinesis records that nobody can read: they keep none of the others back.
    async fn forward_event(
        &self,
        message: &QueueMessage,
        event: Event,
        invocation: &Invocation,
        progress: &mut Progress,
    ) {
        if let Event::Kinesis(records) = event {
            for record in records.into_iter().map(Arc::new) {
                if let Some(error) = self.convert_record(&record, invocation, progress).await {
                    bury_record(&record, &error, invocation, progress);
                }
            }
            return;
        }
        let limits = self.options.source;
        let read = move |hand_on: HandOn<'_>| event.read(&limits, hand_on);
        if let Some(error) = self.convert_all(read, invocation, progress).await {
            bury_message(message, error.to_string(), invocation, progress);
        }
    }

    async fn forward_parked(
        &self,
        message: &QueueMessage,
        mut parked: Parked,
        invocation: &Invocation,
        progress: &mut Progress,
    ) {
        if parked.partial {
            // The backend has the others of its items: whoever wants them twice clears the mark.
            progress.bury(parked);
            return;
        }
        progress.is_redriven = true;
        match std::mem::replace(&mut parked.content, Content::Raw(Vec::new())) {
            Content::Request(request) => {
                self.redrive(message, parked, request, invocation, progress).await;
            }
            Content::Line { event_id, timestamp_ms, line } => {
                // After an upgrade it may decode; if not, it becomes a dead letter once more.
                let envelope = parked.origin.into_envelope();
                let events = vec![LogEvent { id: event_id, timestamp_ms, message: line }];
                self.convert_batch(&LogBatch { envelope, events }, invocation, progress).await;
                self.end_stream(invocation, progress).await;
            }
            Content::Events(batch) => {
                self.convert_batch(&batch, invocation, progress).await;
                self.end_stream(invocation, progress).await;
            }
            raw @ Content::Raw(_) => progress.bury(Parked { content: raw, items: 1, ..parked }),
        }
    }

    /// Sends a request that was parked once more. What stays as a whole stays in its message, which
    /// comes again; of what was taken in part the rest becomes a new message.
    async fn redrive(
        &self,
        message: &QueueMessage,
        parked: Parked,
        request: Request,
        invocation: &Invocation,
        progress: &mut Progress,
    ) {
        let whole = request.items();
        let kind = request.kind();
        progress.report.account.add(&parked.destination, Ledger::of_items(kind, whole));
        let (outcome, policy) =
            self.send_parked(message, &parked, request, invocation, progress).await;
        let report = &mut progress.report;
        let accepted = outcome.accepted;
        let receipt = Receipt {
            message_id: &message.message_id,
            receive_count: message.receive_count(),
            first_seen_unix_nano: parked.first_seen_unix_nano,
        };
        let first_reason = outcome.parts.first().map(|part| part.reason.to_string());
        let alarm = outcome.parts.iter().any(|part| part.fate == Fate::ParkWithAlarm);
        let decision = decide(outcome, receipt, policy, invocation.observed_unix_nano);
        let returned_before = report.account.total.returned;
        let letters = decision.dead_letters.into_iter().map(|letter| Keep {
            parked: Parked {
                items: letter.items,
                reason: letter.reason,
                partial: letter.partial,
                ..parked.with_request(letter.request)
            },
            fate: if letter.partial { Fate::DeadLetterPartial } else { Fate::DeadLetter },
            is_in_log_group: false,
        });
        self.keep_all(letters.collect(), Duration::ZERO, invocation, report).await;
        let has_to_stay = report.account.total.returned > returned_before;
        match decision.next {
            Next::Done => {}
            Next::ComeAgain { items, after } => {
                let reason = first_reason.unwrap_or_default();
                report.keep_in_message(&parked.destination, kind, items, reason, alarm);
                self.postpone(message, after, invocation).await;
            }
            Next::SendRest { rest, .. } if has_to_stay => {
                let items = rest.iter().map(|rest| rest.request.items()).sum();
                let reason = first_reason.unwrap_or_default();
                report.keep_in_message(&parked.destination, kind, items, reason, alarm);
            }
            Next::SendRest { rest, delay } => {
                let rest = rest.into_iter().map(|rest| Keep {
                    parked: Parked { reason: rest.reason, ..parked.with_request(rest.request) },
                    fate: rest.fate,
                    is_in_log_group: false,
                });
                self.keep_all(rest.collect(), delay, invocation, report).await;
            }
        }
        if report.account.total.returned > returned_before {
            // The whole message comes again, and with it what was accepted.
            let again = Ledger { ambiguous: accepted, ..Ledger::default() };
            report.account.add(&parked.destination, again);
        }
    }

    /// What became of a parked request. All of it waits where its destination is not known.
    async fn send_parked(
        &self,
        message: &QueueMessage,
        parked: &Parked,
        request: Request,
        invocation: &Invocation,
        progress: &mut Progress,
    ) -> (Outcome, Policy) {
        let named = |outlet: &Arc<Outlet<E>>| outlet.name() == parked.destination;
        let found = self.outlets.iter().position(named);
        let Some((position, outlet)) = found.and_then(|at| Some((at, self.outlets.get(at)?)))
        else {
            let text = format!(
                "destination {} is in no setting any more; add it, or the message waits until it expires",
                parked.destination
            );
            let reason = Reason::UnknownDestination { text };
            let outcome = Outcome::unsent(request, reason, Fate::ParkWithAlarm);
            return (outcome, Policy::any_time());
        };
        let outgoing = Outgoing {
            outlet: position,
            stream: parked.stream.as_deref().map(Arc::from),
            request,
            survey: None,
            origin: Arc::new(parked.origin.clone()),
        };
        let times = self.times(invocation, progress.began, message.receive_count());
        let delivered =
            deliver(&self.outlets, vec![outgoing], times, |_, _| invocation.deadline).await;
        let (accepted, retry_after) = (delivered.account.total.accepted, delivered.retry_after);
        let remainders = progress.report.take_delivered(delivered, self.options.most_details);
        let parts = remainders.into_iter().map(|remainder| remainder.part).collect();
        (Outcome { accepted, parts, retry_after, ..Outcome::default() }, outlet.policy())
    }

    /// Lets the message come again later. If that fails, it comes when the queue's own time is over.
    async fn postpone(&self, message: &QueueMessage, after: Duration, invocation: &Invocation) {
        let Some(queue) = &self.queues.retry else { return };
        let deadline = invocation.queue_deadline;
        if let Err(error) = queue.postpone(&message.receipt_handle, after, deadline).await {
            tracing::warn!(%error, "message comes again sooner than it should");
        }
    }
}

/// Puts a message that nobody can read into the dead-letter queue.
fn bury_message(
    message: &QueueMessage,
    reason: String,
    invocation: &Invocation,
    progress: &mut Progress,
) {
    progress.bury_raw(message.text().into(), reason, &Origin::default(), invocation);
}
