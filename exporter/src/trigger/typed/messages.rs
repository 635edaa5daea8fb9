//! Messages of Amazon SQS, Amazon SNS, Amazon Kinesis and Apache Kafka.

use crate::trigger::SpanAttributesExtractor;
use crate::trigger::messages::{self, Body, HeaderLookup, IncomingMessage};
use crate::trigger::span_attributes::SpanAttributes;

#[cfg(feature = "sqs")]
impl SpanAttributesExtractor for aws_lambda_events::sqs::SqsEvent {
    fn extract_span_attributes(&self) -> SpanAttributes {
        messages::describe_batch("aws_sqs", self.records.iter().map(of_sqs))
    }
}

#[cfg(feature = "sqs")]
impl SpanAttributesExtractor for aws_lambda_events::sqs::SqsMessage {
    fn extract_span_attributes(&self) -> SpanAttributes {
        messages::describe_message("aws_sqs", of_sqs(self))
    }
}

#[cfg(feature = "sqs")]
fn of_sqs(
    message: &aws_lambda_events::sqs::SqsMessage,
) -> IncomingMessage<'_, impl HeaderLookup<'_>> {
    let header = |name: &str| {
        let text = message
            .message_attributes
            .get(name)
            .and_then(|attribute| attribute.string_value.as_ref());
        text.or_else(|| message.attributes.get(name)).map(Into::into)
    };
    IncomingMessage {
        id: message.message_id.as_deref(),
        destination: message.event_source_arn.as_deref(),
        received_ms: message.attributes.get("SentTimestamp").and_then(|ms| ms.parse().ok()),
        body: message.body.as_deref().map(Body::Text),
        ..IncomingMessage::new(header)
    }
}

#[cfg(feature = "sns")]
impl SpanAttributesExtractor for aws_lambda_events::sns::SnsEvent {
    fn extract_span_attributes(&self) -> SpanAttributes {
        messages::describe_notifications("aws.sns", self.records.iter().map(of_sns).collect())
    }
}

#[cfg(feature = "sns")]
impl SpanAttributesExtractor for aws_lambda_events::sns::SnsRecord {
    fn extract_span_attributes(&self) -> SpanAttributes {
        messages::describe_message("aws.sns", of_sns(self))
    }
}

#[cfg(feature = "sns")]
fn of_sns(
    record: &aws_lambda_events::sns::SnsRecord,
) -> IncomingMessage<'_, impl HeaderLookup<'_>> {
    let message = &record.sns;
    IncomingMessage {
        id: Some(&message.message_id),
        destination: Some(&message.topic_arn),
        body: Some(Body::Text(&message.message)),
        ..IncomingMessage::new(|name: &str| {
            Some((&message.message_attributes.get(name)?.value).into())
        })
    }
}

#[cfg(feature = "kinesis")]
impl SpanAttributesExtractor for aws_lambda_events::kinesis::KinesisEvent {
    fn extract_span_attributes(&self) -> SpanAttributes {
        messages::describe_batch("aws_kinesis", self.records.iter().map(of_kinesis))
    }
}

#[cfg(feature = "kinesis")]
impl SpanAttributesExtractor for aws_lambda_events::kinesis::KinesisEventRecord {
    fn extract_span_attributes(&self) -> SpanAttributes {
        messages::describe_message("aws_kinesis", of_kinesis(self))
    }
}

#[cfg(feature = "kinesis")]
fn of_kinesis(
    record: &aws_lambda_events::kinesis::KinesisEventRecord,
) -> IncomingMessage<'_, impl HeaderLookup<'_>> {
    IncomingMessage {
        id: record.event_id.as_deref(),
        destination: record.event_source_arn.as_deref(),
        body: Some(Body::Bytes(&record.kinesis.data)),
        ..IncomingMessage::new(|_: &str| None)
    }
}

#[cfg(feature = "kafka")]
impl SpanAttributesExtractor for aws_lambda_events::kafka::KafkaEvent {
    fn extract_span_attributes(&self) -> SpanAttributes {
        messages::describe_batch("kafka", self.records.values().flatten().map(of_kafka))
    }
}

#[cfg(feature = "kafka")]
impl SpanAttributesExtractor for aws_lambda_events::kafka::KafkaRecord {
    fn extract_span_attributes(&self) -> SpanAttributes {
        messages::describe_message("kafka", of_kafka(self))
    }
}

#[cfg(feature = "kafka")]
fn of_kafka(
    record: &aws_lambda_events::kafka::KafkaRecord,
) -> IncomingMessage<'_, impl HeaderLookup<'_>> {
    let header = |name: &str| {
        let bytes = record.headers.iter().rev().find_map(|headers| headers.get(name))?;
        crate::trigger::sender::text_of_bytes(bytes.iter().map(|byte| Some(i64::from(*byte))))
    };
    IncomingMessage {
        destination: record.topic.as_deref(),
        partition: Some(record.partition),
        offset: Some(record.offset),
        body: record.value.as_deref().map(Body::Base64),
        ..IncomingMessage::new(header)
    }
}
