//! The truth: every request, message and invocation as seen by the other side.

use super::census::Census;
use super::items::{Age, Fact};
use super::marks::{self, Found, Mark};
use super::schedule::{Random, Schedule};
use super::setup::{DestinationId, NAMES, is_outside};
use backend::Fate;
use lambda_otlp_forwarder::{Consumed, QueuedTelemetry, Report};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;
use wire::SignalKind;

pub(crate) type UnitId = usize;
pub(crate) type InvocationId = usize;
pub(crate) type RequestId = usize;

/// Data that is handed over, returned or kept as a whole: a subscription's event, a Kinesis record, or a message.
#[derive(Debug, Default)]
pub(crate) struct Unit {
    pub(crate) marks: Vec<Mark>,
    /// Facts about them, for the cloud.
    pub(crate) facts: Vec<(Mark, Fact)>,
    /// Items dropped by a rule, or because the backend cannot store them.
    pub(crate) dropped: Vec<Mark>,
    /// Marks in a broken unit that may arrive. The unit needs a fate as a whole.
    pub(crate) readable: Vec<Mark>,
    /// Number of log events, and of log events that become no item.
    pub(crate) events: usize,
    pub(crate) consumed: Consumed,
    /// `true` if it is not readable to its end.
    pub(crate) is_broken: bool,
    /// Deliveries by the schedule, without retries after a failure.
    pub(crate) deliveries: usize,
    /// `true` if an invocation sent the message, `false` if the schedule did.
    pub(crate) is_rest: bool,
}

impl Unit {
    /// A unit that the schedule delivers once.
    pub(crate) fn delivered() -> Self {
        Self { deliveries: 1, ..Self::default() }
    }

    pub(crate) fn take(&mut self, other: &Self) {
        self.marks.extend_from_slice(&other.marks);
        self.facts.extend_from_slice(&other.facts);
        self.dropped.extend_from_slice(&other.dropped);
        self.readable.extend_from_slice(&other.readable);
        self.is_broken |= other.is_broken;
        self.events += other.events;
        self.consumed += other.consumed;
    }

    /// Makes the unit broken: only the whole needs a fate, and some of the rest may arrive.
    pub(crate) fn break_down(&mut self, whole: Mark) {
        self.is_broken = true;
        self.dropped.clear();
        self.readable = std::mem::replace(&mut self.marks, vec![whole]);
    }
}

/// The forwarder's knowledge about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// No clear answer.
    Unknown,
    Refused,
    /// Accepted, except for some items.
    Taken {
        rejected: usize,
    },
}

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) destination: DestinationId,
    kind: SignalKind,
    pub(crate) marks: Vec<Mark>,
    times_unix_nano: Vec<u64>,
    pub(crate) answered: Answered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueueName {
    Retry,
    DeadLetters,
}

#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) queue: QueueName,
    pub(crate) destination: DestinationId,
    pub(crate) marks: Vec<Mark>,
    pub(crate) items: usize,
    pub(crate) partial: bool,
    /// `false` if the sender got no answer.
    pub(crate) answered: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum End {
    #[default]
    Running,
    Killed,
    /// Answered; these units come again.
    Returned(Vec<UnitId>),
}

#[derive(Debug, Default)]
pub(crate) struct Invocation {
    pub(crate) units: Vec<UnitId>,
    pub(crate) requests: Vec<RequestId>,
    pub(crate) sent: Vec<Sent>,
    /// Number of faults that its requests to queues met.
    pub(crate) queue_faults: usize,
    pub(crate) end: End,
    pub(crate) begin: Duration,
}

pub(crate) struct Cloud {
    pub(crate) schedule: Schedule,
    pub(crate) random: Random,
    pub(crate) began: Instant,
    pub(crate) poison: BTreeSet<Mark>,
    pub(crate) units: Vec<Unit>,
    pub(crate) facts: HashMap<Mark, Fact>,
    pub(crate) invocations: Vec<Invocation>,
    pub(crate) requests: Vec<Request>,
    pub(crate) copies: BTreeMap<Mark, Vec<RequestId>>,
    /// Marks of records dropped because of their age.
    pub(crate) gone: BTreeSet<Mark>,
    pub(crate) census: Census,
    /// Events and units that Lambda gave up.
    pub(crate) on_failure: Vec<(String, Vec<UnitId>)>,
    pub(crate) violations: Vec<String>,
}

#[derive(Clone)]
pub(crate) struct Shared(pub(crate) Arc<Mutex<Cloud>>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Cloud> {
        self.0.lock().unwrap()
    }
}

impl Cloud {
    pub(crate) fn new(schedule: Schedule, random: Random) -> Self {
        Self {
            schedule,
            random,
            began: Instant::now(),
            poison: BTreeSet::new(),
            units: Vec::new(),
            facts: HashMap::new(),
            invocations: Vec::new(),
            requests: Vec::new(),
            copies: BTreeMap::new(),
            gone: BTreeSet::new(),
            census: Census::default(),
            on_failure: Vec::new(),
            violations: Vec::new(),
        }
    }

    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Unix time in nanoseconds.
    pub(crate) fn unix_nano(&self) -> u64 {
        unix_nano(self.now())
    }

    pub(crate) fn violated(&mut self, what: String) {
        // The first few are enough.
        if self.violations.len() < 20 {
            self.violations.push(what);
        }
    }

