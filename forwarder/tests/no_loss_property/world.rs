//! What really happened: every request, message and invocation as the other side saw it, and the property
//! that is checked against it.

use crate::marks::Mark;
use crate::random::Random;
use crate::schedule::Schedule;
use lambda_otlp_forwarder::ledger::Account;
use lambda_otlp_forwarder::placing::Undelivered;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

pub(crate) type UnitId = usize;
pub(crate) type InvocationId = usize;
pub(crate) type RequestId = usize;

/// What is handed over, returned or kept as a whole: a subscription's event, a Kinesis record, a message.
#[derive(Debug, Default)]
pub(crate) struct Unit {
    pub(crate) marks: Vec<Mark>,
    /// Items in it that the forwarder drops, since the backend cannot store them.
    pub(crate) dropped: usize,
    /// How often the schedule delivered it, the repetitions after a failure not counted.
    pub(crate) deliveries: usize,
    /// Whether it is a message that an invocation sent; else the schedule brought it.
    pub(crate) is_rest: bool,
}

/// What the forwarder was told about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// Nothing that says what became of it.
    Unknown,
    /// That it was not taken.
    Refused,
    /// That all of it was taken but so many items.
    Taken { rejected: usize },
}

#[derive(Debug)]
struct Request {
    marks: Vec<Mark>,
    answered: Answered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueueName {
    Retry,
    DeadLetters,
}

/// A message in a queue.
#[derive(Debug)]
struct Sent {
    queue: QueueName,
    marks: Vec<Mark>,
    items: usize,
    partial: bool,
    /// False where the sender got no answer.
    answered: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Running,
    Killed,
    /// Answered; these units come again.
    Returned(Vec<UnitId>),
}

#[derive(Debug, Default)]
struct Invocation {
    units: Vec<UnitId>,
    requests: Vec<RequestId>,
    sent: Vec<Sent>,
    end: End,
    begin: Duration,
    /// What it said that was not delivered.
    said: Vec<Undelivered>,
}

/// What the forwarder says about an invocation.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) account: Account,
    /// Whether the event could not be read.
    pub(crate) unread: bool,
    /// Why what was not delivered, for a person.
    pub(crate) undelivered: Vec<Undelivered>,
}

/// Sums over schedules, to see that they exercise what they should.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) schedules: usize,
    pub(crate) invocations: usize,
    pub(crate) killed: usize,
    pub(crate) failed: usize,
    pub(crate) requests: usize,
    pub(crate) marks: usize,
    pub(crate) accepted: usize,
    pub(crate) parked: usize,
    pub(crate) dead_lettered: usize,
    pub(crate) returned: usize,
    pub(crate) dropped: usize,
    pub(crate) ambiguous: usize,
    /// Copies beyond the first.
    pub(crate) duplicates: usize,
    /// Marks that ended in the backend, and elsewhere.
    pub(crate) stored: usize,
    pub(crate) kept: usize,
    pub(crate) virtual_seconds: u64,
}

/// All that happened under one schedule.
pub(crate) struct World {
    pub(crate) schedule: Schedule,
    pub(crate) random: Random,
    pub(crate) began: Instant,
    pub(crate) poison: BTreeSet<Mark>,
    units: Vec<Unit>,
    invocations: Vec<Invocation>,
    requests: Vec<Request>,
    /// Which requests stored a mark.
    copies: BTreeMap<Mark, Vec<RequestId>>,
    /// Events and units that Lambda has given up.
    pub(crate) on_failure: Vec<(String, Vec<UnitId>)>,
    pub(crate) violations: Vec<String>,
    pub(crate) counts: Counts,
}

/// The world as all its inhabitants hold it.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub(crate) fn new(schedule: Schedule, random: Random) -> Self {
        Self(Arc::new(Mutex::new(World {
            schedule,
            random,
            began: Instant::now(),
            poison: BTreeSet::new(),
            units: Vec::new(),
            invocations: Vec::new(),
            requests: Vec::new(),
            copies: BTreeMap::new(),
            on_failure: Vec::new(),
            violations: Vec::new(),
            counts: Counts::default(),
        })))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }
}

impl World {
    /// Time since the beginning.
    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Unix time in nanoseconds.
    pub(crate) fn unix_nano(&self) -> u64 {
        crate::telemetry::BEGAN_MS * 1_000_000 + u64::try_from(self.now().as_nanos()).unwrap()
    }

    pub(crate) fn violated(&mut self, what: String) {
        // The first few say enough.
        if self.violations.len() < 20 {
            self.violations.push(what);
        }
    }

    pub(crate) fn add_unit(&mut self, unit: Unit) -> UnitId {
        self.units.push(unit);
        self.units.len() - 1
    }

    pub(crate) fn unit(&self, unit: UnitId) -> &Unit {
        &self.units[unit]
    }

