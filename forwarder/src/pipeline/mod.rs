//! Forwards one event: reads it, converts its log events chunk by chunk, delivers them, and reports their fate.
//!
//! The stages, from the event to the account. Each has its limits beside its code, with their reasons:
//!
//! ```text
//! read      Reading::next             batches of at most 3 MiB (SourceLimits), stream by stream
//! convert   convert::convert          chunks of at most 8 MiB of OTLP
//! divide    RequestPieces             pieces of what a delivery takes, as rules and adaptation copy them
//! rule      OriginRules::apply        drop, change, redact, sample
//! adapt     backend::sanitize         for each destination: names and types that OpenObserve keeps
//! collect   Outbox::add               batches by destination, signal and stream, until 2 MiB wait
//! order     delivery::deliver         six batches at once; 10 s without an accepted item end a signal
//! merge     wire::merge               requests of the destination's size
//! window    IngestPolicy::sort        what OpenObserve would drop as too old is dead-lettered
//! send      Client::export            10 s with at most 2 retries; a refused request is halved
//! bisect    bisect_refused            only a queued request, from the second reception of its message on
//! account   Outbox::note_sent         the ledger counts what was accepted
//! queue     queues::put::enqueue      messages of at most 900 KiB, into the retry or the dead-letter queue
//! report    Report::note              the ledger counts the rest, by its place
//! ```
//!
//! [`Forwarder::forward`] begins a [`Forwarding`], which has the stages down to `collect`; the [`Outbox`] has the others. The events
//! that Lambda wants answered in parts go through `sources`, which forwards each Kinesis record or message of a queue by itself. If a
//! rule asks about whole traces, [`Forwarding::read_traces`] reads and converts the whole event first (`traces`).
//!
//! An ended execution comes from a queue too: `executions` reads its history from AWS, whose spans go through the stages from `divide`
//! on.
//!
//! A queued request, which needs no conversion, goes from `sources` to [`redrive`](crate::queues::redrive::redrive).

mod executions;
mod outbox;
mod pieces;
mod reading;
mod router;
mod sources;
mod traces;

use crate::config::Config;
use crate::convert::{ConvertOptions, Converted, StreamState};
use crate::delivery::destination::{Destination, DestinationRoute, Export};
use crate::executions::Executions;
use crate::invocation::InvocationContext;
use crate::ledger::Ledger;
use crate::queues::put::Queues;
use crate::queues::{Queue, SqsQueue};
use crate::report::{MAX_DETAILS, Report};
use crate::rules::{OriginRules, RuleSet, SeenTraces};
use crate::source::{Event, EventData, LogBatch, LogEventRange, SourceError, SourceLimits};
use backend::{Sanitized, sanitize};
use pieces::RequestPieces;
use platform::RecentInvocations;
use reading::{Chunk, EventPart, Read, Reading, Reads};
use router::{RoutePart, Routing};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use wire::Request;

pub(crate) use outbox::Outbox;

#[derive(Debug)]
pub struct Forwarder<E, Q = SqsQueue> {
    pub(crate) destinations: Vec<Arc<Destination<E>>>,
    rules: Arc<RuleSet>,
    pub(crate) queues: Queues<Q>,
    options: Options,
    /// The reader of histories, if the traces of executions are on.
    executions: Option<Arc<Executions>>,
    recent: Arc<RecentInvocations>,
    last_end: Mutex<Option<EventEnd>>,
    has_warned_of_own: AtomicBool,
}

/// The time at which an event was forwarded. A monotonic clock may stand still during a freeze.
#[derive(Clone, Copy, Debug)]
struct EventEnd {
    wall_unix_nano: u64,
    monotonic: Instant,
}

impl EventEnd {
    /// The time from this end to the beginning of an event, by the faster clock.
    fn time_until(self, event_unix_nano: u64) -> Duration {
        let by_wall = Duration::from_nanos(event_unix_nano.saturating_sub(self.wall_unix_nano));
        by_wall.max(self.monotonic.elapsed())
    }
}

