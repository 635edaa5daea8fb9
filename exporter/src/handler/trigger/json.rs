//! Events as plain JSON: the shape decides, and anything may be missing or of another type.

use super::documents::{Change, changes};
use super::http_request::{HttpRequest, joined, query_string, route_of_key, web_socket};
use super::links::{Sender, bus_headers, notification_headers, topic_attributes};
use super::messages::{Message, bus_event, messages, name_of_arn};
use super::span_attributes::SpanAttributes;
use super::{Extractor, SpanAttributesExtractor};
use opentelemetry::KeyValue;
use serde_json::Value;
use std::collections::HashMap;

/// Describes invocations by plain JSON: the events of AWS's services by their shape (API Gateway with WebSockets, function URLs,
/// load balancers, SQS, SNS, S3, EventBridge, Kinesis, DynamoDB, Kafka), else a parent in `headers`.
#[derive(Debug, Clone, Copy, Default)]
pub struct JsonExtractor;

impl JsonExtractor {
    /// The extractor.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Extractor<Value> for JsonExtractor {
    fn extract(&self, event: &Value) -> SpanAttributes {
        event.extract_span_attributes()
    }
}

impl SpanAttributesExtractor for Value {
    fn extract_span_attributes(&self) -> SpanAttributes {
        if text(self, "/requestContext/http/method").is_some() {
            version_2(self).into_span_attributes()
        } else if text(self, "/httpMethod").is_some() {
            version_1(self).into_span_attributes()
        } else if let Some(route_key) = text(self, "/requestContext/routeKey") {
            web_socket(route_key, headers(self))
        } else if let Some(records) = self.get("Records").and_then(Value::as_array) {
            of_records(records)
        } else if let (Some(source), Some(_), Some(detail)) =
            (text(self, "/source"), self.get("detail-type"), self.get("detail"))
        {
            let id = self.get("id").and_then(Value::as_str);
            let carrier = Some(bus_headers(detail));
            SpanAttributes { carrier, ..bus_event(&source, id, text(self, "/time")) }
        } else if let Some(topics) = self.get("records").and_then(Value::as_object) {
            let records =
                topics.values().flat_map(|records| records.as_array().into_iter().flatten());
            kafka(records)
        } else {
            let carrier = self.get("headers").map(|_| headers(self));
            SpanAttributes { carrier, ..SpanAttributes::default() }
        }
    }
}

pub(super) fn version_2(event: &Value) -> HttpRequest {
    HttpRequest {
        method: text(event, "/requestContext/http/method").unwrap_or_default(),
        route: text(event, "/routeKey")
            .or_else(|| text(event, "/requestContext/routeKey"))
            .as_deref()
            .and_then(route_of_key),
        path: text(event, "/rawPath").or_else(|| text(event, "/requestContext/http/path")),
        query: text(event, "/rawQueryString"),
        protocol: text(event, "/requestContext/http/protocol"),
        client_address: text(event, "/requestContext/http/sourceIp"),
        domain_name: text(event, "/requestContext/domainName"),
        user_agent: text(event, "/requestContext/http/userAgent"),
        headers: headers(event),
    }
}

pub(super) fn version_1(event: &Value) -> HttpRequest {
    HttpRequest {
        method: text(event, "/httpMethod").unwrap_or_default(),
        route: text(event, "/resource").or_else(|| text(event, "/requestContext/resourcePath")),
        path: text(event, "/path"),
        query: Some(if event.pointer("/requestContext/elb").is_some() {
            // A load balancer leaves them encoded (Elastic Load Balancing, "Lambda functions as targets").
            joined(&query(event))
        } else {
            query_string(&query(event))
        }),
        protocol: text(event, "/requestContext/protocol"),
        client_address: text(event, "/requestContext/identity/sourceIp"),
        domain_name: text(event, "/requestContext/domainName"),
        user_agent: text(event, "/requestContext/identity/userAgent"),
        headers: headers(event),
    }
}

fn text(event: &Value, pointer: &str) -> Option<String> {
    str_of(event, pointer).map(str::to_owned)
}

