//! Writes log records as protobuf directly into the request's buffer.
//!
//! A delivery has thousands of records. With structs of `opentelemetry-proto`, allocating the attributes' strings and encoding
//! them in two passes cost more than the rest of the work on a log line.

use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope};
use std::collections::BTreeSet;
use wire::field::{any_value, container, key_value, log_record, request, scope, scope_container};
use wire::protobuf::{Field, Writer, fields};
use wire::view::{key_and_value, text};
use wire::{MAX_REPEATED_BYTES, Request, SignalKind};

use crate::attributes::PlainValue;
use crate::invocations::{Invocations, SeenIds, TraceId};
use crate::names;
use crate::read::severity::Severity;

#[derive(Debug, Default)]
pub(crate) struct Records {
    /// The `log_records` fields of a `ScopeLogs`.
    fields: Vec<u8>,
    count: usize,
    untraced: Vec<Untraced>,
    /// The positions of the records whose lines name no invocation, and that got the running one.
    assumed: Vec<usize>,
    /// The request ids of the records. Neighbours usually share one.
    invocations: Vec<String>,
    repeated_bytes: usize,
}

/// A record without a trace id that a span may provide.
#[derive(Debug)]
struct Untraced {
    /// The position of the record.
    at: usize,
    xray_trace_id: Option<TraceId>,
    /// The position of its request id in [`Records::invocations`].
    invocation: Option<usize>,
}

impl Untraced {
    /// The ids of the record, from the spans of its X-Ray trace or of its invocation.
    fn ids(
        &self,
        of_invocations: &[Option<SeenIds>],
        invocations: &Invocations,
    ) -> Option<RecordIds> {
        let of_invocation =
            self.invocation.and_then(|at| of_invocations.get(at).copied().flatten());
        let ids = match self.xray_trace_id.filter(|trace_id| invocations.has_trace(trace_id)) {
            Some(trace_id) => of_invocation
                .filter(|ids| ids.trace_id == trace_id)
                .unwrap_or(SeenIds { trace_id, root_span_id: None }),
            None => of_invocation?,
        };
        Some(RecordIds { at: self.at, ids })
    }
}

/// The ids that a record gets.
struct RecordIds {
    /// The position of the record.
    at: usize,
    ids: SeenIds,
}

impl Records {
    /// Size of the records, and of the ids that they may still get.
    pub(crate) fn bytes(&self) -> usize {
        const INVOCATION_BYTES: usize = 64;
        self.fields.len()
            + self.untraced.len() * size_of::<Untraced>()
            + self.invocations.len() * INVOCATION_BYTES
    }

    /// Returns `true` if a record has X-Ray's trace id and no other, so that a trace may still provide it.
    pub(crate) fn awaits_traces(&self) -> bool {
        self.untraced.iter().any(|record| record.xray_trace_id.is_some())
    }

    /// Returns `true` if a record has an invocation and no trace id, so that a span may still provide it.
    pub(crate) fn awaits_spans(&self) -> bool {
        self.untraced.iter().any(|record| record.invocation.is_some())
    }

    pub(crate) fn push(&mut self, write: impl FnOnce(&mut RecordWriter<'_, '_>)) {
        Writer::new(&mut self.fields).message(scope_container::ITEMS, |out| {
            let mut record = RecordWriter {
                out,
                xray_trace_id: None,
                has_trace_id: false,
                invocation: None,
                is_assumed: false,
                invocations: &mut self.invocations,
                repeated_bytes: &mut self.repeated_bytes,
            };
            write(&mut record);
            let RecordWriter { xray_trace_id, has_trace_id, invocation, is_assumed, .. } = record;
            if is_assumed {
                self.assumed.push(self.count);
            }
            if !has_trace_id && (xray_trace_id.is_some() || invocation.is_some()) {
                self.untraced.push(Untraced { at: self.count, xray_trace_id, invocation });
            }
        });
        self.count += 1;
    }

    /// The position of the record that was pushed last.
    pub(crate) fn last_position(&self) -> Option<usize> {
        self.count.checked_sub(1)
    }

    /// Removes the records at these positions.
    pub(crate) fn remove(&mut self, positions: &BTreeSet<usize>) {
        if positions.is_empty() {
            return;
        }
        let is_kept = |at: &usize| !positions.contains(at);
        let moved = |at: usize| at - positions.range(..at).count();
        self.assumed.retain(is_kept);
        self.assumed.iter_mut().for_each(|at| *at = moved(*at));
        self.untraced.retain(|record| is_kept(&record.at));
        self.untraced.iter_mut().for_each(|record| record.at = moved(record.at));
        let kept: Vec<&[u8]> = fields(&self.fields)
            .enumerate()
            .filter(|(at, _)| is_kept(at))
            .map(|(_, field)| field.raw)
            .collect();
        self.count = kept.len();
        self.fields = kept.concat();
    }

