//! One life of an environment's processes: extensions and runtime, from their start over the invocations to their end.

use crate::api::server::{self, Answer};
use crate::api::{Asked, Call, Event, Refused, Reply, RuntimeApi, answer, refusal};
use crate::clock::{self, Timestamp};
use crate::cloudwatch::LogWriter;
use crate::environment::EnvironmentView;
use crate::environment::extensions::{ExtensionFailure, Extensions};
use crate::failure::Failure;
use crate::fidelity::TelemetryAtShutdown;
use crate::function::FunctionSpec;
use crate::identifiers::Trace;
use crate::invocation::InvocationResult;
use crate::lock;
use crate::platform_events::{Phase, PlatformEvents, ResponseTimes, RuntimeDone, Status};
use crate::process::{CapturedOutput, Process, ProcessTable, Start};
use crate::telemetry::{Category, Settings, Telemetry};
use bytes::Bytes;
use http::StatusCode;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OnceCell, mpsc};
use tokio::time::Instant;

#[derive(Debug)]
pub(crate) struct Runtime {
    surroundings: Arc<Surroundings>,
    calls: mpsc::Receiver<Call>,
    /// The address of its API.
    address: String,
    extensions: Extensions,
    /// The runtime; it starts when all extensions have registered.
    process: Option<Process>,
    /// The `next` calls that wait for an event: one, on managed instances one of each worker.
    waiting: VecDeque<Reply>,
    /// `true` after the start of the runtime's process was tried.
    has_started: bool,
    initialised: bool,
    /// The end of the time for the end of all processes, once it has begun.
    ends_at: Option<Instant>,
}

/// Why the processes did not become ready, or why an invocation was not finished.
#[derive(Debug)]
pub(crate) enum Failed {
    Start(io::Error),
    /// The runtime reported that its init failed.
    Reported(Failure),
    Extension(ExtensionFailure),
    Exited,
    Timeout,
}

impl Failed {
    pub(crate) fn status(&self, out_of_memory: bool) -> Status {
        Status::Error(match self {
            Self::Timeout => return Status::Timeout,
            Self::Start(_) => INVALID_ENTRYPOINT.to_owned(),
            Self::Reported(failure) => failure.platform_type.clone(),
            Self::Extension(failure) => failure.error_type.clone(),
            Self::Exited if out_of_memory => OUT_OF_MEMORY.to_owned(),
            Self::Exited => EXIT_ERROR.to_owned(),
        })
    }

    pub(crate) fn shutdown_reason(&self) -> ShutdownReason {
        match self {
            Self::Timeout => ShutdownReason::Timeout,
            _ => ShutdownReason::Failure,
        }
    }

    /// The result for the caller; `exit` is the status with which the runtime's process ended.
    pub(crate) fn result(&self, exit: Option<ExitStatus>) -> InvocationResult {
        let (error_type, message) = match self {
            Self::Reported(failure) => return failure.clone().into(),
            Self::Exited => return InvocationResult::Crash { status: exit },
            Self::Timeout => return InvocationResult::Timeout,
            Self::Extension(failure) => (failure.error_type.clone(), failure.message.clone()),
            Self::Start(error) => {
                let message = format!("the bootstrap could not be started: {error}");
                (INVALID_ENTRYPOINT.to_owned(), message)
            }
        };
        let body = server::error_body(&error_type, &message);
        InvocationResult::FunctionError { error_type, body: body.into() }
    }
}

impl Runtime {
    pub(crate) async fn start(surroundings: &Arc<Surroundings>) -> Result<Self, Failed> {
        let api = surroundings.api.get_or_try_init(RuntimeApi::start).await;
        let api = api.map_err(Failed::Start)?;
        let (calls, address) = (api.calls(), api.address().to_string());
        let output = surroundings.output(Category::Extension);
        let variables = surroundings.variables(Category::Extension, &address);
        let (spec, table) = (&surroundings.spec, &surroundings.table);
        let extensions = Extensions::launch(spec, &variables, &output, table);
        let extensions = extensions.map_err(|failure| {
            let error_type = Some(failure.error_type.as_str());
            surroundings.events.extension(&failure.name, "LaunchError", &[], error_type);
            Failed::Extension(failure)
        })?;
        lock(&surroundings.view).extensions = extensions.seen();
        surroundings.telemetry.thaw();
        Ok(Self {
            surroundings: Arc::clone(surroundings),
            calls,
            address,
            extensions,
            process: None,
            waiting: VecDeque::new(),
            has_started: false,
            initialised: false,
            ends_at: None,
        })
    }

