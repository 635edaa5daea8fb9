//! An execution environment: init, the invocations one after another, freeze and thaw, the reset after a failure.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::clock;
use crate::cloudwatch::LogWriter;
use crate::extensions::ExtensionFailure;
use crate::identifiers::{self, Trace};
use crate::invocation::{Invocation, Outcome};
use crate::lock;
use crate::platform_events::{Phase, PlatformEvents, Report, ResponseTimes, Status};
use crate::process::process_state;
use crate::runtime::{
    EXIT_ERROR, InitFailure, Responded, Run, RunEnd, Runtime, ShutdownReason, Surroundings,
};
use crate::runtime_api::{Event, Failure};
use crate::service::{Function, Service};
use crate::telemetry::Telemetry;

/// One environment; it does one invocation at a time.
#[derive(Debug)]
pub(crate) struct Environment {
    surroundings: Arc<Surroundings>,
    runtime: Option<Runtime>,
    is_new: bool,
    max_memory_mb: u64,
}

/// Whoever waits for the outcome of an invocation; told once, as soon as it is known.
#[derive(Debug)]
pub(crate) struct Caller(Option<oneshot::Sender<Outcome>>);

impl Caller {
    pub(crate) fn new() -> (Self, oneshot::Receiver<Outcome>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Some(sender)), receiver)
    }

    fn tell(&mut self, outcome: &Outcome) {
        if let Some(sender) = self.0.take() {
            // A caller that gave up is no error.
            drop(sender.send(outcome.clone()));
        }
    }
}

/// What can be seen of an environment from outside.
#[derive(Debug)]
pub(crate) struct EnvironmentView {
    id: String,
    log_stream: String,
    telemetry: Arc<Telemetry>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    pid: Option<u32>,
    extensions: Vec<(String, u32)>,
    out_of_memory: bool,
    busy: bool,
    invocations: u64,
    starts: u64,
    ended: bool,
}

/// An environment as it is at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EnvironmentState {
    /// The 32 hexadecimal digits at the end of the log stream's name.
    pub id: String,
    pub log_stream: String,
    /// Its process; `None` after a reset and before the next init.
    pub pid: Option<u32>,
    /// The state letter of the process, as [`process_state`](crate::process_state) gives it: `T` while frozen.
    pub process_state: Option<char>,
    /// Whether an invocation is in progress.
    pub busy: bool,
    pub invocations: u64,
    /// How often a process was started: 1, and one more for every reset.
    pub starts: u64,
    /// Whether it was shut down.
    pub ended: bool,
    /// The processes of its layers; none after a reset and before the next init.
    pub extensions: Vec<ExtensionState>,
    /// How many telemetry events wait for a subscriber, those included that a test holds back.
    pub telemetry_waiting: usize,
}

/// An external extension as it is at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExtensionState {
    pub name: String,
    pub pid: u32,
    /// The state letter of the process: `T` while frozen.
    pub process_state: Option<char>,
}

impl EnvironmentView {
    pub(crate) fn state(&self) -> EnvironmentState {
        let seen = lock(&self.seen);
        EnvironmentState {
            id: self.id.clone(),
            log_stream: self.log_stream.clone(),
            pid: seen.pid,
            process_state: seen.pid.and_then(process_state),
            busy: seen.busy,
            invocations: seen.invocations,
            starts: seen.starts,
            ended: seen.ended,
            extensions: seen
                .extensions
                .iter()
                .map(|(name, pid)| ExtensionState {
                    name: name.clone(),
                    pid: *pid,
                    process_state: process_state(*pid),
                })
                .collect(),
            telemetry_waiting: self.telemetry.waiting(),
        }
    }

    /// A runtime's process has started.
    pub(crate) fn note_start(&self, pid: u32) {
        let mut seen = lock(&self.seen);
        seen.pid = Some(pid);
        seen.starts += 1;
    }

    pub(crate) fn note_extensions(&self, extensions: Vec<(String, u32)>) {
        lock(&self.seen).extensions = extensions;
    }

    /// The runtime is about to be killed as one that ran out of memory; gives its process.
    pub(crate) fn run_out_of_memory(&self) -> Option<u32> {
        let mut seen = lock(&self.seen);
        let pid = seen.pid.filter(|_| seen.busy)?;
        seen.out_of_memory = true;
        Some(pid)
    }

    pub(crate) fn take_out_of_memory(&self) -> bool {
        std::mem::take(&mut lock(&self.seen).out_of_memory)
    }

