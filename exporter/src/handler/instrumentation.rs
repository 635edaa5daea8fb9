//! Runs the handler of an invocation inside its span, for wrapped handlers and layers alike.

use super::handler_error::HandlerError;
use super::invocation_future::{End, Ended, InvocationFuture};
use super::invocation_span::InvocationSpan;
use super::new_span::SpanOptions;
use super::outcome::outcome_of;
use crate::invocations::Invocations;
use crate::output::stderr;
use crate::state::Telemetry;
use crate::state::completion::TelemetryCompletionHandler;
use crate::trigger::span_attributes::SpanAttributes;
use crate::trigger::{EventExtractor, Extractor};
use lambda_runtime::LambdaEvent;
use serde::Serialize;
use std::borrow::Cow;
use std::fmt::{self, Debug};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The options shared by wrapped handlers and layers.
macro_rules! span_options {
    () => {
        setters! { |builder|
            /// Sets the name of the spans, which overrides the event's.
            with_span_name(name: impl Into<Cow<'static, str>>) => builder.instrumentation.options_mut().name = Some(name.into());
            /// Sets the kind of the spans, which overrides the event's. The default is SERVER, and messages have a CONSUMER span
            /// below it. With a kind set, the attributes and links of messages belong to the invocation's span.
            with_kind(kind: SpanKind) => builder.instrumentation.options_mut().kind = Some(kind);
            /// Adds attributes to each span.
            with_attributes(attributes: impl IntoIterator<Item = KeyValue>) => builder.instrumentation.options_mut().attributes.extend(attributes);
        }
    };
}
pub(super) use span_options;

#[derive(Clone)]
pub(crate) struct Instrumentation<X> {
    extractor: X,
    options: Arc<SpanOptions>,
    telemetry: Arc<Telemetry>,
}

impl<X> Debug for Instrumentation<X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.options.fmt(f)
    }
}

impl Instrumentation<EventExtractor> {
    /// Writes the telemetry of the init, at whose end the handler is made. Invocations use the events' own descriptions; the
    /// function's name is the fallback for spans.
    pub(crate) fn at_end_of_init(completion: TelemetryCompletionHandler) -> Self {
        completion.telemetry.write_init();
        let options = Arc::default();
        Self { extractor: EventExtractor, options, telemetry: completion.telemetry }
    }
}

impl<X> Instrumentation<X> {
    /// Sets the name of spans whose event has no better one, and of invocations that the runtime refuses.
    pub(crate) fn with_default_name(mut self, name: Cow<'static, str>) -> Self {
        self.telemetry.default_name.set(name.clone()).ok();
        self.options_mut().default_name = Some(name);
        self
    }

    pub(super) fn options_mut(&mut self) -> &mut SpanOptions {
        Arc::make_mut(&mut self.options)
    }

    pub(super) fn with_extractor<Other>(self, extractor: Other) -> Instrumentation<Other> {
        Instrumentation { extractor, options: self.options, telemetry: self.telemetry }
    }

    /// Runs one invocation. `handler` is called immediately, inside the span, and only once.
    pub(crate) fn invoke<T, R, E, Fut, Form>(
        &self,
        event: LambdaEvent<T>,
        handler: impl FnOnce(LambdaEvent<T>) -> Fut,
    ) -> InvocationFuture<Fut>
    where
        Fut: Future<Output = Result<R, E>>,
        X: Extractor<T>,
        R: Serialize,
        E: HandlerError<Form>,
    {
        self.begin(event, handler, |invocation, result| {
            let outcome = outcome_of(&result, invocation.is_durable_execution());
            Ended::Writing(invocation.finish(&outcome), result)
        })
    }

    /// Starts the span, and calls `handler` inside it. `end` ends the invocation.
    pub(super) fn begin<T, Fut, Output>(
        &self,
        event: LambdaEvent<T>,
        handler: impl FnOnce(LambdaEvent<T>) -> Fut,
        end: End<Fut, Output>,
    ) -> InvocationFuture<Fut, Output>
    where
        Fut: Future,
        X: Extractor<T>,
    {
        self.warn_of_two_wrappers();
        let extracted = self.extract(&event.payload);
        let invocation =
            InvocationSpan::start(&self.telemetry, &event.context, &self.options, extracted);
        let future = catch_unwind(AssertUnwindSafe(|| {
            let _active = invocation.context().clone().attach();
            invocation.span().in_scope(|| handler(event))
        }));
        InvocationFuture::new(invocation, future, end)
    }

    /// Reports once that an invocation runs inside another one, as its context says.
    fn warn_of_two_wrappers(&self) {
        let warned = &self.telemetry.warned_of_two_wrappers;
        if Invocations::is_inside_one() && !warned.swap(true, Ordering::Relaxed) {
            stderr::warn(
                "the handler is wrapped twice, so each invocation has two root spans: use either TracedHandler or OtelTracingLayer",
            );
        }
    }

    fn extract<T>(&self, event: &T) -> SpanAttributes
    where
        X: Extractor<T>,
    {
        catch_unwind(AssertUnwindSafe(|| self.extractor.extract(event))).unwrap_or_else(|_| {
            stderr::warn("the extractor panicked; the span lacks its attributes");
            SpanAttributes::default()
        })
    }
}