    fn start_process(&mut self) -> io::Result<()> {
        let Surroundings { spec, table, view, .. } = &*self.surroundings;
        let start = Start {
            program: &spec.bootstrap,
            arguments: &spec.arguments,
            environment: self.surroundings.variables(Category::Function, &self.address),
            directory: spec.directory.as_deref(),
        };
        let process = Process::start(start, &self.surroundings.output(Category::Function), table)?;
        lock(view).pid = Some(process.pid());
        self.process = Some(process);
        Ok(())
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    pub(crate) fn has_extensions(&self) -> bool {
        !self.extensions.is_empty()
    }

    pub(crate) fn peak_memory_mb(&self) -> u64 {
        let runtime = self.process.as_ref().and_then(Process::peak_memory_mb);
        runtime.unwrap_or_default() + self.extensions.peak_memory_mb()
    }

    /// Returns `true` if the runtime was killed because of its memory.
    pub(crate) fn ran_out_of_memory(&self) -> bool {
        std::mem::take(&mut lock(&self.surroundings.view).is_out_of_memory)
    }

    /// Starts the runtime once the extensions have registered, and waits until all have asked for their first event.
    pub(crate) async fn initialise(&mut self, until: Instant, phase: Phase) -> Result<(), Failed> {
        let ready = self.become_ready(until).await;
        self.drain();
        let events = &self.surroundings.events;
        if self.has_started {
            let status =
                ready.as_ref().map_or_else(|failed| failed.status(false), |()| Status::Success);
            // It comes when extensions are ready too (runtime interface emulator, `doRuntimeDomainInit`).
            events.init_runtime_done(phase, &status);
        }
        if let Err(failed) = &ready {
            let extension = match failed {
                Failed::Extension(failure) => Some(failure),
                _ => None,
            };
            self.extensions.tell_unready(extension, events);
        }
        ready
    }

    async fn become_ready(&mut self, until: Instant) -> Result<(), Failed> {
        loop {
            if !self.has_started && self.extensions.are_registered() {
                self.has_started = true;
                self.start_process().map_err(Failed::Start)?;
            }
            if !self.waiting.is_empty() && self.extensions.are_ready() {
                self.initialised = true;
                return Ok(());
            }
            match self.next_call(until).await? {
                Call { asked: Asked::InitError(failure), reply } => {
                    answer(reply, server::accepted());
                    return Err(Failed::Reported(failure));
                }
                call => self.take_call(call)?,
            }
        }
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

    fn thaw(&mut self) {
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

    /// A call for an event whose caller still waits.
    pub(super) fn waiting_worker(&mut self) -> Option<Reply> {
        std::iter::from_fn(|| self.waiting.pop_front()).find(|waiting| !waiting.is_closed())
    }

    /// Waits for the next call; cancel safe.
    pub(super) async fn next_call(&mut self, until: Instant) -> Result<Call, Failed> {
        let ended = tokio::select! {
            // A call that a process made before it ended counts.
            biased;
            Some(call) = self.calls.recv() => return Ok(call),
            () = ended(self.process.as_ref()) => return Err(Failed::Exited),
            place = self.extensions.one_ended() => place,
            () = tokio::time::sleep_until(until) => return Err(Failed::Timeout),
        };
        Err(self.extensions.note_end(ended).map_or(Failed::Timeout, Failed::Extension))
    }

    /// Keeps a call that waits for an event, serves the calls that an extension may make at this time, and refuses
    /// the others.
    pub(super) fn take_call(&mut self, Call { asked, reply }: Call) -> Result<(), Failed> {
        let answered = match asked {
            Asked::Next => {
                if !self.surroundings.spec.is_managed() {
                    self.waiting.clear();
                }
                self.waiting.push_back(reply);
                return Ok(());
            }
            Asked::NextExtensionEvent { extension } => {
                self.extensions.next(&extension, reply, &self.surroundings.events);
                if !self.initialised {
                    lock(&self.surroundings.view).extensions = self.extensions.seen();
                }
                return Ok(());
            }
            // All extensions register before the runtime asks for its first event.
            Asked::Register { .. } if self.initialised || !self.waiting.is_empty() => {
                Err(Refused::RegistrationIsClosed)
            }
            Asked::Register { name, events, wants_account_id } => {
                let registered = self.extensions.register(name, events, wants_account_id);
                lock(&self.surroundings.view).extensions = self.extensions.seen();
                registered
            }
            Asked::ExtensionReport { extension, error_type, during_init } => {
                match self.extensions.report(&extension, error_type, during_init) {
                    Ok(failure) => {
                        answer(reply, server::accepted());
                        return Err(Failed::Extension(failure));
                    }
                    Err(refused) => Err(refused),
                }
            }
            Asked::Subscribe { extension, settings } => self.subscribe(&extension, settings),
            Asked::Response { .. } => Err(Refused::UnknownRequest),
            Asked::InitError(_) => Err(Refused::WrongState),
        };
        answer(reply, answered.unwrap_or_else(refusal));
        Ok(())
    }

    fn subscribe(
        &mut self,
        extension: &str,
        settings: Result<Settings, String>,
    ) -> Result<Answer, Refused> {
        let settings = match settings {
            Ok(settings) => settings,
            Err(error) => {
                return Ok(server::error(StatusCode::BAD_REQUEST, "ValidationError", &error));
            }
        };
        let name = self.extensions.name(extension).ok_or(Refused::UnknownExtension)?;
        if let Some(status) = self.surroundings.spec.subscription_status {
            return Ok(server::error(status, "Telemetry.Scripted", "as the test told"));
        }
        if self.initialised {
            return Err(Refused::SubscriptionIsClosed);
        }
        let types = settings.types.clone();
        let is_new = self.surroundings.telemetry.subscribe(&name, settings);
        if !is_new && self.surroundings.spec.is_managed() {
            return Err(Refused::SecondSubscription);
        }
        self.surroundings.events.telemetry_subscription(&name, is_new, &types);
        let body = if is_new { r#""OK""# } else { r#""Already subscribed""# };
        Ok(server::json(StatusCode::OK, body))
    }
}

const EXIT_ERROR: &str = "Runtime.ExitError";
/// AWS's error type for a bootstrap that cannot be started.
const INVALID_ENTRYPOINT: &str = "Runtime.InvalidEntrypoint";
const OUT_OF_MEMORY: &str = "Runtime.OutOfMemory";

/// Waits for the end of a process that runs; of none, for ever.
async fn ended(process: Option<&Process>) {
    match process {
        Some(process) => process.ended().await,
        None => std::future::pending().await,
    }
}

/// One invocation: given out to runtime and extensions, until all of them are done or one has failed.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) response: Option<Responded>,
    /// The time at which the runtime finished; `None` if it never did.
    pub(crate) runtime_done: Option<Instant>,
    /// `None` if the runtime and its extensions wait for the next event.
    pub(crate) failed: Option<Failed>,
    /// The end of the invocation. Later work does not count as the function's time.
    pub(crate) ended_at: Instant,
    given_out: (Instant, Timestamp),
}

#[derive(Debug)]
pub(crate) struct Responded {
    pub(crate) result: Result<Bytes, Failure>,
    pub(crate) times: ResponseTimes,
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
            failed: None,
            ended_at: Instant::now(),
            given_out: (Instant::now(), clock::now()),
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
                    asked: Asked::Response { request_id: answered, result, begun, accepted },
                    reply,
                } if answered == request_id => {
                    if run.response.is_some() {
                        answer(reply, refusal(Refused::WrongState));
                    } else {
                        let times = ResponseTimes {
                            latency: begun.duration_since(run.given_out.0),
                            duration: begun.elapsed(),
                        };
                        on_response(run.response.insert(Responded { result, times }));
                        answer(reply, accepted);
                    }
                }
                Call { asked: Asked::Next, reply } if run.response.is_none() => {
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
                self.tell_runtime_done(&request_id, &run, &run.status(false), trace);
            }
            if is_waiting && self.extensions.have_finished() {
                break None;
            }
        };
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
        self.surroundings.events.runtime_done(&done);
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
    pub(super) fn status(&self) -> Status {
        match &self.result {
            Ok(_) => Status::Success,
            Err(failure) => Status::HandlerError(failure.platform_type.clone()),
        }
    }
}

// The end of an environment's processes: the runtime first, then the extensions, each with its time.

/// The time that Lambda grants an environment with external extensions for its end.
const SHUTDOWN_WITH_EXTERNAL: Duration = Duration::from_secs(2);
/// The runtime's share of it (runtime interface emulator, `runtimeDeadlineShare` and `defaultRuntimeShutdownTimeout`).
const RUNTIME_SHUTDOWN: Duration = Duration::from_millis(600);
/// The time of an environment whose only extensions are registered inside the runtime's process (AWS Lambda "Shutdown phase").
const RUNTIME_SHUTDOWN_WITHOUT_EXTERNAL: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ShutdownReason {
    Spindown,
    Timeout,
    Failure,
}

impl ShutdownReason {
    fn name(self) -> &'static str {
        match self {
            Self::Spindown => "spindown",
            Self::Timeout => "timeout",
            Self::Failure => "failure",
        }
    }
}