    /// All processes have ended.
    fn note_end(&self) {
        let mut seen = lock(&self.seen);
        seen.pid = None;
        seen.extensions.clear();
    }
}

/// The last figures of an invocation, of which REPORT and the caller's result are made.
struct Finished {
    outcome: Outcome,
    status: Status,
    times: Option<ResponseTimes>,
    /// When the runtime was done with the event; `None` where it never was.
    runtime_done: Option<Instant>,
    exit: Option<ExitStatus>,
    ended_at: Instant,
    /// The processes that are left where the invocation failed, and why they must end.
    failed: Option<(Runtime, ShutdownReason)>,
}

impl Environment {
    pub(crate) fn new(service: &Service, function: &Function) -> Self {
        let (spec, id) = (&function.spec, identifiers::hex_32());
        let writer = Arc::new(LogWriter::new(&service.cloudwatch, spec, &id));
        let telemetry = Telemetry::new(
            spec.name(),
            &id,
            spec.log_format,
            &function.controls,
            &service.telemetry_ledger,
        );
        let view = EnvironmentView {
            id: id.clone(),
            log_stream: writer.stream().to_owned(),
            telemetry: Arc::clone(&telemetry),
            seen: Mutex::new(Seen::default()),
        };
        let surroundings = Surroundings {
            spec: Arc::clone(spec),
            events: PlatformEvents::new(spec, &writer, &telemetry, &id),
            writer,
            telemetry,
            controls: Arc::clone(&function.controls),
            table: Arc::clone(&service.table),
            view: Arc::new(view),
        };
        Self { surroundings: Arc::new(surroundings), runtime: None, is_new: true, max_memory_mb: 0 }
    }

    pub(crate) fn view(&self) -> &Arc<EnvironmentView> {
        &self.surroundings.view
    }

    /// Does one invocation from its init, if it needs one, to its last log event. The caller gets the outcome earlier.
    pub(crate) async fn invoke(
        &mut self,
        request_id: String,
        payload: Bytes,
        mut caller: Caller,
    ) -> Invocation {
        let surroundings = Arc::clone(&self.surroundings);
        let Surroundings { spec, events, view, .. } = &*surroundings;
        lock(&view.seen).busy = true;
        let init_duration =
            if std::mem::take(&mut self.is_new) { self.init_phase().await } else { None };
        let cold = self.runtime.is_none() || init_duration.is_some();

        let started = clock::now();
        let begin = Instant::now();
        let deadline = begin + spec.timeout;
        let trace = Trace::new(spec.xray, started);
        events.start(&request_id, trace.as_ref(), started);
        let event = Event {
            request_id: request_id.clone(),
            deadline_ms: started.after(spec.timeout).millis(),
            function_arn: spec.arn(),
            trace_header: trace.as_ref().map(|trace| trace.header.clone()),
            payload,
        };
        let (finished, pid) = match self.ready_runtime(deadline).await {
            Ok(mut runtime) => {
                let pid = runtime.pid();
                let on_response =
                    |response: &Responded| caller.tell(&outcome_of(response.result.clone()));
                let run = runtime.run(event, trace.as_ref(), deadline, on_response).await;
                (self.finish(runtime, run, &request_id, trace.as_ref()).await, pid)
            }
            Err(failed) => failed,
        };
        caller.tell(&finished.outcome);

        let duration = finished.ended_at.duration_since(begin);
        let post_runtime = finished.runtime_done.map(|done| finished.ended_at.duration_since(done));
        let report = Report {
            request_id,
            status: finished.status,
            duration,
            billed: round_up_to_millis(duration + init_duration.unwrap_or_default()),
            init: init_duration,
            memory_mb: spec.memory_mb,
            max_memory_mb: self.max_memory_mb.min(spec.memory_mb).max(1),
            trace,
            started,
            post_runtime,
            has_extensions: self.runtime.as_ref().is_some_and(Runtime::has_extensions),
            exit: finished.exit.map(in_lambdas_words),
        };
        events.report(&report, clock::now());
        if let Some((runtime, reason)) = finished.failed {
            runtime.shut_down(reason).await;
            view.note_end();
        }
        let mut seen = lock(&view.seen);
        seen.busy = false;
        seen.invocations += 1;
        Invocation {
            request_id: report.request_id,
            outcome: finished.outcome,
            response_latency: finished.times.map(|times| times.latency + times.duration),
            duration,
            post_runtime: post_runtime.unwrap_or_default(),
            billed_duration: report.billed,
            init_duration,
            cold,
            pid,
            environment: view.id.clone(),
            log_stream: view.log_stream.clone(),
            trace_header: report.trace.map(|trace| trace.header),
            max_memory_mb: report.max_memory_mb,
        }
    }

