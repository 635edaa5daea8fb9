//! The structure of the OTLP messages as tables, used to check and rewrite bytes and to read OTLP/JSON without structs.
//!
//! Source: opentelemetry-proto 1.x, `opentelemetry/proto/{common,resource,trace,logs,metrics}/v1`. Unlisted fields are unknown to
//! us and pass unchanged, as proto3 requires.

use crate::field::{
    any_value, container, data_point, event, exponential_histogram_data_point,
    histogram_data_point, key_value, link, log_record, metric, request, resource, scope,
    scope_container, span, status,
};
use crate::protobuf::Value;
use crate::signal::SignalKind;
#[cfg(feature = "decode")]
use crate::view::ItemKind;
use Kind::{
    Bool, Bytes, Double, Enum as Enumeration, Fixed32, Fixed64, Id, Int32, Int64,
    Message as Nested, Sfixed64, Sint32, String, Uint32, Uint64,
};

/// The `Export…ServiceRequest` of a signal.
pub(crate) fn request(kind: SignalKind) -> &'static Message {
    match kind {
        SignalKind::Traces => &TRACES_REQUEST,
        SignalKind::Metrics => &METRICS_REQUEST,
        SignalKind::Logs => &LOGS_REQUEST,
    }
}

/// Returns `true` for a span, a log record and a metric.
pub(crate) fn is_item(message: &Message) -> bool {
    let items = [&raw const SPAN, &raw const LOG_RECORD, &raw const METRIC];
    items.into_iter().any(|item| std::ptr::eq(message, item))
}

/// The key of a signal's request that contains its resources.
#[cfg(feature = "decode")]
pub(crate) fn key_of_signal(kind: SignalKind) -> &'static str {
    request(kind).fields.first().map_or("", |field| field.name)
}

#[cfg(feature = "decode")]
pub(crate) fn signal_of_key(key: &str) -> Option<SignalKind> {
    SignalKind::ALL.into_iter().find(|kind| request(*kind).field_of_key(key).is_some())
}

/// Returns `true` for `KeyValue`, the type of attributes.
pub(crate) fn is_key_value(message: &Message) -> bool {
    std::ptr::eq(message, &raw const KEY_VALUE)
}

/// Returns `true` for a resource and a scope.
pub(crate) fn is_head(message: &Message) -> bool {
    [&raw const RESOURCE, &raw const SCOPE].into_iter().any(|head| std::ptr::eq(message, head))
}

/// The number of the field with the message's attributes.
pub(crate) fn attributes(message: &Message) -> Option<u32> {
    let is_list = |field: &&Field| match field.kind {
        Kind::Message(inner) => field.presence == Presence::Repeated && is_key_value(inner),
        _ => false,
    };
    message.fields.iter().find(is_list).map(|field| field.number)
}

/// The number of the field that counts dropped elements of this list: OTLP gives it the next number.
pub(crate) fn count_of_dropped(message: &Message, list: u32) -> Option<u32> {
    let counting = [
        &raw const RESOURCE,
        &raw const SCOPE,
        &raw const SPAN,
        &raw const SPAN_EVENT,
        &raw const SPAN_LINK,
        &raw const LOG_RECORD,
    ];
    let is_list = message.field(list).is_some_and(|list| list.presence == Presence::Repeated);
    let counts = is_list && counting.into_iter().any(|counting| std::ptr::eq(message, counting));
    let next = message.field(list + 1).filter(|next| counts && matches!(next.kind, Uint32));
    next.map(|next| next.number)
}

#[cfg(feature = "decode")]
pub(crate) fn is_scope_container(message: &Message) -> bool {
    let containers = [&raw const SCOPE_SPANS, &raw const SCOPE_LOGS, &raw const SCOPE_METRICS];
    containers.into_iter().any(|container| std::ptr::eq(message, container))
}

#[cfg(feature = "decode")]
pub(crate) fn is_metric(message: &Message) -> bool {
    std::ptr::eq(message, &raw const METRIC)
}

#[cfg(feature = "decode")]
pub(crate) fn is_event(message: &Message) -> bool {
    std::ptr::eq(message, &raw const SPAN_EVENT)
}

