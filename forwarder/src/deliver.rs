//! Sends the requests of a batch: sanitized, merged, the three signals at once, one deadline.

use crate::ledger::Ledger;
use backend::{DropReason, Fate, Outcome, Profile, Reason, sanitize};
use std::future::Future;
use tokio::time::Instant;
use wire::{Request, SignalKind};

/// Where requests go.
pub trait Export {
    /// Sends one request before the deadline, repetitions included; the outcome accounts for each
    /// of its items.
    fn export(&self, request: Request, deadline: Instant) -> impl Future<Output = Outcome> + Send;
}

impl Export for backend::Client {
    async fn export(&self, request: Request, deadline: Instant) -> Outcome {
        backend::Client::export(self, None, request, deadline).await
    }
}

/// Accepts everything and sends nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct DryRun;

impl Export for DryRun {
    async fn export(&self, request: Request, _deadline: Instant) -> Outcome {
        Outcome { accepted: request.items(), ..Outcome::default() }
    }
}

/// What does not change from batch to batch.
#[derive(Clone, Copy, Debug)]
pub struct DeliverOptions {
    /// What the backend asks of telemetry.
    pub profile: Profile,
    /// Largest request before compression, in bytes.
    pub max_request_bytes: usize,
}

/// A part of a request that the backend did not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undelivered {
    /// Its signal.
    pub kind: SignalKind,
    /// Number of its items.
    pub items: usize,
    /// What happened last.
    pub reason: Reason,
    /// True if the rest of the same request was taken, which a second delivery stores twice.
    pub partial: bool,
}

/// The account of one delivery.
#[derive(Debug, Default)]
pub struct Delivered {
    /// Accepted, dropped and returned items.
    pub ledger: Ledger,
    /// What was returned, and why.
    pub undelivered: Vec<Undelivered>,
    /// What the backend would store wrong or not at all, by reason.
    pub dropped: Vec<(DropReason, usize)>,
    /// Warnings that came with accepted requests.
    pub warnings: Vec<String>,
}

/// Delivers `requests`. There is no queue to park in: what the backend does not take is returned.
pub async fn deliver<E: Export>(
    export: &E,
    requests: Vec<Request>,
    service_name: &str,
    options: &DeliverOptions,
    deadline: Instant,
) -> Delivered {
    let mut delivered = Delivered::default();
    let mut clean = Vec::with_capacity(requests.len());
    for request in requests {
        let sanitized = sanitize(options.profile, request, service_name);
        for (reason, items) in sanitized.dropped {
            delivered.ledger.dropped += items;
            delivered.dropped.push((reason, items));
        }
        clean.extend(sanitized.request);
    }
    let mut merged = wire::merge(clean, options.max_request_bytes);
    let [traces, metrics, logs] = SignalKind::ALL.map(|kind| {
        let of_kind: Vec<_> = merged.extract_if(.., |request| request.kind() == kind).collect();
        send(export, kind, of_kind, deadline)
    });
    let (traces, metrics, logs) = tokio::join!(traces, metrics, logs);
    for part in [traces, metrics, logs] {
        delivered.ledger += part.ledger;
        delivered.undelivered.extend(part.undelivered);
        delivered.warnings.extend(part.warnings);
    }
    delivered
}

async fn send<E: Export>(
    export: &E,
    kind: SignalKind,
    requests: Vec<Request>,
    deadline: Instant,
) -> Delivered {
    let mut delivered = Delivered::default();
    for request in requests {
        let outcome = export.export(request, deadline).await;
        delivered.ledger.accepted += outcome.accepted;
        delivered.ledger.ambiguous += outcome.ambiguous_items;
        for part in outcome.parts {
            delivered.ledger.returned += part.items;
            delivered.undelivered.push(Undelivered {
                kind,
                items: part.items,
                reason: part.reason,
                partial: part.fate == Fate::DeadLetterPartial,
            });
        }
        if !outcome.warning.is_empty() {
            delivered.warnings.push(outcome.warning);
        }
    }
    delivered
}