    /// The schedule delivers the unit once more, though nothing failed.
    pub(crate) fn delivered_again(&mut self, unit: UnitId) {
        self.units[unit].deliveries += 1;
    }

    pub(crate) fn begin_invocation(&mut self, units: &[UnitId]) -> InvocationId {
        self.counts.invocations += 1;
        let begin = self.now();
        self.invocations.push(Invocation { units: units.to_vec(), begin, ..Invocation::default() });
        self.invocations.len() - 1
    }

    /// A request whose body the backend has begun to read.
    pub(crate) fn begin_request(
        &mut self,
        invocation: InvocationId,
        marks: Vec<Mark>,
    ) -> RequestId {
        self.counts.requests += 1;
        self.requests.push(Request { marks, answered: Answered::Unknown });
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

    pub(crate) fn answered(&mut self, request: RequestId, answered: Answered) {
        self.requests[request].answered = answered;
    }

    /// The backend stores these of the request's items.
    pub(crate) fn store(&mut self, request: RequestId, stored: impl Fn(usize) -> bool) {
        for (position, mark) in self.requests[request].marks.iter().enumerate() {
            if stored(position) {
                self.copies.entry(mark.clone()).or_default().push(request);
            }
        }
    }

    /// A message that is in a queue now; the unit that it will be when it is received.
    pub(crate) fn sent(
        &mut self,
        by: InvocationId,
        queue: QueueName,
        (marks, items, partial): (Vec<Mark>, usize, bool),
        answered: bool,
    ) -> UnitId {
        let sent = Sent { queue, marks: marks.clone(), items, partial, answered };
        self.invocations[by].sent.push(sent);
        self.add_unit(Unit { marks, dropped: 0, deliveries: 1, is_rest: true })
    }

    pub(crate) fn killed(&mut self, invocation: InvocationId) {
        self.counts.killed += 1;
        self.invocations[invocation].end = End::Killed;
    }

    /// Takes what the forwarder says of an invocation, and what Lambda makes of its answer, and holds it
    /// against what happened.
    pub(crate) fn returned(&mut self, id: InvocationId, told: &Told, units: Vec<UnitId>) {
        let ledger = told.account.total;
        self.counts.failed += usize::from(!units.is_empty());
        self.counts.accepted += ledger.accepted;
        self.counts.parked += ledger.parked;
        self.counts.dead_lettered += ledger.dead_lettered;
        self.counts.returned += ledger.returned;
        self.counts.dropped += ledger.dropped;
        self.counts.ambiguous += ledger.ambiguous;
        self.invocations[id].said.clone_from(&told.undelivered);
        self.invocations[id].end = End::Returned(units);
        for problem in self.problems(id, told) {
            self.violated(format!("invocation {id}: {problem}"));
        }
    }

    fn problems(&self, id: InvocationId, told: &Told) -> Vec<String> {
        let invocation = &self.invocations[id];
        let End::Returned(returned) = &invocation.end else { return Vec::new() };
        let ledger = told.account.total;
        let mut problems = Vec::new();
        if !told.account.balances() {
            problems.push(format!("the ledger does not balance: {}", ledger.to_json()));
        }
        let mut compare = |what: &str, ledger: usize, world: usize| {
            if ledger != world {
                problems.push(format!("the ledger counts {ledger} {what}, there were {world}"));
            }
        };
        compare("accepted", ledger.accepted, self.accepted(invocation));
        compare("parked", ledger.parked, items(invocation, QueueName::Retry));
        let in_log_group =
            if self.schedule.has_dead_letter_queue { 0 } else { ledger.dead_lettered };
        compare(
            "dead-lettered",
            ledger.dead_lettered - in_log_group,
            items(invocation, QueueName::DeadLetters),
        );
        if returned.is_empty() {
            let dropped = invocation.units.iter().map(|unit| self.units[*unit].dropped).sum();
            compare("dropped", ledger.dropped, dropped);
        }
        let says_returned = ledger.returned > 0 || told.unread;
        if says_returned == returned.is_empty() {
            problems.push(format!("{} returned, Lambda repeats {returned:?}", ledger.returned));
        }
        // A copy that nobody answered for is in an ambiguous request, and these are counted.
        let unknown = self.unknown(invocation);
        let unanswered = invocation.sent.iter().filter(|sent| !sent.answered);
        let ambiguous = unknown.len() + unanswered.map(|sent| sent.items).sum::<usize>();
        if ledger.ambiguous < ambiguous {
            let counted = ledger.ambiguous;
            problems.push(format!("{counted} counted as ambiguous, {ambiguous} were"));
        }
        problems.extend(self.fates(invocation, returned));
        problems
    }

    /// Items that the backend said it has.
    fn accepted(&self, invocation: &Invocation) -> usize {
        let requests = invocation.requests.iter().map(|request| &self.requests[*request]);
        let accepted = requests.map(|request| match request.answered {
            Answered::Taken { rejected } => request.marks.len() - rejected,
            Answered::Unknown | Answered::Refused => 0,
        });
        accepted.sum()
    }

    /// Marks in requests that were sent and not answered.
    fn unknown(&self, invocation: &Invocation) -> BTreeSet<&str> {
        let requests = invocation.requests.iter().map(|request| &self.requests[*request]);
        let unknown = requests.filter(|request| request.answered == Answered::Unknown);
        unknown.flat_map(|request| &request.marks).map(String::as_str).collect()
    }

    /// Each mark of what was handed over has one fate, and of what is returned at most one: a second would
    /// be a duplicate that no one counted.
    fn fates(&self, invocation: &Invocation, returned: &[UnitId]) -> Vec<String> {
        #[derive(Default)]
        struct Fates<'w> {
            handed_over: usize,
            returned: usize,
            taken: usize,
            sent: Vec<&'w Sent>,
        }
        let mut all: BTreeMap<&str, Fates<'_>> = BTreeMap::new();
        for unit in &invocation.units {
            for mark in &self.units[*unit].marks {
                let fates = all.entry(mark).or_default();
                *(if returned.contains(unit) {
                    &mut fates.returned
                } else {
                    &mut fates.handed_over
                }) += 1;
                if !self.schedule.has_dead_letter_queue && mark.starts_with("line ") {
                    // It stays in its log group.
                    fates.taken += usize::from(!returned.contains(unit));
                }
            }
        }
        for request in invocation.requests.iter().map(|request| &self.requests[*request]) {
            if let Answered::Taken { .. } = request.answered {
                for mark in &request.marks {
                    all.entry(mark).or_default().taken += 1;
                }
            }
        }
        for sent in invocation.sent.iter().filter(|sent| sent.answered && !sent.partial) {
            for mark in &sent.marks {
                all.entry(mark).or_default().sent.push(sent);
            }
        }
        let wrong = all.into_iter().filter_map(|(mark, fates)| {
            let Fates { handed_over, returned, taken, sent } = fates;
            let found = taken + sent.len();
            let is_right = (handed_over..=handed_over + returned).contains(&found);
            (!is_right).then(|| {
                let queues: Vec<_> = sent.iter().map(|sent| sent.queue).collect();
                format!(
                    "{mark}: handed over {handed_over} times, returned {returned} times, \
                     taken {taken} times, in queues {queues:?}"
                )
            })
        });
        wrong.collect()
    }