impl Runtime {
    /// Kills the runtime, writes its last lines and gives the status with which it ended.
    pub(crate) async fn kill_process(&mut self) -> Option<ExitStatus> {
        self.process.take()?.end().await
    }

    pub(crate) async fn kill(mut self) {
        self.kill_process().await;
        self.extensions.end().await;
        self.surroundings.telemetry.end_subscriptions().await;
    }

    /// Ends the runtime's process as Lambda does, writes its last lines, and gives the status with which it ended. If an
    /// extension is there, the process gets SIGTERM and a time for its end, also after a timeout or a failure (runtime interface
    /// emulator, `shutdownRuntime`). Without an extension it is killed at once.
    pub(crate) async fn end_process(&mut self) -> Option<ExitStatus> {
        self.begin_end();
        if !self.extensions.is_empty() {
            self.terminate_process().await;
        }
        self.kill_process().await
    }

    /// Begins the time for the end of all processes; returns its end.
    fn begin_end(&mut self) -> Instant {
        if let Some(ends_at) = self.ends_at {
            return ends_at;
        }
        if !self.extensions.is_empty() {
            self.thaw();
        }
        *self.ends_at.insert(Instant::now() + SHUTDOWN_WITH_EXTERNAL)
    }

    /// Ends the processes as Lambda does (AWS Lambda "Shutdown phase"): the runtime first; then external extensions get SHUTDOWN
    /// and the rest of the time; then SIGKILL. An environment that starts again has no subscriptions.
    pub(crate) async fn shut_down(mut self, reason: ShutdownReason) {
        let end = self.begin_end();
        self.end_process().await;
        let Surroundings { spec, telemetry, .. } = &*self.surroundings;
        let is_flushed = spec.is_managed()
            || spec.unpublished.telemetry_at_shutdown == TelemetryAtShutdown::Flushed;
        if is_flushed && !self.extensions.is_empty() {
            telemetry.flush().await;
        }
        if self.extensions.has_external() {
            let left = end.duration_since(Instant::now());
            self.extensions.shut_down(reason.name(), clock::now().after(left).millis());
            while self.extensions.are_shutting_down() {
                match self.next_call(end).await {
                    // A failure to end is of no more consequence.
                    Ok(call) => drop(self.take_call(call)),
                    Err(Failed::Timeout) => break,
                    Err(_) => {}
                }
            }
        }
        self.extensions.end().await;
        self.surroundings.telemetry.end_subscriptions().await;
    }

