//! An execution environment: init, the invocations one after another, freeze and thaw, the reset after a failure.

mod context;
mod extensions;
mod failure;
mod instance;
mod processes;
mod state;

use crate::api::InvocationEvent;
use crate::bounded_history::BoundedHistory;
use crate::clock;
use crate::cloudwatch::LogWriter;
use crate::function::FunctionSpec;
use crate::identifiers::{self, TraceContext};
use crate::invocation::{Invocation, InvocationRequest, InvocationResult, WaitingCaller};
use crate::lock;
use crate::platform_events::{Phase, PlatformEvents, Report, ResponseTimes, RuntimeDone, Status};
use crate::telemetry::Telemetry;
use context::EnvironmentContext;
use failure::{ProcessFailure, ShutdownReason};
use processes::{Processes, Responded, Run};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;

pub(crate) use context::Host;
pub use extensions::ExtensionState;
pub(crate) use instance::{Instance, NotRun, UnstartedInvocation};
pub(crate) use processes::Stop;
pub use state::EnvironmentState;
pub(crate) use state::SharedEnvironmentState;

/// One environment. It runs one invocation at a time, unless it belongs to a managed instance.
#[derive(Debug)]
pub(crate) struct Environment {
    context: Arc<EnvironmentContext>,
    /// The processes that wait for an event; `None` before the init, during an invocation, and after a failure.
    processes: Option<Processes>,
    /// `true` before the first init.
    is_new: bool,
    max_memory_mb: u64,
}

impl Environment {
    pub(crate) fn new(
        host: &Host,
        spec: &Arc<FunctionSpec>,
        platform_events: &Arc<Mutex<BoundedHistory<String>>>,
    ) -> Self {
        let id = identifiers::hex_32();
        let writer = Arc::new(LogWriter::new(&host.cloudwatch, spec, &id));
        let telemetry = Telemetry::new(spec, platform_events);
        let events = PlatformEvents {
            spec: Arc::clone(spec),
            writer: Arc::clone(&writer),
            telemetry: Arc::clone(&telemetry),
            environment: id,
        };
        let context = EnvironmentContext {
            spec: Arc::clone(spec),
            writer,
            telemetry,
            events,
            process_table: Arc::clone(&host.process_table),
            state: Arc::default(),
            api: OnceCell::new(),
        };
        Self { context: Arc::new(context), processes: None, is_new: true, max_memory_mb: 0 }
    }

    pub(crate) fn state(&self) -> &Arc<SharedEnvironmentState> {
        &self.context.state
    }

    /// Returns `true` if its processes wait for an event.
    pub(crate) fn is_ready(&self) -> bool {
        self.processes.is_some()
    }

    /// Runs one invocation from its init, if it needs one, to its last log event. The caller gets the result as soon as there is one.
    pub(crate) async fn invoke(
        &mut self,
        request: InvocationRequest,
        mut caller: WaitingCaller,
    ) -> Invocation {
        let request_id = request.request_id.clone();
        let context = Arc::clone(&self.context);
        let EnvironmentContext { spec, events, state, .. } = &*context;
        lock(state).is_busy = true;
        let is_new = std::mem::take(&mut self.is_new);
        let init_duration = if is_new { self.init_phase().await } else { None };
        let cold = self.processes.is_none() || init_duration.is_some();

        let started = clock::now();
        let begin = Instant::now();
        let trace = TraceContext::new(&request.payload, started, spec.active_tracing);
        let event = InvocationEvent::new(request, spec, started, &trace);
        let deadline = begin + spec.timeout;
        let finished = self.run_event(event, &trace, deadline, &mut caller).await;
        caller.respond(&finished.result);

        let duration = finished.ended_at.duration_since(begin);
        let post_runtime = finished.runtime_done.map(|done| finished.ended_at.duration_since(done));
        let report = Report {
            request_id,
            status: finished.status,
            duration,
            billed_ms: rounded_up_to_millis(duration + init_duration.unwrap_or_default()),
            init: init_duration,
            max_memory_mb: self.max_memory_mb.min(spec.memory_mb).max(1),
            trace,
            started,
            response: finished.times,
            post_runtime,
            has_extensions: self.processes.as_ref().is_some_and(Processes::has_extensions),
        };
        events.report(&report);
        if let Some(ProcessesToEnd { processes, reason }) = finished.to_end {
            processes.shut_down(reason).await;
            lock(state).note_end();
        }
        lock(state).is_busy = false;
        Invocation {
            request_id: report.request_id,
            result: finished.result,
            duration,
            post_runtime: post_runtime.unwrap_or_default(),
            init_duration,
            cold,
            pid: finished.pid,
        }
    }