    /// All faults are over and all is drained: nothing is missing, and what is there twice was counted.
    /// `waiting` are the units in the retry queue.
    pub(crate) fn check_end(&mut self, waiting: &[UnitId]) {
        let waiting_marks = self.marks_of(waiting.iter());
        let on_failure = self.marks_of(self.on_failure.iter().flat_map(|(_, units)| units));
        let dead_letters: BTreeSet<Mark> = self
            .invocations
            .iter()
            .flat_map(|invocation| &invocation.sent)
            .filter(|sent| sent.queue == QueueName::DeadLetters)
            .flat_map(|sent| sent.marks.iter().cloned())
            .collect();
        let marks = self.marks_of(&(0..self.units.len()).collect::<Vec<_>>());
        let mut problems = Vec::new();
        for mark in &marks {
            let in_log_group = !self.schedule.has_dead_letter_queue && mark.starts_with("line ");
            let is_stored = self.copies.contains_key(mark);
            let is_kept = dead_letters.contains(mark)
                || waiting_marks.contains(mark)
                || on_failure.contains(mark)
                || in_log_group;
            self.counts.stored += usize::from(is_stored);
            self.counts.kept += usize::from(!is_stored && is_kept);
            if !is_stored && !is_kept {
                problems.push(format!("{mark} is missing"));
            }
        }
        self.counts.marks += marks.len();
        problems.extend(self.unexplained_copies());
        // What has a poisoned item in each quarter is parked as a whole.
        let is_poisoned =
            |unit: &&UnitId| self.units[**unit].marks.iter().any(|mark| self.poison.contains(mark));
        let stuck = self.marks_of(waiting.iter().filter(|unit| !is_poisoned(unit)));
        if self.schedule.has_dead_letter_queue && !stuck.is_empty() {
            problems.push(format!("the retry queue still holds {stuck:?}"));
        }
        self.counts.virtual_seconds += self.now().as_secs();
        for problem in problems {
            self.violated(problem);
        }
    }