    /// Ends the environment as Lambda does.
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
        lock(&self.surroundings.view.seen).ended = true;
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
                    let status = status_of_init(&failure);
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
                let status = status_of_init(&failure);
                events.init_report(phase, &status, begin.elapsed(), clock::now());
                (failure, None, None)
            }
        };
        telemetry.end_init();
        Err((init_failed(failure, exit), pid))
    }

    /// Freezes the processes after an invocation, or ends the runtime where it failed.
    async fn finish(
        &mut self,
        mut runtime: Runtime,
        run: Run,
        request_id: &str,
        trace: Option<&Trace>,
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
        let is_exit = run.end == RunEnd::Exited;
        let outcome = match (run.response, run.end) {
            (Some(Responded { result, .. }), _) => outcome_of(result),
            (None, RunEnd::Timeout) => Outcome::Timeout,
            (None, RunEnd::ExtensionFailed(failure)) => extension_failed(failure),
            (None, RunEnd::Exited | RunEnd::Ready) => Outcome::Crash { status: exit },
        };
        let exit = if is_exit { exit } else { None };
        let (runtime_done, ended_at) = (run.runtime_done, run.ended_at);
        Finished { outcome, status, times, runtime_done, exit, ended_at, failed }
    }

    fn note_memory(&mut self, runtime: &Runtime) {
        self.max_memory_mb = self.max_memory_mb.max(runtime.peak_memory_mb());
    }
}

fn outcome_of(result: Result<Bytes, Failure>) -> Outcome {
    match result {
        Ok(body) => Outcome::Response(body),
        Err(Failure { error_type, body, .. }) => Outcome::FunctionError { error_type, body },
    }
}

fn extension_failed(failure: ExtensionFailure) -> Outcome {
    error_outcome(failure.error_type, &failure.message)
}

fn error_outcome(error_type: String, message: &str) -> Outcome {
    let body = json!({ "errorType": error_type, "errorMessage": message }).to_string();
    Outcome::FunctionError { error_type, body: body.into() }
}

/// AWS's error type for a bootstrap that cannot be started.
const INVALID_ENTRYPOINT: &str = "Runtime.InvalidEntrypoint";

fn status_of_init(failure: &InitFailure) -> Status {
    match failure {
        InitFailure::Start(_) => Status::Error(INVALID_ENTRYPOINT.to_owned()),
        InitFailure::Reported(failure) => Status::Error(failure.platform_type.clone()),
        InitFailure::Extension(failure) => Status::Error(failure.error_type.clone()),
        InitFailure::Exited => Status::Error(EXIT_ERROR.to_owned()),
        InitFailure::Timeout => Status::Timeout,
    }
}

/// The end of an invocation whose init failed.
fn init_failed(failure: InitFailure, exit: Option<ExitStatus>) -> Finished {
    let status = status_of_init(&failure);
    let is_exit = matches!(failure, InitFailure::Exited);
    let outcome = match failure {
        InitFailure::Start(error) => error_outcome(
            INVALID_ENTRYPOINT.to_owned(),
            &format!("the bootstrap could not be started: {error}"),
        ),
        InitFailure::Reported(failure) => outcome_of(Err(failure)),
        InitFailure::Extension(failure) => extension_failed(failure),
        InitFailure::Exited => Outcome::Crash { status: exit },
        InitFailure::Timeout => Outcome::Timeout,
    };
    Finished {
        outcome,
        status,
        times: None,
        runtime_done: None,
        exit: exit.filter(|_| is_exit),
        ended_at: Instant::now(),
        failed: None,
    }
}

/// `exit status 3`, `signal: killed`; empty for a process that ended with success.
pub(crate) fn in_lambdas_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) | (None, None) => String::new(),
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => {
            let name = match signal {
                4 => "illegal instruction",
                6 => "aborted",
                7 => "bus error",
                9 => "killed",
                11 => "segmentation fault",
                15 => "terminated",
                other => return format!("signal: signal {other}"),
            };
            format!("signal: {name}")
        }
    }
}

fn round_up_to_millis(duration: Duration) -> Duration {
    let millis = duration.as_nanos().div_ceil(1_000_000);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}
