//! The last stage: collects requests, delivers them, and puts undelivered telemetry into the queues.

use super::router::Routing;
use super::{Arrival, Forwarder};
use crate::convert::{Converted, UndecodableEvent};
use crate::delivery::destination::{DEFAULT_DESTINATION, DestinationRoute, Export};
use crate::delivery::{DeliveryContext, FailingSince, RequestBatch, Sent, SignalEndpoint, deliver};
use crate::invocation::InvocationContext;
use crate::ledger::Ledger;
use crate::queues::put::enqueue;
use crate::queues::{Content, Queue, QueuedTelemetry};
use crate::report::{MAX_DETAILS, Report, ReportedLine, Undelivered};
use crate::source::{LogBatch, LogEventRange};
use backend::{Fate, Reason, RequestFacts, Sanitized};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wire::Request;

/// The sending side of an event: the telemetry that waits for the next delivery, its delivery, and the report.
pub(crate) struct Outbox<'f, E, Q> {
    pub(crate) forwarder: &'f Forwarder<E, Q>,
    pub(crate) invocation: &'f InvocationContext,
    /// The beginning of the event.
    began: Instant,
    /// Requests to deliver.
    batches: Vec<RequestBatch>,
    /// Telemetry for the dead-letter queue.
    dead_letters: Vec<QueuedTelemetry>,
    /// Size of both.
    bytes: usize,
    /// The endpoints that failed in earlier deliveries of the event.
    failing_since: FailingSince,
    /// Items that deliveries returned to Lambda since the last [`flush`](Self::flush).
    returned: usize,
    /// The report of the event. The earlier stages also add to it.
    pub(crate) report: Report,
}

impl<'f, E: Export, Q: Queue> Outbox<'f, E, Q> {
    /// The empty outbox of an event that began at `began`.
    pub(super) fn new(
        forwarder: &'f Forwarder<E, Q>,
        invocation: &'f InvocationContext,
        began: Instant,
    ) -> Self {
        Self {
            forwarder,
            invocation,
            began,
            batches: Vec::new(),
            dead_letters: Vec::new(),
            bytes: 0,
            failing_since: FailingSince::default(),
            returned: 0,
            report: Report::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.dead_letters.is_empty()
    }

    /// Returns `true` if enough waits for a delivery.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= self.forwarder.options.enough_to_deliver
    }

    /// Returns `true` if a delivery since the last [`flush`](Self::flush) returned items to Lambda.
    pub(super) fn has_returned_items(&self) -> bool {
        self.returned > 0
    }

    /// Adds requests that were adapted to the destination of a route, and delivers if enough waits. `ledger` has their items.
    pub(super) async fn add(
        &mut self,
        route: &DestinationRoute<'_, E>,
        routing: &Routing<'_, E>,
        adapted: Vec<Sanitized>,
        mut ledger: Ledger,
    ) {
        let name = &route.destination.name;
        for Sanitized { request, dropped, renamed, refused, facts } in adapted {
            ledger.dropped += dropped;
            self.report.dropped_points += dropped;
            self.report.renamed += renamed;
            if let Some(request) = request {
                self.add_request(route, request, facts, &routing.log_events);
            }
            if let Some(request) = refused {
                let items = request.items();
                let content = Content::Request(request);
                let reason = Reason::InvalidIds.to_string();
                let dead_letter =
                    self.new_dead_letter(name, content, items, reason, &routing.log_events);
                // The ledger has its items already.
                self.add_dead_letter(QueuedTelemetry {
                    stream: route.stream.as_deref().map(str::to_owned),
                    is_in_log_group: routing.arrival == Arrival::First,
                    ..dead_letter
                });
            }
        }
        self.report.ledgers.add(name, ledger);
        self.flush_if_full().await;
    }

