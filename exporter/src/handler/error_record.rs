//! The log record of a handler's error.
//!
//! In other languages the runtime prints the error, and the forwarder makes a record of the line. Rust's runtime only logs it to the
//! `tracing` subscriber, and after the write of the invocation: so this library writes the record, and its subscriber leaves the
//! runtime's event out.

use super::outcome::{FailureKind, HandlerFailure};
use crate::invocations::InvocationNumber;
use crate::state::{Telemetry, scope};
use opentelemetry::Context;
use opentelemetry::logs::{LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry::trace::TraceContextExt as _;
use wire::fingerprint;
use wire::resource::{EXCEPTION_FINGERPRINT, FAAS_INVOCATION_ID};

/// Writes the record, in the context of the invocation's span, unless the failure has another one.
pub(super) fn write(
    telemetry: &Telemetry,
    number: InvocationNumber,
    context: &Context,
    failure: &HandlerFailure,
) {
    if failure.kind != FailureKind::Error || !telemetry.records_errors() {
        return;
    }
    let HandlerFailure { error_type, message, stack_trace, .. } = failure;
    let logger = telemetry.logger_provider.logger_with_scope(scope());
    let mut record = logger.create_log_record();
    record.set_severity_number(Severity::Error);
    record.set_severity_text("ERROR");
    record.set_body(if message.is_empty() { error_type } else { message }.clone().into());
    // Names the invocation also without a span, which a caller's decision may suppress.
    if let Some(request_id) = telemetry.invocations.request_id(number) {
        record.add_attribute(FAAS_INVOCATION_ID, request_id);
    }
    record.add_attribute("exception.type", error_type.clone());
    record.add_attribute("exception.message", message.clone());
    if !stack_trace.is_empty() {
        record.add_attribute("exception.stacktrace", stack_trace.clone());
    }
    record.add_attribute(EXCEPTION_FINGERPRINT, fingerprint::from_message(error_type, message));
    let span = context.span();
    let ids = span.span_context();
    if ids.is_valid() {
        record.set_trace_context(ids.trace_id(), ids.span_id(), Some(ids.trace_flags()));
    }
    logger.emit(record);
}
