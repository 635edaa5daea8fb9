//! The property: compares the forwarder's report and the final state with the recorded events.

use super::cloud::{Answered, Cloud, End, Invocation, InvocationId, QueueName, UnitId, unix_nano};
use super::items::Age;
use super::marks::{self, Found, Mark};
use super::schedule::Schedule;
use super::setup::{ADDRESS, DestinationId, MARGIN, NAMES, is_outside};
use lambda_otlp_forwarder::{KeptIn, OldRecords, Report, Undelivered};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;
use wire::SignalKind;

impl Cloud {
    pub(crate) fn problems(&self, id: InvocationId, report: &Report) -> Vec<String> {
        let invocation = &self.invocations[id];
        let End::Returned(returned) = &invocation.end else { return Vec::new() };
        let ledger = report.ledgers.total;
        let all = self.union(&invocation.units);
        let requests: Vec<_> = invocation.requests.iter().map(|id| &self.requests[*id]).collect();
        let mut problems = self.fates(invocation, returned);
        if !report.ledgers.balances() {
            problems.push(format!("the ledger does not balance: {}", ledger.to_json()));
        }
        problems.extend(self.without_queue(invocation, report));
        let says_returned = ledger.returned > 0 || report.read_error.is_some();
        if says_returned == returned.is_empty() {
            problems.push(format!("{} returned, Lambda repeats {returned:?}", ledger.returned));
        }
        // Unreadable data has no log events to count.
        let has_raw = all.marks.iter().any(|mark| marks::is_raw(mark));
        let events = ledger.events;
        let consumed = ledger.consumed;
        if returned.is_empty() && !has_raw && (events, consumed) != (all.events, all.consumed) {
            let of = all.events;
            let expected = all.consumed;
            problems.push(format!(
                "of {of} log events {expected:?} become no item, the ledger says {events}, {consumed:?}"
            ));
        }
        let mut compare = |what: &str, counted: usize, expected: RangeInclusive<usize>| {
            if !expected.contains(&counted) {
                problems
                    .push(format!("the ledger counts {counted} {what}, there were {expected:?}"));
            }
        };
        for (destination, name) in NAMES.iter().enumerate() {
            let ledger = report.ledgers.destinations.get(*name).copied().unwrap_or_default();
            let mut is = |what, counted, expected| {
                compare(&format!("{what} of {name}"), counted, expected..=expected);
            };
            let requests = requests.iter().filter(|request| request.destination == destination);
            let accepted = requests.map(|request| match request.answered {
                Answered::Taken { rejected } => request.marks.len() - rejected,
                Answered::Unknown | Answered::Refused => 0,
            });
            is("accepted", ledger.accepted, accepted.sum());
            let sent = |queue| {
                let answered = invocation.sent.iter().filter(|sent| sent.answered);
                let own = answered.filter(|it| (it.queue, it.destination) == (queue, destination));
                own.map(|sent| sent.items).sum()
            };
            is("parked", ledger.parked, sent(QueueName::Retry));
            is("dead-lettered", ledger.dead_lettered, sent(QueueName::DeadLetters));
            // The number of log events in a broken event is unknown.
            if returned.is_empty() && !all.is_broken {
                let is_here = |mark: &&Mark| marks::split(mark).0 == destination;
                let here = all.marks.iter().filter(is_here);
                let too_old = here.map(|mark| self.too_old(invocation, mark).into_inner());
                let (surely, perhaps): (Vec<_>, Vec<_>) = too_old.unzip();
                let dropped = all.dropped.iter().filter(is_here).count();
                // Without a dead-letter queue, undecodable lines stay in their log group only.
                let in_log_group =
                    if self.schedule.has_dead_letter_queue { 0 } else { ledger.items.undecodable };
                let least = dropped + surely.iter().sum::<usize>();
                let most = dropped + perhaps.iter().sum::<usize>() + in_log_group;
                compare(&format!("dropped of {name}"), ledger.dropped, least..=most);
            }
        }
        // An unanswered copy is in an ambiguous request, which the ledger counts.
        let unknown: BTreeSet<_> = requests
            .iter()
            .filter(|request| request.answered == Answered::Unknown)
            .flat_map(|request| &request.marks)
            .collect();
        let unanswered = invocation.sent.iter().filter(|sent| !sent.answered);
        let ambiguous = unknown.len() + unanswered.map(|sent| sent.items).sum::<usize>();
        compare("ambiguous", ledger.ambiguous, ambiguous..=usize::MAX);
        problems
    }

    /// Telemetry that was returned or left in its log group although its queue accepts everything, for example because of its size.
    fn without_queue(&self, invocation: &Invocation, report: &Report) -> Option<String> {
        let Schedule { has_retry_queue, has_dead_letter_queue, .. } = self.schedule;
        if !has_retry_queue || !has_dead_letter_queue || invocation.queue_faults > 0 {
            return None;
        }
        let has_no_place =
            |part: &&Undelivered| matches!(part.kept_in, KeptIn::Returned(None) | KeptIn::LogGroup);
        let part = report.undelivered.iter().find(has_no_place)?;
        Some(format!("no queue was asked to keep it: {part:?}"))
    }

