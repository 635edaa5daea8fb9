//! The state that the fake's handles and its connections share.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};

use http::StatusCode;
use tokio::sync::watch;

use super::Signal;
use super::builder::Config;
use super::http_response::HttpResponse;
use super::ingest::{self, Submission, Verdict};
use super::route::Target;
use super::script::{Script, ScriptedResponse};
use super::store::{Counts, ReceivedRequest, Removal, Store, Ticket};
use crate::lock;

pub(super) struct Shared {
    pub(super) config: Config,
    state: Mutex<State>,
    counts: watch::Sender<Counts>,
    releases: watch::Sender<u64>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) script: Script,
    pub(super) store: Store,
    /// The items to drop while the client is told that they are stored.
    pub(super) to_lose: Removal,
}

impl Shared {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            state: Mutex::default(),
            counts: watch::Sender::new(Counts::default()),
            releases: watch::Sender::new(0),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Changes the state and tells those who wait for the counts.
    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state();
        let result = change(&mut state);
        self.counts.send_replace(state.store.counts);
        result
    }

    /// Counts a request and draws its answer; scripts are for POST requests only, so that a probe does not use them up.
    pub(super) fn begin(&self, signal: Option<Signal>, is_post: bool) -> ScriptedResponse {
        self.change(|state| {
            state.store.counts.requests += 1;
            if is_post { state.script.next(signal) } else { ScriptedResponse::Ok }
        })
    }

    pub(super) fn receive(&self, received: ReceivedRequest) -> Ticket {
        self.change(|state| state.store.receive(received))
    }

    /// Applies the rules and stores the accepted items, except for those to lose.
    pub(super) fn ingest(
        &self,
        submission: Submission,
        ticket: Ticket,
        refuse: u64,
    ) -> HttpResponse {
        let signal = submission.target.as_ref().ok().and_then(Target::signal);
        let verdict = ingest::ingest(&self.config, submission, ticket.index, refuse);
        let Verdict { mut reply, mut records, rejected, organization, columns } = match verdict {
            Ok(verdict) => verdict,
            Err(reply) => return reply,
        };
        self.change(|state| {
            if let Some(signal) = signal.filter(|_| self.config.racing_schemas) {
                let schemas = &mut state.store.schemas;
                let stale = schemas.merge(&organization, signal, columns, ticket.schemas);
                state.store.lost_columns += stale.values().map(BTreeSet::len).sum::<usize>();
                if !records.lose_columns(&stale) {
                    reply = HttpResponse::error(500, "Error# ArrowJsonEncodeError");
                }
            }
            state.store.counts.lost += records.remove(&mut state.to_lose);
            state.store.counts.rejected += rejected;
            if let Some(received) = state.store.request_mut(ticket) {
                received.stored = records.items();
                received.rejected = rejected;
            }
            state.store.keep(records);
        });
        reply
    }

    pub(super) fn answered(&self, ticket: Ticket, status: StatusCode, is_whole: bool) {
        self.change(|state| {
            if let Some(received) = state.store.request_mut(ticket) {
                received.status = Some(status.as_u16());
                received.answered_whole = is_whole;
            }
            state.store.counts.answered += u64::from(is_whole);
        });
    }

    pub(super) async fn hold(&self) {
        // Subscribed before anyone can see that it is held: the release that follows is not missed.
        let mut releases = self.releases.subscribe();
        let _held = Held::new(self);
        // The error is that the sender is gone, which `self` owns.
        releases.changed().await.ok();
    }

    pub(super) fn release(&self) {
        self.releases.send_modify(|releases| *releases += 1);
    }

    pub(super) async fn wait_until(&self, condition: impl FnMut(&Counts) -> bool) {
        let mut counts = self.counts.subscribe();
        counts.wait_for(condition).await.ok();
    }

    pub(super) fn clear(&self) {
        self.change(|state| state.store.clear());
    }
}

/// Counts a held request for as long as it is held, or until its client leaves.
struct Held<'a>(&'a Shared);

impl<'a> Held<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.change(|state| state.store.counts.held += 1);
        Self(shared)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.change(|state| state.store.counts.held -= 1);
    }
}
