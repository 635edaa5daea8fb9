//! The keys of structured log lines: which of them are level, message, time and ids.
//!
//! Source: Lambda's JSON log format (each runtime has its own keys), Powertools for AWS Lambda, and the documentation of each
//! logger. A logger with other keys needs a row here.

use Rank::{Derived, Doubtful, Last, OfException, Rare, Usual};
use std::sync::LazyLock;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The level as a word, or as a number of pino, bunyan, Monolog or GELF.
    Level,
    /// A word that may be a level or something else. It also stays an attribute.
    Status,
    /// Python's `levelno`.
    PythonNumber,
    /// MongoDB's letter, which other records use for other things.
    MongoLetter,
    /// OpenTelemetry's own number.
    OtelNumber,
    Message,
    /// A message only if there is a level: other lines use the key for their data.
    MessageOfLogger,
    ErrorMessage,
    ErrorType,
    /// An exception: an object, or the text of a stack trace. Any other value stays an attribute.
    Exception,
    StackTrace,
    /// The line of another logger.
    Log,
    Time,
    RequestId,
    /// The request id in the keys of Lambda's own runtimes.
    RuntimeRequestId,
    TraceId,
    SpanId,
    DatadogTraceId,
    DatadogSpanId,
    Traceparent,
    XRayTraceId,
    TenantId,
    DurableExecution,
    /// An object, or a list of objects, that may have ids, level or message.
    Nested,
}

impl Role {
    /// Returns `true` for the ids of a trace or an invocation.
    pub(crate) fn is_id(self) -> bool {
        matches!(
            self,
            Self::RequestId
                | Self::RuntimeRequestId
                | Self::TraceId
                | Self::SpanId
                | Self::DatadogTraceId
                | Self::DatadogSpanId
                | Self::Traceparent
                | Self::XRayTraceId
        )
    }
}

impl Role {
    fn is_of_logger(self) -> bool {
        !self.is_id() && !matches!(self, Self::TenantId | Self::DurableExecution)
    }

    /// Returns `true` for what a record may state about an exception.
    pub(crate) fn is_error(self) -> bool {
        matches!(self, Self::ErrorMessage | Self::ErrorType | Self::Exception | Self::StackTrace)
    }
}

/// The certainty that a key has its role, the highest first. Of two keys with the same role the surer one counts, and then the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    Usual,
    /// A key of few loggers, or a number in addition to the word.
    Rare,
    /// A key that may mean something else: a template, a status, another tracer's id.
    Doubtful,
    /// A key whose value also states something else: an error with its message, a header with its ids.
    Derived,
    /// A key of an exception, which does not replace the record's own.
    OfException,
    /// A key of ordinary data, or in an object under another key.
    Last,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RankedRole {
    pub(crate) role: Role,
    pub(crate) rank: Rank,
}

struct KnownKey {
    key: &'static str,
    role: RankedRole,
}

/// No key is longer.
const MAX_BYTES: usize = 32;

pub(crate) fn role(key: &str) -> Option<Role> {
    ranked_role(key).map(|ranked| ranked.role)
}

/// The role of a key, with its rank. The keys of a logger count in any case with a small letter: all capitals are the names of
/// settings, and others write ids in other cases for other ids.
pub(crate) fn ranked_role(key: &str) -> Option<RankedRole> {
    let first = key.bytes().next();
    let small_first = first.map(|byte| byte.to_ascii_lowercase());
    find(key.len(), |known, role| {
        // The first byte excludes most keys.
        let known_first = known.bytes().next();
        known_first == first && known == key
            || role.is_of_logger()
                && known_first == small_first
                && known.eq_ignore_ascii_case(key)
                && key.len() > 1
                && key.bytes().any(|byte| byte.is_ascii_lowercase())
    })
}

/// The role of a key in an object under another key: that of both with a point between them, or that of an id.
pub(crate) fn role_in(outer: &str, key: &str) -> Option<Role> {
    let is = |known: &str, _| {
        known.strip_prefix(outer).and_then(|rest| rest.strip_prefix('.')) == Some(key)
    };
    let in_object = find(outer.len() + 1 + key.len(), is).map(|ranked| ranked.role);
    in_object.or_else(|| role(key).filter(|role| role.is_id()))
}

fn find(bytes: usize, is: impl Fn(&str, Role) -> bool) -> Option<RankedRole> {
    /// The keys by their length, which excludes most of them at once.
    static ROLES: LazyLock<[Vec<KnownKey>; MAX_BYTES]> = LazyLock::new(|| {
        let mut roles = [const { Vec::new() }; MAX_BYTES];
        for &(role, rank, keys) in &KEYS {
            for &key in keys {
                if let Some(same_length) = roles.get_mut(key.len()) {
                    same_length.push(KnownKey { key, role: RankedRole { role, rank } });
                }
            }
        }
        roles
    });
    let mut same_length = ROLES.get(bytes)?.iter();
    same_length.find(|known| is(known.key, known.role.role)).map(|known| known.role)
}

