//! The cause of a failed request, in words for a person.

use std::error::Error;
use url::Url;

pub(super) fn host_and_port(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{host}{port}")
}

/// Describes the proxy, if any, without its credentials.
pub(super) fn through(proxy: Option<&Url>) -> String {
    proxy.map(|proxy| format!(" through the proxy {}", host_and_port(proxy))).unwrap_or_default()
}

pub(super) fn cause(error: &(dyn Error + 'static)) -> String {
    use std::io::ErrorKind;
    let deepest = deepest(error);
    let io_kind = deepest.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    match io_kind {
        Some(ErrorKind::ConnectionRefused) => "connection refused".to_owned(),
        Some(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => "connection reset".to_owned(),
        _ => {
            let text = deepest.to_string();
            match hint(&text) {
                Some(hint) if text.starts_with("tunnel error") => hint.to_owned(),
                Some(hint) => format!("{text}: {hint}"),
                None => text,
            }
        }
    }
}

pub(super) const PROXY_WANTS_CREDENTIALS: &str =
    "the proxy answered 407: user and password of its URL are wrong or missing";

/// Names the likely mistake if the libraries' text does not.
fn hint(cause: &str) -> Option<&'static str> {
    if cause.contains("UnknownIssuer") || cause.contains("certificate: BadSignature") {
        Some(
            "its authority is not trusted, give the authority's certificate in LAMBDA_OTLP_CA_FILE",
        )
    } else if cause.contains("proxy authorization required") {
        Some(PROXY_WANTS_CREDENTIALS)
    } else if cause.starts_with("tunnel error") {
        Some(
            "the proxy did not connect to this host: does it allow the host, and is it an HTTP proxy?",
        )
    } else if cause.contains("CaUsedAsEndEntity") {
        Some("the server signed its own certificate, give that certificate in LAMBDA_OTLP_CA_FILE")
    } else if cause.contains("certificate expired") {
        Some("renew the server's certificate")
    } else if cause.contains("InvalidContentType") {
        Some("the port does not seem to speak TLS, try http://")
    } else if ["invalid HTTP version", "unexpected message", "NoApplicationProtocol"]
        .iter()
        .any(|text| cause.contains(text))
    {
        Some(
            "the port does not seem to speak HTTP/1.1, is it the one for gRPC (4317)? OTLP/HTTP's is 4318",
        )
    } else {
        None
    }
}

/// Returns the innermost error; the outer ones only report that a request failed.
pub(super) fn deepest<'e>(error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest
}
