//! The messages of a traces request.

use super::common::{KEY_VALUE, RESOURCE, SCOPE};
use super::message::Kind::{
    Enum as Enumeration, Fixed32, Fixed64, Id, Message as Nested, String, Uint32,
};
use super::message::{Enum, Message, many, one};

pub(super) static REQUEST: Message = Message {
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
pub(super) static SPAN: Message = Message {
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
static SPAN_KIND: Enum = Enum {
    prefix: "SPAN_KIND_",
    names: &["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"],
};
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
static STATUS_CODE: Enum = Enum { prefix: "STATUS_CODE_", names: &["UNSET", "OK", "ERROR"] };