    /// Appends the fields of `LogRecord` to each record that `more_of` returns for it, encoded.
    pub(crate) fn add_fields(&mut self, more_of: impl Fn(&[u8]) -> Vec<u8>) {
        let mut all = Vec::with_capacity(self.fields.len());
        for field in fields(&self.fields) {
            let record = field.as_len().unwrap_or_default();
            let more = more_of(record);
            if !more.is_empty() && take_room(&mut self.repeated_bytes, more.len()) {
                Writer::new(&mut all).concatenated(scope_container::ITEMS, record, &more);
            } else {
                all.extend_from_slice(field.raw);
            }
        }
        self.fields = all;
    }

    /// Takes the invocation away from the records that got the running one. `is_of_invocation` returns `true` for the attributes that
    /// came with it, by key and text.
    pub(crate) fn forget_assumed(&mut self, is_of_invocation: impl Fn(&str, &str) -> bool) {
        let assumed = std::mem::take(&mut self.assumed);
        let is_assumed = |at: &usize| assumed.binary_search(at).is_ok();
        if assumed.is_empty() {
            return;
        }
        self.untraced.retain_mut(|record| {
            record.invocation = record.invocation.filter(|_| !is_assumed(&record.at));
            record.invocation.is_some() || record.xray_trace_id.is_some()
        });
        let mut all = Vec::with_capacity(self.fields.len());
        for (at, field) in fields(&self.fields).enumerate() {
            let Some(record) = field.as_len().filter(|_| is_assumed(&at)) else {
                all.extend_from_slice(field.raw);
                continue;
            };
            let is_kept = |field: &Field<'_>| {
                let Some(pair) = field.as_len().filter(|_| field.number == log_record::ATTRIBUTES)
                else {
                    return true;
                };
                let (key, value) = key_and_value(pair);
                match (std::str::from_utf8(key), text(value)) {
                    (Ok(key), Some(text)) => !is_of_invocation(key, text),
                    _ => true,
                }
            };
            let kept: Vec<&[u8]> = fields(record).filter(is_kept).map(|field| field.raw).collect();
            Writer::new(&mut all).bytes(scope_container::ITEMS, &kept.concat());
        }
        self.fields = all;
    }

    /// Gives a record with X-Ray's trace id that id if a span has it, and a record with an invocation the ids of the invocation's
    /// root span.
    fn set_ids(&mut self, invocations: &Invocations) {
        let of_invocations: Vec<Option<SeenIds>> =
            self.invocations.iter().map(|id| invocations.ids_of(id)).collect();
        let ids_of = |record: Untraced| record.ids(&of_invocations, invocations);
        let traced: Vec<RecordIds> = self.untraced.drain(..).filter_map(ids_of).collect();
        if traced.is_empty() {
            return;
        }
        let mut all = Vec::with_capacity(self.fields.len() + traced.len() * BYTES_OF_IDS);
        let mut traced = traced.into_iter().peekable();
        // Nearly always all records share their ids.
        let mut last = None;
        let mut written = Vec::new();
        for (at, field) in fields(&self.fields).enumerate() {
            let found = traced.next_if(|record| record.at == at).map(|record| record.ids);
            let Some((ids, record)) = found.zip(field.as_len()) else {
                all.extend_from_slice(field.raw);
                continue;
            };
            if last != Some(ids) {
                write_ids(&mut written, ids);
                last = Some(ids);
            }
            Writer::new(&mut all).concatenated(scope_container::ITEMS, record, &written);
        }
        self.fields = all;
    }
}

fn write_ids(out: &mut Vec<u8>, ids: SeenIds) {
    out.clear();
    let mut out = Writer::new(out);
    out.bytes(log_record::TRACE_ID, &ids.trace_id);
    out.bytes(log_record::SPAN_ID, ids.root_span_id.as_ref().map_or(&[], |id| id));
}

/// Size of a record's ids: two tags and lengths, the ids, and a longer length of the record.
const BYTES_OF_IDS: usize = 29;

