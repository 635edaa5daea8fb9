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
use super::rows;
use super::script::{Script, ScriptedResponse};
use super::store::{ReceivedRequest, Records, Removal, Store, Ticket};
use crate::lock;

pub(super) struct Shared {
    pub(super) config: Config,
    state: Mutex<State>,
    releases: watch::Sender<u64>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) script: Script,
    pub(super) store: Store,
    /// The items to drop while the answer says that they are stored.
    pub(super) to_lose: Removal,
    /// The content that closes the connection.
    pub(super) crashes_on: Option<Vec<u8>>,
}

impl Shared {
    pub(super) fn new(config: Config) -> Self {
        Self { config, state: Mutex::default(), releases: watch::Sender::new(0) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Draws the answer to a request; scripts are for POST requests only, so that a probe does not use them up.
    pub(super) fn begin(&self, signal: Option<Signal>, is_post: bool) -> ScriptedResponse {
        if is_post { self.state().script.next(signal) } else { ScriptedResponse::Ok }
    }

    pub(super) fn receive(&self, received: ReceivedRequest) -> Ticket {
        self.state().store.receive(received)
    }

    /// Applies the rules and stores the accepted items, except for those to lose.
    pub(super) fn ingest(
        &self,
        submission: Submission,
        ticket: Ticket,
        refuse: u64,
    ) -> HttpResponse {
        if let Some(bytes) = &self.state().crashes_on
            && submission.body().windows(bytes.len()).any(|part| part == bytes)
        {
            return HttpResponse::panicked();
        }
        let signal = submission.target.as_ref().ok().and_then(Target::signal);
        let verdict = ingest::ingest(&self.config, submission, ticket.index, refuse);
        let Verdict { mut reply, mut records, organization, columns } = match verdict {
            Ok(verdict) => verdict,
            Err(reply) => return reply,
        };
        let state = &mut *self.state();
        if let Records::Logs(log_records) = &records {
            let rows = rows::of_log_records(log_records);
            let is_id = |row: &rows::Row| row.columns.get("_id").is_some_and(|id| !id.is_string());
            if rows.iter().any(is_id) {
                return HttpResponse::panicked();
            }
            if let Some(stream) = log_records.first().map(|record| record.stream.clone()) {
                let types = state.store.types.entry((organization.clone(), stream)).or_default();
                if !types.add_rows(rows.iter()) {
                    return HttpResponse::write_failed();
                }
            }
        }
        let schemas = &mut state.store.schemas;
        let missing = signal
            .map(|signal| schemas.merge(&organization, signal, columns, ticket.schemas))
            .filter(|_| self.config.racing_schemas);
        if let Some(missing) = missing {
            state.store.lost_columns += missing.values().map(BTreeSet::len).sum::<usize>();
            if !records.lose_columns(&missing) {
                reply = HttpResponse::error(500, "Error# ArrowJsonEncodeError");
            }
        }
        state.store.lost += records.remove(&mut state.to_lose);
        if let Some(received) = state.store.request_mut(ticket) {
            received.stored = records.items();
        }
        state.store.keep(records);
        reply
    }

    pub(super) fn answered(&self, ticket: Ticket, status: StatusCode, is_whole: bool) {
        if let Some(received) = self.state().store.request_mut(ticket) {
            received.status = Some(status.as_u16());
            received.answered_whole = is_whole;
        }
    }

    pub(super) async fn hold(&self) {
        // The error is that the sender is gone, which `self` owns.
        self.releases.subscribe().changed().await.ok();
    }

    pub(super) fn release(&self) {
        self.releases.send_modify(|releases| *releases += 1);
    }
}
