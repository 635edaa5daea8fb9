//! One life of an environment's processes: extensions and runtime, from their start over the invocations to their end.

use crate::api::runtime::RuntimeApi;
use crate::api::{Call, Event, Failure, Refused, Reply, Subscribed, answer};
use crate::clock::{self, Timestamp};
use crate::cloudwatch::LogWriter;
use crate::environment::extensions::{ExtensionFailure, Extensions};
use crate::environment::view::EnvironmentView;
use crate::function::FunctionSpec;
use crate::identifiers::Trace;
use crate::platform_events::{
    ExtensionEvent, Phase, PlatformEvents, ResponseTimes, RuntimeDone, Status,
};
use crate::process::{CapturedOutput, Process, ProcessTable, Start};
use crate::telemetry::{Category, Controls, Settings, Telemetry};
use bytes::Bytes;
use std::collections::BTreeMap;
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
    /// The `next` call that waits for an event.
    waiting: Option<Reply<Event>>,
    /// The call with which the runtime lets itself be frozen for a snapshot.
    awaiting_restore: Option<Reply<()>>,
    initialised: bool,
}

/// Why the processes did not become ready.
#[derive(Debug)]
pub(crate) enum InitFailure {
    Start(io::Error),
    Reported(Failure),
    Extension(ExtensionFailure),
    Exited,
    Timeout,
}

impl InitFailure {
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::Start(_) => Status::Error(INVALID_ENTRYPOINT.to_owned()),
            Self::Reported(failure) => Status::Error(failure.platform_type.clone()),
            Self::Extension(failure) => Status::Error(failure.error_type.clone()),
            Self::Exited => Status::Error(EXIT_ERROR.to_owned()),
            Self::Timeout => Status::Timeout,
        }
    }
}

impl Runtime {
    pub(crate) async fn start(surroundings: &Arc<Surroundings>) -> Result<Self, InitFailure> {
        let api = surroundings.api.get_or_try_init(RuntimeApi::start).await;
        let api = api.map_err(InitFailure::Start)?;
        let (calls, address) = (api.calls(), api.address().to_string());
        let output = surroundings.output(Category::Extension);
        let variables = surroundings.variables(Category::Extension, &address);
        let (spec, table) = (&surroundings.spec, &surroundings.table);
        let extensions = Extensions::launch(spec, &variables, &output, table);
        let extensions = extensions.map_err(|failure| {
            let event = ExtensionEvent {
                name: &failure.name,
                state: "LaunchError",
                events: &[],
                error_type: Some(&failure.error_type),
            };
            surroundings.events.extension(&event, clock::now());
            InitFailure::Extension(failure)
        })?;
        surroundings.view.note_extensions(extensions.seen());
        surroundings.telemetry.thaw();
        Ok(Self {
            surroundings: Arc::clone(surroundings),
            calls,
            address,
            extensions,
            process: None,
            waiting: None,
            awaiting_restore: None,
            initialised: false,
        })
    }

    fn start_process(&mut self) -> io::Result<()> {
        let Surroundings { spec, table, view, .. } = &*self.surroundings;
        let start = Start {
            program: spec.bootstrap(),
            arguments: spec.arguments(),
            environment: self.surroundings.variables(Category::Function, &self.address),
            directory: spec.directory.as_deref(),
        };
        let process = Process::start(start, &self.surroundings.output(Category::Function), table)?;
        view.note_start(process.pid());
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
        self.surroundings.view.take_out_of_memory()
    }