/// After this idle time a connection may be dead: load balancers close it, and a frozen environment does not notice.
const LONGEST_IDLE_TIME: Duration = Duration::from_secs(5);

impl<E: Export, Q: Queue> Forwarder<E, Q> {
    /// Creates a forwarder. The first destination is the default.
    pub fn new(
        destinations: Vec<Arc<Destination<E>>>,
        queues: Queues<Q>,
        options: Options,
    ) -> Self {
        Self {
            destinations,
            rules: Arc::default(),
            queues,
            options,
            executions: None,
            recent: Arc::default(),
            last_end: Mutex::default(),
            has_warned_of_own: AtomicBool::new(false),
        }
    }

    /// Also forwards ended executions.
    #[must_use]
    pub fn with_executions(self, executions: Option<Executions>) -> Self {
        Self { executions: executions.map(Arc::new), ..self }
    }

    /// Replaces the rules. `destinations` are the default destination and the ones that the rules name.
    pub fn set_rules(&mut self, rules: Arc<RuleSet>, destinations: Vec<Arc<Destination<E>>>) {
        self.rules = rules;
        self.destinations = destinations;
    }

    pub async fn forward(&self, event: Event, invocation: &InvocationContext) -> Report {
        self.drop_old_connections(invocation);
        let began = Instant::now();
        let mut forwarding = Forwarding {
            forwarder: self,
            invocation,
            traces: None,
            kept_reads: VecDeque::new(),
            stream: StreamState::with_recent(Arc::clone(&self.recent)),
            outbox: Outbox::new(self, invocation, began),
        };
        if !matches!(event, Event::Queue(_)) {
            forwarding.read_traces(&EventPart::all_of(&event));
        }
        let mut read_error = None;
        let mut batch_item_failures = None;
        match event {
            Event::CloudWatchLogs(ref data) => {
                read_error = forwarding.forward_subscription(&event, data).await;
            }
            Event::Kinesis(records) => {
                batch_item_failures = Some(forwarding.forward_records(records).await);
            }
            Event::Queue(messages) => {
                batch_item_failures = Some(forwarding.forward_messages(messages).await);
                // Their age is the backend's outage, not the lag of log events.
                forwarding.outbox.report.oldest_event_ms = None;
            }
            Event::Unknown(what) => read_error = Some(SourceError::unknown(&what)),
        }
        self.note_end(invocation, began);
        Report { read_error, batch_item_failures, ..forwarding.outbox.report }
    }

    fn note_end(&self, invocation: &InvocationContext, began: Instant) {
        let took = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let wall_unix_nano = invocation.observed_unix_nano.saturating_add(took);
        let end = EventEnd { wall_unix_nano, monotonic: Instant::now() };
        *self.last_end.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
    }

    /// Drops connections that were idle for long, such as during a freeze.
    fn drop_old_connections(&self, invocation: &InvocationContext) {
        let last_end = *self.last_end.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old =
            |end: EventEnd| end.time_until(invocation.observed_unix_nano) >= LONGEST_IDLE_TIME;
        if last_end.is_some_and(is_old) {
            self.destinations.iter().for_each(|destination| destination.export.drop_connections());
        }
    }
}

/// The forwarding of one event: the reading side, from batches of log events to adapted requests. The [`Outbox`] is the sending side.
struct Forwarding<'f, E, Q> {
    forwarder: &'f Forwarder<E, Q>,
    invocation: &'f InvocationContext,
    /// The traces of the whole event, or of the current message of a queue; `None` if no rule asks about traces.
    traces: Option<SeenTraces>,
    /// The reads of the next parts, if [`read_traces`](Self::read_traces) kept them.
    kept_reads: VecDeque<VecDeque<Read>>,
    /// The state between two parts.
    stream: StreamState,
    outbox: Outbox<'f, E, Q>,
}

