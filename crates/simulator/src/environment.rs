//! An execution environment: init, the invocations one after another, freeze and thaw, the reset after a failure.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::clock;
use crate::cloudwatch::{CloudWatch, LogWriter};
use crate::function::FunctionSpec;
use crate::identifiers::{self, Trace};
use crate::invocation::{Invocation, Outcome};
use crate::lock;
use crate::platform_events::{Phase, PlatformEvents, Report, Status};
use crate::process::{ProcessTable, process_state};
use crate::runtime::{InitFailure, Responded, Run, RunEnd, Runtime};
use crate::runtime_api::{Event, Failure};

/// One environment; it does one invocation at a time.
#[derive(Debug)]
pub(crate) struct Environment {
    spec: Arc<FunctionSpec>,
    id: String,
    writer: Arc<LogWriter>,
    events: PlatformEvents,
    table: Arc<ProcessTable>,
    runtime: Option<Runtime>,
    is_new: bool,
    max_memory_mb: u64,
    view: Arc<EnvironmentView>,
}

/// What can be seen of an environment from outside.
#[derive(Debug)]
pub(crate) struct EnvironmentView {
    id: String,
    log_stream: String,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    pid: Option<u32>,
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
        }
    }
}

/// The last figures of an invocation, of which REPORT and the caller's result are made.
struct Finished {
    outcome: Outcome,
    status: Status,
    response_latency: Option<Duration>,
    produced_bytes: usize,
    exit: Option<ExitStatus>,
    ended_at: Instant,
}

impl Environment {
    pub(crate) fn new(
        spec: &Arc<FunctionSpec>,
        cloudwatch: &Arc<CloudWatch>,
        table: &Arc<ProcessTable>,
    ) -> Self {
        let id = identifiers::hex_32();
        let writer = Arc::new(LogWriter::new(cloudwatch, spec, &id));
        let view = EnvironmentView {
            id: id.clone(),
            log_stream: writer.stream().to_owned(),
            seen: Mutex::new(Seen::default()),
        };
        Self {
            spec: Arc::clone(spec),
            events: PlatformEvents::new(spec, &writer, &id),
            id,
            writer,
            table: Arc::clone(table),
            runtime: None,
            is_new: true,
            max_memory_mb: 0,
            view: Arc::new(view),
        }
    }

    pub(crate) fn view(&self) -> &Arc<EnvironmentView> {
        &self.view
    }

    /// Does one invocation from its init, if it needs one, to its last log event.
    pub(crate) async fn invoke(&mut self, request_id: String, payload: Bytes) -> Invocation {
        lock(&self.view.seen).busy = true;
        let init_duration =
            if std::mem::take(&mut self.is_new) { self.init_phase().await } else { None };
        let starts_inside = self.runtime.is_none();
        let cold = starts_inside || init_duration.is_some();

        let started = clock::now();
        let begin = Instant::now();
        let deadline = begin + self.spec.timeout;
        let trace = Trace::new(self.spec.xray, started);
        self.events.start(&request_id, trace.as_ref(), started);
        let event = Event {
            request_id: request_id.clone(),
            deadline_ms: started.after(self.spec.timeout).millis(),
            function_arn: self.spec.arn(),
            trace_header: trace.as_ref().map(|trace| trace.header.clone()),
            payload,
        };
        let (finished, pid) = match self.ready_runtime(deadline).await {
            Ok(mut runtime) => {
                let pid = runtime.pid();
                let run = runtime.run(event, deadline).await;
                (self.finish(runtime, run).await, Some(pid))
            }
            Err(failed) => failed,
        };

        let duration = finished.ended_at.duration_since(begin);
        let report = Report {
            request_id,
            status: finished.status,
            duration,
            billed: round_up_to_millis(duration + init_duration.unwrap_or_default()),
            init: init_duration,
            memory_mb: self.spec.memory_mb,
            max_memory_mb: self.max_memory_mb.min(self.spec.memory_mb).max(1),
            trace,
            started,
            response_latency: finished.response_latency,
            produced_bytes: finished.produced_bytes,
            exit: finished.exit.map(in_lambdas_words),
        };
        self.events.report(&report, clock::now());
        let mut seen = lock(&self.view.seen);
        seen.busy = false;
        seen.invocations += 1;
        Invocation {
            request_id: report.request_id,
            outcome: finished.outcome,
            duration,
            billed_duration: report.billed,
            init_duration,
            cold,
            pid,
            environment: self.id.clone(),
            log_stream: self.writer.stream().to_owned(),
            trace_header: report.trace.map(|trace| trace.header),
            max_memory_mb: report.max_memory_mb,
        }
    }