/// The kind of a span, a log record or a data point.
#[cfg(feature = "decode")]
pub(crate) fn kind_of_item(message: &Message) -> Option<ItemKind> {
    let kinds = [
        (&raw const SPAN, ItemKind::Span),
        (&raw const LOG_RECORD, ItemKind::LogRecord),
        (&raw const NUMBER_DATA_POINT, ItemKind::NumberDataPoint),
        (&raw const HISTOGRAM_DATA_POINT, ItemKind::HistogramDataPoint),
        (&raw const EXPONENTIAL_HISTOGRAM_DATA_POINT, ItemKind::ExponentialHistogramDataPoint),
        (&raw const SUMMARY_DATA_POINT, ItemKind::SummaryDataPoint),
    ];
    kinds.into_iter().find(|(own, _)| std::ptr::eq(message, *own)).map(|(_, kind)| kind)
}

/// Returns `true` for `AnyValue`.
pub(crate) fn is_any_value(message: &Message) -> bool {
    std::ptr::eq(message, &raw const ANY_VALUE)
}

pub(crate) fn any_value() -> &'static Message {
    &ANY_VALUE
}

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Bool,
    /// Varint of the two's complement, as [`Kind::Int64`].
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Enum(&'static Enum),
    Fixed32,
    Fixed64,
    Sfixed64,
    Double,
    /// Text, which must be UTF-8; otherwise other protobuf readers refuse the whole request.
    String,
    Bytes,
    /// Bytes that OTLP/JSON writes in hexadecimal, not base64 (OTLP, "JSON Protobuf Encoding").
    Id,
    Message(&'static Message),
}

impl Kind {
    /// Returns `true` if a value has this kind's wire type.
    pub(crate) fn has_wire_type(self, value: Value<'_>) -> bool {
        match self {
            Self::Fixed32 => matches!(value, Value::Fixed32(_)),
            Self::Fixed64 | Self::Sfixed64 | Self::Double => matches!(value, Value::Fixed64(_)),
            Self::String | Self::Bytes | Self::Id | Self::Message(_) => {
                matches!(value, Value::Len(_))
            }
            _ => matches!(value, Value::Varint(_)),
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Presence {
    /// Zero means absent.
    Implicit,
    /// `optional`: zero is a value.
    Optional,
    /// A member of a oneof; no message has two of them.
    Oneof,
    /// Any number of times; numbers may be packed.
    Repeated,
}

/// An enumeration, whose names in OTLP/JSON begin with `prefix`.
pub(crate) struct Enum {
    pub(crate) prefix: &'static str,
    /// By number, from 1; 0 means unspecified, as any other name does.
    pub(crate) names: &'static [&'static str],
}

pub(crate) struct Field {
    pub(crate) number: u32,
    /// The key in OTLP/JSON, which functions do not need.
    #[cfg(feature = "decode")]
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) presence: Presence,
    /// A bit of its own for each field that has one value, and one for all members of the message's `oneof`; 0 for a repeated field.
    pub(crate) slot: u64,
}

pub(crate) struct Message {
    pub(crate) name: &'static str,
    pub(crate) fields: &'static [Field],
}

impl Message {
    pub(crate) fn field(&self, number: u32) -> Option<&'static Field> {
        // Most messages have all numbers from 1.
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        match self.fields.get(at) {
            Some(field) if field.number == number => Some(field),
            _ => self.fields.iter().find(|field| field.number == number),
        }
    }

    /// The field of this key, in lowerCamelCase or as the `.proto` files spell it, or of its name before OTLP 0.15.
    #[cfg(feature = "decode")]
    pub(crate) fn field_of_key(&self, key: &str) -> Option<&'static Field> {
        let key = match key {
            "instrumentationLibrarySpans" => "scopeSpans",
            "instrumentationLibraryLogs" => "scopeLogs",
            "instrumentationLibraryMetrics" => "scopeMetrics",
            "instrumentationLibrary" => "scope",
            _ => key,
        };
        let exact = self.fields.iter().find(|field| field.name == key);
        exact.or_else(|| {
            let spelled_as_in_proto = key.contains('_');
            let mut fields = self.fields.iter();
            fields.find(|field| spelled_as_in_proto && is_snake_case_of(key, field.name))
        })
    }
}

