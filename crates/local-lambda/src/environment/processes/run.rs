//! The run of one invocation in the processes of a classic environment, and their freeze until the next.

use super::Processes;
use crate::api::{Call, CallKind, InvocationEvent, Refused, answer, refusal};
use crate::clock::{self, Timestamp};
use crate::environment::failure::ProcessFailure;
use crate::failure::ReportedFailure;
use crate::identifiers::TraceContext;
use crate::platform_events::{ResponseTimes, RuntimeDone, Status};
use bytes::Bytes;
use tokio::time::Instant;

/// What happened from the event until runtime and extensions had finished it, or one of them failed.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) response: Option<Responded>,
    /// The time at which the runtime finished; `None` if it never did.
    pub(crate) runtime_done: Option<Instant>,
    /// `None` if the runtime and its extensions wait for the next event.
    pub(crate) failure: Option<ProcessFailure>,
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

impl Processes {
    /// Passes the event on and waits until the invocation is over. `on_response` is called as soon as there is one.
    pub(crate) async fn run(
        &mut self,
        event: InvocationEvent,
        trace: &TraceContext,
        deadline: Instant,
        mut on_response: impl FnMut(&Responded),
    ) -> Run {
        let request_id = event.request_id.clone();
        self.thaw();
        let mut run = Run {
            response: None,
            runtime_done: None,
            failure: None,
            ended_at: Instant::now(),
            begin: Begin { instant: Instant::now(), time: clock::now() },
        };
        self.extensions.invoke(&event);
        if let Some(waiting_call) = self.waiting_calls.pop_front() {
            answer(waiting_call, event.into_answer());
        }
        run.failure = loop {
            let call = match self.next_call(deadline).await {
                Ok(call) => call,
                Err(failure) => break Some(failure),
            };
            match call.kind {
                // The runtime answers before it asks for the next event, and answers once.
                CallKind::Next if run.response.is_none() => {
                    answer(call.reply, refusal(Refused::WrongState));
                }
                CallKind::Response(response) if response.request_id == request_id => {
                    if run.response.is_some() {
                        answer(call.reply, refusal(Refused::WrongState));
                    } else {
                        let times = response.times(run.begin.instant);
                        let result = response.result;
                        on_response(run.response.insert(Responded { result, times }));
                        answer(call.reply, response.accepted);
                    }
                }
                kind => {
                    if let Err(failure) = self.take_call(Call { kind, reply: call.reply }) {
                        break Some(failure);
                    }
                }
            }
            let is_waiting = !self.waiting_calls.is_empty();
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
        trace: &TraceContext,
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
        self.context.events.runtime_done(&done);
    }

    /// Stops all processes until the next event, and writes all their output to the log first. Processes of a managed
    /// instance go on.
    pub(crate) async fn freeze(&mut self) {
        if self.context.spec.is_managed() {
            return self.drain();
        }
        self.context.telemetry.freeze();
        if let Some(runtime) = &mut self.runtime {
            runtime.begin_freeze();
        }
        self.extensions.begin_freeze();
        if let Some(runtime) = &mut self.runtime {
            runtime.freeze().await;
        }
        self.extensions.freeze().await;
    }

    pub(super) fn thaw(&mut self) {
        if let Some(runtime) = &mut self.runtime {
            runtime.thaw();
        }
        self.extensions.thaw();
        self.context.telemetry.thaw();
    }

    /// Writes the runtime's output so far.
    pub(crate) fn drain(&self) {
        if let Some(runtime) = &self.runtime {
            runtime.drain();
        }
    }
}

impl Run {
    /// The status in the events. `out_of_memory` is that of [`Processes::take_out_of_memory`], which says it only once.
    pub(crate) fn status(&self, out_of_memory: bool) -> Status {
        match (&self.failure, &self.response) {
            (Some(failure), _) => failure.status(out_of_memory),
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
