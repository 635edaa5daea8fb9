//! One event on its way: what of it waits to be delivered, and what became of the rest.

use super::Forwarder;
use super::invocation::InvocationContext;
use super::report::Report;
use super::waiting::Waiting;
use crate::convert::{ReadSoFar, StreamState};
use crate::deliver::context::DeliveryContext;
use crate::deliver::enqueue::{ToEnqueue, enqueue};
use crate::deliver::failure_budget::FailureBudget;
use crate::deliver::outgoing::Outgoing;
use crate::deliver::{Remainder, deliver};
use crate::destination::{DEFAULT_DESTINATION, Export};
use crate::ledger::Ledger;
use crate::parking::{Content, Parked, Queue};
use crate::source::LogEventRange;
use backend::{Fate, Reason};
use std::time::Duration;
use tokio::time::Instant;

/// One event on its way through a forwarder. What it became is in the report once nothing waits any more.
pub(super) struct Run<'f, E, Q> {
    pub(super) forwarder: &'f Forwarder<E, Q>,
    pub(super) invocation: &'f InvocationContext,
    pub(super) report: Report,
    /// Where the log stream stands whose log events are converted now.
    pub(super) stream: StreamState,
    pub(super) waiting: Waiting,
    pub(super) read: ReadSoFar,
    budget: FailureBudget,
    began: Instant,
    /// Whether the log events come from a message of the retry queue: by now their log group may have
    /// forgotten them.
    pub(super) is_redriven: bool,
}

impl<'f, E: Export, Q: Queue> Run<'f, E, Q> {
    /// An event of which nothing has been read yet.
    pub(super) fn new(forwarder: &'f Forwarder<E, Q>, invocation: &'f InvocationContext) -> Self {
        Self {
            forwarder,
            invocation,
            report: Report::default(),
            stream: StreamState::default(),
            waiting: Waiting::default(),
            read: ReadSoFar::default(),
            budget: FailureBudget::new(forwarder.options.failure_budget),
            began: Instant::now(),
            is_redriven: false,
        }
    }

    /// Items that were returned so far.
    pub(super) fn returned(&self) -> usize {
        self.report.account.total.returned
    }

    /// Whether so much waits that it is delivered before more is converted.
    pub(super) fn has_enough_to_deliver(&self) -> bool {
        self.waiting.bytes() >= self.forwarder.options.enough_to_deliver
    }

    /// Delivers what waits, and puts what was not taken into the queues.
    pub(super) async fn flush(&mut self) {
        let (outgoing, mut to_enqueue) = self.waiting.take();
        let began = Instant::now();
        let context = self.delivery_context(1);
        let last = self.invocation.deadline;
        let deadline = |lane, since| last.min(self.budget.deadline(lane, since));
        let mut delivered =
            deliver(&self.forwarder.destinations, outgoing, context, deadline).await;
        self.budget.note(std::mem::take(&mut delivered.verdicts), began);
        let most_details = self.forwarder.options.most_details;
        let remainders = self.report.take_delivered(delivered, most_details);
        to_enqueue.extend(remainders.into_iter().filter_map(|rest| self.to_enqueue(rest)));
        self.enqueue(to_enqueue, Duration::ZERO).await;
    }

    /// How a delivery is told the time, that is the `attempt`th of what it delivers.
    pub(super) fn delivery_context(&self, attempt: u32) -> DeliveryContext {
        DeliveryContext {
            observed_unix_nano: self.invocation.observed_unix_nano,
            observed_at: self.began,
            has_retry_queue: self.forwarder.queues.retry.is_some(),
            attempt,
        }
    }

    /// Puts things into the queues, to be received after `delay`; what the queues do not take is returned.
    pub(super) async fn enqueue(&mut self, to_enqueue: Vec<ToEnqueue>, delay: Duration) {
        let deadline = self.invocation.queue_deadline;
        let enqueued = enqueue(&self.forwarder.queues, to_enqueue, delay, deadline).await;
        self.report.account += enqueued.account;
        self.report.note(enqueued.undelivered, self.forwarder.options.most_details);
    }

    fn to_enqueue(&self, remainder: Remainder) -> Option<ToEnqueue> {
        let Remainder { destination, stream, part, log_events } = remainder;
        let (content, reason) = (Content::Request(part.request), part.reason.to_string());
        let parked = Parked {
            destination: self.forwarder.destinations.get(destination)?.name().to_owned(),
            stream: stream.map(|stream| stream.to_string()),
            partial: part.fate == Fate::DeadLetterPartial,
            ..self.parked(content, part.items, reason, LogEventRange::clone(&log_events))
        };
        let parked = parked.with_times();
        Some(ToEnqueue { parked, fate: part.fate, is_in_log_group: false })
    }

    /// Dead-letters spans without valid ids with the next delivery. They are counted already, and their log group holds them too,
    /// unless they come out of a queue.
    pub(super) fn refuse(&mut self, spans: Outgoing) {
        let Outgoing { destination, stream, request, log_events, .. } = spans;
        let (items, reason) = (request.items(), Reason::InvalidIds);
        let part = backend::Undelivered { request, items, reason, fate: Fate::DeadLetter };
        let remainder = Remainder { destination, stream, part, log_events };
        if let Some(letter) = self.to_enqueue(remainder) {
            let is_in_log_group = !self.is_redriven;
            self.waiting.dead_letter(ToEnqueue { is_in_log_group, ..letter });
        }
    }

    /// Counts something for the destination that it is parked for, and dead-letters it with the next
    /// delivery, which its bytes may bring about.
    pub(super) fn dead_letter(&mut self, parked: Parked) {
        let counted = match &parked.content {
            Content::Request(request) => Ledger::of_items(request.kind(), parked.items),
            _ => Ledger::of_undecodable(parked.items),
        };
        self.report.account.add(&parked.destination, counted);
        let fate = Fate::DeadLetter;
        self.waiting.dead_letter(ToEnqueue { parked, fate, is_in_log_group: false });
    }

    /// Dead-letters lines that do not decode. Their log group holds them too, unless they come out of a queue.
    pub(super) fn dead_letter_undecodable(&mut self, parked: Parked) {
        self.report.account.add(&parked.destination, Ledger::of_undecodable(parked.items));
        let (fate, is_in_log_group) = (Fate::DeadLetter, !self.is_redriven);
        self.waiting.dead_letter(ToEnqueue { parked, fate, is_in_log_group });
    }

    /// Dead-letters bytes that nobody can read: one item.
    pub(super) fn dead_letter_raw(
        &mut self,
        bytes: Vec<u8>,
        reason: String,
        log_events: LogEventRange,
    ) {
        let parked = self.parked(Content::Raw(bytes), 1, reason, log_events);
        self.dead_letter(parked);
    }

    /// Something to be put into a queue, for the default destination, with no times of its own.
    pub(super) fn parked(
        &self,
        content: Content,
        items: usize,
        reason: String,
        log_events: LogEventRange,
    ) -> Parked {
        Parked {
            destination: DEFAULT_DESTINATION.to_owned(),
            stream: None,
            content,
            items,
            oldest_unix_nano: 0,
            newest_unix_nano: 0,
            first_seen_unix_nano: self.invocation.observed_unix_nano,
            reason,
            partial: false,
            log_events,
        }
    }
}
