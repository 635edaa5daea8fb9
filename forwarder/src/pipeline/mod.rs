//! The pipeline: one event in, its log events converted and delivered in chunks, one report out.

mod kinesis;
pub(crate) mod options;
mod queue_messages;
pub(crate) mod redrive;
pub(crate) mod report;
pub(crate) mod routing;
pub(crate) mod run;

use crate::convert::{Converted, Window, convert};
use crate::deliver::enqueue::{Keep, Queues, place};
use crate::deliver::{Remainder, Times, deliver};
use crate::destination::{DEFAULT_DESTINATION, Export, Outlet};
use crate::ledger::Ledger;
use crate::parking::{Content, Origin, Parked, Queue};
use crate::pipeline::routing::Course;
use crate::pipeline::run::{Progress, letter};
use crate::rules::RuleSet;
use crate::source::{
    Envelope, Event, HandOn, LogBatch, LogEvent, MessageType, SourceError, Subscription,
};
use backend::Fate;
use options::Options;
use report::Report;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// What is known of one invocation.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Time of the delivery, in nanoseconds since the Unix epoch.
    pub observed_unix_nano: u64,
    /// When the last request to a backend must have ended.
    pub deadline: Instant,
    /// When the last request to a queue must have ended.
    pub queue_deadline: Instant,
    /// The forwarder's own account, where known: a log group of the same name in another account
    /// is not its own.
    pub account: Option<String>,
}

/// Forwards events to its destinations.
#[derive(Debug)]
pub struct Forwarder<E, Q> {
    pub(crate) outlets: Vec<Arc<Outlet<E>>>,
    pub(crate) rules: Arc<RuleSet>,
    pub(crate) queues: Queues<Q>,
    pub(crate) options: Options,
    /// When the last delivery ended, by the clock of its event.
    last_end: Mutex<Option<(u64, Instant)>>,
}

/// Connections that were idle for so long may be gone: a load balancer closes them, and a frozen
/// environment does not see it.
const LONGEST_SILENCE: Duration = Duration::from_secs(5);

impl<E: Export, Q: Queue> Forwarder<E, Q> {
    /// A forwarder that sends to these destinations, the first of them the default, and keeps in these
    /// queues what they do not take.
    pub fn new(outlets: Vec<Arc<Outlet<E>>>, queues: Queues<Q>, options: Options) -> Self {
        Self { outlets, rules: Arc::default(), queues, options, last_end: Mutex::default() }
    }

    /// Puts rules in force; `outlets` are the default destination and those that the rules name.
    pub fn set_rules(&mut self, rules: Arc<RuleSet>, outlets: Vec<Arc<Outlet<E>>>) {
        self.rules = rules;
        self.outlets = outlets;
    }

    /// Delivers all that one event holds.
    pub async fn forward(&self, event: Event, invocation: &Invocation) -> Report {
        self.wake(invocation);
        let begin = Instant::now();
        let mut progress = Progress::new();
        match event {
            Event::CloudWatchLogs(subscription) => {
                self.forward_subscription(subscription, invocation, &mut progress).await;
            }
            Event::Kinesis(records) => {
                self.forward_records(records, invocation, &mut progress).await;
            }
            Event::Queue(messages) => {
                self.forward_messages(messages, invocation, &mut progress).await;
            }
            Event::Unknown(what) => progress.report.unread = Some(SourceError::Unknown(what)),
        }
        let took = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let end = invocation.observed_unix_nano.saturating_add(took);
        *self.last_end.lock().unwrap_or_else(PoisonError::into_inner) = Some((end, Instant::now()));
        progress.report
    }

    /// What cannot be read to its end is kept as it is, where there is a queue for it: returned, it would be
    /// delivered up to the mistake with each of Lambda's attempts.
    async fn forward_subscription(
        &self,
        subscription: Subscription,
        invocation: &Invocation,
        progress: &mut Progress,
    ) {
        let limits = self.options.source;
        let subscription = Arc::new(subscription);
        let unread = if let Some(delivery) = subscription.inflate_small(limits.chunk_bytes) {
            let read = |hand_on: HandOn<'_>| delivery.read(&limits, hand_on);
            self.convert_at_once(read, invocation, progress).await
        } else {
            let source = Arc::clone(&subscription);
            let read = move |hand_on: HandOn<'_>| source.read(&limits, hand_on);
            self.convert_all(read, invocation, progress).await
        };
        match unread {
            Some(error) if self.queues.dead_letters.is_some() && error.may_come_late() => {
                progress.report.account.total.events += 1;
                let (bytes, origin) = (subscription.bytes(), Origin::default());
                progress.bury_raw(bytes, error.to_string(), &origin, invocation);
            }
            unread => progress.report.unread = unread,
        }
        self.flush(invocation, progress).await;
    }

