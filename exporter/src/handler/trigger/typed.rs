//! The event types of `aws_lambda_events`, each behind its feature.

#![allow(unused_imports, reason = "each import belongs to some of the features")]

use super::SpanAttributesExtractor;
use super::documents::{Change, changes};
use super::messages::{Message, message, messages};
use super::span_attributes::SpanAttributes;
use std::borrow::Cow;

/// Describes a batch and each of its messages.
macro_rules! batches {
    ($($feature:literal $batch:path: |$own:ident| $of_batch:expr, $message:path: $system:literal;)*) => {$(
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
                message($system, self)
            }
        }
    )*};
}

batches! {
    "sqs" aws_lambda_events::sqs::SqsEvent: |own| messages("aws_sqs", &own.records),
        aws_lambda_events::sqs::SqsMessage: "aws_sqs";
    "sns" aws_lambda_events::sns::SnsEvent: |own| super::messages::notifications(&own.records),
        aws_lambda_events::sns::SnsRecord: "aws.sns";
    "kinesis" aws_lambda_events::kinesis::KinesisEvent: |own| messages("aws_kinesis", &own.records),
        aws_lambda_events::kinesis::KinesisEventRecord: "aws_kinesis";
    "kafka" aws_lambda_events::kafka::KafkaEvent: |own| messages("kafka", own.records.values().flatten()),
        aws_lambda_events::kafka::KafkaRecord: "kafka";
}

#[cfg(feature = "sqs")]
impl<'a> Message<'a> for &'a aws_lambda_events::sqs::SqsMessage {
    fn id(self) -> Option<&'a str> {
        self.message_id.as_deref()
    }

    fn destination(self) -> Option<&'a str> {
        self.event_source_arn.as_deref()
    }

    fn header(self, name: &str) -> Option<Cow<'a, str>> {
        let own = self.message_attributes.get(name).and_then(|own| own.string_value.as_ref());
        own.or_else(|| self.attributes.get(name)).map(Cow::from)
    }

    fn sent_ms(self) -> Option<u64> {
        self.attributes.get("SentTimestamp")?.parse().ok()
    }

    fn body(self) -> Option<Cow<'a, [u8]>> {
        Some(self.body.as_ref()?.as_bytes().into())
    }
}

#[cfg(feature = "sns")]
impl<'a> Message<'a> for &'a aws_lambda_events::sns::SnsRecord {
    fn id(self) -> Option<&'a str> {
        Some(&self.sns.message_id)
    }

    fn destination(self) -> Option<&'a str> {
        Some(&self.sns.topic_arn)
    }

    fn header(self, name: &str) -> Option<Cow<'a, str>> {
        Some(self.sns.message_attributes.get(name)?.value.as_str().into())
    }

    fn body(self) -> Option<Cow<'a, [u8]>> {
        Some(self.sns.message.as_bytes().into())
    }
}

#[cfg(feature = "kinesis")]
impl<'a> Message<'a> for &'a aws_lambda_events::kinesis::KinesisEventRecord {
    fn id(self) -> Option<&'a str> {
        self.event_id.as_deref()
    }

    fn destination(self) -> Option<&'a str> {
        self.event_source_arn.as_deref()
    }

    fn body(self) -> Option<Cow<'a, [u8]>> {
        Some(self.kinesis.data.as_slice().into())
    }
}

#[cfg(feature = "kafka")]
impl<'a> Message<'a> for &'a aws_lambda_events::kafka::KafkaRecord {
    fn id(self) -> Option<&'a str> {
        None
    }

    fn destination(self) -> Option<&'a str> {
        self.topic.as_deref()
    }

    fn position(self) -> Vec<opentelemetry::KeyValue> {
        super::messages::kafka_position(Some(self.partition), Some(self.offset))
    }

    fn header(self, name: &str) -> Option<Cow<'a, str>> {
        let bytes = self.headers.iter().rev().find_map(|headers| headers.get(name))?;
        super::sender::text_of_bytes(bytes.iter().map(|byte| Some(i64::from(*byte))))
    }

    fn body(self) -> Option<Cow<'a, [u8]>> {
        super::sender::decoded(self.value.as_deref()?)
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
        let carrier = super::sender::headers_of_json(&detail);
        let time = self.time.and_then(|time| super::documents::time(&time.to_rfc3339()));
        let attributes = super::messages::bus_event(&self.source, self.id.as_deref(), time);
        SpanAttributes { carrier, ..attributes }
    }
}

#[cfg(feature = "dynamodb")]
impl SpanAttributesExtractor for aws_lambda_events::dynamodb::Event {
    fn extract_span_attributes(&self) -> SpanAttributes {
        changes(self.records.iter().map(|record| Change {
            collection: record.event_source_arn.as_deref().and_then(super::messages::name_of_arn),
            event_name: &record.event_name,
            ..Change::default()
        }))
    }
}

#[cfg(feature = "s3")]
impl SpanAttributesExtractor for aws_lambda_events::s3::S3Event {
    fn extract_span_attributes(&self) -> SpanAttributes {
        super::documents::objects(self.records.iter().map(|record| Change {
            collection: record.s3.bucket.name.as_deref(),
            event_name: record.event_name.as_deref().unwrap_or_default(),
            name: record.s3.object.key.as_deref().map(super::documents::object_name),
            time: super::documents::time(&record.event_time.to_rfc3339()),
        }))
    }
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
