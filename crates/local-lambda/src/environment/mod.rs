//! An execution environment: init, the invocations one after another, freeze and thaw, the reset after a failure.

mod extensions;
mod runtime;
mod view;

use crate::api::{Event, Failure};
use crate::clock;
use crate::cloudwatch::{CloudWatch, LogWriter};
use crate::function::FunctionSpec;
use crate::identifiers::{self, Trace};
use crate::invocation::{Caller, Invocation, InvocationResult};
use crate::platform_events::{
    Phase, PlatformEvents, Report, ResponseTimes, Status, rounded_up_to_millis,
};
use crate::process::ProcessTable;
use crate::telemetry::{Controls, Telemetry, Undelivered};
use bytes::Bytes;
use extensions::ExtensionFailure;
use runtime::{
    INVALID_ENTRYPOINT, InitFailure, Responded, Run, RunEnd, Runtime, ShutdownReason, Surroundings,
};
use serde_json::json;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;

pub(crate) use view::EnvironmentView;
pub use view::{EnvironmentState, ExtensionState};

#[derive(Debug, Default)]
pub(crate) struct Host {
    pub(crate) cloudwatch: Arc<CloudWatch>,
    pub(crate) table: Arc<ProcessTable>,
    pub(crate) undelivered: Arc<Undelivered>,
}

/// One environment; it does one invocation at a time.
#[derive(Debug)]
pub(crate) struct Environment {
    surroundings: Arc<Surroundings>,
    runtime: Option<Runtime>,
    is_new: bool,
    max_memory_mb: u64,
}

impl Environment {
    pub(crate) fn new(host: &Host, spec: &Arc<FunctionSpec>, controls: &Arc<Controls>) -> Self {
        let id = identifiers::hex_32();
        let writer = Arc::new(LogWriter::new(&host.cloudwatch, spec, &id));
        let telemetry = Telemetry::new(spec.log_format, controls, &host.undelivered);
        let surroundings = Surroundings {
            spec: Arc::clone(spec),
            events: PlatformEvents::new(spec, &writer, &telemetry, &id),
            writer,
            telemetry,
            controls: Arc::clone(controls),
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

    /// Does one invocation from its init, if it needs one, to its last log event. The caller gets the result earlier.
    pub(crate) async fn invoke(
        &mut self,
        request_id: String,
        payload: Bytes,
        mut caller: Caller,
    ) -> Invocation {
        let surroundings = Arc::clone(&self.surroundings);
        let Surroundings { spec, events, view, .. } = &*surroundings;
        view.begin_invocation();
        let (init_duration, restore_duration) = if std::mem::take(&mut self.is_new) {
            (self.init_phase().await, self.restore_phase().await)
        } else {
            (None, None)
        };
        let init_duration = init_duration.filter(|_| !spec.is_snap_start());
        let cold = self.runtime.is_none() || init_duration.or(restore_duration).is_some();

        let started = clock::now();
        let begin = Instant::now();
        let deadline = begin + spec.timeout;
        let trace = Trace::new(started, spec.active_tracing);
        events.start(&request_id, &trace, started);
        let event = Event {
            request_id: request_id.clone(),
            deadline_ms: started.after(spec.timeout).millis(),
            function_arn: spec.arn(),
            trace_header: trace.header.clone(),
            payload,
        };
        let (finished, pid) = match self.ready_runtime(deadline).await {
            Ok(mut runtime) => {
                let pid = runtime.pid();
                let on_response =
                    |response: &Responded| caller.tell(&result_of(response.result.clone()));
                let run = runtime.run(event, &trace, deadline, on_response).await;
                (self.finish(runtime, run, &request_id, &trace).await, pid)
            }
            Err(failed) => failed,
        };
        caller.tell(&finished.result);

        let duration = finished.ended_at.duration_since(begin);
        let post_runtime = finished.runtime_done.map(|done| finished.ended_at.duration_since(done));
        let report = Report {
            request_id,
            status: finished.status,
            duration,
            billed: billed(duration, init_duration, restore_duration),
            init: init_duration,
            restore: restore_duration,
            memory_mb: spec.memory_mb,
            max_memory_mb: self.max_memory_mb.min(spec.memory_mb).max(1),
            trace,
            started,
            response: finished.times,
            is_managed: spec.is_managed(),
            post_runtime,
            has_extensions: self.runtime.as_ref().is_some_and(Runtime::has_extensions),
        };
        events.report(&report, clock::now());
        if let Some((runtime, reason)) = finished.failed {
            runtime.shut_down(reason).await;
            view.note_end();
        }
        view.end_invocation();
        Invocation {
            request_id: report.request_id,
            result: finished.result,
            duration,
            post_runtime: post_runtime.unwrap_or_default(),
            init_duration,
            cold,
            pid,
        }
    }

    pub(crate) async fn shut_down(mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shut_down(ShutdownReason::Spindown).await;
        }
        self.note_end();
    }

    /// Ends the environment without a word to its processes.
    pub(crate) async fn kill(mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.kill().await;
        }
        self.note_end();
    }

