//! Checks of OpenObserve itself: the kind of the credentials, a canary that is sent and read back, and streams with many columns.

use backend::{
    Canary, HttpResponse, Profile, REQUEST_TIMEOUT, Reason, Signals, Telemetry, stored_stream,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use console::reach::{Reach, organization_api};
use console::time_arguments;
use http::Method;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Metric, NumberDataPoint, Sum,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use platform::string_attribute;
use serde_json::Value;
use settings::Check;
use std::time::Duration;
use tokio::time::Instant;
use url::Url;
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
    let client = match reach.client() {
        Ok(client) => client,
        Err(error) => return vec![Check::failed("canary", error.to_string())],
    };
    let deadline = Instant::now() + within;
    let mut checks = Vec::new();
    let signals = &reach.destination.signals;
    let sent = |(kind, _): &(SignalKind, Request)| signals.include(*kind);
    for (kind, request) in requests(&canary, signals).into_iter().filter(sent) {
        let outcome = client.export(None, request, deadline).await;
        if let Some(part) = outcome.parts.first() {
            let sends_deltas = kind == SignalKind::Metrics && signals.take(Telemetry::DeltaMetrics);
            let remedy = match part.reason {
                Reason::Status { status: 400, .. } if sends_deltas => format!(
                    "if the backend refuses delta metrics, name cumulative_metrics in the place of metrics in {}, or send metrics to a collector",
                    reach.advice.signals
                ),
                // The empty requests of the earlier checks were not compressed.
                Reason::Status { status: 400 | 415, .. } => {
                    "if the backend reads no gzip, set OTEL_EXPORTER_OTLP_COMPRESSION=none".into()
                }
                _ => "check the endpoint and its credentials".to_owned(),
            };
            let text = format!(
                "{kind}: not accepted: {}; {remedy}, then `lambda-otlp doctor --canary` again",
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

/// A log record, a span, and a metric of the temporality of ours, if the backend takes that.
fn requests(canary: &Canary, signals: &Signals) -> [(SignalKind, Request); 3] {
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
        start_time_unix_nano: now - 1_000_000_000,
        time_unix_nano: now,
        attributes: vec![string_attribute(LABEL, canary.trace_id_text())],
        value: Some(Number::AsInt(1)),
        ..NumberDataPoint::default()
    };
    let data_points = vec![point];
    let data = if signals.take(Telemetry::DeltaMetrics) {
        let aggregation_temporality = AggregationTemporality::Delta as i32;
        Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic: true })
    } else {
        Data::Gauge(Gauge { data_points })
    };
    let metric = Metric { name: METRIC.to_owned(), data: Some(data), ..Metric::default() };
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
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    body.get(list).and_then(Value::as_array).map_or(0, Vec::len)
}

/// The beginning of ingestion tokens, and of passcodes since 2026.
const INGESTION_TOKEN: &str = "o2oi_";

/// Says which kind of credentials these are, and what they may do; `None` if they are no name and password.
pub(super) async fn check_rights(reach: &Reach) -> Option<Check> {
    if reach.destination.profile != Profile::OpenObserve {
        return None;
    }
    let Basic { name, password } = Basic::read(reach)?;
    let writes = "it may only write, which is enough for the forwarder and the extension; `dashboards`, `alerts` and `slos` need a user's password, and so does `--canary` to read back what it stored";
    let does_all =
        "it may do everything; an ingestion token is enough for the forwarder and the extension";
    if password.starts_with(INGESTION_TOKEN) {
        return Some(Check::ok("rights", format!("an ingestion token: {writes}")));
    }
    // A service account finds itself in this list.
    let answer = get(reach, "service_accounts").await?;
    let text = match answer.status {
        401 | 403 => format!("a passcode, or a user without rights: {writes}"),
        _ if has_account(&answer.body, &name) => {
            format!("the token of the service account {name}: {does_all}")
        }
        _ => format!("the password of {name}: {does_all}"),
    };
    Some(Check::ok("rights", text))
}

/// The name and password of Basic authorization.
struct Basic {
    name: String,
    password: String,
}

impl Basic {
    fn read(reach: &Reach) -> Option<Self> {
        let header = reach.headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
        let encoded =
            header.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
        let decoded = BASE64_STANDARD.decode(encoded?.1.trim()).ok()?;
        let (name, password) = str::from_utf8(&decoded).ok()?.split_once(':')?;
        Some(Self { name: name.to_owned(), password: password.to_owned() })
    }
}

fn has_account(body: &[u8], email: &str) -> bool {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let accounts = body.get("data").and_then(Value::as_array).into_iter().flatten();
    accounts.filter_map(|account| account.get("email")).any(|found| found == email)
}

/// OpenObserve shows 1,000 columns of `SELECT *`, the first by name. A stream with this many is near that limit.
const MANY_COLUMNS: usize = 900;

/// OpenObserve's Helm charts begin a user-defined schema above 150 columns, for high availability above 500. A stream with this
/// many is near that limit.
const MANY_COLUMNS_WITH_CHARTS: usize = 120;

/// The longest answer that is read. A schema of 10,000 columns has about 500 kB.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

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
        let Some(answer) = get(reach, &path).await.filter(|answer| answer.status == 200) else {
            continue;
        };
        let schema: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if let Some(problem) = too_many_columns(reach, &schema).await {
            let text = format!("{kind}: stream {stream} has {problem}");
            checks.push(Check::warning("columns", text));
        }
    }
    checks
}