    /// Starts the runtime once the extensions have registered, and waits until all have asked for their first event.
    pub(crate) async fn initialise(
        &mut self,
        until: Instant,
        phase: Phase,
    ) -> Result<(), InitFailure> {
        let surroundings = Arc::clone(&self.surroundings);
        let mut runtime_done = false;
        loop {
            if self.process.is_none() && self.extensions.are_registered() {
                self.start_process().map_err(InitFailure::Start)?;
            }
            if phase == Phase::Invoke
                && let Some(reply) = self.awaiting_restore.take()
            {
                // No snapshot is taken inside an invocation.
                answer(reply, Ok(()));
            }
            let is_waiting = self.waiting.is_some() || self.awaiting_restore.is_some();
            if is_waiting && !runtime_done {
                runtime_done = true;
                self.drain();
                surroundings.events.init_runtime_done(phase, &Status::Success, clock::now());
            }
            if is_waiting && self.extensions.are_ready() {
                self.initialised = true;
                return Ok(());
            }
            let failure = match self.next_call(until).await {
                Happened::Call(Call::InitError { failure, reply }) => {
                    answer(reply, Ok(()));
                    Some(InitFailure::Reported(failure))
                }
                Happened::Call(call) => self.take_call(call).map(InitFailure::Extension),
                Happened::RuntimeExited => Some(InitFailure::Exited),
                Happened::ExtensionEnded(failure) => Some(InitFailure::Extension(failure)),
                Happened::Timeout => Some(InitFailure::Timeout),
            };
            if let Some(failure) = failure {
                let extension = match &failure {
                    InitFailure::Extension(failure) => Some(failure),
                    _ => None,
                };
                self.extensions.tell_unready(extension, &surroundings.events);
                return Err(failure);
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
    fn drain(&self) {
        if let Some(process) = &self.process {
            process.drain();
        }
    }

    async fn next_call(&mut self, until: Instant) -> Happened {
        let ended = tokio::select! {
            // A call that a process made before it ended counts.
            biased;
            Some(call) = self.calls.recv() => return Happened::Call(call),
            () = ended(self.process.as_ref()) => return Happened::RuntimeExited,
            place = self.extensions.one_ended() => place,
            () = tokio::time::sleep_until(until) => return Happened::Timeout,
        };
        self.extensions.note_end(ended).map_or(Happened::Timeout, Happened::ExtensionEnded)
    }

    /// Keeps a call that waits for an event, serves the calls that an extension may make at this time, and refuses
    /// the others.
    fn take_call(&mut self, call: Call) -> Option<ExtensionFailure> {
        match call {
            Call::Next(reply) => self.waiting = Some(reply),
            Call::RestoreNext(reply) => {
                if self.initialised || !self.surroundings.spec.is_snap_start() {
                    answer(reply, Err(Refused::WrongState));
                } else {
                    self.awaiting_restore = Some(reply);
                }
            }
            Call::NextExtensionEvent { extension, reply } => {
                self.extensions.next(&extension, reply, &self.surroundings.events);
                if !self.initialised {
                    self.surroundings.view.note_extensions(self.extensions.seen());
                }
            }
            Call::Register { registration, reply } => {
                // All extensions register before the runtime asks for its first event.
                if self.initialised || self.waiting.is_some() {
                    answer(reply, Err(Refused::InitIsOver));
                } else {
                    self.extensions.register(registration, reply);
                    self.surroundings.view.note_extensions(self.extensions.seen());
                }
            }
            Call::ExtensionReport { report, reply } => {
                let (error_type, during_init) = (report.error_type, report.during_init);
                return self.extensions.report(&report.extension, error_type, during_init, reply);
            }
            Call::Subscribe { extension, settings, reply } => {
                let subscribed = match settings {
                    Ok(settings) => self.subscribe(&extension, settings),
                    Err(error) => Ok(Subscribed::Invalid(error)),
                };
                answer(reply, subscribed);
            }
            Call::Response { reply, .. } => answer(reply, Err(Refused::UnknownRequest)),
            Call::InitError { reply, .. } | Call::RestoreError { reply, .. } => {
                answer(reply, Err(Refused::WrongState));
            }
        }
        None
    }

    fn subscribe(&mut self, extension: &str, settings: Settings) -> Result<Subscribed, Refused> {
        let name = self.extensions.name(extension).ok_or(Refused::UnknownExtension)?;
        if let Some(status) = self.surroundings.controls.subscription_answer() {
            return Ok(Subscribed::Scripted(status));
        }
        if self.initialised {
            return Err(Refused::InitIsOver);
        }
        let types = settings.types.clone();
        let is_new = self.surroundings.telemetry.subscribe(&name, settings);
        self.surroundings.events.telemetry_subscription(&name, is_new, &types, clock::now());
        Ok(if is_new { Subscribed::Yes } else { Subscribed::Already })
    }
}

pub(crate) const EXIT_ERROR: &str = "Runtime.ExitError";
/// AWS's error type for a bootstrap that cannot be started.
pub(crate) const INVALID_ENTRYPOINT: &str = "Runtime.InvalidEntrypoint";
const OUT_OF_MEMORY: &str = "Runtime.OutOfMemory";

enum Happened {
    Call(Call),
    RuntimeExited,
    ExtensionEnded(ExtensionFailure),
    Timeout,
}

/// Waits for the end of a process that runs; of none, for ever.
async fn ended(process: Option<&Process>) {
    match process {
        Some(process) => process.ended().await,
        None => std::future::pending().await,
    }
}

// SnapStart: the processes as a snapshot has them go on in a new environment (AWS Lambda "SnapStart").

/// The longest that a restore may take.
const RESTORE_TIMEOUT: Duration = Duration::from_secs(10);

impl Runtime {
    /// Thaws the processes that were frozen after init, and waits until the runtime has run its hooks and asks for
    /// its first event.
    pub(crate) async fn restore(&mut self) -> Result<Duration, InitFailure> {
        let begin = Instant::now();
        let surroundings = std::sync::Arc::clone(&self.surroundings);
        surroundings.events.restore_start(clock::now());
        self.thaw();
        if let Some(reply) = self.awaiting_restore.take() {
            answer(reply, Ok(()));
        }
        let restored = self.restored(begin + RESTORE_TIMEOUT).await;
        let status = restored.as_ref().map_or_else(InitFailure::status, |()| Status::Success);
        self.drain();
        surroundings.events.restore_report(&status, begin.elapsed(), clock::now());
        restored.map(|()| begin.elapsed())
    }

    async fn restored(&mut self, until: Instant) -> Result<(), InitFailure> {
        while self.waiting.is_none() {
            match self.next_call(until).await {
                Happened::Call(Call::RestoreError { failure, reply }) => {
                    answer(reply, Ok(()));
                    return Err(InitFailure::Reported(failure));
                }
                Happened::Call(call) => {
                    if let Some(failure) = self.take_call(call) {
                        return Err(InitFailure::Extension(failure));
                    }
                }
                Happened::RuntimeExited => return Err(InitFailure::Exited),
                Happened::ExtensionEnded(failure) => return Err(InitFailure::Extension(failure)),
                Happened::Timeout => return Err(InitFailure::Timeout),
            }
        }
        Ok(())
    }
}

/// One invocation: given out to runtime and extensions, until all of them are done or one has failed.
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

// The end of an environment's processes: the runtime first, then the extensions, each with its time.

/// The time that Lambda grants an environment with external extensions for its end.
const SHUTDOWN_WITH_EXTERNAL: Duration = Duration::from_secs(2);
const RUNTIME_SHUTDOWN: Duration = Duration::from_millis(300);
/// The runtime's share if an extension is registered inside its process.
const RUNTIME_SHUTDOWN_WITH_INTERNAL: Duration = Duration::from_millis(500);

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
        self.surroundings.telemetry.settle().await;
    }

    /// Ends the processes as Lambda does (AWS Lambda "Shutdown phase"): the runtime gets SIGTERM and a time, if any
    /// extension is there; then external extensions get SHUTDOWN and the rest of theirs; then SIGKILL. After a failure the
    /// runtime is killed at once.
    pub(crate) async fn shut_down(mut self, reason: ShutdownReason) {
        let end = Instant::now() + SHUTDOWN_WITH_EXTERNAL;
        if !self.extensions.is_empty() {
            self.thaw();
            self.surroundings.telemetry.flush();
            if reason == ShutdownReason::Spindown {
                self.terminate_process().await;
            }
        }
        self.kill_process().await;
        if self.extensions.has_external() {
            let left = end.duration_since(Instant::now());
            self.extensions.shut_down(reason.name(), clock::now().after(left).millis());
            while self.extensions.are_shutting_down() {
                match self.next_call(end).await {
                    // A failure to end is of no more consequence.
                    Happened::Call(call) => drop(self.take_call(call)),
                    Happened::ExtensionEnded(_) | Happened::RuntimeExited => {}
                    Happened::Timeout => break,
                }
            }
        }
        self.extensions.end().await;
        self.surroundings.telemetry.settle().await;
    }

    async fn terminate_process(&mut self) {
        let Some(process) = &mut self.process else {
            return;
        };
        process.terminate();
        let time = if self.extensions.has_internal() {
            RUNTIME_SHUTDOWN_WITH_INTERNAL
        } else {
            RUNTIME_SHUTDOWN
        };
        // The result does not matter: the process is ended either way.
        drop(tokio::time::timeout(time, process.ended()).await);
    }
}

/// The surroundings of an environment's processes.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) spec: Arc<FunctionSpec>,
    pub(crate) writer: Arc<LogWriter>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) controls: Arc<Controls>,
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
