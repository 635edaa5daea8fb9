//! The older endpoint for logs, `/api/{org}/{stream}/_json`.

use serde_json::{Map, Value, json};

use super::{Context, Ingested, Undecodable};
use crate::openobserve::http_response::HttpResponse;
use crate::openobserve::route::Target;
use crate::openobserve::store::{Records, StoredJson};

/// An array of objects or one object. One element that is no object refuses the whole request.
pub(crate) fn decode(body: &[u8]) -> Result<Vec<Map<String, Value>>, Undecodable> {
    let value = serde_json::from_slice(body).map_err(Undecodable::Json)?;
    let elements = match value {
        Value::Array(elements) => elements,
        single => vec![single],
    };
    let record = |element| match element {
        Value::Object(record) => Ok(record),
        _ => Err(Undecodable::NoObject),
    };
    elements.into_iter().map(record).collect()
}

pub(crate) fn ingest(
    records: Vec<Map<String, Value>>,
    target: &Target,
    context: &Context,
) -> Ingested {
    let mut kept = Vec::new();
    let mut rejected = 0;
    let mut message = String::new();
    let stream = stream(target);
    for record in records {
        let reason = match timestamp_nano(record.get("_timestamp"), context.window.now_unix_nano) {
            None => Some("Can't parse timestamp".to_owned()),
            Some(unix_nano) => context.window.misses(unix_nano),
        };
        if let Some(reason) = reason {
            rejected += 1;
            message = reason;
            continue;
        }
        kept.push(StoredJson {
            organization: context.organization.to_owned(),
            stream: stream.to_owned(),
            record: Value::Object(record),
        });
    }
    Ingested { records: Records::Json(kept), rejected, message }
}

pub(crate) fn answer(target: &Target, ingested: &Ingested) -> HttpResponse {
    counts(target, ingested.records.items(), ingested.rejected, &ingested.message)
}

/// Even a failed write is answered with 200; only the counts tell.
pub(crate) fn write_failed(target: &Target) -> HttpResponse {
    counts(target, 0, 0, "")
}

fn counts(target: &Target, successful: u64, failed: u64, error: &str) -> HttpResponse {
    let mut status = json!({"name": stream(target), "successful": successful, "failed": failed});
    if let (false, Some(status)) = (error.is_empty(), status.as_object_mut()) {
        status.insert("error".to_owned(), error.into());
    }
    HttpResponse::json(200, &json!({"code": 200, "status": [status]}))
}

fn stream(target: &Target) -> &str {
    match target {
        Target::Json { stream, .. } => stream,
        Target::Otlp { .. } => "",
    }
}

/// The time in microseconds, as our extension sends it; nothing means now. OpenObserve also reads other units and RFC 3339.
fn timestamp_nano(value: Option<&Value>, now_unix_nano: u64) -> Option<u64> {
    match value {
        None | Some(Value::Null) => Some(now_unix_nano),
        Some(value) => value.as_u64()?.checked_mul(1_000),
    }
}