impl<'f, E: Export, Q: Queue> Forwarding<'f, E, Q> {
    /// Forwards the log events of a subscription, and returns the reason if the event has to be returned unread. An event
    /// that is readable only in part goes to the dead-letter queue: each of Lambda's attempts would deliver its first part again.
    async fn forward_subscription(
        &mut self,
        event: &Event,
        data: &EventData,
    ) -> Option<SourceError> {
        let mut read_error = self.forward_part(&EventPart::Whole(event), Arrival::First).await;
        let has_queue = self.forwarder.queues.dead_letters.is_some();
        if let Some(error) = read_error.take_if(|_| has_queue) {
            self.outbox.report.ledgers.total.events += 1;
            let bytes = data.bytes().to_vec();
            self.outbox.dead_letter_raw(bytes, error.to_string(), &LogEventRange::default());
        }
        self.outbox.flush().await;
        read_error
    }

    /// Forwards a part of an event while reading it. Returns the first error.
    ///
    /// On this thread: one that reads ahead saves less time than it costs on Lambda's fraction of a processor, and needs more memory.
    async fn forward_part(
        &mut self,
        part: &EventPart<'_>,
        arrival: Arrival,
    ) -> Option<SourceError> {
        let Self { forwarder, invocation, .. } = *self;
        let mut reads = if let Some(kept) = self.kept_reads.pop_front() {
            Reads::Kept(kept)
        } else {
            let stream = std::mem::take(&mut self.stream);
            Reads::ToCome(Reading::begin(forwarder, invocation, stream, part))
        };
        let mut first_error = None;
        let mut current = None;
        while let Some(read) = reads.next() {
            match read {
                Read::Chunk(chunk) => {
                    let is_current = |known: &&mut ForwardedBatch<'_, E>| {
                        Arc::ptr_eq(&known.batch, &chunk.batch)
                    };
                    let batch = match current.as_mut().filter(is_current) {
                        Some(batch) => batch,
                        None => current.insert(self.begin_batch(&chunk.batch, arrival)),
                    };
                    if let Err(Panicked) = self.forward_chunk(chunk, batch).await {
                        reads.skip_batch(&batch.batch);
                    }
                    self.outbox.flush_if_full().await;
                }
                Read::Unforwarded(batch) => forwarder.consume(&batch, &mut self.outbox.report),
                Read::Unreadable(error) => {
                    first_error.get_or_insert(error);
                }
            }
        }
        if let Reads::ToCome(reading) = reads {
            self.stream = reading.into_stream();
        }
        first_error
    }

    /// Selects the routes of a batch.
    fn begin_batch(&mut self, batch: &Arc<LogBatch>, arrival: Arrival) -> ForwardedBatch<'f, E> {
        self.outbox.report.ledgers.total.cut += batch.cut;
        self.outbox.report.note_oldest(batch);
        ForwardedBatch {
            batch: Arc::clone(batch),
            routing: self.forwarder.select_routes(batch, arrival),
        }
    }

    /// Forwards a chunk. If its conversion or its rules panic, dead-letters it with the rest of the batch.
    async fn forward_chunk(
        &mut self,
        mut chunk: Chunk,
        batch: &ForwardedBatch<'_, E>,
    ) -> Result<(), Panicked> {
        let converted = std::mem::replace(&mut chunk.converted, Err(Panicked));
        if let Ok(converted) = converted
            && let Ok(converted) = self.route(*converted, batch).await
        {
            self.outbox.note_converted(converted, &batch.batch, &batch.routing);
            return Ok(());
        }
        let events = chunk.unforwarded_events();
        let panicked = LogBatch { events, ..batch.batch.without_events() };
        self.outbox.dead_letter_panicked(panicked, &batch.routing);
        Err(Panicked)
    }

    /// Takes what a chunk was converted to through the rules to its destinations. Returns the rest of the conversion's result, which
    /// counts only if nothing panics.
    async fn route(
        &mut self,
        mut converted: Converted,
        batch: &ForwardedBatch<'_, E>,
    ) -> Result<Converted, Panicked> {
        let Forwarder { rules, options, .. } = self.forwarder;
        let origin_rules = rules.of_origin(&batch.batch.origin);
        let requests = std::mem::take(&mut converted.requests);
        let mut pieces = RequestPieces::new(requests, rules.growth(), options.enough_to_deliver);
        while let Some(piece) = catch_panic(|| pieces.next())? {
            let CountedRequests { requests, ledger } = self.apply_rules(&origin_rules, piece)?;
            let parts = catch_panic(|| batch.routing.share_out(requests, ledger))?;
            for RoutePart { route, requests, ledger, not_taken } in parts {
                self.outbox.report.not_taken += not_taken;
                let adapted = adapt(requests, route, &converted.service_name)?;
                self.outbox.add(route, &batch.routing, adapted, ledger).await;
            }
        }
        Ok(converted)
    }

    /// Applies the rules to requests.
    fn apply_rules(
        &mut self,
        rules: &OriginRules<'_>,
        requests: Vec<Request>,
    ) -> Result<CountedRequests, Panicked> {
        let mut ledger = Ledger::default();
        for request in &requests {
            ledger.items.add(request.kind(), request.items());
        }
        if rules.is_empty() {
            return Ok(CountedRequests { requests, ledger });
        }
        let result = catch_panic(|| {
            // Resources and scopes are decoded once. Without rules, the delivery merges.
            let merged = wire::merge(requests, usize::MAX);
            rules.apply(merged, self.traces.as_ref())
        })?;
        ledger.dropped = result.dropped();
        self.outbox.report.note_effects(result.effects);
        Ok(CountedRequests { requests: result.requests, ledger })
    }
}

