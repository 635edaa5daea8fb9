//! The Telemetry API's side of an environment: generated events, subscriptions, and waiting events.

mod delivery;

use crate::clock;
use crate::fidelity::ManagedDelivery;
use crate::function::{FunctionSpec, LogFormat};
use crate::lock;
use crate::recent::Recent;
use delivery::{Dropped, Subscription};
use http::Uri;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The bounds of the backlog that init keeps for later subscribers, in events and bytes.
const MAX_BACKLOG_EVENTS: usize = 10_000;
const MAX_BACKLOG_BYTES: usize = 4 * 1024 * 1024;

/// The longest time that the end of an environment waits for deliveries.
const MAX_FLUSH: Duration = Duration::from_secs(1);

/// The state of deliveries: Lambda's own processes stop with the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Frozen,
    /// Batches leave when they are full or old enough; the time frozen does not count.
    Flowing {
        since: Instant,
    },
    /// The environment ends: batches leave at once.
    Flushing,
}

#[derive(Debug)]
pub(crate) struct Telemetry {
    spec: Arc<FunctionSpec>,
    flow: watch::Sender<Flow>,
    state: Mutex<State>,
    platform_events: Arc<Mutex<Recent<String>>>,
}

#[derive(Debug, Default)]
struct State {
    /// Everything since the begin of init, while it lasts.
    backlog: Option<Backlog>,
    subscriptions: Vec<Subscribed>,
}

#[derive(Debug, Default)]
struct Backlog {
    events: Vec<Generated>,
    bytes: usize,
}

#[derive(Debug)]
struct Subscribed {
    subscription: Arc<Subscription>,
    delivering: JoinHandle<()>,
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        self.delivering.abort();
    }
}

impl Telemetry {
    pub(crate) fn new(
        spec: &Arc<FunctionSpec>,
        platform_events: &Arc<Mutex<Recent<String>>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            spec: Arc::clone(spec),
            flow: watch::Sender::new(Flow::Frozen),
            state: Mutex::default(),
            platform_events: Arc::clone(platform_events),
        })
    }

    /// Begins init: from now on, events are kept for later subscribers.
    pub(crate) fn begin_init(&self) {
        lock(&self.state).backlog = Some(Backlog::default());
    }

    /// Ends init: subscriptions are no longer possible.
    pub(crate) fn end_init(&self) {
        lock(&self.state).backlog = None;
    }

    /// Tells the subscribers of a line of the function or of an extension.
    pub(crate) fn emit_line(&self, category: Category, text: &str) {
        let json = line_json(category, text, self.spec.log_format);
        self.emit(Generated { category, json });
    }

    pub(crate) fn emit(&self, event: Generated) {
        if event.category == Category::Platform {
            lock(&self.platform_events).push(event.json.clone(), event.json.len());
        }
        let mut state = lock(&self.state);
        for Subscribed { subscription, .. } in &state.subscriptions {
            subscription.offer(&event);
        }
        if let Some(backlog) = &mut state.backlog {
            let bytes = event.json.len();
            if backlog.events.len() < MAX_BACKLOG_EVENTS
                && backlog.bytes + bytes <= MAX_BACKLOG_BYTES
            {
                backlog.bytes += bytes;
                backlog.events.push(event);
            }
        }
    }

    /// Subscribes an extension, which gets the events of init so far. Returns `false` if the extension is subscribed already.
    pub(crate) fn subscribe(self: &Arc<Self>, extension: &str, settings: Settings) -> bool {
        let mut state = lock(&self.state);
        let mut subscriptions = state.subscriptions.iter().map(|own| &own.subscription);
        if subscriptions.any(|own| own.is_of(extension)) {
            return false;
        }
        let subscription = Arc::new(Subscription::new(extension, settings));
        for event in state.backlog.iter().flat_map(|backlog| &backlog.events) {
            subscription.offer(event);
        }
        for json in &self.spec.telemetry_events {
            subscription.push(Category::Platform, json.clone());
        }
        let telemetry = Arc::downgrade(self);
        let tell_dropped = move |dropped: Dropped, reason: &str| {
            if let Some(telemetry) = telemetry.upgrade() {
                telemetry.emit(Generated::logs_dropped(dropped.records, dropped.bytes, reason));
            }
        };
        let own = Arc::clone(&subscription);
        let flow = self.flow.subscribe();
        let is_sent_once = self.spec.is_managed()
            && self.spec.unpublished.managed_delivery == ManagedDelivery::Emulator;
        let delivering = if is_sent_once {
            tokio::spawn(delivery::run_once(own, flow, tell_dropped))
        } else {
            tokio::spawn(delivery::run(own, flow, tell_dropped))
        };
        state.subscriptions.push(Subscribed { subscription, delivering });
        true
    }

    /// Lets deliveries go on; a batch's time begins anew.
    pub(crate) fn thaw(&self) {
        self.flow.send_replace(Flow::Flowing { since: Instant::now() });
    }

    /// Lets no further delivery begin.
    pub(crate) fn freeze(&self) {
        self.flow.send_replace(Flow::Frozen);
    }

    /// Sends the waiting events, because the environment ends, and waits until they are delivered or a delivery fails.
    pub(crate) async fn flush(&self) {
        self.flow.send_replace(Flow::Flushing);
        let flushed = async {
            for subscription in self.subscriptions() {
                subscription.flushed().await;
            }
        };
        // An answer that never comes leaves its batch undelivered.
        drop(tokio::time::timeout(MAX_FLUSH, flushed).await);
    }

    /// Ends the subscriptions of processes that have ended, after the answers that are on their way (runtime interface emulator,
    /// `reinitialize`).
    pub(crate) async fn end_subscriptions(&self) {
        self.freeze();
        let settled = async {
            for subscription in self.subscriptions() {
                subscription.settled().await;
            }
        };
        drop(tokio::time::timeout(MAX_FLUSH, settled).await);
        lock(&self.state).subscriptions.clear();
    }

    fn subscriptions(&self) -> Vec<Arc<Subscription>> {
        let state = lock(&self.state);
        state.subscriptions.iter().map(|own| Arc::clone(&own.subscription)).collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Category {
    Platform,
    Function,
    Extension,
}

impl Category {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Platform => "Platform",
            Self::Function => "Function",
            Self::Extension => "Extension",
        }
    }

    /// The name as the API has it, which is the `type` of a log record too.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Function => "function",
            Self::Extension => "extension",
        }
    }
}

