//! The shape of the OTLP messages as tables, so that bytes can be checked and rewritten without
//! decoding them into structs.
//!
//! Source: opentelemetry-proto 1.x, `opentelemetry/proto/{common,resource,trace,logs,metrics}/v1`.
//! Fields that are not listed are unknown to us and pass unchanged, as proto3 asks.

use crate::SignalKind;

/// What a field of a message holds.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Varint,
    Fixed64,
    Fixed32,
    /// UTF-8, or the whole request is refused by other protobuf readers.
    String,
    Bytes,
    Message(&'static Message),
    /// `repeated fixed64` or `repeated double`, packed or not.
    PackedFixed64,
    /// `repeated uint64`, packed or not.
    PackedVarint,
}

/// One message type: its fields by number.
pub(crate) struct Message {
    pub(crate) name: &'static str,
    pub(crate) fields: &'static [(u32, Kind)],
}

impl Message {
    pub(crate) fn field(&self, number: u32) -> Option<Kind> {
        self.fields.iter().find(|(known, _)| *known == number).map(|(_, kind)| *kind)
    }
}

/// The `Export…ServiceRequest` of a signal.
pub(crate) fn request(kind: SignalKind) -> &'static Message {
    match kind {
        SignalKind::Traces => &TRACE_REQUEST,
        SignalKind::Metrics => &METRICS_REQUEST,
        SignalKind::Logs => &LOGS_REQUEST,
    }
}

/// True for `AnyValue`: the one message whose strings may be shortened.
pub(crate) fn is_any_value(message: &Message) -> bool {
    std::ptr::eq(message, &raw const ANY_VALUE)
}

use Kind::{
    Bytes, Fixed32, Fixed64, Message as Nested, PackedFixed64, PackedVarint, String, Varint,
};

static ANY_VALUE: Message = Message {
    name: "AnyValue",
    fields: &[
        (1, String),
        (2, Varint),
        (3, Varint),
        (4, Fixed64),
        (5, Nested(&ARRAY_VALUE)),
        (6, Nested(&KEY_VALUE_LIST)),
        (7, Bytes),
    ],
};
static ARRAY_VALUE: Message = Message { name: "ArrayValue", fields: &[(1, Nested(&ANY_VALUE))] };
static KEY_VALUE_LIST: Message =
    Message { name: "KeyValueList", fields: &[(1, Nested(&KEY_VALUE))] };
static KEY_VALUE: Message =
    Message { name: "KeyValue", fields: &[(1, String), (2, Nested(&ANY_VALUE))] };
static RESOURCE: Message =
    Message { name: "Resource", fields: &[(1, Nested(&KEY_VALUE)), (2, Varint)] };
static SCOPE: Message = Message {
    name: "InstrumentationScope",
    fields: &[(1, String), (2, String), (3, Nested(&KEY_VALUE)), (4, Varint)],
};

static TRACE_REQUEST: Message =
    Message { name: "ExportTraceServiceRequest", fields: &[(1, Nested(&RESOURCE_SPANS))] };
static RESOURCE_SPANS: Message = Message {
    name: "ResourceSpans",
    fields: &[(1, Nested(&RESOURCE)), (2, Nested(&SCOPE_SPANS)), (3, String)],
};
static SCOPE_SPANS: Message =
    Message { name: "ScopeSpans", fields: &[(1, Nested(&SCOPE)), (2, Nested(&SPAN)), (3, String)] };
static SPAN: Message = Message {
    name: "Span",
    fields: &[
        (1, Bytes),
        (2, Bytes),
        (3, String),
        (4, Bytes),
        (5, String),
        (6, Varint),
        (7, Fixed64),
        (8, Fixed64),
        (9, Nested(&KEY_VALUE)),
        (10, Varint),
        (11, Nested(&SPAN_EVENT)),
        (12, Varint),
        (13, Nested(&SPAN_LINK)),
        (14, Varint),
        (15, Nested(&STATUS)),
        (16, Fixed32),
    ],
};
static SPAN_EVENT: Message = Message {
    name: "Span.Event",
    fields: &[(1, Fixed64), (2, String), (3, Nested(&KEY_VALUE)), (4, Varint)],
};
static SPAN_LINK: Message = Message {
    name: "Span.Link",
    fields: &[
        (1, Bytes),
        (2, Bytes),
        (3, String),
        (4, Nested(&KEY_VALUE)),
        (5, Varint),
        (6, Fixed32),
    ],
};
static STATUS: Message = Message { name: "Status", fields: &[(2, String), (3, Varint)] };

static LOGS_REQUEST: Message =
    Message { name: "ExportLogsServiceRequest", fields: &[(1, Nested(&RESOURCE_LOGS))] };
