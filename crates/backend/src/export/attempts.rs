//! Decides the next step to deliver a request: send, wait, split, halve, or give up. Pure; the loop in `client` carries it out.

use super::column_limit::split_by_columns;
use super::new_columns::{DividedRequest, NewColumns};
use super::outcome::{Fate, Outcome, UndeliveredPart};
use super::search::{AfterRefusal, Search};
use super::waiting_part::WaitingPart;
use super::{LEAST_BYTES, Learned};
use crate::destination::Profile;
use crate::http::{HttpResponse, TransportError};
use crate::judge::{Acceptance, Failure, Next, Reason, judge};
use crate::mask::Mask;
use settings::{Backoff, Jitter};
use std::collections::VecDeque;
use std::time::Duration;
use wire::{Halve as _, Request, SignalKind};

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(4));
/// Time limit of one delivery, including all retries. By default a request may take as long, so that one without an answer has no
/// retry.
pub(crate) const BUDGET: Duration = Duration::from_secs(10);

/// Who repeats a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeats {
    Client,
    /// The caller: the extension, which writes a record to its log if the backend crashes on it.
    Caller,
}

impl Repeats {
    /// The number of times that the client repeats requests. Then the retry queue takes over, because a waiting forwarder counts
    /// against the account's concurrent executions.
    fn most_retries(self) -> u32 {
        match self {
            Self::Client => 2,
            Self::Caller => 0,
        }
    }

    /// The number of requests with a record, in a row, after which it is blamed for crashes. A few closed connections are no
    /// evidence.
    fn least_crashes(self) -> u32 {
        match self {
            Self::Client => 6,
            Self::Caller => 2,
        }
    }
}

/// The conditions of one delivery.
#[derive(Debug)]
pub(crate) struct Terms<'a> {
    pub(crate) profile: Profile,
    /// Larger requests are split first.
    pub(crate) max_bytes: usize,
    /// Requests with more items are split first.
    pub(crate) max_items: usize,
    /// OpenObserve's stream; empty for the default.
    pub(crate) stream: &'a [u8],
    /// Hides credentials in reasons and warnings.
    pub(crate) mask: &'a Mask,
    pub(crate) learned: &'a Learned,
    pub(crate) repeats: Repeats,
    /// Equal seeds give equal delays.
    pub(crate) seed: u64,
    /// The delivery's end, from its start.
    pub(crate) deadline: Duration,
}

impl Terms<'_> {
    /// Splits the request into pieces within the known limits of size and columns.
    fn split(&self, request: Request) -> Vec<Request> {
        let pieces = request.split_by_size(self.max_bytes.min(self.learned.max_bytes()));
        let by_columns = |piece| match self.profile {
            Profile::OpenObserve => split_by_columns(piece, self.learned.column_limit()),
            Profile::Otlp => vec![piece],
        };
        pieces
            .into_iter()
            .flat_map(|piece| self.split_by_items(piece))
            .flat_map(by_columns)
            .collect()
    }

    fn split_by_items(&self, request: Request) -> Vec<Request> {
        let full = request.items().saturating_sub(1) / self.max_items;
        request.parts(&vec![self.max_items; full])
    }
}

/// The attempts to deliver one request, from the first one to the account of all its items. Times count from the start.
#[derive(Debug)]
pub(crate) struct Attempts<'a> {
    terms: Terms<'a>,
    kind: SignalKind,
    waiting: VecDeque<WaitingPart>,
    /// The time of the next request at the earliest.
    not_before: Duration,
    /// The size of the last request that was too large, until one is accepted.
    too_large: Option<usize>,
    phase: Phase,
    search: Search,
    /// The reason of the last failure. Parts that are left at the deadline carry it.
    last_failure: Option<Reason>,
    outcome: Outcome,
}

/// What the delivery assumes about a backend that crashes. `Sending` becomes `Probing` when the retries are used up, and the answer
/// to the probe either ends the delivery or begins `Isolating`, which lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// A crash has a reason of its own, and the client repeats the request, as after any failure that may pass. All parts share the
    /// retries.
    Sending { retries: u32 },
    /// An empty request shows whether it answers although it crashed.
    Probing,
    /// It crashed on content and answered an empty request: the content is divided until the bad records are alone.
    Isolating,
}

#[derive(Debug)]
pub(crate) enum Step<'a> {
    /// Send this request, then call [`Attempts::answered`].
    Send(&'a Request),
    /// Send an empty request, then call [`Attempts::probed`].
    Probe,
    /// Wait until this time.
    WaitUntil(Duration),
    /// Call [`Attempts::finish`].
    Done,
}

