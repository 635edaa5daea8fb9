//! The keys of structured log lines: which of them are level, message, time and ids.
//!
//! Source: Lambda's JSON log format (each runtime has its own keys), Powertools for AWS Lambda, and the documentation of each
//! logger. A logger with other keys needs a row here.

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
    /// A message only beside a level: other lines use the key for their data.
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

type SameLength = Vec<(&'static str, Role, u8)>;

/// No key is longer.
const MOST_BYTES: usize = 32;

/// The role of a key, and its rank: of two keys with the same role the lower rank counts, and then the first. The keys of a logger
/// count in any case with a small letter: all capitals are the names of settings, and others write ids in other cases for other ids.
pub(crate) fn role(key: &str) -> Option<(Role, u8)> {
    let first = key.as_bytes().first().map(u8::to_ascii_lowercase);
    find(key.len(), |known, role| {
        known == key
            || role.is_of_logger()
                && known.bytes().next() == first
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
    let id = || role(key).filter(|(role, _)| role.is_id());
    find(outer.len() + 1 + key.len(), is).or_else(id).map(|(role, _)| role)
}

fn find(bytes: usize, is: impl Fn(&str, Role) -> bool) -> Option<(Role, u8)> {
    /// The keys by their length, which excludes most of them at once.
    static ROLES: LazyLock<[SameLength; MOST_BYTES]> = LazyLock::new(|| {
        let mut roles = [const { Vec::new() }; MOST_BYTES];
        for (role, rank, keys) in &KEYS {
            for key in *keys {
                if let Some(same_length) = roles.get_mut(key.len()) {
                    same_length.push((*key, *role, *rank));
                }
            }
        }
        roles
    });
    let same_length = ROLES.get(bytes)?.iter();
    same_length
        .copied()
        .find(|(known, role, _)| is(known, *role))
        .map(|(_, role, rank)| (role, rank))
}

static KEYS: [(Role, u8, &[&str]); 43] = [
    (Role::Level, 0, &["level", "log.level", "log_level", "loglevel", "_loglevel", "lvl", "L"]),
    (Role::Level, 0, &["@level", "@l", "severity", "severity_text", "severitytext", "levelname"]),
    (Role::Level, 0, &["level_name", "LEVEL"]),
    (Role::PythonNumber, 1, &["levelno"]),
    (Role::MongoLetter, 1, &["s"]),
    (Role::OtelNumber, 1, &["severitynumber", "severity_number"]),
    (Role::Status, 2, &["status", "messagetype", "at"]),
    (Role::Message, 0, &["message", "msg", "@m"]),
    (Role::Message, 1, &["M", "@message", "short_message", "renderedmessage", "textpayload"]),
    (Role::MessageOfLogger, 2, &["@mt", "messagetemplate", "event", "body", "log_format"]),
    (Role::MessageOfLogger, 5, &["text"]),
    (Role::ErrorMessage, 3, &["errormessage"]),
    (Role::ErrorMessage, 4, &["error.message", "exception.message", "exception_message"]),
    (Role::ErrorType, 0, &["errortype", "error.type", "error.kind", "error.name"]),
    (Role::ErrorType, 0, &["exception.type", "exception_name", "exception_class", "exc_type"]),
    (Role::Exception, 0, &["exception", "error", "err", "exc_info", "exc_text", "@x", "thrown"]),
    (Role::Exception, 0, &["throwable", "full_message"]),
    (Role::StackTrace, 0, &["stack", "stacktrace", "stack_trace", "error.stack_trace"]),
    (Role::StackTrace, 0, &["error.stack", "exception.stacktrace", "backtrace", "traceback"]),
    (Role::Log, 1, &["log"]),
    (Role::Time, 0, &["timestamp", "@timestamp", "time", "timemillis", "datetime", "asctime"]),
    (Role::Time, 0, &["@t", "ts", "t", "T"]),
    (Role::Time, 1, &["eventtime"]),
    (Role::RuntimeRequestId, 0, &["requestId", "AWSRequestId"]),
    (Role::RequestId, 1, &["awsRequestId", "aws_request_id", "lambda_request_id"]),
    (Role::RequestId, 1, &["function_request_id", "functionRequestId", "FunctionRequestId"]),
    (Role::RequestId, 1, &["faas.invocation_id"]),
    (Role::TraceId, 0, &["trace_id", "traceId", "TraceId", "traceID", "trace.id", "otelTraceID"]),
    (Role::TraceId, 0, &["@tr", "TraceID", "traceid", "X-B3-TraceId", "AWS-XRAY-TRACE-ID"]),
    (Role::TraceId, 1, &["logging.googleapis.com/trace"]),
    (Role::DatadogTraceId, 2, &["dd.trace_id"]),
    (Role::Traceparent, 3, &["traceparent"]),
    (Role::SpanId, 0, &["span_id", "spanId", "SpanId", "spanID", "span.id", "otelSpanID", "@sp"]),
    (Role::SpanId, 0, &["SpanID", "spanid", "X-B3-SpanId"]),
    (Role::SpanId, 1, &["logging.googleapis.com/spanId"]),
    (Role::DatadogSpanId, 2, &["dd.span_id"]),
    (Role::XRayTraceId, 0, &["xray_trace_id", "xrayTraceId", "XrayTraceId", "XRayTraceId"]),
    (Role::XRayTraceId, 0, &["_X_AMZN_TRACE_ID", "aws.xray.trace_id"]),
    (Role::TenantId, 0, &["tenantId"]),
    (Role::DurableExecution, 0, &["durableExecutionArn", "executionArn"]),
    // `fields` and `span` of tracing-subscriber, `record` of loguru, the context of Log4j and Logback, `Scopes` of .NET.
    (Role::Nested, 0, &["fields", "span", "spans", "record", "trace", "dd", "mdc", "contextmap"]),
    (Role::Nested, 0, &["context", "scopes", "extra", "properties", "attributes", "instant"]),
    (Role::Nested, 0, &["_meta", "@fields", "MDC"]),
];
