//! Links to the spans that sent the messages of a batch.

use crate::telemetry::xray_propagator::XrayPropagator;
use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Link, TraceContextExt as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use serde_json::Value;
use std::collections::HashMap;

/// As many links as a span has at most (OpenTelemetry SDK, `LinkCountLimit`); a batch may have 10,000 messages.
pub(super) const MOST_LINKS: usize = 128;

/// What a message says of the span that sent it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sender<'a> {
    /// W3C's headers as attributes of the message.
    pub(super) traceparent: Option<&'a str>,
    pub(super) tracestate: Option<&'a str>,
    /// `AWSTraceHeader`, which Amazon SQS adds where the sender is traced by X-Ray.
    pub(super) xray: Option<&'a str>,
    /// The message itself, in which a topic or a bus may have put what it was sent.
    pub(super) body: Option<&'a str>,
}

impl Sender<'_> {
    /// The link; `None` where the message names no span.
    pub(super) fn link(&self) -> Option<Link> {
        let w3c = self.traceparent.and_then(|parent| of_w3c(parent, self.tracestate));
        let of_body = || {
            let headers = headers_of(self.body?)?;
            of_w3c(headers.get("traceparent")?, headers.get("tracestate").map(String::as_str))
        };
        let of_xray = || {
            let header = self.xray?.to_owned();
            of_carrier(&XrayPropagator, &[("x-amzn-trace-id".to_owned(), header)].into())
        };
        w3c.or_else(of_body).or_else(of_xray)
    }
}

fn of_w3c(traceparent: &str, tracestate: Option<&str>) -> Option<Link> {
    let mut carrier = HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
    carrier.extend(tracestate.map(|state| ("tracestate".to_owned(), state.to_owned())));
    of_carrier(&TraceContextPropagator::new(), &carrier)
}

fn of_carrier(
    propagator: &dyn TextMapPropagator,
    carrier: &HashMap<String, String>,
) -> Option<Link> {
    let context = propagator.extract_with_context(&Context::new(), carrier);
    let sender = context.span().span_context().clone();
    sender.is_valid().then(|| Link::with_context(sender))
}

/// W3C's headers in a message that Amazon SNS or EventBridge has put into a queue.
fn headers_of(body: &str) -> Option<HashMap<String, String>> {
    // Few messages have them, and the rest need not be parsed.
    if !body.contains("traceparent") {
        return None;
    }
    let message: Value = serde_json::from_str(body).ok()?;
    let of_topic = message.get("MessageAttributes").map(topic_attributes);
    of_topic.or_else(|| message.get("detail").map(bus_headers))
}

/// What a notification of a topic goes on with: W3C's headers among its attributes, else in what a bus has put into the topic.
pub(super) fn notification_headers(
    attributes: HashMap<String, String>,
    message: Option<&str>,
) -> HashMap<String, String> {
    let of_message = || message.and_then(headers_of);
    Some(attributes).filter(|own| !own.is_empty()).or_else(of_message).unwrap_or_default()
}

/// The attributes of a message of a topic that hold W3C's headers.
pub(super) fn topic_attributes(attributes: &Value) -> HashMap<String, String> {
    let value = |name: &str| attributes.get(name)?.get("Value")?.as_str().map(str::to_owned);
    carrier(value)
}

/// W3C's headers in the detail of an event of a bus, at its top or under `headers`.
pub(super) fn bus_headers(detail: &Value) -> HashMap<String, String> {
    let headers = detail.get("headers").filter(|headers| headers.get("traceparent").is_some());
    let place = headers.unwrap_or(detail);
    carrier(|name| place.get(name)?.as_str().map(str::to_owned))
}

/// The headers of the default propagators that a lookup finds.
pub(super) fn carrier(value: impl Fn(&str) -> Option<String>) -> HashMap<String, String> {
    let names = ["traceparent", "tracestate", "baggage"];
    names.into_iter().filter_map(|name| Some((name.to_owned(), value(name)?))).collect()
}
