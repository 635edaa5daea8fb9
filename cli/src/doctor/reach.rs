//! Asks the backend: is it there, does it take the credentials, does the organization exist, what time is it there.

use super::check::Check;
use crate::time_arguments;
use backend::{
    DestinationConfig, HttpRequest, HttpResponse, HttpTransport, Profile, Transport as _,
};
use bytes::Bytes;
use http::HeaderMap;
use std::time::Duration;
use tokio::net::lookup_host;
use url::{Host, Url};
use wire::SignalKind;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// A difference that nobody would notice in a trace.
const SMALL: Duration = Duration::from_secs(5);
/// AWS refuses signatures beyond it (Signature Version 4, "Request timestamp").
const LARGE: Duration = Duration::from_mins(5);

/// A backend and how to speak to it.
pub(crate) struct Reach {
    pub(crate) destination: DestinationConfig,
    pub(crate) transport: HttpTransport,
    pub(crate) headers: HeaderMap,
}

impl Reach {
    pub(crate) fn new(destination: DestinationConfig) -> Result<Self, backend::ClientError> {
        let transport = HttpTransport::new(&destination)?;
        let headers = backend::header_map(&destination.headers)?;
        Ok(Self { destination, transport, headers })
    }

    fn logs(&self) -> &Url {
        self.destination.endpoints.of(SignalKind::Logs)
    }

    /// OpenObserve's API beside the OTLP paths; `None` where the endpoint is no `{base}/v1/logs`.
    pub(crate) fn beside(&self, path: &str) -> Option<Url> {
        let (path, query) = path.split_once('?').map_or((path, None), |(p, q)| (p, Some(q)));
        let mut url = self.logs().clone();
        let base = url.path().strip_suffix(SignalKind::Logs.path())?.to_owned();
        url.set_path(&format!("{base}/{path}"));
        url.set_query(query);
        Some(url)
    }

    /// All checks of the backend; later ones are left out where an earlier one makes them pointless.
    pub(crate) async fn check(&self) -> Vec<Check> {
        let mut checks = vec![self.name().await];
        if checks.iter().any(Check::is_failed) {
            return checks;
        }
        let streams = match self.beside("streams?type=logs") {
            Some(url) if self.destination.profile == Profile::OpenObserve => {
                match self.transport.ask(&url, None, self.headers.clone(), REQUEST_TIMEOUT).await {
                    Ok(answer) => Some(answer),
                    Err(error) => {
                        checks.push(Check::failed("connection", error.to_string()));
                        return checks;
                    }
                }
            }
            _ => None,
        };
        if let Some(answer) = &streams
            && answer.status == 404
        {
            // A root user's telemetry would make the organization that does not exist.
            checks.push(self.connected(answer));
            checks.push(organization_missing());
            return checks;
        }
        for kind in SignalKind::ALL {
            match self.send_nothing(kind).await {
                Ok(answer) => checks.extend(self.judged(kind, &answer, streams.as_ref())),
                Err(error) => checks.push(Check::failed("connection", error.to_string())),
            }
            if checks.iter().any(Check::is_failed) {
                break;
            }
        }
        checks
    }

    async fn name(&self) -> Check {
        let url = self.logs();
        let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default());
        if self.destination.proxy.as_ref().is_some_and(|proxy| proxy.of(url).is_some()) {
            return Check::ok("endpoint", format!("{host} is reached through a proxy"));
        }
        let host = host.trim_matches(['[', ']']);
        let addresses: Vec<String> = match lookup_host((host, port.unwrap_or(443))).await {
            Ok(addresses) => addresses.map(|address| address.ip().to_string()).collect(),
            Err(error) => {
                let text = format!("{host} has no address ({error}): check LAMBDA_OTLP_ENDPOINT");
                return Check::failed("endpoint", text);
            }
        };
        let text = format!("{host} is {}", addresses.join(", "));
        let is_local = match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        if url.scheme() == "http" && !is_local {
            let text = format!("{text}; without TLS everybody on the way reads the credentials");
            return Check::warning("endpoint", text);
        }
        Check::ok("endpoint", text)
    }

    async fn send_nothing(
        &self,
        kind: SignalKind,
    ) -> Result<HttpResponse, backend::TransportError> {
        let request = HttpRequest {
            kind,
            body: Bytes::new(),
            gzip: false,
            headers: self.headers.clone(),
            stream: None,
            timeout: REQUEST_TIMEOUT,
        };
        self.transport.send(request).await
    }

    fn connected(&self, answer: &HttpResponse) -> Check {
        let tls = if self.logs().scheme() == "https" { "TLS, " } else { "" };
        Check::ok("connection", format!("{tls}HTTP {}", answer.status))
    }

    /// What an answer to an empty request means; connection, credentials and organization with the first signal.
    fn judged(
        &self,
        kind: SignalKind,
        answer: &HttpResponse,
        streams: Option<&HttpResponse>,
    ) -> Vec<Check> {
        let is_first = kind == SignalKind::ALL[0];
        let mut checks: Vec<Check> = is_first.then(|| self.connected(answer)).into_iter().collect();
        match answer.status {
            200..=299 if says_nothing_of_otlp(answer) => {
                let text = format!(
                    "{kind}: answered {} with a page or an error: it is no OTLP endpoint, check LAMBDA_OTLP_ENDPOINT",
                    answer.status
                );
                checks.push(Check::failed("connection", text));
                return checks;
            }
            200..=299 => {}
            401 | 403 => {
                checks.push(credentials_refused(answer.status));
                return checks;
            }
            404 => {
                checks.push(organization_missing());
                return checks;
            }
            status => {
                let text = format!("{kind}: answered {status}: is the endpoint right?");
                checks.push(Check::failed("connection", text));
                return checks;
            }
        }
        if is_first {
            checks.push(Check::ok("credentials", "accepted"));
            let is_page = streams.is_some_and(says_nothing_of_otlp);
            checks.push(match streams.map(|answer| answer.status) {
                Some(200..=299) if is_page => Check::warning(
                    "organization",
                    "not known: the list of streams is a page or an error",
                ),
                Some(200..=299) => Check::ok("organization", "exists"),
                Some(401 | 403) => Check::ok(
                    "organization",
                    "not checked: these credentials may write and not read, as a passcode does",
                ),
                Some(status) => Check::warning("organization", format!("answered {status}")),
                None => Check::ok("organization", "this backend has none"),
            });
            checks.extend(clock(answer, time_arguments::now_unix_nano()));
        }
        checks
    }
}

