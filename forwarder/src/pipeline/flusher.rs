//! The third stage: collects requests, delivers them, and puts undelivered telemetry into the queues.

use super::InvocationContext;
use super::Options;
use super::report::Report;
use super::router::{Routed, Routing};
use crate::convert::Converted;
use crate::deliver::DeliveryContext;
use crate::deliver::FailureBudget;
use crate::deliver::Outgoing;
use crate::deliver::enqueue::{Queues, ToEnqueue, enqueue};
use crate::deliver::{Remainder, deliver};
use crate::destination::{DEFAULT_DESTINATION, Destination, Export};
use crate::ledger::Ledger;
use crate::parking::{Content, Parked, Queue};
use crate::rules::Effect;
use crate::source::{LogBatch, LogEvent, LogEventRange};
use backend::{Fate, Outcome, Reason};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wire::UndecodableLine;

/// Delivers the telemetry of one event and accounts for it.
pub(super) struct Flusher<'f, E, Q> {
    destinations: &'f [Arc<Destination<E>>],
    queues: &'f Queues<Q>,
    options: &'f Options,
    invocation: &'f InvocationContext,
    began: Instant,
    budget: FailureBudget,
    /// Requests for the next delivery.
    outgoing: Vec<Outgoing>,
    /// Dead letters for the next delivery.
    letters: Vec<ToEnqueue>,
    bytes: usize,
    pub(super) report: Report,
}

impl<'f, E: Export, Q: Queue> Flusher<'f, E, Q> {
    pub(super) fn new(
        destinations: &'f [Arc<Destination<E>>],
        queues: &'f Queues<Q>,
        options: &'f Options,
        invocation: &'f InvocationContext,
    ) -> Self {
        Self {
            destinations,
            queues,
            options,
            invocation,
            began: Instant::now(),
            budget: FailureBudget::new(options.failure_budget),
            outgoing: Vec::new(),
            letters: Vec::new(),
            bytes: 0,
            report: Report::default(),
        }
    }

    pub(super) fn returned(&self) -> usize {
        self.report.account.total.returned
    }

    /// Returns `true` if nothing waits for the next delivery.
    pub(super) fn is_empty(&self) -> bool {
        self.outgoing.is_empty() && self.letters.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= self.options.enough_to_deliver
    }

    pub(super) fn destination(&self, name: &str) -> Option<(usize, &'f Arc<Destination<E>>)> {
        self.destinations.iter().enumerate().find(|(_, destination)| destination.name() == name)
    }