impl<'a> Attempts<'a> {
    /// Starts a delivery. The request is split first if it exceeds a size limit or OpenObserve's column limit.
    pub(crate) fn new(terms: Terms<'a>, request: Request) -> Self {
        let kind = request.kind();
        let items = request.items();
        let waiting = terms.split(request).into_iter().filter_map(WaitingPart::new).collect();
        Self {
            terms,
            kind,
            waiting,
            not_before: Duration::ZERO,
            too_large: None,
            phase: Phase::Sending { retries: 0 },
            search: Search::of(items),
            last_failure: None,
            outcome: Outcome::default(),
        }
    }

    pub(crate) fn next(&mut self, now: Duration) -> Step<'_> {
        if now >= self.terms.deadline {
            let reason = self.last_failure.clone().unwrap_or(Reason::Deadline);
            self.give_up(&reason, Fate::Park);
        }
        self.send_new_columns_ahead();
        match self.waiting.front() {
            None => Step::Done,
            Some(_) if self.phase == Phase::Probing => Step::Probe,
            Some(_) if now < self.not_before => Step::WaitUntil(self.not_before),
            Some(part) => Step::Send(&part.request),
        }
    }

    /// Handles the response to the request of [`Step::Send`].
    pub(crate) fn answered(
        &mut self,
        now: Duration,
        response: Result<HttpResponse, TransportError>,
    ) {
        let Some(mut part) = self.waiting.pop_front() else { return };
        let items = part.request.items();
        let judged = match response {
            Ok(response) => judge(self.terms.profile, self.kind, items, &response, self.terms.mask),
            Err(TransportError { sent, is_closed, text }) => {
                let text = self.terms.mask.apply(text.into()).into_owned();
                let reason = Reason::NoAnswer(TransportError { sent, is_closed, text });
                let next = Next::Retry { after: None };
                Err(Failure { reason, ambiguous: sent, is_crash: is_closed, next })
            }
        };
        let Failure { reason, ambiguous, is_crash, next } = match judged {
            Ok(acceptance) => return self.accepted(part, acceptance),
            Err(failure) => failure,
        };
        if ambiguous && !part.ambiguous {
            part.ambiguous = true;
            self.outcome.ambiguous_items += items;
        }
        part.crashes += u32::from(is_crash);
        match next {
            Next::Retry { .. } if is_crash && self.may_content_crash_backend() => {
                self.suspect(now, part, reason);
            }
            Next::Retry { after } => {
                self.outcome.retry_after = after;
                if let Some(retry) = self.take_retry() {
                    let delay = self.delay(retry, after);
                    self.send_again_or_end(now.saturating_add(delay), part, reason);
                } else {
                    self.waiting.push_front(part);
                    self.end(reason);
                }
            }
            Next::OnceMore if part.nothing_written => self.halve(part, reason),
            Next::OnceMore => {
                part.nothing_written = true;
                let delay = self.delay(0, None);
                self.send_again_or_end(now.saturating_add(delay), part, reason);
            }
            Next::Alarm => {
                self.waiting.push_front(part);
                self.give_up(&reason, Fate::ParkWithAlarm);
            }
            Next::HalveTooLarge => {
                self.too_large = Some(part.request.bytes().len());
                self.halve(part, reason);
            }
            Next::HalveRefused => {
                let has_learned_limit = self.learn_column_limit(&reason);
                if has_learned_limit {
                    self.waiting.push_front(part);
                    self.split_waiting();
                    self.last_failure = Some(reason);
                } else {
                    self.halve(part, reason);
                }
            }
        }
    }

    /// Returns `true` if the content of a request may be the cause of a crash: all retries failed, or the backend answered an empty
    /// request after earlier crashes.
    fn may_content_crash_backend(&self) -> bool {
        let repeats = self.terms.repeats;
        let is_only_record = repeats == Repeats::Caller && self.search.items() == 1;
        match self.phase {
            Phase::Sending { retries } => retries >= repeats.most_retries() && !is_only_record,
            Phase::Probing | Phase::Isolating => true,
        }
    }

    /// Takes one of the client's retries, and returns its number, counted from 0; `None` if all are used up.
    fn take_retry(&mut self) -> Option<u32> {
        match &mut self.phase {
            Phase::Sending { retries } if *retries < self.terms.repeats.most_retries() => {
                *retries += 1;
                Some(*retries - 1)
            }
            _ => None,
        }
    }

    /// Returns `true` if the backend crashed often enough on this single record to blame it.
    fn is_to_blame(&self, part: &WaitingPart) -> bool {
        part.crashes >= self.terms.repeats.least_crashes()
    }

    /// Decides what follows a crash that the content may have caused. The backend is asked whether it answers before the first
    /// division, and before a single record is blamed.
    fn suspect(&mut self, now: Duration, part: WaitingPart, failure: Reason) {
        let is_single = part.request.items() <= 1;
        let is_isolating = self.phase == Phase::Isolating;
        if is_isolating && !is_single {
            return self.halve(part, Reason::CrashesOnContent { failure: Box::new(failure) });
        }
        if is_isolating && !self.is_to_blame(&part) {
            let delay = self.delay(0, None);
            return self.send_again_or_end(now.saturating_add(delay), part, failure);
        }
        self.waiting.push_front(part);
        self.last_failure = Some(failure);
        self.phase = Phase::Probing;
    }

    /// Handles the response to the empty request of [`Step::Probe`].
    pub(crate) fn probed(&mut self, now: Duration, response: Result<HttpResponse, TransportError>) {
        self.phase = Phase::Isolating;
        let failure = self.last_failure.clone().unwrap_or(Reason::Deadline);
        let is_answered = response.is_ok_and(|response| response.status < 500);
        if !is_answered {
            return self.give_up(&failure, Fate::Park);
        }
        let Some(part) = self.waiting.pop_front() else { return };
        if part.request.items() <= 1 && !self.is_to_blame(&part) {
            self.suspect(now, part, failure);
        } else {
            self.halve(part, Reason::CrashesOnContent { failure: Box::new(failure) });
        }
    }

    /// Notes the part that the backend accepted, all of it or but for the rejected items.
    fn accepted(&mut self, part: WaitingPart, Acceptance { rejected, text }: Acceptance) {
        self.outcome.accepted += part.request.items() - rejected;
        if rejected > 0 {
            self.search.note_good();
            let reason = Reason::Rejected { text };
            return self.note_undelivered(part.request, rejected, reason, Fate::DeadLetterPartial);
        }
        // A few items do not show that the backend accepts the others.
        if !part.is_ahead {
            self.search.note_good();
        }
        self.learn_size(part.request.bytes().len());
        if let Some(columns) = part.new_columns.filter(|columns| !columns.is_empty()) {
            self.terms.learned.with_columns(|known| known.add(&columns));
        }
        if !text.is_empty() && self.terms.learned.note_warning(&text) {
            self.outcome.warning = text;
        }
    }

    /// Ends the delivery and returns the account of all items. Waiting parts are queued for retry.
    pub(crate) fn finish(mut self) -> Outcome {
        let reason = self.last_failure.clone().unwrap_or(Reason::Deadline);
        self.give_up(&reason, Fate::Park);
        if !self.search.has_found_good() {
            self.acquit_records();
        }
        self.outcome
    }

    /// The delay before retry `number`, counted from 0. It doubles each time, is shortened at random by up to one half, and is
    /// never below the backend's `Retry-After`.
    fn delay(&self, number: u32, retry_after: Option<Duration>) -> Duration {
        let jitter = Jitter::of(&(self.terms.seed, number));
        BACKOFF.delay(number, jitter).max(retry_after.unwrap_or_default())
    }

    /// Schedules the part for this time. If the delivery is over by then, it ends now; see [`BUDGET`].
    fn send_again_or_end(&mut self, time: Duration, part: WaitingPart, reason: Reason) {
        self.waiting.push_front(part);
        if time >= self.terms.deadline {
            self.end(reason);
        } else {
            self.not_before = time;
            self.last_failure = Some(reason);
        }
    }
}