    fn note_end(&self) {
        self.surroundings.telemetry.finish();
        self.surroundings.view.note_end();
    }

    /// The init phase before the first invocation. When it fails Lambda tries once more inside the invocation.
    async fn init_phase(&mut self) -> Option<Duration> {
        let begin = Instant::now();
        let until = begin + self.surroundings.spec.init_timeout;
        let started = self.start_runtime(until, Phase::Init).await;
        let runtime = started.ok()?;
        self.runtime = Some(runtime);
        Some(begin.elapsed())
    }

    /// For SnapStart, freezes the initialized processes and restores them, as in another environment.
    async fn restore_phase(&mut self) -> Option<Duration> {
        if !self.surroundings.spec.is_snap_start() {
            return None;
        }
        let mut runtime = self.runtime.take()?;
        runtime.freeze().await;
        let restored = runtime.restore().await;
        if restored.is_ok() {
            self.runtime = Some(runtime);
        } else {
            runtime.shut_down(ShutdownReason::Failure).await;
            self.surroundings.view.note_end();
        }
        restored.ok()
    }

    /// The init phase ahead of an invocation; the processes are frozen afterwards.
    pub(crate) async fn initialise(&mut self) {
        if std::mem::take(&mut self.is_new) && self.init_phase().await.is_some() {
            self.restore_phase().await;
        }
        if let Some(runtime) = &mut self.runtime {
            runtime.freeze().await;
        }
    }

    /// The processes that wait for an event; if there are none, they are started within the invocation's time.
    async fn ready_runtime(
        &mut self,
        deadline: Instant,
    ) -> Result<Runtime, (Finished, Option<u32>)> {
        match self.runtime.take() {
            Some(runtime) => Ok(runtime),
            None => self.start_runtime(deadline, Phase::Invoke).await,
        }
    }

    async fn start_runtime(
        &mut self,
        until: Instant,
        phase: Phase,
    ) -> Result<Runtime, (Finished, Option<u32>)> {
        let surroundings = Arc::clone(&self.surroundings);
        let Surroundings { events, telemetry, view, .. } = &*surroundings;
        let begin = Instant::now();
        telemetry.begin_init();
        events.init_start(phase, clock::now());
        let (failure, exit, pid) = match Runtime::start(&self.surroundings).await {
            Ok(mut runtime) => match runtime.initialise(until, phase).await {
                Ok(()) => {
                    events.init_report(phase, &Status::Success, begin.elapsed(), clock::now());
                    telemetry.end_init();
                    return Ok(runtime);
                }
                Err(failure) => {
                    let pid = runtime.pid();
                    self.note_memory(&runtime);
                    let exit = runtime.kill_process().await;
                    let reason = match failure {
                        InitFailure::Timeout => ShutdownReason::Timeout,
                        _ => ShutdownReason::Failure,
                    };
                    let status = failure.status();
                    if pid.is_some() {
                        events.init_runtime_done(phase, &status, clock::now());
                    }
                    events.init_report(phase, &status, begin.elapsed(), clock::now());
                    runtime.shut_down(reason).await;
                    view.note_end();
                    (failure, exit, pid)
                }
            },
            Err(failure) => {
                let status = failure.status();
                events.init_report(phase, &status, begin.elapsed(), clock::now());
                (failure, None, None)
            }
        };
        telemetry.end_init();
        Err((init_failed(failure, exit), pid))
    }

