//! The layers that create spans for the invocations of any service, also of one that streams its response: then the invocation ends
//! with the body.

use super::answer::ResponseFacts;
use super::handler_error::{DisplayForm, HandlerError};
use super::instrumentation::{Instrumentation, span_options};
use super::invocation_future::{Ended, InvocationFuture};
use super::invocation_span::{InvocationSpan, Writing};
use super::outcome::HandlerFailure;
use crate::state::completion::TelemetryCompletionHandler;
use crate::trigger::{EventExtractor, Extractor};
use futures_core::Stream;
use lambda_runtime::tower::Layer;
use lambda_runtime::{LambdaEvent, Service, StreamResponse};
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanKind;
use serde::Serialize;
use std::borrow::Cow;
use std::fmt::{self, Debug, Display};
use std::marker::PhantomData;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{self, Poll, ready};
use std::thread;

/// Creates a span for each invocation of a service, and writes its telemetry before the response, like
/// [`TracedHandler`](crate::TracedHandler). For services composed of `tower` layers, and for `lambda_http`'s adapter. `Form` is
/// inferred ([`HandlerError`]).
#[derive(Clone, Debug)]
pub struct OtelTracingLayer<X = EventExtractor, Form = DisplayForm> {
    instrumentation: Instrumentation<X>,
    form: PhantomData<fn() -> Form>,
}

impl<Form> OtelTracingLayer<EventExtractor, Form> {
    /// Creates a layer. The function's name is the fallback for spans.
    #[must_use]
    pub fn new(completion_handler: TelemetryCompletionHandler) -> Self {
        Self {
            instrumentation: Instrumentation::at_end_of_init(completion_handler),
            form: PhantomData,
        }
    }
}

impl<X, Form> OtelTracingLayer<X, Form> {
    /// Sets the fallback name of spans whose event has no better one, such as its route.
    #[must_use]
    pub fn with_default_name(self, name: impl Into<Cow<'static, str>>) -> Self {
        let instrumentation = self.instrumentation.with_default_name(name.into());
        Self { instrumentation, form: PhantomData }
    }

    span_options!();

    /// Describes invocations with this extractor instead of the event's own
    /// [`SpanAttributesExtractor`](crate::trigger::SpanAttributesExtractor), which the event need not implement then.
    #[must_use]
    pub fn with_extractor<Other>(self, extractor: Other) -> OtelTracingLayer<Other, Form> {
        let instrumentation = self.instrumentation.with_extractor(extractor);
        OtelTracingLayer { instrumentation, form: PhantomData }
    }

    /// Adapts the layer to a service that streams its responses.
    #[must_use]
    pub fn for_streaming(self) -> OtelStreamingLayer<X, Form> {
        OtelStreamingLayer { instrumentation: self.instrumentation, form: PhantomData }
    }
}

impl<S, X: Clone, Form> Layer<S> for OtelTracingLayer<X, Form> {
    type Service = OtelTracingService<S, X, Form>;

    fn layer(&self, inner: S) -> Self::Service {
        let instrumentation = self.instrumentation.clone();
        OtelTracingService { inner, instrumentation, form: PhantomData }
    }
}

/// A service with spans for its invocations, created by [`OtelTracingLayer`].
#[derive(Clone, Debug)]
pub struct OtelTracingService<S, X = EventExtractor, Form = DisplayForm> {
    inner: S,
    instrumentation: Instrumentation<X>,
    form: PhantomData<fn() -> Form>,
}

impl<S, X, T, Form> Service<LambdaEvent<T>> for OtelTracingService<S, X, Form>
where
    S: Service<LambdaEvent<T>>,
    S::Response: Serialize,
    S::Error: HandlerError<Form>,
    X: Extractor<T>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = InvocationFuture<S::Future>;

    fn poll_ready(&mut self, task: &mut task::Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, event: LambdaEvent<T>) -> Self::Future {
        let Self { inner, instrumentation, .. } = self;
        instrumentation.invoke(event, |event| inner.call(event))
    }
}

/// Creates a span for each invocation of a service that streams its response (`lambda_runtime::StreamResponse`, and thereby
/// `lambda_http::StreamAdapter`). The span ends with the body, and the telemetry is written before the body's last part is passed
/// on. Created by [`OtelTracingLayer::for_streaming`].
#[derive(Clone, Debug)]
pub struct OtelStreamingLayer<X = EventExtractor, Form = DisplayForm> {
    instrumentation: Instrumentation<X>,
    form: PhantomData<fn() -> Form>,
}

impl<S, X: Clone, Form> Layer<S> for OtelStreamingLayer<X, Form> {
    type Service = OtelStreamingService<S, X, Form>;