    /// Passes the event to the processes, and waits until they have finished it. An init within the invocation comes before its start
    /// (runtime interface emulator, `doInvoke`).
    async fn run_event(
        &mut self,
        event: InvocationEvent,
        trace: &TraceContext,
        deadline: Instant,
        caller: &mut WaitingCaller,
    ) -> Finished {
        let request_id = event.request_id.clone();
        let ready = self.ready_processes(deadline).await;
        self.context.events.start(&request_id, trace);
        match ready {
            Ok(mut processes) => {
                let on_response =
                    |response: &Responded| caller.respond(&response.result.clone().into());
                let run = processes.run(event, trace, deadline, on_response).await;
                self.finish(processes, run, &request_id, trace).await
            }
            Err(init) => self.finish_failed_init(init, &request_id, trace).await,
        }
    }

    pub(crate) async fn end(mut self, stop: Stop) {
        if let Some(processes) = self.processes.take() {
            processes.end(stop).await;
        }
        lock(&self.context.state).note_end();
    }

    /// Runs the init phase before the first invocation. If it fails, Lambda tries once more within the invocation.
    async fn init_phase(&mut self) -> Option<Duration> {
        let begin = Instant::now();
        let until = begin + self.context.spec.init_timeout;
        match self.start_processes(until, Phase::Init).await {
            Ok(processes) => {
                self.processes = Some(processes);
                Some(begin.elapsed())
            }
            Err(init) => {
                init.end(&self.context).await;
                None
            }
        }
    }

    /// Runs the init phase ahead of an invocation, and freezes the processes.
    pub(crate) async fn initialise(&mut self) {
        if std::mem::take(&mut self.is_new) {
            self.init_phase().await;
        }
        if let Some(processes) = &mut self.processes {
            processes.freeze().await;
        }
    }

    /// Returns the processes that wait for an event. If there are none, starts them within the invocation's time.
    async fn ready_processes(&mut self, deadline: Instant) -> Result<Processes, FailedInit> {
        match self.processes.take() {
            Some(processes) => Ok(processes),
            None => self.start_processes(deadline, Phase::Invoke).await,
        }
    }

    /// Starts the processes, and writes the events of their init.
    async fn start_processes(
        &mut self,
        until: Instant,
        phase: Phase,
    ) -> Result<Processes, FailedInit> {
        let context = Arc::clone(&self.context);
        let EnvironmentContext { events, telemetry, .. } = &*context;
        let begin = Instant::now();
        telemetry.begin_init();
        events.init_start(phase);
        let started = match Processes::start(&self.context).await {
            Ok(mut processes) => {
                let ready = processes.initialise(until, phase).await;
                self.note_memory(&processes);
                match ready {
                    Ok(()) => {
                        telemetry.close_subscriptions();
                        Ok(processes)
                    }
                    Err(failure) => Err(FailedInit {
                        pid: processes.pid(),
                        failure,
                        processes: Some(processes),
                    }),
                }
            }
            Err(failure) => Err(FailedInit { pid: None, failure, processes: None }),
        };
        let status = started.as_ref().map_or_else(FailedInit::status, |_| Status::Success);
        events.init_report(phase, &status, begin.elapsed());
        started
    }

