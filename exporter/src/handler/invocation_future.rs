//! The future of an invocation: it runs the handler's future inside the span, and then ends the invocation.

use super::invocation_span::{InvocationSpan, Writing};
use super::outcome::HandlerFailure;
use std::fmt::{self, Debug};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{self, Poll, ready};
use std::thread;
use tracing::Instrument as _;
use tracing::instrument::Instrumented;

/// The future of an invocation, with the output of the handler's future `Fut`. It can be sent to another thread if that can.
#[must_use = "futures do nothing unless polled"]
pub struct InvocationFuture<Fut: Future, Output = <Fut as Future>::Output> {
    state: FutureState<Fut, Output>,
    end: End<Fut, Output>,
}

/// Ends an invocation whose handler has this output.
pub(super) type End<Fut, Output> = fn(InvocationSpan, <Fut as Future>::Output) -> Ended<Output>;

/// The result of an invocation whose handler has ended.
pub(super) enum Ended<Output> {
    /// The telemetry must be written before the output is passed on.
    Writing(Writing, Output),
    /// The output continues the invocation.
    Continued(Output),
}

enum FutureState<Fut: Future, Output> {
    Running(RunningHandler<Fut>),
    /// Writing the telemetry, before the end, which may be a panic.
    Writing(Writing, thread::Result<Output>),
    Over,
}

/// Dropped in this order, so that spans in the handler's future end before the invocation's.
struct RunningHandler<Fut> {
    /// `None` while it ends.
    future: Option<thread::Result<Pin<Box<Instrumented<Fut>>>>>,
    invocation: InvocationSpan,
}

// The handler's future is pinned in its box, and nothing else is.
impl<Fut: Future, Output> Unpin for InvocationFuture<Fut, Output> {}

impl<Fut: Future, Output> InvocationFuture<Fut, Output> {
    /// A panic replaces the future of a handler that panicked before it returned one.
    pub(super) fn new(
        invocation: InvocationSpan,
        future: thread::Result<Fut>,
        end: End<Fut, Output>,
    ) -> Self {
        let span = invocation.span().clone();
        let future = Some(future.map(|future| Box::pin(future.instrument(span))));
        Self { state: FutureState::Running(RunningHandler { future, invocation }), end }
    }
}

impl<Fut: Future> RunningHandler<Fut> {
    /// Polls the handler's future in the invocation's context, and drops it when it ends.
    fn poll(&mut self, task: &mut task::Context<'_>) -> Poll<thread::Result<Fut::Output>> {
        let mut future = match self.future.take() {
            Some(Ok(future)) => future,
            Some(Err(panic)) => return Poll::Ready(Err(panic)),
            None => return Poll::Pending,
        };
        let _active = self.invocation.context().clone().attach();
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(task))) {
            Ok(Poll::Pending) => {
                self.future = Some(Ok(future));
                Poll::Pending
            }
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    }
}

impl<Fut: Future, Output> Future for InvocationFuture<Fut, Output> {
    type Output = Output;

    fn poll(self: Pin<&mut Self>, task: &mut task::Context<'_>) -> Poll<Output> {
        let this = self.get_mut();
        if let FutureState::Running(running) = &mut this.state {
            let result = ready!(running.poll(task));
            if let FutureState::Running(running) = mem::replace(&mut this.state, FutureState::Over)
            {
                let invocation = running.invocation;
                this.state = match result {
                    Ok(output) => match (this.end)(invocation, output) {
                        Ended::Writing(writing, output) => {
                            FutureState::Writing(writing, Ok(output))
                        }
                        Ended::Continued(output) => return Poll::Ready(output),
                    },
                    Err(panic) => {
                        let failure = HandlerFailure::of_panic(panic.as_ref());
                        FutureState::Writing(invocation.finish(&Err(failure)), Err(panic))
                    }
                };
            }
        }
        if let FutureState::Writing(writing, _) = &mut this.state {
            ready!(Pin::new(writing).poll(task));
        }
        match mem::replace(&mut this.state, FutureState::Over) {
            FutureState::Writing(_, Ok(output)) => Poll::Ready(output),
            // The runtime reports it to Lambda, as without this library.
            FutureState::Writing(_, Err(panic)) => resume_unwind(panic),
            // Nobody polls a future after its end.
            FutureState::Running(_) | FutureState::Over => Poll::Pending,
        }
    }
}

impl<Fut: Future, Output> Debug for InvocationFuture<Fut, Output> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InvocationFuture").finish_non_exhaustive()
    }
}