    fn layer(&self, inner: S) -> Self::Service {
        let instrumentation = self.instrumentation.clone();
        OtelStreamingService { inner, instrumentation, form: PhantomData }
    }
}

/// A service with spans that end with the body, created by [`OtelStreamingLayer`].
#[derive(Clone, Debug)]
pub struct OtelStreamingService<S, X = EventExtractor, Form = DisplayForm> {
    inner: S,
    instrumentation: Instrumentation<X>,
    form: PhantomData<fn() -> Form>,
}

impl<S, X, T, B, D, BodyError, Form> Service<LambdaEvent<T>> for OtelStreamingService<S, X, Form>
where
    S: Service<LambdaEvent<T>, Response = StreamResponse<B>>,
    S::Error: HandlerError<Form>,
    X: Extractor<T>,
    B: Stream<Item = Result<D, BodyError>> + Unpin,
    D: Unpin,
    BodyError: Display + Debug + Unpin + 'static,
{
    type Response = StreamResponse<InvocationBody<B>>;
    type Error = S::Error;
    type Future = InvocationFuture<S::Future, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, task: &mut task::Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, event: LambdaEvent<T>) -> Self::Future {
        let Self { inner, instrumentation, .. } = self;
        let handler = |event| inner.call(event);
        instrumentation.begin(event, handler, |invocation, result| match result {
            Ok(StreamResponse { metadata_prelude, stream }) => {
                let status_code = metadata_prelude.status_code.as_u16();
                let state = BodyState::Running(invocation);
                let stream = InvocationBody { stream, status_code, state };
                Ended::Continued(Ok(StreamResponse { metadata_prelude, stream }))
            }
            Err(error) => {
                let failure = HandlerFailure::of_error(&error);
                Ended::Writing(invocation.finish(&Err(failure)), Err(error))
            }
        })
    }
}

/// The body of a streamed response, which ends the invocation's span.
pub struct InvocationBody<B: Stream> {
    stream: B,
    status_code: u16,
    state: BodyState<B::Item>,
}

enum BodyState<Item> {
    Running(InvocationSpan),
    /// Writing the telemetry, before the end, which may be an error or a panic.
    Writing(Writing, thread::Result<Option<Item>>),
    Over,
}

impl<B: Stream> Debug for InvocationBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InvocationBody").finish_non_exhaustive()
    }
}

impl<B, D, E> Stream for InvocationBody<B>
where
    B: Stream<Item = Result<D, E>> + Unpin,
    D: Unpin,
    E: Display + Debug + Unpin + 'static,
{
    type Item = Result<D, E>;

    fn poll_next(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Option<B::Item>> {
        let body = self.get_mut();
        if let BodyState::Running(invocation) = &body.state {
            let stream = Pin::new(&mut body.stream);
            let polled = catch_unwind(AssertUnwindSafe(|| {
                let _active = invocation.context().clone().attach();
                invocation.span().in_scope(|| stream.poll_next(task))
            }));
            let (outcome, end) = match polled {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(Some(Ok(data)))) => return Poll::Ready(Some(Ok(data))),
                Ok(Poll::Ready(Some(Err(error)))) => {
                    let status_code = Some(body.status_code);
                    let failure =
                        HandlerFailure { status_code, ..HandlerFailure::of_error(&error) };
                    (Err(failure), Ok(Some(Err(error))))
                }
                Ok(Poll::Ready(None)) => {
                    (Ok(ResponseFacts::from_status(body.status_code)), Ok(None))
                }
                Err(panic) => (Err(HandlerFailure::of_panic(panic.as_ref())), Err(panic)),
            };
            if let BodyState::Running(invocation) = mem::replace(&mut body.state, BodyState::Over) {
                body.state = BodyState::Writing(invocation.finish(&outcome), end);
            }
        }
        if let BodyState::Writing(writing, _) = &mut body.state {
            ready!(Pin::new(writing).poll(task));
        }
        match mem::replace(&mut body.state, BodyState::Over) {
            BodyState::Writing(_, Ok(item)) => Poll::Ready(item),
            BodyState::Writing(_, Err(panic)) => resume_unwind(panic),
            BodyState::Running(_) | BodyState::Over => Pin::new(&mut body.stream).poll_next(task),
        }
    }
}

impl<B: Stream> Drop for InvocationBody<B> {
    fn drop(&mut self) {
        if let BodyState::Running(invocation) = mem::replace(&mut self.state, BodyState::Over) {
            let why = "the response's body was dropped before its end";
            invocation.fail(HandlerFailure::cancelled(why));
        }
    }
}