    /// How often the invocation drops the record because of its age, once at most.
    fn too_old(&self, invocation: &Invocation, mark: &str) -> RangeInclusive<usize> {
        let drops = self.schedule.setup.old_records == OldRecords::Drop;
        let fact = self.facts.get(mark).filter(|fact| drops && fact.age != Age::Fresh);
        let Some(fact) = fact else { return 0..=0 };
        let destination = marks::split(mark).0;
        let time = fact.age.unix_nano();
        let times = [unix_nano(invocation.begin), self.unix_nano()];
        let is_outside = |now, margin| is_outside(destination, fact.kind, time, now, margin);
        let surely = times.iter().all(|now| is_outside(*now, Duration::ZERO));
        let perhaps = surely || times.iter().any(|now| is_outside(*now, MARGIN));
        usize::from(surely)..=usize::from(perhaps)
    }

    /// Notes records dropped because of their age in a completed invocation.
    pub(crate) fn note_gone(&mut self, id: InvocationId) {
        let invocation = &self.invocations[id];
        let End::Returned(returned) = &invocation.end else { return };
        let done = invocation.units.iter().filter(|unit| !returned.contains(unit));
        let marks = done.flat_map(|unit| &self.units[*unit].marks);
        let too_old = marks.filter(|mark| *self.too_old(invocation, mark).end() > 0);
        let gone: Vec<_> = too_old.cloned().collect();
        self.census.met_often("old: dropped", gone.len());
        self.gone.extend(gone);
    }

    /// Checks that each found item is expected at its place, with the changes of the rules.
    pub(crate) fn check_found(
        &mut self,
        (destination, stream): (DestinationId, Option<&str>),
        request: &wire::Request,
        found: &[Found],
    ) {
        for found in found {
            let mark = marks::at(destination, &found.mark);
            if let Some(problem) = self.wrong_about(&mark, (request.kind(), stream), found) {
                self.violated(format!("{mark} {problem}: {found:?}"));
            }
        }
        if self.schedule.setup.redacts {
            self.census.met("rule: redacted");
            if String::from_utf8_lossy(request.bytes()).contains(ADDRESS) {
                self.violated(format!("a request to {} was not redacted", NAMES[destination]));
            }
        }
    }

    fn wrong_about(
        &mut self,
        mark: &str,
        (kind, stream): (SignalKind, Option<&str>),
        found: &Found,
    ) -> Option<String> {
        let Some(fact) = self.facts.get(mark) else {
            return Some("is not owed there, or was to be dropped".to_owned());
        };
        let old_records = self.schedule.setup.old_records;
        if kind != fact.kind {
            return Some(format!("is no longer of {}", fact.kind));
        }
        if stream != fact.stream.as_deref() {
            return Some(format!("is in stream {stream:?} and not in {:?}", fact.stream));
        }
        if let Some(text) = fact.text.as_ref().filter(|text| **text != found.text) {
            return Some(format!("says something else than {text:?}"));
        }
        if kind != SignalKind::Metrics {
            let text = wire::timestamp::rfc3339_nanos(fact.age.unix_nano());
            let is_right = match &found.original_time {
                None => found.time_unix_nano == fact.age.unix_nano(),
                Some(original) => {
                    self.census.met("old: restamped");
                    *original == text && old_records == OldRecords::Restamp
                }
            };
            if !is_right {
                return Some(format!("has lost its time, {text}"));
            }
        }
        None
    }

    /// Counts the fates of marks: one for each mark that was handed over, at most one for returned marks. A second fate would be
    /// an uncounted duplicate.
    fn fates(&self, invocation: &Invocation, returned: &[UnitId]) -> Vec<String> {
        #[derive(Default)]
        struct Fates {
            /// Includes returned marks, and marks that may be dropped.
            most: usize,
            least: usize,
            taken: usize,
            queues: Vec<QueueName>,
        }
        let mut all: BTreeMap<&str, Fates> = BTreeMap::new();
        for id in &invocation.units {
            let unit = &self.units[*id];
            let is_returned = returned.contains(id);
            for mark in &unit.readable {
                all.entry(mark).or_default().most += 1;
            }
            for mark in &unit.marks {
                let too_old = self.too_old(invocation, mark);
                let stays_in_log_group =
                    !self.schedule.has_dead_letter_queue && marks::is_line(mark);
                let fates = all.entry(mark).or_default();
                fates.most += 1 - too_old.start();
                fates.least += if is_returned { 0 } else { 1 - too_old.end() };
                fates.taken += usize::from(stays_in_log_group && !is_returned);
            }
        }
        for request in invocation.requests.iter().map(|request| &self.requests[*request]) {
            if let Answered::Taken { .. } = request.answered {
                request.marks.iter().for_each(|mark| all.entry(mark).or_default().taken += 1);
            }
        }
        for sent in invocation.sent.iter().filter(|sent| sent.answered && !sent.partial) {
            sent.marks.iter().for_each(|mark| all.entry(mark).or_default().queues.push(sent.queue));
        }
        let wrong = all.into_iter().filter_map(|(mark, Fates { most, least, taken, queues })| {
            let is_right = (least..=most).contains(&(taken + queues.len()));
            (!is_right).then(|| {
                format!("{mark}: owed {least} to {most} fates, taken {taken} times, in queues {queues:?}")
            })
        });
        wrong.collect()
    }

