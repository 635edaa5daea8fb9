//! Attribute names that would overwrite columns of OpenObserve's own.

use opentelemetry_proto::tonic::common::v1::KeyValue;

/// Columns that an attribute must not have the name of.
pub(super) type Reserved = &'static [&'static str];

/// Columns of a span. A span attribute `service.name` replaced the service, `flags` turned the column into text.
pub(super) const SPAN: Reserved = &[
    "_timestamp",
    "duration",
    "end_time",
    "events",
    "flags",
    "links",
    "operation_name",
    "reference_parent_span_id",
    "reference_parent_trace_id",
    "reference_ref_type",
    "service_name",
    "span_id",
    "span_kind",
    "span_status",
    "start_time",
    "status_code",
    "status_message",
    "trace_id",
];

/// A span's resource attributes get the prefix `service_`; this one would become `service_name`.
pub(super) const SPAN_RESOURCE: Reserved = &["name"];

/// Columns of a log record. An attribute `_timestamp` moved the row to 1970, `body` and `severity` replaced the record's.
pub(super) const LOG_RECORD: Reserved = &[
    "_timestamp",
    "body",
    "dropped_attributes_count",
    "instrumentation_library_name",
    "instrumentation_library_version",
    "service_name",
    "severity",
    "span_id",
    "trace_id",
];

/// The same for resource attributes, which stand beside them without a prefix.
pub(super) const LOG_RESOURCE: Reserved = &[
    "_timestamp",
    "body",
    "dropped_attributes_count",
    "instrumentation_library_name",
    "instrumentation_library_version",
    "severity",
    "span_id",
    "trace_id",
];

/// Columns of a data point.
pub(super) const DATA_POINT: Reserved = &[
    "__hash__",
    "__name__",
    "_timestamp",
    "aggregation_temporality",
    "exemplars",
    "flag",
    "instrumentation_library_name",
    "instrumentation_library_version",
    "is_monotonic",
    "le",
    "quantile",
    "service_name",
    "start_time",
    "value",
];

/// The same for resource attributes.
pub(super) const METRIC_RESOURCE: Reserved = &[
    "__hash__",
    "__name__",
    "_timestamp",
    "aggregation_temporality",
    "exemplars",
    "flag",
    "is_monotonic",
    "le",
    "quantile",
    "start_time",
    "value",
];

/// Whether a key, as OpenObserve normalises it, is one of these columns: lower case, and everything but letters, digits and
/// `_` becomes `_`.
pub(super) fn is_reserved(key: &str, reserved: Reserved) -> bool {
    let normalised = key.chars().map(|c| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9') => c,
        _ => '_',
    });
    reserved.iter().any(|column| column.chars().eq(normalised.clone()))
}

/// `severity` becomes `attr_severity`, as OpenObserve 0.92 renames what collides in spans.
pub(super) fn rename(attributes: &mut [KeyValue], reserved: Reserved) {
    for attribute in attributes {
        if is_reserved(&attribute.key, reserved) {
            attribute.key.insert_str(0, "attr_");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_compared_as_openobserve_stores_them() {
        let check = |key, expected| assert_eq!(is_reserved(key, LOG_RECORD), expected, "{key}");
        check("body", true);
        check("Body", true);
        check("service.name", true);
        check("service-name", true);
        check("serviceéname", true);
        check("service.names", false);
        check("body.text", false);
        check("attr_body", false);
        check("", false);
    }
}
