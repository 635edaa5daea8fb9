//! Handles a request as OpenObserve does: the checks in its order, the signal's rules, the answer, and the stored
//! records.

pub(super) mod admit;
pub(super) mod json_stream;
mod signals;

use crate::openobserve::Signal;
use crate::openobserve::builder::Config;
use crate::openobserve::http_response::{HttpResponse, JSON, PROTOBUF};
use crate::openobserve::route::Target;
use crate::openobserve::rows;
use crate::openobserve::store::{ColumnsByStream, Records, Removal};
use bytes::Bytes;
use http::HeaderMap;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use serde_json::json;
use std::time::Duration;

/// The stream of requests without the header `stream-name`.
const DEFAULT_STREAM: &str = "default";

#[derive(Debug)]
pub(crate) enum Decoded {
    Traces(ExportTraceServiceRequest),
    Logs(ExportLogsServiceRequest),
    Metrics(ExportMetricsServiceRequest),
    Json(Vec<serde_json::Map<String, serde_json::Value>>),
}

/// The reason why OpenObserve cannot decode a body, in its words.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Undecodable {
    #[error("Invalid json: {0}")]
    Json(serde_json::Error),
    #[error("Invalid json: a record is no object")]
    NoObject,
    #[error("Invalid proto: {0}")]
    Protobuf(prost::DecodeError),
    #[error("Invalid proto: nothing")]
    Nothing,
}

impl Decoded {
    /// An empty body is an empty request, except for `_json`.
    fn of(body: &Bytes, target: &Target, is_json: bool) -> Result<Self, Undecodable> {
        let is_json = is_json && !body.is_empty();
        match target.signal() {
            Some(Signal::Traces) => decode(body, is_json).map(Self::Traces),
            Some(Signal::Logs) => decode(body, is_json).map(Self::Logs),
            Some(Signal::Metrics) => decode(body, is_json).map(Self::Metrics),
            None => json_stream::decode(body).map(Self::Json),
        }
    }
}

fn decode<M: Message + Default + serde::de::DeserializeOwned>(
    body: &Bytes,
    is_json: bool,
) -> Result<M, Undecodable> {
    if is_json {
        serde_json::from_slice(body).map_err(Undecodable::Json)
    } else {
        M::decode(body.clone()).map_err(Undecodable::Protobuf)
    }
}

#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) target: Result<Target, HttpResponse>,
    pub(crate) headers: HeaderMap,
    inflated: Result<Bytes, HttpResponse>,
    decoded: Option<Result<Decoded, Undecodable>>,
    is_gzip: Result<bool, HttpResponse>,
}

impl Submission {
    /// Inflates and decodes as far as possible, so that the record of a request shows its body even if it is refused.
    pub(crate) fn new(
        config: &Config,
        target: Result<Target, HttpResponse>,
        headers: HeaderMap,
        encoded: &Bytes,
    ) -> Self {
        let is_gzip = admit::is_gzip(&headers);
        let inflated = match &is_gzip {
            Ok(is_gzip) => admit::inflate(*is_gzip, encoded, config.payload_limit),
            Err(reply) => Err(reply.clone()),
        };
        let decoded = match (&inflated, &target) {
            (Ok(inflated), Ok(target)) => {
                let is_json = admit::content_type(&headers, target).unwrap_or_default();
                Some(Decoded::of(inflated, target, is_json))
            }
            _ => None,
        };
        Self { target, headers, inflated, decoded, is_gzip }
    }

    pub(crate) fn body(&self) -> Bytes {
        self.inflated.clone().unwrap_or_default()
    }
}

#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) organization: &'a str,
    pub(crate) stream: &'a str,
    pub(crate) window: IngestWindow,
    pub(crate) request: usize,
}

#[derive(Debug)]
pub(crate) struct Ingested {
    pub(crate) records: Records,
    pub(crate) rejected: u64,
    /// The text for `partial_success`.
    pub(crate) message: String,
}

#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) reply: HttpResponse,
    pub(crate) records: Records,
    pub(crate) organization: String,
    /// The columns of streams whose schema the request may race for.
    pub(crate) columns: ColumnsByStream,
}

/// The verdict, or the answer to a request of which nothing is stored. `refuse` more items than the rules do are put into
/// `partial_success`, as far as there are any.
pub(crate) fn ingest(
    config: &Config,
    submission: Submission,
    request: usize,
    refuse: u64,
) -> Result<Verdict, HttpResponse> {
    let target = submission.target?;
    // The encoding is checked before authorization.
    submission.is_gzip?;
    admit::authorize(config, &submission.headers)?;
    submission.inflated?;
    let is_json = admit::content_type(&submission.headers, &target)?;
    let decoded = submission
        .decoded
        .unwrap_or(Err(Undecodable::Nothing))
        .map_err(|problem| HttpResponse::error(400, &problem.to_string()))?;
    let header = submission
        .headers
        .get("stream-name")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let stream = if header.is_empty() { DEFAULT_STREAM.to_owned() } else { stream(header) };
    let window =
        IngestWindow { past: config.past, future: config.future, now_unix_nano: (config.clock)() };
    let organization = target.organization();
    let context = Context { organization, stream: &stream, window, request };
    let mut ingested = match decoded {
        Decoded::Traces(request) => signals::traces(request, &context),
        Decoded::Logs(request) => signals::logs(request, &context),
        Decoded::Metrics(request) => signals::metrics(request, &context),
        Decoded::Json(records) => json_stream::ingest(records, &target, &context),
    };
    let columns = rows::columns(&ingested.records);
    check_columns(&columns, config.max_columns, target.signal())?;
    let kept = ingested.records.items().saturating_sub(refuse);
    let refused = ingested.records.remove(&mut Removal::behind(kept, refuse));
    ingested.rejected += refused;
    if refused > 0 && ingested.message.is_empty() {
        ingested.message = match target.signal() {
            Some(Signal::Traces) => signals::REJECTED_SPANS.to_owned(),
            _ => "rejected by the fake's script".to_owned(),
        };
    }
    let reply = answer(&target, is_json, &ingested);
    Ok(Verdict { reply, records: ingested.records, organization: organization.to_owned(), columns })
}

