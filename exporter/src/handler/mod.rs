//! Wraps a handler so that each invocation is a span and its telemetry is written before the response.

pub(crate) mod abort;
mod deprecated_names;
mod function_attributes;
mod invocation_span;
mod new_span;
pub(crate) mod outcome;
mod response_status;
pub(crate) mod trigger;

use crate::output::stderr;
use crate::telemetry::completion::TelemetryCompletionHandler;
use invocation_span::InvocationSpan;
use lambda_runtime::{LambdaEvent, Service};
use new_span::SpanOptions;
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use outcome::HandlerOutcome;
use serde::Serialize;
use std::any::Any;
use std::borrow::Cow;
use std::fmt::{self, Debug, Display};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{self, Poll};
use tracing::Instrument as _;
use trigger::span_attributes::SpanAttributes;
use trigger::{EventExtractor, Extractor, SpanAttributesExtractor};

/// The future of an invocation.
pub type InvocationFuture<R, E> = Pin<Box<dyn Future<Output = Result<R, E>> + Send>>;

/// A handler whose invocations are spans; a [`Service`] for [`lambda_runtime::run`].
///
/// ```no_run
/// use lambda_otlp_exporter::{
///     ApiGatewayV2Extractor, TelemetryConfig, TracedHandler, init_telemetry,
/// };
/// use lambda_runtime::{Error, LambdaEvent};
/// use opentelemetry::KeyValue;
/// use serde_json::{Value, json};
///
/// async fn handle(_event: LambdaEvent<Value>) -> Result<Value, Error> {
///     Ok(json!({ "statusCode": 200 }))
/// }
///
/// #[tokio::main(flavor = "current_thread")]
/// async fn main() -> Result<(), Error> {
///     let (_tracer, completion_handler) = init_telemetry(TelemetryConfig::default()).await?;
///     let handler = TracedHandler::new("orders", completion_handler, handle)
///         .with_attributes([KeyValue::new("team", "shop")])
///         .with_extractor(ApiGatewayV2Extractor::new());
///     lambda_runtime::run(handler).await
/// }
/// ```
pub struct TracedHandler<F, X = EventExtractor> {
    handler: Arc<F>,
    extractor: Arc<X>,
    options: Arc<SpanOptions>,
    completion: TelemetryCompletionHandler,
}

impl<F, X> Clone for TracedHandler<F, X> {
    fn clone(&self) -> Self {
        Self {
            handler: Arc::clone(&self.handler),
            extractor: Arc::clone(&self.extractor),
            options: Arc::clone(&self.options),
            completion: self.completion.clone(),
        }
    }
}

impl<F, X> Debug for TracedHandler<F, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TracedHandler").field("options", &self.options).finish_non_exhaustive()
    }
}

impl<F> TracedHandler<F> {
    /// Wraps `handler`; spans are called `name` where the event gives no better name.
    pub fn new(
        name: impl Into<Cow<'static, str>>,
        completion_handler: TelemetryCompletionHandler,
        handler: F,
    ) -> Self {
        let options = SpanOptions {
            default_name: name.into(),
            name: None,
            kind: None,
            attributes: Vec::new(),
        };
        Self {
            handler: Arc::new(handler),
            extractor: Arc::new(EventExtractor),
            options: Arc::new(options),
            completion: completion_handler,
        }
    }
}

impl<F, X> TracedHandler<F, X> {
    /// Calls the spans so, whatever the event says.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        Arc::make_mut(&mut self.options).name = Some(name.into());
        self
    }

    /// Gives the spans this kind, whatever the event says. SERVER if neither does.
    #[must_use]
    pub fn with_kind(mut self, kind: SpanKind) -> Self {
        Arc::make_mut(&mut self.options).kind = Some(kind);
        self
    }

    /// Adds attributes to each span.
    #[must_use]
    pub fn with_attributes(mut self, attributes: impl IntoIterator<Item = KeyValue>) -> Self {
        Arc::make_mut(&mut self.options).attributes.extend(attributes);
        self
    }

    /// Describes invocations with this extractor and not by the event's own
    /// [`SpanAttributesExtractor`]; the event need not have one then.
    #[must_use]
    pub fn with_extractor<Other>(self, extractor: Other) -> TracedHandler<F, Other> {
        TracedHandler {
            handler: self.handler,
            extractor: Arc::new(extractor),
            options: self.options,
            completion: self.completion,
        }
    }

    async fn invoke<T, R, E, Fut>(self, event: LambdaEvent<T>) -> Result<R, E>
    where
        F: Fn(LambdaEvent<T>) -> Fut,
        Fut: Future<Output = Result<R, E>>,
        X: Extractor<T>,
        R: Serialize,
        E: Display + Debug + 'static,
    {
        let extracted = self.extract(&event.payload);
        let started =
            InvocationSpan::start(&self.completion, &event.context, &self.options, extracted);
        let Some(invocation) = started else {
            return (self.handler)(event).await;
        };
        match run(&invocation, || (self.handler)(event)).await {
            Ok(result) => {
                let outcome = HandlerOutcome::of_result(&result);
                invocation.finish(outcome).await;
                result
            }
            Err(panic) => {
                let outcome = HandlerOutcome::of_panic(panic.as_ref());
                invocation.finish(outcome).await;
                // The runtime reports it to Lambda, as it would without us.
                resume_unwind(panic)
            }
        }
    }

    fn extract<T>(&self, event: &T) -> SpanAttributes
    where
        X: Extractor<T>,
    {
        catch_unwind(AssertUnwindSafe(|| self.extractor.extract(event))).unwrap_or_else(|_| {
            stderr::warn("the extractor panicked; the span goes without its attributes");
            SpanAttributes::default()
        })
    }
}

/// Runs the handler in the invocation's context, and catches its panics.
async fn run<Fut: Future>(
    invocation: &InvocationSpan,
    handler: impl FnOnce() -> Fut,
) -> Result<Fut::Output, Box<dyn Any + Send>> {
    // The handler's function itself runs at the first poll, inside all of this.
    let future = async { handler().await }.instrument(invocation.span().clone());
    let mut future = pin!(future);
    poll_fn(|task| {
        let _active = invocation.context().clone().attach();
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(task))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await
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
        Box::pin(self.clone().invoke(event))
    }
}

/// Wraps a handler as a function for [`lambda_runtime::service_fn`]; [`TracedHandler`] is the same with options.
///
/// ```no_run
/// use lambda_otlp_exporter::{TelemetryConfig, create_traced_handler, init_telemetry};
/// use lambda_runtime::{Error, LambdaEvent, Runtime, service_fn};
/// use serde_json::Value;
///
/// async fn handle(event: LambdaEvent<Value>) -> Result<Value, Error> {
///     Ok(event.payload)
/// }
///
/// # async fn example() -> Result<(), Error> {
/// let (_tracer, completion_handler) = init_telemetry(TelemetryConfig::default()).await?;
/// let handler = create_traced_handler("orders", completion_handler, handle);
/// Runtime::new(service_fn(handler)).run().await
/// # }
/// ```
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
    move |event| Box::pin(handler.clone().invoke(event))
}