/// Whether an answer of success is a page, as web servers and proxies answer to anything, or an error in JSON.
fn says_nothing_of_otlp(answer: &HttpResponse) -> bool {
    let body = answer.body.trim_ascii_start();
    let content_type = answer.headers.get(http::header::CONTENT_TYPE);
    let is_html = content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
    let is_error = || {
        let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let code = json.get("code").and_then(serde_json::Value::as_u64);
        json.get("error").is_some() || code.is_some_and(|code| code >= 400)
    };
    is_html || body.starts_with(b"<") || is_error()
}

fn credentials_refused(status: u16) -> Check {
    let text = format!(
        "answered {status}: the credentials are wrong or missing; for OpenObserve set LAMBDA_OTLP_HEADERS to \
         authorization=Basic and the base64 of email:password, or LAMBDA_OTLP_SECRET"
    );
    Check::failed("credentials", text)
}

fn organization_missing() -> Check {
    let text = "answered 404: the endpoint has to end in /api/{organization}, without a slash, and the organization to exist";
    Check::failed("organization", text)
}

/// Compares the backend's clock with this machine's; `None` where it does not say.
fn clock(answer: &HttpResponse, now_unix_nano: u64) -> Option<Check> {
    let date = answer.headers.get(http::header::DATE)?.to_str().ok()?;
    let there = httpdate::parse_http_date(date).ok()?;
    let here = std::time::UNIX_EPOCH + Duration::from_nanos(now_unix_nano);
    let (apart, direction) = match here.duration_since(there) {
        Ok(apart) => (apart, "behind"),
        Err(error) => (error.duration(), "ahead"),
    };
    let text = format!(
        "the backend's is {} {direction} of this machine's",
        time_arguments::duration_text(apart)
    );
    Some(if apart <= SMALL {
        Check::ok("clock", "the backend's and this machine's agree")
    } else if apart <= LARGE {
        Check::warning("clock", text)
    } else {
        Check::failed("clock", format!("{text}: set the one that is wrong"))
    })
}

#[cfg(test)]
mod tests {
    use super::super::check::Verdict;
    use super::*;

    #[test]
    fn a_page_is_no_backend() {
        let check = |content_type: &'static str, body: &'static str, expected| {
            let mut headers = HeaderMap::new();
            headers.insert(http::header::CONTENT_TYPE, content_type.parse().unwrap());
            let body = Bytes::from_static(body.as_bytes());
            let answer = HttpResponse { status: 200, headers, body, cut: false };
            assert_eq!(
                says_nothing_of_otlp(&answer),
                expected,
                "{content_type} {body:?}",
                body = answer.body
            );
        };
        check("text/html; charset=utf-8", "", true);
        check("text/plain", "<!DOCTYPE html>", true);
        check("application/json", r#"{"code":401,"message":"no"}"#, true);
        check("application/json", r#"{"error":"no"}"#, true);
        check("application/json", r#"{"list":[],"total":0}"#, false);
        check("application/x-protobuf", "", false);
    }

    #[test]
    fn clocks_are_compared() {
        let check = |date: &str, expected: Option<Verdict>| {
            let mut headers = HeaderMap::new();
            headers.insert(http::header::DATE, date.parse().unwrap());
            let answer = HttpResponse { status: 200, headers, body: Bytes::new(), cut: false };
            let found = clock(&answer, 1_790_000_000_000_000_000).map(|check| check.verdict);
            assert_eq!(found, expected, "{date}");
        };
        check("Mon, 21 Sep 2026 14:13:20 GMT", Some(Verdict::Ok));
        check("Mon, 21 Sep 2026 14:13:15 GMT", Some(Verdict::Ok));
        check("Mon, 21 Sep 2026 14:12:00 GMT", Some(Verdict::Warning));
        check("Mon, 21 Sep 2026 14:14:40 GMT", Some(Verdict::Warning));
        check("Mon, 21 Sep 2026 13:13:20 GMT", Some(Verdict::Failed));
        check("yesterday", None);
    }
}
