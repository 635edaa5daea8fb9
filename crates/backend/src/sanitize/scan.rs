//! Finds out without decoding whether a request of traces or logs needs anything: most do not.

use super::names::{self, Reserved};
use super::traces::{has_valid_ids, is_valid_parent};
use wire::proto::{Field, Reader, Value, plain_attribute};
use wire::resource::SERVICE_NAME;

// Field numbers: opentelemetry-proto 1.x, `trace/v1/trace.proto`, `logs/v1/logs.proto`, `common/v1/common.proto`.
const CONTAINER: u32 = 1;
const RESOURCE: u32 = 1;
const SCOPE: u32 = 2;
const ITEM: u32 = 2;
const RESOURCE_ATTRIBUTE: u32 = 1;
const KEY: u32 = 1;
const VALUE: u32 = 2;
const STRING: u32 = 1;

pub(super) fn traces_need_nothing(request: &[u8]) -> bool {
    every_item(request, &names::SPAN_RESOURCE, span_needs_nothing)
}

pub(super) fn logs_need_nothing(request: &[u8]) -> bool {
    every_item(request, &names::LOG_RESOURCE, log_record_needs_nothing)
}

/// Whether every resource has a service name and no reserved key, and every item passes.
fn every_item(request: &[u8], reserved: &Reserved, item_passes: fn(&[u8]) -> bool) -> bool {
    messages(request, CONTAINER).all(|container| {
        resource_needs_nothing(container, reserved)
            && messages(container, SCOPE).flat_map(|scope| messages(scope, ITEM)).all(item_passes)
    })
}

fn resource_needs_nothing(container: &[u8], reserved: &Reserved) -> bool {
    let mut has_service_name = false;
    for attribute in
        messages(container, RESOURCE).flat_map(|resource| messages(resource, RESOURCE_ATTRIBUTE))
    {
        let key = key(attribute);
        if names::is_reserved(key, reserved) {
            return false;
        }
        // Only the first counts when there are several.
        if key == SERVICE_NAME.as_bytes() && !has_service_name {
            has_service_name = true;
            let mut names = messages(attribute, VALUE).flat_map(|value| messages(value, STRING));
            if names.next().is_none_or(<[u8]>::is_empty) {
                return false;
            }
        }
    }
    has_service_name
}

fn span_needs_nothing(span: &[u8]) -> bool {
    let (mut trace_id, mut span_id, mut parent): (&[u8], &[u8], &[u8]) = (&[], &[], &[]);
    let (mut start, mut end) = (0, 0);
    for field in fields(span) {
        match (field.number, field.value) {
            (1, Value::Len(id)) => trace_id = id,
            (2, Value::Len(id)) => span_id = id,
            (4, Value::Len(id)) => parent = id,
            (7, Value::Fixed64(time)) => start = time,
            (8, Value::Fixed64(time)) => end = time,
            (9, Value::Len(attribute)) if names::is_reserved(key(attribute), &names::SPAN) => {
                return false;
            }
            _ => {}
        }
    }
    has_valid_ids(trace_id, span_id) && is_valid_parent(parent) && end >= start
}

fn log_record_needs_nothing(log_record: &[u8]) -> bool {
    let mut has_severity_text = false;
    for field in fields(log_record) {
        match (field.number, field.value) {
            (3, Value::Len(text)) => has_severity_text = !text.is_empty(),
            (6, Value::Len(attribute))
                if names::is_reserved(key(attribute), &names::LOG_RECORD) =>
            {
                return false;
            }
            _ => {}
        }
    }
    has_severity_text
}

fn key(attribute: &[u8]) -> &[u8] {
    if let Some((key, _)) = plain_attribute(attribute) {
        return key;
    }
    messages(attribute, KEY).last().unwrap_or_default()
}

pub(super) fn fields(message: &[u8]) -> impl Iterator<Item = Field<'_>> {
    Reader::new(message).map_while(Result::ok)
}

pub(super) fn messages(message: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    fields(message).filter(move |field| field.number == number).filter_map(|field| field.as_len())
}
