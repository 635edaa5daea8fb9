//! Sends what a delivery became: merged, each destination and signal at once, one deadline.

use crate::breaker::{Admission, verdict};
use crate::ledger::{Account, Ledger};
use crate::old_records::Sorted;
use crate::outlet::{Export, Outlet};
use crate::parking::Origin;
use backend::{Fate, Outcome, Reason};
use std::sync::Arc;
use tokio::time::Instant;
use wire::{Request, SignalKind};

/// A request on its way to one destination, sanitized.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// Position of the destination.
    pub(crate) outlet: usize,
    /// OpenObserve's stream, where one was chosen.
    pub(crate) stream: Option<Arc<str>>,
    /// The request.
    pub(crate) request: Request,
    /// Where it came from.
    pub(crate) origin: Arc<Origin>,
}

/// What a destination did not take.
#[derive(Debug)]
pub(crate) struct Remainder {
    /// Position of the destination.
    pub(crate) outlet: usize,
    /// OpenObserve's stream, where one was chosen.
    pub(crate) stream: Option<Arc<str>>,
    /// The part, why it was not taken, and what is to be done with it.
    pub(crate) part: backend::Undelivered,
    /// Where it came from.
    pub(crate) origin: Arc<Origin>,
}

/// The account of one delivery. What was not taken is in no ledger yet.
#[derive(Debug, Default)]
pub(crate) struct Delivered {
    /// Accepted and ambiguous items.
    pub(crate) account: Account,
    /// What was not taken.
    pub(crate) remainders: Vec<Remainder>,
    /// Warnings that came with accepted requests.
    pub(crate) warnings: Vec<String>,
    /// HTTP requests sent, repetitions included.
    pub(crate) requests_sent: usize,
    /// Bytes of their bodies.
    pub(crate) bytes_sent: usize,
    /// Whether the destination takes telemetry; `None` where this does not tell.
    verdict: Option<bool>,
}

/// When things are, and have to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// The time of the delivery.
    pub(crate) now_unix_nano: u64,
    /// When the last request must have ended.
    pub(crate) deadline: Instant,
    /// Whether there is a queue for what is not taken: without one it is no use to leave a destination
    /// alone, since whoever invoked the forwarder tries again.
    pub(crate) has_retry_queue: bool,
}

/// Requests that may be merged: of one destination, stream and signal.
struct Group {
    outlet: usize,
    stream: Option<Arc<str>>,
    kind: SignalKind,
    requests: Vec<Request>,
    origin: Arc<Origin>,
    last_origin: Arc<Origin>,
}

/// Most groups that are sent at once. One destination has three; stream templates and routes make
/// more, and all of them share the forwarder's memory and its connections.
const MOST_AT_ONCE: usize = 6;

/// Sends all requests, and says what became of them.
pub(crate) async fn deliver<E: Export>(
    outlets: &[Arc<Outlet<E>>],
    outgoing: Vec<Outgoing>,
    times: Times,
) -> Delivered {
    let mut delivered = Delivered::default();
    let groups = group(outgoing);
    let admissions = admissions(outlets, &groups, times);
    let mut groups = groups.into_iter();
    let mut verdicts = vec![None; outlets.len()];
    let mut running = futures_util::stream::FuturesUnordered::new();
    loop {
        while running.len() < MOST_AT_ONCE
            && let Some(group) = groups.next()
        {
            // A destination of that position is there: `outgoing` was made of the same list.
            if let Some(outlet) = outlets.get(group.outlet) {
                let admission = admissions.get(group.outlet).copied().flatten();
                running.push(send(outlet, admission, group, times));
            }
        }
        match futures_util::StreamExt::next(&mut running).await {
            Some((outlet, part)) => {
                if let Some(verdict) = verdicts.get_mut(outlet) {
                    // One signal that is taken says that the destination is there.
                    *verdict = (*verdict).max(part.verdict);
                }
                delivered.take(part);
            }
            None => break,
        }
    }
    if times.has_retry_queue {
        for (outlet, verdict) in outlets.iter().zip(verdicts) {
            outlet.breaker().note(verdict, times.now_unix_nano);
        }
    }
    delivered
}