    /// Ends the runtime of an init that failed within an invocation.
    async fn finish_failed_init(
        &mut self,
        init: FailedInit,
        request_id: &str,
        trace: &TraceContext,
    ) -> Finished {
        let status = init.status();
        self.context.events.runtime_done(&RuntimeDone {
            request_id,
            status: &status,
            trace,
            started: clock::now(),
            duration: Duration::ZERO,
            response: None,
            produced_bytes: 0,
        });
        let FailedInit { failure, mut processes, pid } = init;
        let ended_at = Instant::now();
        // The reset begins after `platform.runtimeDone`.
        let exit = match &mut processes {
            Some(processes) => processes.end_runtime().await,
            None => None,
        };
        let reason = failure.shutdown_reason();
        Finished {
            status,
            result: failure.result(exit),
            pid,
            times: None,
            runtime_done: None,
            ended_at,
            to_end: processes.map(|processes| ProcessesToEnd { processes, reason }),
        }
    }

    /// Freezes the processes after an invocation, or ends the runtime after a failure.
    async fn finish(
        &mut self,
        mut processes: Processes,
        run: Run,
        request_id: &str,
        trace: &TraceContext,
    ) -> Finished {
        let pid = processes.pid();
        let reason = run.failure.as_ref().map(ProcessFailure::shutdown_reason);
        if reason.is_none() {
            processes.freeze().await;
        } else {
            processes.drain();
        }
        self.note_memory(&processes);
        let out_of_memory =
            matches!(run.failure, Some(ProcessFailure::Exited)) && processes.take_out_of_memory();
        if out_of_memory {
            self.max_memory_mb = self.context.spec.memory_mb;
        }
        let status = run.status(out_of_memory);
        if run.runtime_done.is_none() {
            processes.report_runtime_done(request_id, &run, &status, trace);
        }
        // The reset begins after `platform.runtimeDone`.
        let exit = if reason.is_some() { processes.end_runtime().await } else { None };
        let to_end = match reason {
            None => {
                self.processes = Some(processes);
                None
            }
            Some(reason) => Some(ProcessesToEnd { processes, reason }),
        };
        // The caller has a response that came before the failure, which is the environment's alone.
        let times = run.response.as_ref().map(|response| response.times);
        let result = match (run.response, run.failure) {
            (Some(response), _) => response.result.into(),
            (None, failure) => failure.unwrap_or(ProcessFailure::Exited).result(exit),
        };
        let runtime_done = run.runtime_done;
        let ended_at = run.ended_at;
        Finished { result, status, pid, times, runtime_done, ended_at, to_end }
    }

    fn note_memory(&mut self, processes: &Processes) {
        self.max_memory_mb = self.max_memory_mb.max(processes.peak_memory_mb());
    }
}

fn rounded_up_to_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// An init that failed, after its events were written.
struct FailedInit {
    failure: ProcessFailure,
    /// The processes that are left.
    processes: Option<Processes>,
    pid: Option<u32>,
}

impl FailedInit {
    fn status(&self) -> Status {
        self.failure.status(false)
    }

    /// Ends the processes, and returns the result for a caller.
    async fn end(self, context: &EnvironmentContext) -> InvocationResult {
        let Self { failure, processes, .. } = self;
        let Some(mut processes) = processes else { return failure.result(None) };
        let exit = processes.end_runtime().await;
        processes.shut_down(failure.shutdown_reason()).await;
        lock(&context.state).note_end();
        failure.result(exit)
    }
}

/// The end of an invocation, for REPORT and the caller's result.
struct Finished {
    result: InvocationResult,
    status: Status,
    pid: Option<u32>,
    times: Option<ResponseTimes>,
    /// The time at which the runtime finished the event; `None` if it never did.
    runtime_done: Option<Instant>,
    ended_at: Instant,
    /// The processes that a failed invocation leaves.
    to_end: Option<ProcessesToEnd>,
}

/// The processes that a failed invocation leaves, and the reason of their SHUTDOWN.
struct ProcessesToEnd {
    processes: Processes,
    reason: ShutdownReason,
}
