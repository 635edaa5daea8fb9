//! Reads a line that is one JSON object: level, message and ids for the log record's fields, and all other keys as attributes.
//!
//! Source: the keys of Lambda's JSON log format (each runtime has its own), Powertools for AWS Lambda, pino, tracing-subscriber,
//! structlog (`event`), loguru (`record`), and OpenTelemetry's log instrumentations (`trace_id`, `otelTraceID`). `tenantId`:
//! Lambda Developer Guide, "Monitoring tenant-isolated functions". `durableExecutionArn`: Durable Execution SDK, "Logging".

use std::borrow::Cow;

use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, KeyValueList, any_value::Value as Any,
};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::attributes::attribute;
use crate::names;
use crate::read::colours::without_colours;
use crate::read::fields::{Elements, Fields, text_of};
use crate::read::ids::{is_uuid, xray_root};
use crate::read::severity::Severity;
use crate::read::time;

/// Maximum number of keys that become attributes; the rest becomes one JSON string. OpenObserve refuses a request if its records
/// have more than 1,000 distinct keys together.
pub(crate) const MAX_ATTRIBUTES: usize = 32;
const MAX_KEY_BYTES: usize = 128;
/// A longer array or object is kept as a JSON string: parsed, it may take ninety times its size.
const MAX_VALUE_BYTES: usize = 64 * 1024;
/// Below this depth a value is kept as a JSON string.
const MAX_DEPTH: usize = 16;

#[derive(Debug, Default)]
pub(crate) struct JsonLine<'a> {
    pub(crate) time_unix_nano: Option<u64>,
    pub(crate) severity: Option<Severity>,
    pub(crate) message: Option<Cow<'a, str>>,
    pub(crate) request_id: Option<String>,
    /// The trace id: 16 bytes, or empty.
    pub(crate) trace_id: Vec<u8>,
    /// The span id: 8 bytes, or empty.
    pub(crate) span_id: Vec<u8>,
    /// The value of the span id's key.
    span: Option<&'a RawValue>,
    /// The X-Ray root, separate from the trace id because its trace may not be exported.
    pub(crate) xray_trace_id: Option<String>,
    /// The tenant, if a runtime's formatter wrote the line.
    pub(crate) tenant_id: Option<Cow<'a, str>>,
    pub(crate) durable_execution_arn: Option<Cow<'a, str>>,
    /// The value of `tenantId`, which may be the function's own key.
    tenant: Option<&'a RawValue>,
    /// The value of `event`, structlog's message, which other loggers use as an attribute.
    event: Option<&'a RawValue>,
    /// The message of an error that the runtimes write, which its logger may have given another one.
    error_message: Option<Cow<'a, str>>,
    /// `true` if the request id has the runtimes' key.
    is_of_runtime: bool,
    pub(crate) attributes: Vec<(Cow<'a, str>, JsonValue<'a>)>,
}

#[derive(Debug)]
pub(crate) enum JsonValue<'a> {
    /// A string, copied only if it has escapes.
    Text(Cow<'a, str>),
    Other(Any),
}

impl<'a> JsonLine<'a> {
    /// Reads the line. Returns `None` if it is not exactly one JSON object.
    pub(crate) fn parse(line: &'a str) -> Option<Self> {
        let line = line.trim();
        if !(line.starts_with('{') && line.ends_with('}')) {
            return None;
        }
        let Fields(fields) = Fields::of(line)?;
        let mut read = Self::default();
        let mut rest = Vec::new();
        for (key, raw) in fields {
            if !read.lift(&key, raw) {
                read.keep(key, raw, &mut rest);
            }
        }
        if let Some(raw) = read.event.take() {
            let message = text_of(raw).filter(|_| read.severity.is_some());
            if !set(&mut read.message, message) {
                read.keep("event".into(), raw, &mut rest);
            }
        }
        let error_message = read.error_message.take();
        set(&mut read.message, error_message);
        if let Some(raw) = read.tenant.take() {
            read.tenant_id = text_of(raw).filter(|id| read.is_of_runtime && is_tenant_id(id));
            if read.tenant_id.is_none() {
                read.keep("tenantId".into(), raw, &mut rest);
            }
        }
        if read.trace_id.is_empty() && !read.span_id.is_empty() {
            // OTLP's span id has no meaning without a trace id, so it stays an attribute.
            read.span_id = Vec::new();
            if let Some(raw) = read.span.take() {
                read.keep("span_id".into(), raw, &mut rest);
            }
        }
        if !rest.is_empty() {
            read.attributes.push((names::REST.into(), JsonValue::Text(json_object(&rest).into())));
        }
        Some(read)
    }

