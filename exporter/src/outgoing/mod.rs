//! Writes the trace's context into outgoing calls, so that receivers continue the trace.
//!
//! The context is the current one, in the format of the propagators in `OTEL_PROPAGATORS`; outside of a span nothing is written.

#[cfg(feature = "aws-sdk")]
pub(crate) mod aws_sdk;
mod fields;
mod json;

use aws_lambda_events::http::{HeaderMap, HeaderName, HeaderValue};
use fields::ContextFields;
use std::collections::HashMap;
use std::hash::BuildHasher;

/// Writes the current context into the headers of an HTTP request, with the `http` crate's types as in `reqwest` and `hyper`.
/// Replaces headers of the same names.
pub fn inject_headers(headers: &mut HeaderMap) {
    for (name, value) in ContextFields::current() {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
}

/// Writes the current context into the attributes of an Amazon SQS or SNS message; `attribute` converts a text to the service's
/// attribute type. A message has at most ten: excess fields are omitted, and all of them if the message has a `traceparent`.
pub fn inject_message_attributes<V, E, S: BuildHasher>(
    attributes: &mut HashMap<String, V, S>,
    attribute: impl Fn(String) -> Result<V, E>,
) {
    let fields = ContextFields::current().for_message(attributes.keys().map(String::as_str));
    for (name, text) in fields {
        if let Ok(value) = attribute(text) {
            attributes.insert(name, value);
        }
    }
}

/// Returns the JSON object with the current context under `headers`, where this library looks for it in any event: for details of
/// Amazon EventBridge events, inputs of state machines, payloads of asynchronously invoked functions, and JSON content of
/// messages and records. Returns any other value unchanged, and also an object with a `traceparent` in that place.
#[must_use]
pub fn inject_json(json: impl Into<String>) -> String {
    let json = json.into();
    json::with_fields(&json, "headers", &ContextFields::current()).unwrap_or(json)
}

/// Returns the client context for an invocation by Lambda's API, in base64: `existing`, if any, with the current context among
/// its custom values. Lambda passes it on in synchronous invocations only, and accepts 3,583 bytes: if the result were longer,
/// `existing` is returned.
#[must_use]
pub fn inject_client_context(existing: Option<&str>) -> Option<String> {
    json::with_custom(existing, &ContextFields::current()).or_else(|| existing.map(str::to_owned))
}