impl Attempts<'_> {
    /// Records this number of items of a request, which has left the queue, as undelivered.
    fn note_undelivered(&mut self, request: Request, items: usize, reason: Reason, fate: Fate) {
        self.outcome.parts.push(UndeliveredPart { request, items, reason, fate });
    }

    /// Ends the delivery after a failure. If the failure before it was a refusal, that stays the reason, so that the next delivery
    /// continues the search for bad records in pieces and doesn't begin again with the same request.
    fn end(&mut self, failure: Reason) {
        let refusal = self.last_failure.take().filter(Reason::refuses_content);
        self.give_up(&refusal.unwrap_or(failure), Fate::Park);
    }

    /// Records all queued parts as undelivered.
    fn give_up(&mut self, reason: &Reason, fate: Fate) {
        while let Some(WaitingPart { request, .. }) = self.waiting.pop_front() {
            let items = request.items();
            self.note_undelivered(request, items, reason.clone(), fate);
        }
    }

    /// Parks the records that were blamed, after the backend, or a proxy before it, refused everything: then a refusal says nothing
    /// about a single record. A record that states which limit it exceeds stays blamed.
    fn acquit_records(&mut self) {
        let is_single_part = self.outcome.parts.len() == 1;
        let parked = if is_single_part { Fate::ParkRefused } else { Fate::Park };
        for part in &mut self.outcome.parts {
            if part.fate == Fate::DeadLetter && !part.reason.names_columns() {
                part.fate = parked;
            }
            // If all content crashes the backend, it fails, whatever it answers to an empty request.
            if !is_single_part {
                part.reason = part.reason.clone().without_suspicion();
            }
        }
        self.join_parked();
    }

    /// Queues everything undelivered for retry, including single records that seemed to be at fault, and joins neighbours again.
    fn give_up_whole(&mut self, reason: &Reason) {
        self.give_up(reason, Fate::Park);
        for part in &mut self.outcome.parts {
            part.reason.clone_from(reason);
            part.fate = Fate::Park;
        }
        self.join_parked();
    }

    /// Joins neighbours that failed for the same reason, up to the size limit.
    fn join_parked(&mut self) {
        let mut joined: Vec<(Vec<u8>, UndeliveredPart)> = Vec::new();
        for mut part in std::mem::take(&mut self.outcome.parts) {
            // The loop below builds the new request from all adjacent bytes.
            let empty = Request::trusted(self.kind, Vec::new());
            let bytes = std::mem::replace(&mut part.request, empty).into_bytes();
            match joined.last_mut() {
                // Concatenated protobuf messages are one message whose repeated fields are combined (protobuf encoding, "Last One
                // Wins").
                Some((last_bytes, last))
                    if (last.fate, part.fate) == (Fate::Park, Fate::Park)
                        && last.reason == part.reason
                        && last_bytes.len() + bytes.len() <= self.terms.max_bytes =>
                {
                    last_bytes.extend(bytes);
                    last.items += part.items;
                }
                _ => joined.push((bytes, part)),
            }
        }
        self.outcome.parts.extend(joined.into_iter().map(|(bytes, part)| UndeliveredPart {
            request: Request::trusted(self.kind, bytes),
            ..part
        }));
    }
}