    /// Adds a request to the batch of its endpoint and stream.
    fn add_request(
        &mut self,
        route: &DestinationRoute<'_, E>,
        request: Request,
        facts: Option<RequestFacts>,
        log_events: &Arc<LogEventRange>,
    ) {
        self.bytes += request.bytes().len();
        let endpoint = SignalEndpoint { destination: route.position, signal: request.kind() };
        let stream = route.stream.as_ref();
        let found = self.batches.iter_mut().find(|batch| batch.accepts(endpoint, stream));
        if let Some(batch) = found {
            batch.add(request, facts, log_events);
        } else {
            let batch = RequestBatch::new(route, request, facts, Arc::clone(log_events));
            self.batches.push(batch);
        }
    }

    /// Accounts for converted log events, and dead-letters undecodable lines as the log events of one message, with the reason of
    /// the first one.
    pub(super) fn note_converted(
        &mut self,
        converted: Converted,
        batch: &LogBatch,
        routing: &Routing<'_, E>,
    ) {
        self.report.ledgers.total += converted.ledger;
        self.report.dropped_figures += converted.dropped_figures;
        let undecodable = converted.undecodable;
        let count: usize = undecodable.iter().map(|it| it.line.lines()).sum();
        if count == 0 {
            return;
        }
        let first = undecodable.first().map(|it| it.line.reason.to_string()).unwrap_or_default();
        let reason = if count == 1 {
            format!("undecodable OTLP line: {first}")
        } else {
            format!("{count} undecodable OTLP lines, the first one: {first}")
        };
        let mut events = Vec::with_capacity(undecodable.len());
        for UndecodableEvent { event, line } in undecodable {
            if self.report.undecodable.len() < self.forwarder.options.max_details {
                self.report.undecodable.push(ReportedLine { event_id: event.id.clone(), line });
            }
            events.push(event);
        }
        let content = Content::Events(LogBatch { events, ..batch.without_events() });
        let dead_letter =
            self.new_dead_letter(DEFAULT_DESTINATION, content, count, reason, &routing.log_events);
        self.dead_letter(QueuedTelemetry {
            is_in_log_group: routing.arrival == Arrival::First,
            ..dead_letter
        });
    }

    /// Dead-letters log events whose conversion panicked. Each counts as one item, because the number of items is unknown.
    pub(super) fn dead_letter_panicked(&mut self, batch: LogBatch, routing: &Routing<'_, E>) {
        self.report.panics += 1;
        let count = batch.events.len();
        self.report.ledgers.total.events += count;
        let reason = "converting these log events panicked, please report this";
        let content = Content::Events(batch);
        let dead_letter = self.new_dead_letter(
            DEFAULT_DESTINATION,
            content,
            count,
            reason.to_owned(),
            &routing.log_events,
        );
        self.dead_letter(dead_letter);
    }

    /// Dead-letters unreadable bytes, as one item.
    pub(super) fn dead_letter_raw(
        &mut self,
        bytes: Vec<u8>,
        reason: String,
        log_events: &LogEventRange,
    ) {
        let dead_letter =
            self.new_dead_letter(DEFAULT_DESTINATION, Content::Raw(bytes), 1, reason, log_events);
        self.dead_letter(dead_letter);
    }

    /// Counts the items of a dead letter, and puts it into its queue with the next delivery.
    pub(super) fn dead_letter(&mut self, dead_letter: QueuedTelemetry) {
        let counted = match &dead_letter.content {
            Content::Request(request) => Ledger::count_items(request.kind(), dead_letter.items),
            Content::Execution(_) => Ledger::count_executions(dead_letter.items),
            _ => Ledger::count_undecodable(dead_letter.items),
        };
        self.report.ledgers.add(&dead_letter.destination, counted);
        self.add_dead_letter(dead_letter);
    }

    fn add_dead_letter(&mut self, dead_letter: QueuedTelemetry) {
        self.bytes += dead_letter.content.bytes();
        self.dead_letters.push(dead_letter);
    }

    pub(super) async fn flush_if_full(&mut self) {
        if self.is_full() {
            self.deliver_waiting().await;
        }
    }

    /// Delivers all that waits. Returns the number of items that deliveries returned to Lambda since the last flush, also those
    /// of a full outbox.
    pub(super) async fn flush(&mut self) -> usize {
        self.deliver_waiting().await;
        std::mem::take(&mut self.returned)
    }

