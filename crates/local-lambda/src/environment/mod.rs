//! An execution environment: init, the invocations one after another, freeze and thaw, the reset after a failure.

mod extensions;
mod failed;
mod instance;
mod runtime;
mod state;
mod surroundings;

use crate::api::Event;
use crate::bounded_history::BoundedHistory;
use crate::clock;
use crate::cloudwatch::LogWriter;
use crate::function::FunctionSpec;
use crate::identifiers::{self, Trace};
use crate::invocation::{Invocation, InvocationResult, Request, WaitingCaller};
use crate::lock;
use crate::platform_events::{Phase, PlatformEvents, Report, ResponseTimes, RuntimeDone, Status};
use crate::telemetry::Telemetry;
use failed::{Failed, ShutdownReason};
use runtime::{Responded, Run, Runtime};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use surroundings::Surroundings;
use tokio::sync::OnceCell;
use tokio::time::Instant;

pub use extensions::ExtensionState;
pub(crate) use instance::{Instance, NotBegun};
pub(crate) use runtime::Stop;
pub use state::EnvironmentState;
pub(crate) use state::EnvironmentView;
pub(crate) use surroundings::Host;

/// One environment. It runs one invocation at a time, unless it belongs to a managed instance.
#[derive(Debug)]
pub(crate) struct Environment {
    surroundings: Arc<Surroundings>,
    runtime: Option<Runtime>,
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
        let surroundings = Surroundings {
            spec: Arc::clone(spec),
            writer,
            telemetry,
            events,
            table: Arc::clone(&host.table),
            view: Arc::default(),
            api: OnceCell::new(),
        };
        Self { surroundings: Arc::new(surroundings), runtime: None, is_new: true, max_memory_mb: 0 }
    }

    pub(crate) fn view(&self) -> &Arc<EnvironmentView> {
        &self.surroundings.view
    }

    /// Returns `true` if its processes wait for an event.
    pub(crate) fn is_ready(&self) -> bool {
        self.runtime.is_some()
    }

    /// Runs one invocation from its init, if it needs one, to its last log event. The caller gets the result as soon as there is one.
    pub(crate) async fn invoke(
        &mut self,
        request: Request,
        mut caller: WaitingCaller,
    ) -> Invocation {
        let request_id = request.request_id.clone();
        let surroundings = Arc::clone(&self.surroundings);
        let Surroundings { spec, events, view, .. } = &*surroundings;
        lock(view).is_busy = true;
        let is_new = std::mem::take(&mut self.is_new);
        let init_duration = if is_new { self.init_phase().await } else { None };
        let cold = self.runtime.is_none() || init_duration.is_some();

        let started = clock::now();
        let begin = Instant::now();
        let deadline = begin + spec.timeout;
        let trace = Trace::new(started, spec.active_tracing);
        // An init within the invocation comes before its start (runtime interface emulator, `doInvoke`).
        let ready = self.ready_runtime(deadline).await;
        events.start(&request_id, &trace);
        let finished = match ready {
            Ok(mut runtime) => {
                let event = Event::new(request, spec, started, &trace);
                let on_response =
                    |response: &Responded| caller.respond(&response.result.clone().into());
                let run = runtime.run(event, &trace, deadline, on_response).await;
                self.finish(runtime, run, &request_id, &trace).await
            }
            Err(init) => self.finish_failed_init(init, &request_id, &trace).await,
        };
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
            has_extensions: self.runtime.as_ref().is_some_and(Runtime::has_extensions),
        };
        events.report(&report);
        if let Some(FailedRuntime { runtime, reason }) = finished.failed {
            runtime.shut_down(reason).await;
            lock(view).note_end();
        }
        lock(view).is_busy = false;
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

    pub(crate) async fn end(mut self, stop: Stop) {
        if let Some(runtime) = self.runtime.take() {
            runtime.end(stop).await;
        }
        lock(&self.surroundings.view).note_end();
    }

    /// Runs the init phase before the first invocation. If it fails, Lambda tries once more within the invocation.
    async fn init_phase(&mut self) -> Option<Duration> {
        let begin = Instant::now();
        let until = begin + self.surroundings.spec.init_timeout;
        match self.start_runtime(until, Phase::Init).await {
            Ok(runtime) => {
                self.runtime = Some(runtime);
                Some(begin.elapsed())
            }
            Err(init) => {
                init.end(&self.surroundings).await;
                None
            }
        }
    }

    /// Runs the init phase ahead of an invocation, and freezes the processes.
    pub(crate) async fn initialise(&mut self) {
        if std::mem::take(&mut self.is_new) {
            self.init_phase().await;
        }
        if let Some(runtime) = &mut self.runtime {
            runtime.freeze().await;
        }
    }

    /// Returns the processes that wait for an event. If there are none, starts them within the invocation's time.
    async fn ready_runtime(&mut self, deadline: Instant) -> Result<Runtime, FailedInit> {
        match self.runtime.take() {
            Some(runtime) => Ok(runtime),
            None => self.start_runtime(deadline, Phase::Invoke).await,
        }
    }

    /// Starts the processes, and writes the events of their init.
    async fn start_runtime(&mut self, until: Instant, phase: Phase) -> Result<Runtime, FailedInit> {
        let surroundings = Arc::clone(&self.surroundings);
        let Surroundings { events, telemetry, .. } = &*surroundings;
        let begin = Instant::now();
        telemetry.begin_init();
        events.init_start(phase);
        let started = match Runtime::start(&self.surroundings).await {
            Ok(mut runtime) => {
                let ready = runtime.initialise(until, phase).await;
                self.note_memory(&runtime);
                match ready {
                    Ok(()) => Ok(runtime),
                    Err(failed) => {
                        Err(FailedInit { pid: runtime.pid(), failed, runtime: Some(runtime) })
                    }
                }
            }
            Err(failed) => Err(FailedInit { pid: None, failed, runtime: None }),
        };
        let status = started.as_ref().map_or_else(FailedInit::status, |_| Status::Success);
        events.init_report(phase, &status, begin.elapsed());
        telemetry.end_init();
        started
    }

    /// Ends the runtime of an init that failed within an invocation.
    async fn finish_failed_init(
        &mut self,
        init: FailedInit,
        request_id: &str,
        trace: &Trace,
    ) -> Finished {
        let status = init.status();
        self.surroundings.events.runtime_done(&RuntimeDone {
            request_id,
            status: &status,
            trace,
            started: clock::now(),
            duration: Duration::ZERO,
            response: None,
            produced_bytes: 0,
        });
        let FailedInit { failed, mut runtime, pid } = init;
        let ended_at = Instant::now();
        // The reset begins after `platform.runtimeDone`.
        let exit = match &mut runtime {
            Some(runtime) => runtime.end_process().await,
            None => None,
        };
        let reason = failed.shutdown_reason();
        Finished {
            status,
            result: failed.result(exit),
            pid,
            times: None,
            runtime_done: None,
            ended_at,
            failed: runtime.map(|runtime| FailedRuntime { runtime, reason }),
        }
    }

    /// Freezes the processes after an invocation, or ends the runtime after a failure.
    async fn finish(
        &mut self,
        mut runtime: Runtime,
        run: Run,
        request_id: &str,
        trace: &Trace,
    ) -> Finished {
        let pid = runtime.pid();
        let reason = run.failed.as_ref().map(Failed::shutdown_reason);
        if reason.is_none() {
            runtime.freeze().await;
        } else {
            runtime.drain();
        }
        self.note_memory(&runtime);
        let out_of_memory =
            matches!(run.failed, Some(Failed::Exited)) && runtime.take_out_of_memory();
        if out_of_memory {
            self.max_memory_mb = self.surroundings.spec.memory_mb;
        }
        let status = run.status(out_of_memory);
        if run.runtime_done.is_none() {
            runtime.report_runtime_done(request_id, &run, &status, trace);
        }
        // The reset begins after `platform.runtimeDone`.
        let exit = if reason.is_some() { runtime.end_process().await } else { None };
        let failed = match reason {
            None => {
                self.runtime = Some(runtime);
                None
            }
            Some(reason) => Some(FailedRuntime { runtime, reason }),
        };
        // The caller has a response that came before the failure, which is the environment's alone.
        let times = run.response.as_ref().map(|response| response.times);
        let result = match (run.response, run.failed) {
            (Some(response), _) => response.result.into(),
            (None, failed) => failed.unwrap_or(Failed::Exited).result(exit),
        };
        let runtime_done = run.runtime_done;
        let ended_at = run.ended_at;
        Finished { result, status, pid, times, runtime_done, ended_at, failed }
    }

    fn note_memory(&mut self, runtime: &Runtime) {
        self.max_memory_mb = self.max_memory_mb.max(runtime.peak_memory_mb());
    }
}