/// Returns `true` if `snake` is `camel` in the spelling of the `.proto` files.
#[cfg(feature = "decode")]
fn is_snake_case_of(snake: &str, camel: &str) -> bool {
    let mut snake = snake.bytes();
    let same = camel.bytes().all(|byte| {
        if byte.is_ascii_uppercase() {
            snake.next() == Some(b'_') && snake.next() == Some(byte.to_ascii_lowercase())
        } else {
            snake.next() == Some(byte)
        }
    });
    same && snake.next().is_none()
}

const fn one(number: u32, name: &'static str, kind: Kind) -> Field {
    field(number, name, kind, Presence::Implicit)
}

const fn optional(number: u32, name: &'static str, kind: Kind) -> Field {
    field(number, name, kind, Presence::Optional)
}

const fn either(number: u32, name: &'static str, kind: Kind) -> Field {
    field(number, name, kind, Presence::Oneof)
}

const fn many(number: u32, name: &'static str, kind: Kind) -> Field {
    field(number, name, kind, Presence::Repeated)
}

const fn field(number: u32, name: &'static str, kind: Kind, presence: Presence) -> Field {
    #[cfg(not(feature = "decode"))]
    let _ = name;
    Field {
        number,
        #[cfg(feature = "decode")]
        name,
        kind,
        presence,
        slot: match presence {
            Presence::Repeated => 0,
            // Fields are numbered from 1. A message of OTLP has one `oneof`.
            Presence::Oneof => 1,
            Presence::Implicit | Presence::Optional => 1 << number,
        },
    }
}

// Attributes, resources and scopes.

static ANY_VALUE: Message = Message {
    name: "AnyValue",
    fields: &[
        either(any_value::STRING, "stringValue", String),
        either(any_value::BOOL, "boolValue", Bool),
        either(any_value::INT, "intValue", Int64),
        either(any_value::DOUBLE, "doubleValue", Double),
        either(any_value::ARRAY, "arrayValue", Nested(&ARRAY_VALUE)),
        either(any_value::KVLIST, "kvlistValue", Nested(&KEY_VALUE_LIST)),
        either(any_value::BYTES, "bytesValue", Bytes),
        either(8, "stringValueStrindex", Int32),
    ],
};
static ARRAY_VALUE: Message = Message {
    name: "ArrayValue",
    fields: &[many(any_value::VALUES, "values", Nested(&ANY_VALUE))],
};
static KEY_VALUE_LIST: Message = Message {
    name: "KeyValueList",
    fields: &[many(any_value::VALUES, "values", Nested(&KEY_VALUE))],
};
static KEY_VALUE: Message = Message {
    name: "KeyValue",
    fields: &[
        one(key_value::KEY, "key", String),
        one(key_value::VALUE, "value", Nested(&ANY_VALUE)),
        one(3, "keyStrindex", Int32),
    ],
};
static RESOURCE: Message = Message {
    name: "Resource",
    fields: &[
        many(resource::ATTRIBUTES, "attributes", Nested(&KEY_VALUE)),
        one(2, "droppedAttributesCount", Uint32),
        many(3, "entityRefs", Nested(&ENTITY_REF)),
    ],
};
static ENTITY_REF: Message = Message {
    name: "EntityRef",
    fields: &[
        one(1, "schemaUrl", String),
        one(2, "type", String),
        many(3, "idKeys", String),
        many(4, "descriptionKeys", String),
    ],
};
static SCOPE: Message = Message {
    name: "InstrumentationScope",
    fields: &[
        one(scope::NAME, "name", String),
        one(scope::VERSION, "version", String),
        many(scope::ATTRIBUTES, "attributes", Nested(&KEY_VALUE)),
        one(4, "droppedAttributesCount", Uint32),
    ],
};

// Traces.

