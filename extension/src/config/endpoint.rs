//! Recognizes URLs of this environment.

use std::net::IpAddr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// This environment, with the port if the URL contains one.
    Loopback(Option<u16>),
    Elsewhere,
}

/// Parses `http://host:port/path` leniently. The SDK that uses the URL reports its errors.
pub(crate) fn endpoint(url: &str) -> Endpoint {
    let (host, port) = host_and_port(url);
    // The unspecified address leads to this environment too.
    let is_here = |address: IpAddr| {
        let address = address.to_canonical();
        address.is_loopback() || address.is_unspecified()
    };
    let is_loopback = host.trim_end_matches('.').eq_ignore_ascii_case("localhost")
        || host.parse().is_ok_and(is_here);
    if is_loopback { Endpoint::Loopback(port) } else { Endpoint::Elsewhere }
}

/// Returns the host, and the port if the URL contains one.
pub(super) fn host_and_port(url: &str) -> (&str, Option<u16>) {
    let url = url.trim();
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host_and_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (host, port) = match host_and_port.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').unwrap_or((rest, ""));
            (host, rest.strip_prefix(':'))
        }
        None => match host_and_port.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (host_and_port, None),
        },
    };
    (host, port.and_then(|port| port.parse().ok()).filter(|port| *port > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_endpoints_are_recognized_with_their_port() {
        let check = |url, expected| assert_eq!(endpoint(url), expected, "{url}");
        check("http://localhost:4318", Endpoint::Loopback(Some(4318)));
        check("http://LOCALHOST:4318/v1/traces", Endpoint::Loopback(Some(4318)));
        check("localhost:4317", Endpoint::Loopback(Some(4317)));
        check("http://127.0.0.1", Endpoint::Loopback(None));
        check("http://127.8.9.1:1/", Endpoint::Loopback(Some(1)));
        check("http://[::1]:4318?x", Endpoint::Loopback(Some(4318)));
        check("http://user:word@localhost:80", Endpoint::Loopback(Some(80)));
        check("http://localhost:port", Endpoint::Loopback(None));
        check("http://localhost:0", Endpoint::Loopback(None));
        check("https://o2.example.com:443/api/default", Endpoint::Elsewhere);
        check("https://localhost.example.com", Endpoint::Elsewhere);
        check("https://localhost@example.com", Endpoint::Elsewhere);
        check("http://[::2]:1", Endpoint::Elsewhere);
        check("http://0.0.0.0:4318", Endpoint::Loopback(Some(4318)));
        check("http://[::]:4318", Endpoint::Loopback(Some(4318)));
        check("http://[::ffff:127.0.0.1]:4318", Endpoint::Loopback(Some(4318)));
        check("http://[::ffff:7f00:1]", Endpoint::Loopback(None));
        check("http://localhost.:4318", Endpoint::Loopback(Some(4318)));
        check("http://[::ffff:10.0.0.1]:4318", Endpoint::Elsewhere);
        check("[", Endpoint::Elsewhere);
        check("", Endpoint::Elsewhere);
    }
}
