//! Writes log records as protobuf directly into the request's buffer.
//!
//! A delivery has thousands of records. With structs of `opentelemetry-proto`, allocating the attributes' strings and encoding
//! them in two passes cost more than the rest of the work on a log line.
//!
//! Source: opentelemetry-proto 1.x, `logs/v1/logs.proto`, `common/v1/common.proto`.

use opentelemetry_proto::tonic::common::v1::{
    AnyValue, InstrumentationScope, KeyValue, any_value::Value as Any,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use wire::protobuf::{Reader, Writer};
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

// Field numbers of ScopeLogs
const SCOPE: u32 = 1;
const LOG_RECORD: u32 = 2;
// Field numbers of LogRecord
const TRACE_ID: u32 = 9;
const SPAN_ID: u32 = 10;

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
        Writer::new(&mut self.fields).message(LOG_RECORD, |out| {
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
        let mut fields = Vec::with_capacity(self.fields.len());
        for field in Reader::new(&self.fields).map_while(Result::ok) {
            match field.as_len().map(|record| (record, more(record))) {
                Some((record, more))
                    if !more.is_empty() && takes_room(&mut self.repeated_bytes, more.len()) =>
                {
                    Writer::new(&mut fields).concatenated(LOG_RECORD, record, &more);
                }
                _ => fields.extend_from_slice(field.raw),
            }
        }
        self.fields = fields;
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
        let mut fields = Vec::with_capacity(self.fields.len() + self.count * BYTES_OF_IDS);
        let mut rooted = std::mem::take(&mut self.rooted).into_iter().peekable();
        let mut runs = runs.into_iter().peekable();
        // The ids of a run are encoded once, because nearly always all of its records share them.
        let (mut of_run, mut written) = (None, Vec::new());
        for (at, field) in Reader::new(&self.fields).map_while(Result::ok).enumerate() {
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
                    Writer::new(&mut fields).concatenated(LOG_RECORD, record, ids);
                }
                _ => fields.extend_from_slice(field.raw),
            }
        }
        self.fields = fields;
    }
}

fn write_ids(out: &mut Vec<u8>, ids: Option<SeenIds>) {
    out.clear();
    if let Some((trace_id, span_id)) = ids {
        let mut out = Writer::new(out);
        out.bytes(TRACE_ID, &trace_id);
        out.bytes(SPAN_ID, span_id.as_ref().map_or(&[], |id| id));
    }
}

/// Size of a record's ids: two tags and lengths, the ids, and a longer length of the record.
const BYTES_OF_IDS: usize = 29;

/// The ids of a record whose X-Ray root is the trace of a span. The root itself contains the trace id.
fn ids_of(root: TraceId, invocation: Option<SeenIds>) -> Option<SeenIds> {
    invocation.filter(|(trace_id, _)| *trace_id == root).or(Some((root, None)))
}

pub(crate) fn encoded_resource(resource: &Resource) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut out = Writer::new(&mut bytes);
    resource.attributes.iter().for_each(|pair| write_attribute(&mut out, 1, pair));
    bytes
}