    /// Drops connections from before a freeze. The monotonic clock may stand still in one, the wall
    /// clock does not.
    fn wake(&self, invocation: &Invocation) {
        let last = *self.last_end.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((wall, monotonic)) = last else { return };
        let silence = Duration::from_nanos(invocation.observed_unix_nano.saturating_sub(wall))
            .max(monotonic.elapsed());
        if silence >= LONGEST_SILENCE {
            self.outlets.iter().for_each(|outlet| outlet.export().drop_connections());
        }
    }

    /// Converts all batches that `read` hands on, which hold little: to hand them from one thread to the other
    /// takes longer than to wait for them.
    async fn convert_at_once(
        &self,
        read: impl FnOnce(HandOn<'_>) -> Result<(), SourceError>,
        invocation: &Invocation,
        progress: &mut Progress,
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
            self.convert_batch(&batch, invocation, progress).await;
        }
        self.end_stream(invocation, progress).await;
        read.err()
    }

    /// Converts all batches that `read` hands on, delivering on the way where they are many.
    pub(crate) async fn convert_all<R>(
        &self,
        read: R,
        invocation: &Invocation,
        progress: &mut Progress,
    ) -> Option<SourceError>
    where
        R: FnOnce(HandOn<'_>) -> Result<(), SourceError> + Send + 'static,
    {
        // One batch waits while one is delivered: reading a large event needs memory for three.
        let (hand_on, mut batches) = mpsc::channel(1);
        let reading = tokio::task::spawn_blocking(move || {
            read(&mut |batch| hand_on.blocking_send(batch).is_ok())
        });
        while let Some(batch) = batches.recv().await {
            self.convert_batch(&batch, invocation, progress).await;
        }
        self.end_stream(invocation, progress).await;
        match reading.await {
            Ok(read) => read.err(),
            Err(_) => Some(SourceError::Panicked),
        }
    }

    /// Converts one batch; what waits for the end of its line in another stream waits no longer.
    pub(crate) async fn convert_batch(
        &self,
        batch: &LogBatch,
        invocation: &Invocation,
        progress: &mut Progress,
    ) {
        if !progress.window.is_of(&batch.envelope) {
            self.end_stream(invocation, progress).await;
        }
        if self.is_own(batch, invocation) {
            let events = batch.events.len();
            progress.report.account.total +=
                Ledger { events, consumed: events, own_log_group: events, ..Ledger::default() };
            return;
        }
        self.convert_events(batch, invocation, progress).await;
    }

    /// Converts what waits for the end of its line: no more of its stream comes.
    pub(crate) async fn end_stream(&self, invocation: &Invocation, progress: &mut Progress) {
        if let Some(rest) = progress.window.take_held() {
            self.convert_events(&rest, invocation, progress).await;
        }
        progress.window = Window::default();
    }

    async fn convert_events(
        &self,
        batch: &LogBatch,
        invocation: &Invocation,
        progress: &mut Progress,
    ) {
        let oldest = batch.events.iter().map(|event| event.timestamp_ms).min();
        let report = &mut progress.report;
        report.oldest_event_ms = oldest.into_iter().chain(report.oldest_event_ms).min();
        let course = self.course(batch);
        // What goes several ways is in memory as often before it is delivered.
        let ways = course.ways();
        let most_bytes = if ways > 1 { self.options.source.chunk_bytes / ways } else { usize::MAX };
        let mut events = batch.events.as_slice();
        loop {
            let first = first_of(events, most_bytes);
            let taken = self.convert_some(batch, first, &course, invocation, progress);
            events = events.get(taken.max(1)..).unwrap_or_default();
            if progress.outgoing_bytes() >= self.options.enough_to_deliver {
                self.flush(invocation, progress).await;
            }
            if events.is_empty() {
                return;
            }
        }
    }

    /// Converts the first of `events`; answers how many these were.
    fn convert_some(
        &self,
        batch: &LogBatch,
        events: &[LogEvent],
        course: &Course,
        invocation: &Invocation,
        progress: &mut Progress,
    ) -> usize {
        let before = std::mem::take(&mut progress.window);
        let mut held = before.held().to_vec();
        // The rules and what backends ask for look into customers' content as the conversion does.
        let converting = AssertUnwindSafe(|| {
            let observed = invocation.observed_unix_nano;
            let service_name = course.service_name.as_deref();
            let options = &self.options.convert;
            let mut converted =
                convert(&batch.envelope, events, before, options, service_name, observed);
            let requests = std::mem::take(&mut converted.requests);
            let prepared = self.prepare(requests, &converted.service_name, course);
            (converted, prepared)
        });
        let Ok((converted, prepared)) = catch_unwind(converting) else {
            // What they would have become nobody knows: each event counts as one item.
            progress.report.panics += 1;
            held.extend_from_slice(events);
            let count = held.len();
            progress.report.account.total.events += count;
            let batch = LogBatch { envelope: batch.envelope.clone(), events: held };
            let reason =
                "converting these log events panicked, which is a mistake of the forwarder's";
            let reason = reason.to_owned();
            let events_letter =
                letter(Content::Events(batch), count, reason, &course.origin, invocation);
            progress.bury(events_letter);
            return events.len();
        };
        progress.take(prepared, self.options.most_details);
        self.take_converted(converted, course, invocation, progress)
    }

    fn take_converted(
        &self,
        converted: Converted,
        course: &Course,
        invocation: &Invocation,
        progress: &mut Progress,
    ) -> usize {
        let Converted { taken, ledger, undecodable, .. } = converted;
        progress.window = converted.window;
        progress.report.account.total += ledger;
        progress.report.implausible_figures += converted.implausible_figures;
        // What comes out of the queue somebody kept once, and its log group may have forgotten it.
        let keep = self.options.keep_undecodable || progress.is_redriven;
        if !keep && !undecodable.is_empty() {
            let lines = Ledger::of_undecodable(undecodable.len());
            let dropped = lines.items.undecodable;
            progress.report.account.add(DEFAULT_DESTINATION, Ledger { dropped, ..lines });
            return taken;
        }
        for (event, mut line) in undecodable {
            let content = Content::Line {
                event_id: event.id.clone(),
                timestamp_ms: event.timestamp_ms,
                // Held once: the report needs reason, size and hash only.
                line: std::mem::take(&mut line.line),
            };
            let reason = line.reason.to_string();
            progress.bury(letter(content, 1, reason, &course.origin, invocation));
            if progress.report.undecodable.len() < self.options.most_details {
                progress.report.undecodable.push((event.id, line));
            }
        }
        taken
    }

    /// Delivers what was converted, and keeps what was not taken.
    pub(crate) async fn flush(&self, invocation: &Invocation, progress: &mut Progress) {
        let (outgoing, letters) = progress.take_waiting();
        let (began, longest) = (Instant::now(), self.options.patience);
        let times = self.times(invocation, progress.began, 1);
        let Progress { patience, report, .. } = progress;
        let deadline =
            |lane, since| invocation.deadline.min(patience.deadline(lane, since, longest));
        let mut delivered = deliver(&self.outlets, outgoing, times, deadline).await;
        patience.note(std::mem::take(&mut delivered.verdicts), began);
        let remainders = report.take_delivered(delivered, self.options.most_details);
        let rest = remainders.into_iter().filter_map(|rest| self.keep(rest, invocation));
        let keep = letters.into_iter().chain(rest).collect();
        self.keep_all(keep, Duration::ZERO, invocation, report).await;
    }

    pub(crate) fn times(&self, invocation: &Invocation, began: Instant, attempt: u32) -> Times {
        Times {
            observed_unix_nano: invocation.observed_unix_nano,
            observed_at: began,
            has_retry_queue: self.queues.retry.is_some(),
            attempt,
        }
    }

    /// Puts things into the queues, and what these do not take into the report as returned.
    pub(crate) async fn keep_all(
        &self,
        keep: Vec<Keep>,
        delay: Duration,
        invocation: &Invocation,
        report: &mut Report,
    ) {
        let placed = place(&self.queues, keep, delay, invocation.queue_deadline).await;
        report.account += placed.account;
        report.note(placed.undelivered, self.options.most_details);
    }

    fn keep(&self, remainder: Remainder, invocation: &Invocation) -> Option<Keep> {
        let Remainder { outlet, stream, part, origin } = remainder;
        let (content, reason) = (Content::Request(part.request), part.reason.to_string());
        let parked = Parked {
            destination: self.outlets.get(outlet)?.name().to_owned(),
            stream: stream.map(|stream| stream.to_string()),
            partial: part.fate == Fate::DeadLetterPartial,
            ..letter(content, part.items, reason, &origin, invocation)
        };
        let parked = parked.with_times();
        Some(Keep { parked, fate: part.fate, is_in_log_group: false })
    }

    fn is_own(&self, batch: &LogBatch, invocation: &Invocation) -> bool {
        let Envelope { message_type, owner, region, log_group, .. } = &batch.envelope;
        let is_same =
            |own: &Option<String>, other: &String| own.as_ref().is_none_or(|own| own == other);
        let own_region = &self.options.convert.region;
        *message_type == MessageType::Data
            && self.options.own_log_groups.contains(log_group)
            && is_same(&invocation.account, owner)
            && region.as_ref().is_none_or(|region| is_same(own_region, region))
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

#[cfg(test)]
mod tests;