    /// Handles a key with a field in the log record. Returns `false` for other keys, or if the value has another form, so that it
    /// stays an attribute.
    fn lift(&mut self, key: &str, raw: &'a RawValue) -> bool {
        match key {
            "level" | "Level" | "severity" | "severity_text" | "severityText" | "levelname"
            | "log.level" | "log_level" | "logLevel" | "LogLevel" | "lvl" | "@l" => {
                self.lift_level(raw)
            }
            "timestamp" | "time" | "@timestamp" | "@t" | "ts" => {
                set(&mut self.time_unix_nano, stated_time(raw));
                false
            }
            // Lambda's Node runtime writes an error alone as an object, which stays an attribute.
            "message" if raw.get().starts_with('{') => {
                let error = Fields::of(raw.get()).and_then(|error| error.text("errorMessage"));
                set(&mut self.error_message, error);
                false
            }
            "message" | "Message" | "msg" | "@m" => set(&mut self.message, text_of(raw)),
            "errorMessage" => {
                set(&mut self.error_message, text_of(raw));
                false
            }
            "requestId" | "AWSRequestId" => {
                self.is_of_runtime = self.lift_request_id(raw);
                self.is_of_runtime
            }
            "awsRequestId"
            | "aws_request_id"
            | "function_request_id"
            | "functionRequestId"
            | "FunctionRequestId"
            | "lambda_request_id"
            | names::FAAS_INVOCATION_ID => self.lift_request_id(raw),
            "event" => set(&mut self.event, Some(raw)),
            "tenantId" => set(&mut self.tenant, Some(raw)),
            // The loggers of AWS's durable execution SDKs.
            "durableExecutionArn" | "executionArn" => {
                let arn = text_of(raw).filter(|arn| is_durable_execution(arn));
                set(&mut self.durable_execution_arn, arn)
            }
            "trace_id" | "traceId" | "TraceId" | "trace.id" | "otelTraceID" | "@tr" => {
                set_bytes(&mut self.trace_id, text_of(raw).and_then(|id| id_bytes(&id, 16)))
                    || set(&mut self.xray_trace_id, text_of(raw).as_deref().and_then(xray_root))
            }
            "span_id" | "spanId" | "SpanId" | "span.id" | "otelSpanID" | "@sp" => {
                let id = text_of(raw).and_then(|id| id_bytes(&id, 8));
                set_bytes(&mut self.span_id, id) && set(&mut self.span, Some(raw))
            }
            "xray_trace_id"
            | "xrayTraceId"
            | "XrayTraceId"
            | "XRayTraceId"
            | "_X_AMZN_TRACE_ID"
            | names::AWS_XRAY_TRACE_ID => {
                set(&mut self.xray_trace_id, text_of(raw).as_deref().and_then(xray_root))
            }
            // The keys of tracing-subscriber and loguru stay attributes, and their content is searched too.
            "fields" | "span" | "spans" | "record" => {
                self.look_into(key, raw);
                false
            }
            _ => false,
        }
    }

    fn lift_request_id(&mut self, raw: &RawValue) -> bool {
        set(&mut self.request_id, text_of(raw).filter(|id| is_uuid(id)).map(lower))
    }

    fn lift_level(&mut self, raw: &RawValue) -> bool {
        if self.severity.is_some() {
            return false;
        }
        let level = match text_of(raw) {
            Some(word) => {
                let word = without_colours(&word);
                Severity::of_word(&word).or_else(|| Severity::of_own_word(&word))
            }
            None => raw.get().parse().ok().and_then(Severity::of_number),
        };
        set(&mut self.severity, level)
    }

    /// Takes the message from tracing-subscriber's `fields` or loguru's `record`, and the ids from tracing-subscriber's spans.
    fn look_into(&mut self, key: &str, raw: &RawValue) {
        let Ok(value) = serde_json::from_str::<Value>(raw.get()) else { return };
        if matches!(key, "fields" | "record") {
            let level = value.pointer("/level/name").and_then(Value::as_str);
            set(&mut self.severity, level.and_then(Severity::of_word));
            let message = value.get("message").and_then(Value::as_str);
            set(&mut self.message, message.map(|message| message.to_owned().into()));
            return;
        }
        let spans = match &value {
            Value::Array(spans) => spans.as_slice(),
            span => std::slice::from_ref(span),
        };
        for span in spans {
            let word = |name| span.get(name).and_then(Value::as_str);
            set(&mut self.request_id, word("requestId").filter(|id| is_uuid(id)).map(lower));
            set(&mut self.xray_trace_id, word("xrayTraceId").and_then(xray_root));
        }
    }

    fn keep(&mut self, key: Cow<'a, str>, raw: &'a RawValue, rest: &mut OtherFields<'a>) {
        let is_taken = self.attributes.iter().any(|(taken, _)| *taken == key);
        // Lambda and CloudWatch provide these attributes; a key of the line must not override them.
        let is_ours = matches!(
            key.as_ref(),
            names::LOG_RECORD_UID
                | names::FAAS_INVOCATION_ID
                | names::AWS_XRAY_TRACE_ID
                | names::REST
                | names::lambda::TENANT_ID
                | names::lambda::DURABLE_EXECUTION_ARN
        );
        let fits = (1..=MAX_KEY_BYTES).contains(&key.len());
        if is_taken || is_ours || !fits || self.attributes.len() >= MAX_ATTRIBUTES {
            rest.push((key, raw));
        } else if let Some(value) = value(raw) {
            self.attributes.push((key, value));
        }
    }
}

