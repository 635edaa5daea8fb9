//! The HTTP proxy, from the standard variables that curl and others read too.

use crate::reader::Reader;
use crate::table::{Kind, Variable};
use std::fmt;
use std::net::IpAddr;
use url::{Host, Url};

const HTTPS_PROXY: &str = "HTTPS_PROXY";
const HTTP_PROXY: &str = "HTTP_PROXY";
const NO_PROXY: &str = "NO_PROXY";

/// The rows of every binary that sends requests.
pub const PROXY: &[Variable] = &[
    Variable {
        name: HTTPS_PROXY,
        default: None,
        kind: Kind::Proxy,
        doc: "Proxy for AWS's services, and for an `https` backend unless `LAMBDA_OTLP_PROXY` is set.",
    },
    Variable {
        name: HTTP_PROXY,
        default: None,
        kind: Kind::Proxy,
        doc: "Proxy for an `http` backend, unless `LAMBDA_OTLP_PROXY` is set.",
    },
    Variable {
        name: NO_PROXY,
        default: None,
        kind: Kind::Text,
        doc: "Hosts, domains and networks to reach without `HTTPS_PROXY` and `HTTP_PROXY`, such as VPC endpoints. This host is always included.",
    },
];

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
        let https = reader.proxy(HTTPS_PROXY);
        let http = reader.proxy(HTTP_PROXY);
        let exempt = reader.string_if_set(NO_PROXY).unwrap_or_default();
        let is_none = http.is_none() && https.is_none();
        (!is_none).then_some(Self { http, https, exempt })
    }

    pub fn of(&self, url: &Url) -> Option<&Url> {
        let proxy = match url.scheme() {
            "https" => self.https.as_ref(),
            _ => self.http.as_ref(),
        };
        proxy.filter(|_| url.host().is_some_and(|host| !is_here(&host) && !self.exempts(&host)))
    }

    fn exempts(&self, host: &Host<&str>) -> bool {
        let address = address(host);
        let mut entries = self.exempt.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        entries.any(|entry| match (host, address) {
            _ if entry == "*" => true,
            (_, Some(address)) => is_in(address, entry),
            (Host::Domain(name), _) => is_below(name, entry),
            _ => false,
        })
    }

    pub fn iter(&self) -> impl Iterator<Item = &Url> {
        self.http.iter().chain(&self.https)
    }
}

fn address(host: &Host<&str>) -> Option<IpAddr> {
    match host {
        Host::Domain(_) => None,
        Host::Ipv4(address) => Some((*address).into()),
        Host::Ipv6(address) => Some((*address).into()),
    }
}

/// Returns `true` for the local host, including the unspecified address, which connects to it.
fn is_here(host: &Host<&str>) -> bool {
    match (host, address(host)) {
        (_, Some(address)) => {
            let address = address.to_canonical();
            address.is_loopback() || address.is_unspecified()
        }
        (Host::Domain(name), _) => is_below(name.trim_end_matches('.'), "localhost"),
        _ => false,
    }
}

/// Returns `true` if a name is this domain or one of its subdomains; a leading dot makes no difference.
fn is_below(name: &str, domain: &str) -> bool {
    let domain = domain.strip_prefix('.').unwrap_or(domain);
    let parts = name.len().checked_sub(domain.len()).and_then(|at| name.split_at_checked(at));
    parts.is_some_and(|(before, end)| {
        end.eq_ignore_ascii_case(domain) && (before.is_empty() || before.ends_with('.'))
    })
}

/// Returns `true` if an address is this one, or in this network: `10.0.0.0/8`.
fn is_in(address: IpAddr, network: &str) -> bool {
    let (base, bits) = match network.split_once('/') {
        Some((base, bits)) => (base, Some(bits)),
        None => (network, None),
    };
    let Ok(base) = base.parse() else { return false };
    let (differing, most) = match (address, base) {
        (IpAddr::V4(address), IpAddr::V4(base)) => {
            ((address.to_bits() ^ base.to_bits()).leading_zeros(), u32::BITS)
        }
        (IpAddr::V6(address), IpAddr::V6(base)) => {
            ((address.to_bits() ^ base.to_bits()).leading_zeros(), u128::BITS)
        }
        _ => return false,
    };
    let bits = bits.map_or(Ok(most), str::parse);
    bits.is_ok_and(|bits| bits <= most && differing >= bits)
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
    use hyper_util::client::proxy::matcher::Matcher;

    const PROXY: &str = "http://proxy:3128";

    fn proxied(exempt: &str, url: &str) -> bool {
        let proxy = Proxy { exempt: exempt.to_owned(), ..Proxy::new(&Url::parse(PROXY).unwrap()) };
        proxy.of(&Url::parse(url).unwrap()).is_some()
    }

    #[test]
    fn proxy_exemptions_agree_with_reqwest() {
        let entries = [
            "",
            "example.com",
            ".example.com",
            "EXAMPLE.com",
            "o2.example.com",
            "com",
            "ample.com",
            "..com",
            " , example.org ,, .example.com ",
            "10.1.2.3",
            "10.0.0.0/8",
            "10.1.2.3/0",
            "10.1.2.2/31",
            "10.1.2.3/32",
            "10.1.2.3/33",
            "10.0.0.0/255.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/8/8",
            "010.1.2.3",
            "fd00::/8",
            "fd00::1",
            "[fd00::1]",
            "::/0",
            "fd00::/129",
            "*.example.com",
            "o2.example.com:443",
            "https://o2.example.com",
        ];
        let urls = [
            "https://example.com/",
            "https://o2.example.com/x",
            "https://O2.EXAMPLE.COM:8443/",
            "https://notexample.com/",
            "https://o2.example.com./",
            "https://com/",
            "http://10.1.2.3/",
            "http://10.1.2.3:5080/",
            "http://11.1.2.3/",
            "http://[fd00::1]:4318/",
            "http://[fe80::1]/",
        ];
        for entry in entries {
            for url in urls {
                let of_reqwest = Matcher::builder().all(PROXY).no(entry).build();
                let url = Url::parse(url).unwrap();
                let expected = of_reqwest.intercept(&url.as_str().parse().unwrap()).is_some();
                assert_eq!(proxied(entry, url.as_str()), expected, "{entry:?} {url}");
            }
        }
        assert!(!proxied("a.example.com, *", "http://10.1.2.3/"), "as curl has it");
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
