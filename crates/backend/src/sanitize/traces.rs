//! Spans: ids, times, and what OpenObserve has no column for.

use super::adapter::{Adapter, ItemContext};
use super::plan::NewItem;
use super::planned::{Planned, ReadAttribute};
use super::same_column::ColumnClaims;
use super::text_values::{has_text_values, plan_texts};
use super::write::write_attributes;
use wire::edit::{Edit, Editor, Rewrite, replace_fields};
use wire::field::{any_value, event, link, span};
use wire::protobuf::{Value, Writer, fields, messages};
use wire::view::{Item, key_and_value, message};

const TRACE_ID_BYTES: usize = 16;
const SPAN_ID_BYTES: usize = 8;

/// The counts of what an SDK dropped, which OpenObserve does not store, and the names that OpenTelemetry has for them in other formats.
const DROPPED_COUNTS: [(u32, &str); 3] = [
    (span::DROPPED_ATTRIBUTES_COUNT, "otel.dropped_attributes_count"),
    (span::DROPPED_EVENTS_COUNT, "otel.dropped_events_count"),
    (span::DROPPED_LINKS_COUNT, "otel.dropped_links_count"),
];

/// Messages in a span with attributes, which OpenObserve stores as JSON in a column.
struct Part {
    /// The number of their attributes' field.
    attributes: u32,
    /// Names other than those of attributes in this JSON.
    fields: &'static [&'static [u8]],
}

const EVENTS: Part = Part { attributes: event::ATTRIBUTES, fields: &[b"_timestamp", b"name"] };

const LINKS: Part = Part {
    attributes: link::ATTRIBUTES,
    fields: &[b"context", b"droppedAttributesCount", b"dropped_attributes_count"],
};

/// What is wrong with a span, apart from its attributes.
#[derive(Default)]
struct SpanFaults {
    /// An all-zero parent, with which a root span would be shown as one whose parent is missing.
    has_invalid_parent: bool,
    has_dropped_counts: bool,
    has_changing_parts: bool,
}

/// The columns of a span apart from its attributes', which only some spans have.
#[derive(Default)]
struct SpanColumns {
    has_parent: bool,
    /// OpenObserve infers the called service from attributes of client and producer spans, in columns of its own.
    calls_service: bool,
    has_status: bool,
}

impl SpanColumns {
    fn as_facts(&self) -> u64 {
        let Self { has_parent, calls_service, has_status } = *self;
        u64::from(has_parent) | u64::from(calls_service) << 1 | u64::from(has_status) << 2
    }
}

impl SpanFaults {
    fn are_none(&self) -> bool {
        let Self { has_invalid_parent, has_dropped_counts, has_changing_parts } = self;
        !(*has_invalid_parent || *has_dropped_counts || *has_changing_parts)
    }
}

