//! Converts Lambda's own telemetry about functions to OTLP.
//!
//! `read` parses Lambda's text lines, JSON system lines and Telemetry API events into one event model ([`PlatformEvent`]).
//! `metrics`, `spans` and `logs` convert such events, and the function's own lines, to OTLP; `identity` builds the resource.
//! `aws_spans` reads the spans that X-Ray stores in a log group, `xray` the documents of X-Ray's SDKs. The forwarder uses a
//! [`Converter`] for the log events of one stream. [`Invocations`] is the table of invocations that all of these read. The
//! extension uses [`parse_batch`], [`Aggregator`] and [`Invocations`], and in direct mode also a [`Converter`] for the lines of
//! its environment.
//!
//! The crate is pure: events in, OTLP out. Time and identity are arguments; environment, clock and network are not used. No input
//! panics.
//!
//! # Modules
//!
//! - `convert` applies the other modules to the lines of one log stream. Its own file decides which of Lambda's events become log
//!   records (`logs` decides their level), which lines count as metrics, and which are consumed. The extension uses it in direct
//!   mode. `convert/statements` takes what lines and spans say about the ends of invocations, `convert/result` makes the OTLP,
//!   and leaves out the span of an invocation if the function wrote one.
//! - `event`: the types of Lambda's own events in all notations. `read/text` and `read/telemetry` read them.
//! - `read/line` reads a line of the function. `field` has the keys and values of JSON and `key=value` (`read/logfmt`), `found`
//!   chooses level, message, time with its unit, and ids by the keys of `read/keys`; `record` makes the record. `inspected` reads
//!   objects as Node prints them, `typed` has the values.
//! - `read/head` is the grammar of text before a message. `evidence` says where levels and loggers' names stand, and where a
//!   level is certain; elsewhere `prose` decides whether what follows casts doubt on it. `read/combinations` tests both with all
//!   formats, messages and ids.
//! - `read/severity` has the words of levels, `read/time` dates in text, `read/exceptions` the shapes of exceptions in records.
//! - `read/runtime_error`: the runtimes' lines about failed invocations, with and without a level. `read/runtime_text`: exhausted
//!   memory.
//! - `read/crash` reads failed programs. `lines` recognizes single lines (a frame, the first line of a stack trace),
//!   `report_state` joins the log events of one crash by them, `exception` reads the joined text. Another language begins in
//!   `lines`.
//! - `read/fingerprint` recognizes the same failure again, by the frames that `read/stack` reads.
//! - `outcome` decides from all evidence how an invocation ended, and the status of its span. `recent` remembers what earlier
//!   deliveries said about invocations whose report is missing.
//! - `read/whole_line` decides whether we may leave one of Lambda's lines out of the log records.
//! - `identity`: service name and resource of a log stream. `names`: names of attributes. `options`: the user's choices.
//! - `invocations` is the only table of invocations, with an entry for each request id: `running` decides the invocation of a
//!   line that names none, `facts` has tenant and durable execution, `seen_spans` its trace and root, `ends` the evidence of its
//!   end and what was counted, `spans` its open span, `received` what the extension received. Records, metrics and spans read it.
//!   `limits` has all its limits; `end_chunk` keeps what a stream's next chunk needs. In direct mode there are two: the
//!   converter's follows the lines as they come and begins again after a panic, the extension's holds ends back.
//! - `logs`: content and level of a log record of a line, of Lambda's event (ERROR by `is_failure` in `event`), and of an
//!   undecodable line. `records` writes protobuf.
//! - `metrics/aggregator` decides which metrics one of Lambda's events counts, and whether forwarder or extension makes them
//!   (`Owner`). `figures` has the metrics of a report, `error_type` the types of
//!   failures. `metrics/instrument` has names, units and buckets. `metrics/points` adds up; the error type is the only attribute
//!   of these data points.
//! - `metrics/emf`: functions' metrics in the embedded metric format. `metadata` reads the member `_aws` of a line, `line` the
//!   values, units and time that it names, `points` adds them up.
//! - `spans/open_span` has the events of an invocation until its span is written. `invocation_span` writes the span, `phases` the
//!   phases within it, `ids` has their ids.
//! - `executions`: executions of state machines and durable functions. `log_line` makes the records of a machine's log events,
//!   `history` the trace of an ended execution.
//! - `xray`: documents of X-Ray's SDKs. `aws_spans`: spans that X-Ray stores.

mod attributes;
mod aws_spans;
mod convert;
mod event;
mod executions;
mod identity;
mod invocations;
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
pub use executions::{
    EndedExecution, ExecutionKind, ExecutionOutcome, History, Home, NoEndedExecution, NoPage,
};
pub use identity::{Identity, LogSource};
pub use invocations::{Attempt, Invocations, KnownRoot, Received};
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
pub use spans::invocation_span::resource_spans;
pub use spans::open_span::{FunctionRoot, ShutdownReason, XRaySegment};
pub use xray::XRayDocument;