static KEYS: [(Role, Rank, &[&str]); 44] = [
    (Role::Level, Usual, &["level", "log.level", "log_level", "loglevel", "_loglevel", "lvl", "L"]),
    (Role::Level, Usual, &["@level", "@l", "severity", "severity_text", "severitytext"]),
    (Role::Level, Usual, &["levelname", "level_name", "LEVEL"]),
    (Role::PythonNumber, Rare, &["levelno"]),
    (Role::MongoLetter, Rare, &["s"]),
    (Role::OtelNumber, Rare, &["severitynumber", "severity_number"]),
    (Role::Status, Doubtful, &["status", "messagetype", "at"]),
    (Role::Message, Usual, &["message", "msg", "@m"]),
    (Role::Message, Rare, &["M", "@message", "short_message", "renderedmessage", "textpayload"]),
    (Role::MessageOfLogger, Doubtful, &["@mt", "messagetemplate", "event", "body", "log_format"]),
    (Role::MessageOfLogger, Last, &["text"]),
    (Role::ErrorMessage, Derived, &["errormessage"]),
    (Role::ErrorMessage, OfException, &["error.message", "exception.message", "exception_message"]),
    (Role::ErrorType, Usual, &["errortype", "error.type", "error.kind", "error.name"]),
    (Role::ErrorType, Usual, &["exception.type", "exception_name", "exception_class", "exc_type"]),
    (Role::Exception, Usual, &["exception", "error", "err", "exc_info", "exc_text", "@x"]),
    (Role::Exception, Usual, &["thrown", "throwable", "full_message", "exc", "cause"]),
    (Role::StackTrace, Usual, &["stack", "stacktrace", "stack_trace", "error.stack_trace"]),
    (Role::StackTrace, Usual, &["error.stack", "exception.stacktrace", "backtrace", "traceback"]),
    (Role::Log, Rare, &["log"]),
    (Role::Time, Usual, &["timestamp", "@timestamp", "time", "timemillis", "datetime", "asctime"]),
    (Role::Time, Usual, &["@t", "ts", "t", "T"]),
    (Role::Time, Rare, &["eventtime"]),
    (Role::RuntimeRequestId, Usual, &["requestId", "AWSRequestId"]),
    (Role::RequestId, Rare, &["awsRequestId", "aws_request_id", "lambda_request_id"]),
    (Role::RequestId, Rare, &["function_request_id", "functionRequestId", "FunctionRequestId"]),
    (Role::RequestId, Rare, &["faas.invocation_id"]),
    (Role::TraceId, Usual, &["trace_id", "traceId", "TraceId", "traceID", "trace.id"]),
    (Role::TraceId, Usual, &["otelTraceID", "@tr", "TraceID", "traceid", "X-B3-TraceId"]),
    (Role::TraceId, Usual, &["AWS-XRAY-TRACE-ID"]),
    (Role::TraceId, Rare, &["logging.googleapis.com/trace"]),
    (Role::DatadogTraceId, Doubtful, &["dd.trace_id"]),
    (Role::Traceparent, Derived, &["traceparent"]),
    (Role::SpanId, Usual, &["span_id", "spanId", "SpanId", "spanID", "span.id", "otelSpanID"]),
    (Role::SpanId, Usual, &["@sp", "SpanID", "spanid", "X-B3-SpanId"]),
    (Role::SpanId, Rare, &["logging.googleapis.com/spanId"]),
    (Role::DatadogSpanId, Doubtful, &["dd.span_id"]),
    (Role::XRayTraceId, Usual, &["xray_trace_id", "xrayTraceId", "XrayTraceId", "XRayTraceId"]),
    (Role::XRayTraceId, Usual, &["_X_AMZN_TRACE_ID", "aws.xray.trace_id"]),
    (Role::TenantId, Usual, &["tenantId"]),
    (Role::DurableExecution, Usual, &["durableExecutionArn", "executionArn"]),
    // `fields` and `span` of tracing-subscriber, `record` of loguru, the context of Log4j and Logback, `Scopes` of .NET.
    (Role::Nested, Usual, &["fields", "span", "spans", "record", "trace", "dd", "mdc"]),
    (Role::Nested, Usual, &["contextmap", "context", "scopes", "extra", "properties"]),
    (Role::Nested, Usual, &["attributes", "instant", "_meta", "@fields", "MDC"]),
];
