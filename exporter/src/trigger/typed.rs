//! The event types of `aws_lambda_events`: API Gateway's, and the others with their features.

#![allow(unused_imports, reason = "each import belongs to some of the features")]

use super::SpanAttributesExtractor;
use super::description::{DESCRIPTION, Excerpt, Table};
use super::documents::{DocumentChange, changes};
use super::http_request::{HttpRequest, query_string, route_of_key, web_socket};
use super::messages::{Body, Header, Message, message, messages, notifications};
use super::span_attributes::SpanAttributes;
use aws_lambda_events::apigw::{
    ApiGatewayProxyRequest, ApiGatewayV2httpRequest, ApiGatewayWebsocketProxyRequest,
};
use aws_lambda_events::http::HeaderMap;
use aws_lambda_events::query_map::QueryMap;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(feature = "sqs")]
impl SpanAttributesExtractor for aws_lambda_events::sqs::SqsEvent {
    fn extract_span_attributes(&self) -> SpanAttributes {
        messages("aws_sqs", self.records.iter().map(of_sqs))
    }
}

#[cfg(feature = "sqs")]
impl SpanAttributesExtractor for aws_lambda_events::sqs::SqsMessage {
    fn extract_span_attributes(&self) -> SpanAttributes {
        message("aws_sqs", of_sqs(self))
    }
}

#[cfg(feature = "sqs")]
fn of_sqs(message: &aws_lambda_events::sqs::SqsMessage) -> Message<'_, impl Header<'_>> {
    let header = |name: &str| {
        let text = message
            .message_attributes
            .get(name)
            .and_then(|attribute| attribute.string_value.as_ref());
        text.or_else(|| message.attributes.get(name)).map(Cow::from)
    };
    Message {
        id: message.message_id.as_deref(),
        destination: message.event_source_arn.as_deref(),
        received_ms: message.attributes.get("SentTimestamp").and_then(|ms| ms.parse().ok()),
        body: message.body.as_deref().map(Body::Text),
        ..Message::new(header)
    }
}

#[cfg(feature = "sns")]
impl SpanAttributesExtractor for aws_lambda_events::sns::SnsEvent {
    fn extract_span_attributes(&self) -> SpanAttributes {
        notifications("aws.sns", self.records.iter().map(of_sns).collect())
    }
}

#[cfg(feature = "sns")]
impl SpanAttributesExtractor for aws_lambda_events::sns::SnsRecord {
    fn extract_span_attributes(&self) -> SpanAttributes {
        message("aws.sns", of_sns(self))
    }
}

#[cfg(feature = "sns")]
fn of_sns(record: &aws_lambda_events::sns::SnsRecord) -> Message<'_, impl Header<'_>> {
    let message = &record.sns;
    Message {
        id: Some(&message.message_id),
        destination: Some(&message.topic_arn),
        body: Some(Body::Text(&message.message)),
        ..Message::new(|name: &str| Some(Cow::from(&message.message_attributes.get(name)?.value)))
    }
}

#[cfg(feature = "kinesis")]
impl SpanAttributesExtractor for aws_lambda_events::kinesis::KinesisEvent {
    fn extract_span_attributes(&self) -> SpanAttributes {
        messages("aws_kinesis", self.records.iter().map(of_kinesis))
    }
}

#[cfg(feature = "kinesis")]
impl SpanAttributesExtractor for aws_lambda_events::kinesis::KinesisEventRecord {
    fn extract_span_attributes(&self) -> SpanAttributes {
        message("aws_kinesis", of_kinesis(self))
    }
}

#[cfg(feature = "kinesis")]
fn of_kinesis(
    record: &aws_lambda_events::kinesis::KinesisEventRecord,
) -> Message<'_, impl Header<'_>> {
    Message {
        id: record.event_id.as_deref(),
        destination: record.event_source_arn.as_deref(),
        body: Some(Body::Bytes(&record.kinesis.data)),
        ..Message::new(|_: &str| None)
    }
}

#[cfg(feature = "kafka")]
impl SpanAttributesExtractor for aws_lambda_events::kafka::KafkaEvent {
    fn extract_span_attributes(&self) -> SpanAttributes {
        messages("kafka", self.records.values().flatten().map(of_kafka))
    }
}

#[cfg(feature = "kafka")]
impl SpanAttributesExtractor for aws_lambda_events::kafka::KafkaRecord {
    fn extract_span_attributes(&self) -> SpanAttributes {
        message("kafka", of_kafka(self))
    }
}

#[cfg(feature = "kafka")]
fn of_kafka(record: &aws_lambda_events::kafka::KafkaRecord) -> Message<'_, impl Header<'_>> {
    let header = |name: &str| {
        let bytes = record.headers.iter().rev().find_map(|headers| headers.get(name))?;
        super::sender::text_of_bytes(bytes.iter().map(|byte| Some(i64::from(*byte))))
    };
    Message {
        destination: record.topic.as_deref(),
        partition: Some(record.partition),
        offset: Some(record.offset),
        body: record.value.as_deref().map(Body::Base64),
        ..Message::new(header)
    }
}