fn rounded_up_to_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// An init that failed, after its events were written.
struct FailedInit {
    failed: Failed,
    /// The processes that are left.
    runtime: Option<Runtime>,
    pid: Option<u32>,
}

impl FailedInit {
    fn status(&self) -> Status {
        self.failed.status(false)
    }

    /// Ends the processes, and returns the result for a caller.
    async fn end(self, surroundings: &Surroundings) -> InvocationResult {
        let Self { failed, runtime, .. } = self;
        let Some(mut runtime) = runtime else { return failed.result(None) };
        let exit = runtime.end_process().await;
        runtime.shut_down(failed.shutdown_reason()).await;
        lock(&surroundings.view).note_end();
        failed.result(exit)
    }
}

/// The last figures of an invocation, for REPORT and the caller's result.
struct Finished {
    result: InvocationResult,
    status: Status,
    pid: Option<u32>,
    times: Option<ResponseTimes>,
    /// The time at which the runtime finished the event; `None` if it never did.
    runtime_done: Option<Instant>,
    ended_at: Instant,
    /// The processes that a failed invocation leaves.
    failed: Option<FailedRuntime>,
}

/// The processes that a failed invocation leaves, and the reason of their SHUTDOWN.
struct FailedRuntime {
    runtime: Runtime,
    reason: ShutdownReason,
}