async fn too_many_columns(reach: &Reach, schema: &Value) -> Option<String> {
    let names = |pointer: &str| schema.pointer(pointer).and_then(Value::as_array);
    let name = |column: &Value| column.get("name").and_then(Value::as_str).map(str::to_owned);
    // OpenObserve's own columns are in no user-defined schema.
    let all = names("/schema")?.iter().filter_map(name).filter(|name| !name.starts_with('_'));
    let columns = all.count();
    let defined = names("/settings/defined_schema_fields").map_or(0, Vec::len);
    if defined > 0 && columns > defined {
        return Some(format!(
            "a user-defined schema with {defined} of its {columns} columns, and queries for the others fail: `lambda-otlp dashboards install` adds those of dashboards and alerts; add yours in the stream's settings"
        ));
    }
    if columns >= MANY_COLUMNS {
        return Some(format!(
            "{columns} columns, and a search shows 1000: remove keys with a rule, or put their values into the body"
        ));
    }
    let is_near = defined == 0 && columns >= MANY_COLUMNS_WITH_CHARTS;
    (is_near && begins_schemas(reach).await).then(|| format!(
        "{columns} columns: with OpenObserve's Helm charts, you cannot query those beyond 150 (high availability: 500): first run `lambda-otlp dashboards install`, and remove keys with a rule, or raise ZO_SCHEMA_MAX_FIELDS_TO_ENABLE_UDS"
    ))
}

/// Returns `true` if this OpenObserve makes user-defined schemas by itself.
async fn begins_schemas(reach: &Reach) -> bool {
    let Some(mut url) = organization_api(reach, "config") else { return false };
    let Some((prefix, _)) = url.path().rsplit_once("/api/") else { return false };
    let path = format!("{prefix}/config");
    url.set_path(&path);
    let config = ask(reach, &url).await.map(|answer| answer.body).unwrap_or_default();
    let config: Value = serde_json::from_slice(&config).unwrap_or_default();
    config.get("user_defined_schemas_enabled") == Some(&Value::Bool(true))
}

/// Asks an API of the organization.
async fn get(reach: &Reach, path: &str) -> Option<HttpResponse> {
    ask(reach, &organization_api(reach, path)?).await
}

async fn ask(reach: &Reach, url: &Url) -> Option<HttpResponse> {
    let headers = reach.headers.clone();
    let transport = &reach.transport;
    let request =
        transport.ask_api(Method::GET, url, None, headers, REQUEST_TIMEOUT, MAX_ANSWER_BYTES);
    request.await.ok()
}
