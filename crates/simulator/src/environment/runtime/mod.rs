//! One life of an environment's processes: extensions and runtime, from their start over the invocations to their end.

mod restore;
mod run;
mod shutdown;
mod surroundings;

use std::io;
use std::sync::Arc;

use tokio::time::Instant;

use crate::api::call::{Call, Event, Failure, Refused, Reply, Subscribed, answer};
use crate::api::runtime::RuntimeApi;
use crate::clock;
use crate::environment::extensions::{ExtensionFailure, Extensions};
use crate::platform_events::{ExtensionEvent, Phase, Status};
use crate::process::{Process, Start};
use crate::telemetry::{Category, Settings};
pub(crate) use run::{Responded, Run, RunEnd};
pub(crate) use shutdown::ShutdownReason;
pub(crate) use surroundings::Surroundings;

#[derive(Debug)]
pub(crate) struct Runtime {
    surroundings: Arc<Surroundings>,
    api: RuntimeApi,
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
        let api = RuntimeApi::start().await.map_err(InitFailure::Start)?;
        let output = surroundings.output(Category::Extension);
        let variables = surroundings.variables(Category::Extension, &api.address().to_string());
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
            api,
            extensions,
            process: None,
            waiting: None,
            awaiting_restore: None,
            initialised: false,
        })
    }

    fn start_process(&mut self) -> io::Result<()> {
        let Surroundings { spec, table, view, .. } = &*self.surroundings;
        let runtime_api = self.api.address().to_string();
        let start = Start {
            program: spec.bootstrap(),
            arguments: spec.arguments(),
            environment: self.surroundings.variables(Category::Function, &runtime_api),
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
            Some(call) = self.api.calls.recv() => return Happened::Call(call),
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
        self.surroundings.telemetry.subscribe(&name, settings);
        self.surroundings.events.telemetry_subscription(&name, &types, clock::now());
        Ok(Subscribed::Yes)
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
