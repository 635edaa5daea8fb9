//! An event's data for the invocation's span.

use opentelemetry::KeyValue;
use opentelemetry::trace::{Link, SpanKind};
use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The trigger of the function (semantic conventions, `faas.trigger`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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

/// The time of milliseconds since the Unix epoch. `None` if the system cannot express it.
pub(super) fn received_at(unix_ms: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_millis(unix_ms))
}

/// An event's data for the invocation's span.
///
/// ```
/// use lambda_otlp_exporter::{SpanAttributes, TriggerType};
/// use opentelemetry::KeyValue;
///
/// let attributes = SpanAttributes::builder()
///     .with_span_name("nightly report")
///     .with_trigger(TriggerType::Timer)
///     .with_attributes([KeyValue::new("report.rows", 3)])
///     .build();
/// ```
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
    /// The span's kind.
    #[must_use]
    pub fn with_kind(mut self, kind: SpanKind) -> Self {
        self.built.kind = Some(kind);
        self
    }

    /// The span's name; of low cardinality.
    #[must_use]
    pub fn with_span_name(mut self, name: impl Into<String>) -> Self {
        self.built.span_name = Some(name.into());
        self
    }

    /// Adds attributes.
    #[must_use]
    pub fn with_attributes(mut self, attributes: impl IntoIterator<Item = KeyValue>) -> Self {
        self.built.attributes.extend(attributes);
        self
    }

    /// Adds links.
    #[must_use]
    pub fn with_links(mut self, links: impl IntoIterator<Item = Link>) -> Self {
        self.built.links.extend(links);
        self
    }

    /// The headers that may hold the parent.
    #[must_use]
    pub fn with_carrier(mut self, carrier: HashMap<String, String>) -> Self {
        self.built.carrier = Some(carrier);
        self
    }

    /// The trigger.
    #[must_use]
    pub fn with_trigger(mut self, trigger: TriggerType) -> Self {
        self.built.trigger = trigger;
        self
    }

    /// The attributes.
    #[must_use]
    pub fn build(self) -> SpanAttributes {
        self.built
    }
}