static TRACES_REQUEST: Message = Message {
    name: "ExportTraceServiceRequest",
    fields: &[many(request::CONTAINERS, "resourceSpans", Nested(&RESOURCE_SPANS))],
};
static RESOURCE_SPANS: Message = Message {
    name: "ResourceSpans",
    fields: &[
        one(container::RESOURCE, "resource", Nested(&RESOURCE)),
        many(container::SCOPES, "scopeSpans", Nested(&SCOPE_SPANS)),
        one(container::SCHEMA_URL, "schemaUrl", String),
    ],
};
static SCOPE_SPANS: Message = Message {
    name: "ScopeSpans",
    fields: &[
        one(scope_container::SCOPE, "scope", Nested(&SCOPE)),
        many(scope_container::ITEMS, "spans", Nested(&SPAN)),
        one(scope_container::SCHEMA_URL, "schemaUrl", String),
    ],
};
static SPAN: Message = Message {
    name: "Span",
    fields: &[
        one(span::TRACE_ID, "traceId", Id),
        one(span::SPAN_ID, "spanId", Id),
        one(span::TRACE_STATE, "traceState", String),
        one(span::PARENT_SPAN_ID, "parentSpanId", Id),
        one(span::NAME, "name", String),
        one(span::KIND, "kind", Enumeration(&SPAN_KIND)),
        one(span::START_TIME, "startTimeUnixNano", Fixed64),
        one(span::END_TIME, "endTimeUnixNano", Fixed64),
        many(span::ATTRIBUTES, "attributes", Nested(&KEY_VALUE)),
        one(span::DROPPED_ATTRIBUTES_COUNT, "droppedAttributesCount", Uint32),
        many(span::EVENTS, "events", Nested(&SPAN_EVENT)),
        one(span::DROPPED_EVENTS_COUNT, "droppedEventsCount", Uint32),
        many(span::LINKS, "links", Nested(&SPAN_LINK)),
        one(span::DROPPED_LINKS_COUNT, "droppedLinksCount", Uint32),
        one(span::STATUS, "status", Nested(&STATUS)),
        one(span::FLAGS, "flags", Fixed32),
    ],
};
static SPAN_KIND: Enum =
    Enum { prefix: "SPAN_KIND_", names: &["INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"] };
static SPAN_EVENT: Message = Message {
    name: "Span.Event",
    fields: &[
        one(event::TIME, "timeUnixNano", Fixed64),
        one(event::NAME, "name", String),
        many(event::ATTRIBUTES, "attributes", Nested(&KEY_VALUE)),
        one(event::DROPPED_ATTRIBUTES_COUNT, "droppedAttributesCount", Uint32),
    ],
};
static SPAN_LINK: Message = Message {
    name: "Span.Link",
    fields: &[
        one(link::TRACE_ID, "traceId", Id),
        one(link::SPAN_ID, "spanId", Id),
        one(link::TRACE_STATE, "traceState", String),
        many(link::ATTRIBUTES, "attributes", Nested(&KEY_VALUE)),
        one(link::DROPPED_ATTRIBUTES_COUNT, "droppedAttributesCount", Uint32),
        one(link::FLAGS, "flags", Fixed32),
    ],
};
static STATUS: Message = Message {
    name: "Status",
    fields: &[
        one(status::MESSAGE, "message", String),
        one(status::CODE, "code", Enumeration(&STATUS_CODE)),
    ],
};
static STATUS_CODE: Enum = Enum { prefix: "STATUS_CODE_", names: &["OK", "ERROR"] };

// Logs.

static LOGS_REQUEST: Message = Message {
    name: "ExportLogsServiceRequest",
    fields: &[many(request::CONTAINERS, "resourceLogs", Nested(&RESOURCE_LOGS))],
};
static RESOURCE_LOGS: Message = Message {
    name: "ResourceLogs",
    fields: &[
        one(container::RESOURCE, "resource", Nested(&RESOURCE)),
        many(container::SCOPES, "scopeLogs", Nested(&SCOPE_LOGS)),
        one(container::SCHEMA_URL, "schemaUrl", String),
    ],
};
static SCOPE_LOGS: Message = Message {
    name: "ScopeLogs",
    fields: &[
        one(scope_container::SCOPE, "scope", Nested(&SCOPE)),
        many(scope_container::ITEMS, "logRecords", Nested(&LOG_RECORD)),
        one(scope_container::SCHEMA_URL, "schemaUrl", String),
    ],
};
static LOG_RECORD: Message = Message {
    name: "LogRecord",
    fields: &[
        one(log_record::TIME, "timeUnixNano", Fixed64),
        one(log_record::SEVERITY_NUMBER, "severityNumber", Enumeration(&SEVERITY_NUMBER)),
        one(log_record::SEVERITY_TEXT, "severityText", String),
        one(log_record::BODY, "body", Nested(&ANY_VALUE)),
        many(log_record::ATTRIBUTES, "attributes", Nested(&KEY_VALUE)),
        one(log_record::DROPPED_ATTRIBUTES_COUNT, "droppedAttributesCount", Uint32),
        one(log_record::FLAGS, "flags", Fixed32),
        one(log_record::TRACE_ID, "traceId", Id),
        one(log_record::SPAN_ID, "spanId", Id),
        one(log_record::OBSERVED_TIME, "observedTimeUnixNano", Fixed64),
        one(log_record::EVENT_NAME, "eventName", String),
    ],
};
static SEVERITY_NUMBER: Enum = Enum {
    prefix: "SEVERITY_NUMBER_",
    names: &[
        "TRACE", "TRACE2", "TRACE3", "TRACE4", "DEBUG", "DEBUG2", "DEBUG3", "DEBUG4", "INFO",
        "INFO2", "INFO3", "INFO4", "WARN", "WARN2", "WARN3", "WARN4", "ERROR", "ERROR2", "ERROR3",
        "ERROR4", "FATAL", "FATAL2", "FATAL3", "FATAL4",
    ],
};

