//! Removes items outside the window from an encoded request, or gives them the present time.

use super::{CONTAINER, ITEM, IngestWindow, LOG_TIME, SCOPE, SPAN_START, fixed64, item_time};
use wire::protobuf::{Reader as Fields, Value, Writer, messages};
use wire::timestamp::rfc3339_nanos;
use wire::{Request, SignalKind};

/// The attribute with the original time of a restamped record.
pub const ORIGINAL_TIME: &str = "lambda_otlp.original_time";

const SPAN_END: u32 = 8;
const SPAN_ATTRIBUTE: u32 = 9;
const SPAN_EVENT: u32 = 11;
const EVENT_TIME: u32 = 1;
const LOG_ATTRIBUTE: u32 = 6;
const KEY: u32 = 1;
const VALUE: u32 = 2;
const STRING: u32 = 1;

/// Items inside and items outside the window, each with their resources and scopes.
pub(super) fn partition(
    request: &Request,
    window: IngestWindow,
    now_unix_nano: u64,
) -> (Option<Request>, Option<Request>) {
    let kind = request.kind();
    let is_outside = |item: &[u8]| window.misses(item_time(kind, item), now_unix_nano);
    let part = |outside: bool| {
        let mut bytes = Vec::new();
        let has_items = copy(
            request.bytes(),
            &[CONTAINER, SCOPE, ITEM],
            &|item| is_outside(item) == outside,
            &mut bytes,
        );
        has_items.then(|| Request::trusted(kind, bytes))
    };
    (part(false), part(true))
}

/// Copies wanted items and the fields around them. Returns `true` if there is a wanted item.
fn copy(message: &[u8], path: &[u32], wanted: &dyn Fn(&[u8]) -> bool, out: &mut Vec<u8>) -> bool {
    let Some((number, deeper)) = path.split_first() else { return wanted(message) };
    let mut has_items = false;
    for field in Fields::new(message).map_while(Result::ok) {
        match field.as_len().filter(|_| field.number == *number) {
            None => out.extend_from_slice(field.raw),
            Some(inner) if deeper.is_empty() => {
                if wanted(inner) {
                    has_items = true;
                    out.extend_from_slice(field.raw);
                }
            }
            Some(inner) => {
                let mut part = Vec::new();
                if copy(inner, deeper, wanted, &mut part) {
                    has_items = true;
                    Writer::new(out).always_bytes(field.number, &part);
                }
            }
        }
    }
    has_items
}

/// Gives items outside the window the present time, and returns their number.
pub(super) fn restamp(
    request: &Request,
    window: IngestWindow,
    now_unix_nano: u64,
) -> (Request, usize) {
    let kind = request.kind();
    let mut restamped = 0;
    let mut bytes = Vec::with_capacity(request.bytes().len() + request.bytes().len() / 4);
    rewrite(request.bytes(), &[CONTAINER, SCOPE, ITEM], &mut bytes, &mut |item, out| {
        let time = item_time(kind, item);
        if !window.misses(time, now_unix_nano) {
            out.extend_from_slice(item);
            return;
        }
        restamped += 1;
        if kind == SignalKind::Traces {
            move_span(item, now_unix_nano, out);
        } else {
            move_log_record(item, time, now_unix_nano, out);
        }
    });
    (Request::trusted(kind, bytes), restamped)
}

fn rewrite(
    message: &[u8],
    path: &[u32],
    out: &mut Vec<u8>,
    item: &mut dyn FnMut(&[u8], &mut Vec<u8>),
) {
    let Some((number, deeper)) = path.split_first() else { return item(message, out) };
    for field in Fields::new(message).map_while(Result::ok) {
        match field.as_len().filter(|_| field.number == *number) {
            None => out.extend_from_slice(field.raw),
            Some(inner) => {
                let mut part = Vec::with_capacity(inner.len());
                rewrite(inner, deeper, &mut part, item);
                Writer::new(out).always_bytes(field.number, &part);
            }
        }
    }
}

fn move_log_record(record: &[u8], time: u64, now_unix_nano: u64, out: &mut Vec<u8>) {
    Writer::new(out).fixed64(LOG_TIME, now_unix_nano);
    for field in Fields::new(record).map_while(Result::ok) {
        if field.number != LOG_TIME {
            out.extend_from_slice(field.raw);
        }
    }
    keep_time(record, LOG_ATTRIBUTE, time, out);
}

/// Moves a span to the present. Duration and relative times of its events stay.
fn move_span(span: &[u8], now_unix_nano: u64, out: &mut Vec<u8>) {
    let start = fixed64(span, SPAN_START);
    let end = fixed64(span, SPAN_END);
    let moved = |time: u64| {
        let since_start = i128::from(time) - i128::from(start);
        let moved = (i128::from(now_unix_nano) + since_start).clamp(0, i128::from(u64::MAX));
        u64::try_from(moved).unwrap_or(u64::MAX)
    };
    Writer::new(out).fixed64(SPAN_START, now_unix_nano);
    Writer::new(out).fixed64(SPAN_END, moved(end.max(start)));
    for field in Fields::new(span).map_while(Result::ok) {
        match (field.number, field.value) {
            (SPAN_START | SPAN_END, _) => {}
            (SPAN_EVENT, Value::Len(event)) if fixed64(event, EVENT_TIME) > 0 => {
                Writer::new(out).message(SPAN_EVENT, |out| {
                    out.fixed64(EVENT_TIME, moved(fixed64(event, EVENT_TIME)));
                    for field in Fields::new(event).map_while(Result::ok) {
                        if field.number != EVENT_TIME {
                            out.raw(field.raw);
                        }
                    }
                });
            }
            _ => out.extend_from_slice(field.raw),
        }
    }
    keep_time(span, SPAN_ATTRIBUTE, start, out);
}

/// Adds the original time, unless an earlier restamp added it.
fn keep_time(item: &[u8], attribute: u32, time: u64, out: &mut Vec<u8>) {
    let has_it = messages(item, attribute)
        .any(|attribute| messages(attribute, KEY).last() == Some(ORIGINAL_TIME.as_bytes()));
    if !has_it {
        Writer::new(out).message(attribute, |out| {
            out.string(KEY, ORIGINAL_TIME);
            out.message(VALUE, |out| out.always_string(STRING, &rfc3339_nanos(time)));
        });
    }
}
