//! The parts of an item that rules read and change, for all signals.

use super::redact::{ItemPart, Redacted, Redaction};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint, SummaryDataPoint,
};
use opentelemetry_proto::tonic::trace::v1::Span;

/// A span, a log record or a data point.
pub(super) trait Item: prost::Message + Default {
    fn attributes(&self) -> &[KeyValue];

    fn attributes_mut(&mut self) -> &mut Vec<KeyValue>;

    fn redact(&mut self, redaction: &Redaction, redacted: &mut Redacted);

    /// Empty if the item belongs to no trace.
    fn trace_id(&self) -> &[u8] {
        &[]
    }

    fn span(&self) -> Option<&Span> {
        None
    }

    fn body(&self) -> Option<&AnyValue> {
        None
    }

    /// 0 if it is not set.
    fn severity(&self) -> i32 {
        0
    }
}

impl Item for Span {
    fn attributes(&self) -> &[KeyValue] {
        &self.attributes
    }

    fn attributes_mut(&mut self) -> &mut Vec<KeyValue> {
        &mut self.attributes
    }

    fn redact(&mut self, redaction: &Redaction, redacted: &mut Redacted) {
        redaction.attributes(ItemPart::Attributes, &mut self.attributes, redacted);
        for event in &mut self.events {
            // `tracing` uses the message as the name of the event.
            redaction.text(ItemPart::Events, &mut event.name, redacted);
            redaction.attributes(ItemPart::Events, &mut event.attributes, redacted);
        }
        for link in &mut self.links {
            redaction.attributes(ItemPart::Links, &mut link.attributes, redacted);
        }
        if let Some(status) = &mut self.status {
            redaction.text(ItemPart::Status, &mut status.message, redacted);
        }
        redaction.text(ItemPart::Name, &mut self.name, redacted);
    }

    fn trace_id(&self) -> &[u8] {
        &self.trace_id
    }

    fn span(&self) -> Option<&Span> {
        Some(self)
    }
}

impl Item for LogRecord {
    fn attributes(&self) -> &[KeyValue] {
        &self.attributes
    }

    fn attributes_mut(&mut self) -> &mut Vec<KeyValue> {
        &mut self.attributes
    }

    fn redact(&mut self, redaction: &Redaction, redacted: &mut Redacted) {
        if let Some(body) = &mut self.body {
            redaction.body(body, &self.attributes, redacted);
        }
        redaction.attributes(ItemPart::Attributes, &mut self.attributes, redacted);
    }

    fn trace_id(&self) -> &[u8] {
        &self.trace_id
    }

    fn body(&self) -> Option<&AnyValue> {
        self.body.as_ref()
    }

    fn severity(&self) -> i32 {
        self.severity_number
    }
}

impl Item for SummaryDataPoint {
    fn attributes(&self) -> &[KeyValue] {
        &self.attributes
    }

    fn attributes_mut(&mut self) -> &mut Vec<KeyValue> {
        &mut self.attributes
    }

    fn redact(&mut self, redaction: &Redaction, redacted: &mut Redacted) {
        redaction.attributes(ItemPart::Attributes, &mut self.attributes, redacted);
    }
}

/// The other three point types have the same fields but no common trait.
macro_rules! point_with_exemplars {
    ($($point:ty),*) => {$(
        impl Item for $point {
            fn attributes(&self) -> &[KeyValue] {
                &self.attributes
            }

            fn attributes_mut(&mut self) -> &mut Vec<KeyValue> {
                &mut self.attributes
            }

            fn redact(&mut self, redaction: &Redaction, redacted: &mut Redacted) {
                redaction.attributes(ItemPart::Attributes, &mut self.attributes, redacted);
                for Exemplar { filtered_attributes, .. } in &mut self.exemplars {
                    redaction.attributes(ItemPart::Exemplars, filtered_attributes, redacted);
                }
            }
        }
    )*};
}

point_with_exemplars!(NumberDataPoint, HistogramDataPoint, ExponentialHistogramDataPoint);