// Metrics.

static METRICS_REQUEST: Message = Message {
    name: "ExportMetricsServiceRequest",
    fields: &[many(request::CONTAINERS, "resourceMetrics", Nested(&RESOURCE_METRICS))],
};
static RESOURCE_METRICS: Message = Message {
    name: "ResourceMetrics",
    fields: &[
        one(container::RESOURCE, "resource", Nested(&RESOURCE)),
        many(container::SCOPES, "scopeMetrics", Nested(&SCOPE_METRICS)),
        one(container::SCHEMA_URL, "schemaUrl", String),
    ],
};
static SCOPE_METRICS: Message = Message {
    name: "ScopeMetrics",
    fields: &[
        one(scope_container::SCOPE, "scope", Nested(&SCOPE)),
        many(scope_container::ITEMS, "metrics", Nested(&METRIC)),
        one(scope_container::SCHEMA_URL, "schemaUrl", String),
    ],
};
static METRIC: Message = Message {
    name: "Metric",
    fields: &[
        one(metric::NAME, "name", String),
        one(metric::DESCRIPTION, "description", String),
        one(metric::UNIT, "unit", String),
        either(metric::GAUGE, "gauge", Nested(&GAUGE)),
        either(metric::SUM, "sum", Nested(&SUM)),
        either(metric::HISTOGRAM, "histogram", Nested(&HISTOGRAM)),
        either(
            metric::EXPONENTIAL_HISTOGRAM,
            "exponentialHistogram",
            Nested(&EXPONENTIAL_HISTOGRAM),
        ),
        either(metric::SUMMARY, "summary", Nested(&SUMMARY)),
        many(12, "metadata", Nested(&KEY_VALUE)),
    ],
};
static AGGREGATION_TEMPORALITY: Enum =
    Enum { prefix: "AGGREGATION_TEMPORALITY_", names: &["DELTA", "CUMULATIVE"] };
