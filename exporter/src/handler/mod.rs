//! Wraps handlers and services so that each invocation is a span and its telemetry is written before the response.

mod answer;
mod error_record;
mod execution;
pub(crate) mod handler_error;
pub(crate) mod http_route;
pub(crate) mod instrumentation;
pub(crate) mod invocation_future;
pub(crate) mod invocation_span;
#[cfg(feature = "axum")]
pub(crate) mod matched_path;
mod new_span;
pub(crate) mod outcome;
pub(crate) mod panic_place;
pub(crate) mod tracing_layer;

#[cfg(any(test, feature = "lambda-otel-lite"))]
#[doc(hidden)]
pub use crate::lambda_otel_lite::create_traced_handler;
pub use handler_error::{DiagnosticForm, DisplayForm, HandlerError};
pub use http_route::set_http_route;
pub use invocation_future::InvocationFuture;
#[cfg(feature = "axum")]
pub use matched_path::MatchedPathLayer;
pub use tracing_layer::{
    InvocationBody, OtelStreamingLayer, OtelStreamingService, OtelTracingLayer, OtelTracingService,
};

use crate::state::completion::TelemetryCompletionHandler;
use crate::trigger::{EventExtractor, Extractor};
use instrumentation::{Instrumentation, span_options};
use lambda_runtime::{LambdaEvent, Service};
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use serde::Serialize;
use std::borrow::Cow;
use std::fmt::{self, Debug};
use std::marker::PhantomData;
use std::task::{self, Poll};

/// A handler with a span for each invocation; a [`Service`] for [`lambda_runtime::run`]. `Form` is inferred
/// ([`HandlerError`]).
pub struct TracedHandler<F, X = EventExtractor, Form = DisplayForm> {
    handler: F,
    instrumentation: Instrumentation<X>,
    form: PhantomData<fn() -> Form>,
}

impl<F: Clone, X: Clone, Form> Clone for TracedHandler<F, X, Form> {
    fn clone(&self) -> Self {
        Self {
            handler: self.handler.clone(),
            instrumentation: self.instrumentation.clone(),
            form: PhantomData,
        }
    }
}

impl<F, X, Form> Debug for TracedHandler<F, X, Form> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracedHandler")
            .field("instrumentation", &self.instrumentation)
            .finish_non_exhaustive()
    }
}

impl<F, Form> TracedHandler<F, EventExtractor, Form> {
    /// Wraps `handler`. `name` is the fallback for spans whose event has no better name.
    pub fn new(
        name: impl Into<Cow<'static, str>>,
        completion_handler: TelemetryCompletionHandler,
        handler: F,
    ) -> Self {
        let instrumentation =
            Instrumentation::at_end_of_init(completion_handler).with_default_name(name.into());
        Self { handler, instrumentation, form: PhantomData }
    }
}

impl<F, X, Form> TracedHandler<F, X, Form> {
    span_options!();

    /// Describes invocations with this extractor instead of the event's own [`SpanAttributesExtractor`](crate::trigger::SpanAttributesExtractor), which the event need not
    /// implement then.
    #[must_use]
    pub fn with_extractor<Other>(self, extractor: Other) -> TracedHandler<F, Other, Form> {
        let instrumentation = self.instrumentation.with_extractor(extractor);
        TracedHandler { handler: self.handler, instrumentation, form: PhantomData }
    }
}

impl<T, R, E, F, Fut, X, Form> Service<LambdaEvent<T>> for TracedHandler<F, X, Form>
where
    F: FnMut(LambdaEvent<T>) -> Fut,
    Fut: Future<Output = Result<R, E>>,
    X: Extractor<T>,
    R: Serialize,
    E: HandlerError<Form>,
{
    type Response = R;
    type Error = E;
    type Future = InvocationFuture<Fut>;

    fn poll_ready(&mut self, _task: &mut task::Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, event: LambdaEvent<T>) -> Self::Future {
        self.instrumentation.invoke(event, &mut self.handler)
    }
}
