//! Selects the telemetry to show.

use super::{Held, HeldSpan, Trace};
use console::waterfall::{has_failed, millis, text_of};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use std::collections::BTreeSet;

/// Selection of telemetry. A selected trace is shown with all of its spans and log records.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Choice {
    /// Only traces, log records and metrics of this service.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only traces with a failed span.
    #[arg(long)]
    failed: bool,
    /// Only traces of at least this many milliseconds.
    #[arg(long, value_name = "MS")]
    slower_than: Option<u64>,
    /// Only traces with this attribute on a span or log record, and log records with it; may be repeated.
    #[arg(long = "attribute", value_name = "K=V", value_parser = Attribute::parse)]
    attributes: Vec<Attribute>,
    /// Only the trace whose id has this prefix.
    #[arg(long, value_name = "HEX", value_parser = parse_trace_id)]
    trace_id: Option<String>,
}

/// A key and a value; without a value, any value matches.
#[derive(Clone, Debug)]
pub(crate) struct Attribute {
    key: String,
    value: Option<String>,
}

impl Attribute {
    fn parse(text: &str) -> Result<Self, String> {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (text, None),
        };
        if key.is_empty() {
            return Err("expected K=V, for example http.route=/orders, or K".to_owned());
        }
        Ok(Self { key: key.to_owned(), value })
    }

    fn is_among(&self, attributes: &[KeyValue]) -> bool {
        let found = text_of(attributes, &self.key);
        found.is_some_and(|found| self.value.as_ref().is_none_or(|value| *value == found))
    }
}

fn parse_trace_id(text: &str) -> Result<String, String> {
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if text.is_empty() || text.len() > 32 || !is_hex {
        return Err("expected up to 32 hexadecimal digits".to_owned());
    }
    Ok(text.to_ascii_lowercase())
}

impl Choice {
    pub(crate) fn of(&self, mut held: Held) -> Held {
        let wanted: BTreeSet<Vec<u8>> = held
            .traces()
            .into_iter()
            .filter(|(trace_id, trace)| self.takes_trace(trace_id, trace))
            .map(|(trace_id, _)| trace_id.to_vec())
            .collect();
        held.spans.retain(|span| wanted.contains(&span.span.trace_id));
        held.records.retain(|(service, record)| {
            if record.trace_id.is_empty() {
                self.takes_record(service, record)
            } else {
                wanted.contains(&record.trace_id)
            }
        });
        held.metrics.retain(|(service, _)| self.takes_metric(service));
        held
    }

    fn takes_trace(&self, trace_id: &[u8], trace: &Trace<'_>) -> bool {
        let Self { service, failed, slower_than, attributes, trace_id: wanted } = self;
        let Trace { spans, records } = trace;
        let is_of = |name: &str| {
            spans.iter().any(|span| span.service == name)
                || records.iter().any(|(service, _)| service == name)
        };
        let has = |wanted: &Attribute| {
            spans.iter().any(|span| wanted.is_among(&span.span.attributes))
                || records.iter().any(|(_, record)| wanted.is_among(&record.attributes))
        };
        let longest = spans.iter().map(|HeldSpan { span, .. }| millis(span)).fold(0.0, f64::max);
        #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
        let is_slow = |least: u64| longest >= least as f64;
        service.as_deref().is_none_or(is_of)
            && (!failed || spans.iter().any(|span| has_failed(&span.span)))
            && slower_than.is_none_or(is_slow)
            && attributes.iter().all(has)
            && wanted.as_ref().is_none_or(|id| wire::ids::to_hex(trace_id).starts_with(id))
    }

    /// Returns `true` for a selected log record without a trace.
    fn takes_record(&self, service: &str, record: &LogRecord) -> bool {
        !self.asks_for_traces()
            && self.service.as_deref().is_none_or(|wanted| wanted == service)
            && self.attributes.iter().all(|wanted| wanted.is_among(&record.attributes))
    }

    fn takes_metric(&self, service: &str) -> bool {
        !self.asks_for_traces()
            && self.attributes.is_empty()
            && self.service.as_deref().is_none_or(|wanted| wanted == service)
    }

    /// Returns `true` if the selection applies to traces only.
    fn asks_for_traces(&self) -> bool {
        self.failed || self.slower_than.is_some() || self.trace_id.is_some()
    }
}
