//! Describes an invocation from its event: trigger, attributes, links and the headers with the parent.

mod description;
mod documents;
mod http_request;
mod json;
mod messages;
mod sender;
pub(crate) mod span_attributes;
mod template;
mod typed;

pub(super) use http_request::method_in_name;
#[cfg(feature = "aws-sdk")]
pub(crate) use http_request::percent_encoded;
use span_attributes::SpanAttributes;

/// An event that describes its own invocation.
///
/// An empty `impl` adds nothing. A panic in it is contained: the invocation continues without the attributes.
#[diagnostic::on_unimplemented(
    note = "events of `aws_lambda_events` and requests of `lambda_http` do with a cargo feature of `lambda-otlp-exporter` (`sqs`, `sns`, `lambda_http`, …); any other type gets an `impl SpanAttributesExtractor`, which may be empty, or is described by `TracedHandler::with_extractor`"
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
    note = "events of `aws_lambda_events` and requests of `lambda_http` are described with a cargo feature of `lambda-otlp-exporter` (`sqs`, `sns`, `lambda_http`, …); any other type gets an `impl SpanAttributesExtractor`, which may be empty, or is described by `with_extractor`"
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
