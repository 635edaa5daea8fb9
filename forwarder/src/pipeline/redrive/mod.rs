//! Sends a request that was parked once more, and does with its message what was decided.

pub(crate) mod decision;

use super::run::Run;
use crate::deliver::deliver;
use crate::deliver::enqueue::ToEnqueue;
use crate::deliver::outgoing::Outgoing;
use crate::destination::ingest_window::IngestPolicy;
use crate::destination::{Destination, Export};
use crate::ledger::Ledger;
use crate::parking::{Parked, Queue};
use crate::source::QueueMessage;
use backend::{Fate, Outcome, Reason};
use decision::{DeadLetter, Next, Receipt, Rest, decide};
use std::sync::Arc;
use std::time::Duration;
use wire::Request;

impl<E: Export, Q: Queue> Run<'_, E, Q> {
    /// Sends a request that was parked once more. What stays as a whole stays in its message, which
    /// comes again; of what was taken in part the rest becomes a new message.
    pub(super) async fn redrive(
        &mut self,
        message: &QueueMessage,
        parked: Parked,
        request: Request,
    ) {
        let (kind, destination) = (request.kind(), parked.destination.clone());
        self.report.account.add(&destination, Ledger::of_items(kind, request.items()));
        let (outcome, policy) = self.send_parked(message, &parked, request).await;
        let accepted = outcome.accepted;
        let first_reason = outcome.parts.first().map(|part| part.reason.to_string());
        let alarm = outcome.parts.iter().any(|part| part.fate == Fate::ParkWithAlarm);
        let first_received = message.first_received_unix_nano();
        let has_taken_since = |destination: &Arc<Destination<E>>| {
            destination.breaker(kind, |breaker| breaker.has_taken_since(first_received))
        };
        let receipt = Receipt {
            message_id: &message.message_id,
            receive_count: message.receive_count(),
            first_seen_unix_nano: parked.first_seen_unix_nano,
            neighbours_taken: self.destination(&parked).is_some_and(|(_, it)| has_taken_since(it)),
        };
        let decision = decide(outcome, receipt, policy, self.invocation.observed_unix_nano);
        let returned_before = self.returned();
        let letters = decision.dead_letters.into_iter().map(|letter| dead_letter(&parked, letter));
        self.enqueue(letters.collect(), Duration::ZERO).await;
        // The message has to stay where a dead letter of it has no place.
        let has_to_stay = self.returned() > returned_before;
        match decision.next {
            Next::Done => {}
            Next::ComeAgain { items, after } => {
                let reason = first_reason.unwrap_or_default();
                self.report.keep_in_message(&destination, kind, items, reason, alarm);
                self.postpone(message, after).await;
            }
            Next::SendRest { rest, .. } if has_to_stay => {
                let items = rest.iter().map(|rest| rest.request.items()).sum();
                let reason = first_reason.unwrap_or_default();
                self.report.keep_in_message(&destination, kind, items, reason, alarm);
            }
            Next::SendRest { rest, delay } => {
                let rest = rest.into_iter().map(|rest| new_message(&parked, rest));
                self.enqueue(rest.collect(), delay).await;
            }
        }
        if self.returned() > returned_before {
            // The whole message comes again, and with it what was accepted.
            let again = Ledger { ambiguous: accepted, ..Ledger::default() };
            self.report.account.add(&destination, again);
        }
    }

    /// The destination that the message names, with its position; `None` if it is in no setting any more.
    fn destination(&self, parked: &Parked) -> Option<(usize, &Arc<Destination<E>>)> {
        let mut destinations = self.forwarder.destinations.iter().enumerate();
        destinations.find(|(_, destination)| destination.name() == parked.destination)
    }

    /// What became of a parked request. All of it waits where its destination is not known.
    async fn send_parked(
        &mut self,
        message: &QueueMessage,
        parked: &Parked,
        request: Request,
    ) -> (Outcome, IngestPolicy) {
        let Some((position, destination)) = self.destination(parked) else {
            let text = format!(
                "destination {} is in no setting any more; add it, or the message waits until it expires",
                parked.destination
            );
            let reason = Reason::UnknownDestination { text };
            let outcome = Outcome::unsent(request, reason, Fate::ParkWithAlarm);
            return (outcome, IngestPolicy::any_time());
        };
        let outgoing = Outgoing {
            destination: position,
            stream: parked.stream.as_deref().map(Arc::from),
            request,
            survey: None,
            log_events: Arc::new(parked.log_events.clone()),
        };
        let policy = destination.policy();
        let context = self.delivery_context(message.receive_count());
        let deadline = self.invocation.deadline;
        let destinations = &self.forwarder.destinations;
        let delivered = deliver(destinations, vec![outgoing], context, |_, _| deadline).await;
        let (accepted, retry_after) = (delivered.account.total.accepted, delivered.retry_after);
        let most_details = self.forwarder.options.most_details;
        let remainders = self.report.take_delivered(delivered, most_details);
        let parts = remainders.into_iter().map(|remainder| remainder.part).collect();
        (Outcome { accepted, parts, retry_after, ..Outcome::default() }, policy)
    }

    /// Lets the message come again later. If that fails, it comes when the queue's own time is over.
    async fn postpone(&self, message: &QueueMessage, after: Duration) {
        let Some(queue) = &self.forwarder.queues.retry else { return };
        let deadline = self.invocation.queue_deadline;
        if let Err(error) = queue.postpone(&message.receipt_handle, after, deadline).await {
            tracing::warn!(%error, "message comes again sooner than it should");
        }
    }
}

/// A part of the parked request that is never sent again by itself.
fn dead_letter(parked: &Parked, letter: DeadLetter) -> ToEnqueue {
    let DeadLetter { request, items, reason, partial } = letter;
    ToEnqueue {
        parked: Parked { items, reason, partial, ..parked.with_request(request) },
        fate: if partial { Fate::DeadLetterPartial } else { Fate::DeadLetter },
        is_in_log_group: false,
    }
}

/// A part of the parked request that is sent again, in a message of its own.
fn new_message(parked: &Parked, rest: Rest) -> ToEnqueue {
    let Rest { request, reason, fate } = rest;
    let parked = Parked { reason, ..parked.with_request(request) };
    ToEnqueue { parked, fate, is_in_log_group: false }
}
