//! Merges requests and delivers them, in parallel for each destination and signal.

mod bisect;
pub(crate) mod circuit_breaker;
pub(crate) mod destination;
pub(crate) mod ingest_window;

use crate::ledger::Ledger;
use crate::queues::put::ToEnqueue;
use crate::report::Report;
use crate::source::LogEventRange;
use backend::{Fate, Outcome, Reason};
use bisect::bisect_refused;
use circuit_breaker::{Admission, verdict};
use destination::{Destination, Export, Place};
use ingest_window::Sorted;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wire::{Request, SignalKind};

/// The result of one delivery.
#[derive(Debug, Default)]
pub(crate) struct Delivered {
    pub(crate) report: Report,
    /// What was not accepted. The report has no fate for it yet.
    pub(crate) rest: Vec<ToEnqueue>,
    pub(crate) retry_after: Option<Duration>,
    /// For each lane, `true` if the destination accepts telemetry; `None` if unknown.
    pub(crate) verdicts: BTreeMap<Lane, Option<bool>>,
}

/// Limit on concurrent groups. One destination has three. Stream templates and routes make more, and all share the forwarder's
/// memory and connections.
const MOST_AT_ONCE: usize = 6;

/// Lane and place of a group that is being sent.
type Busy = (Lane, Option<Place>);

/// Sends all requests, each by the deadline of its lane.
pub(crate) async fn deliver<E: Export>(
    destinations: &[Arc<Destination<E>>],
    parcels: Vec<Parcel>,
    context: DeliveryContext,
    deadline: impl Fn(Lane, Since) -> Instant,
) -> Delivered {
    let mut delivered = Delivered::default();
    let (mut ready, mut held) = admit(destinations, group(destinations, parcels), context);
    let mut running = futures_util::stream::FuturesUnordered::new();
    let mut busy: Vec<Busy> = Vec::new();
    let mut since: BTreeMap<Lane, Since> = BTreeMap::new();
    let mut durations: BTreeMap<Lane, Duration> = BTreeMap::new();
    loop {
        while running.len() < MOST_AT_ONCE
            && let Some((admission, group)) = take_next(&mut ready, &busy)
        {
            // Always found: `parcels` was made from the same list.
            if let Some(destination) = destinations.get(group.lane.0) {
                let lane = group.lane;
                busy.push((lane, group.place));
                let since = since.entry(lane).or_insert_with(|| Since::FirstSent(Instant::now()));
                let deadline = deadline(lane, *since);
                running.push(send(destination, admission, group, context, deadline));
            }
        }
        let Some((sent, judged, part)) = futures_util::StreamExt::next(&mut running).await else {
            break;
        };
        if let Some(at) = busy.iter().position(|busy| *busy == sent) {
            busy.swap_remove(at);
        }
        let (lane, _) = sent;
        if let Some(Since::FirstSent(at)) = since.get(&lane) {
            durations.insert(lane, at.elapsed());
        }
        if judged == Some(true) {
            since.insert(lane, Since::LastAccepted(Instant::now()));
        }
        let verdict = delivered.verdicts.entry(lane).or_default();
        *verdict = (*verdict).max(judged);
        // Held groups wait for the probe of their lane, which was its first group.
        let admission = after_probe(judged);
        let released = held.extract_if(.., |group| group.lane == lane);
        ready.extend(released.map(|group| (admission, group)));
        delivered.take(part);
    }
    if context.has_retry_queue {
        for (lane, verdict) in &delivered.verdicts {
            let (destination, kind) = *lane;
            let duration = durations.get(lane).copied().unwrap_or_default();
            if let Some(destination) = destinations.get(destination) {
                destination.breaker(kind, |breaker| {
                    breaker.note(*verdict, context.observed_unix_nano, duration);
                });
            }
        }
    }
    delivered
}

/// Takes the next group, preferably of an idle lane, so that a hanging destination does not block the others. The groups of one
/// place are sent one after another.
fn take_next(
    ready: &mut VecDeque<(Admission, Group)>,
    busy: &[Busy],
) -> Option<(Admission, Group)> {
    let is_idle = |group: &Group| busy.iter().all(|(lane, _)| *lane != group.lane);
    let is_free = |group: &Group| {
        group.place.is_none() || busy.iter().all(|(_, place)| *place != group.place)
    };
    let idle = ready.iter().position(|(_, group)| is_idle(group) && is_free(group));
    let next = idle.or_else(|| ready.iter().position(|(_, group)| is_free(group)));
    ready.remove(next?)
}