    pub(super) fn invocation(&self) -> &'f InvocationContext {
        self.invocation
    }

    pub(super) fn queues(&self) -> &'f Queues<Q> {
        self.queues
    }

    /// Adds routed requests, and delivers if enough waits.
    pub(super) async fn add(&mut self, routed: Routed, routing: &Routing) {
        self.report.account += routed.account;
        self.report.dropped_points += routed.dropped_points;
        self.report.renamed += routed.renamed;
        self.report.unreadable += routed.unreadable;
        Effect::add_all(&mut self.report.rules, routed.rules);
        self.bytes += routed.outgoing.iter().map(|out| out.request.bytes().len()).sum::<usize>();
        self.outgoing.extend(routed.outgoing);
        for spans in routed.refused {
            self.dead_letter_refused(spans, routing);
        }
        self.flush_if_full().await;
    }

    /// Accounts for converted log events, and dead-letters undecodable lines.
    pub(super) fn note_converted(
        &mut self,
        converted: Converted,
        batch: &LogBatch,
        routing: &Routing,
    ) {
        let account = &mut self.report.account;
        account.total += converted.ledger;
        self.report.dropped_figures += converted.dropped_figures;
        let lines = converted.undecodable;
        let count: usize = lines.iter().map(|(_, line)| line.lines()).sum();
        if count > 0 {
            self.dead_letter_undecodable(lines, count, batch, routing);
        }
    }

    /// Dead-letters undecodable lines: a single line with its reason, several as the log events of one message.
    fn dead_letter_undecodable(
        &mut self,
        lines: Vec<(LogEvent, UndecodableLine)>,
        count: usize,
        batch: &LogBatch,
        routing: &Routing,
    ) {
        let mut events = Vec::with_capacity(lines.len());
        let mut reason = String::new();
        for (event, mut line) in lines {
            if events.is_empty() {
                reason = line.reason.to_string();
            }
            // The report needs only reason, size and hash.
            events.push(LogEvent { message: std::mem::take(&mut line.line), ..event.clone() });
            if self.report.undecodable.len() < self.options.most_details {
                self.report.undecodable.push((event.id, line));
            }
        }
        let content = if let [LogEvent { id, timestamp_ms, message }] = events.as_mut_slice() {
            let (event_id, line) = (std::mem::take(id), std::mem::take(message));
            Content::Line { event_id, timestamp_ms: *timestamp_ms, line }
        } else {
            reason = format!("{count} lines do not decode, the first one: {reason}");
            Content::Events(LogBatch { events, ..batch.without_events() })
        };
        let parked = self.parked(content, count, reason, &routing.log_events);
        self.dead_letter(parked, !routing.is_redriven);
    }

    /// Dead-letters log events whose conversion panicked. Each counts as one item, because the number of items is unknown.
    pub(super) fn dead_letter_panicked(&mut self, batch: LogBatch, routing: &Routing) {
        self.report.panics += 1;
        let count = batch.events.len();
        self.report.account.total.events += count;
        let reason = "converting these log events panicked, please report this";
        let content = Content::Events(batch);
        let parked = self.parked(content, count, reason.to_owned(), &routing.log_events);
        self.dead_letter(parked, false);
    }

    /// Dead-letters unreadable bytes, as one item.
    pub(super) fn dead_letter_raw(
        &mut self,
        bytes: Vec<u8>,
        reason: String,
        log_events: &LogEventRange,
    ) {
        let parked = self.parked(Content::Raw(bytes), 1, reason, log_events);
        self.dead_letter(parked, false);
    }

    /// Counts the items, and dead-letters them with the next delivery. `is_in_log_group`: they are also in their log group.
    pub(super) fn dead_letter(&mut self, parked: Parked, is_in_log_group: bool) {
        let counted = match &parked.content {
            Content::Request(request) => Ledger::of_items(request.kind(), parked.items),
            _ => Ledger::of_undecodable(parked.items),
        };
        self.report.account.add(&parked.destination, counted);
        self.add_letter(ToEnqueue { parked, fate: Fate::DeadLetter, is_in_log_group });
    }

    /// Dead-letters spans without valid ids with the next delivery. The router has counted them.
    fn dead_letter_refused(&mut self, spans: Outgoing, routing: &Routing) {
        let Outgoing { destination, stream, request, log_events, .. } = spans;
        let (items, reason) = (request.items(), Reason::InvalidIds);
        let part = backend::UndeliveredPart { request, items, reason, fate: Fate::DeadLetter };
        if let Some(letter) = self.to_enqueue(Remainder { destination, stream, part, log_events }) {
            self.add_letter(ToEnqueue { is_in_log_group: !routing.is_redriven, ..letter });
        }
    }

    fn add_letter(&mut self, letter: ToEnqueue) {
        self.bytes += letter.parked.content_bytes();
        self.letters.push(letter);
    }

    pub(super) async fn flush_if_full(&mut self) {
        if self.is_full() {
            self.flush().await;
        }
    }

    /// Delivers all waiting requests, and puts undelivered telemetry and dead letters into the queues.
    pub(super) async fn flush(&mut self) {
        self.bytes = 0;
        let outgoing = std::mem::take(&mut self.outgoing);
        let mut to_enqueue = std::mem::take(&mut self.letters);
        let began = Instant::now();
        let context = self.delivery_context(1);
        let last = self.invocation.deadline;
        let deadline = |lane, since| last.min(self.budget.deadline(lane, since));
        let mut delivered = deliver(self.destinations, outgoing, context, deadline).await;
        self.budget.note(std::mem::take(&mut delivered.verdicts), began);
        let remainders = self.report.take_delivered(delivered, self.options.most_details);
        to_enqueue.extend(remainders.into_iter().filter_map(|rest| self.to_enqueue(rest)));
        self.enqueue(to_enqueue, Duration::ZERO).await;
    }

    /// Delivers one request of the retry queue, `attempt` times now.
    pub(super) async fn deliver_parked(&mut self, outgoing: Outgoing, attempt: u32) -> Outcome {
        let (context, deadline) = (self.delivery_context(attempt), self.invocation.deadline);
        let delivered = deliver(self.destinations, vec![outgoing], context, |_, _| deadline).await;
        let (accepted, retry_after) = (delivered.account.total.accepted, delivered.retry_after);
        let remainders = self.report.take_delivered(delivered, self.options.most_details);
        let parts = remainders.into_iter().map(|remainder| remainder.part).collect();
        Outcome { accepted, parts, retry_after, ..Outcome::default() }
    }

    /// Puts telemetry into the queues, to be received after `delay`. If a queue fails, its telemetry is returned to Lambda.
    pub(super) async fn enqueue(&mut self, to_enqueue: Vec<ToEnqueue>, delay: Duration) {
        let deadline = self.invocation.queue_deadline;
        let enqueued = enqueue(self.queues, to_enqueue, delay, deadline).await;
        self.report.account += enqueued.account;
        self.report.note(enqueued.undelivered, self.options.most_details);
    }

    fn delivery_context(&self, attempt: u32) -> DeliveryContext {
        DeliveryContext {
            observed_unix_nano: self.invocation.observed_unix_nano,
            observed_at: self.began,
            has_retry_queue: self.queues.retry.is_some(),
            attempt,
        }
    }

    fn to_enqueue(&self, remainder: Remainder) -> Option<ToEnqueue> {
        let Remainder { destination, stream, part, log_events } = remainder;
        let (content, reason) = (Content::Request(part.request), part.reason.to_string());
        let parked = Parked {
            destination: self.destinations.get(destination)?.name().to_owned(),
            stream: stream.map(|stream| stream.to_string()),
            partial: part.fate == Fate::DeadLetterPartial,
            ..self.parked(content, part.items, reason, &log_events)
        };
        let parked = parked.with_times();
        Some(ToEnqueue { parked, fate: part.fate, is_in_log_group: false })
    }

    /// Content for a queue: for the default destination, without times.
    fn parked(
        &self,
        content: Content,
        items: usize,
        reason: String,
        log_events: &LogEventRange,
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
            log_events: log_events.clone(),
        }
    }
}
