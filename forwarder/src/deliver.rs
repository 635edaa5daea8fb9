//! Sends what a delivery became: merged, each destination and signal at once, one deadline.

use crate::ledger::{Account, Ledger};
use crate::outlet::{Export, Outlet};
use crate::parking::Origin;
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
    outlets: &[Outlet<E>],
    outgoing: Vec<Outgoing>,
    deadline: Instant,
) -> Delivered {
    let mut delivered = Delivered::default();
    let mut groups = group(outgoing).into_iter();
    let mut running = futures_util::stream::FuturesUnordered::new();
    loop {
        while running.len() < MOST_AT_ONCE
            && let Some(group) = groups.next()
        {
            // A destination of that position is there: `outgoing` was made of the same list.
            if let Some(outlet) = outlets.get(group.outlet) {
                running.push(send(outlet, group, deadline));
            }
        }
        match futures_util::StreamExt::next(&mut running).await {
            Some(part) => delivered.take(part),
            None => return delivered,
        }
    }
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

async fn send<E: Export>(outlet: &Outlet<E>, group: Group, deadline: Instant) -> Delivered {
    let mut delivered = Delivered::default();
    let Group { stream, requests, .. } = group;
    let origin = joined(&group.origin, &group.last_origin);
    for request in wire::merge(requests, outlet.max_request_bytes) {
        let outcome = outlet.export.export(stream.as_deref(), request, deadline).await;
        let ledger = Ledger {
            accepted: outcome.accepted,
            ambiguous: outcome.ambiguous_items,
            ..Ledger::default()
        };
        delivered.account.add(&outlet.name, ledger);
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
    delivered
}

/// The origin of requests that were merged: where the first came from, to the last event.
fn joined(first: &Arc<Origin>, last: &Arc<Origin>) -> Arc<Origin> {
    if Arc::ptr_eq(first, last) {
        return Arc::clone(first);
    }
    let last_event_id = last.last_event_id.clone();
    Arc::new(Origin { last_event_id, ..Origin::clone(first) })
}
