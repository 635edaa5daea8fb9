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

    fn redact(&mut self, redaction: &Redaction) -> Redacted;

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

    fn redact(&mut self, redaction: &Redaction) -> Redacted {
        let mut changed = redaction.attributes(ItemPart::Attributes, &mut self.attributes);
        for event in &mut self.events {
            // `tracing` uses the message as the name of the event.
            changed += redaction.text(ItemPart::Events, &mut event.name);
            changed += redaction.attributes(ItemPart::Events, &mut event.attributes);
        }
        for link in &mut self.links {
            changed += redaction.attributes(ItemPart::Links, &mut link.attributes);
        }
        if let Some(status) = &mut self.status {
            changed += redaction.text(ItemPart::Status, &mut status.message);
        }
        changed + redaction.text(ItemPart::Name, &mut self.name)
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

    fn redact(&mut self, redaction: &Redaction) -> Redacted {
        let attributes = &self.attributes;
        let body = self.body.as_mut();
        let in_body = body.map(|body| redaction.body(body, attributes)).unwrap_or_default();
        in_body + redaction.attributes(ItemPart::Attributes, &mut self.attributes)
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

    fn redact(&mut self, redaction: &Redaction) -> Redacted {
        redaction.attributes(ItemPart::Attributes, &mut self.attributes)
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

            fn redact(&mut self, redaction: &Redaction) -> Redacted {
                redaction.attributes(ItemPart::Attributes, &mut self.attributes)
                    + redact_exemplars(&mut self.exemplars, redaction)
            }
        }
    )*};
}

point_with_exemplars!(NumberDataPoint, HistogramDataPoint, ExponentialHistogramDataPoint);

fn redact_exemplars(exemplars: &mut [Exemplar], redaction: &Redaction) -> Redacted {
    let redact = |exemplar: &mut Exemplar| {
        redaction.attributes(ItemPart::Exemplars, &mut exemplar.filtered_attributes)
    };
    exemplars.iter_mut().map(redact).sum()
}
