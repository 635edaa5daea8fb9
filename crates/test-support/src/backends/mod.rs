//! What other backends' documentation says about their OTLP endpoints, and a stand-in that answers so.
//!
//! `tests/fixtures/backends.json` has the facts. `cargo xtask docs` writes the table of `docs/backends.md` from them.

mod server;

use serde::Deserialize;
pub use server::StandIn;
use std::collections::BTreeMap;
use wire::SignalKind;

/// The file in the repository.
pub const FACTS: &str = "tests/fixtures/backends.json";

/// One backend.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    pub name: String,
    /// The link to its section.
    pub page: String,
    /// The stack's parameter `Backend`.
    #[serde(default = "otlp")]
    pub backend: String,
    /// The stack's parameter `Endpoint`. Words in capitals are the user's.
    pub endpoint: String,
    /// The content of the secret; `None` if requests are signed.
    pub secret: Option<String>,
    /// Where it comes from, if that isn't the backend's to say.
    pub secret_is: Option<String>,
    /// Further parameters that its section names: `Signals=traces,logs`.
    #[serde(default)]
    pub set: String,
    /// Name and value of the header with credentials. A star stands for any end.
    pub credentials: (String, String),
    /// Further headers that requests of a signal must have.
    #[serde(default)]
    pub headers: BTreeMap<String, Vec<String>>,
    pub signals: Vec<String>,
    /// Signals that it takes from some users.
    #[serde(default)]
    pub on_request: Vec<String>,
    pub deltas: Deltas,
    /// The largest requests; empty if its pages state none.
    #[serde(default)]
    pub limits: Vec<SizeLimit>,
    /// The largest numbers of items in a request.
    #[serde(default)]
    pub items: BTreeMap<String, usize>,
    /// The statuses that its pages state.
    #[serde(default)]
    pub answers: Answers,
}

fn otlp() -> String {
    "otlp".to_owned()
}

/// Whether metrics may be deltas.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub enum Deltas {
    #[serde(rename = "yes")]
    Taken,
    #[serde(rename = "preferred")]
    Preferred,
    #[serde(rename = "only these")]
    Required,
    #[serde(rename = "no")]
    Refused,
    #[serde(rename = "not stated")]
    NotStated,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SizeLimit {
    pub bytes: usize,
    /// The only signal that it holds for.
    pub signal: Option<String>,
    /// Whether the bytes on the wire count.
    #[serde(default)]
    pub of_compressed: bool,
}

/// Statuses of HTTP. Those that the pages don't state are the ones that OTLP and HTTP suggest.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Answers {
    /// To wrong or missing credentials.
    pub credentials: u16,
    /// To a path that it doesn't have.
    pub path: u16,
    /// To a signal that it takes from some users only.
    pub on_request: u16,
    /// To a request that is too large.
    pub size: u16,
}

impl Default for Answers {
    fn default() -> Self {
        Self { credentials: 401, path: 404, on_request: 403, size: 413 }
    }
}

impl Backend {
    /// Reads the facts from the text of [`FACTS`].
    pub fn read_all(text: &str) -> serde_json::Result<Vec<Self>> {
        serde_json::from_str(text)
    }

    pub fn takes(&self, kind: SignalKind) -> bool {
        self.signals.iter().any(|signal| signal == kind.as_str())
    }

    /// The limit on requests of this signal.
    pub fn limit(&self, kind: SignalKind) -> Option<&SizeLimit> {
        let fits = |limit: &&SizeLimit| limit.signal.as_ref().is_none_or(|it| it == kind.as_str());
        self.limits.iter().find(fits)
    }
}
