//! The span of one invocation, which always ends.

use super::answer::{RULES, ResponseFacts};
use super::error_record;
use super::execution::Execution;
use super::handler_error::name_of_type;
use super::http_route;
use super::new_span::{SpanOptions, SpanStarter, StartedSpan, StartedSpans};
use super::outcome::{HandlerFailure, HandlerOutcome, execution_status};
use crate::bounded::within;
use crate::extension::Mode;
use crate::extension::invocations::Completed;
use crate::invocations::{CutOff, InvocationNumber, OpenInvocation};
use crate::state::Telemetry;
use crate::trigger::span_attributes::SpanAttributes;
use crate::trigger::{DESCRIPTION, fill};
use opentelemetry::trace::{SpanRef, Status, TraceContextExt as _};
use opentelemetry::{Context, KeyValue, Value};
use serde_json::json;
use std::num::NonZero;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{self, Poll, ready};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// The span of a running invocation. If it is dropped before it is finished, it ends as an error, so that every path ends the
/// span and writes the telemetry.
pub(super) struct InvocationSpan {
    telemetry: Arc<Telemetry>,
    /// The context of the invocation's span.
    context: Context,
    /// The span in which the handler runs: that of the messages, or else the invocation's.
    handler_span: StartedSpan,
    /// The number of the invocation among the running ones.
    number: InvocationNumber,
    /// The request id, for the extension; empty in other modes.
    request_id: String,
    /// The durable execution to which the invocation belongs.
    execution: Option<Box<Execution>>,
    state: SpanState,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SpanState {
    Running,
    Ended,
    Flushed,
}

impl InvocationSpan {
    /// Starts the span. If our own code panics, the handler runs without a span.
    pub(super) fn start(
        telemetry: &Arc<Telemetry>,
        lambda: &lambda_runtime::Context,
        options: &SpanOptions,
        mut extracted: SpanAttributes,
    ) -> Self {
        let number = telemetry.begin(lambda.deadline());
        let mut execution = Execution::take_from(&mut extracted, lambda).map(Box::new);
        let started = AssertUnwindSafe(|| {
            let spans = SpanStarter { telemetry, lambda, options, number };
            let started = spans.start(extracted, execution.as_deref_mut());
            let context = &started.root.context;
            let root = context.span().span_context().clone();
            let record = telemetry.announce_root(&lambda.request_id, &root);
            telemetry.invocations.note_root(number, context, &lambda.request_id, record);
            started
        });
        let StartedSpans { root, consumer } = catch_unwind(started).unwrap_or_else(|_| {
            StartedSpans { root: StartedSpan::only(Context::new()), consumer: None }
        });
        let mut request_id = String::new();
        if let Mode::Async(extension) = telemetry.fix_mode() {
            extension.begin(&lambda.request_id);
            request_id.clone_from(&lambda.request_id);
        }
        Self {
            telemetry: Arc::clone(telemetry),
            context: root.context.clone(),
            handler_span: consumer.unwrap_or(root),
            number,
            request_id,
            execution,
            state: SpanState::Running,
        }
    }

    /// The context in which the handler runs.
    pub(super) fn context(&self) -> &Context {
        &self.handler_span.context
    }

    /// The span in `tracing` in which the handler runs; disabled without a subscriber of ours.
    pub(super) fn span(&self) -> &tracing::Span {
        &self.handler_span.in_tracing
    }

    /// Returns `true` for an invocation of a durable function.
    pub(super) fn is_durable_execution(&self) -> bool {
        self.execution.is_some()
    }

    /// Ends the span and writes the telemetry. The application's processors may have exporters that need the runtime's thread,
    /// which would wait for them; then another thread waits.
    pub(super) fn finish(mut self, outcome: &HandlerOutcome) -> Writing {
        self.end_span(outcome);
        if self.leave_write_for_later() {
            return Writing { invocation: self, thread: None };
        }
        let needs_thread = self.telemetry.has_application_processors;
        if let Some(Ok(runtime)) = needs_thread.then(Handle::try_current) {
            let telemetry = Arc::clone(&self.telemetry);
            let number = self.number;
            let thread = runtime.spawn_blocking(move || telemetry.write_and_forget(&[number]));
            return Writing { invocation: self, thread: Some(thread) };
        }
        self.telemetry.write_and_forget(&[self.number]);
        self.state = SpanState::Flushed;
        Writing { invocation: self, thread: None }
    }