#[cfg(feature = "eventbridge")]
impl<T> SpanAttributesExtractor for aws_lambda_events::eventbridge::EventBridgeEvent<T>
where
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    fn extract_span_attributes(&self) -> SpanAttributes {
        // The headers in a detail of the application's own type are found by their names.
        let detail = serde_json::to_value(&self.detail).unwrap_or_default();
        // AWS's own events have no parent.
        if cfg!(debug_assertions) && !self.source.starts_with("aws.") {
            warn_of_dropped_parent::<T>(&detail);
        }
        let time = self.time.map(|time| time.to_rfc3339());
        let fields = [
            ("id", self.id.clone().into()),
            ("source", self.source.clone().into()),
            ("detail-type", self.detail_type.clone().into()),
            ("time", time.into()),
            ("detail", detail),
        ];
        let event: Value = fields
            .into_iter()
            .map(|(name, value): (&str, Value)| (name.to_owned(), value))
            .collect();
        event.extract_span_attributes()
    }
}

/// Warns once if no event with a detail of this type can continue its sender's trace.
#[cfg(feature = "eventbridge")]
fn warn_of_dropped_parent<T: serde::Serialize + serde::de::DeserializeOwned>(detail: &Value) {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !keeps_parent::<T>(detail) && !WARNED.swap(true, Ordering::Relaxed) {
        let name = std::any::type_name::<T>();
        crate::output::stderr::warn(&format!(
            "the type {name} of an event's detail drops `traceparent`, so invocations start traces of their own: add the field \
             `traceparent: Option<String>`, or `headers` with it"
        ));
    }
}

/// Returns `true` if a value of this type, which is written as `detail`, keeps a parent, or if that is unknown because the type does
/// not read what it writes.
#[cfg(feature = "eventbridge")]
fn keeps_parent<T: serde::Serialize + serde::de::DeserializeOwned>(detail: &Value) -> bool {
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    if serde_json::from_value::<T>(detail.clone()).is_err() {
        return true;
    }
    let Value::Object(fields) = detail else { return false };
    let places =
        [("traceparent", PARENT.into()), ("headers", serde_json::json!({ "traceparent": PARENT }))];
    places.into_iter().any(|(name, parent)| {
        let mut fields = fields.clone();
        fields.insert(name.to_owned(), parent);
        let kept =
            serde_json::from_value::<T>(Value::Object(fields)).and_then(serde_json::to_value);
        kept.is_ok_and(|kept| super::sender::headers_of_json(&kept).is_some())
    })
}

#[cfg(feature = "dynamodb")]
impl SpanAttributesExtractor for aws_lambda_events::dynamodb::Event {
    fn extract_span_attributes(&self) -> SpanAttributes {
        let records = self.records.iter().map(|record| DocumentChange {
            collection: record.event_source_arn.as_deref(),
            event_name: &record.event_name,
            ..DocumentChange::default()
        });
        changes(operations("DynamoDB"), records)
    }
}

#[cfg(feature = "s3")]
impl SpanAttributesExtractor for aws_lambda_events::s3::S3Event {
    fn extract_span_attributes(&self) -> SpanAttributes {
        let records = self.records.iter().map(|record| DocumentChange {
            collection: record.s3.bucket.name.as_deref(),
            event_name: record.event_name.as_deref().unwrap_or_default(),
            name: record.s3.object.key.as_deref().map(super::documents::object_name),
            time: super::documents::time(&record.event_time.to_rfc3339()),
        });
        let mut described = changes(operations("S3"), records);
        let objects = self.records.iter().map(|record| Message {
            destination: record.s3.bucket.name.as_deref(),
            ..Message::new(|_: &str| None)
        });
        described.attributes.extend(messages("aws_s3", objects).attributes);
        described
    }
}

/// The names of the kinds of changes of this source.
#[cfg(any(feature = "dynamodb", feature = "s3"))]
fn operations(source: &str) -> Table<Excerpt> {
    let records = DESCRIPTION.source(source).and_then(|source| source.records);
    let document = records.and_then(|records| records.document);
    document.map_or(Table::EMPTY, |document| document.operations)
}

#[cfg(feature = "lambda_http")]
impl SpanAttributesExtractor for lambda_http::request::LambdaRequest {
    fn extract_span_attributes(&self) -> SpanAttributes {
        match self {
            Self::ApiGatewayV1(event) => event.extract_span_attributes(),
            Self::ApiGatewayV2(event) => event.extract_span_attributes(),
            Self::Alb(event) => event.extract_span_attributes(),
            Self::WebSocket(event) => event.extract_span_attributes(),
            // The application's features determine the other variants.
            #[allow(unreachable_patterns, reason = "as above")]
            _ => SpanAttributes::default(),
        }
    }
}

