//! The event types of `aws_lambda_events`, each behind the feature of its name.

#[cfg(any(feature = "dynamodb", feature = "s3"))]
use super::documents::{Change, changes};
#[cfg(any(feature = "sqs", feature = "kinesis", feature = "sns"))]
use super::messages::{Message, messages};
#[cfg(any(
    feature = "sqs",
    feature = "sns",
    feature = "kinesis",
    feature = "eventbridge",
    feature = "dynamodb",
    feature = "s3",
    feature = "lambda_http"
))]
use super::{SpanAttributesExtractor, span_attributes::SpanAttributes};

#[cfg(feature = "sqs")]
impl SpanAttributesExtractor for aws_lambda_events::sqs::SqsEvent {
    fn extract_span_attributes(&self) -> SpanAttributes {
        messages(
            "aws_sqs",
            self.records.iter().map(|message| {
                let header =
                    |name: &str| message.message_attributes.get(name)?.string_value.as_deref();
                Message {
                    id: message.message_id.as_deref(),
                    source_arn: message.event_source_arn.as_deref(),
                    sender: super::links::Sender {
                        traceparent: header("traceparent"),
                        tracestate: header("tracestate"),
                        xray: message.attributes.get("AWSTraceHeader").map(String::as_str),
                        body: message.body.as_deref(),
                    },
                }
            }),
        )
    }
}

#[cfg(feature = "sns")]
impl SpanAttributesExtractor for aws_lambda_events::sns::SnsEvent {
    fn extract_span_attributes(&self) -> SpanAttributes {
        let carrier = self.records.first().map(|record| {
            let attributes = &record.sns.message_attributes;
            let headers = super::links::carrier(|name| Some(attributes.get(name)?.value.clone()));
            super::links::notification_headers(headers, Some(&record.sns.message))
        });
        let notifications = self.records.iter().map(|record| Message {
            id: Some(&record.sns.message_id),
            source_arn: Some(&record.sns.topic_arn),
            ..Message::default()
        });
        SpanAttributes { carrier, ..messages("aws.sns", notifications) }
    }
}

#[cfg(feature = "kinesis")]
impl SpanAttributesExtractor for aws_lambda_events::kinesis::KinesisEvent {
    fn extract_span_attributes(&self) -> SpanAttributes {
        messages(
            "aws_kinesis",
            self.records.iter().map(|record| Message {
                id: record.event_id.as_deref(),
                source_arn: record.event_source_arn.as_deref(),
                ..Message::default()
            }),
        )
    }
}

#[cfg(feature = "eventbridge")]
impl<T> SpanAttributesExtractor for aws_lambda_events::eventbridge::EventBridgeEvent<T>
where
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    fn extract_span_attributes(&self) -> SpanAttributes {
        // Of a detail of the application's own type the headers are found by their names.
        let detail = serde_json::to_value(&self.detail).unwrap_or_default();
        let carrier = Some(super::links::bus_headers(&detail));
        let time = self.time.map(|time| time.to_rfc3339());
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
        changes(self.records.iter().map(|record| Change {
            collection: record.s3.bucket.name.clone(),
            event_name: record.event_name.as_deref().unwrap_or_default(),
            name: record.s3.object.key.as_deref(),
            time: Some(record.event_time.to_rfc3339()),
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
            Self::WebSocket(event) => super::http_request::web_socket(
                event.request_context.route_key.clone().unwrap_or_default(),
                super::api_gateway::headers(&event.headers),
            ),
            // Which others there are is a matter of features of the application's.
            #[allow(unreachable_patterns, reason = "as above")]
            _ => SpanAttributes::default(),
        }
    }
}
