//! Approximate sizes of finished spans and log records, for limits in bytes.

use opentelemetry::logs::AnyValue;
use opentelemetry::{Array, KeyValue, Value};
use opentelemetry_sdk::logs::SdkLogRecord;
use opentelemetry_sdk::trace::SpanData;

/// Overhead of an attribute, event, link or element beside its text.
const OVERHEAD: usize = 48;

/// Size of a span with its attributes, events and links.
pub(crate) fn of_span(span: &SpanData) -> usize {
    let events = span.events.iter();
    let links = span.links.iter();
    size_of::<SpanData>()
        + span.name.len()
        + attributes(&span.attributes)
        + events.map(|own| OVERHEAD + own.name.len() + attributes(&own.attributes)).sum::<usize>()
        + links.map(|own| OVERHEAD + attributes(&own.attributes)).sum::<usize>()
}

pub(crate) fn of_record(record: &SdkLogRecord) -> usize {
    let attributes = record.attributes_iter();
    size_of::<SdkLogRecord>()
        + record.body().map_or(0, any)
        + attributes.map(|(key, value)| OVERHEAD + key.as_str().len() + any(value)).sum::<usize>()
}

fn attributes(attributes: &[KeyValue]) -> usize {
    attributes.iter().map(|own| OVERHEAD + own.key.as_str().len() + value(&own.value)).sum()
}

fn value(value: &Value) -> usize {
    match value {
        Value::String(text) => text.as_str().len(),
        Value::Array(Array::String(texts)) => {
            texts.iter().map(|text| OVERHEAD + text.as_str().len()).sum()
        }
        Value::Array(Array::I64(numbers)) => size_of_val(numbers.as_slice()),
        Value::Array(Array::F64(numbers)) => size_of_val(numbers.as_slice()),
        Value::Array(Array::Bool(switches)) => switches.len(),
        _ => 0,
    }
}

fn any(value: &AnyValue) -> usize {
    match value {
        AnyValue::String(text) => text.as_str().len(),
        AnyValue::Bytes(bytes) => bytes.len(),
        AnyValue::ListAny(values) => values.iter().map(|value| OVERHEAD + any(value)).sum(),
        AnyValue::Map(map) => {
            map.iter().map(|(key, value)| OVERHEAD + key.as_str().len() + any(value)).sum()
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::Key;
    use opentelemetry::logs::{LogRecord as _, Logger as _, LoggerProvider as _};
    use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
    use opentelemetry_sdk::logs::SdkLoggerProvider;
    use opentelemetry_sdk::trace::SdkTracerProvider;

    #[test]
    fn the_size_includes_the_keys_of_attributes_and_the_names_of_events() {
        let key = "k".repeat(1000);
        let map = AnyValue::Map(Box::new([(Key::new(key.clone()), AnyValue::Int(1))].into()));
        assert!((1000..1200).contains(&any(&map)));
        let span_attributes = [KeyValue::new(key.clone(), true)];
        assert!((1000..1200).contains(&attributes(&span_attributes)));
        let mut span = SdkTracerProvider::default().tracer("").start("");
        let before = of_span(&span.exported_data().unwrap());
        span.add_event(key.clone(), Vec::new());
        assert!((1000..1200).contains(&(of_span(&span.exported_data().unwrap()) - before)));
        let mut record = SdkLoggerProvider::builder().build().logger("").create_log_record();
        let before = of_record(&record);
        record.add_attribute(Key::new(key.clone()), key);
        assert!((2000..2400).contains(&(of_record(&record) - before)));
    }

    #[test]
    fn texts_count_wherever_they_are() {
        let text = "x".repeat(1000);
        let own = || AnyValue::from(text.clone());
        let map = AnyValue::Map(Box::new([(Key::new("key"), own())].into()));
        let values = [
            own(),
            AnyValue::Bytes(Box::new(text.clone().into_bytes())),
            AnyValue::ListAny(Box::new(vec![own()])),
            map.clone(),
            AnyValue::ListAny(Box::new(vec![map])),
        ];
        for value in values {
            assert!((1000..1200).contains(&any(&value)), "{value:?}");
        }
        let arrays = [
            Array::String(vec![text.clone().into()]),
            Array::I64(vec![1; 125]),
            Array::F64(vec![1.0; 125]),
            Array::Bool(vec![true; 1000]),
        ];
        for array in arrays.map(Value::Array).into_iter().chain([text.into()]) {
            let attributes = attributes(&[KeyValue::new("key", array.clone())]);
            assert!((1000..1200).contains(&attributes), "{array:?}");
        }
    }
}