/// Refuses a request with too many columns in a stream: logs with 200 and `0a 00`, others with 400.
fn check_columns(
    columns: &ColumnsByStream,
    max: usize,
    signal: Option<Signal>,
) -> Result<(), HttpResponse> {
    let Some((stream, columns)) = columns.iter().find(|(_, columns)| columns.len() > max) else {
        return Ok(());
    };
    if signal == Some(Signal::Logs) {
        return Err(HttpResponse::write_failed());
    }
    let count = columns.len();
    let message =
        format!("Got {count} columns for stream [{stream}], but only {max} columns accept");
    Err(HttpResponse::error(400, &message))
}

fn answer(target: &Target, is_json: bool, ingested: &Ingested) -> HttpResponse {
    let Target::Otlp { signal, .. } = target else {
        return json_stream::answer(target, ingested);
    };
    let is_partial = ingested.rejected > 0;
    if is_json && *signal != Signal::Logs {
        let rejected =
            if *signal == Signal::Traces { "rejectedSpans" } else { "rejectedDataPoints" };
        // A partial success of a JSON request is 206.
        let status = if is_partial { 206 } else { 200 };
        let partial_success = is_partial
            .then(|| json!({ (rejected): ingested.rejected, "errorMessage": ingested.message }));
        return HttpResponse::json(status, &json!({ "partialSuccess": partial_success }));
    }
    // The answers of all signals have the same fields.
    let partial_success = is_partial.then(|| ExportLogsPartialSuccess {
        rejected_log_records: i64::try_from(ingested.rejected).unwrap_or(i64::MAX),
        error_message: ingested.message.clone(),
    });
    // To a JSON request with logs, the header says JSON and the body is protobuf.
    let content_type = if is_json { JSON } else { PROTOBUF };
    let body = ExportLogsServiceResponse { partial_success }.encode_to_vec();
    HttpResponse::new(200, content_type, body)
}

/// Nested maps of log records become columns down to this depth, below it a JSON string (`ZO_INGEST_FLATTEN_LEVEL`).
pub(crate) const FLATTEN_LEVEL: usize = 3;

/// `faas.invocation_id` becomes `faas_invocation_id`: lower case, everything outside `[a-z0-9_]` becomes `_`.
pub(crate) fn column(key: &str) -> String {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    key.chars().flat_map(char::to_lowercase).map(|c| if allowed(c) { c } else { '_' }).collect()
}

/// `/aws/lambda/My-Fn.Name` becomes `_aws_lambda_my_fn_name`: runs outside `[a-zA-Z0-9_:]` become one `_`, then lower case.
pub(crate) fn stream(name: &str) -> String {
    let mut stream = String::with_capacity(name.len());
    let mut in_run = false;
    for c in name.chars() {
        if c.is_ascii_alphanumeric() || c == '_' || c == ':' {
            stream.push(c.to_ascii_lowercase());
            in_run = false;
        } else if !in_run {
            stream.push('_');
            in_run = true;
        }
    }
    stream
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct IngestWindow {
    pub(crate) past: Duration,
    pub(crate) future: Duration,
    pub(crate) now_unix_nano: u64,
}

impl IngestWindow {
    /// Why a record of this time is rejected. Microseconds count, as they do in OpenObserve.
    pub(crate) fn misses(&self, unix_nano: u64) -> Option<String> {
        let time = u128::from(unix_nano) / 1000;
        let now = u128::from(self.now_unix_nano) / 1000;
        if time + self.past.as_micros() < now {
            let hours = self.past.as_secs() / 3600;
            return Some(format!(
                "Too old data, only last {hours} hours data can be ingested. Data discarded. You can adjust ingestion max \
                 time by setting the environment variable ZO_INGEST_ALLOWED_UPTO=<max_hours>"
            ));
        }
        if time > now.saturating_add(self.future.as_micros()) {
            let hours = self.future.as_secs() / 3600;
            return Some(format!(
                "Too far data, only future {hours} hours data can be ingested. Data discarded. You can adjust ingestion \
                 max time by setting the environment variable ZO_INGEST_ALLOWED_IN_FUTURE=<max_hours>"
            ));
        }
        None
    }
}
