//! Checks a backend: connection, credentials, organization and clock.

use crate::time_arguments;
use backend::{
    Advice, DestinationConfig, HttpResponse, HttpTransport, ORGANIZATION_MISSING, Profile,
    REQUEST_TIMEOUT,
};
use settings::{Check, Source};
use std::time::Duration;
use url::Url;
use wire::SignalKind;

pub const ENDPOINT: &str = "LAMBDA_OTLP_ENDPOINT";

/// Too small to notice in a trace.
const SMALL: Duration = Duration::from_secs(5);
/// AWS rejects signatures with a larger difference (Signature Version 4, "Request timestamp").
const LARGE: Duration = Duration::from_mins(5);

pub type Reach = backend::Reach<HttpTransport>;

/// Returns the backend of these settings. Its advice names the argument or variable of each setting.
pub fn reach(
    destination: DestinationConfig,
    variables: &dyn Source,
) -> Result<Reach, backend::ClientError> {
    let transport = HttpTransport::new(&destination)?;
    let endpoint = variables.called(ENDPOINT);
    let credentials = if endpoint == ENDPOINT {
        "for OpenObserve, set LAMBDA_OTLP_HEADERS to authorization=Basic and the base64 of email:password, or \
         set LAMBDA_OTLP_SECRET"
    } else {
        "for OpenObserve, use --header 'authorization=Basic …' with the base64 of email:password"
    };
    Reach::new(destination, transport, Advice { endpoint: endpoint.into(), credentials })
}

/// Returns the URL of an OpenObserve API; `None` if the logs endpoint does not end in `/v1/logs`.
pub fn beside(reach: &Reach, path: &str) -> Option<Url> {
    let (path, query) = path.split_once('?').map_or((path, None), |(p, q)| (p, Some(q)));
    let mut url = reach.logs().clone();
    let base = url.path().strip_suffix(SignalKind::Logs.path())?.to_owned();
    url.set_path(&format!("{base}/{path}"));
    url.set_query(query);
    Some(url)
}

/// Runs the checks, and stops at a failure that makes the later ones pointless.
pub async fn check(reach: &Reach) -> Vec<Check> {
    let mut checks = vec![reach.name().await];
    if checks.iter().any(Check::is_failed) {
        return checks;
    }
    let streams = match beside(reach, "streams?type=logs") {
        Some(url) if reach.destination.profile == Profile::OpenObserve => {
            match reach.transport.ask(&url, None, reach.headers.clone(), REQUEST_TIMEOUT).await {
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
        // Telemetry from a root user would create the missing organization.
        checks.push(reach.connected(answer));
        checks.push(Check::failed("organization", ORGANIZATION_MISSING));
        return checks;
    }
    let answers = reach.signals().await;
    checks.extend(answers.checks);
    if let Some(first) = &answers.first {
        checks.push(organization(streams.as_ref()));
        checks.extend(clock(first, time_arguments::now_unix_nano()));
    }
    checks
}

const LIST: &[u8] = b"\"list\":";

/// Interprets the answer to the list of streams.
fn organization(streams: Option<&HttpResponse>) -> Check {
    // A long list is cut, so it may not parse.
    let is_list =
        streams.is_some_and(|answer| answer.body.windows(LIST.len()).any(|window| window == LIST));
    match streams.map(|answer| answer.status) {
        Some(200..=299) if !is_list => {
            Check::warning("organization", "unknown: the answer is not a list of streams")
        }
        Some(200..=299) => Check::ok("organization", "exists"),
        Some(401 | 403) => Check::ok(
            "organization",
            "not checked: these credentials may only write, like those with a passcode",
        ),
        Some(status) => Check::warning("organization", format!("answered {status}")),
        None => Check::ok("organization", "this backend has none"),
    }
}

/// Compares the backend's clock with this machine's; `None` if the answer has no valid date.
fn clock(answer: &HttpResponse, now_unix_nano: u64) -> Option<Check> {
    let date = answer.headers.get(http::header::DATE)?.to_str().ok()?;
    let there = httpdate::parse_http_date(date).ok()?;
    let here = std::time::UNIX_EPOCH + Duration::from_nanos(now_unix_nano);
    let (apart, direction) = match here.duration_since(there) {
        Ok(apart) => (apart, "behind"),
        Err(error) => (error.duration(), "ahead of"),
    };
    let text = format!(
        "the backend's is {} {direction} this machine's",
        time_arguments::duration_text(apart)
    );
    Some(if apart <= SMALL {
        Check::ok("clock", "the backend's and this machine's agree")
    } else if apart <= LARGE {
        Check::warning("clock", text)
    } else {
        Check::failed("clock", format!("{text}: correct the wrong one"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::HeaderMap;
    use settings::Verdict;

    #[test]
    fn only_a_list_of_streams_shows_that_the_organization_exists() {
        let check = |body: &'static str, expected: Verdict| {
            let (headers, body) = (HeaderMap::new(), Bytes::from_static(body.as_bytes()));
            let answer = HttpResponse { status: 200, headers, body, cut: false };
            assert_eq!(organization(Some(&answer)).verdict, expected);
        };
        check(r#"{"list":[],"total":0}"#, Verdict::Ok);
        check(r#"{"total":9,"list":[{"na"#, Verdict::Ok);
        check("", Verdict::Warning);
        check("{}", Verdict::Warning);
        check("<html>", Verdict::Warning);
    }

    #[test]
    fn clock_skew_beyond_a_limit_warns_or_fails() {
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
