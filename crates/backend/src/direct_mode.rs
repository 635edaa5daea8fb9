//! The decision whether the layer's extension sends telemetry to a backend itself (direct mode). The extension makes it for its own
//! variables, and the command line for those of a function.

use crate::destination::variables::{
    ENDPOINT, HEADERS, O2_AUTHORIZATION, O2_ORGANIZATION, OTEL_ENDPOINT, SECRET,
};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The variable that asks for an output.
pub const OUTPUT: &str = "LAMBDA_OTLP_OUTPUT";

/// The output of the extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// OTLP lines.
    Stdout,
    /// Direct mode.
    Otlp,
    /// Direct mode in the format of OpenObserve's extension.
    Json,
}

impl Output {
    /// The words of [`OUTPUT`].
    pub const WORDS: [(&'static str, Self); 3] =
        [("stdout", Self::Stdout), ("otlp", Self::Otlp), ("json", Self::Json)];

    /// Returns the output of a word, in any case.
    pub fn of_word(text: &str) -> Option<Self> {
        let is_word = |(word, _): &(&str, Self)| word.eq_ignore_ascii_case(text.trim());
        Self::WORDS.into_iter().find(is_word).map(|(_, output)| output)
    }
}

/// An output, and the variable that decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChosenOutput {
    pub output: Output,
    /// `None` if no variable names another host.
    pub variable: Option<&'static str>,
}

/// Returns the variable that puts the extension of a function with these variables into direct mode.
pub fn variable_of(variables: &BTreeMap<String, String>) -> Option<&'static str> {
    let value = |name: &str| variables.get(name).filter(|value| !value.is_empty()).cloned();
    let asked = value(OUTPUT).and_then(|word| Output::of_word(&word));
    let chosen = choose(asked, value);
    chosen.variable.filter(|_| chosen.output != Output::Stdout)
}

/// Chooses by what [`OUTPUT`] asks for, or else by the variables that name a backend.
pub fn choose(asked: Option<Output>, variable: impl Fn(&str) -> Option<String>) -> ChosenOutput {
    if let Some(output) = asked {
        return ChosenOutput { output, variable: Some(OUTPUT) };
    }
    let leads_elsewhere = |name: &&'static str| {
        variable(name).is_some_and(|url| endpoint(&url) == Endpoint::Elsewhere)
    };
    if let Some(name) =
        [ENDPOINT.name(), OTEL_ENDPOINT.name()].iter().find(|it| leads_elsewhere(it))
    {
        return ChosenOutput { output: Output::Otlp, variable: Some(name) };
    }
    if names_openobserve(variable) {
        // Only these variables are set, as for OpenObserve's extension: the stream has to get the same content.
        return ChosenOutput { output: Output::Json, variable: Some(O2_ORGANIZATION.name()) };
    }
    ChosenOutput { output: Output::Stdout, variable: None }
}

/// Returns `true` if these variables contain an organization of OpenObserve, and credentials for it.
pub fn names_openobserve(variable: impl Fn(&str) -> Option<String>) -> bool {
    let has_authorization_header = || {
        variable(HEADERS.name()).is_some_and(|headers| {
            let mut names = headers.split(',').filter_map(|header| header.split_once('='));
            names.any(|(name, _)| name.trim().eq_ignore_ascii_case("authorization"))
        })
    };
    let has_credentials = || {
        has_authorization_header()
            || variable(O2_AUTHORIZATION.name()).is_some()
            || variable(SECRET.name()).is_some()
    };
    variable(O2_ORGANIZATION.name()).is_some() && has_credentials()
}

/// The host of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// This environment, with the port if the URL contains one.
    Loopback(Option<u16>),
    Elsewhere,
}

/// Parses `http://host:port/path` leniently. The SDK that uses the URL reports its errors.
pub fn endpoint(url: &str) -> Endpoint {
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

/// Returns the host of a URL, without brackets, and its port.
pub fn host_and_port(url: &str) -> (&str, Option<u16>) {
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

    #[test]
    fn the_variables_that_name_a_backend_decide() {
        let check = |variables: &[(&str, &str)], output, decided_by: Option<&str>| {
            let value = |name: &str| {
                let set = variables.iter().find(|(variable, _)| *variable == name);
                set.map(|(_, value)| (*value).to_owned())
            };
            let asked = value(OUTPUT).and_then(|word| Output::of_word(&word));
            let chosen = choose(asked, value);
            assert_eq!(chosen.output, output, "{variables:?}");
            assert_eq!(chosen.variable, decided_by, "{variables:?}");
        };
        let ours = ("LAMBDA_OTLP_ENDPOINT", "https://o2.example.com/api/default");
        let of_sdk = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
        let organization = ("O2_ORGANIZATION_ID", "default");
        check(&[], Output::Stdout, None);
        check(&[of_sdk], Output::Stdout, None);
        check(&[of_sdk, ours], Output::Otlp, Some("LAMBDA_OTLP_ENDPOINT"));
        check(&[ours, (OUTPUT, "Stdout")], Output::Stdout, Some(OUTPUT));
        check(&[of_sdk, (OUTPUT, " otlp")], Output::Otlp, Some(OUTPUT));
        check(&[organization], Output::Stdout, None);
        for credentials in [
            ("O2_AUTHORIZATION_HEADER", "Basic x"),
            ("LAMBDA_OTLP_SECRET", "ssm:/o2"),
            ("LAMBDA_OTLP_HEADERS", "Authorization=Basic%20x"),
        ] {
            check(&[organization, credentials], Output::Json, Some("O2_ORGANIZATION_ID"));
        }
    }
}
