//! The CONSUMER span below the span of an invocation with messages (semantic conventions 1.44, `docs/faas/aws-lambda.md`, "SQS").

use super::message_span::describe;
use super::trigger::span_attributes::SpanAttributes;
use crate::telemetry::completion::TelemetryCompletionHandler;
use opentelemetry::trace::{Link, SpanKind, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

pub(super) struct ConsumerSpan {
    pub(super) source: String,
    attributes: Vec<KeyValue>,
    links: Vec<Link>,
}

impl ConsumerSpan {
    /// Takes the attributes and links of messages. `None` without messages.
    pub(super) fn of(extracted: &mut SpanAttributes) -> Option<Self> {
        let is = |own: &KeyValue, key: &str| own.key.as_str() == key;
        if !extracted.attributes.iter().any(|own| is(own, "messaging.system")) {
            return None;
        }
        let is_of_messages =
            |own: &mut KeyValue| own.key.as_str().split('.').next() == Some("messaging");
        let attributes: Vec<_> = extracted.attributes.extract_if(.., is_of_messages).collect();
        let source = attributes.iter().find(|own| is(own, "messaging.destination.name"));
        let source = source.map(|source| source.value.as_str().into_owned());
        let source = source.unwrap_or_else(|| "multiple_sources".to_owned());
        Some(Self { source, attributes, links: std::mem::take(&mut extracted.links) })
    }

    /// Starts the span below the invocation's, by the same means.
    pub(super) fn start(
        self,
        completion: &TelemetryCompletionHandler,
        (context, root): &(Context, tracing::Span),
    ) -> (Context, tracing::Span) {
        let name = format!("{} process", self.source);
        if !root.is_none() {
            let span = tracing::info_span!(
                parent: root,
                "messages",
                otel.name = name,
                otel.kind = "consumer",
            );
            describe(&span, &self.attributes, &self.links);
            // Keeps the values of the invocation's context, such as its baggage.
            let own = span.context().span().span_context().clone();
            if own.is_valid() && own != *context.span().span_context() {
                return (span.context(), span);
            }
        }
        let tracer = &completion.telemetry.tracer;
        let builder = tracer
            .span_builder(name)
            .with_kind(SpanKind::Consumer)
            .with_attributes(self.attributes)
            .with_links(self.links);
        let span = tracer.build_with_context(builder, context);
        (context.with_span(span), root.clone())
    }
}