const TEMPORALITY: Field = one(
    metric::AGGREGATION_TEMPORALITY,
    "aggregationTemporality",
    Enumeration(&AGGREGATION_TEMPORALITY),
);
static GAUGE: Message = Message {
    name: "Gauge",
    fields: &[many(metric::POINTS, "dataPoints", Nested(&NUMBER_DATA_POINT))],
};
static SUM: Message = Message {
    name: "Sum",
    fields: &[
        many(metric::POINTS, "dataPoints", Nested(&NUMBER_DATA_POINT)),
        TEMPORALITY,
        one(metric::IS_MONOTONIC, "isMonotonic", Bool),
    ],
};
static HISTOGRAM: Message = Message {
    name: "Histogram",
    fields: &[many(metric::POINTS, "dataPoints", Nested(&HISTOGRAM_DATA_POINT)), TEMPORALITY],
};
static EXPONENTIAL_HISTOGRAM: Message = Message {
    name: "ExponentialHistogram",
    fields: &[
        many(metric::POINTS, "dataPoints", Nested(&EXPONENTIAL_HISTOGRAM_DATA_POINT)),
        TEMPORALITY,
    ],
};
static SUMMARY: Message = Message {
    name: "Summary",
    fields: &[many(metric::POINTS, "dataPoints", Nested(&SUMMARY_DATA_POINT))],
};
static NUMBER_DATA_POINT: Message = Message {
    name: "NumberDataPoint",
    fields: &[
        one(data_point::START_TIME, "startTimeUnixNano", Fixed64),
        one(data_point::TIME, "timeUnixNano", Fixed64),
        either(data_point::AS_DOUBLE, "asDouble", Double),
        many(5, "exemplars", Nested(&EXEMPLAR)),
        either(data_point::AS_INT, "asInt", Sfixed64),
        many(data_point::ATTRIBUTES, "attributes", Nested(&KEY_VALUE)),
        one(8, "flags", Uint32),
    ],
};
static HISTOGRAM_DATA_POINT: Message = Message {
    name: "HistogramDataPoint",
    fields: &[
        one(data_point::START_TIME, "startTimeUnixNano", Fixed64),
        one(data_point::TIME, "timeUnixNano", Fixed64),
        one(histogram_data_point::COUNT, "count", Fixed64),
        optional(histogram_data_point::SUM, "sum", Double),
        many(histogram_data_point::BUCKET_COUNTS, "bucketCounts", Fixed64),
        many(histogram_data_point::EXPLICIT_BOUNDS, "explicitBounds", Double),
        many(8, "exemplars", Nested(&EXEMPLAR)),
        many(histogram_data_point::ATTRIBUTES, "attributes", Nested(&KEY_VALUE)),
        one(10, "flags", Uint32),
        optional(histogram_data_point::MIN, "min", Double),
        optional(histogram_data_point::MAX, "max", Double),
    ],
};
static EXPONENTIAL_HISTOGRAM_DATA_POINT: Message = Message {
    name: "ExponentialHistogramDataPoint",
    fields: &[
        many(exponential_histogram_data_point::ATTRIBUTES, "attributes", Nested(&KEY_VALUE)),
        one(data_point::START_TIME, "startTimeUnixNano", Fixed64),
        one(data_point::TIME, "timeUnixNano", Fixed64),
        one(exponential_histogram_data_point::COUNT, "count", Fixed64),
        optional(exponential_histogram_data_point::SUM, "sum", Double),
        one(exponential_histogram_data_point::SCALE, "scale", Sint32),
        one(exponential_histogram_data_point::ZERO_COUNT, "zeroCount", Fixed64),
        one(exponential_histogram_data_point::POSITIVE, "positive", Nested(&EXPONENTIAL_BUCKETS)),
        one(exponential_histogram_data_point::NEGATIVE, "negative", Nested(&EXPONENTIAL_BUCKETS)),
        one(10, "flags", Uint32),
        many(11, "exemplars", Nested(&EXEMPLAR)),
        optional(exponential_histogram_data_point::MIN, "min", Double),
        optional(exponential_histogram_data_point::MAX, "max", Double),
        one(exponential_histogram_data_point::ZERO_THRESHOLD, "zeroThreshold", Double),
    ],
};
static EXPONENTIAL_BUCKETS: Message = Message {
    name: "ExponentialHistogramDataPoint.Buckets",
    fields: &[
        one(exponential_histogram_data_point::OFFSET, "offset", Sint32),
        many(exponential_histogram_data_point::BUCKET_COUNTS, "bucketCounts", Uint64),
    ],
};
static SUMMARY_DATA_POINT: Message = Message {
    name: "SummaryDataPoint",
    fields: &[
        one(data_point::START_TIME, "startTimeUnixNano", Fixed64),
        one(data_point::TIME, "timeUnixNano", Fixed64),
        one(4, "count", Fixed64),
        one(5, "sum", Double),
        many(6, "quantileValues", Nested(&VALUE_AT_QUANTILE)),
        many(data_point::ATTRIBUTES, "attributes", Nested(&KEY_VALUE)),
        one(8, "flags", Uint32),
    ],
};
static VALUE_AT_QUANTILE: Message = Message {
    name: "SummaryDataPoint.ValueAtQuantile",
    fields: &[one(1, "quantile", Double), one(2, "value", Double)],
};
static EXEMPLAR: Message = Message {
    name: "Exemplar",
    fields: &[
        one(2, "timeUnixNano", Fixed64),
        either(3, "asDouble", Double),
        one(4, "spanId", Id),
        one(5, "traceId", Id),
        either(6, "asInt", Sfixed64),
        many(7, "filteredAttributes", Nested(&KEY_VALUE)),
    ],
};
