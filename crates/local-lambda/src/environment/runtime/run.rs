//! The run of one invocation in the processes of a classic environment, and their sleep until the next.

use super::Runtime;
use crate::api::{Call, CallKind, Event, Refused, answer, refusal};
use crate::clock::{self, Timestamp};
use crate::environment::failed::Failed;
use crate::failure::ReportedFailure;
use crate::identifiers::Trace;
use crate::platform_events::{ResponseTimes, RuntimeDone, Status};
use bytes::Bytes;
use tokio::time::Instant;

/// One invocation, until runtime and extensions have finished its event, or one of them fails.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) response: Option<Responded>,
    /// The time at which the runtime finished; `None` if it never did.
    pub(crate) runtime_done: Option<Instant>,
    /// `None` if the runtime and its extensions wait for the next event.
    pub(crate) failed: Option<Failed>,
    /// The end of the invocation. Later work does not count as the function's time.
    pub(crate) ended_at: Instant,
    begin: Begin,
}

/// The time at which the runtime got the event.
#[derive(Debug, Clone, Copy)]
struct Begin {
    instant: Instant,
    time: Timestamp,
}

#[derive(Debug)]
pub(crate) struct Responded {
    pub(crate) result: Result<Bytes, ReportedFailure>,
    pub(crate) times: ResponseTimes,
}

impl Runtime {
    /// Passes the event on and waits until the invocation is over. `on_response` is called as soon as there is one.
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
            failed: None,
            ended_at: Instant::now(),
            begin: Begin { instant: Instant::now(), time: clock::now() },
        };
        self.extensions.invoke(&event);
        if let Some(waiting) = self.waiting.pop_front() {
            answer(waiting, event.into_answer());
        }
        run.failed = loop {
            let call = match self.next_call(deadline).await {
                Ok(call) => call,
                Err(failed) => break Some(failed),
            };
            match call {
                Call {
                    kind: CallKind::Response { request_id: answered, result, begun, accepted },
                    reply,
                } if answered == request_id => {
                    if run.response.is_some() {
                        answer(reply, refusal(Refused::WrongState));
                    } else {
                        let times = ResponseTimes {
                            latency: begun.duration_since(run.begin.instant),
                            duration: begun.elapsed(),
                        };
                        on_response(run.response.insert(Responded { result, times }));
                        answer(reply, accepted);
                    }
                }
                Call { kind: CallKind::Next, reply } if run.response.is_none() => {
                    answer(reply, refusal(Refused::WrongState));
                }
                other => {
                    if let Err(failed) = self.take_call(other) {
                        break Some(failed);
                    }
                }
            }
            let is_waiting = !self.waiting.is_empty();
            if is_waiting && run.runtime_done.is_none() {
                run.runtime_done = Some(Instant::now());
                self.drain();
                self.report_runtime_done(&request_id, &run, &run.status(false), trace);
            }
            if is_waiting && self.extensions.are_waiting() {
                break None;
            }
        };
        run.ended_at = Instant::now();
        run
    }

    /// Writes `platform.runtimeDone` of an event, with or without success.
    pub(crate) fn report_runtime_done(
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
            started: run.begin.time,
            duration: done_at.duration_since(run.begin.instant),
            response: run.response.as_ref().map(|response| response.times),
            produced_bytes: produced.unwrap_or_default(),
        };
        self.surroundings.events.runtime_done(&done);
    }

    /// Stops all processes until the next event, and writes all their output to the log first. Processes of a managed
    /// instance go on.
    pub(crate) async fn freeze(&mut self) {
        if self.surroundings.spec.is_managed() {
            return self.drain();
        }
        self.surroundings.telemetry.freeze();
        if let Some(process) = &mut self.process {
            process.begin_freeze();
        }
        self.extensions.begin_freeze();
        if let Some(process) = &mut self.process {
            process.freeze().await;
        }
        self.extensions.freeze().await;
    }

    pub(super) fn thaw(&mut self) {
        if let Some(process) = &mut self.process {
            process.thaw();
        }
        self.extensions.thaw();
        self.surroundings.telemetry.thaw();
    }

    /// Writes the runtime's output so far.
    pub(crate) fn drain(&self) {
        if let Some(process) = &self.process {
            process.drain();
        }
    }
}

impl Run {
    /// The status in the events. `out_of_memory` is an argument, because the processes cannot report it.
    pub(crate) fn status(&self, out_of_memory: bool) -> Status {
        match (&self.failed, &self.response) {
            (Some(failed), _) => failed.status(out_of_memory),
            (None, Some(responded)) => responded.status(),
            (None, None) => Status::Success,
        }
    }
}

impl Responded {
    pub(crate) fn status(&self) -> Status {
        match &self.result {
            Ok(_) => Status::Success,
            Err(failure) => Status::HandlerError(failure.platform_type.clone()),
        }
    }
}