/// One request with the records of these scopes under one resource; `None` without records. Records without a trace id get it
/// from the spans of their invocation.
pub(crate) fn request<'r>(
    resource: impl FnOnce() -> &'r [u8],
    scopes: [(InstrumentationScope, Records); 2],
    invocations: &Invocations,
) -> Option<Request> {
    let mut scope_logs = Vec::new();
    let mut count = 0;
    for (of_scope, mut records) in scopes {
        if records.count == 0 {
            continue;
        }
        records.set_ids(invocations);
        count += records.count;
        let mut head = Vec::new();
        Writer::new(&mut head).message(scope_container::SCOPE, |out| {
            out.string(scope::NAME, &of_scope.name);
            out.string(scope::VERSION, &of_scope.version);
        });
        scope_logs.reserve_exact(records.fields.len() + head.len() + 16);
        Writer::new(&mut scope_logs).concatenated(container::SCOPES, &head, &records.fields);
    }
    if scope_logs.is_empty() {
        return None;
    }
    let mut head = Vec::new();
    let mut bytes = Vec::new();
    Writer::new(&mut head).always_bytes(container::RESOURCE, resource());
    bytes.reserve_exact(scope_logs.len() + head.len() + 16);
    Writer::new(&mut bytes).concatenated(request::CONTAINERS, &head, &scope_logs);
    Some(Request::counted(SignalKind::Logs, bytes, count))
}

pub(crate) struct RecordWriter<'w, 'o> {
    out: &'w mut Writer<'o>,
    xray_trace_id: Option<TraceId>,
    has_trace_id: bool,
    invocation: Option<usize>,
    is_assumed: bool,
    invocations: &'w mut Vec<String>,
    pub(crate) repeated_bytes: &'w mut usize,
}

impl RecordWriter<'_, '_> {
    pub(crate) fn times(&mut self, time_unix_nano: u64, observed_unix_nano: u64) {
        self.out.fixed64(log_record::TIME, time_unix_nano);
        self.out.fixed64(log_record::OBSERVED_TIME, observed_unix_nano);
    }

    pub(crate) fn severity(&mut self, severity: Severity) {
        let number = u64::from((severity.number as i32).cast_unsigned());
        self.out.varint(log_record::SEVERITY_NUMBER, number);
        self.out.string(log_record::SEVERITY_TEXT, severity.text);
    }

    pub(crate) fn body(&mut self, body: &str) {
        self.out.message(log_record::BODY, |value| value.always_string(any_value::STRING, body));
    }

    pub(crate) fn event_name(&mut self, name: &str) {
        self.out.string(log_record::EVENT_NAME, name);
    }

    /// The trace id: 16 bytes, or none.
    pub(crate) fn trace_id(&mut self, trace_id: &[u8]) {
        self.has_trace_id |= !trace_id.is_empty();
        self.out.bytes(log_record::TRACE_ID, trace_id);
    }

    /// The span id: 8 bytes, or none.
    pub(crate) fn span_id(&mut self, span_id: &[u8]) {
        self.out.bytes(log_record::SPAN_ID, span_id);
    }

    pub(crate) fn invocation(&mut self, request_id: &str) {
        if self.invocations.last().is_none_or(|last| last != request_id) {
            self.invocations.push(request_id.to_owned());
        }
        self.invocation = Some(self.invocations.len() - 1);
        self.attribute(names::FAAS_INVOCATION_ID, PlainValue::Text(request_id));
    }

    /// Notes that the line does not name its invocation.
    pub(crate) fn assume_invocation(&mut self) {
        self.is_assumed = true;
    }

    /// Notes X-Ray's trace id: if a span has it, the record gets it.
    pub(crate) fn note_xray_trace(&mut self, text: &str) {
        self.xray_trace_id = wire::ids::xray_trace_id(text);
    }

    pub(crate) fn attribute(&mut self, key: &str, value: PlainValue<'_>) {
        self.out.message(log_record::ATTRIBUTES, |pair| {
            pair.always_string(key_value::KEY, key);
            pair.message(key_value::VALUE, |out| match value {
                PlainValue::Text(text) => out.always_string(any_value::STRING, text),
                PlainValue::Bool(value) => out.always_varint(any_value::BOOL, value.into()),
                PlainValue::Int(value) => out.always_varint(any_value::INT, value.cast_unsigned()),
                PlainValue::Double(value) => out.always_double(any_value::DOUBLE, value),
            });
        });
    }

    /// An attribute with a value that may be an array or a list.
    pub(crate) fn any_attribute(&mut self, key: &str, value: &AnyValue) {
        self.out.message(log_record::ATTRIBUTES, |pair| {
            pair.always_string(key_value::KEY, key);
            pair.encoded(key_value::VALUE, value);
        });
    }
}

/// Takes room for bytes that a record repeats from another line. Returns `false` if there is none.
pub(crate) fn take_room(taken: &mut usize, bytes: usize) -> bool {
    let fits = *taken + bytes <= MAX_REPEATED_BYTES;
    *taken += if fits { bytes } else { 0 };
    fits
}
