//! Merges requests and delivers them, in parallel for each destination and signal.

mod bisect;
pub(crate) mod circuit_breaker;
pub(crate) mod destination;
pub(crate) mod ingest_window;

use crate::source::LogEventRange;
use backend::{Fate, Outcome, Reason, Survey};
use bisect::bisect_refused;
use circuit_breaker::{Admission, verdict};
use destination::{Destination, Export, Place};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wire::{Request, SignalKind};

/// A parcel after its requests were sent. No report has counted it yet.
#[derive(Debug)]
pub(crate) struct Sent {
    /// The parcel without its requests.
    pub(crate) parcel: Parcel,
    pub(crate) outcome: Outcome,
    /// `true` if the destination accepts telemetry; `None` if unknown.
    pub(crate) verdict: Option<bool>,
    pub(crate) dropped: usize,
    pub(crate) restamped: usize,
}

/// Limit on concurrent parcels. One destination has three. Stream templates and routes make more, and all share the forwarder's
/// memory and connections.
const MOST_AT_ONCE: usize = 6;

/// Lane and place of a parcel that is being sent.
type Busy = (Lane, Option<Place>);

/// The beginning of each lane's failure, in one event.
pub(crate) type FailingSince = BTreeMap<Lane, Instant>;

/// Without an accepted item of a signal for this long, sending it to its destination stops. An outage must not use up the account's
/// concurrency.
const LONGEST_FAILURE: Duration = Duration::from_secs(10);

/// Sends all requests before the deadline. With `failing_since`, each lane ends [`LONGEST_FAILURE`] after it began to fail, in this
/// delivery or an earlier one.
pub(crate) async fn deliver<E: Export>(
    destinations: &[Arc<Destination<E>>],
    parcels: Vec<Parcel>,
    context: DeliveryContext,
    failing_since: Option<&mut FailingSince>,
) -> Vec<Sent> {
    let began = Instant::now();
    let (mut ready, mut held) = admit(destinations, parcels, context);
    let mut running = futures_util::stream::FuturesUnordered::new();
    let mut all_sent = Vec::with_capacity(ready.len() + held.len());
    let mut busy: Vec<Busy> = Vec::new();
    // The last sign of life of each lane: its first request, or an accepted one.
    let mut since = failing_since.as_deref().cloned().unwrap_or_default();
    let mut verdicts: BTreeMap<Lane, (Option<bool>, Duration)> = BTreeMap::new();
    loop {
        while running.len() < MOST_AT_ONCE
            && let Some((admission, parcel)) = take_next(&mut ready, &busy)
        {
            // Always found: `parcels` was made from the same list.
            if let Some(destination) = destinations.get(parcel.lane.0) {
                let lane = parcel.lane;
                busy.push((lane, parcel.place));
                let since = *since.entry(lane).or_insert_with(Instant::now);
                let last = failing_since.as_ref().map(|_| since + LONGEST_FAILURE);
                let deadline = last.unwrap_or(context.deadline).min(context.deadline);
                running.push(send(destination, admission, parcel, context, deadline));
            }
        }
        let Some(sent) = futures_util::StreamExt::next(&mut running).await else {
            break;
        };
        let lane = sent.parcel.lane;
        let judged = sent.verdict;
        if let Some(at) = busy.iter().position(|busy| *busy == (lane, sent.parcel.place)) {
            busy.swap_remove(at);
        }
        let (verdict, duration) = verdicts.entry(lane).or_default();
        // The failures of earlier deliveries do not lengthen the pause after this one.
        *duration = since.get(&lane).map_or(Duration::ZERO, |since| (*since).max(began).elapsed());
        if judged == Some(true) {
            since.insert(lane, Instant::now());
        }
        *verdict = (*verdict).max(judged);
        // Held parcels wait for the probe of their lane, which was its first parcel.
        let admission = after_probe(judged);
        let released = held.extract_if(.., |parcel| parcel.lane == lane);
        ready.extend(released.map(|parcel| (admission, parcel)));
        all_sent.push(sent);
    }
    if let Some(failing_since) = failing_since {
        for (lane, (verdict, _)) in &verdicts {
            match verdict {
                Some(true) => drop(failing_since.remove(lane)),
                Some(false) => drop(failing_since.entry(*lane).or_insert(began)),
                None => {}
            }
        }
    }
    if context.has_retry_queue {
        for ((destination, kind), (verdict, duration)) in verdicts {
            if let Some(destination) = destinations.get(destination) {
                destination.breaker(kind, |breaker| {
                    breaker.note(verdict, context.observed_unix_nano, duration);
                });
            }
        }
    }
    all_sent
}

/// Takes the next parcel, preferably of an idle lane, so that a hanging destination does not block the others. The parcels of one
/// place are sent one after another.
fn take_next(
    ready: &mut VecDeque<(Admission, Parcel)>,
    busy: &[Busy],
) -> Option<(Admission, Parcel)> {
    let is_idle = |parcel: &Parcel| busy.iter().all(|(lane, _)| *lane != parcel.lane);
    let is_free = |parcel: &Parcel| {
        parcel.place.is_none() || busy.iter().all(|(_, place)| *place != parcel.place)
    };
    let idle = ready.iter().position(|(_, parcel)| is_idle(parcel) && is_free(parcel));
    let next = idle.or_else(|| ready.iter().position(|(_, parcel)| is_free(parcel)));
    ready.remove(next?)
}

/// The admission of the other parcels after a probe. A probe whose content was rejected shows that the destination works.
fn after_probe(verdict: Option<bool>) -> Admission {
    if verdict == Some(false) { Admission::Park } else { Admission::Send }
}