    /// Ends the span as an error, and writes the telemetry at once.
    pub(super) fn fail(mut self, failure: HandlerFailure) {
        self.end_span(&Err(failure));
        // The telemetry is written when this is dropped.
    }

    /// Leaves the write to the extension after the response, or to the end of the environment. Returns `false` if the mode does
    /// not allow it.
    fn leave_write_for_later(&mut self) -> bool {
        let is_later = match self.telemetry.mode() {
            Mode::Sync => false,
            Mode::Async(extension) => {
                let request_id = std::mem::take(&mut self.request_id);
                extension.complete(Completed { request_id, number: self.number })
            }
            Mode::Finalize => {
                self.telemetry.invocations.forget(self.number);
                true
            }
        };
        if is_later {
            self.state = SpanState::Flushed;
        }
        is_later
    }

    fn end_span(&mut self, outcome: &HandlerOutcome) {
        if self.state != SpanState::Running {
            return;
        }
        self.state = SpanState::Ended;
        let handler_span = self.handler_span.context.span();
        if handler_span.span_context() != self.context.span().span_context() {
            drop(catch_unwind(AssertUnwindSafe(|| end_consumer(&handler_span, outcome))));
        }
        end_root(&self.telemetry, self.number, &self.context, outcome);
        if let Some(execution) = &self.execution {
            let ended = || end_execution(&self.telemetry, execution, outcome);
            drop(catch_unwind(AssertUnwindSafe(ended)));
        }
        self.telemetry.invocations.drop_context(self.number);
    }
}

/// The write of an ended invocation. Dropped before it is over, it writes what is left at once.
pub(super) struct Writing {
    invocation: InvocationSpan,
    /// The thread that writes; `None` if nothing is left.
    thread: Option<JoinHandle<()>>,
}

impl Future for Writing {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<()> {
        if let Some(thread) = &mut self.thread {
            // It panics or is cancelled only with the runtime.
            ready!(Pin::new(thread).poll(task)).ok();
            self.thread = None;
        }
        self.invocation.state = SpanState::Flushed;
        Poll::Ready(())
    }
}

/// Writes the span of a durable execution if the invocation has ended it.
fn end_execution(telemetry: &Telemetry, execution: &Execution, outcome: &HandlerOutcome) {
    let Some((status, failure)) = execution_status(outcome) else { return };
    let answer = json!({ "Status": status });
    if RULES.durable.ended.hold_for(&answer) {
        execution.write_span(telemetry, status, failure);
    }
}

/// Ends the span of an invocation. Its telemetry is written even if recording the outcome panics.
fn end_root(
    telemetry: &Telemetry,
    number: InvocationNumber,
    context: &Context,
    outcome: &HandlerOutcome,
) {
    let recorded = AssertUnwindSafe(|| record_outcome(context, outcome));
    let keys = catch_unwind(recorded).unwrap_or_default();
    let has_failed = outcome.as_ref().is_err_and(HandlerFailure::is_of_handler);
    telemetry.invocations.note_end(number, keys, has_failed);
    if let Err(failure) = outcome {
        drop(catch_unwind(AssertUnwindSafe(|| {
            error_record::write(telemetry, number, context, failure);
        })));
    }
    drop(catch_unwind(AssertUnwindSafe(|| context.span().end())));
}

/// Records the outcome on the span of the context. Returns the keys of its attributes.
fn record_outcome(context: &Context, outcome: &HandlerOutcome) -> Vec<&'static str> {
    let span = context.span();
    let mut keys = Vec::new();
    if !span.is_recording() {
        return keys;
    }
    http_route::apply(context, &span);
    let mut set = |key: &'static str, value: Value| {
        keys.push(key);
        span.set_attribute(KeyValue::new(key, value));
    };
    match outcome {
        // Success leaves the status unset, so that an error set by the handler remains.
        Ok(ResponseFacts { status_code, batch_item_failures, .. }) => {
            if let Some(code) = status_code {
                set(RULES.http_status.attribute.as_str(), i64::from(*code).into());
                if *code >= RULES.http_status.least_failed && *batch_item_failures == 0 {
                    set("error.type", code.to_string().into());
                    span.set_status(Status::error(""));
                }
            }
            if let Some(failed) = NonZero::new(*batch_item_failures) {
                let count = i64::try_from(failed.get()).unwrap_or(i64::MAX);
                set(RULES.failed_messages.attribute.as_str(), count.into());
            }
        }
        Err(failure) => {
            add_exception(&span, failure);
            if let Some(code) = failure.status_code {
                set(RULES.http_status.attribute.as_str(), i64::from(code).into());
            }
        }
    }
    if let Some((status, _)) = execution_status(outcome) {
        set(DESCRIPTION.durable.attributes.status.as_str(), status.into());
    }
    if let Some(SpanError { error_type, message }) = SpanError::of(outcome) {
        set("error.type", error_type.into());
        span.set_status(Status::error(message));
    }
    keys
}

