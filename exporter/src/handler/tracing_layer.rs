//! The layer that creates spans for the invocations of any service.

use super::instrumentation::{Instrumentation, InvocationFuture, span_options};
use super::streaming::OtelStreamingLayer;
use super::trigger::{EventExtractor, Extractor};
use crate::telemetry::completion::TelemetryCompletionHandler;
use lambda_runtime::tower::Layer;
use lambda_runtime::{LambdaEvent, Service};
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use serde::Serialize;
use std::borrow::Cow;
use std::fmt::{Debug, Display};
use std::task::{self, Poll};

/// Creates a span for each invocation of a service, and writes its telemetry before the response, like
/// [`TracedHandler`](crate::TracedHandler). For services composed of `tower` layers, and for `lambda_http`'s adapter.
///
/// ```no_run
/// use lambda_otlp_exporter::{OtelTracingLayer, TelemetryConfig, init_telemetry};
/// use lambda_runtime::tower::ServiceBuilder;
/// use lambda_runtime::{Error, LambdaEvent};
/// use serde_json::{Value, json};
///
/// async fn handle(_event: LambdaEvent<Value>) -> Result<Value, Error> {
///     Ok(json!({ "statusCode": 200 }))
/// }
///
/// #[tokio::main(flavor = "current_thread")]
/// async fn main() -> Result<(), Error> {
///     let (_tracer, completion_handler) = init_telemetry(TelemetryConfig::default()).await?;
///     let service = ServiceBuilder::new()
///         .layer(OtelTracingLayer::new(completion_handler).with_name("orders"))
///         .service_fn(handle);
///     lambda_runtime::run(service).await
/// }
/// ```
#[derive(Clone, Debug)]
pub struct OtelTracingLayer<X = EventExtractor> {
    instrumentation: Instrumentation<X>,
}

impl OtelTracingLayer {
    /// Creates a layer. The function's name is the fallback for spans.
    #[must_use]
    pub fn new(completion_handler: TelemetryCompletionHandler) -> Self {
        Self { instrumentation: Instrumentation::new(completion_handler) }
    }
}

impl<X> OtelTracingLayer<X> {
    /// Sets the fallback name of spans whose event has no better one, such as its route.
    #[must_use]
    pub fn with_name(self, name: impl Into<Cow<'static, str>>) -> Self {
        Self { instrumentation: self.instrumentation.default_name(name.into()) }
    }

    span_options!();

    /// Describes invocations with this extractor instead of the event's own
    /// [`SpanAttributesExtractor`](crate::SpanAttributesExtractor), which the event need not implement then.
    #[must_use]
    pub fn with_extractor<Other>(self, extractor: Other) -> OtelTracingLayer<Other> {
        OtelTracingLayer { instrumentation: self.instrumentation.with_extractor(extractor) }
    }
}

impl<X> OtelTracingLayer<X> {
    /// Adapts the layer to a service that streams its responses.
    #[must_use]
    pub fn for_streaming(self) -> OtelStreamingLayer<X> {
        OtelStreamingLayer::new(self.instrumentation)
    }
}

impl<S, X> Layer<S> for OtelTracingLayer<X> {
    type Service = OtelTracingService<S, X>;

    fn layer(&self, inner: S) -> Self::Service {
        OtelTracingService { inner, instrumentation: self.instrumentation.clone() }
    }
}

/// A service with spans for its invocations, created by [`OtelTracingLayer`].
#[derive(Debug)]
pub struct OtelTracingService<S, X = EventExtractor> {
    inner: S,
    instrumentation: Instrumentation<X>,
}

impl<S: Clone, X> Clone for OtelTracingService<S, X> {
    fn clone(&self) -> Self {
        let (inner, instrumentation) = (self.inner.clone(), self.instrumentation.clone());
        Self { inner, instrumentation }
    }
}

impl<S, X, T> Service<LambdaEvent<T>> for OtelTracingService<S, X>
where
    S: Service<LambdaEvent<T>>,
    S::Future: Send + 'static,
    S::Response: Serialize + Send + 'static,
    S::Error: Display + Debug + Send + 'static,
    X: Extractor<T>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = InvocationFuture<S::Response, S::Error>;

    fn poll_ready(&mut self, task: &mut task::Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, event: LambdaEvent<T>) -> Self::Future {
        let Self { inner, instrumentation } = self;
        instrumentation.invoke(event, |event| inner.call(event))
    }
}
