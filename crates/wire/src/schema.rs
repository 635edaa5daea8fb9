//! The structure of the OTLP messages as tables, used to check and rewrite bytes and to read OTLP/JSON without structs.
//!
//! Source: opentelemetry-proto 1.x, `opentelemetry/proto/{common,resource,trace,logs,metrics}/v1`. Unlisted fields are unknown to
//! us and pass unchanged, as proto3 requires.

use crate::protobuf::Value;
use crate::signal::SignalKind;
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

/// Returns `true` for `AnyValue`, the only message whose strings may be truncated.
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
    }
}

// Attributes, resources and scopes.

static ANY_VALUE: Message = Message {
    name: "AnyValue",
    fields: &[
        either(1, "stringValue", String),
        either(2, "boolValue", Bool),
        either(3, "intValue", Int64),
        either(4, "doubleValue", Double),
        either(5, "arrayValue", Nested(&ARRAY_VALUE)),
        either(6, "kvlistValue", Nested(&KEY_VALUE_LIST)),
        either(7, "bytesValue", Bytes),
        either(8, "stringValueStrindex", Int32),
    ],
};
static ARRAY_VALUE: Message =
    Message { name: "ArrayValue", fields: &[many(1, "values", Nested(&ANY_VALUE))] };
static KEY_VALUE_LIST: Message =
    Message { name: "KeyValueList", fields: &[many(1, "values", Nested(&KEY_VALUE))] };
static KEY_VALUE: Message = Message {
    name: "KeyValue",
    fields: &[
        one(1, "key", String),
        one(2, "value", Nested(&ANY_VALUE)),
        one(3, "keyStrindex", Int32),
    ],
};
static RESOURCE: Message = Message {
    name: "Resource",
    fields: &[
        many(1, "attributes", Nested(&KEY_VALUE)),
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
        one(1, "name", String),
        one(2, "version", String),
        many(3, "attributes", Nested(&KEY_VALUE)),
        one(4, "droppedAttributesCount", Uint32),
    ],
};

// Traces.

static TRACES_REQUEST: Message = Message {
    name: "ExportTraceServiceRequest",
    fields: &[many(1, "resourceSpans", Nested(&RESOURCE_SPANS))],
};
static RESOURCE_SPANS: Message = Message {
    name: "ResourceSpans",
    fields: &[
        one(1, "resource", Nested(&RESOURCE)),
        many(2, "scopeSpans", Nested(&SCOPE_SPANS)),
        one(3, "schemaUrl", String),
    ],
};
static SCOPE_SPANS: Message = Message {
    name: "ScopeSpans",
    fields: &[
        one(1, "scope", Nested(&SCOPE)),
        many(2, "spans", Nested(&SPAN)),
        one(3, "schemaUrl", String),
    ],
};
static SPAN: Message = Message {
    name: "Span",
    fields: &[
        one(1, "traceId", Id),
        one(2, "spanId", Id),
        one(3, "traceState", String),
        one(4, "parentSpanId", Id),
        one(5, "name", String),
        one(6, "kind", Enumeration(&SPAN_KIND)),
        one(7, "startTimeUnixNano", Fixed64),
        one(8, "endTimeUnixNano", Fixed64),
        many(9, "attributes", Nested(&KEY_VALUE)),
        one(10, "droppedAttributesCount", Uint32),
        many(11, "events", Nested(&SPAN_EVENT)),
        one(12, "droppedEventsCount", Uint32),
        many(13, "links", Nested(&SPAN_LINK)),
        one(14, "droppedLinksCount", Uint32),
        one(15, "status", Nested(&STATUS)),
        one(16, "flags", Fixed32),
    ],
};
static SPAN_KIND: Enum =
    Enum { prefix: "SPAN_KIND_", names: &["INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"] };
static SPAN_EVENT: Message = Message {
    name: "Span.Event",
    fields: &[
        one(1, "timeUnixNano", Fixed64),
        one(2, "name", String),
        many(3, "attributes", Nested(&KEY_VALUE)),
        one(4, "droppedAttributesCount", Uint32),
    ],
};
static SPAN_LINK: Message = Message {
    name: "Span.Link",
    fields: &[
        one(1, "traceId", Id),
        one(2, "spanId", Id),
        one(3, "traceState", String),
        many(4, "attributes", Nested(&KEY_VALUE)),
        one(5, "droppedAttributesCount", Uint32),
        one(6, "flags", Fixed32),
    ],
};
static STATUS: Message = Message {
    name: "Status",
    fields: &[one(2, "message", String), one(3, "code", Enumeration(&STATUS_CODE))],
};
static STATUS_CODE: Enum = Enum { prefix: "STATUS_CODE_", names: &["OK", "ERROR"] };

// Logs.

