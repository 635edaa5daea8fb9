//! The event types of `aws_lambda_events`: API Gateway's, and the others behind their features.

#![allow(unused_imports, reason = "each import belongs to some of the features")]

use super::SpanAttributesExtractor;
use super::description::DESCRIPTION;
use super::documents::{Change, changes};
use super::http_request::{HttpRequest, query_string, route_of_key, web_socket};
use super::messages::{Body, Header, Message, message, messages};
use super::span_attributes::SpanAttributes;
use aws_lambda_events::apigw::{
    ApiGatewayProxyRequest, ApiGatewayV2httpRequest, ApiGatewayWebsocketProxyRequest,
};
use aws_lambda_events::http::HeaderMap;
use aws_lambda_events::query_map::QueryMap;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

/// Describes a batch and each of its messages.
macro_rules! batches {
    ($($feature:literal $system:literal $batch:path: |$own:ident| $of_batch:expr, $message:path: $of_message:ident;)*) => {$(
        #[cfg(feature = $feature)]
        impl SpanAttributesExtractor for $batch {
            fn extract_span_attributes(&self) -> SpanAttributes {
                let $own = self;
                $of_batch
            }
        }

        #[cfg(feature = $feature)]
        impl SpanAttributesExtractor for $message {
            fn extract_span_attributes(&self) -> SpanAttributes {
                message($system, $of_message(self))
            }
        }
    )*};
}

batches! {
    "sqs" "aws_sqs" aws_lambda_events::sqs::SqsEvent: |own| messages("aws_sqs", own.records.iter().map(of_sqs)),
        aws_lambda_events::sqs::SqsMessage: of_sqs;
    "sns" "aws.sns" aws_lambda_events::sns::SnsEvent: |own| super::messages::notifications("aws.sns", own.records.iter().map(of_sns).collect()),
        aws_lambda_events::sns::SnsRecord: of_sns;
    "kinesis" "aws_kinesis" aws_lambda_events::kinesis::KinesisEvent: |own| messages("aws_kinesis", own.records.iter().map(of_kinesis)),
        aws_lambda_events::kinesis::KinesisEventRecord: of_kinesis;
    "kafka" "kafka" aws_lambda_events::kafka::KafkaEvent: |own| messages("kafka", own.records.values().flatten().map(of_kafka)),
        aws_lambda_events::kafka::KafkaRecord: of_kafka;
}

#[cfg(feature = "sqs")]
fn of_sqs(own: &aws_lambda_events::sqs::SqsMessage) -> Message<'_, impl Header<'_>> {
    let header = |name: &str| {
        let text = own.message_attributes.get(name).and_then(|own| own.string_value.as_ref());
        text.or_else(|| own.attributes.get(name)).map(Cow::from)
    };
    Message {
        id: own.message_id.as_deref(),
        destination: own.event_source_arn.as_deref(),
        received_ms: own.attributes.get("SentTimestamp").and_then(|ms| ms.parse().ok()),
        body: own.body.as_deref().map(Body::Text),
        ..Message::new(header)
    }
}

#[cfg(feature = "sns")]
fn of_sns(own: &aws_lambda_events::sns::SnsRecord) -> Message<'_, impl Header<'_>> {
    let message = &own.sns;
    Message {
        id: Some(&message.message_id),
        destination: Some(&message.topic_arn),
        body: Some(Body::Text(&message.message)),
        ..Message::new(|name: &str| Some(Cow::from(&message.message_attributes.get(name)?.value)))
    }
}

#[cfg(feature = "kinesis")]
fn of_kinesis(
    own: &aws_lambda_events::kinesis::KinesisEventRecord,
) -> Message<'_, impl Header<'_>> {
    Message {
        id: own.event_id.as_deref(),
        destination: own.event_source_arn.as_deref(),
        body: Some(Body::Bytes(&own.kinesis.data)),
        ..Message::new(|_: &str| None)
    }
}

#[cfg(feature = "kafka")]
fn of_kafka(own: &aws_lambda_events::kafka::KafkaRecord) -> Message<'_, impl Header<'_>> {
    let header = |name: &str| {
        let bytes = own.headers.iter().rev().find_map(|headers| headers.get(name))?;
        super::sender::text_of_bytes(bytes.iter().map(|byte| Some(i64::from(*byte))))
    };
    Message {
        destination: own.topic.as_deref(),
        partition: Some(own.partition),
        offset: Some(own.offset),
        body: own.value.as_deref().map(Body::Base64),
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
        let time = self.time.map(|time| time.to_rfc3339());
        let event = serde_json::json!({
            "id": self.id,
            "source": self.source,
            "detail-type": self.detail_type,
            "time": time,
            "detail": detail,
        });
        event.extract_span_attributes()
    }
}

#[cfg(feature = "dynamodb")]
impl SpanAttributesExtractor for aws_lambda_events::dynamodb::Event {
    fn extract_span_attributes(&self) -> SpanAttributes {
        let records = self.records.iter().map(|record| Change {
            collection: record.event_source_arn.as_deref(),
            event_name: &record.event_name,
            ..Change::default()
        });
        changes(operations("DynamoDB"), records)
    }
}

#[cfg(feature = "s3")]
impl SpanAttributesExtractor for aws_lambda_events::s3::S3Event {
    fn extract_span_attributes(&self) -> SpanAttributes {
        let records = self.records.iter().map(|record| Change {
            collection: record.s3.bucket.name.as_deref(),
            event_name: record.event_name.as_deref().unwrap_or_default(),
            name: record.s3.object.key.as_deref().map(super::documents::object_name),
            time: super::documents::time(&record.event_time.to_rfc3339()),
        });
        let mut described = changes(operations("S3"), records);
        let own = self.records.iter().map(|record| Message {
            destination: record.s3.bucket.name.as_deref(),
            ..Message::new(|_: &str| None)
        });
        described.attributes.extend(messages("aws_s3", own).attributes);
        described
    }
}

/// The names of the kinds of changes of this source.
#[cfg(any(feature = "dynamodb", feature = "s3"))]
fn operations(source: &str) -> &'static BTreeMap<&'static str, &'static str> {
    static NONE: BTreeMap<&str, &str> = BTreeMap::new();
    let records = DESCRIPTION.source(source).and_then(|source| source.records.as_ref());
    let document = records.and_then(|records| records.document.as_ref());
    document.map_or(&NONE, |document| &document.operations)
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