/// Whether each destination that something goes to is sent to: one that took nothing of late is left
/// alone, where there is a queue to keep what is for it.
fn admissions<E>(
    outlets: &[Arc<Outlet<E>>],
    groups: &[Group],
    times: Times,
) -> Vec<Option<Admission>> {
    let admission = |(position, outlet): (usize, &Arc<Outlet<E>>)| {
        let is_used = groups.iter().any(|group| group.outlet == position);
        is_used.then(|| {
            if times.has_retry_queue {
                outlet.breaker().admit(times.now_unix_nano)
            } else {
                Admission::Send
            }
        })
    };
    outlets.iter().enumerate().map(admission).collect()
}

impl Delivered {
    fn take(&mut self, other: Self) {
        self.account += other.account;
        self.remainders.extend(other.remainders);
        self.warnings.extend(other.warnings);
        self.requests_sent += other.requests_sent;
        self.bytes_sent += other.bytes_sent;
    }
}

fn group(outgoing: Vec<Outgoing>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for Outgoing { outlet, stream, request, origin } in outgoing {
        let kind = request.kind();
        let of_group = |group: &&mut Group| {
            (group.outlet, group.kind) == (outlet, kind) && group.stream == stream
        };
        match groups.iter_mut().find(of_group) {
            Some(group) => {
                group.requests.push(request);
                group.last_origin = origin;
            }
            None => groups.push(Group {
                outlet,
                stream,
                kind,
                requests: vec![request],
                last_origin: Arc::clone(&origin),
                origin,
            }),
        }
    }
    groups
}

async fn send<E: Export>(
    outlet: &Outlet<E>,
    admission: Option<Admission>,
    group: Group,
    times: Times,
) -> (usize, Delivered) {
    let mut delivered = Delivered::default();
    let Group { stream, requests, .. } = group;
    let origin = joined(&group.origin, &group.last_origin);
    for request in wire::merge(requests, outlet.max_request_bytes()) {
        let Sorted { send, keep, dropped, .. } = outlet.policy().sort(request, times.now_unix_nano);
        let mut outcome = match send {
            None => Outcome::default(),
            Some(request) if admission == Some(Admission::Park) => {
                let text = "earlier deliveries failed; the destination is tried again every 30 s";
                let reason = Reason::ParkedAtOnce { text: text.to_owned() };
                Outcome::unsent(request, reason, Fate::Park)
            }
            Some(request) => {
                outlet.export().export(stream.as_deref(), request, times.deadline).await
            }
        };
        delivered.verdict = delivered.verdict.max(verdict(&outcome));
        if let Some(old) = keep {
            outcome += Outcome::unsent(old, Reason::OutsideWindow, Fate::DeadLetter);
        }
        let ledger = Ledger {
            accepted: outcome.accepted,
            ambiguous: outcome.ambiguous_items,
            dropped,
            ..Ledger::default()
        };
        delivered.account.add(outlet.name(), ledger);
        delivered.requests_sent += outcome.requests_sent;
        delivered.bytes_sent += outcome.bytes_sent;
        if !outcome.warning.is_empty() {
            delivered.warnings.push(outcome.warning);
        }
        delivered.remainders.extend(outcome.parts.into_iter().map(|part| Remainder {
            outlet: group.outlet,
            stream: stream.clone(),
            part,
            origin: Arc::clone(&origin),
        }));
    }
    (group.outlet, delivered)
}

/// The origin of requests that were merged: where the first came from, to the last event.
fn joined(first: &Arc<Origin>, last: &Arc<Origin>) -> Arc<Origin> {
    if Arc::ptr_eq(first, last) {
        return Arc::clone(first);
    }
    let last_event_id = last.last_event_id.clone();
    Arc::new(Origin { last_event_id, ..Origin::clone(first) })
}