    /// All of it in words, for a person who looks for the cause of a failure.
    pub(crate) fn story(&self) -> String {
        let mut story = String::new();
        for (number, unit) in self.units.iter().enumerate() {
            writeln!(story, "unit {number}: {unit:?}").unwrap();
        }
        for (id, invocation) in self.invocations.iter().enumerate() {
            let Invocation { units, requests, sent, end, begin, said } = invocation;
            writeln!(story, "invocation {id} at {begin:?} of {units:?}: {end:?} {said:?}").unwrap();
            for request in requests {
                writeln!(story, "    request {request}: {:?}", self.requests[*request]).unwrap();
            }
            for sent in sent {
                writeln!(story, "    {sent:?}").unwrap();
            }
        }
        story
    }

    fn marks_of<'u>(&self, units: impl IntoIterator<Item = &'u UnitId>) -> BTreeSet<Mark> {
        units.into_iter().flat_map(|unit| self.units[*unit].marks.iter().cloned()).collect()
    }

    /// Copies without a cause. A request that was not answered is counted as ambiguous, which was checked
    /// when its invocation returned; one of an invocation that was killed, or returned what holds the mark,
    /// is repeated by Lambda. Of all other copies there is one for each delivery of the schedule's and for
    /// each message that such an invocation, or one without an answer from the queue, has left.
    fn unexplained_copies(&mut self) -> Vec<String> {
        let mut clean: BTreeMap<&str, usize> = BTreeMap::new();
        let mut allowed: BTreeMap<&str, usize> = BTreeMap::new();
        for unit in &self.units {
            for mark in &unit.marks {
                *allowed.entry(mark).or_default() += unit.deliveries - usize::from(unit.is_rest);
            }
        }
        let mut repeated: Vec<BTreeSet<&str>> = Vec::new();
        let mut invocation_of = vec![0; self.requests.len()];
        for (id, invocation) in self.invocations.iter().enumerate() {
            let units = match &invocation.end {
                End::Returned(units) => units,
                End::Killed | End::Running => &invocation.units,
            };
            let again: BTreeSet<&str> = units
                .iter()
                .flat_map(|unit| self.units[*unit].marks.iter().map(String::as_str))
                .collect();
            let in_retry_queue =
                invocation.sent.iter().filter(|sent| sent.queue == QueueName::Retry);
            for sent in in_retry_queue {
                for mark in &sent.marks {
                    let is_extra = !sent.answered || again.contains(mark.as_str());
                    *allowed.entry(mark).or_default() += usize::from(is_extra);
                }
            }
            invocation.requests.iter().for_each(|request| invocation_of[*request] = id);
            repeated.push(again);
        }
        let mut duplicates = 0;
        for (mark, requests) in &self.copies {
            duplicates += requests.len() - 1;
            for request in requests {
                let is_known = matches!(self.requests[*request].answered, Answered::Taken { .. });
                let is_repeated = repeated[invocation_of[*request]].contains(mark.as_str());
                *clean.entry(mark).or_default() += usize::from(is_known && !is_repeated);
            }
        }
        self.counts.duplicates += duplicates;
        let unexplained = clean.into_iter().filter_map(|(mark, found)| {
            let allowed = allowed.get(mark).copied().unwrap_or_default();
            (found > allowed).then(|| {
                let requests = &self.copies[mark];
                format!("{mark} is stored {found} times where {allowed} are explained: requests {requests:?}")
            })
        });
        unexplained.collect()
    }
}

/// Items of the messages that a queue said it has.
fn items(invocation: &Invocation, queue: QueueName) -> usize {
    let sent = invocation.sent.iter().filter(|sent| sent.answered && sent.queue == queue);
    sent.map(|sent| sent.items).sum()
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        // Named one by one, so that a new field cannot be forgotten.
        let Self {
            schedules,
            invocations,
            killed,
            failed,
            requests,
            marks,
            accepted,
            parked,
            dead_lettered,
            returned,
            dropped,
            ambiguous,
            duplicates,
            stored,
            kept,
            virtual_seconds,
        } = other;
        self.schedules += schedules;
        self.invocations += invocations;
        self.killed += killed;
        self.failed += failed;
        self.requests += requests;
        self.marks += marks;
        self.accepted += accepted;
        self.parked += parked;
        self.dead_lettered += dead_lettered;
        self.returned += returned;
        self.dropped += dropped;
        self.ambiguous += ambiguous;
        self.duplicates += duplicates;
        self.stored += stored;
        self.kept += kept;
        self.virtual_seconds += virtual_seconds;
    }

    /// A property that never meets a fault shows nothing: each kind of end was reached, and often.
    pub(crate) fn check_variety(&self) {
        let Self { schedules, killed, failed, parked, dead_lettered, returned, .. } = *self;
        let Self { dropped, ambiguous, duplicates, kept, stored, .. } = *self;
        for ends in [
            killed,
            failed,
            parked,
            dead_lettered,
            returned,
            dropped,
            ambiguous,
            duplicates,
            kept,
            stored,
        ] {
            assert!(ends * 50 > schedules, "too rare: {self:?}");
        }
    }
}
