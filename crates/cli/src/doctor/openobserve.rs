//! Checks of OpenObserve itself: a canary that is sent and read back, and streams with many columns.

use backend::{Canary, Client, Profile, REQUEST_TIMEOUT, stored_stream};
use console::reach::{Reach, organization_api};
use console::time_arguments;
use http::Method;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, NumberDataPoint};
use opentelemetry_proto::tonic::trace::v1::Span;
use platform::string_attribute;
use settings::Check;
use std::time::Duration;
use tokio::time::Instant;
use wire::{Request, SignalKind};

const SERVICE: &str = "lambda-otlp-doctor";
const METRIC: &str = "lambda_otlp_doctor_canary";
const LABEL: &str = "canary";

/// The pause between two searches.
const PAUSE: Duration = Duration::from_millis(500);
/// A search covers this time before and after the canary.
const MARGIN_MICROS: u64 = 60_000_000;

/// Sends one item of each signal, and waits up to `within` for the backend to return them.
pub(super) async fn check_canary(reach: &Reach, within: Duration) -> Vec<Check> {
    let canary = Canary::at(time_arguments::now_unix_nano(), SERVICE);
    let client = match Client::new(&reach.destination) {
        Ok(client) => client,
        Err(error) => return vec![Check::failed("canary", error.to_string())],
    };
    let deadline = Instant::now() + within;
    let mut checks = Vec::new();
    for (kind, request) in requests(&canary) {
        let outcome = client.export(None, request, deadline).await;
        if let Some(part) = outcome.parts.first() {
            let text = format!(
                "{kind}: not accepted: {}; check the endpoint and its credentials, then `lambda-otlp doctor --canary` again",
                part.reason
            );
            checks.push(Check::failed("canary", text));
            continue;
        }
        if reach.destination.profile != Profile::OpenObserve {
            let text = format!(
                "{kind}: accepted; the check cannot read it back, because this is not OpenObserve"
            );
            checks.push(Check::ok("canary", text));
            continue;
        }
        checks.push(read_back(reach, kind, &canary, deadline).await);
    }
    checks
}

fn requests(canary: &Canary) -> [(SignalKind, Request); 3] {
    let now = canary.time_unix_nano;
    let span = Span {
        trace_id: canary.trace_id.to_vec(),
        span_id: canary.span_id(),
        name: "lambda-otlp doctor".to_owned(),
        kind: 1,
        start_time_unix_nano: now,
        end_time_unix_nano: now + 1_000_000,
        ..Span::default()
    };
    let point = NumberDataPoint {
        time_unix_nano: now,
        attributes: vec![string_attribute(LABEL, canary.trace_id_text())],
        value: Some(Number::AsInt(1)),
        ..NumberDataPoint::default()
    };
    let metric = Metric {
        name: METRIC.to_owned(),
        data: Some(Data::Gauge(Gauge { data_points: vec![point] })),
        ..Metric::default()
    };
    [
        (SignalKind::Logs, canary.log_record("lambda-otlp doctor was here")),
        (SignalKind::Traces, Request::of_spans(canary.resource(), vec![span])),
        (SignalKind::Metrics, Request::of_metrics(canary.resource(), vec![metric])),
    ]
}

/// Searches until the item is found. A stream may be unknown at first.
async fn read_back(reach: &Reach, kind: SignalKind, canary: &Canary, deadline: Instant) -> Check {
    let stream = match kind {
        SignalKind::Metrics => METRIC.to_owned(),
        _ => stored_stream(reach.destination.stream.as_deref().unwrap_or("default")),
    };
    let column = if kind == SignalKind::Metrics { LABEL } else { "trace_id" };
    let id = canary.trace_id_text();
    let micros = canary.time_unix_nano / 1000;
    let query = serde_json::json!({ "query": {
        "sql": format!("SELECT * FROM \"{stream}\" WHERE {column}='{id}'"),
        "start_time": micros - MARGIN_MICROS, "end_time": micros + MARGIN_MICROS,
        "from": 0, "size": 10,
    }});
    let Some(url) = organization_api(reach, &format!("_search?type={}", kind.as_str())) else {
        let text =
            format!("{kind}: accepted; not read back, because the endpoint is not a base URL");
        return Check::warning("canary", text);
    };
    let begun = Instant::now();
    loop {
        let request = reach.transport.ask(
            &url,
            Some(query.to_string()),
            reach.headers.clone(),
            REQUEST_TIMEOUT,
        );
        let problem = match request.await {
            Ok(answer) if answer.status == 200 && length(&answer.body, "hits") > 0 => {
                let millis = begun.elapsed().as_millis();
                let text =
                    format!("{kind}: accepted, and found in stream {stream} after {millis} ms");
                return Check::ok("canary", text);
            }
            Ok(answer) if matches!(answer.status, 401 | 403) => {
                let text = format!(
                    "{kind}: accepted; not read back, because these credentials may only write"
                );
                return Check::warning("canary", text);
            }
            Ok(answer) if answer.status == 200 => "it was not found".to_owned(),
            Ok(answer) => format!("the search answered {}", answer.status),
            Err(error) => error.to_string(),
        };
        if Instant::now() + PAUSE >= deadline {
            let text = format!(
                "{kind}: accepted, but {problem} in stream {stream}: OpenObserve may be slow, so try `lambda-otlp doctor --canary --within 2m`; if that fails too, its log has the reason"
            );
            return Check::failed("canary", text);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn length(body: &[u8], list: &str) -> usize {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    body.get(list).and_then(serde_json::Value::as_array).map_or(0, Vec::len)
}

/// OpenObserve shows 1,000 columns of `SELECT *`, the first by name. A stream with this many is near that limit.
const MANY_COLUMNS: usize = 900;

/// The longest schema that is read. A schema of 10,000 columns has about 500 kB.
const MAX_SCHEMA_BYTES: usize = 4 * 1024 * 1024;

/// Returns a warning for each stream of the destination with many columns. A stream that does not exist or may not be read has
/// none.
pub(super) async fn check_columns(reach: &Reach) -> Vec<Check> {
    let mut checks = Vec::new();
    if reach.destination.profile != Profile::OpenObserve {
        return checks;
    }
    let stream = stored_stream(reach.destination.stream.as_deref().unwrap_or("default"));
    for kind in [SignalKind::Traces, SignalKind::Logs] {
        let path = format!("streams/{stream}/schema?type={}", kind.as_str());
        let Some(url) = organization_api(reach, &path) else { continue };
        let request = reach.transport.ask_api(
            Method::GET,
            &url,
            None,
            reach.headers.clone(),
            REQUEST_TIMEOUT,
            MAX_SCHEMA_BYTES,
        );
        if let Ok(answer) = request.await
            && answer.status == 200
        {
            let columns = length(&answer.body, "schema");
            if columns >= MANY_COLUMNS {
                let text = format!(
                    "{kind}: stream {stream} has {columns} columns, and a search shows 1000: remove keys with a rule, or put their values into the body"
                );
                checks.push(Check::warning("columns", text));
            }
        }
    }
    checks
}