/// The admission of the other groups after a probe. A probe whose content was rejected shows that the destination works.
fn after_probe(verdict: Option<bool>) -> Admission {
    if verdict == Some(false) { Admission::Park } else { Admission::Send }
}

/// Returns groups ready to send, and groups that wait for the probe of their lane. If a destination failed recently and there is a retry queue, its groups are parked. The smallest group is the
/// probe.
fn admit<E>(
    destinations: &[Arc<Destination<E>>],
    mut groups: Vec<Group>,
    context: DeliveryContext,
) -> (VecDeque<(Admission, Group)>, Vec<Group>) {
    groups.sort_by_key(Group::bytes);
    let mut admissions: BTreeMap<Lane, Admission> = BTreeMap::new();
    let (mut ready, mut held) = (VecDeque::new(), Vec::new());
    for group in groups {
        let first = |destination: &Arc<Destination<E>>| {
            destination.breaker(group.lane.1, |breaker| breaker.admit(context.observed_unix_nano))
        };
        let asks = context.has_retry_queue && !admissions.contains_key(&group.lane);
        let asked = asks.then(|| destinations.get(group.lane.0).map(first)).flatten();
        let admission = admissions.entry(group.lane).or_insert(asked.unwrap_or(Admission::Send));
        if *admission == Admission::Probe && asked.is_none() {
            held.push(group);
        } else {
            ready.push_back((*admission, group));
        }
    }
    (ready, held)
}

impl Delivered {
    fn take(&mut self, other: Self) {
        self.report += other.report;
        self.rest.extend(other.rest);
        self.retry_after = self.retry_after.max(other.retry_after);
    }
}

