//! Reads the settings of a subscription.

use super::events::Category;
use http::Uri;
use serde::Deserialize;
use thiserror::Error;

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

/// The address of a listener, which is always on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListenerAddress {
    pub(crate) port: u16,
    pub(crate) path: String,
    pub(crate) host: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubscriptionSettings {
    pub(crate) types: Vec<Category>,
    pub(crate) buffering: Buffering,
    pub(crate) destination: ListenerAddress,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SubscriptionRequest {
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

/// The reason for which Lambda answers a subscription with 400.
#[derive(Debug, Error)]
pub(crate) enum InvalidSubscription {
    #[error("the body is no subscription: {0}")]
    Body(serde_json::Error),
    #[error("schemaVersion, types or buffering is outside of Lambda's limits")]
    Limits,
    #[error("destination `{0}` is not http://sandbox.localdomain:PORT")]
    Destination(String),
}

impl SubscriptionSettings {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, InvalidSubscription> {
        let request: SubscriptionRequest =
            serde_json::from_slice(body).map_err(InvalidSubscription::Body)?;
        let SubscriptionRequest { schema_version, types, buffering, destination } = request;
        let Buffering { max_items, max_bytes, timeout_ms } = buffering;
        let is_within = (1000..=10_000).contains(&max_items)
            && (262_144..=1_048_576).contains(&max_bytes)
            && (25..=30_000).contains(&timeout_ms);
        if !SCHEMA_VERSIONS.contains(&schema_version.as_str()) || types.is_empty() || !is_within {
            return Err(InvalidSubscription::Limits);
        }
        let RequestedDestination { protocol, uri } = destination;
        let destination = http_destination(&uri)
            .filter(|_| protocol == "HTTP")
            .ok_or(InvalidSubscription::Destination(uri))?;
        Ok(Self { types, buffering, destination })
    }
}

/// Parses the address of a listener on this machine: `sandbox.localdomain`, `sandbox` or, unlike in Lambda, a loopback name.
fn http_destination(text: &str) -> Option<ListenerAddress> {
    let uri: Uri = text.parse().ok()?;
    let host = uri.host()?;
    let is_here = matches!(host, "sandbox.localdomain" | "sandbox" | "127.0.0.1" | "localhost");
    let port = uri.port_u16().unwrap_or(80);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    (uri.scheme_str() == Some("http") && is_here && port != RESERVED_PORT)
        .then(|| ListenerAddress { port, path: path.to_owned(), host: format!("{host}:{port}") })
}
