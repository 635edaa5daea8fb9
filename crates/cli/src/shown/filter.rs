//! Selects the telemetry to show.

use super::ReceivedTelemetry;
use console::waterfall::{Scoped, Trace, attribute_text, has_failed, traces};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use std::collections::BTreeSet;

/// Selection of telemetry. A selected trace is shown with all of its spans and log records.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct TelemetryFilter {
    /// Only traces, log records and metrics of this service.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only traces with a failed span.
    #[arg(long)]
    failed: bool,
    /// Only traces with this attribute on a span or log record, and log records with it; may be repeated.
    #[arg(long = "attribute", value_name = "K=V", value_parser = Attribute::parse)]
    attributes: Vec<Attribute>,
}

/// A key and a value; without a value, any value matches.
#[derive(Clone, Debug)]
pub(crate) struct Attribute {
    key: String,
    value: Option<String>,
}

#[derive(Debug, thiserror::Error)]
#[error("expected K=V, for example http.route=/orders, or K")]
struct InvalidAttribute;

impl Attribute {
    fn parse(text: &str) -> Result<Self, InvalidAttribute> {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (text, None),
        };
        if key.is_empty() {
            return Err(InvalidAttribute);
        }
        Ok(Self { key: key.to_owned(), value })
    }

    fn is_among(&self, attributes: &[KeyValue]) -> bool {
        let found = attribute_text(attributes, &self.key);
        found.is_some_and(|found| self.value.as_ref().is_none_or(|value| *value == found))
    }
}

impl TelemetryFilter {
    pub(crate) fn select(&self, mut telemetry: ReceivedTelemetry) -> ReceivedTelemetry {
        let wanted: BTreeSet<Vec<u8>> = traces(&telemetry.spans, &telemetry.records)
            .into_iter()
            .filter(|(_, trace)| self.selects_trace(trace))
            .map(|(trace_id, _)| trace_id.to_vec())
            .collect();
        telemetry.spans.retain(|span| wanted.contains(&span.item.trace_id));
        telemetry.records.retain(|record| {
            if record.item.trace_id.is_empty() {
                self.selects_record(record)
            } else {
                wanted.contains(&record.item.trace_id)
            }
        });
        telemetry.metrics.retain(|metric| self.selects_metric(&metric.service));
        telemetry
    }

    fn selects_trace(&self, trace: &Trace<'_>) -> bool {
        let Self { service, failed, attributes } = self;
        let Trace { spans, records } = trace;
        let is_of = |name: &str| {
            spans.iter().any(|span| span.service == name)
                || records.iter().any(|record| record.service == name)
        };
        let has = |wanted: &Attribute| {
            spans.iter().any(|span| wanted.is_among(&span.item.attributes))
                || records.iter().any(|record| wanted.is_among(&record.item.attributes))
        };
        service.as_deref().is_none_or(is_of)
            && (!failed || spans.iter().any(|span| has_failed(&span.item)))
            && attributes.iter().all(has)
    }

    /// Returns `true` for a selected log record without a trace.
    fn selects_record(&self, record: &Scoped<LogRecord>) -> bool {
        !self.failed
            && self.service.as_deref().is_none_or(|wanted| wanted == record.service)
            && self.attributes.iter().all(|wanted| wanted.is_among(&record.item.attributes))
    }

    fn selects_metric(&self, service: &str) -> bool {
        !self.failed
            && self.attributes.is_empty()
            && self.service.as_deref().is_none_or(|wanted| wanted == service)
    }
}