    async fn terminate_process(&mut self) {
        let Some(process) = &mut self.process else {
            return;
        };
        process.terminate();
        let time = if self.extensions.has_external() {
            RUNTIME_SHUTDOWN
        } else {
            RUNTIME_SHUTDOWN_WITHOUT_EXTERNAL
        };
        let until = Instant::now() + time;
        loop {
            let call = tokio::select! {
                () = ended(self.process.as_ref()) => return,
                () = tokio::time::sleep_until(until) => return,
                Some(call) = self.calls.recv() => call,
            };
            // A failure to end is of no more consequence.
            drop(self.take_call(call));
        }
    }
}

/// The surroundings of an environment's processes.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) spec: Arc<FunctionSpec>,
    pub(crate) writer: Arc<LogWriter>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) events: PlatformEvents,
    pub(crate) table: Arc<ProcessTable>,
    pub(crate) view: Arc<EnvironmentView>,
    /// Open from the first init.
    pub(crate) api: OnceCell<RuntimeApi>,
}

impl Surroundings {
    fn output(&self, category: Category) -> CapturedOutput {
        CapturedOutput {
            writer: Arc::clone(&self.writer),
            telemetry: Arc::clone(&self.telemetry),
            category,
        }
    }

    fn variables(&self, category: Category, runtime_api: &str) -> BTreeMap<String, String> {
        match category {
            Category::Extension => self.spec.extension_environment(runtime_api),
            _ => self.spec.environment(runtime_api, self.writer.stream()),
        }
    }
}

impl Drop for Surroundings {
    fn drop(&mut self) {
        // Each environment of Lambda has its own `/tmp`. Here all share this machine's, so files named after the
        // environment's address are removed.
        let Some(api) = self.api.get() else { return };
        let environment = api.address().to_string().replace(':', "-");
        for file in std::fs::read_dir("/tmp").into_iter().flatten().flatten() {
            let name = file.file_name();
            let is_own = name.to_str().is_some_and(|name| {
                name.starts_with(".lambda-otlp-") && name.ends_with(&environment)
            });
            if is_own {
                drop(std::fs::remove_file(file.path()));
            }
        }
    }
}
