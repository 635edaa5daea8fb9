//! The proxy on the way to the backend.

use super::variables::{HTTP_PROXY, HTTPS_PROXY, NO_PROXY, PROXY};
use settings::Reader;
use std::fmt;
use url::Url;

/// What `HTTP_PROXY` was set for is elsewhere: a receiver on this host is not behind it.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

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

    /// `LAMBDA_OTLP_PROXY`, else what curl and its like read.
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let ours = reader.proxy(PROXY);
        let https = reader.proxy(HTTPS_PROXY);
        let http = reader.proxy(HTTP_PROXY);
        let exempt = reader.string_if_set(NO_PROXY).unwrap_or_default();
        match ours {
            Some(proxy) => Some(Self::new(&proxy)),
            None if reader.is_set(PROXY) || (http.is_none() && https.is_none()) => None,
            None if exempt.split(',').any(|entry| entry.trim() == "*") => None,
            None if exempt.is_empty() => Some(Self { http, https, exempt: LOOPBACK.to_owned() }),
            None => Some(Self { http, https, exempt: format!("{exempt},{LOOPBACK}") }),
        }
    }

    /// The proxy for this URL, unless it is exempt.
    pub fn of(&self, url: &Url) -> Option<&Url> {
        match url.scheme() {
            "https" => self.https.as_ref(),
            _ => self.http.as_ref(),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Url> {
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