    /// Ends the environment.
    pub(crate) async fn shut_down(mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shut_down().await;
        }
        let mut seen = lock(&self.view.seen);
        seen.ended = true;
        seen.pid = None;
    }

    /// The init phase before the first invocation. When it fails Lambda tries once more inside the invocation.
    async fn init_phase(&mut self) -> Option<Duration> {
        self.events.init_start(clock::now());
        let begin = Instant::now();
        let started = self.start_runtime(begin + self.spec.init_timeout, Phase::Init).await;
        let runtime = started.ok()?;
        self.runtime = Some(runtime);
        Some(begin.elapsed())
    }

    /// The process that waits for an event; if there is none, one is started within the invocation's time.
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
        let begin = Instant::now();
        let mut runtime = match Runtime::start(&self.spec, &self.writer, &self.table).await {
            Ok(runtime) => runtime,
            Err(error) => {
                let failure = InitFailure::Start(error);
                return Err((self.init_failed(failure, None, phase, begin.elapsed()), None));
            }
        };
        let pid = runtime.pid();
        {
            let mut seen = lock(&self.view.seen);
            seen.pid = Some(pid);
            seen.starts += 1;
        }
        match runtime.initialise(until, &self.events).await {
            Ok(()) => {
                self.events.init_report(phase, &Status::Success, begin.elapsed(), clock::now());
                Ok(runtime)
            }
            Err(failure) => {
                let status = self.end_runtime(runtime).await;
                Err((self.init_failed(failure, status, phase, begin.elapsed()), Some(pid)))
            }
        }
    }

    fn init_failed(
        &mut self,
        failure: InitFailure,
        exit: Option<ExitStatus>,
        phase: Phase,
        duration: Duration,
    ) -> Finished {
        let (outcome, status, exit) = match failure {
            InitFailure::Start(error) => {
                let error_type = "Runtime.InvalidEntrypoint";
                let message = format!("the bootstrap could not be started: {error}");
                let body = serde_json::json!({ "errorType": error_type, "errorMessage": message })
                    .to_string();
                let outcome =
                    Outcome::FunctionError { error_type: error_type.to_owned(), body: body.into() };
                (outcome, Status::Error(error_type.to_owned()), None)
            }
            InitFailure::Reported(Failure { error_type, platform_type, body }) => {
                (Outcome::FunctionError { error_type, body }, Status::Error(platform_type), None)
            }
            InitFailure::Exited => {
                (Outcome::Crash { status: exit }, Status::Error(EXIT_ERROR.to_owned()), exit)
            }
            InitFailure::Timeout => (Outcome::Timeout, Status::Timeout, None),
        };
        self.events.init_report(phase, &status, duration, clock::now());
        let ended_at = Instant::now();
        Finished { outcome, status, response_latency: None, produced_bytes: 0, exit, ended_at }
    }

    /// Freezes the process after an invocation, or ends it where it failed.
    async fn finish(&mut self, mut runtime: Runtime, run: Run) -> Finished {
        let exit = match run.end {
            RunEnd::Ready => {
                runtime.freeze().await;
                self.note_memory(&runtime);
                self.runtime = Some(runtime);
                None
            }
            RunEnd::Exited | RunEnd::Timeout => self.end_runtime(runtime).await,
        };
        // Where a response came before the failure, the caller has it; the failure is the environment's.
        let (outcome, status, latency, produced_bytes) = match (run.response, run.end) {
            (Some(Responded { result: Ok(body), latency }), end) => {
                let produced_bytes = body.len();
                (Outcome::Response(body), status_of(end), Some(latency), produced_bytes)
            }
            (Some(Responded { result: Err(failure), latency }), end) => {
                let status = match end {
                    RunEnd::Ready => Status::HandlerError(failure.platform_type),
                    RunEnd::Exited | RunEnd::Timeout => status_of(end),
                };
                let produced_bytes = failure.body.len();
                let outcome =
                    Outcome::FunctionError { error_type: failure.error_type, body: failure.body };
                (outcome, status, Some(latency), produced_bytes)
            }
            (None, RunEnd::Timeout) => (Outcome::Timeout, Status::Timeout, None, 0),
            (None, end) => (Outcome::Crash { status: exit }, status_of(end), None, 0),
        };
        let exit = if run.end == RunEnd::Exited { exit } else { None };
        Finished {
            outcome,
            status,
            response_latency: latency,
            produced_bytes,
            exit,
            ended_at: run.ended_at,
        }
    }

    async fn end_runtime(&mut self, runtime: Runtime) -> Option<ExitStatus> {
        self.note_memory(&runtime);
        let status = runtime.kill().await;
        lock(&self.view.seen).pid = None;
        status
    }

    fn note_memory(&mut self, runtime: &Runtime) {
        self.max_memory_mb = self.max_memory_mb.max(runtime.peak_memory_mb().unwrap_or_default());
    }
}

/// AWS's error type for a process that ended by itself.
const EXIT_ERROR: &str = "Runtime.ExitError";

fn status_of(end: RunEnd) -> Status {
    match end {
        RunEnd::Ready => Status::Success,
        RunEnd::Exited => Status::Error(EXIT_ERROR.to_owned()),
        RunEnd::Timeout => Status::Timeout,
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
