//! One invocation: given out to runtime and extensions, until all of them are done or one has failed.

use bytes::Bytes;
use tokio::time::Instant;

use super::{EXIT_ERROR, Happened, OUT_OF_MEMORY, Runtime};
use crate::api::call::{Call, Event, Failure, Refused, answer};
use crate::clock::{self, Timestamp};
use crate::environment::extensions::ExtensionFailure;
use crate::identifiers::Trace;
use crate::platform_events::{ResponseTimes, RuntimeDone, Status};

#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) response: Option<Responded>,
    /// The time at which the runtime finished; `None` if it never did.
    pub(crate) runtime_done: Option<Instant>,
    pub(crate) end: RunEnd,
    /// The end of the invocation. Later work does not count as the function's time.
    pub(crate) ended_at: Instant,
    given_out: (Instant, Timestamp),
}

#[derive(Debug)]
pub(crate) struct Responded {
    pub(crate) result: Result<Bytes, Failure>,
    pub(crate) times: ResponseTimes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RunEnd {
    /// The runtime and its extensions wait for the next event.
    Ready,
    Exited,
    ExtensionFailed(ExtensionFailure),
    Timeout,
}

impl Runtime {
    /// Gives an event out and waits until the invocation is over. `on_response` is called as soon as there is one.
    pub(crate) async fn run(
        &mut self,
        event: Event,
        trace: &Trace,
        deadline: Instant,
        mut on_response: impl FnMut(&Responded),
    ) -> Run {
        let request_id = event.request_id.clone();
        self.thaw();
        let mut run = Run {
            response: None,
            runtime_done: None,
            end: RunEnd::Ready,
            ended_at: Instant::now(),
            given_out: (Instant::now(), clock::now()),
        };
        self.extensions.invoke(&event);
        if let Some(waiting) = self.waiting.take() {
            answer(waiting, Ok(event));
        }
        let end = loop {
            let call = match self.next_call(deadline).await {
                Happened::Call(call) => call,
                Happened::RuntimeExited => break RunEnd::Exited,
                Happened::ExtensionEnded(failure) => break RunEnd::ExtensionFailed(failure),
                Happened::Timeout => break RunEnd::Timeout,
            };
            match call {
                Call::Response { request_id: answered, result, begun, reply }
                    if answered == request_id =>
                {
                    if run.response.is_some() {
                        answer(reply, Err(Refused::WrongState));
                    } else {
                        let times = ResponseTimes {
                            latency: begun.duration_since(run.given_out.0),
                            duration: begun.elapsed(),
                        };
                        on_response(run.response.insert(Responded { result, times }));
                        answer(reply, Ok(()));
                    }
                }
                Call::Next(reply) if run.response.is_none() => {
                    answer(reply, Err(Refused::WrongState));
                }
                other => {
                    if let Some(failure) = self.take_call(other) {
                        break RunEnd::ExtensionFailed(failure);
                    }
                }
            }
            if self.waiting.is_some() && run.runtime_done.is_none() {
                run.runtime_done = Some(Instant::now());
                self.drain();
                self.tell_runtime_done(&request_id, &run, &run.status(false), trace);
            }
            if self.waiting.is_some() && self.extensions.have_finished() {
                break RunEnd::Ready;
            }
        };
        run.end = end;
        run.ended_at = Instant::now();
        run
    }

    /// Says that the runtime is done with an event, well or not.
    pub(crate) fn tell_runtime_done(
        &self,
        request_id: &str,
        run: &Run,
        status: &Status,
        trace: &Trace,
    ) {
        let done_at = run.runtime_done.unwrap_or(run.ended_at);
        let produced = run.response.as_ref().map(|response| match &response.result {
            Ok(body) => body.len(),
            Err(failure) => failure.body.len(),
        });
        let done = RuntimeDone {
            request_id,
            status,
            trace,
            started: run.given_out.1,
            duration: done_at.duration_since(run.given_out.0),
            response: run.response.as_ref().map(|response| response.times),
            produced_bytes: produced.unwrap_or_default(),
        };
        self.surroundings.events.runtime_done(&done, clock::now());
    }
}

impl Run {
    /// The status in the events. `out_of_memory` is an argument, because the processes cannot report it.
    pub(crate) fn status(&self, out_of_memory: bool) -> Status {
        match (&self.end, &self.response) {
            (RunEnd::Ready, Some(Responded { result: Err(failure), .. })) => {
                Status::HandlerError(failure.platform_type.clone())
            }
            (RunEnd::Ready, _) => Status::Success,
            (RunEnd::Exited, _) if out_of_memory => Status::Error(OUT_OF_MEMORY.to_owned()),
            (RunEnd::Exited, _) => Status::Error(EXIT_ERROR.to_owned()),
            (RunEnd::ExtensionFailed(failure), _) => Status::Error(failure.error_type.clone()),
            (RunEnd::Timeout, _) => Status::Timeout,
        }
    }
}
