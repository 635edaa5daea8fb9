//! The proxy on the way out, from the variables that curl and others read too.

use crate::reader::Reader;
use crate::table::{Kind, Variable};
use std::fmt;
use url::Url;

/// Hosts that are always reached directly: `HTTP_PROXY` is set for other hosts, and a receiver on this one is not behind it.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

const HTTPS_PROXY: &str = "HTTPS_PROXY";
const HTTP_PROXY: &str = "HTTP_PROXY";
const NO_PROXY: &str = "NO_PROXY";

/// The rows of every binary that sends requests.
pub const PROXY: &[Variable] = &[
    Variable {
        name: HTTPS_PROXY,
        default: None,
        kind: Kind::Proxy,
        doc: "Proxy for AWS's services (queues, secrets, parameters), and for a backend with TLS where `LAMBDA_OTLP_PROXY` is \
              not set.",
    },
    Variable {
        name: HTTP_PROXY,
        default: None,
        kind: Kind::Proxy,
        doc: "Proxy for a backend without TLS, where `LAMBDA_OTLP_PROXY` is not set.",
    },
    Variable {
        name: NO_PROXY,
        default: None,
        kind: Kind::Text,
        doc: "Hosts, domains and networks that `HTTPS_PROXY` and `HTTP_PROXY` do not apply to, separated by commas, such as \
              those of AWS's services with a VPC endpoint. This host is always one.",
    },
];

/// Which requests go through which proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// For `http://` endpoints.
    pub http: Option<Url>,
    /// For `https://` endpoints.
    pub https: Option<Url>,
    /// Hosts, domains and networks that are reached directly, as in `NO_PROXY`; empty for none.
    pub exempt: String,
}

impl Proxy {
    /// This proxy for everything.
    pub fn new(proxy: &Url) -> Self {
        Self { http: Some(proxy.clone()), https: Some(proxy.clone()), exempt: String::new() }
    }

    /// Reads the rows of [`PROXY`].
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let https = reader.proxy(HTTPS_PROXY);
        let http = reader.proxy(HTTP_PROXY);
        let exempt = reader.string_if_set(NO_PROXY).unwrap_or_default();
        let is_none = http.is_none() && https.is_none();
        if is_none || exempt.split(',').any(|entry| entry.trim() == "*") {
            return None;
        }
        let exempt =
            if exempt.is_empty() { LOOPBACK.to_owned() } else { format!("{exempt},{LOOPBACK}") };
        Some(Self { http, https, exempt })
    }

    /// The proxy for this URL, unless it is exempt.
    pub fn of(&self, url: &Url) -> Option<&Url> {
        match url.scheme() {
            "https" => self.https.as_ref(),
            _ => self.http.as_ref(),
        }
    }

    /// The proxies there are.
    pub fn iter(&self) -> impl Iterator<Item = &Url> {
        self.http.iter().chain(&self.https)
    }
}

impl fmt::Debug for Proxy {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = |url: &Option<Url>| url.as_ref().map(|url| url.origin().ascii_serialization());
        f.debug_struct("Proxy")
            .field("http", &origin(&self.http))
            .field("https", &origin(&self.https))
            .field("exempt", &self.exempt)
            .finish()
    }
}
