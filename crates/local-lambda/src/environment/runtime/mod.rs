//! One life of an environment's processes: extensions and runtime, from their start over the invocations to their end.

mod ending;
mod run;

use super::extensions::Extensions;
use super::failed::Failed;
use super::surroundings::Surroundings;
use crate::api::server::{self, Answer};
use crate::api::{Call, CallKind, Refused, Reply, RuntimeApi, answer, refusal};
use crate::lock;
use crate::platform_events::{Phase, Status};
use crate::process::{Process, Start};
use crate::telemetry::{Category, Settings};
use http::StatusCode;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::Instant;

pub(crate) use ending::Stop;
pub(super) use run::{Responded, Run};

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

impl Runtime {
    pub(crate) async fn start(surroundings: &Arc<Surroundings>) -> Result<Self, Failed> {
        let api = surroundings.api.get_or_try_init(RuntimeApi::start).await;
        let api = api.map_err(Failed::Start)?;
        let calls = api.calls();
        let address = api.address().to_string();
        let output = surroundings.output(Category::Extension);
        let variables = surroundings.variables(Category::Extension, &address);
        let extensions =
            Extensions::launch(&surroundings.spec, &variables, &output, &surroundings.table);
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
            let status = ready.as_ref().map_or_else(Failed::init_status, |()| Status::Success);
            // It comes when extensions are ready too (runtime interface emulator, `doRuntimeDomainInit`).
            events.init_runtime_done(phase, &status);
        }
        let failure = match &ready {
            Err(Failed::Extension(failure)) => Some(failure),
            _ => None,
        };
        self.extensions.report_states(failure, events);
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
                Call { asked: CallKind::InitError(failure), reply } => {
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
            CallKind::Next => {
                if !self.surroundings.spec.is_managed() {
                    self.waiting.clear();
                }
                self.waiting.push_back(reply);
                return Ok(());
            }
            CallKind::NextExtensionEvent { extension } => {
                self.extensions.next(&extension, reply);
                if !self.initialised {
                    lock(&self.surroundings.view).extensions = self.extensions.seen();
                }
                return Ok(());
            }
            // All extensions register before the runtime asks for its first event.
            CallKind::Register { .. } if self.initialised || !self.waiting.is_empty() => {
                Err(Refused::RegistrationIsClosed)
            }
            CallKind::Register { name, events, wants_account_id } => {
                let registered = self.extensions.register(name, events, wants_account_id);
                lock(&self.surroundings.view).extensions = self.extensions.seen();
                registered
            }
            CallKind::ExtensionReport { extension, error_type, during_init } => {
                match self.extensions.report(&extension, error_type, during_init) {
                    Ok(failure) => {
                        answer(reply, server::accepted());
                        return Err(Failed::Extension(failure));
                    }
                    Err(refused) => Err(refused),
                }
            }
            CallKind::Subscribe { extension, settings } => self.subscribe(&extension, settings),
            CallKind::Response { .. } => Err(Refused::UnknownRequest),
            CallKind::InitError(_) => Err(Refused::WrongState),
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

/// Waits for the end of a process that runs; of none, for ever.
async fn ended(process: Option<&Process>) {
    match process {
        Some(process) => process.ended().await,
        None => std::future::pending().await,
    }
}
