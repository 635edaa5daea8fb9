//! An event's data for the invocation's span, and a span for the work on one message of a batch.

use super::durable::DurableExecution;
use crate::propagation::XRAY_HEADER;
use opentelemetry::trace::{Link, SpanContext, SpanKind, TraceContextExt as _};
use opentelemetry::{Context, KeyValue, global};
use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::SystemTime;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The trigger of the function (semantic conventions, `faas.trigger`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TriggerType {
    /// A change in a database or a bucket.
    Datasource,
    /// An HTTP request.
    Http,
    /// A message or an event.
    PubSub,
    /// A schedule.
    Timer,
    /// Anything else.
    #[default]
    Other,
}

impl TriggerType {
    /// The value of `faas.trigger`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Datasource => "datasource",
            Self::Http => "http",
            Self::PubSub => "pubsub",
            Self::Timer => "timer",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for TriggerType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An event's data for the invocation's span.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct SpanAttributes {
    /// SERVER if unset.
    pub kind: Option<SpanKind>,
    /// Low cardinality: a route, never a path with ids. The handler's name if unset.
    pub span_name: Option<String>,
    /// Set when the span starts, so that samplers see them.
    pub attributes: Vec<KeyValue>,
    /// Links to the senders' spans of a batch.
    pub links: Vec<Link>,
    /// Headers that may hold the parent.
    pub carrier: Option<HashMap<String, String>>,
    /// The trigger.
    pub trigger: TriggerType,
    /// The time at which API Gateway, Amazon SQS or Amazon EventBridge received the request or the oldest message.
    pub received_at: Option<SystemTime>,
    /// The execution to which the event of a durable function belongs. If the answer is `{"Status": "FAILED", …}`, the span has
    /// failed.
    pub durable_execution: Option<Box<DurableExecution>>,
}

impl SpanAttributes {
    /// Creates a builder without any attribute.
    #[must_use]
    pub fn builder() -> SpanAttributesBuilder {
        SpanAttributesBuilder::default()
    }
}

/// Builds [`SpanAttributes`].
#[derive(Debug, Clone, Default)]
pub struct SpanAttributesBuilder {
    built: SpanAttributes,
}

impl SpanAttributesBuilder {
    setters! { |builder|
        /// The span's kind.
        with_kind(kind: SpanKind) => builder.built.kind = Some(kind);
        /// The span's name; of low cardinality.
        with_span_name(name: impl Into<String>) => builder.built.span_name = Some(name.into());
        /// Adds attributes.
        with_attributes(attributes: impl IntoIterator<Item = KeyValue>) => builder.built.attributes.extend(attributes);
        /// Adds links.
        with_links(links: impl IntoIterator<Item = Link>) => builder.built.links.extend(links);
        /// The headers that may hold the parent.
        with_carrier(carrier: HashMap<String, String>) => builder.built.carrier = Some(carrier);
        /// The trigger.
        with_trigger(trigger: TriggerType) => builder.built.trigger = trigger;
        /// The execution to which the event of a durable function belongs.
        with_durable_execution(execution: DurableExecution) => builder.built.durable_execution = Some(Box::new(execution));
    }

    /// The attributes.
    #[must_use]
    pub fn build(self) -> SpanAttributes {
        self.built
    }
}

/// A message of a batch that describes its own span: `SqsMessage`, `SnsRecord`, `KinesisEventRecord` and `KafkaRecord` of
/// `aws_lambda_events`, and the same messages as plain JSON.
impl SpanAttributes {
    /// Adds the attributes and links to a `tracing` span in the trace of the invocation.
    pub fn add_to(&self, span: &tracing::Span) {
        add_to_span(span, &self.attributes, &self.links);
    }

    /// Returns a `tracing` span that continues the trace of the sender and has a link to the current span. Without a sender, it
    /// is a child of the current span. Its kind is CONSUMER, unless [`kind`](Self::kind) is set. It is sampled like the sender.
    /// If only X-Ray's header names the sender and no propagator reads that header, it is sampled like the current span.
    #[must_use]
    pub fn continued_span(&self) -> tracing::Span {
        let span = tracing::info_span!(
            "message",
            otel.name = self.span_name.as_deref().unwrap_or("process message"),
            otel.kind = kind_field(self.kind.as_ref().unwrap_or(&SpanKind::Consumer)),
        );
        let invocation = Context::current().span().span_context().clone();
        match self.sender(&invocation) {
            Some(sender) => {
                // Without the library's layer this fails, and there is no span.
                drop(span.set_parent(sender));
                let back = Some(Link::with_context(invocation))
                    .filter(|link| link.span_context.is_valid());
                add_to_span(&span, &self.attributes, back.as_slice());
            }
            None => self.add_to(&span),
        }
        span
    }

    /// The context of the sender with its baggage, from the application's propagators. If they find none, it comes from the link.
    fn sender(&self, invocation: &SpanContext) -> Option<Context> {
        let extract = || {
            let carrier = self.carrier.as_ref()?;
            Some(global::get_text_map_propagator(|global| {
                global.extract_with_context(&Context::new(), carrier)
            }))
        };
        // The application's propagators may return the current context if they find nothing; its span is not remote.
        let extracted = catch_unwind(AssertUnwindSafe(extract))
            .ok()
            .flatten()
            .filter(|context| context.span().span_context().is_remote());
        let by_link = || {
            let sender = self.links.first()?.span_context.clone();
            // X-Ray samples few requests, and no propagator reads its decision, so the invocation's applies.
            let is_decided = !self.is_sent_under_xray() || !invocation.is_valid();
            let flags = if is_decided { sender.trace_flags() } else { invocation.trace_flags() };
            let trace_id = sender.trace_id();
            let span_id = sender.span_id();
            let sender =
                SpanContext::new(trace_id, span_id, flags, true, sender.trace_state().clone());
            Some(Context::new().with_remote_span_context(sender))
        };
        extracted.or_else(by_link)
    }

    /// Returns `true` if only X-Ray's header names the sender.
    fn is_sent_under_xray(&self) -> bool {
        let has = |name| self.carrier.as_ref().is_some_and(|carrier| carrier.contains_key(name));
        has(XRAY_HEADER) && !has("traceparent")
    }
}

/// Adds attributes and links to a span of `tracing`.
pub(crate) fn add_to_span(span: &tracing::Span, attributes: &[KeyValue], links: &[Link]) {
    for attribute in attributes {
        span.set_attribute(attribute.key.clone(), attribute.value.clone());
    }
    for link in links {
        span.add_link_with_attributes(link.span_context.clone(), link.attributes.clone());
    }
}

/// The kind in tracing-opentelemetry's field.
pub(crate) fn kind_field(kind: &SpanKind) -> &'static str {
    match kind {
        SpanKind::Client => "client",
        SpanKind::Server => "server",
        SpanKind::Producer => "producer",
        SpanKind::Consumer => "consumer",
        SpanKind::Internal => "internal",
    }
}
