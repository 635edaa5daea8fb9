//! Checks without decoding whether a rule would change a request of traces or logs. Most requests need no change.

use super::fields::{CONTAINER, ITEM, SCOPE, STRING, fields, holds_map, key_and_value};
use super::names::{self, Reserved};
use super::survey::Survey;
use super::taken::{self, Taken};
use super::traces::{has_valid_ids, is_valid_parent};
use wire::protobuf::{Value, messages};
use wire::resource::SERVICE_NAME;

/// Returns `None` if a rule would change the request, or else the facts about its spans.
pub(super) fn traces_need_nothing(request: &[u8]) -> Option<Survey> {
    every_item(request, &names::SPAN_RESOURCE, &taken::SPANS, span_needs_nothing)
}

/// Returns `None` if a rule would change the request, or else the facts about its log records.
pub(super) fn logs_need_nothing(request: &[u8]) -> Option<Survey> {
    every_item(request, &names::LOG_RESOURCE, &taken::LOG_RECORDS, log_record_needs_nothing)
}

/// Returns `None` unless every resource has a service name and no reserved key, and every item passes.
fn every_item(
    request: &[u8],
    reserved: &Reserved,
    signal: &'static taken::Signal,
    passes: fn(&[u8], &Taken<'_>, &mut Survey) -> bool,
) -> Option<Survey> {
    let mut survey = Survey::NOTHING;
    for container in messages(request, CONTAINER) {
        let taken = Taken::in_container(signal, container);
        if !resource_needs_nothing(&taken, reserved, &mut survey) {
            return None;
        }
        for scope in messages(container, SCOPE) {
            if !messages(scope, ITEM).all(|item| passes(item, &taken, &mut survey)) {
                return None;
            }
        }
    }
    Some(survey)
}

fn resource_needs_nothing(taken: &Taken<'_>, reserved: &Reserved, survey: &mut Survey) -> bool {
    let mut has_service_name = false;
    for (key, value) in taken.of_resource() {
        if names::is_reserved(key, reserved) {
            return false;
        }
        survey.add_resource_key(key);
        if holds_map(value) {
            survey.add_map();
        }
        // Only the first of several counts, as in `sanitize`.
        if !has_service_name && *key == SERVICE_NAME.as_bytes() {
            has_service_name = true;
            if messages(value, STRING).next().is_none_or(<[u8]>::is_empty) {
                return false;
            }
        }
    }
    has_service_name
}

fn span_needs_nothing(span: &[u8], taken: &Taken<'_>, survey: &mut Survey) -> bool {
    let (mut trace_id, mut span_id, mut parent): (&[u8], &[u8], &[u8]) = (&[], &[], &[]);
    let (mut start, mut end) = (0, 0);
    for field in fields(span) {
        match (field.number, field.value) {
            (1, Value::Len(id)) => trace_id = id,
            (2, Value::Len(id)) => span_id = id,
            (4, Value::Len(id)) => parent = id,
            (7, Value::Fixed64(time)) => start = time,
            (8, Value::Fixed64(time)) => end = time,
            (9, Value::Len(attribute)) => {
                let (key, value) = key_and_value(attribute);
                if taken.has(key, value) {
                    return false;
                }
                survey.add_key(key);
            }
            _ => {}
        }
    }
    survey.times.add(start);
    has_valid_ids(trace_id, span_id) && is_valid_parent(parent) && end >= start
}

fn log_record_needs_nothing(log_record: &[u8], taken: &Taken<'_>, survey: &mut Survey) -> bool {
    let mut has_severity_text = false;
    let (mut time, mut observed) = (0, 0);
    for field in fields(log_record) {
        match (field.number, field.value) {
            (1, Value::Fixed64(value)) => time = value,
            (11, Value::Fixed64(value)) => observed = value,
            (3, Value::Len(text)) => has_severity_text = !text.is_empty(),
            (5, Value::Len(body)) if holds_map(body) => survey.add_map(),
            (6, Value::Len(attribute)) => {
                let (key, value) = key_and_value(attribute);
                if taken.has(key, value) {
                    return false;
                }
                survey.add_key(key);
                if holds_map(value) {
                    if taken.has_within(key, value) {
                        return false;
                    }
                    survey.add_map();
                }
            }
            _ => {}
        }
    }
    survey.times.add(if time == 0 { observed } else { time });
    has_severity_text
}