static LOGS_REQUEST: Message = Message {
    name: "ExportLogsServiceRequest",
    fields: &[many(1, "resourceLogs", Nested(&RESOURCE_LOGS))],
};
static RESOURCE_LOGS: Message = Message {
    name: "ResourceLogs",
    fields: &[
        one(1, "resource", Nested(&RESOURCE)),
        many(2, "scopeLogs", Nested(&SCOPE_LOGS)),
        one(3, "schemaUrl", String),
    ],
};
static SCOPE_LOGS: Message = Message {
    name: "ScopeLogs",
    fields: &[
        one(1, "scope", Nested(&SCOPE)),
        many(2, "logRecords", Nested(&LOG_RECORD)),
        one(3, "schemaUrl", String),
    ],
};
static LOG_RECORD: Message = Message {
    name: "LogRecord",
    fields: &[
        one(1, "timeUnixNano", Fixed64),
        one(2, "severityNumber", Enumeration(&SEVERITY_NUMBER)),
        one(3, "severityText", String),
        one(5, "body", Nested(&ANY_VALUE)),
        many(6, "attributes", Nested(&KEY_VALUE)),
        one(7, "droppedAttributesCount", Uint32),
        one(8, "flags", Fixed32),
        one(9, "traceId", Id),
        one(10, "spanId", Id),
        one(11, "observedTimeUnixNano", Fixed64),
        one(12, "eventName", String),
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
    fields: &[many(1, "resourceMetrics", Nested(&RESOURCE_METRICS))],
};
static RESOURCE_METRICS: Message = Message {
    name: "ResourceMetrics",
    fields: &[
        one(1, "resource", Nested(&RESOURCE)),
        many(2, "scopeMetrics", Nested(&SCOPE_METRICS)),
        one(3, "schemaUrl", String),
    ],
};
static SCOPE_METRICS: Message = Message {
    name: "ScopeMetrics",
    fields: &[
        one(1, "scope", Nested(&SCOPE)),
        many(2, "metrics", Nested(&METRIC)),
        one(3, "schemaUrl", String),
    ],
};
static METRIC: Message = Message {
    name: "Metric",
    fields: &[
        one(1, "name", String),
        one(2, "description", String),
        one(3, "unit", String),
        either(5, "gauge", Nested(&GAUGE)),
        either(7, "sum", Nested(&SUM)),
        either(9, "histogram", Nested(&HISTOGRAM)),
        either(10, "exponentialHistogram", Nested(&EXPONENTIAL_HISTOGRAM)),
        either(11, "summary", Nested(&SUMMARY)),
        many(12, "metadata", Nested(&KEY_VALUE)),
    ],
};
static TEMPORALITIES: Enum =
    Enum { prefix: "AGGREGATION_TEMPORALITY_", names: &["DELTA", "CUMULATIVE"] };
const TEMPORALITY: Field = one(2, "aggregationTemporality", Enumeration(&TEMPORALITIES));
static GAUGE: Message =
    Message { name: "Gauge", fields: &[many(1, "dataPoints", Nested(&NUMBER_DATA_POINT))] };
static SUM: Message = Message {
    name: "Sum",
    fields: &[
        many(1, "dataPoints", Nested(&NUMBER_DATA_POINT)),
        TEMPORALITY,
        one(3, "isMonotonic", Bool),
    ],
};
static HISTOGRAM: Message = Message {
    name: "Histogram",
    fields: &[many(1, "dataPoints", Nested(&HISTOGRAM_DATA_POINT)), TEMPORALITY],
};
static EXPONENTIAL_HISTOGRAM: Message = Message {
    name: "ExponentialHistogram",
    fields: &[many(1, "dataPoints", Nested(&EXPONENTIAL_HISTOGRAM_DATA_POINT)), TEMPORALITY],
};
static SUMMARY: Message =
    Message { name: "Summary", fields: &[many(1, "dataPoints", Nested(&SUMMARY_DATA_POINT))] };
static NUMBER_DATA_POINT: Message = Message {
    name: "NumberDataPoint",
    fields: &[
        one(2, "startTimeUnixNano", Fixed64),
        one(3, "timeUnixNano", Fixed64),
        either(4, "asDouble", Double),
        many(5, "exemplars", Nested(&EXEMPLAR)),
        either(6, "asInt", Sfixed64),
        many(7, "attributes", Nested(&KEY_VALUE)),
        one(8, "flags", Uint32),
    ],
};
static HISTOGRAM_DATA_POINT: Message = Message {
    name: "HistogramDataPoint",
    fields: &[
        one(2, "startTimeUnixNano", Fixed64),
        one(3, "timeUnixNano", Fixed64),
        one(4, "count", Fixed64),
        optional(5, "sum", Double),
        many(6, "bucketCounts", Fixed64),
        many(7, "explicitBounds", Double),
        many(8, "exemplars", Nested(&EXEMPLAR)),
        many(9, "attributes", Nested(&KEY_VALUE)),
        one(10, "flags", Uint32),
        optional(11, "min", Double),
        optional(12, "max", Double),
    ],
};
static EXPONENTIAL_HISTOGRAM_DATA_POINT: Message = Message {
    name: "ExponentialHistogramDataPoint",
    fields: &[
        many(1, "attributes", Nested(&KEY_VALUE)),
        one(2, "startTimeUnixNano", Fixed64),
        one(3, "timeUnixNano", Fixed64),
        one(4, "count", Fixed64),
        optional(5, "sum", Double),
        one(6, "scale", Sint32),
        one(7, "zeroCount", Fixed64),
        one(8, "positive", Nested(&EXPONENTIAL_BUCKETS)),
        one(9, "negative", Nested(&EXPONENTIAL_BUCKETS)),
        one(10, "flags", Uint32),
        many(11, "exemplars", Nested(&EXEMPLAR)),
        optional(12, "min", Double),
        optional(13, "max", Double),
        one(14, "zeroThreshold", Double),
    ],
};
static EXPONENTIAL_BUCKETS: Message = Message {
    name: "ExponentialHistogramDataPoint.Buckets",
    fields: &[one(1, "offset", Sint32), many(2, "bucketCounts", Uint64)],
};
static SUMMARY_DATA_POINT: Message = Message {
    name: "SummaryDataPoint",
    fields: &[
        one(2, "startTimeUnixNano", Fixed64),
        one(3, "timeUnixNano", Fixed64),
        one(4, "count", Fixed64),
        one(5, "sum", Double),
        many(6, "quantileValues", Nested(&VALUE_AT_QUANTILE)),
        many(7, "attributes", Nested(&KEY_VALUE)),
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