/// An event as subscribers get it.
#[derive(Debug, Clone)]
pub(crate) struct Generated {
    category: Category,
    json: String,
}

impl Generated {
    pub(crate) fn platform(json: String) -> Self {
        Self { category: Category::Platform, json }
    }

    /// Records of a subscriber were dropped.
    fn logs_dropped(records: u64, bytes: usize, reason: &str) -> Self {
        let kind = "platform.logsDropped";
        let time = clock::now().rfc3339();
        let reason = serde_json::Value::from(reason);
        Self::platform(format!(
            r#"{{"time":"{time}","type":"{kind}","record":{{"droppedBytes":{bytes},"droppedRecords":{records},"reason":{reason}}}}}"#
        ))
    }
}

/// The event of a line. Under JSON format, a line that is an object is passed on as one (AWS Lambda "Telemetry API Event schema
/// reference").
fn line_json(category: Category, text: &str, log_format: LogFormat) -> String {
    let object = (log_format == LogFormat::Json)
        .then(|| text.trim())
        .filter(|text| text.starts_with('{'))
        .filter(|text| serde_json::from_str::<&RawValue>(text).is_ok());
    let record = object.map_or_else(|| serde_json::Value::from(text).to_string(), str::to_owned);
    let (time, kind) = (clock::now().rfc3339(), category.name());
    format!(r#"{{"time":"{time}","type":"{kind}","record":{record}}}"#)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Buffering {
    pub(crate) max_items: usize,
    pub(crate) max_bytes: usize,
    pub(crate) timeout_ms: u64,
}

impl Default for Buffering {
    fn default() -> Self {
        Self { max_items: 10_000, max_bytes: 262_144, timeout_ms: 1000 }
    }
}

/// Where a batch goes; always on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) port: u16,
    pub(crate) path: String,
    pub(crate) host: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) types: Vec<Category>,
    pub(crate) buffering: Buffering,
    pub(crate) destination: Destination,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    schema_version: String,
    types: Vec<Category>,
    #[serde(default)]
    buffering: Buffering,
    destination: RequestedDestination,
}

#[derive(Deserialize)]
struct RequestedDestination {
    protocol: String,
    #[serde(rename = "URI")]
    uri: String,
}

/// Versions of the Telemetry API's schema. Extensions by the crate `lambda-extension` ask for the first.
const SCHEMA_VERSIONS: [&str; 3] = ["2022-07-01", "2022-12-13", "2025-01-29"];

const RESERVED_PORT: u16 = 9001;

impl Settings {
    /// Returns an error if Lambda would answer 400.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, String> {
        let request: Request = serde_json::from_slice(body)
            .map_err(|error| format!("the body is no subscription: {error}"))?;
        let Request { schema_version, types, buffering, destination } = request;
        let Buffering { max_items, max_bytes, timeout_ms } = buffering;
        let is_within = (1000..=10_000).contains(&max_items)
            && (262_144..=1_048_576).contains(&max_bytes)
            && (25..=30_000).contains(&timeout_ms);
        if !SCHEMA_VERSIONS.contains(&schema_version.as_str()) || types.is_empty() || !is_within {
            return Err(
                "schemaVersion, types or buffering is outside of Lambda's limits".to_owned()
            );
        }
        let RequestedDestination { protocol, uri } = destination;
        let destination = http_destination(&uri).filter(|_| protocol == "HTTP");
        let destination = destination
            .ok_or_else(|| format!("destination `{uri}` is not http://sandbox.localdomain:PORT"))?;
        Ok(Self { types, buffering, destination })
    }
}

/// `sandbox.localdomain` stands for this machine, as `sandbox` does; so do, outside Lambda, the loopback names.
fn http_destination(text: &str) -> Option<Destination> {
    let uri: Uri = text.parse().ok()?;
    let host = uri.host()?;
    let is_here = matches!(host, "sandbox.localdomain" | "sandbox" | "127.0.0.1" | "localhost");
    let port = uri.port_u16().unwrap_or(80);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    (uri.scheme_str() == Some("http") && is_here && port != RESERVED_PORT).then(|| Destination {
        port,
        path: path.to_owned(),
        host: format!("{host}:{port}"),
    })
}
