//! The sender's span of a message: the headers that name it, and the link to it.

use super::description::DESCRIPTION;
use super::messages::{Body, HeaderLookup, IncomingMessage};
use crate::propagation::{XrayPropagator, is_traceparent};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{Link, SpanContext, TraceContextExt as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashMap;

pub(super) struct Sender {
    pub(super) carrier: HashMap<String, String>,
    context: SpanContext,
}

impl Sender {
    /// The sender in the message's headers, or else in its body, or else in X-Ray's header.
    pub(super) fn of<'a>(message: &IncomingMessage<'a, impl HeaderLookup<'a>>) -> Option<Self> {
        let xray = || (message.header)("AWSTraceHeader").and_then(bounded);
        let of_body = || match message.body? {
            Body::Text(text) => headers_of(text.as_bytes()),
            Body::Base64(text) => headers_of(&decoded(text)?),
            Body::Object(value) => headers_of_json(value),
            #[cfg(feature = "kinesis")]
            Body::Bytes(bytes) => headers_of(bytes),
        };
        Self::named_by(carrier(&message.header))
            .or_else(|| Self::named_by(of_body()?))
            .or_else(|| Self::named_by([("x-amzn-trace-id".to_owned(), xray()?)].into()))
    }

    fn named_by(carrier: HashMap<String, String>) -> Option<Self> {
        let has_valid = |header: &String| is_traceparent(header);
        if carrier.is_empty() || !carrier.get("traceparent").is_none_or(has_valid) {
            return None;
        }
        let of_w3c = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
        let extracted = XrayPropagator.extract_with_context(&of_w3c, &carrier);
        let context = extracted.span().span_context().clone();
        context.is_valid().then_some(Self { carrier, context })
    }

    pub(super) fn link(self, attributes: Vec<KeyValue>) -> Link {
        Link::new(self.context, attributes, 0)
    }
}

/// W3C's headers in the JSON of a body, as written by [`inject_json`](crate::propagation::inject_json) and within the envelopes of Amazon SNS
/// and EventBridge.
fn headers_of(body: &[u8]) -> Option<HashMap<String, String>> {
    let body = std::str::from_utf8(body).ok()?;
    // Few messages contain them; the others are not parsed.
    if body.len() > DESCRIPTION.limits.body_bytes || !body.contains("traceparent") {
        return None;
    }
    let message: Value = serde_json::from_str(body).ok()?;
    if let Some(attributes) = message.get("MessageAttributes") {
        let of_topic = carrier(|name| header_in(attributes, name));
        if !of_topic.is_empty() {
            return Some(of_topic);
        }
    }
    // Each envelope escapes its content, so the nesting is shallow.
    let inner = message.get("Message").and_then(Value::as_str);
    let of_inner = inner.and_then(|inner| headers_of(inner.as_bytes()));
    of_inner
        .or_else(|| headers_of_json(message.get("detail")?))
        .or_else(|| headers_of_json(&message))
}

/// W3C's headers in a JSON object: under `headers`, under `_datadog` (Datadog's tracers), or at its top level.
pub(super) fn headers_of_json(object: &Value) -> Option<HashMap<String, String>> {
    let places = ["headers", "_datadog"].into_iter().filter_map(|name| object.get(name));
    let place = places.chain([object]).find(|place| place.get("traceparent").is_some())?;
    Some(carrier(|name| header_in(place, name)))
}

/// The header of this name in a map, or the last one in Kafka's list of maps. Its value is text, the bytes of a text, or an
/// object with one of them.
pub(super) fn header_in<'a>(headers: &'a Value, name: &str) -> Option<Cow<'a, str>> {
    let value = match headers {
        Value::Array(maps) => maps.iter().rev().find_map(|map| map.get(name))?,
        map => map.get(name)?,
    };
    let value = match value {
        Value::Object(value) => {
            ["stringValue", "Value", "bytes"].into_iter().find_map(|name| value.get(name))?
        }
        value => value,
    };
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Array(bytes) => text_of_bytes(bytes.iter().map(Value::as_i64)),
        _ => None,
    }
}

/// The text of bytes, which Lambda writes as signed integers.
pub(super) fn text_of_bytes(
    bytes: impl ExactSizeIterator<Item = Option<i64>>,
) -> Option<Cow<'static, str>> {
    if bytes.len() > DESCRIPTION.limits.header_bytes {
        return None;
    }
    let bytes: Option<Vec<u8>> = bytes.map(|byte| u8::try_from(byte? & 0xff).ok()).collect();
    Some(String::from_utf8(bytes?).ok()?.into())
}

/// The bytes of a body that is base64.
fn decoded(body: &str) -> Option<Vec<u8>> {
    let is_searched = body.len() / 4 * 3 <= DESCRIPTION.limits.body_bytes;
    is_searched.then(|| STANDARD.decode(body).ok()).flatten()
}

/// The headers of the default propagators found by a lookup.
fn carrier<'a>(value: impl Fn(&str) -> Option<Cow<'a, str>>) -> HashMap<String, String> {
    let names = ["traceparent", "tracestate", "baggage"];
    let found = |name: &str| Some((name.to_owned(), value(name).and_then(bounded)?));
    names.into_iter().filter_map(found).collect()
}

fn bounded(header: Cow<'_, str>) -> Option<String> {
    (!header.is_empty() && header.len() <= DESCRIPTION.limits.header_bytes)
        .then(|| header.into_owned())
}