    /// Freezes the processes after an invocation, or ends the runtime after a failure.
    async fn finish(
        &mut self,
        mut runtime: Runtime,
        run: Run,
        request_id: &str,
        trace: &Trace,
    ) -> Finished {
        let reason = match &run.end {
            RunEnd::Ready => None,
            RunEnd::Timeout => Some(ShutdownReason::Timeout),
            RunEnd::Exited | RunEnd::ExtensionFailed(_) => Some(ShutdownReason::Failure),
        };
        let exit = if reason.is_none() {
            runtime.freeze().await;
            None
        } else {
            runtime.kill_process().await
        };
        self.note_memory(&runtime);
        let out_of_memory = run.end == RunEnd::Exited && runtime.ran_out_of_memory();
        if out_of_memory {
            self.max_memory_mb = self.surroundings.spec.memory_mb;
        }
        let status = run.status(out_of_memory);
        if run.runtime_done.is_none() {
            runtime.tell_runtime_done(request_id, &run, &status, trace);
        }
        let failed = match reason {
            None => {
                self.runtime = Some(runtime);
                None
            }
            Some(reason) => Some((runtime, reason)),
        };
        // Where a response came before the failure, the caller has it; the failure is the environment's.
        let times = run.response.as_ref().map(|response| response.times);
        let result = match (run.response, run.end) {
            (Some(response), _) => result_of(response.result),
            (None, RunEnd::Timeout) => InvocationResult::Timeout,
            (None, RunEnd::ExtensionFailed(failure)) => extension_failed(failure),
            (None, RunEnd::Exited | RunEnd::Ready) => InvocationResult::Crash { status: exit },
        };
        let (runtime_done, ended_at) = (run.runtime_done, run.ended_at);
        Finished { result, status, times, runtime_done, ended_at, failed }
    }

    fn note_memory(&mut self, runtime: &Runtime) {
        self.max_memory_mb = self.max_memory_mb.max(runtime.peak_memory_mb());
    }
}

/// Init is billed with the invocation, a restore is rounded for itself (AWS Lambda "Monitoring for SnapStart").
fn billed(duration: Duration, init: Option<Duration>, restore: Option<Duration>) -> Duration {
    let millis = rounded_up_to_millis(duration + init.unwrap_or_default())
        + rounded_up_to_millis(restore.unwrap_or_default());
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// The last figures of an invocation, for REPORT and the caller's result.
struct Finished {
    result: InvocationResult,
    status: Status,
    times: Option<ResponseTimes>,
    /// The time at which the runtime finished the event; `None` if it never did.
    runtime_done: Option<Instant>,
    ended_at: Instant,
    /// The processes that are left where the invocation failed, and why they must end.
    failed: Option<(Runtime, ShutdownReason)>,
}

fn result_of(result: Result<Bytes, Failure>) -> InvocationResult {
    match result {
        Ok(body) => InvocationResult::Response(body),
        Err(Failure { error_type, body, .. }) => {
            InvocationResult::FunctionError { error_type, body }
        }
    }
}

fn extension_failed(failure: ExtensionFailure) -> InvocationResult {
    error_result(failure.error_type, &failure.message)
}

fn error_result(error_type: String, message: &str) -> InvocationResult {
    let body = json!({ "errorType": error_type, "errorMessage": message }).to_string();
    InvocationResult::FunctionError { error_type, body: body.into() }
}

fn init_failed(failure: InitFailure, exit: Option<ExitStatus>) -> Finished {
    let status = failure.status();
    let result = match failure {
        InitFailure::Start(error) => error_result(
            INVALID_ENTRYPOINT.to_owned(),
            &format!("the bootstrap could not be started: {error}"),
        ),
        InitFailure::Reported(failure) => result_of(Err(failure)),
        InitFailure::Extension(failure) => extension_failed(failure),
        InitFailure::Exited => InvocationResult::Crash { status: exit },
        InitFailure::Timeout => InvocationResult::Timeout,
    };
    Finished {
        result,
        status,
        times: None,
        runtime_done: None,
        ended_at: Instant::now(),
        failed: None,
    }
}