impl Adapter<'_> {
    pub(super) fn adapt_span(&mut self, span: &[u8], context: &ItemContext<'_, '_>) -> Edit {
        let mut faults = SpanFaults::default();
        let mut columns = SpanColumns::default();
        let mut shape = context.begin_shape();
        let mut trace_id: &[u8] = &[];
        let mut span_id: &[u8] = &[];
        let mut start = 0;
        let mut end = 0;
        for field in fields(span) {
            match (field.number, field.value) {
                (span::TRACE_ID, Value::Len(id)) => trace_id = id,
                (span::SPAN_ID, Value::Len(id)) => span_id = id,
                (span::PARENT_SPAN_ID, Value::Len(id)) => {
                    faults.has_invalid_parent = !is_valid_parent(id);
                    columns.has_parent = !faults.has_invalid_parent && !id.is_empty();
                }
                (span::KIND, Value::Varint(3 | 4)) => columns.calls_service = true,
                (span::STATUS, Value::Len(_)) => columns.has_status = true,
                (span::START_TIME, Value::Fixed64(time)) => start = time,
                (span::END_TIME, Value::Fixed64(time)) => end = time,
                (span::ATTRIBUTES, Value::Len(attribute)) => {
                    let (key, value) = key_and_value(attribute);
                    shape.add(key, value, context.taken);
                }
                (
                    span::DROPPED_ATTRIBUTES_COUNT
                    | span::DROPPED_EVENTS_COUNT
                    | span::DROPPED_LINKS_COUNT,
                    Value::Varint(1..),
                ) => faults.has_dropped_counts = true,
                (span::EVENTS, Value::Len(event)) => {
                    faults.has_changing_parts |= EVENTS.changes(event);
                }
                (span::LINKS, Value::Len(link)) => faults.has_changing_parts |= LINKS.changes(link),
                _ => {}
            }
        }
        if !has_valid_ids(trace_id, span_id) {
            self.invalid += 1;
            return Edit::Drop;
        }
        // OpenObserve would compute a duration of nearly 2^64 µs for a span that ends before it starts, and distort every percentile of
        // durations.
        let new_end = (end < start).then_some(start);
        self.facts.times.add(start);
        let counts = if faults.has_dropped_counts { read_dropped_counts(span) } else { Vec::new() };
        for count in &counts {
            shape.add(count.key.as_bytes(), &count.value, context.taken);
        }
        let gen_ai = context.gen_ai(span, &mut shape);
        let read = || {
            let own = messages(span, span::ATTRIBUTES).map(ReadAttribute::read);
            let counts = counts.iter().map(|it| ReadAttribute::added(it.key, &it.value));
            own.chain(counts).collect::<Vec<_>>()
        };
        let new_item = || NewItem { attributes: read(), body: None, gen_ai };
        let plan = self.find_plan(&shape, Some(columns.as_facts()), context, new_item);
        if plan.is_as_read() && faults.are_none() && new_end.is_none() {
            return Edit::Keep;
        }
        let mended = self.mend(span, &faults, new_end);
        if plan.is_as_read() && counts.is_empty() {
            return Edit::Replace(mended);
        }
        Edit::Replace(replace_fields(&mended, span::ATTRIBUTES, |out| {
            plan.write(out, span::ATTRIBUTES, &read());
        }))
    }

    /// Mends the fields of a span other than its attributes.
    fn mend(&mut self, span: &[u8], faults: &SpanFaults, new_end: Option<u64>) -> Vec<u8> {
        let mut rewrite = Rewrite::new(span);
        for field in fields(span) {
            match (field.number, field.value) {
                (span::PARENT_SPAN_ID, _) if faults.has_invalid_parent => rewrite.leave_out(&field),
                (span::END_TIME, _) if new_end.is_some() => rewrite.leave_out(&field),
                (number, Value::Varint(1..)) if DROPPED_COUNTS.iter().any(|it| it.0 == number) => {
                    rewrite.leave_out(&field);
                }
                (span::EVENTS, Value::Len(event)) if EVENTS.changes(event) => {
                    rewrite.leave_out(&field);
                    rewrite.append().always_bytes(span::EVENTS, &self.adapt_part(&EVENTS, event));
                }
                (span::LINKS, Value::Len(link)) if LINKS.changes(link) => {
                    rewrite.leave_out(&field);
                    rewrite.append().always_bytes(span::LINKS, &self.adapt_part(&LINKS, link));
                }
                _ => rewrite.keep(&field),
            }
        }
        if let Some(end) = new_end {
            rewrite.append().fixed64(span::END_TIME, end);
        }
        rewrite.finish().unwrap_or_else(|| span.to_vec())
    }

    fn adapt_part(&mut self, part: &Part, bytes: &[u8]) -> Vec<u8> {
        let attributes: Vec<ReadAttribute<'_>> =
            messages(bytes, part.attributes).map(ReadAttribute::read).collect();
        let mut planned = Planned::read_all_alone(&attributes);
        plan_texts(&mut planned);
        let is_field = |it: &Planned<'_>| part.is_field(it.key.as_bytes());
        if planned.iter().any(is_field) {
            let mut claims = ColumnClaims::default();
            claims.separate(&mut planned, is_field);
            self.renamed += claims.renamed();
        }
        replace_fields(bytes, part.attributes, |out| {
            write_attributes(out, part.attributes, &planned, &attributes);
        })
    }
}

/// A count as an attribute.
struct DroppedCount {
    key: &'static str,
    value: Vec<u8>,
}

/// The counts that no attribute states.
fn read_dropped_counts(span: &[u8]) -> Vec<DroppedCount> {
    let states = |key: &str| {
        let mut attributes = messages(span, span::ATTRIBUTES).map(key_and_value);
        attributes.any(|(own, _)| own == key.as_bytes())
    };
    let mut counts = Vec::new();
    for (number, key) in DROPPED_COUNTS {
        let field = fields(span).find(|field| field.number == number);
        if let Some(Value::Varint(count @ 1..)) = field.map(|field| field.value)
            && !states(key)
        {
            let mut value = Vec::new();
            Writer::new(&mut value).always_varint(any_value::INT, count);
            counts.push(DroppedCount { key, value });
        }
    }
    counts
}

impl Part {
    fn is_field(&self, key: &[u8]) -> bool {
        self.fields.contains(&key)
    }

    /// Returns `true` if attributes hide a field or have a value that OpenObserve cannot store.
    fn changes(&self, part: &[u8]) -> bool {
        let mut attributes = messages(part, self.attributes).map(key_and_value);
        attributes.any(|(key, value)| self.is_field(key) || has_text_values(value))
    }
}

/// Keeps the spans with invalid ids, unchanged. OpenObserve rejects a wrong length with a text about retention, and joins all spans with
/// an all-zero trace id, invalid in OTLP, to one trace.
pub(super) struct InvalidSpans;

impl Editor for InvalidSpans {
    fn item(&mut self, span: Item<'_>) -> Edit {
        let id = |number| message(span.bytes, number);
        let is_valid = has_valid_ids(id(span::TRACE_ID), id(span::SPAN_ID));
        if is_valid { Edit::Drop } else { Edit::Keep }
    }
}

fn has_valid_ids(trace_id: &[u8], span_id: &[u8]) -> bool {
    is_id(trace_id, TRACE_ID_BYTES) && is_id(span_id, SPAN_ID_BYTES)
}

fn is_valid_parent(parent_span_id: &[u8]) -> bool {
    parent_span_id.is_empty() || is_id(parent_span_id, SPAN_ID_BYTES)
}

fn is_id(id: &[u8], length: usize) -> bool {
    id.len() == length && id.iter().any(|byte| *byte != 0)
}
