//! Writes log records as protobuf directly into the request's buffer.
//!
//! A delivery has thousands of records. With structs of `opentelemetry-proto`, allocating the attributes' strings and encoding
//! them in two passes cost more than the rest of the work on a log line.

use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope};
use wire::field::{any_value, container, key_value, log_record, request, scope, scope_container};
use wire::protobuf::{Writer, fields};
use wire::{Request, SignalKind};

use crate::attributes::PlainValue;
use crate::logs::seen_spans::{SeenIds, SeenSpans, TraceId};
use crate::names;
use crate::read::severity::Severity;

#[derive(Debug, Default)]
pub(crate) struct Records {
    /// The `log_records` fields of a `ScopeLogs`.
    fields: Vec<u8>,
    count: usize,
    /// Records with an X-Ray root and no trace id: their positions, and the trace ids of the roots.
    rooted: Vec<(usize, TraceId)>,
    /// Records with an invocation and no trace id: the first position of each run of records with the same invocation, or with
    /// none.
    invocations: Vec<(usize, Option<String>)>,
    /// Number of bytes repeated from other lines.
    repeated_bytes: usize,
}

/// Maximum number of bytes that records of a scope may repeat from other lines: without a limit the records of short lines could
/// become many times as long.
const MOST_REPEATED_BYTES: usize = 8 * 1024 * 1024;

impl Records {
    pub(crate) fn bytes(&self) -> usize {
        self.fields.len()
    }

    /// Returns `true` if a record has an X-Ray root and no trace id, so that a trace may still provide it.
    pub(crate) fn awaits_traces(&self) -> bool {
        !self.rooted.is_empty()
    }

    /// Returns `true` if a record has an invocation and no trace id, so that a span may still provide it.
    pub(crate) fn awaits_spans(&self) -> bool {
        !self.invocations.is_empty()
    }

    /// Appends the record written by `write`.
    pub(crate) fn push(&mut self, write: impl FnOnce(&mut RecordWriter<'_, '_>)) {
        let mut root = None;
        let mut invocation = InvocationOf::None;
        let before = self.invocations.last().and_then(|(_, id)| id.as_deref());
        Writer::new(&mut self.fields).message(scope_container::ITEMS, |out| {
            let mut record = RecordWriter {
                out,
                root: None,
                has_trace_id: false,
                before,
                invocation: InvocationOf::None,
                repeated_bytes: &mut self.repeated_bytes,
            };
            write(&mut record);
            root = record.root.filter(|_| !record.has_trace_id);
            if !record.has_trace_id {
                invocation = record.invocation;
            }
        });
        self.rooted.extend(root.map(|root| (self.count, root)));
        match invocation {
            InvocationOf::Another(id) => self.invocations.push((self.count, Some(id))),
            InvocationOf::None if before.is_some() => self.invocations.push((self.count, None)),
            InvocationOf::Before | InvocationOf::None => {}
        }
        self.count += 1;
    }

    /// Appends fields of `LogRecord` to each record: those that `more` writes for it.
    pub(crate) fn add_fields(&mut self, more: impl Fn(&[u8]) -> Vec<u8>) {
        let mut all = Vec::with_capacity(self.fields.len());
        for field in fields(&self.fields) {
            match field.as_len().map(|record| (record, more(record))) {
                Some((record, more))
                    if !more.is_empty() && takes_room(&mut self.repeated_bytes, more.len()) =>
                {
                    Writer::new(&mut all).concatenated(scope_container::ITEMS, record, &more);
                }
                _ => all.extend_from_slice(field.raw),
            }
        }
        self.fields = all;
    }