/// Returns `true` if this can be a tenant id, of at most 256 characters (Lambda API).
pub(crate) fn is_tenant_id(text: &str) -> bool {
    (1..=256).contains(&text.len())
}

/// Returns `true` if this is the ARN of a durable execution (Lambda API):
/// `arn:aws:lambda:REGION:ACCOUNT:function:NAME:VERSION/durable-execution/NAME/ID`.
fn is_durable_execution(text: &str) -> bool {
    // It is repeated on all records of the invocation. Names and ids have 304 bytes at most.
    const MOST_BYTES: usize = 512;
    text.len() <= MOST_BYTES
        && text.starts_with("arn:")
        && text.contains(":function:")
        && text.contains("/durable-execution/")
}

/// Reads a time: RFC 3339 text, or Unix time in seconds (zap, Go) or milliseconds (pino).
fn stated_time(raw: &RawValue) -> Option<u64> {
    // The boundary is a day in 1973 in milliseconds, and in 5138 in seconds.
    const FIRST_MILLIS: f64 = 1e11;
    if let Some(text) = text_of(raw) {
        return wire::timestamp::parse_aws(&text);
    }
    let number: f64 = raw.get().parse().ok().filter(|number| *number > 0.0)?;
    let millis = if number < FIRST_MILLIS { number * 1000.0 } else { number };
    (millis <= time::MAX_MS).then(|| time::of_millis(millis))
}

/// Keys without a field in the log record.
type OtherFields<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// Sets an empty field. Returns `true` if it was empty.
fn set<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    let sets = place.is_none() && value.is_some();
    if sets {
        *place = value;
    }
    sets
}

fn set_bytes(place: &mut Vec<u8>, value: Option<Vec<u8>>) -> bool {
    match value {
        Some(value) if place.is_empty() => {
            *place = value;
            true
        }
        _ => false,
    }
}

fn lower(id: impl AsRef<str>) -> String {
    id.as_ref().to_ascii_lowercase()
}

/// The bytes of an id in hex of this length; all zeros are invalid.
pub(crate) fn id_bytes(text: &str, length: usize) -> Option<Vec<u8>> {
    if text.len() != length * 2 {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes: Option<Vec<u8>> = text
        .as_bytes()
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect();
    bytes.filter(|bytes| bytes.iter().any(|byte| *byte != 0))
}

/// The typed value; `None` for null.
fn value(raw: &RawValue) -> Option<JsonValue<'_>> {
    if let Some(text) = text_of(raw) {
        return Some(JsonValue::Text(text));
    }
    if raw.get().len() > MAX_VALUE_BYTES {
        return Some(JsonValue::Text(raw.get().into()));
    }
    typed(raw, 0).map(JsonValue::Other)
}

/// Reads a typed value; `None` for null. `depth` counts the enclosing arrays and objects.
///
/// A value without an exact form in OTLP keeps its JSON text: an integer beyond 64 bits, a number beyond a double, and an object
/// with a repeated key, because OTLP requires unique keys.
pub(crate) fn typed(raw: &RawValue, depth: usize) -> Option<Any> {
    let text = raw.get();
    let as_text = || Any::StringValue(text.to_owned());
    Some(match text.as_bytes().first()? {
        b'n' => return None,
        b't' | b'f' => Any::BoolValue(text == "true"),
        b'"' => text_of(raw).map_or_else(as_text, |text| Any::StringValue(text.into_owned())),
        b'[' | b'{' if depth >= MAX_DEPTH => as_text(),
        b'[' => Any::ArrayValue(ArrayValue {
            // Positions in an array have a meaning, so null keeps its place as an empty value.
            values: Elements::of(text)
                .values
                .into_iter()
                .map(|value| AnyValue { value: typed(value, depth + 1) })
                .collect(),
        }),
        b'{' => match Fields::of(text).filter(Fields::has_unique_keys) {
            Some(Fields(fields)) => Any::KvlistValue(KeyValueList {
                values: fields
                    .into_iter()
                    .filter_map(|(key, value)| Some(attribute(&key, typed(value, depth + 1)?)))
                    .collect(),
            }),
            None => as_text(),
        },
        _ => number(text).unwrap_or_else(as_text),
    })
}

/// Reads a JSON number; `None` for an integer beyond 64 bits and for a number beyond a double.
fn number(text: &str) -> Option<Any> {
    match text.parse() {
        Ok(integer) => Some(Any::IntValue(integer)),
        Err(_) if text.contains(['.', 'e', 'E']) => {
            text.parse().ok().filter(|number: &f64| number.is_finite()).map(Any::DoubleValue)
        }
        Err(_) => None,
    }
}

fn json_object(fields: &[(Cow<'_, str>, &RawValue)]) -> String {
    let mut object = String::from("{");
    for (at, (key, raw)) in fields.iter().enumerate() {
        if at > 0 {
            object.push(',');
        }
        object.push_str(&Value::from(key.as_ref()).to_string());
        object.push(':');
        object.push_str(raw.get());
    }
    object.push('}');
    object
}

#[cfg(test)]
mod tests;
