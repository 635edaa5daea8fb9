//! The cause of a failed request, in words for a person.

use aws::deepest;
use std::error::Error;
use std::io::{self, ErrorKind};
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

/// The likely mistake that a library's text describes.
pub(super) struct Hint {
    /// The text contains one of these.
    words: &'static [&'static str],
    mistake: &'static str,
}

pub(super) const NO_HTTP_1: Hint = Hint {
    words: &["invalid HTTP version", "unexpected message from connection", "NoApplicationProtocol"],
    mistake: "the port does not seem to speak HTTP/1.1, is it the one for gRPC (4317)? OTLP/HTTP's is 4318",
};

/// A server that only speaks HTTP/1.1 answers with something that is no frame, or closes the connection, or refuses `h2` in TLS.
#[cfg(feature = "grpc")]
pub(super) const NO_HTTP_2: Hint = Hint {
    words: &[
        "frame with invalid size",
        "requires HTTP/1.1",
        "NoApplicationProtocol",
        "broken pipe",
    ],
    mistake: "the port does not seem to speak HTTP/2, is it the one for gRPC (4317)? else set LAMBDA_OTLP_PROTOCOL=http/protobuf",
};

/// The end of the text if a connection without TLS is closed. A server that wants TLS closes it, and so does one that crashes.
pub(crate) const PERHAPS_TLS: &str = ": if this port wants TLS, begin the endpoint with https://";

pub(super) const PROXY_WANTS_CREDENTIALS: &str =
    "the proxy answered 407: user and password of its URL are wrong or missing";

/// Of several rows that match a text, the first counts.
const HINTS: [Hint; 10] = [
    Hint {
        words: &["UnknownIssuer", "certificate: BadSignature"],
        mistake: "its authority is not trusted, give the authority's certificate in LAMBDA_OTLP_CA_FILE",
    },
    Hint { words: &["proxy authorization required"], mistake: PROXY_WANTS_CREDENTIALS },
    Hint {
        words: &["tunnel error"],
        mistake: "the proxy did not connect to this host: does it allow the host, and is it an HTTP proxy?",
    },
    Hint {
        words: &["CaUsedAsEndEntity"],
        mistake: "the server signed its own certificate, give that certificate in LAMBDA_OTLP_CA_FILE",
    },
    Hint { words: &["certificate expired"], mistake: "renew the server's certificate" },
    Hint {
        words: &["InvalidContentType"],
        mistake: "the port does not seem to speak TLS, try http://",
    },
    Hint {
        words: &["not valid for name", "UnrecognisedName"],
        mistake: "use a name of the certificate in the endpoint",
    },
    Hint {
        words: &["certificate not valid yet"],
        mistake: "is the server's certificate new, or the clock wrong?",
    },
    Hint { words: &["invalid peer certificate"], mistake: "replace the server's certificate" },
    Hint {
        words: &[
            "alert: HandshakeFailure",
            "alert: ProtocolVersion",
            "alert: InsufficientSecurity",
            "alert: CertificateRequired",
            "peer is incompatible",
            "peer misbehaved",
        ],
        mistake: "the server's TLS does not fit: it needs TLS 1.2 or 1.3 with a usual cipher, and no client certificate",
    },
];

/// Describes the cause. `wrong_protocol` is the hint for a port that speaks another protocol.
pub(super) fn cause(error: &(dyn Error + 'static), wrong_protocol: Hint) -> String {
    let deepest = deepest(error);
    let text = deepest.to_string();
    let is_meant = |hint: &&Hint| hint.words.iter().any(|words| text.contains(words));
    if let Some(Hint { mistake, .. }) = [wrong_protocol].iter().chain(&HINTS).find(is_meant) {
        let is_tunnel = text.starts_with("tunnel error");
        return if is_tunnel { (*mistake).to_owned() } else { format!("{text}: {mistake}") };
    }
    match deepest.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(ErrorKind::ConnectionRefused) => "connection refused".to_owned(),
        Some(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => "connection reset".to_owned(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_tls_have_a_remedy() {
        for (text, hint) in [
            ("received fatal alert: HandshakeFailure", "TLS 1.2 or 1.3"),
            ("peer is incompatible: Tls12NotOffered", "TLS 1.2 or 1.3"),
            ("received fatal alert: NoApplicationProtocol", "is it the one for gRPC"),
            ("invalid peer certificate: UnsupportedCertVersion", "replace the server's"),
            ("invalid peer certificate: Expired: certificate expired", "renew the server's"),
            ("invalid peer certificate: certificate not valid for name \"a\"", "in the endpoint"),
            ("received fatal alert: UnrecognisedName", "a name of the certificate"),
            ("received fatal alert: InternalError", "InternalError"),
            ("received unexpected message: got Alert when expecting Handshake", "Handshake"),
        ] {
            let cause = cause(&io::Error::other(text), NO_HTTP_1);
            assert!(cause.starts_with(text) && cause.contains(hint), "{cause}");
        }
    }
}
