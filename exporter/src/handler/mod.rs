//! Wraps a handler so that each invocation is a span and its telemetry is written before the response.

pub(crate) mod http_route;
mod instrumentation;
pub(crate) mod invocation_span;
#[cfg(feature = "axum")]
pub(crate) mod matched_path;
mod new_span;
pub(crate) mod outcome;
pub(crate) mod panic_place;
pub(crate) mod tracing_layer;
pub(crate) mod trigger;

use crate::telemetry::completion::TelemetryCompletionHandler;
pub use instrumentation::InvocationFuture;
use instrumentation::{Instrumentation, span_options};
use lambda_runtime::{LambdaEvent, Service};
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use serde::Serialize;
use std::borrow::Cow;
use std::fmt::{self, Debug, Display};
use std::future::Future;
use std::sync::Arc;
use std::task::{self, Poll};
use trigger::{EventExtractor, Extractor, SpanAttributesExtractor};

/// A handler with a span for each invocation; a [`Service`] for [`lambda_runtime::run`].
pub struct TracedHandler<F, X = EventExtractor> {
    handler: Arc<F>,
    instrumentation: Instrumentation<X>,
}

impl<F, X: Clone> Clone for TracedHandler<F, X> {
    fn clone(&self) -> Self {
        Self { handler: Arc::clone(&self.handler), instrumentation: self.instrumentation.clone() }
    }
}

impl<F, X> Debug for TracedHandler<F, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracedHandler")
            .field("instrumentation", &self.instrumentation)
            .finish_non_exhaustive()
    }
}

impl<F> TracedHandler<F> {
    /// Wraps `handler`. `name` is the fallback for spans whose event has no better name.
    pub fn new(
        name: impl Into<Cow<'static, str>>,
        completion_handler: TelemetryCompletionHandler,
        handler: F,
    ) -> Self {
        let instrumentation = Instrumentation::new(completion_handler).default_name(name.into());
        Self { handler: Arc::new(handler), instrumentation }
    }
}

impl<F, X> TracedHandler<F, X> {
    span_options!();

    /// Describes invocations with this extractor instead of the event's own [`SpanAttributesExtractor`], which the event need not
    /// implement then.
    #[must_use]
    pub fn with_extractor<Other>(self, extractor: Other) -> TracedHandler<F, Other> {
        let instrumentation = self.instrumentation.with_extractor(extractor);
        TracedHandler { handler: self.handler, instrumentation }
    }
}

impl<T, R, E, F, Fut, X> Service<LambdaEvent<T>> for TracedHandler<F, X>
where
    T: Send + 'static,
    F: Fn(LambdaEvent<T>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, E>> + Send + 'static,
    X: Extractor<T> + Send + Sync + 'static,
    R: Serialize + Send + 'static,
    E: Display + Debug + Send + 'static,
{
    type Response = R;
    type Error = E;
    type Future = InvocationFuture<R, E>;

    fn poll_ready(&mut self, _task: &mut task::Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, event: LambdaEvent<T>) -> Self::Future {
        self.instrumentation.invoke(event, |event| (self.handler)(event))
    }
}

/// Wraps a handler as a function for `lambda_runtime::service_fn`; [`TracedHandler`] has options in addition. `name` is the
/// fallback for spans whose event has no better name.
pub fn create_traced_handler<T, R, E, F, Fut>(
    name: impl Into<Cow<'static, str>>,
    completion_handler: TelemetryCompletionHandler,
    handler: F,
) -> impl Fn(LambdaEvent<T>) -> InvocationFuture<R, E> + Clone + Send + Sync + 'static
where
    T: SpanAttributesExtractor + Send + 'static,
    F: Fn(LambdaEvent<T>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, E>> + Send + 'static,
    R: Serialize + Send + 'static,
    E: Display + Debug + Send + 'static,
{
    let handler = TracedHandler::new(name, completion_handler, handler);
    move |event| handler.clone().call(event)
}