/// One request with the records of these scopes under one resource; `None` without records. Records without a trace id get it
/// from the `seen` spans of their invocation.
pub(crate) fn request<'r>(
    resource: impl FnOnce() -> &'r [u8],
    scopes: [(InstrumentationScope, Records); 2],
    seen: &SeenSpans,
) -> Option<Request> {
    // Field numbers of ExportLogsServiceRequest and ResourceLogs
    const RESOURCE_LOGS: u32 = 1;
    const RESOURCE: u32 = 1;
    const SCOPE_LOGS: u32 = 2;
    let (mut scope_logs, mut count) = (Vec::new(), 0);
    for (scope, mut records) in scopes {
        if records.count == 0 {
            continue;
        }
        records.set_ids(seen);
        count += records.count;
        let mut head = Vec::new();
        Writer::new(&mut head).message(SCOPE, |out| {
            out.string(1, &scope.name);
            out.string(2, &scope.version);
        });
        scope_logs.reserve_exact(records.fields.len() + head.len() + 16);
        Writer::new(&mut scope_logs).concatenated(SCOPE_LOGS, &head, &records.fields);
    }
    if scope_logs.is_empty() {
        return None;
    }
    let (mut head, mut bytes) = (Vec::new(), Vec::new());
    Writer::new(&mut head).always_bytes(RESOURCE, resource());
    bytes.reserve_exact(scope_logs.len() + head.len() + 16);
    Writer::new(&mut bytes).concatenated(RESOURCE_LOGS, &head, &scope_logs);
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
        self.out.fixed64(1, time_unix_nano);
        self.out.fixed64(11, observed_unix_nano);
    }

    pub(crate) fn severity(&mut self, severity: Severity) {
        self.out.varint(2, u64::from((severity.number as i32).cast_unsigned()));
        self.out.string(3, severity.text);
    }

    pub(crate) fn body(&mut self, body: &str) {
        self.out.message(5, |value| value.always_string(1, body));
    }

    pub(crate) fn event_name(&mut self, name: &str) {
        self.out.string(12, name);
    }

    /// The trace id: 16 bytes, or none.
    pub(crate) fn trace_id(&mut self, trace_id: &[u8]) {
        self.has_trace_id |= !trace_id.is_empty();
        self.out.bytes(TRACE_ID, trace_id);
    }

    /// The span id: 8 bytes, or none.
    pub(crate) fn span_id(&mut self, span_id: &[u8]) {
        self.out.bytes(SPAN_ID, span_id);
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
        self.out.message(ATTRIBUTE, |pair| {
            pair.always_string(1, key);
            pair.message(2, |out| match value {
                PlainValue::Text(text) => out.always_string(1, text),
                PlainValue::Bool(value) => out.always_varint(2, value.into()),
                PlainValue::Int(value) => out.always_varint(3, value.cast_unsigned()),
                PlainValue::Double(value) => out.always_double(4, value),
            });
        });
    }

    /// An attribute with a value that may be an array or a list.
    pub(crate) fn any_attribute(&mut self, key: &str, value: &Any) {
        self.out.message(ATTRIBUTE, |pair| {
            pair.always_string(1, key);
            pair.message(2, |out| write_any(out, value));
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

pub(crate) const ATTRIBUTE: u32 = 6;

fn write_attribute(out: &mut Writer<'_>, number: u32, attribute: &KeyValue) {
    out.message(number, |pair| {
        pair.always_string(1, &attribute.key);
        if let Some(value) = &attribute.value {
            pair.message(2, |out| write_value(out, value));
        }
    });
}

fn write_value(out: &mut Writer<'_>, value: &AnyValue) {
    if let Some(value) = &value.value {
        write_any(out, value);
    }
}

fn write_any(out: &mut Writer<'_>, value: &Any) {
    match value {
        Any::StringValue(text) => out.always_string(1, text),
        Any::BoolValue(value) => out.always_varint(2, (*value).into()),
        Any::IntValue(value) => out.always_varint(3, value.cast_unsigned()),
        Any::DoubleValue(value) => out.always_double(4, *value),
        Any::ArrayValue(array) => out.message(5, |out| {
            for value in &array.values {
                out.message(1, |out| write_value(out, value));
            }
        }),
        Any::KvlistValue(list) => out.message(6, |out| {
            list.values.iter().for_each(|pair| write_attribute(out, 1, pair));
        }),
        Any::BytesValue(bytes) => out.always_bytes(7, bytes),
        // An index into a dictionary that only profiles have.
        Any::StringValueStrindex(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::{attribute, scope};
    use crate::render;
    use opentelemetry_proto::tonic::common::v1::{ArrayValue, KeyValueList};
    use opentelemetry_proto::tonic::logs::v1::LogRecord;

    fn any(value: Any) -> AnyValue {
        AnyValue { value: Some(value) }
    }

    #[test]
    fn written_log_records_decode_to_the_same_fields() {
        let long = "x".repeat(20_000);
        let nested = Any::KvlistValue(KeyValueList {
            values: vec![
                attribute("", Any::StringValue(String::new())),
                attribute("long", Any::StringValue(long.clone())),
                attribute("none", Any::ArrayValue(ArrayValue::default())),
                KeyValue { key: "unset".to_owned(), ..KeyValue::default() },
            ],
        });
        let values = [
            Any::StringValue("é".to_owned()),
            Any::BoolValue(false),
            Any::IntValue(-3),
            Any::DoubleValue(0.0),
            Any::BytesValue(vec![0, 255]),
            Any::ArrayValue(ArrayValue {
                values: vec![any(Any::IntValue(0)), AnyValue::default(), any(nested.clone())],
            }),
            nested,
        ];
        let plain = [
            PlainValue::Text(""),
            PlainValue::Bool(true),
            PlainValue::Int(-1),
            PlainValue::Double(-0.5),
        ];
        let record = render::written(|record| {
            record.times(1, u64::MAX);
            record.severity(Severity::ERROR);
            record.body(&long);
            record.event_name("name");
            record.trace_id(&[1; 16]);
            record.span_id(&[2; 8]);
            for value in plain {
                record.attribute("plain", value);
            }
            for value in &values {
                record.any_attribute("any", value);
            }
        });
        let plain = plain.map(|value| attribute("plain", value.to_any()));
        let attributes =
            plain.into_iter().chain(values.map(|value| attribute("any", value))).collect();
        let expected = LogRecord {
            time_unix_nano: 1,
            observed_time_unix_nano: u64::MAX,
            severity_number: Severity::ERROR.number as i32,
            severity_text: Severity::ERROR.text.to_owned(),
            body: Some(any(Any::StringValue(long))),
            attributes,
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            event_name: "name".to_owned(),
            ..LogRecord::default()
        };
        assert_eq!(record, expected);
    }

    #[test]
    fn requests_group_records_by_resource_and_scope() {
        let resource = Resource {
            attributes: vec![attribute("service.name", Any::StringValue("s".repeat(200)))],
            ..Resource::default()
        };
        let of = |bodies: &[&str]| {
            let mut records = Records::default();
            for body in bodies {
                records.push(|record| record.body(body));
            }
            records
        };
        let check = |first: &[&str], second: &[&str]| {
            let scopes = [(scope("one"), of(first)), (scope("two"), of(second))];
            let encoded = encoded_resource(&resource);
            let request = request(|| &encoded, scopes, &SeenSpans::default());
            let items = first.len() + second.len();
            let Some(request) = request else { return assert_eq!(items, 0) };
            let limits = wire::Limits::default();
            let checked = Request::check(SignalKind::Logs, request.bytes().to_vec(), &limits);
            assert_eq!((checked.unwrap().items(), request.items()), (items, items));
            let read = request.decode::<wire::Logs>().unwrap().unwrap().resource_logs;
            assert_eq!(read.len(), 1);
            assert_eq!(read[0].resource.as_ref(), Some(&resource));
            let body = |record: &LogRecord| render::value(record.body.as_ref().unwrap());
            let read = read[0].scope_logs.iter().map(|logs| {
                (logs.scope.clone().unwrap(), logs.log_records.iter().map(body).collect())
            });
            let expected = [(scope("one"), first), (scope("two"), second)];
            let expected = expected.into_iter().filter(|(_, bodies)| !bodies.is_empty());
            let expected = expected
                .map(|(scope, bodies)| (scope, bodies.iter().map(ToString::to_string).collect()));
            assert!(read.eq(expected.collect::<Vec<(_, Vec<String>)>>()));
        };
        check(&[], &[]);
        check(&["a"], &[]);
        check(&[], &["b", ""]);
        check(&["a"], &["b", "c"]);
    }
}
