//! The HTTP proxy, from the standard variables that curl and others read too.

use crate::reader::Reader;
use crate::setting::Setting;
use crate::table::Variable;
use hyper_util::client::proxy::matcher::Matcher;
use std::fmt;
use std::net::IpAddr;
use url::{Host, Url};

const HTTPS_PROXY: Setting<Url> = Setting::proxy(
    "HTTPS_PROXY",
    "Proxy for AWS's services, and for an `https` backend unless `LAMBDA_OTLP_PROXY` is set.",
);
const HTTP_PROXY: Setting<Url> =
    Setting::proxy("HTTP_PROXY", "Proxy for an `http` backend, unless `LAMBDA_OTLP_PROXY` is set.");
const NO_PROXY: Setting<String> = Setting::text(
    "NO_PROXY",
    "Hosts, domains and networks to reach without `HTTPS_PROXY` and `HTTP_PROXY`, such as VPC endpoints. This host is always included.",
);

/// The rows of every binary that sends requests.
pub const PROXY: &[Variable] = &[HTTPS_PROXY.row(), HTTP_PROXY.row(), NO_PROXY.row()];

/// The assignment of requests to proxies. The local host is always reached directly.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// For `http://` endpoints.
    pub http: Option<Url>,
    /// For `https://` endpoints.
    pub https: Option<Url>,
    /// Hosts, domains and networks without a proxy, as in `NO_PROXY`; empty for none.
    pub exempt: String,
}

impl Proxy {
    pub fn new(proxy: &Url) -> Self {
        Self { http: Some(proxy.clone()), https: Some(proxy.clone()), exempt: String::new() }
    }

    /// Reads the rows of [`PROXY`].
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let https = reader.read(HTTPS_PROXY);
        let http = reader.read(HTTP_PROXY);
        let exempt = reader.read(NO_PROXY).unwrap_or_default();
        let is_none = http.is_none() && https.is_none();
        (!is_none).then_some(Self { http, https, exempt })
    }

    /// The proxy for requests to this URL; `None` to reach it directly.
    pub fn proxy_for(&self, url: &Url) -> Option<&Url> {
        let proxy = match url.scheme() {
            "https" => self.https.as_ref(),
            _ => self.http.as_ref(),
        };
        proxy.filter(|_| !is_local(url) && !self.exempts(url))
    }

    fn exempts(&self, url: &Url) -> bool {
        // The matcher applies `*` to names only, curl to addresses too.
        let is_all = self.exempt.split(',').any(|entry| entry.trim() == "*");
        let matcher = Matcher::builder().all("http://proxy").no(self.exempt.as_str()).build();
        is_all || url.as_str().parse().is_ok_and(|uri| matcher.intercept(&uri).is_none())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Url> {
        self.http.iter().chain(&self.https)
    }
}

/// Returns `true` for the local host, including the unspecified address, which connects to it.
pub fn is_local(url: &Url) -> bool {
    let address: IpAddr = match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            return name == "localhost" || name.ends_with(".localhost");
        }
        Some(Host::Ipv4(address)) => address.into(),
        Some(Host::Ipv6(address)) => address.into(),
        None => return false,
    };
    let address = address.to_canonical();
    address.is_loopback() || address.is_unspecified()
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

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "http://proxy:3128";

    fn proxied(exempt: &str, url: &str) -> bool {
        let proxy = Proxy { exempt: exempt.to_owned(), ..Proxy::new(&Url::parse(PROXY).unwrap()) };
        proxy.proxy_for(&Url::parse(url).unwrap()).is_some()
    }

    #[test]
    fn names_networks_and_everything_can_be_exempt() {
        let exempt = " , example.org ,, .example.com,10.0.0.0/8,fd00::1,*.example.net";
        for (url, expected) in [
            ("https://example.org/", false),
            ("https://o2.EXAMPLE.org:8443/", false),
            ("https://o2.example.com/", false),
            ("https://notexample.com/", true),
            ("https://o2.example.net/", true),
            ("http://10.1.2.3:5080/", false),
            ("http://11.1.2.3/", true),
            ("http://[fd00::1]:4318/", false),
            ("http://[fe80::1]/", true),
        ] {
            assert_eq!(proxied(exempt, url), expected, "{url}");
            assert!(proxied("", url) && !proxied("a.example.com, *", url), "{url}");
        }
    }

    #[test]
    fn requests_to_the_local_host_bypass_the_proxy() {
        for host in ["localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.8.9.1", "[::1]"] {
            assert!(!proxied("", &format!("https://{host}:5080/")), "{host}");
        }
        for host in ["0.0.0.0", "[::]", "[::ffff:127.0.0.1]"] {
            assert!(!proxied("", &format!("http://{host}/")), "{host}");
        }
        for host in ["localhost.example.com", "10.0.0.1", "[::2]"] {
            assert!(proxied("", &format!("http://{host}/")), "{host}");
        }
    }
}