    /// Delivers all waiting requests, and puts undelivered telemetry and dead letters into the queues.
    async fn deliver_waiting(&mut self) {
        let batches = std::mem::take(&mut self.batches);
        let mut undelivered = std::mem::take(&mut self.dead_letters);
        self.bytes = 0;
        let destinations = &self.forwarder.destinations;
        let context = self.delivery_context(1);
        let all_sent = deliver(destinations, batches, context, Some(&mut self.failing_since)).await;
        for sent in all_sent {
            undelivered.extend(self.note_sent(sent, self.invocation.observed_unix_nano));
        }
        // The next attempt comes as soon as SQS delivers the message. `redrive` pauses after it.
        self.returned += self.enqueue(undelivered, Duration::ZERO).await;
    }

    /// Accounts for a sent batch. Returns the parts that the destination did not accept, which the report does not count yet.
    /// `first_seen_unix_nano` is the time at which the forwarder first had them.
    pub(crate) fn note_sent(
        &mut self,
        sent: Sent,
        first_seen_unix_nano: u64,
    ) -> Vec<QueuedTelemetry> {
        let Sent { batch, outcome, dropped, restamped, .. } = sent;
        let Some(destination) = self.forwarder.destinations.get(batch.endpoint.destination) else {
            return Vec::new();
        };
        let report = &mut self.report;
        report.dropped_for_time += dropped;
        report.restamped += restamped;
        report.requests_sent += outcome.requests_sent;
        report.bytes_sent += outcome.bytes_sent;
        if !outcome.warning.is_empty() && report.warnings.len() < MAX_DETAILS {
            report.warnings.push(outcome.warning);
        }
        let accepted = outcome.accepted;
        let ambiguous = outcome.ambiguous_items;
        let ledger = Ledger { accepted, dropped, ambiguous, ..Ledger::default() };
        report.ledgers.add(&destination.name, ledger);
        let parked = |part| {
            let name = &destination.name;
            let stream = batch.stream.as_deref();
            QueuedTelemetry::of_part(part, name, stream, &batch.log_events, first_seen_unix_nano)
        };
        outcome.parts.into_iter().map(parked).collect()
    }

    /// Puts telemetry into the queues, to be received after `delay`. If a queue fails, its telemetry is returned to Lambda.
    /// Returns the number of these items.
    pub(crate) async fn enqueue(
        &mut self,
        undelivered: Vec<QueuedTelemetry>,
        delay: Duration,
    ) -> usize {
        if undelivered.is_empty() {
            return 0;
        }
        let deadline = self.invocation.queue_deadline;
        // Boxed, so that events without undelivered telemetry don't carry its state.
        let placed = Box::pin(enqueue(&self.forwarder.queues, undelivered, delay, deadline)).await;
        self.note_placed(placed)
    }

    /// Notes undelivered telemetry with its place. Returns the number of items that come again.
    pub(crate) fn note_placed(&mut self, placed: impl Iterator<Item = Undelivered>) -> usize {
        let mut returned = 0;
        for part in placed {
            if part.comes_again() {
                returned += part.items;
            }
            self.report.note(part);
        }
        returned
    }

    /// `attempt` counts from 1.
    pub(crate) fn delivery_context(&self, attempt: u32) -> DeliveryContext {
        DeliveryContext {
            observed_unix_nano: self.invocation.observed_unix_nano,
            observed_at: self.began,
            has_retry_queue: self.forwarder.queues.retry.is_some(),
            attempt,
            deadline: self.invocation.deadline,
        }
    }

    /// A dead letter that nothing counts or holds yet.
    fn new_dead_letter(
        &self,
        destination: &str,
        content: Content,
        items: usize,
        reason: String,
        log_events: &LogEventRange,
    ) -> QueuedTelemetry {
        let first_seen = self.invocation.observed_unix_nano;
        let dead_letter =
            QueuedTelemetry::new(destination, content, items, reason, log_events, first_seen);
        QueuedTelemetry { fate: Fate::DeadLetter, ..dead_letter }
    }
}