/// HTTP APIs (payload version 2), which function URLs use too.
impl SpanAttributesExtractor for ApiGatewayV2httpRequest {
    fn extract_span_attributes(&self) -> SpanAttributes {
        let http = &self.request_context.http;
        HttpRequest {
            method: http.method.to_string(),
            route: self
                .route_key
                .as_deref()
                .or(self.request_context.route_key.as_deref())
                .and_then(route_of_key),
            path: self.raw_path.clone().or_else(|| http.path.clone()),
            query: self.raw_query_string.clone(),
            protocol: http.protocol.clone(),
            client_address: http.source_ip.clone(),
            domain_name: self.request_context.domain_name.clone(),
            user_agent: http.user_agent.clone(),
            headers: headers(&self.headers),
            received_ms: u64::try_from(self.request_context.time_epoch).ok(),
        }
        .of_source("HTTP API and function URL")
    }
}

#[cfg(feature = "alb")]
impl SpanAttributesExtractor for aws_lambda_events::alb::AlbTargetGroupRequest {
    fn extract_span_attributes(&self) -> SpanAttributes {
        let query = query(&self.query_string_parameters, &self.multi_value_query_string_parameters);
        let target_group = self.request_context.elb.target_group_arn.clone();
        let mut described = HttpRequest {
            method: self.http_method.to_string(),
            path: self.path.clone(),
            query: Some(super::http_request::joined(query)),
            headers: all_headers(&self.headers, &self.multi_value_headers),
            ..HttpRequest::default()
        }
        .of_source("Application Load Balancer");
        described.attributes.extend(
            target_group.map(|arn| opentelemetry::KeyValue::new("alb.target_group_arn", arn)),
        );
        described
    }
}

/// REST APIs (payload version 1).
impl SpanAttributesExtractor for ApiGatewayProxyRequest {
    fn extract_span_attributes(&self) -> SpanAttributes {
        let context = &self.request_context;
        let query = query(&self.query_string_parameters, &self.multi_value_query_string_parameters);
        HttpRequest {
            method: self.http_method.to_string(),
            route: self.resource.clone().or_else(|| context.resource_path.clone()),
            path: self.path.clone(),
            query: Some(query_string(query)),
            protocol: context.protocol.clone(),
            client_address: context.identity.source_ip.clone(),
            domain_name: context.domain_name.clone(),
            user_agent: context.identity.user_agent.clone(),
            headers: all_headers(&self.headers, &self.multi_value_headers),
            received_ms: u64::try_from(context.request_time_epoch).ok(),
        }
        .of_source("REST API")
    }
}

impl SpanAttributesExtractor for ApiGatewayWebsocketProxyRequest {
    fn extract_span_attributes(&self) -> SpanAttributes {
        let route_key = self.request_context.route_key.clone().unwrap_or_default();
        web_socket(route_key, headers(&self.headers))
    }
}

/// All parameters if an event repeats a name, or else the single ones.
fn query(single: &QueryMap, several: &QueryMap) -> Vec<(String, String)> {
    let parameters = if several.is_empty() { single } else { several };
    parameters.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The headers, of which `several` has all values.
fn all_headers(single: &HeaderMap, several: &HeaderMap) -> HashMap<String, String> {
    let mut all = headers(single);
    all.extend(headers(several));
    all
}

fn headers(headers: &HeaderMap) -> HashMap<String, String> {
    let mut joined: HashMap<String, String> = HashMap::with_capacity(headers.keys_len());
    for (name, value) in headers {
        let Ok(value) = value.to_str() else { continue };
        joined
            .entry(name.as_str().to_owned())
            .and_modify(|values| {
                values.push(',');
                values.push_str(value);
            })
            .or_insert_with(|| value.to_owned());
    }
    joined
}

#[cfg(all(test, feature = "eventbridge"))]
mod tests {
    use super::*;

    #[derive(Debug, Default, serde::Deserialize, serde::Serialize)]
    #[serde(default)]
    struct Order {
        id: u64,
    }

    #[derive(Debug, Default, serde::Deserialize, serde::Serialize)]
    #[serde(default)]
    struct Traced {
        id: u64,
        traceparent: Option<String>,
    }

    #[derive(Debug, Default, serde::Deserialize, serde::Serialize)]
    #[serde(default)]
    struct WithHeaders {
        headers: HashMap<String, String>,
    }

    #[test]
    fn a_type_of_a_detail_keeps_the_parent_in_its_fields() {
        let detail = serde_json::json!({ "id": 7 });
        assert!(!keeps_parent::<Order>(&detail));
        assert!(!keeps_parent::<u64>(&serde_json::json!(7)));
        assert!(keeps_parent::<Traced>(&detail));
        assert!(keeps_parent::<WithHeaders>(&detail));
        assert!(keeps_parent::<Value>(&detail));
    }
}