    /// Gives a record with an X-Ray root the root's trace id if a span has it, and a record with an invocation the ids of the
    /// invocation's root span.
    fn set_ids(&mut self, seen: &SeenSpans) {
        self.rooted.retain(|(_, root)| seen.has_trace(root));
        let runs = std::mem::take(&mut self.invocations);
        let runs: Vec<_> = runs
            .into_iter()
            .map(|(first, id)| (first, id.and_then(|id| seen.of_invocation(&id))))
            .collect();
        if self.rooted.is_empty() && runs.iter().all(|(_, ids)| ids.is_none()) {
            return;
        }
        let mut all = Vec::with_capacity(self.fields.len() + self.count * BYTES_OF_IDS);
        let mut rooted = std::mem::take(&mut self.rooted).into_iter().peekable();
        let mut runs = runs.into_iter().peekable();
        // The ids of a run are encoded once, because nearly always all of its records share them.
        let (mut of_run, mut written) = (None, Vec::new());
        for (at, field) in fields(&self.fields).enumerate() {
            if let Some((_, ids)) = runs.next_if(|(first, _)| *first == at) {
                of_run = ids;
                write_ids(&mut written, ids);
            }
            let root = rooted.next_if(|(rooted, _)| *rooted == at).map(|(_, root)| root);
            let of_root = root.map(|root| {
                let mut of_root = Vec::new();
                write_ids(&mut of_root, ids_of(root, of_run));
                of_root
            });
            let ids = of_root.as_ref().unwrap_or(&written);
            match field.as_len() {
                Some(record) if !ids.is_empty() => {
                    Writer::new(&mut all).concatenated(scope_container::ITEMS, record, ids);
                }
                _ => all.extend_from_slice(field.raw),
            }
        }
        self.fields = all;
    }
}

fn write_ids(out: &mut Vec<u8>, ids: Option<SeenIds>) {
    out.clear();
    if let Some((trace_id, span_id)) = ids {
        let mut out = Writer::new(out);
        out.bytes(log_record::TRACE_ID, &trace_id);
        out.bytes(log_record::SPAN_ID, span_id.as_ref().map_or(&[], |id| id));
    }
}

/// Size of a record's ids: two tags and lengths, the ids, and a longer length of the record.
const BYTES_OF_IDS: usize = 29;

/// The ids of a record whose X-Ray root is the trace of a span. The root itself contains the trace id.
fn ids_of(root: TraceId, invocation: Option<SeenIds>) -> Option<SeenIds> {
    invocation.filter(|(trace_id, _)| *trace_id == root).or(Some((root, None)))
}

/// One request with the records of these scopes under one resource; `None` without records. Records without a trace id get it
/// from the `seen` spans of their invocation.
pub(crate) fn request<'r>(
    resource: impl FnOnce() -> &'r [u8],
    scopes: [(InstrumentationScope, Records); 2],
    seen: &SeenSpans,
) -> Option<Request> {
    let (mut scope_logs, mut count) = (Vec::new(), 0);
    for (of_scope, mut records) in scopes {
        if records.count == 0 {
            continue;
        }
        records.set_ids(seen);
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
    let (mut head, mut bytes) = (Vec::new(), Vec::new());
    Writer::new(&mut head).always_bytes(container::RESOURCE, resource());
    bytes.reserve_exact(scope_logs.len() + head.len() + 16);
    Writer::new(&mut bytes).concatenated(request::CONTAINERS, &head, &scope_logs);
    Some(Request::counted(SignalKind::Logs, bytes, count))
}

pub(crate) struct RecordWriter<'w, 'o> {
    out: &'w mut Writer<'o>,
    root: Option<TraceId>,
    has_trace_id: bool,
    before: Option<&'w str>,
    invocation: InvocationOf,
    repeated_bytes: &'w mut usize,
}

enum InvocationOf {
    None,
    /// Usually the previous record's.
    Before,
    Another(String),
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

    /// Returns `true` if this many more bytes may be repeated from another line.
    pub(crate) fn takes_room(&mut self, bytes: usize) -> bool {
        takes_room(self.repeated_bytes, bytes)
    }

    pub(crate) fn invocation(&mut self, request_id: &str) {
        self.invocation = if self.before == Some(request_id) {
            InvocationOf::Before
        } else {
            InvocationOf::Another(request_id.to_owned())
        };
        self.attribute(names::FAAS_INVOCATION_ID, PlainValue::Text(request_id));
    }

    pub(crate) fn attribute(&mut self, key: &str, value: PlainValue<'_>) {
        if let PlainValue::Text(root) = value
            && key == names::AWS_XRAY_TRACE_ID
            && self.root.is_none()
        {
            self.root = wire::ids::xray_trace_id(root);
        }
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

fn takes_room(taken: &mut usize, bytes: usize) -> bool {
    let fits = *taken + bytes <= MOST_REPEATED_BYTES;
    if fits {
        *taken += bytes;
    }
    fits
}
