//! Checks a backend: connection, credentials and organization.

use backend::{
    Advice, CREDENTIALS, DestinationConfig, HttpResponse, HttpTransport, ORGANIZATION_MISSING,
    Profile, REQUEST_TIMEOUT,
};
use settings::{Check, Source};
use url::Url;
use wire::SignalKind;

pub const ENDPOINT: &str = "LAMBDA_OTLP_ENDPOINT";

pub use backend::Reach;

/// Returns the backend of these settings. Its advice names the argument or variable of each setting.
pub fn of_settings(
    destination: DestinationConfig,
    variables: &dyn Source,
) -> Result<Reach, backend::ClientError> {
    let transport = HttpTransport::new(&destination)?;
    let endpoint = variables.name_as_given(ENDPOINT);
    let credentials = match (destination.profile, endpoint == ENDPOINT) {
        (Profile::OpenObserve, true) => {
            "for OpenObserve, set LAMBDA_OTLP_HEADERS to authorization=Basic and the base64 of email:password, or \
             set LAMBDA_OTLP_SECRET"
        }
        (Profile::OpenObserve, false) => {
            "for OpenObserve, use --header 'authorization=Basic …' with the base64 of email:password"
        }
        (Profile::Otlp, true) => {
            "set LAMBDA_OTLP_HEADERS to HEADER=VALUE, or set LAMBDA_OTLP_SECRET"
        }
        (Profile::Otlp, false) => "use --header 'HEADER=VALUE'",
    };
    Reach::new(
        destination,
        transport,
        Advice {
            endpoint: endpoint.into(),
            credentials: credentials.into(),
            signals: backend::SIGNALS.name().into(),
        },
    )
}

/// Returns the URL of an API of the same OpenObserve organization, such as `streams?type=logs`; `None` if the logs endpoint does
/// not end in `/v1/logs`.
pub fn organization_api(reach: &Reach, path_and_query: &str) -> Option<Url> {
    let (path, query) = match path_and_query.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path_and_query, None),
    };
    let mut url = reach.logs().clone();
    let base = url.path().strip_suffix(SignalKind::Logs.path())?.to_owned();
    url.set_path(&format!("{base}/{path}"));
    url.set_query(query);
    Some(url)
}

/// Runs the checks, and stops at a failure that makes the later ones pointless.
pub async fn check(reach: &Reach) -> Vec<Check> {
    let mut checks = vec![reach.check_name().await];
    if checks.iter().any(Check::is_failed) {
        return checks;
    }
    let stream_list = match organization_api(reach, "streams?type=logs") {
        Some(url) if reach.destination.profile == Profile::OpenObserve => {
            match reach.transport.ask(&url, None, reach.headers.clone(), REQUEST_TIMEOUT).await {
                Ok(answer) => Some(answer),
                Err(error) => {
                    checks.push(Check::failed("connection", reach.unreachable(&error)));
                    return checks;
                }
            }
        }
        _ => None,
    };
    if let Some(answer) = &stream_list
        && answer.status == 404
    {
        // Telemetry from a root user would create the missing organization.
        checks.push(reach.connected(answer));
        checks.push(Check::failed("organization", ORGANIZATION_MISSING));
        return checks;
    }
    checks.extend(reach.check_signals().await);
    if checks.iter().any(|check| check.name == CREDENTIALS && !check.is_failed()) {
        checks.push(organization(stream_list.as_ref()));
    }
    checks
}

/// The key of the list in OpenObserve's answer.
const LIST_KEY: &[u8] = b"\"list\":";

/// Interprets the answer to a request for the organization's streams.
fn organization(stream_list: Option<&HttpResponse>) -> Check {
    // A long list is cut, so it may not parse.
    let is_list = stream_list
        .is_some_and(|answer| answer.body.windows(LIST_KEY.len()).any(|window| window == LIST_KEY));
    match stream_list.map(|answer| answer.status) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::HeaderMap;
    use settings::Verdict;

    #[test]
    fn only_a_list_of_streams_shows_that_the_organization_exists() {
        let check = |body: &'static str, expected: Verdict| {
            let headers = HeaderMap::new();
            let body = Bytes::from_static(body.as_bytes());
            let answer = HttpResponse { status: 200, headers, body, cut: false };
            assert_eq!(organization(Some(&answer)).verdict, expected);
        };
        check(r#"{"list":[],"total":0}"#, Verdict::Ok);
        check(r#"{"total":9,"list":[{"na"#, Verdict::Ok);
        check("", Verdict::Warning);
        check("{}", Verdict::Warning);
        check("<html>", Verdict::Warning);
    }
}
