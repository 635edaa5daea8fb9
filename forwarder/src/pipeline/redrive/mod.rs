//! Sends a parked request again, and executes the decision about its message.

pub(crate) mod decision;

use super::flusher::Flusher;
use crate::deliver::enqueue::ToEnqueue;
use crate::deliver::outgoing::Outgoing;
use crate::destination::ingest_window::IngestPolicy;
use crate::destination::{Destination, Export};
use crate::ledger::Ledger;
use crate::parking::{Parked, Queue};
use crate::source::QueueMessage;
use backend::{Fate, Outcome, Reason};
use decision::{DeadLetter, Next, Receipt, Remaining, decide};
use std::sync::Arc;
use std::time::Duration;
use wire::Request;

/// Sends a parked request again. If nothing was accepted, the request stays in its message, which comes again. If a part
/// was accepted, the rest becomes a new message.
pub(super) async fn redrive<E: Export, Q: Queue>(
    flusher: &mut Flusher<'_, E, Q>,
    message: &QueueMessage,
    parked: Parked,
    request: Request,
) {
    let (kind, destination) = (request.kind(), parked.destination.clone());
    flusher.report.account.add(&destination, Ledger::of_items(kind, request.items()));
    let (outcome, policy) = send_parked(flusher, message, &parked, request).await;
    let accepted = outcome.accepted;
    let needs_a_person = outcome.parts.iter().find(|part| part.fate == Fate::ParkWithAlarm);
    let alarm = needs_a_person.is_some();
    // One line reports all parts of a message, so its reason is the one that only a person can remove.
    let reason = needs_a_person.or(outcome.parts.first()).map(|part| part.reason.to_string());
    let reason = reason.unwrap_or_default();
    let first_received = message.first_received_unix_nano();
    let has_taken_since = |destination: &Arc<Destination<E>>| {
        destination.breaker(kind, |breaker| breaker.has_taken_since(first_received))
    };
    let receipt = Receipt {
        message_id: &message.message_id,
        receive_count: message.receive_count(),
        first_seen_unix_nano: parked.first_seen_unix_nano,
        neighbours_taken: flusher
            .destination(&destination)
            .is_some_and(|(_, destination)| has_taken_since(destination)),
    };
    let decision = decide(outcome, receipt, policy, flusher.invocation().observed_unix_nano);
    let returned_before = flusher.returned();
    let letters = decision.dead_letters.into_iter().map(|letter| dead_letter(&parked, letter));
    flusher.enqueue(letters.collect(), Duration::ZERO).await;
    // The message has to stay if the dead-letter queue did not accept its dead letters.
    let has_to_stay = flusher.returned() > returned_before;
    match decision.next {
        Next::Done => {}
        Next::ComeAgain { items, after } => {
            flusher.report.keep_in_message(&destination, kind, items, reason, alarm);
            postpone(flusher, message, after).await;
        }
        Next::SendRest { rest, .. } if has_to_stay => {
            let items = rest.iter().map(|rest| rest.request.items()).sum();
            flusher.report.keep_in_message(&destination, kind, items, reason, alarm);
        }
        Next::SendRest { rest, delay } => {
            let rest = rest.into_iter().map(|rest| new_message(&parked, rest));
            flusher.enqueue(rest.collect(), delay).await;
        }
    }
    if flusher.returned() > returned_before {
        // The whole message comes again, with the accepted items.
        let again = Ledger { ambiguous: accepted, ..Ledger::default() };
        flusher.report.account.add(&destination, again);
    }
}

/// Sends a parked request to its destination. If no setting names that destination any more, the request waits.
async fn send_parked<E: Export, Q: Queue>(
    flusher: &mut Flusher<'_, E, Q>,
    message: &QueueMessage,
    parked: &Parked,
    request: Request,
) -> (Outcome, IngestPolicy) {
    let Some((position, destination)) = flusher.destination(&parked.destination) else {
        let text = format!(
            "no setting names the destination {}; add it again, or the message waits until it expires",
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
    (flusher.deliver_parked(outgoing, message.receive_count()).await, policy)
}

/// Hides the message until the next attempt. If that fails, it comes again after the queue's visibility timeout.
async fn postpone<E: Export, Q: Queue>(
    flusher: &Flusher<'_, E, Q>,
    message: &QueueMessage,
    after: Duration,
) {
    let Some(queue) = &flusher.queues().retry else { return };
    let deadline = flusher.invocation().queue_deadline;
    if let Err(error) = queue.postpone(&message.receipt_handle, after, deadline).await {
        tracing::warn!(%error, "cannot change the message's visibility timeout, SQS delivers it again after the present one");
    }
}

/// A part of the parked request for the dead-letter queue.
fn dead_letter(parked: &Parked, letter: DeadLetter) -> ToEnqueue {
    let DeadLetter { request, items, reason, partial } = letter;
    ToEnqueue {
        parked: Parked { items, reason, partial, ..parked.with_request(request) },
        fate: if partial { Fate::DeadLetterPartial } else { Fate::DeadLetter },
        is_in_log_group: false,
    }
}

fn new_message(parked: &Parked, rest: Remaining) -> ToEnqueue {
    let Remaining { request, reason, fate } = rest;
    let parked = Parked { reason, ..parked.with_request(request) };
    ToEnqueue { parked, fate, is_in_log_group: false }
}
