//! Describes an invocation from its event: trigger, attributes, links and the headers with the parent.

mod description;
mod documents;
mod durable;
mod http_request;
mod json;
mod messages;
mod sender;
pub(crate) mod span_attributes;
mod state_machine;
mod template;
mod times;
mod typed;

pub use durable::DurableExecution;
pub use span_attributes::{SpanAttributes, SpanAttributesBuilder, TriggerType};

pub(crate) use description::{Answers, DESCRIPTION, DurableEvent, at, text_at};
pub(crate) use http_request::method_in_name;
#[cfg(feature = "aws-sdk")]
pub(crate) use http_request::percent_encoded;
pub(crate) use json::value_of;
use serde::Serialize;
pub(crate) use template::fill;

/// An event that describes its own invocation.
///
/// An empty `impl` adds nothing. A panic in it is contained: the invocation continues without the attributes.
#[diagnostic::on_unimplemented(
    note = "events of `aws_lambda_events` and requests of `lambda_http` do with a cargo feature of `lambda-otlp-exporter` (`sqs`, `sns`, `lambda_http`, …); your own type gets an `impl SpanAttributesExtractor`, which may be empty; other types of `aws_lambda_events` are described by `TracedHandler::new(…).with_extractor(JsonExtractor)`"
)]
pub trait SpanAttributesExtractor {
    /// Returns the event's data for the span.
    fn extract_span_attributes(&self) -> SpanAttributes {
        SpanAttributes::default()
    }
}

/// Describes invocations by events of type `T`, which may belong to another crate; implemented by every `Fn(&T) ->
/// SpanAttributes`.
#[diagnostic::on_unimplemented(
    note = "events of `aws_lambda_events` and requests of `lambda_http` are described with a cargo feature of `lambda-otlp-exporter` (`sqs`, `sns`, `lambda_http`, …); your own type gets an `impl SpanAttributesExtractor`, which may be empty; other types of `aws_lambda_events` are described by `with_extractor(JsonExtractor)`"
)]
pub trait Extractor<T> {
    /// Returns the event's data for the span.
    fn extract(&self, event: &T) -> SpanAttributes;
}

impl<T, F: Fn(&T) -> SpanAttributes> Extractor<T> for F {
    fn extract(&self, event: &T) -> SpanAttributes {
        self(event)
    }
}

/// Uses the event's own description, the default of a [`TracedHandler`](crate::TracedHandler).
#[derive(Debug, Clone, Copy, Default)]
pub struct EventExtractor;

impl<T: SpanAttributesExtractor> Extractor<T> for EventExtractor {
    fn extract(&self, event: &T) -> SpanAttributes {
        event.extract_span_attributes()
    }
}

/// Describes events of any type as the JSON that they serialize to, for types of `aws_lambda_events` without a cargo feature of this
/// crate. It serializes the whole event, and adds nothing for an event that fails to serialize.
///
/// ```
/// # use lambda_otlp_exporter::trigger::JsonExtractor;
/// # use lambda_otlp_exporter::{TelemetryCompletionHandler, TracedHandler};
/// # use lambda_runtime::{Error, LambdaEvent};
/// # #[derive(serde::Deserialize, serde::Serialize)] struct SimpleEmailEvent {}
/// # fn example(completion_handler: TelemetryCompletionHandler) {
/// async fn handle(_event: LambdaEvent<SimpleEmailEvent>) -> Result<(), Error> {
///     Ok(())
/// }
///
/// let handler = TracedHandler::new("mails", completion_handler, handle).with_extractor(JsonExtractor);
/// let running = lambda_runtime::run(handler);
/// # drop(running);
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct JsonExtractor;

impl<T: Serialize> Extractor<T> for JsonExtractor {
    fn extract(&self, event: &T) -> SpanAttributes {
        serde_json::to_value(event).unwrap_or_default().extract_span_attributes()
    }
}