impl Attempts<'_> {
    /// After a request was too large and a piece of this size was accepted, splits waiting and later requests to this size, or to
    /// half of the refused one. Before that, the fault may be the backend's.
    fn learn_size(&mut self, accepted: usize) {
        if let Some(refused) = self.too_large.take().filter(|&refused| refused > LEAST_BYTES) {
            self.terms.learned.learn_max_bytes(accepted.max(refused / 2));
            self.split_waiting();
        }
    }

    /// Halves a part that is refused for its size or its records. The first half is next, so that a few requests reach records
    /// that the backend accepts, however many it refuses.
    fn halve(&mut self, part: WaitingPart, reason: Reason) {
        let items = part.request.items();
        match self.search.follow_refusal(items) {
            AfterRefusal::Halve => {
                let (first, second) = part.request.clone().into_halves();
                for request in [second, first] {
                    if let Some(half) = part.piece(request) {
                        self.waiting.push_front(half);
                    }
                }
                self.last_failure = Some(reason);
            }
            AfterRefusal::BlameRecord => {
                // Neighbours may be bad too, so the search for a good record goes on in the largest piece.
                if !self.search.has_found_good() && !self.waiting.is_empty() {
                    self.waiting.rotate_right(1);
                }
                // `acquit_records` takes it back if the backend accepts nothing.
                self.note_undelivered(part.request, items, reason, Fate::DeadLetter);
            }
            AfterRefusal::KeepTogether => {
                self.note_undelivered(part.request, items, reason, Fate::Park);
            }
            AfterRefusal::BlameBackend => {
                self.waiting.push_front(part);
                self.give_up_whole(&reason.without_suspicion());
            }
        }
    }

    /// Divides the next part if it has columns that OpenObserve has not accepted from this client yet: a few items that together
    /// have these columns are sent first.
    fn send_new_columns_ahead(&mut self) {
        let Some(part) = self.waiting.front_mut().filter(|part| part.new_columns.is_none()) else {
            return;
        };
        let mut new = match self.terms.profile {
            Profile::OpenObserve => {
                self.terms.learned.new_columns(self.terms.stream, &part.request)
            }
            Profile::Otlp => NewColumns::default(),
        };
        let is_divided = new.are_ahead_in(&part.request);
        part.new_columns = Some(std::mem::take(&mut new.hashes));
        if let Some(mut part) = self.waiting.pop_front_if(|_| is_divided) {
            let DividedRequest { ahead, rest } = new.divide(part.request);
            part.request = ahead;
            part.is_ahead = true;
            if let Some(rest) = part.piece(rest) {
                self.waiting.push_front(rest);
            }
            self.waiting.push_front(part);
        }
    }

    /// Notes the column limit that the backend states. Returns `true` if it is lower than the known one.
    fn learn_column_limit(&self, reason: &Reason) -> bool {
        self.terms.profile == Profile::OpenObserve
            && reason
                .column_limit()
                .is_some_and(|columns| self.terms.learned.learn_max_columns(columns))
    }

    /// Splits waiting parts after a limit was learned.
    fn split_waiting(&mut self) {
        for part in std::mem::take(&mut self.waiting) {
            let pieces = self.terms.split(part.request.clone()).into_iter();
            self.waiting.extend(pieces.filter_map(|request| part.piece(request)));
        }
    }
}
