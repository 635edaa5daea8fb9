//! The OTLP attributes of Lambda's own events.

use super::{EventKind, PlatformEvent};
use crate::attributes::PlainValue;
use crate::names::{self, lambda};

/// Passes each attribute of the event to `take`. Log records write them as protobuf at once, spans as structs.
pub(crate) fn platform_attributes(
    platform: &PlatformEvent,
    take: &mut dyn FnMut(&'static str, PlainValue<'_>),
) {
    take(lambda::EVENT_TYPE, PlainValue::Text(platform.kind.as_str()));
    if platform.kind == EventKind::Report {
        take(names::FAAS_COLDSTART, PlainValue::Bool(platform.is_cold_start()));
    }
    let words = [
        (lambda::STATUS, &platform.status),
        (names::ERROR_TYPE, &platform.error_type),
        (lambda::PHASE, &platform.phase),
        (lambda::INITIALIZATION_TYPE, &platform.initialization_type),
        (names::FAAS_VERSION, &platform.version),
        (lambda::RUNTIME_VERSION, &platform.runtime_version),
        (lambda::RUNTIME_VERSION_ARN, &platform.runtime_version_arn),
        (lambda::EXTENSION_NAME, &platform.name),
        (lambda::EXTENSION_STATE, &platform.state),
        (lambda::INSTANCE_ID, &platform.instance_id),
        (names::AWS_XRAY_TRACE_ID, &platform.tracing.trace_id),
        (lambda::XRAY_SEGMENT_ID, &platform.tracing.segment_id),
        (lambda::XRAY_SEGMENT_ID, &platform.tracing.span_id),
        (lambda::XRAY_PARENT_ID, &platform.tracing.parent_id),
    ];
    for (key, word) in words {
        if let Some(word) = word {
            take(key, PlainValue::Text(word));
        }
    }
    let figures = &platform.figures;
    let numbers = [
        (lambda::DURATION_MS, figures.duration_ms),
        (lambda::BILLED_DURATION_MS, figures.billed_duration_ms),
        (lambda::MEMORY_SIZE_MB, figures.memory_size_mb),
        (lambda::MAX_MEMORY_USED_MB, figures.max_memory_used_mb),
        (lambda::INIT_DURATION_MS, figures.init_duration_ms),
        (lambda::RESTORE_DURATION_MS, figures.restore_duration_ms),
        (lambda::BILLED_RESTORE_DURATION_MS, figures.billed_restore_duration_ms),
        (lambda::PRODUCED_BYTES, figures.produced_bytes),
        (lambda::RESPONSE_LATENCY_MS, platform.span_ms("responseLatency")),
        (lambda::RESPONSE_DURATION_MS, platform.span_ms("responseDuration")),
        (lambda::RUNTIME_OVERHEAD_MS, platform.span_ms("runtimeOverhead")),
        (lambda::EXTENSION_OVERHEAD_MS, platform.span_ms("extensionOverhead")),
        (lambda::DROPPED_RECORDS, figures.dropped_records),
        (lambda::DROPPED_BYTES, figures.dropped_bytes),
        (lambda::INSTANCE_MAX_MEMORY_MB, figures.instance_max_memory_mb),
        (lambda::TIMEOUT_MS, figures.timeout_ms),
    ];
    for (key, number) in numbers {
        if let Some(number) = number {
            take(key, PlainValue::Double(number));
        }
    }
    if let Some(sampled) = platform.tracing.sampled {
        take(lambda::XRAY_SAMPLED, PlainValue::Bool(sampled));
    }
    if !platform.other.is_empty() {
        let other: serde_json::Map<String, serde_json::Value> = platform
            .other
            .iter()
            .map(|(key, value)| (key.clone(), value.as_str().into()))
            .collect();
        take(lambda::OTHER, PlainValue::Text(&serde_json::Value::from(other).to_string()));
    }
}