    pub(crate) fn add_unit(&mut self, mut unit: Unit) -> UnitId {
        self.facts.extend(unit.facts.drain(..));
        self.units.push(unit);
        self.units.len() - 1
    }

    /// A message that holds these units.
    pub(crate) fn union(&self, units: &[UnitId]) -> Unit {
        let mut union = Unit { is_rest: true, ..Unit::delivered() };
        for unit in units {
            union.take(&self.units[*unit]);
        }
        union
    }

    pub(crate) fn begin_invocation(&mut self, units: &[UnitId]) -> InvocationId {
        let broken = units.iter().filter(|unit| self.units[**unit].is_broken);
        self.census.met_often("event: broken", broken.count());
        self.census.met("total: invocations");
        let begin = self.now();
        self.invocations.push(Invocation { units: units.to_vec(), begin, ..Invocation::default() });
        self.invocations.len() - 1
    }

    /// Begins a request whose body the backend has started to read.
    pub(crate) fn begin_request(
        &mut self,
        invocation: InvocationId,
        (destination, stream): (DestinationId, Option<&str>),
        request: &wire::Request,
        found: &[Found],
    ) -> RequestId {
        self.census.met("total: requests");
        self.census.met(&format!("destination: {}", NAMES[destination]));
        self.check_found((destination, stream), request, found);
        self.requests.push(Request {
            destination,
            kind: request.kind(),
            marks: found.iter().map(|found| marks::at(destination, &found.mark)).collect(),
            times_unix_nano: found.iter().map(|found| found.time_unix_nano).collect(),
            answered: Answered::Unknown,
        });
        let request = self.requests.len() - 1;
        self.invocations[invocation].requests.push(request);
        request
    }

    pub(crate) fn items(&self, request: RequestId) -> usize {
        self.requests[request].marks.len()
    }

    pub(crate) fn is_poisoned(&self, request: RequestId) -> bool {
        self.requests[request].marks.iter().any(|mark| self.poison.contains(mark))
    }

    /// Stores these items of the request, and silently discards old ones, as OpenObserve does.
    pub(crate) fn store(&mut self, request: RequestId, stored: impl Fn(usize) -> bool) {
        let now = self.unix_nano();
        let Request { destination, kind, marks, times_unix_nano, .. } = &self.requests[request];
        for (position, (mark, time)) in marks.iter().zip(times_unix_nano).enumerate() {
            if stored(position) && !is_outside(*destination, *kind, *time, now, Duration::ZERO) {
                self.copies.entry(mark.clone()).or_default().push(request);
            }
        }
    }

    /// Notes a message in a queue, with its future unit.
    pub(crate) fn sent(
        &mut self,
        by: InvocationId,
        queue: QueueName,
        parked: &QueuedTelemetry,
        answered: bool,
    ) -> UnitId {
        let held = marks::of_parked(parked);
        let destination = held.destination;
        if let Some((request, found)) = &held.request {
            // The client sends no stream with metrics.
            let stream = parked.stream.as_deref().filter(|_| request.kind() != SignalKind::Metrics);
            self.check_found((destination, stream), request, found);
            let kind = request.kind();
            let now = self.unix_nano();
            let times = found.iter().map(|found| found.time_unix_nano);
            let is_old = |time: &u64| is_outside(destination, kind, *time, now, Duration::ZERO);
            let old: Vec<u64> =
                times.filter(|time| queue == QueueName::DeadLetters && is_old(time)).collect();
            self.census.met_often("old: dead-lettered", usize::from(!old.is_empty()));
            let has_waited = self.invocations[by].units.iter().any(|it| self.units[*it].is_rest);
            if has_waited && old.into_iter().any(Age::is_aging) {
                self.census.met("old: out of the window while it waited");
            }
        }
        let QueuedTelemetry { items, fate, .. } = *parked;
        let partial = fate == Fate::DeadLetterPartial;
        let marks = held.marks;
        let unit = Unit { marks: marks.clone(), is_rest: true, ..Unit::delivered() };
        let sent = Sent { queue, destination, marks, items, partial, answered };
        self.invocations[by].sent.push(sent);
        self.add_unit(unit)
    }

    pub(crate) fn killed(&mut self, invocation: InvocationId) {
        self.census.met("total: killed");
        self.census.met("kill");
        self.invocations[invocation].end = End::Killed;
    }

    /// Checks the forwarder's report and Lambda's reaction against the recorded events.
    pub(crate) fn returned(&mut self, id: InvocationId, report: &Report, units: Vec<UnitId>) {
        let ledger = report.ledgers.total;
        for (what, times) in [
            ("total: failed", usize::from(!units.is_empty())),
            ("total: accepted", ledger.accepted),
            ("total: parked", ledger.parked),
            ("total: dead-lettered", ledger.dead_lettered),
            ("total: returned", ledger.returned),
            ("total: dropped", ledger.dropped),
            ("total: ambiguous", ledger.ambiguous),
        ] {
            self.census.met_often(what, times);
        }
        self.invocations[id].end = End::Returned(units);
        self.note_gone(id);
        for problem in self.problems(id, report) {
            self.violated(format!("invocation {id}: {problem}"));
        }
    }
}

/// Unix time in nanoseconds at this time after the start.
pub(crate) fn unix_nano(since_began: Duration) -> u64 {
    super::items::BEGAN_MS * 1_000_000 + u64::try_from(since_began.as_nanos()).unwrap()
}
