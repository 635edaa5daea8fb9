//! Converts Lambda's own telemetry about functions to OTLP.
//!
//! `read` parses Lambda's text lines, JSON system lines and Telemetry API events into one event model ([`PlatformEvent`]).
//! `metrics`, `spans` and `logs` convert such events, and the function's own lines, to OTLP; `identity` builds the resource.
//! `aws_spans` reads the spans that X-Ray stores in a log group, `xray` the documents of X-Ray's SDKs. The forwarder uses a
//! [`Converter`] for the log events of one stream. The extension uses [`parse_batch`], [`Aggregator`] and [`InvocationSpans`], and in
//! direct mode also a [`Converter`] for the lines of its environment.
//!
//! The crate is pure: events in, OTLP out. Time and identity are arguments; environment, clock and network are not used. No input
//! panics.

mod attributes;
mod aws_spans;
mod convert;
mod event;
mod identity;
mod logs;
mod metrics;
mod names;
mod options;
mod outcome;
mod read;
mod recent;
#[cfg(test)]
mod render;
mod spans;
mod xray;

pub use attributes::{scope, string as string_attribute, text as text_of_attribute};
pub use aws_spans::{SPANS_LOG_GROUP, Segments, SpanLine};
pub use convert::{
    ConsumedLines, ConvertedLines, Converter, ConverterState, Divided, InvocationStatement,
};
pub use event::{EventKind, Figures, PhaseSpan, PlatformEvent, Tracing};
pub use identity::{Identity, LogSource};
pub use logs::{LogEventRef, Undecodable};
pub use metrics::aggregator::{Aggregator, Owner};
pub use metrics::points::delta_sum;
pub use names::PLATFORM_SCOPE;
pub use options::{Names, PlatformOptions, Shape, SpanEnd, SpanMapping, SpanOptions};
pub use outcome::{FunctionStatement, is_vague_type};
pub use read::crash::ReportState;
pub use read::platform_event;
pub use read::runtime_error::Failure;
pub use read::runtime_text::is_out_of_memory;
pub use read::severity::severity_number;
pub use read::telemetry::{LineSource, ParsedBatch, TelemetryEvent, TelemetryRecord, parse_batch};
pub use recent::RecentInvocations;
pub use spans::invocation::{FunctionRoot, ShutdownReason, XRaySegment};
pub use spans::invocation_span::resource_spans;
pub use spans::invocations::InvocationSpans;
pub use xray::XRayDocument;