    /// Checks the end, when all faults are over and all queues are drained: nothing is missing, and all duplicates were counted.
    /// `waiting` are the units in the retry queue.
    pub(crate) fn check_end(&mut self, waiting: &[UnitId]) {
        let on_failure = self.on_failure.iter().flat_map(|(_, units)| units);
        let mut kept = self.marks_of(waiting.iter().chain(on_failure));
        let sent = self.invocations.iter().flat_map(|invocation| &invocation.sent);
        let dead_letters = sent.filter(|sent| sent.queue == QueueName::DeadLetters);
        kept.extend(dead_letters.flat_map(|sent| sent.marks.iter().cloned()));
        let marks = self.marks_of(&(0..self.units.len()).collect::<Vec<_>>());
        let mut problems = Vec::new();
        for mark in &marks {
            let in_log_group = !self.schedule.has_dead_letter_queue && marks::is_line(mark);
            let is_stored = self.copies.contains_key(mark);
            let is_kept = kept.contains(mark) || in_log_group;
            self.census.met_often("total: stored", usize::from(is_stored));
            self.census.met_often("total: kept", usize::from(!is_stored && is_kept));
            if !is_stored && !is_kept && !self.gone.contains(mark) {
                self.census.met("fate: missing");
                problems.push(format!("{mark} is missing"));
                continue;
            }
            let kind = self.facts.get(mark).map(|fact| fact.kind);
            self.census.met(&fate(kind, is_stored, is_kept));
        }
        problems.extend(self.unexplained_copies());
        // A request with a poisoned item in each quarter is parked as a whole.
        let is_poisoned =
            |unit: &&UnitId| self.units[**unit].marks.iter().any(|mark| self.poison.contains(mark));
        let stuck = self.marks_of(waiting.iter().filter(|unit| !is_poisoned(unit)));
        if self.schedule.has_dead_letter_queue && !stuck.is_empty() {
            problems.push(format!("the retry queue still holds {stuck:?}"));
        }
        for problem in problems {
            self.violated(problem);
        }
    }

    fn marks_of<'u>(&self, units: impl IntoIterator<Item = &'u UnitId>) -> BTreeSet<Mark> {
        units.into_iter().flat_map(|unit| self.units[*unit].marks.iter().cloned()).collect()
    }

    /// Returns copies without a cause. An unanswered request counts as ambiguous, which was checked when its invocation returned.
    /// Lambda repeats an invocation that was killed or that returned the mark. Each other copy needs a repeated delivery in the
    /// schedule, or a message left by such an invocation or by one without an answer from the queue.
    fn unexplained_copies(&mut self) -> Vec<String> {
        let mut allowed: BTreeMap<&str, usize> = BTreeMap::new();
        for unit in &self.units {
            for mark in unit.marks.iter().chain(&unit.readable) {
                *allowed.entry(mark).or_default() += unit.deliveries - usize::from(unit.is_rest);
            }
        }
        // Copies that are not explained by their own request or invocation.
        let mut clean: BTreeMap<&str, usize> = BTreeMap::new();
        for invocation in &self.invocations {
            let units = match &invocation.end {
                End::Returned(units) => units,
                End::Killed | End::Running => &invocation.units,
            };
            let units = units.iter().map(|unit| &self.units[*unit]);
            let marks = units.flat_map(|unit| unit.marks.iter().chain(&unit.readable));
            let again: BTreeSet<&str> = marks.map(String::as_str).collect();
            for sent in invocation.sent.iter().filter(|sent| sent.queue == QueueName::Retry) {
                for mark in &sent.marks {
                    let is_extra = !sent.answered || again.contains(mark.as_str());
                    *allowed.entry(mark).or_default() += usize::from(is_extra);
                }
            }
            for id in &invocation.requests {
                let request = &self.requests[*id];
                let is_known = matches!(request.answered, Answered::Taken { .. });
                let marks: BTreeSet<&Mark> = request.marks.iter().filter(|_| is_known).collect();
                for mark in marks.into_iter().filter(|mark| !again.contains(mark.as_str())) {
                    let copies = self.copies.get(mark).into_iter().flatten();
                    *clean.entry(mark).or_default() += copies.filter(|of| *of == id).count();
                }
            }
        }
        let duplicates = self.copies.values().map(|requests| requests.len() - 1).sum();
        self.census.met_often("total: duplicates", duplicates);
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

/// The name of a fate in the census.
fn fate(kind: Option<SignalKind>, is_stored: bool, is_kept: bool) -> String {
    let Some(kind) = kind else { return "fate: undecodable".to_owned() };
    let place = match (is_stored, is_kept) {
        (true, _) => "stored",
        (_, true) => "in a queue or the on-failure store",
        _ => "too old, dropped",
    };
    format!("fate: {kind} {place}")
}