/// Returns parcels ready to send, and parcels that wait for the probe of their lane. If a destination failed recently and there is
/// a retry queue, its parcels are parked. The smallest parcel is the probe.
fn admit<E>(
    destinations: &[Arc<Destination<E>>],
    mut parcels: Vec<Parcel>,
    context: DeliveryContext,
) -> (VecDeque<(Admission, Parcel)>, Vec<Parcel>) {
    parcels.sort_by_key(Parcel::bytes);
    let mut admissions: BTreeMap<Lane, Admission> = BTreeMap::new();
    let mut ready = VecDeque::new();
    let mut held = Vec::new();
    for parcel in parcels {
        let first = |destination: &Arc<Destination<E>>| {
            destination.breaker(parcel.lane.1, |breaker| breaker.admit(context.observed_unix_nano))
        };
        let asks = context.has_retry_queue && !admissions.contains_key(&parcel.lane);
        let asked = asks.then(|| destinations.get(parcel.lane.0).map(first)).flatten();
        let admission = admissions.entry(parcel.lane).or_insert(asked.unwrap_or(Admission::Send));
        if *admission == Admission::Probe && asked.is_none() {
            held.push(parcel);
        } else {
            ready.push_back((*admission, parcel));
        }
    }
    (ready, held)
}

async fn send<E: Export>(
    destination: &Destination<E>,
    mut admission: Admission,
    mut parcel: Parcel,
    context: DeliveryContext,
    deadline: Instant,
) -> Sent {
    let requests = std::mem::take(&mut parcel.requests);
    let item_times = parcel.survey.map(|survey| survey.times);
    let has_few_keys = parcel.survey.is_some_and(|survey| survey.has_few_keys());
    let outcome = Outcome::default();
    let mut sent = Sent { parcel, outcome, verdict: None, dropped: 0, restamped: 0 };
    for request in wire::merge(requests, destination.config.max_request_bytes) {
        let request = if has_few_keys { request.with_few_keys() } else { request };
        let request =
            destination.policy.sort(request, item_times, context.now_unix_nano(), &mut sent);
        let mut outcome = match request {
            None => Outcome::default(),
            Some(request) if admission == Admission::Park => {
                let text =
                    "earlier deliveries failed; the destination is tried again after 30 s to 2 min";
                let reason = Reason::ParkedAtOnce { text: text.to_owned() };
                Outcome::unsent(request, reason, Fate::Park)
            }
            Some(request) => {
                let stream = sent.parcel.stream.as_deref();
                let outcome = destination.export.export(stream, request, deadline).await;
                // From the second attempt on, a request with rejected content is sent in pieces.
                match context.attempt.checked_sub(2) {
                    Some(refinement) => {
                        bisect_refused(&destination.export, stream, outcome, refinement, deadline)
                            .await
                    }
                    None => outcome,
                }
            }
        };
        let judged = verdict(&outcome);
        if admission == Admission::Probe && judged.is_some() {
            admission = after_probe(judged);
        }
        sent.verdict = sent.verdict.max(judged);
        outcome.warn(std::mem::take(&mut sent.outcome.warning));
        sent.outcome += outcome;
    }
    sent
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct DeliveryContext {
    /// Wall-clock time at the start of the invocation.
    pub(crate) observed_unix_nano: u64,
    pub(crate) observed_at: Instant,
    /// `true` if there is a retry queue. Without one, a failing destination is tried each time, because Lambda retries anyway.
    pub(crate) has_retry_queue: bool,
    pub(crate) attempt: u32,
    pub(crate) deadline: Instant,
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

/// Adapted requests of one signal for one destination and stream, which may be merged.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) lane: Lane,
    pub(crate) stream: Option<Arc<str>>,
    place: Option<Place>,
    requests: Vec<Request>,
    survey: Option<Survey>,
    /// The log events behind all requests: from the first request's origin to the last event.
    pub(crate) log_events: Arc<LogEventRange>,
}

impl Parcel {
    /// Creates a parcel for the destination at this position. Metrics have no stream.
    pub(crate) fn new<E>(
        (position, destination): (usize, &Destination<E>),
        stream: Option<Arc<str>>,
        request: Request,
        survey: Option<Survey>,
        log_events: Arc<LogEventRange>,
    ) -> Self {
        let kind = request.kind();
        let stream = stream.filter(|_| kind != SignalKind::Metrics);
        Self {
            lane: (position, kind),
            place: destination.place(kind, stream.as_deref()),
            stream,
            requests: vec![request],
            survey,
            log_events,
        }
    }

    /// Returns `true` if a request with this lane and stream belongs into the parcel.
    pub(crate) fn is_of(&self, lane: Lane, stream: Option<&Arc<str>>) -> bool {
        self.lane == lane && (lane.1 == SignalKind::Metrics || self.stream.as_ref() == stream)
    }

    /// Adds a request whose log events follow the others.
    pub(crate) fn add(
        &mut self,
        request: Request,
        survey: Option<Survey>,
        log_events: &Arc<LogEventRange>,
    ) {
        self.requests.push(request);
        self.survey = self.survey.zip(survey).map(|(all, other)| all.and(&other));
        if !Arc::ptr_eq(&self.log_events, log_events) {
            let last = &mut Arc::make_mut(&mut self.log_events).last_event_id;
            last.clone_from(&log_events.last_event_id);
        }
    }

    fn bytes(&self) -> usize {
        self.requests.iter().map(|request| request.bytes().len()).sum()
    }
}
