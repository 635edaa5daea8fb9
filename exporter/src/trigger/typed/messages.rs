//! Messages of Amazon SQS, Amazon SNS, Amazon Kinesis and Apache Kafka.

use crate::trigger::SpanAttributesExtractor;
use crate::trigger::messages::{self, Body, Header, Message};
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
fn of_sqs(message: &aws_lambda_events::sqs::SqsMessage) -> Message<'_, impl Header<'_>> {
    let header = |name: &str| {
        let text = message
            .message_attributes
            .get(name)
            .and_then(|attribute| attribute.string_value.as_ref());
        text.or_else(|| message.attributes.get(name)).map(Into::into)
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
fn of_sns(record: &aws_lambda_events::sns::SnsRecord) -> Message<'_, impl Header<'_>> {
    let message = &record.sns;
    Message {
        id: Some(&message.message_id),
        destination: Some(&message.topic_arn),
        body: Some(Body::Text(&message.message)),
        ..Message::new(|name: &str| Some((&message.message_attributes.get(name)?.value).into()))
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
fn of_kafka(record: &aws_lambda_events::kafka::KafkaRecord) -> Message<'_, impl Header<'_>> {
    let header = |name: &str| {
        let bytes = record.headers.iter().rev().find_map(|headers| headers.get(name))?;
        crate::trigger::sender::text_of_bytes(bytes.iter().map(|byte| Some(i64::from(*byte))))
    };
    Message {
        destination: record.topic.as_deref(),
        partition: Some(record.partition),
        offset: Some(record.offset),
        body: record.value.as_deref().map(Body::Base64),
        ..Message::new(header)
    }
}