/// The headers, names in lower case; values that are no text are left out.
fn headers(event: &Value) -> HashMap<String, String> {
    let single = event.get("headers").and_then(Value::as_object);
    let several = event.get("multiValueHeaders").and_then(Value::as_object);
    let last_of = |values: &Value| values.as_array()?.last()?.as_str().map(str::to_owned);
    let mut headers = HashMap::new();
    for (name, values) in several.into_iter().flatten() {
        if let Some(value) = last_of(values) {
            headers.insert(name.to_ascii_lowercase(), value);
        }
    }
    for (name, value) in single.into_iter().flatten() {
        if let Some(value) = value.as_str() {
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
    }
    headers
}

fn query(event: &Value) -> Vec<(String, String)> {
    let mut parameters = Vec::new();
    if let Some(several) = event.get("multiValueQueryStringParameters").and_then(Value::as_object) {
        for (name, values) in several {
            let values = values.as_array().into_iter().flatten().filter_map(Value::as_str);
            parameters.extend(values.map(|value| (name.clone(), value.to_owned())));
        }
    } else if let Some(single) = event.get("queryStringParameters").and_then(Value::as_object) {
        let texts = single.iter().filter_map(|(name, value)| Some((name, value.as_str()?)));
        parameters.extend(texts.map(|(name, value)| (name.clone(), value.to_owned())));
    }
    parameters
}

/// The event of one source, which all its records name.
fn of_records(records: &[Value]) -> SpanAttributes {
    let source = records.first().and_then(|record| {
        let source = record.get("eventSource").or_else(|| record.get("EventSource"));
        let is_notification = record.pointer("/Sns/TopicArn").is_some();
        source.and_then(Value::as_str).or(is_notification.then_some("aws:sns"))
    });
    match source.unwrap_or_default() {
        "aws:sqs" => messages("aws_sqs", records.iter().map(queue_message)),
        "aws:sns" => {
            let notifications = || records.iter().filter_map(|record| record.get("Sns"));
            let carrier = notifications().next().map(|sns| {
                let attributes = sns.get("MessageAttributes").map(topic_attributes);
                notification_headers(attributes.unwrap_or_default(), str_of(sns, "/Message"))
            });
            let topic_message = |sns| Message {
                id: str_of(sns, "/MessageId"),
                source_arn: str_of(sns, "/TopicArn"),
                ..Message::default()
            };
            let attributes = messages("aws.sns", notifications().map(topic_message));
            SpanAttributes { carrier, ..attributes }
        }
        "aws:kinesis" => messages(
            "aws_kinesis",
            records.iter().map(|record| Message {
                id: str_of(record, "/eventID"),
                source_arn: str_of(record, "/eventSourceARN"),
                ..Message::default()
            }),
        ),
        "aws:dynamodb" => changes(records.iter().map(|record| Change {
            collection: str_of(record, "/eventSourceARN").and_then(name_of_arn),
            event_name: str_of(record, "/eventName").unwrap_or_default(),
            ..Change::default()
        })),
        source if source.starts_with("aws:s3") => changes(records.iter().map(|record| Change {
            collection: text(record, "/s3/bucket/name"),
            event_name: str_of(record, "/eventName").unwrap_or_default(),
            name: str_of(record, "/s3/object/key"),
            time: text(record, "/eventTime"),
        })),
        _ => SpanAttributes::default(),
    }
}

fn queue_message(message: &Value) -> Message<'_> {
    Message {
        id: str_of(message, "/messageId"),
        source_arn: str_of(message, "/eventSourceARN"),
        sender: Sender {
            traceparent: str_of(message, "/messageAttributes/traceparent/stringValue"),
            tracestate: str_of(message, "/messageAttributes/tracestate/stringValue"),
            xray: str_of(message, "/attributes/AWSTraceHeader"),
            body: str_of(message, "/body"),
        },
    }
}

fn kafka<'a>(records: impl Iterator<Item = &'a Value>) -> SpanAttributes {
    let (mut first, mut is_one_topic) = (None, true);
    let mut attributes = messages(
        "kafka",
        records.map(|record| {
            let topic = str_of(record, "/topic").unwrap_or_default();
            is_one_topic &= *first.get_or_insert(topic) == topic;
            Message::default()
        }),
    );
    if let Some(topic) = first.filter(|_| is_one_topic) {
        let name = KeyValue::new("messaging.destination.name", topic.to_owned());
        attributes.attributes.push(name);
    }
    attributes
}

fn str_of<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str()
}
