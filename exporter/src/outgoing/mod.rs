//! Writes the trace's context into what a function sends, so that whoever receives it goes on with the trace.
//!
//! The context is the current one, in the form of the propagators of `OTEL_PROPAGATORS`; outside of a span nothing is written.

#[cfg(feature = "aws-sdk")]
pub(crate) mod aws_sdk;
mod client_context;
mod fields;
mod json;

use aws_lambda_events::http::{HeaderMap, HeaderName, HeaderValue};
use fields::Fields;
use std::collections::HashMap;
use std::hash::BuildHasher;

/// Writes the current context into the headers of an HTTP request: of `reqwest`, `hyper`, and whatever else has those of the crate
/// `http`. What stands there under the same names is replaced.
///
/// ```
/// let mut request = http::Request::get("https://example.com/orders").body(()).unwrap();
/// lambda_otlp_exporter::inject_headers(request.headers_mut());
/// ```
pub fn inject_headers(headers: &mut HeaderMap) {
    for (name, value) in Fields::current() {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
}

/// Writes the current context into the attributes of a message of Amazon SQS or SNS; `attribute` makes one of that service's of a
/// text. A message has ten at most: what no longer fits is left out, and so is all of it where the message has a `traceparent`.
///
/// ```
/// use aws_sdk_sqs::types::MessageAttributeValue;
/// use lambda_otlp_exporter::inject_message_attributes;
/// use std::collections::HashMap;
///
/// let mut attributes = HashMap::new();
/// inject_message_attributes(&mut attributes, |text| {
///     MessageAttributeValue::builder().data_type("String").string_value(text).build()
/// });
/// // client.send_message().set_message_attributes(Some(attributes))
/// ```
pub fn inject_message_attributes<V, E, S: BuildHasher>(
    attributes: &mut HashMap<String, V, S>,
    attribute: impl Fn(String) -> Result<V, E>,
) {
    for (name, text) in Fields::current().for_message(attributes.keys().map(String::as_str)) {
        if let Ok(value) = attribute(text) {
            attributes.insert(name, value);
        }
    }
}

/// The JSON object with the current context under `headers`, which is where this library looks for it in any event: for the detail
/// of an event of Amazon EventBridge, the input of a state machine, the payload of a function that is invoked asynchronously, and
/// messages and records of queues and streams whose content is JSON. Any other value is returned unchanged, as is an object with a `traceparent` in that place.
///
/// ```
/// let detail = lambda_otlp_exporter::inject_json(r#"{"order": 7}"#);
/// assert_eq!(detail, r#"{"order": 7}"#, "outside of a span there is nothing to write");
/// ```
#[must_use]
pub fn inject_json(json: impl Into<String>) -> String {
    let json = json.into();
    json::with_fields(&json, "headers", &Fields::current()).unwrap_or(json)
}

/// The client context for an invocation by Lambda's API, base64 as the API takes it: `existing`, if there is one, with the current
/// context among its custom values. Lambda hands it on in synchronous invocations only, and takes 3,583 bytes: where it would be
/// more, `existing` comes back.
///
/// ```
/// use lambda_otlp_exporter::inject_client_context;
///
/// // client.invoke().function_name("stock").set_client_context(inject_client_context(None))
/// assert_eq!(inject_client_context(None), None, "outside of a span there is nothing to write");
/// ```
#[must_use]
pub fn inject_client_context(existing: Option<&str>) -> Option<String> {
    client_context::with_custom(existing, &Fields::current())
        .or_else(|| existing.map(str::to_owned))
}