/// Adapts requests to the destination of a route.
fn adapt<E>(
    requests: Vec<Request>,
    route: &DestinationRoute<'_, E>,
    service_name: &str,
) -> Result<Vec<Sanitized>, Panicked> {
    let profile = route.destination.config.profile;
    catch_panic(|| {
        let adapt = |request| sanitize(profile, request, service_name);
        requests.into_iter().map(adapt).collect()
    })
}

/// A batch whose log events are being forwarded.
struct ForwardedBatch<'f, E> {
    batch: Arc<LogBatch>,
    routing: Routing<'f, E>,
}

/// The way by which log events arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrival {
    /// From their source. Their log group also has them.
    First,
    /// From the retry queue. Their log group may have expired them.
    Redriven,
}

/// Requests after the rules, with their counts.
struct CountedRequests {
    requests: Vec<Request>,
    /// The items before the rules, and those that the rules dropped.
    ledger: Ledger,
}

/// The reading of untrusted content panicked.
struct Panicked;

/// Calls a function that reads untrusted content.
fn catch_panic<T>(read: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(read)).map_err(|_| Panicked)
}

#[derive(Clone, Debug)]
pub struct Options {
    pub source: SourceLimits,
    pub convert: ConvertOptions,
    /// The forwarder's region. Subscriptions deliver within their region, so it is the region of log groups without one.
    pub region: Option<String>,
    /// Log groups of the forwarder and of the other functions of the delivery path. Forwarding their log events would cause
    /// further log events without end.
    pub own_log_groups: Vec<String>,
    /// Size of waiting requests that starts a delivery.
    pub enough_to_deliver: usize,
    /// Limit on the size of what an event is converted to until all its traces are known, if a rule asks about whole traces. A larger
    /// event is converted again.
    pub kept_bytes: usize,
    /// Limit on the undecodable lines that a report lists. The ledger counts all.
    pub max_details: usize,
}

impl Options {
    pub fn of(config: &Config) -> Self {
        Self {
            source: SourceLimits::default(),
            convert: ConvertOptions {
                platform: config.platform,
                platform_spans: config.platform_spans,
            },
            region: config.region.clone(),
            own_log_groups: config.own_log_groups.clone(),
            enough_to_deliver: 2 * 1024 * 1024,
            // A usual event has 1 to 2 MB with its log events, and the largest one 256 MiB.
            kept_bytes: 8 * 1024 * 1024,
            max_details: MAX_DETAILS,
        }
    }
}

#[cfg(test)]
mod tests;