/// The error of a failed span, except for an HTTP status.
struct SpanError {
    error_type: String,
    message: String,
}

impl SpanError {
    fn of(outcome: &HandlerOutcome) -> Option<Self> {
        match outcome {
            Ok(ResponseFacts { batch_item_failures: 0, .. }) => None,
            Ok(ResponseFacts { batch_item_failures: failed, .. }) => Some(Self {
                error_type: RULES.failed_messages.error_type.as_str().to_owned(),
                message: fill(RULES.failed_messages.message.as_str(), |_| Some(failed.to_string()))
                    .unwrap_or_default(),
            }),
            Err(HandlerFailure { error_type, message, .. }) => {
                Some(Self { error_type: error_type.clone(), message: message.clone() })
            }
        }
    }
}

fn add_exception(span: &SpanRef<'_>, failure: &HandlerFailure) {
    let mut attributes = vec![
        KeyValue::new("exception.type", failure.error_type.clone()),
        KeyValue::new("exception.message", failure.message.clone()),
    ];
    if !failure.stack_trace.is_empty() {
        attributes.push(KeyValue::new("exception.stacktrace", failure.stack_trace.clone()));
    }
    span.add_event("exception", attributes);
}

/// Ends the span of the messages, which failed if the handler did.
fn end_consumer(span: &SpanRef<'_>, outcome: &HandlerOutcome) {
    if let Some(SpanError { error_type, message }) = SpanError::of(outcome) {
        span.set_attribute(KeyValue::new("error.type", error_type));
        span.set_status(Status::error(message));
    }
    span.end();
}

impl Drop for InvocationSpan {
    fn drop(&mut self) {
        self.end_span(&Err(if std::thread::panicking() {
            HandlerFailure::task_panicked()
        } else {
            HandlerFailure::cancelled("the handler's future was dropped before it was ready")
        }));
        if self.state != SpanState::Flushed && !self.leave_write_for_later() {
            self.telemetry.write_and_forget(&[self.number]);
        }
    }
}

/// Writes the failed span of an invocation whose event the runtime does not pass to the handler. `record` is called inside it.
pub(crate) fn write_refused_invocation(
    telemetry: &Arc<Telemetry>,
    lambda: &lambda_runtime::Context,
    error: &str,
    record: impl FnOnce(),
) {
    let default_name = telemetry.default_name.get().cloned();
    let options = SpanOptions { default_name, ..SpanOptions::default() };
    let invocation = InvocationSpan::start(telemetry, lambda, &options, SpanAttributes::default());
    let active = invocation.context().clone().attach();
    record();
    drop(active);
    invocation.fail(HandlerFailure::refused(name_of_type(error), error));
}

/// Adds the write to the process's panic hook, after the existing one.
pub(crate) fn write_before_abort(telemetry: &Arc<Telemetry>) {
    let telemetry: Weak<Telemetry> = Arc::downgrade(telemetry);
    let is_writing = AtomicBool::new(false);
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        before(info);
        // A panic of the write itself is not written.
        if let Some(telemetry) = telemetry.upgrade()
            && !is_writing.swap(true, Ordering::Relaxed)
        {
            end_all(&telemetry, HandlerFailure::of_panic(info.payload()));
        }
    }));
}

/// Ends all running invocations and writes the telemetry in another thread, because this one may hold a lock that the write
/// needs. Waits as long as for any write.
pub(crate) fn end_all(telemetry: &Arc<Telemetry>, failure: HandlerFailure) {
    let telemetry = Arc::clone(telemetry);
    let outcome = Err(failure);
    let timeout = telemetry.line.write_timeout();
    within(timeout, move || {
        let mut numbers = Vec::new();
        for OpenInvocation { number, context } in telemetry.invocations.take_open() {
            numbers.push(number);
            end_root(&telemetry, number, &context, &outcome);
        }
        telemetry.write_open(|_| true, CutOff::PANIC);
        telemetry.write_and_forget(&numbers);
    });
}
