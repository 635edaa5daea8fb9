//! Converts the log events of an event, batch by batch, and delivers on the way where they are many.

use super::pieces::Pieces;
use super::routing::{Prepared, Routing, Ruled, apply_rules, prepare, route};
use super::run::Run;
use crate::convert::{Converted, StreamState, convert};
use crate::destination::{DEFAULT_DESTINATION, Export};
use crate::ledger::{Consumed, Ledger};
use crate::parking::{Content, Queue};
use crate::rules::Effect;
use crate::source::{HandOn, LogBatch, LogEvent, LogEventRange, MessageType, SourceError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;
use wire::{Request, UndecodableLine};

impl<E: Export, Q: Queue> Run<'_, E, Q> {
    /// Converts all batches that `read` hands on, which hold little: to hand them from one thread to the other
    /// takes longer than to wait for them.
    pub(super) async fn convert_at_once(
        &mut self,
        read: impl FnOnce(HandOn<'_>) -> Result<(), SourceError>,
    ) -> Option<SourceError> {
        let mut batches = Vec::new();
        let reading = AssertUnwindSafe(|| {
            read(&mut |batch| {
                batches.push(batch);
                true
            })
        });
        let read = catch_unwind(reading).unwrap_or(Err(SourceError::Panicked));
        for batch in batches {
            self.convert_batch(batch).await;
        }
        self.end_stream().await;
        read.err()
    }

    /// Converts all batches that `read` hands on, delivering on the way where they are many.
    pub(super) async fn convert_all<R>(&mut self, read: R) -> Option<SourceError>
    where
        R: FnOnce(HandOn<'_>) -> Result<(), SourceError> + Send + 'static,
    {
        // One batch waits while one is delivered: reading a large event needs memory for three.
        let (hand_on, mut batches) = mpsc::channel(1);
        let reading = tokio::task::spawn_blocking(move || {
            read(&mut |batch| hand_on.blocking_send(batch).is_ok())
        });
        while let Some(batch) = batches.recv().await {
            self.convert_batch(batch).await;
        }
        self.end_stream().await;
        match reading.await {
            Ok(read) => read.err(),
            Err(_) => Some(SourceError::Panicked),
        }
    }

    /// Converts one batch. What waits for the end of its line in another stream waits no longer.
    pub(super) async fn convert_batch(&mut self, mut batch: LogBatch) {
        batch.origin = batch.origin.or_region(self.forwarder.options.region.as_deref());
        if !self.stream.is_of(&batch.origin) {
            self.end_stream().await;
        }
        let (events, is_own) = (batch.events.len(), self.is_own(&batch));
        if is_own || batch.message_type == MessageType::Control {
            let consumed = if is_own {
                self.warn_of_own(&batch);
                Consumed { own_log_group: events, ..Consumed::default() }
            } else {
                self.note_oldest(&batch);
                Consumed { control_messages: events, ..Consumed::default() }
            };
            self.report.account.total += Ledger { events, consumed, ..Ledger::default() };
            return;
        }
        self.convert_events(&batch).await;
    }

    /// Converts what waits for the end of its line: no more of its stream comes.
    pub(super) async fn end_stream(&mut self) {
        if let Some(rest) = self.stream.take_held() {
            self.convert_events(&rest).await;
        }
        self.stream = StreamState::default();
    }

    fn note_oldest(&mut self, batch: &LogBatch) {
        let oldest = batch.events.iter().map(|event| event.timestamp_ms).min();
        let report = &mut self.report;
        report.oldest_event_ms = oldest.into_iter().chain(report.oldest_event_ms).min();
    }

    async fn convert_events(&mut self, batch: &LogBatch) {
        self.note_oldest(batch);
        let routing = route(&self.forwarder.rules, &self.forwarder.destinations, batch);
        // What has several routes is in memory as often before it is delivered.
        let routes = routing.routes();
        let chunk_bytes = self.forwarder.options.source.chunk_bytes;
        let most_bytes = if routes > 1 { chunk_bytes / routes } else { usize::MAX };
        let mut events = batch.events.as_slice();
        loop {
            let first = first_of(events, most_bytes);
            let taken = self.convert_some(batch, first, &routing).await;
            events = events.get(taken.max(1)..).unwrap_or_default();
            if self.has_enough_to_deliver() {
                self.flush().await;
            }
            if events.is_empty() {
                return;
            }
        }
    }

    /// Converts the first of `events`, delivering on the way where they become very much; answers how many these were.
    async fn convert_some(
        &mut self,
        batch: &LogBatch,
        events: &[LogEvent],
        routing: &Routing,
    ) -> usize {
        let before = std::mem::take(&mut self.stream).with_read(self.read);
        let mut held = before.held().to_vec();
        let converting = AssertUnwindSafe(|| {
            let observed = self.invocation.observed_unix_nano;
            let service_name = routing.service_name.as_deref();
            let options = &self.forwarder.options.convert;
            convert(&batch.origin, events, before, options, service_name, observed)
        });
        let converted = match catch_unwind(converting) {
            Ok(mut converted) => {
                let requests = std::mem::take(&mut converted.requests);
                let prepared = self.prepare(requests, routing, &converted.service_name).await;
                prepared.then_some(converted)
            }
            Err(_) => None,
        };
        let Some(converted) = converted else {
            held.extend_from_slice(events);
            self.take_panicked(LogBatch { events: held, ..batch.without_events() }, routing);
            return events.len();
        };
        self.take_converted(converted, batch, routing)
    }

    /// Applies the rules to requests, and makes them what each of their destinations asks for, piece by piece. False if that
    /// panicked: rules and backends' wishes look into customers' content as the conversion does.
    async fn prepare(
        &mut self,
        requests: Vec<Request>,
        routing: &Routing,
        service_name: &str,
    ) -> bool {
        let (rules, options) = (&self.forwarder.rules, &self.forwarder.options);
        let destinations = &self.forwarder.destinations;
        for piece in Pieces::new(requests, rules.growth(), options.enough_to_deliver) {
            let applying = AssertUnwindSafe(|| apply_rules(rules, routing, piece));
            let Ok(Ruled { mut requests, ledger, rules, unreadable }) = catch_unwind(applying)
            else {
                return false;
            };
            self.report.unreadable += unreadable;
            Effect::add_all(&mut self.report.rules, rules);
            for route in 0..routing.routes() {
                let is_last = route + 1 == routing.routes();
                let requests =
                    if is_last { std::mem::take(&mut requests) } else { requests.clone() };
                let preparing = AssertUnwindSafe(|| {
                    prepare(destinations, routing, route, &ledger, requests, service_name)
                });
                let Ok(Prepared { account, outgoing, refused, dropped }) = catch_unwind(preparing)
                else {
                    return false;
                };
                self.waiting.deliver(outgoing);
                self.report.account += account;
                self.report.dropped_points += dropped;
                for spans in refused {
                    self.refuse(spans);
                }
                if self.has_enough_to_deliver() {
                    self.flush().await;
                }
            }
        }
        true
    }

    /// Dead-letters log events whose conversion panicked. What they would have become nobody knows: each counts as one item.
    fn take_panicked(&mut self, batch: LogBatch, routing: &Routing) {
        self.report.panics += 1;
        let count = batch.events.len();
        self.report.account.total.events += count;
        let reason = "converting these log events panicked, which is a mistake of the forwarder's";
        let log_events = LogEventRange::clone(&routing.log_events);
        let parked = self.parked(Content::Events(batch), count, reason.to_owned(), log_events);
        self.dead_letter(parked);
    }

    fn take_converted(
        &mut self,
        converted: Converted,
        batch: &LogBatch,
        routing: &Routing,
    ) -> usize {
        let Converted { taken, ledger, undecodable, .. } = converted;
        self.read = converted.state.read();
        self.stream = converted.state;
        self.report.account.total += ledger;
        self.report.dropped_figures += converted.dropped_figures;
        if converted.superseded > 0 {
            let superseded = Ledger::of_superseded(converted.superseded);
            self.report.account.add(DEFAULT_DESTINATION, superseded);
        }
        // What comes out of the queue somebody kept once, and its log group may have forgotten it.
        let keep = self.forwarder.options.keep_undecodable || self.is_redriven;
        if !keep && !undecodable.is_empty() {
            let count = undecodable.iter().map(|(_, line)| line.lines()).sum();
            let lines = Ledger::of_undecodable(count);
            let dropped = lines.items.undecodable;
            self.report.account.add(DEFAULT_DESTINATION, Ledger { dropped, ..lines });
            return taken;
        }
        self.dead_letter_lines(undecodable, batch, routing);
        taken
    }

    /// Dead-letters lines that do not decode: one with its reason, several in one message as the log events that they are, since
    /// a few hundred kilobytes may hold tens of thousands.
    fn dead_letter_lines(
        &mut self,
        lines: Vec<(LogEvent, UndecodableLine)>,
        batch: &LogBatch,
        routing: &Routing,
    ) {
        let count: usize = lines.iter().map(|(_, line)| line.lines()).sum();
        let mut events = Vec::with_capacity(lines.len());
        let mut reason = String::new();
        for (event, mut line) in lines {
            if events.is_empty() {
                reason = line.reason.to_string();
            }
            // Held once: the report needs reason, size and hash only.
            events.push(LogEvent { message: std::mem::take(&mut line.line), ..event.clone() });
            if self.report.undecodable.len() < self.forwarder.options.most_details {
                self.report.undecodable.push((event.id, line));
            }
        }
        let content = match events.len() {
            0 => return,
            1 => events.pop().map(|LogEvent { id, timestamp_ms, message }| Content::Line {
                event_id: id,
                timestamp_ms,
                line: message,
            }),
            _ => {
                reason = format!("{count} lines do not decode, the first of them: {reason}");
                Some(Content::Events(LogBatch { events, ..batch.without_events() }))
            }
        };
        let Some(content) = content else { return };
        let log_events = LogEventRange::clone(&routing.log_events);
        let parked = self.parked(content, count, reason, log_events);
        self.dead_letter_undecodable(parked);
    }

    /// Whether the log group belongs to the delivery path itself: to this stack, or to another one of our template.
    fn is_own(&self, batch: &LogBatch) -> bool {
        let LogBatch { message_type, origin, .. } = batch;
        let options = &self.forwarder.options;
        let is_here = || {
            self.invocation.account.as_ref().is_none_or(|own| *own == origin.account)
                && options.region.as_ref().is_none_or(|own| *own == origin.region)
        };
        *message_type == MessageType::Data
            && options.own_log_groups.iter().any(|own| match own.strip_suffix('*') {
                Some(prefix) => origin.log_group.starts_with(prefix),
                None => *own == origin.log_group && is_here(),
            })
    }

    /// Says once an environment that a log group of the delivery path is subscribed: nothing of it is sent.
    fn warn_of_own(&mut self, batch: &LogBatch) {
        if !self.forwarder.has_warned_of_own.swap(true, Ordering::Relaxed) {
            self.report.warnings.push(format!(
                "the log group {} is a forwarder's own: its events are dropped, remove its subscription",
                batch.origin.log_group
            ));
        }
    }
}

/// The first log events, whose messages have about so many bytes; one at least.
fn first_of(events: &[LogEvent], most_bytes: usize) -> &[LogEvent] {
    let mut bytes = 0_usize;
    let end = events.iter().position(|event| {
        let is_end = bytes >= most_bytes;
        bytes = bytes.saturating_add(event.message.len());
        is_end
    });
    end.and_then(|end| events.get(..end.max(1))).unwrap_or(events)
}
