//! A fake OpenObserve on loopback: its paths, answers and quirks, scripted faults, and a record of all it received.
//!
//! The quirks were measured on a running OpenObserve v0.60.5, the race of `schemas` on v0.92.2, types and crashes on 0.93-dev.
//! Bodies are read with
//! `opentelemetry-proto`, never with
//! `wire`, so that a mistake of ours cannot hide on both sides.
//!
//! It runs on the caller's tokio runtime and reads tokio's clock, so that a test on one thread can pause time.

mod builder;
mod gen_ai;
#[cfg(feature = "grpc")]
pub mod grpc;
mod http_response;
mod ingest;
mod route;
mod rows;
mod script;
mod server;
mod shared;
mod store;
mod types;

use self::shared::Shared;
use local_lambda::HttpServer;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

pub use self::builder::Builder;
pub use self::script::{Faults, ScriptedResponse};
pub use self::types::HiddenRows;
pub use wire::SignalKind as Signal;

pub use self::store::{
    Counts, ReceivedRequest, Stored, StoredJson, StoredLogRecord, StoredMetric, StoredSpan,
    point_attributes,
};

/// A running fake. Clones are handles to the same one; it stops when the last is dropped.
#[derive(Clone)]
pub struct FakeOpenObserve {
    shared: Arc<Shared>,
    server: Arc<Server>,
}

impl FakeOpenObserve {
    /// A fake that knows the organization `default`, asks for no authorization, and has OpenObserve's default limits.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// [`FakeOpenObserve::builder`] as it is.
    pub async fn start() -> std::io::Result<Self> {
        Self::builder().start().await
    }

    /// `http://127.0.0.1:PORT`, where plain OTLP paths (`/v1/traces`) are served.
    pub fn url(&self) -> &str {
        &self.server.url
    }

    /// `http://127.0.0.1:PORT/api/default`, with the first organization.
    pub fn base(&self) -> &str {
        &self.server.base
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// The answers to the next POST requests, in order, after those already scripted; then as usual.
    pub fn script(&self, answers: impl IntoIterator<Item = ScriptedResponse>) {
        self.shared.state().script.extend(None, answers);
    }

    /// As [`FakeOpenObserve::script`], for requests of one signal. A request takes the first step that is for its signal or for any.
    pub fn script_for(&self, signal: Signal, answers: impl IntoIterator<Item = ScriptedResponse>) {
        self.shared.state().script.extend(Some(signal), answers);
    }

    /// Random faults for every POST request that no script answers, until [`FakeOpenObserve::heal`].
    pub fn inject(&self, faults: Faults) {
        self.shared.state().script.set_faults(Some(faults));
    }

    /// Forgets scripts and faults; from now on every request is answered as usual. Held requests stay held.
    pub fn heal(&self) {
        self.shared.state().script.clear();
    }

    /// Drops the next `items` items while 200 is answered.
    pub fn lose(&self, items: u64) {
        self.shared.state().to_lose.count += items;
    }

    /// Closes the connection on each request whose body contains these bytes, as a server does whose handler panics.
    pub fn crash_on(&self, bytes: &[u8]) {
        self.shared.state().crashes_on = Some(bytes.to_vec());
    }

    /// Items of these scopes, and metrics of these names, are never [lost](FakeOpenObserve::lose).
    pub fn never_lose(&self, names: &'static [&'static str]) {
        self.shared.state().to_lose.never_of = names;
    }

    /// Lets all requests go on that are [held](ScriptedResponse::Held) now. Later ones are held again.
    pub fn release(&self) {
        self.shared.release();
    }

    /// Every request in the order of arrival, including requests with an unread body.
    pub fn requests(&self) -> Vec<ReceivedRequest> {
        self.shared.state().store.requests.clone()
    }

    pub fn spans(&self) -> Vec<StoredSpan> {
        self.shared.state().store.spans.clone()
    }

    pub fn log_records(&self) -> Vec<StoredLogRecord> {
        self.shared.state().store.log_records.clone()
    }

    pub fn metrics(&self) -> Vec<StoredMetric> {
        self.shared.state().store.metrics.clone()
    }

    /// The columns of all rows of the stream `default` in the organization `default`.
    pub fn rows(&self, signal: Signal) -> Vec<BTreeMap<String, serde_json::Value>> {
        let store = &self.shared.state().store;
        rows::stream(store, "default", signal, "default").map(|row| row.columns).collect()
    }

    /// The records of `/api/{org}/{stream}/_json`.
    pub fn json_records(&self) -> Vec<StoredJson> {
        self.shared.state().store.json_records.clone()
    }

    /// The rows of a log stream as `SELECT *` answers, or its error.
    pub fn log_rows(
        &self,
        stream: &str,
    ) -> Result<Vec<BTreeMap<String, serde_json::Value>>, HiddenRows> {
        let store = &self.shared.state().store;
        let rows = rows::stream(store, "default", Signal::Logs, stream);
        let types = store.types.get(&("default".to_owned(), stream.to_owned()));
        types.map_or(Ok(()), types::Types::join)?;
        rows.map(|mut row| {
            types.map_or(Ok(()), |types| types.convert(&mut row))?;
            Ok(row.columns)
        })
        .collect()
    }

    /// How many columns concurrent requests lost, see [`Builder::racing_schemas`].
    pub fn lost_columns(&self) -> usize {
        self.shared.state().store.lost_columns
    }

    pub fn counts(&self) -> Counts {
        self.shared.state().store.counts()
    }

    /// Forgets requests, records and counts; scripts stay. Requests in progress are still stored.
    pub fn clear(&self) {
        self.shared.state().store.clear();
    }
}

impl fmt::Debug for FakeOpenObserve {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FakeOpenObserve")
            .field("url", &self.server.url)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

struct Server {
    address: SocketAddr,
    url: String,
    base: String,
    _http: HttpServer,
}

fn signal_of(name: &str) -> Option<Signal> {
    Signal::ALL.into_iter().find(|signal| signal.as_str() == name)
}
