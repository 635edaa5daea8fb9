//! Sets the fake up.

use super::shared::Shared;
use super::{FakeOpenObserve, Server, server};
use local_lambda::HttpServer;
use std::sync::Arc;
use std::time::Duration;

/// Sets up a [`FakeOpenObserve`], with OpenObserve's defaults.
#[derive(Default)]
#[must_use]
pub struct Builder {
    config: Config,
}

impl Builder {
    /// An organization that may be read; a client creates others by writing. Without any there is `default`.
    pub fn organization(mut self, name: &str) -> Self {
        self.config.organizations.push(name.to_owned());
        self
    }

    /// Asks for authorization and accepts this user.
    pub fn user(mut self, email: &str, password: &str) -> Self {
        self.config.users.push(format!("{email}:{password}"));
        self
    }

    /// Accepts log records and spans of any time. By default, they may be 5 h old and 24 h ahead (`ZO_INGEST_ALLOWED_UPTO`,
    /// `…_IN_FUTURE`).
    pub fn no_window(mut self) -> Self {
        (self.config.past, self.config.future) = (Duration::MAX, Duration::MAX);
        self
    }

    /// Where the ingest window and `Retry-After` dates take the time from, in nanoseconds since 1970.
    pub fn clock(mut self, clock: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        self.config.clock = Box::new(clock);
        self
    }

    /// Most distinct columns of one stream in one request: 1000 (`ZO_COLS_PER_RECORD_LIMIT`).
    pub fn max_columns(mut self, columns: usize) -> Self {
        self.config.max_columns = columns;
        self
    }

    /// Concurrent requests that add columns to a stream lose them, as in v0.92.2. Off by default: forwarder environments that
    /// start at the same time race, and what they lose would differ from run to run.
    pub fn racing_schemas(mut self) -> Self {
        self.config.racing_schemas = true;
        self
    }

    /// Starts on a free port.
    pub async fn start(self) -> std::io::Result<FakeOpenObserve> {
        let mut config = self.config;
        if config.organizations.is_empty() {
            config.organizations.push("default".to_owned());
        }
        let organization =
            config.organizations.first().map_or("default", String::as_str).to_owned();
        let shared = Arc::new(Shared::new(config));
        let same = Arc::clone(&shared);
        let respond = move |request| server::respond(Arc::clone(&same), request);
        let http = HttpServer::listen(0, respond).await?;
        let address = http.address();
        let url = format!("http://{address}");
        let base = format!("{url}/api/{organization}");
        let server = Server { address, url, base, _http: http };
        Ok(FakeOpenObserve { shared, server: Arc::new(server) })
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the fake's only look at the clock; tests set another with Builder::clock"
)]
fn system_clock() -> u64 {
    let since_epoch =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) struct Config {
    /// `email:password`, as in Basic authorization.
    pub(super) users: Vec<String>,
    pub(super) organizations: Vec<String>,
    pub(super) past: Duration,
    pub(super) future: Duration,
    pub(super) payload_limit: usize,
    pub(super) max_columns: usize,
    /// Concurrent requests lose the columns that they add.
    pub(super) racing_schemas: bool,
    /// Nanoseconds since 1970.
    pub(super) clock: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            users: Vec::new(),
            organizations: Vec::new(),
            past: Duration::from_hours(5),
            future: Duration::from_hours(24),
            payload_limit: 200 * 1024 * 1024,
            max_columns: 1000,
            racing_schemas: false,
            clock: Box::new(system_clock),
        }
    }
}
