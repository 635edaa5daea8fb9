//! Runs the handler of an invocation inside its span, for wrapped handlers and layers alike.

use super::invocation_span::InvocationSpan;
use super::new_span::SpanOptions;
use super::outcome::{Failure, of_result};
use super::trigger::span_attributes::SpanAttributes;
use super::trigger::{EventExtractor, Extractor};
use crate::output::stderr;
use crate::telemetry::Telemetry;
use crate::telemetry::completion::TelemetryCompletionHandler;
use lambda_runtime::LambdaEvent;
use serde::Serialize;
use std::borrow::Cow;
use std::fmt::{self, Debug, Display};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use tracing::Instrument as _;

/// The options shared by wrapped handlers and layers.
macro_rules! span_options {
    () => {
        setters! { |own|
            /// Sets the name of the spans, which overrides the event's.
            with_span_name(name: impl Into<Cow<'static, str>>) => own.instrumentation.options_mut().name = Some(name.into());
            /// Sets the kind of the spans, which overrides the event's. The default is SERVER, and messages have a CONSUMER span
            /// below it. With a kind set, the attributes and links of messages belong to the invocation's span.
            with_kind(kind: SpanKind) => own.instrumentation.options_mut().kind = Some(kind);
            /// Adds attributes to each span.
            with_attributes(attributes: impl IntoIterator<Item = KeyValue>) => own.instrumentation.options_mut().attributes.extend(attributes);
        }
    };
}
pub(super) use span_options;

/// The future of an invocation.
pub type InvocationFuture<R, E> = Pin<Box<dyn Future<Output = Result<R, E>> + Send>>;

#[derive(Clone)]
pub(super) struct Instrumentation<X> {
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
    /// Uses the events' own descriptions; the function's name is the fallback for spans. The handler is made at the end of the init.
    pub(super) fn new(completion: TelemetryCompletionHandler) -> Self {
        completion.telemetry.write_init();
        let options = Arc::default();
        Self { extractor: EventExtractor, options, telemetry: completion.telemetry }
    }
}

impl<X> Instrumentation<X> {
    pub(super) fn default_name(mut self, name: Cow<'static, str>) -> Self {
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
    pub(super) fn invoke<T, R, E, Fut>(
        &self,
        event: LambdaEvent<T>,
        handler: impl FnOnce(LambdaEvent<T>) -> Fut,
    ) -> InvocationFuture<R, E>
    where
        Fut: Future<Output = Result<R, E>> + Send + 'static,
        X: Extractor<T>,
        R: Serialize + Send + 'static,
        E: Display + Debug + Send + 'static,
    {
        let (invocation, future) = self.begin(event, handler);
        Box::pin(async move {
            let (invocation, result) = run(invocation, future).await;
            let outcome = of_result(&result);
            invocation.finish(outcome).await;
            result
        })
    }

    /// Starts the span, and calls `handler` inside it. A panic replaces the handler's future.
    pub(super) fn begin<T, Fut>(
        &self,
        event: LambdaEvent<T>,
        handler: impl FnOnce(LambdaEvent<T>) -> Fut,
    ) -> (InvocationSpan, thread::Result<Fut>)
    where
        X: Extractor<T>,
    {
        let extracted = self.extract(&event.payload);
        let invocation =
            InvocationSpan::start(&self.telemetry, &event.context, &self.options, extracted);
        let future = catch_unwind(AssertUnwindSafe(|| {
            let _active = invocation.context().clone().attach();
            invocation.span().in_scope(|| handler(event))
        }));
        (invocation, future)
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

/// Runs the handler's future in the invocation's context. A panic ends the invocation, and then continues.
pub(super) async fn run<Fut: Future>(
    invocation: InvocationSpan,
    future: thread::Result<Fut>,
) -> (InvocationSpan, Fut::Output) {
    match caught(&invocation, future).await {
        Ok(output) => (invocation, output),
        Err(panic) => {
            let failure = Failure::of_panic(panic.as_ref());
            invocation.finish(Err(failure)).await;
            // The runtime reports it to Lambda, as without this library.
            resume_unwind(panic)
        }
    }
}

async fn caught<Fut: Future>(
    invocation: &InvocationSpan,
    future: thread::Result<Fut>,
) -> thread::Result<Fut::Output> {
    let mut future = pin!(future?.instrument(invocation.span().clone()));
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
