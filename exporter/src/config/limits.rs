//! Limits of attributes (OpenTelemetry specification, "Environment Variable Specification": attribute, span and log record
//! limits).

use opentelemetry_sdk::trace::SpanLimits;
use settings::Reader;

/// Limits of spans. The SDK counts attributes, events and links; the exporter truncates values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SpanLimitsOfEnvironment {
    pub(crate) counts: SpanLimits,
    /// Maximum length of a text attribute of a span, its events and its links, in characters.
    pub(crate) value_length: usize,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordLimits {
    pub(crate) attributes: usize,
    /// Maximum length of a text attribute in characters, and of a byte array in bytes.
    pub(crate) value_length: usize,
}

/// Reads the limits. A limit of spans or log records takes precedence over the general limit.
pub(super) fn limits(reader: &mut Reader<'_>) -> (SpanLimitsOfEnvironment, RecordLimits) {
    let count = reader.count_if_set("OTEL_ATTRIBUTE_COUNT_LIMIT");
    let length = reader.count_if_set("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT");
    let mut limit = |name: &str, general: Option<usize>| reader.count_if_set(name).or(general);
    let value_length = limit("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", length);
    let records = RecordLimits {
        attributes: limit("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", count).unwrap_or(usize::MAX),
        value_length: limit("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", length)
            .unwrap_or(usize::MAX),
    };
    let mut counts = SpanLimits::default();
    for (name, general, own) in [
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", count, &mut counts.max_attributes_per_span),
        ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", count, &mut counts.max_attributes_per_event),
        ("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", count, &mut counts.max_attributes_per_link),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", None, &mut counts.max_events_per_span),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", None, &mut counts.max_links_per_span),
    ] {
        if let Some(limit) = limit(name, general) {
            *own = u32::try_from(limit).unwrap_or(u32::MAX);
        }
    }
    let value_length = value_length.unwrap_or(usize::MAX);
    (SpanLimitsOfEnvironment { counts, value_length }, records)
}