async fn send<E: Export>(
    destination: &Destination<E>,
    mut admission: Admission,
    group: Group,
    context: DeliveryContext,
    deadline: Instant,
) -> (Busy, Option<bool>, Delivered) {
    let (mut delivered, mut all_judged) = (Delivered::default(), None);
    let (busy, log_events) = ((group.lane, group.place), group.log_events());
    let Group { stream, requests, survey, .. } = group;
    let item_times = survey.map(|survey| survey.times);
    let has_few_keys = survey.is_some_and(|survey| survey.has_few_keys());
    for request in wire::merge(requests, destination.config.max_request_bytes) {
        let request = if has_few_keys { request.with_few_keys() } else { request };
        let sorted = destination.policy.sort(request, item_times, context.now_unix_nano());
        let Sorted { send, keep, dropped, restamped } = sorted;
        let mut outcome = match send {
            None => Outcome::default(),
            Some(request) if admission == Admission::Park => {
                let text =
                    "earlier deliveries failed; the destination is tried again after 30 s to 2 min";
                let reason = Reason::ParkedAtOnce { text: text.to_owned() };
                Outcome::unsent(request, reason, Fate::Park)
            }
            Some(request) => {
                let stream = stream.as_deref();
                let outcome = destination.export.export(stream, request, deadline).await;
                bisect_refused(&destination.export, stream, outcome, context.attempt, deadline)
                    .await
            }
        };
        let judged = verdict(&outcome);
        if admission == Admission::Probe && judged.is_some() {
            admission = after_probe(judged);
        }
        all_judged = all_judged.max(judged);
        if let Some(old) = keep {
            outcome += Outcome::unsent(old, Reason::OutsideWindow, Fate::DeadLetter);
        }
        let ledger = Ledger {
            accepted: outcome.accepted,
            ambiguous: outcome.ambiguous_items,
            dropped,
            ..Ledger::default()
        };
        delivered.retry_after = delivered.retry_after.max(outcome.retry_after);
        delivered.report += Report {
            dropped_for_time: dropped,
            restamped,
            requests_sent: outcome.requests_sent,
            bytes_sent: outcome.bytes_sent,
            warnings: Some(outcome.warning).filter(|text| !text.is_empty()).into_iter().collect(),
            ..Report::default()
        };
        delivered.report.account.add(&destination.name, ledger);
        delivered.rest.extend(outcome.parts.into_iter().map(|part| {
            let first_seen = context.first_seen_unix_nano;
            ToEnqueue::of_part(part, &destination.name, stream.as_deref(), &log_events, first_seen)
        }));
    }
    (busy, all_judged, delivered)
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct DeliveryContext {
    /// Wall-clock time at the start of the invocation.
    pub(crate) observed_unix_nano: u64,
    pub(crate) observed_at: Instant,
    /// Time at which the forwarder first had the telemetry.
    pub(crate) first_seen_unix_nano: u64,
    /// `true` if there is a retry queue. Without one, a failing destination is tried each time, because Lambda retries anyway.
    pub(crate) has_retry_queue: bool,
    pub(crate) attempt: u32,
}

impl DeliveryContext {
    /// The current time. During a long invocation, a record may leave the ingest window.
    fn now_unix_nano(&self) -> u64 {
        let since = u64::try_from(self.observed_at.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.observed_unix_nano.saturating_add(since)
    }
}

/// Telemetry of one signal for one destination (by position), which succeeds or fails together.
pub(crate) type Lane = (usize, SignalKind);

/// An adapted request for one destination.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) destination: usize,
    pub(crate) stream: Option<Arc<str>>,
    pub(crate) request: Request,
    pub(crate) survey: Option<backend::Survey>,
    pub(crate) log_events: Arc<LogEventRange>,
}

/// Requests of one destination, stream and signal, which may be merged.
struct Group {
    lane: Lane,
    stream: Option<Arc<str>>,
    place: Option<Place>,
    requests: Vec<Request>,
    survey: Option<backend::Survey>,
    log_events: Arc<LogEventRange>,
    last_log_events: Arc<LogEventRange>,
}

impl Group {
    fn bytes(&self) -> usize {
        self.requests.iter().map(|request| request.bytes().len()).sum()
    }

    /// The log events behind all requests: from the first request's origin to the last event.
    fn log_events(&self) -> Arc<LogEventRange> {
        let Self { log_events: first, last_log_events: last, .. } = self;
        if Arc::ptr_eq(first, last) {
            return Arc::clone(first);
        }
        let last_event_id = last.last_event_id.clone();
        Arc::new(LogEventRange { last_event_id, ..LogEventRange::clone(first) })
    }
}

/// Groups requests, in the order of each group's first request. Metrics have no stream.
fn group<E>(destinations: &[Arc<Destination<E>>], parcels: Vec<Parcel>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for Parcel { destination, stream, request, survey, log_events } in parcels {
        let kind = request.kind();
        let stream = stream.filter(|_| kind != SignalKind::Metrics);
        let of_group =
            |group: &&mut Group| group.lane == (destination, kind) && group.stream == stream;
        match groups.iter_mut().find(of_group) {
            Some(group) => {
                group.requests.push(request);
                let both = group.survey.zip(survey);
                group.survey = both.map(|(survey, others)| survey.and(&others));
                group.last_log_events = log_events;
            }
            None => groups.push(Group {
                lane: (destination, kind),
                place: destinations
                    .get(destination)
                    .and_then(|it| it.place(kind, stream.as_deref())),
                stream,
                requests: vec![request],
                survey,
                last_log_events: Arc::clone(&log_events),
                log_events,
            }),
        }
    }
    groups
}

/// The last sign of life of a lane in this delivery.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Since {
    /// The first request was sent then, and nothing has been accepted.
    FirstSent(Instant),
    LastAccepted(Instant),
}

/// Without an accepted item of a signal for this long, sending it to its destination stops. An outage must not use up the account's
/// concurrency.
const LONGEST_FAILURE: Duration = Duration::from_secs(10);

/// The beginning of each lane's failures, in one event.
#[derive(Default)]
pub(crate) struct FailureBudget {
    failing_since: BTreeMap<Lane, Instant>,
}

impl FailureBudget {
    /// The deadline of a lane: [`LONGEST_FAILURE`] after it began to fail, in this delivery or an earlier one.
    pub(crate) fn deadline(&self, lane: Lane, since: Since) -> Instant {
        let since = match since {
            Since::FirstSent(at) => self.failing_since.get(&lane).copied().unwrap_or(at),
            Since::LastAccepted(at) => at,
        };
        since + LONGEST_FAILURE
    }

    /// Notes the results of a delivery that began at `began`.
    pub(crate) fn note(&mut self, verdicts: &BTreeMap<Lane, Option<bool>>, began: Instant) {
        for (&lane, takes) in verdicts {
            match takes {
                Some(true) => {
                    self.failing_since.remove(&lane);
                }
                Some(false) => {
                    self.failing_since.entry(lane).or_insert(began);
                }
                None => {}
            }
        }
    }
}
