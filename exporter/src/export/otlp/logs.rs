//! Log records to `ExportLogsServiceRequest`.

use super::{EncodedResource, any_value, request};
use crate::config::RecordLimits;
use crate::export::unix_nanos;
use opentelemetry::InstrumentationScope;
use opentelemetry::logs::AnyValue;
use opentelemetry_sdk::logs::SdkLogRecord;
use wire::field::{key_value, log_record};
use wire::protobuf::Writer;

/// The request with these records; empty without any.
///
/// The target of a record, from `tracing` or the `log` crate, becomes the name of its scope.
pub(crate) fn logs<'a>(
    resource: &EncodedResource,
    records: impl Iterator<Item = (&'a SdkLogRecord, &'a InstrumentationScope)>,
    limits: RecordLimits,
) -> Vec<u8> {
    let records: Vec<_> = records.collect();
    let scope_of = |(record, scope): &(&'a SdkLogRecord, &'a InstrumentationScope)| {
        (*scope, scope_name(record, scope))
    };
    request(resource, &records, 256, scope_of, |writer, (record, _)| {
        log_record(writer, record, limits);
    })
}

fn scope_name<'a>(record: &'a SdkLogRecord, scope: &'a InstrumentationScope) -> &'a str {
    let target = target_of_log_crate(record).or_else(|| record.target().map(AsRef::as_ref));
    target.unwrap_or_else(|| scope.name())
}

/// The target of a record of the `log` crate. Its `tracing` event has the target `log`, and the original target and source
/// location in fields `log.…`.
fn target_of_log_crate(record: &SdkLogRecord) -> Option<&str> {
    record.target().filter(|target| *target == "log")?;
    record.attributes_iter().find_map(|(key, value)| match value {
        AnyValue::String(target) if key.as_str() == "log.target" => Some(target.as_str()),
        _ => None,
    })
}

fn log_record(writer: &mut Writer<'_>, record: &SdkLogRecord, limits: RecordLimits) {
    writer.fixed64(log_record::TIME, record.timestamp().map_or(0, unix_nanos));
    // The SDK numbers severities as OTLP does: TRACE is 1, FATAL4 is 24.
    writer.varint(
        log_record::SEVERITY_NUMBER,
        record.severity_number().map_or(0, |severity| severity as u64),
    );
    writer.string(log_record::SEVERITY_TEXT, record.severity_text().unwrap_or_default());
    if let Some(body) = record.body() {
        writer.message(log_record::BODY, |writer| any_value(writer, body, usize::MAX));
    }
    let is_of_log_crate = target_of_log_crate(record).is_some();
    let mut attributes = record
        .attributes_iter()
        .filter(|(key, _)| !(is_of_log_crate && key.as_str().starts_with("log.")));
    for (key, value) in attributes.by_ref().take(limits.attributes) {
        writer.message(log_record::ATTRIBUTES, |writer| {
            writer.string(key_value::KEY, key.as_str());
            writer
                .message(key_value::VALUE, |writer| any_value(writer, value, limits.value_length));
        });
    }
    writer.varint(log_record::DROPPED_ATTRIBUTES_COUNT, attributes.count() as u64);
    if let Some(context) = record.trace_context() {
        writer.fixed32(
            log_record::FLAGS,
            context.trace_flags.map_or(0, |flags| u32::from(flags.to_u8())),
        );
        writer.bytes(log_record::TRACE_ID, &context.trace_id.to_bytes());
        writer.bytes(log_record::SPAN_ID, &context.span_id.to_bytes());
    }
    writer.fixed64(log_record::OBSERVED_TIME, record.observed_timestamp().map_or(0, unix_nanos));
    writer.string(log_record::EVENT_NAME, record.event_name().unwrap_or_default());
}