static RESOURCE_LOGS: Message = Message {
    name: "ResourceLogs",
    fields: &[(1, Nested(&RESOURCE)), (2, Nested(&SCOPE_LOGS)), (3, String)],
};
static SCOPE_LOGS: Message = Message {
    name: "ScopeLogs",
    fields: &[(1, Nested(&SCOPE)), (2, Nested(&LOG_RECORD)), (3, String)],
};
static LOG_RECORD: Message = Message {
    name: "LogRecord",
    fields: &[
        (1, Fixed64),
        (2, Varint),
        (3, String),
        (5, Nested(&ANY_VALUE)),
        (6, Nested(&KEY_VALUE)),
        (7, Varint),
        (8, Fixed32),
        (9, Bytes),
        (10, Bytes),
        (11, Fixed64),
        (12, String),
    ],
};

static METRICS_REQUEST: Message =
    Message { name: "ExportMetricsServiceRequest", fields: &[(1, Nested(&RESOURCE_METRICS))] };
static RESOURCE_METRICS: Message = Message {
    name: "ResourceMetrics",
    fields: &[(1, Nested(&RESOURCE)), (2, Nested(&SCOPE_METRICS)), (3, String)],
};
static SCOPE_METRICS: Message = Message {
    name: "ScopeMetrics",
    fields: &[(1, Nested(&SCOPE)), (2, Nested(&METRIC)), (3, String)],
};
static METRIC: Message = Message {
    name: "Metric",
    fields: &[
        (1, String),
        (2, String),
        (3, String),
        (5, Nested(&GAUGE)),
        (7, Nested(&SUM)),
        (9, Nested(&HISTOGRAM)),
        (10, Nested(&EXPONENTIAL_HISTOGRAM)),
        (11, Nested(&SUMMARY)),
        (12, Nested(&KEY_VALUE)),
    ],
};
static GAUGE: Message = Message { name: "Gauge", fields: &[(1, Nested(&NUMBER_DATA_POINT))] };
static SUM: Message =
    Message { name: "Sum", fields: &[(1, Nested(&NUMBER_DATA_POINT)), (2, Varint), (3, Varint)] };
static HISTOGRAM: Message =
    Message { name: "Histogram", fields: &[(1, Nested(&HISTOGRAM_DATA_POINT)), (2, Varint)] };
static EXPONENTIAL_HISTOGRAM: Message = Message {
    name: "ExponentialHistogram",
    fields: &[(1, Nested(&EXPONENTIAL_HISTOGRAM_DATA_POINT)), (2, Varint)],
};
static SUMMARY: Message = Message { name: "Summary", fields: &[(1, Nested(&SUMMARY_DATA_POINT))] };
static NUMBER_DATA_POINT: Message = Message {
    name: "NumberDataPoint",
    fields: &[
        (2, Fixed64),
        (3, Fixed64),
        (4, Fixed64),
        (5, Nested(&EXEMPLAR)),
        (6, Fixed64),
        (7, Nested(&KEY_VALUE)),
        (8, Varint),
    ],
};
static HISTOGRAM_DATA_POINT: Message = Message {
    name: "HistogramDataPoint",
    fields: &[
        (2, Fixed64),
        (3, Fixed64),
        (4, Fixed64),
        (5, Fixed64),
        (6, PackedFixed64),
        (7, PackedFixed64),
        (8, Nested(&EXEMPLAR)),
        (9, Nested(&KEY_VALUE)),
        (10, Varint),
        (11, Fixed64),
        (12, Fixed64),
    ],
};
static EXPONENTIAL_HISTOGRAM_DATA_POINT: Message = Message {
    name: "ExponentialHistogramDataPoint",
    fields: &[
        (1, Nested(&KEY_VALUE)),
        (2, Fixed64),
        (3, Fixed64),
        (4, Fixed64),
        (5, Fixed64),
        (6, Varint),
        (7, Fixed64),
        (8, Nested(&EXPONENTIAL_BUCKETS)),
        (9, Nested(&EXPONENTIAL_BUCKETS)),
        (10, Varint),
        (11, Nested(&EXEMPLAR)),
        (12, Fixed64),
        (13, Fixed64),
        (14, Fixed64),
    ],
};
static EXPONENTIAL_BUCKETS: Message = Message {
    name: "ExponentialHistogramDataPoint.Buckets",
    fields: &[(1, Varint), (2, PackedVarint)],
};
static SUMMARY_DATA_POINT: Message = Message {
    name: "SummaryDataPoint",
    fields: &[
        (2, Fixed64),
        (3, Fixed64),
        (4, Fixed64),
        (5, Fixed64),
        (6, Nested(&VALUE_AT_QUANTILE)),
        (7, Nested(&KEY_VALUE)),
        (8, Varint),
    ],
};
static VALUE_AT_QUANTILE: Message =
    Message { name: "SummaryDataPoint.ValueAtQuantile", fields: &[(1, Fixed64), (2, Fixed64)] };
static EXEMPLAR: Message = Message {
    name: "Exemplar",
    fields: &[
        (2, Fixed64),
        (3, Fixed64),
        (4, Bytes),
        (5, Bytes),
        (6, Fixed64),
        (7, Nested(&KEY_VALUE)),
    ],
};
