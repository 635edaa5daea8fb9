//! The extensions of an environment: the processes of its layers, and internal extensions inside the runtime.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tokio::time::Instant;

use crate::api::server::{self, Answer};
use crate::api::{InvocationEvent, Refused, Reply, answer, refusal};
use crate::captured_output::LineDestination;
use crate::function::{ACCOUNT, FunctionSpec, VERSION};
use crate::identifiers;
use crate::platform_events::PlatformEvents;
use crate::process::{Process, ProcessStart, ProcessTable};

/// The most extensions that may register (AWS Lambda "Extensions API").
const MAX_EXTENSIONS: usize = 10;

const INVOKE: &str = "INVOKE";
const SHUTDOWN: &str = "SHUTDOWN";

pub(crate) const CRASH: &str = "Extension.Crash";
/// The error type of an extension that could not be started.
const LAUNCH_ERROR: &str = "Extension.LaunchError";

#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExtensionState {
    pub name: String,
    pub pid: u32,
    /// The time from the start of its process to its first call for an event; `None` before that call.
    pub ready_after: Option<Duration>,
}

#[derive(Debug)]
pub(crate) struct Extensions {
    function: Arc<FunctionSpec>,
    known: Vec<Extension>,
    /// The event SHUTDOWN, after it was sent.
    shutdown: Option<String>,
}

#[derive(Debug)]
struct Extension {
    name: String,
    /// `None` for an extension inside the runtime's process.
    process: Option<Process>,
    has_ended: bool,
    /// The time at which its process was started, or at which an internal extension registered.
    begun: Instant,
    /// Its identifier after it registered.
    identifier: Option<String>,
    events: Vec<String>,
    /// `true` after it asked for its first event.
    is_ready: bool,
    ready_after: Option<Duration>,
    waiting: Option<Reply>,
    /// The error type of its own report of a failure.
    reported: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExtensionFailure {
    pub(crate) name: String,
    pub(crate) error_type: String,
    pub(crate) message: String,
}

impl Extensions {
    /// Starts every file in the layers' `extensions` directories.
    pub(crate) fn launch(
        function: &Arc<FunctionSpec>,
        variables: &BTreeMap<String, String>,
        destination: &LineDestination,
        process_table: &Arc<ProcessTable>,
    ) -> Result<Self, ExtensionFailure> {
        let mut extensions =
            Self { function: Arc::clone(function), known: Vec::new(), shutdown: None };
        for (name, path) in files(&function.layers) {
            let begun = Instant::now();
            let start = ProcessStart {
                program: &path,
                arguments: &[],
                environment: variables.clone(),
                directory: Some(Path::new("/")),
            };
            let process = Process::start(start, destination, process_table).map_err(|error| {
                ExtensionFailure {
                    name: name.clone(),
                    error_type: LAUNCH_ERROR.to_owned(),
                    message: format!("the extension could not be started: {error}"),
                }
            })?;
            extensions.known.push(Extension::new(name, Some(process), begun));
        }
        Ok(extensions)
    }

    /// Returns the states of the extensions that are processes.
    pub(crate) fn states(&self) -> Vec<ExtensionState> {
        let state = |extension: &Extension| {
            Some(ExtensionState {
                name: extension.name.clone(),
                pid: extension.process.as_ref()?.pid(),
                ready_after: extension.ready_after,
            })
        };
        self.known.iter().filter_map(state).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    pub(crate) fn has_external(&self) -> bool {
        self.known.iter().any(|extension| extension.process.is_some())
    }

    pub(crate) fn register(
        &mut self,
        name: String,
        events: Vec<String>,
        wants_account_id: bool,
    ) -> Result<Answer, Refused> {
        if self.known.iter().filter(|known| known.identifier.is_some()).count() >= MAX_EXTENSIONS {
            return Err(Refused::TooManyExtensions);
        }
        let known = self.known.iter().position(|known| known.name == name);
        let is_external = known.is_some();
        // An extension inside the runtime's process may not register for SHUTDOWN, and none of a managed instance for INVOKE.
        let has_invoke = !self.function.is_managed();
        let allowed =
            |event: &String| (has_invoke && event == INVOKE) || (is_external && event == SHUTDOWN);
        if !events.iter().all(allowed) {
            return Err(Refused::UnsupportedEvent);
        }
        let mut body = json!({
            "functionName": self.function.name(),
            "functionVersion": VERSION,
            "handler": self.function.handler,
        });
        if let (true, Some(body)) = (wants_account_id, body.as_object_mut()) {
            body.insert("accountId".to_owned(), ACCOUNT.into());
        }
        let extension = if let Some(known) = known {
            self.known.get_mut(known)
        } else {
            self.known.push(Extension::new(name, None, Instant::now()));
            self.known.last_mut()
        };
        let Some(extension) = extension.filter(|extension| extension.identifier.is_none()) else {
            return Err(Refused::WrongExtensionState);
        };
        extension.events = events;
        let identifier = extension.identifier.insert(identifiers::uuid());
        let answer = server::json(StatusCode::OK, body.to_string());
        Ok(server::with(answer, "Lambda-Extension-Identifier", identifier))
    }

    /// Takes a call for the next event, which waits unless the environment is ending.
    pub(crate) fn next(&mut self, identifier: &str, reply: Reply) {
        let shutdown = self.shutdown.clone();
        let Some(extension) = self.by_identifier(identifier) else {
            return answer(reply, refusal(Refused::UnknownExtension));
        };
        // After its call, an extension waits for an event, even if its connection is gone: AWS's runtime interface
        // emulator (`ExternalAgentReadyState`) allows no other call then.
        if extension.reported.is_some() || extension.waiting.is_some() {
            return answer(reply, refusal(Refused::WrongExtensionState));
        }
        if !extension.is_ready {
            extension.is_ready = true;
            extension.ready_after = Some(extension.begun.elapsed());
        }
        match shutdown {
            Some(shutdown) if extension.wants(SHUTDOWN) => answer(reply, shutdown_answer(shutdown)),
            _ => extension.waiting = Some(reply),
        }
    }

    /// Takes an extension's own report of a failure, before or after its first event.
    pub(crate) fn report(
        &mut self,
        identifier: &str,
        error_type: String,
        during_init: bool,
    ) -> Result<ExtensionFailure, Refused> {
        let extension = self.by_identifier(identifier).ok_or(Refused::UnknownExtension)?;
        if extension.reported.is_some() || (during_init && extension.is_ready) {
            return Err(Refused::WrongExtensionState);
        }
        extension.reported = Some(error_type);
        Ok(extension.failure())
    }

    pub(crate) fn name(&mut self, identifier: &str) -> Option<String> {
        self.by_identifier(identifier).map(|extension| extension.name.clone())
    }

    fn by_identifier(&mut self, identifier: &str) -> Option<&mut Extension> {
        self.known.iter_mut().find(|extension| extension.identifier.as_deref() == Some(identifier))
    }

    /// Returns `true` if every process has registered, so that the runtime may start.
    pub(crate) fn are_registered(&self) -> bool {
        self.known.iter().all(|extension| extension.identifier.is_some())
    }

    /// Returns `true` if all wait for their first event.
    pub(crate) fn are_ready(&self) -> bool {
        self.known.iter().all(|extension| extension.is_ready)
    }

    /// Returns `true` if no extension is busy with the invocation.
    pub(crate) fn are_waiting(&self) -> bool {
        self.known.iter().all(|extension| !extension.wants(INVOKE) || extension.waiting.is_some())
    }

    pub(crate) fn invoke(&mut self, event: &InvocationEvent) {
        let invoke = json!({
            "eventType": INVOKE,
            "deadlineMs": event.deadline_ms,
            "requestId": event.request_id,
            "invokedFunctionArn": event.function_arn,
            "tracing": { "type": "X-Amzn-Trace-Id", "value": event.trace_header },
        });
        let invoke = invoke.to_string();
        self.send(INVOKE, || invoke_answer(invoke.clone()));
    }

    /// Sends SHUTDOWN: to waiting extensions at once, to the others when they ask for an event.
    pub(crate) fn shut_down(&mut self, reason: &str, deadline_ms: u64) {
        let shutdown = json!({
            "eventType": SHUTDOWN,
            "shutdownReason": reason,
            "deadlineMs": deadline_ms,
        })
        .to_string();
        self.send(SHUTDOWN, || shutdown_answer(shutdown.clone()));
        self.shutdown = Some(shutdown);
    }

    /// Answers the waiting calls of extensions that registered for this kind of event.
    fn send(&mut self, kind: &str, event: impl Fn() -> Answer) {
        for extension in self.known.iter_mut().filter(|extension| extension.wants(kind)) {
            if let Some(waiting) = extension.waiting.take() {
                answer(waiting, event());
            }
        }
    }

    /// Waits until another process has ended, and returns its index; cancel safe.
    pub(crate) async fn next_end(&self) -> usize {
        poll_fn(|context| {
            let mut running = self.known.iter().enumerate().filter(|(_, known)| !known.has_ended);
            let ended = running.find(|(_, known)| {
                let process = known.process.as_ref();
                process.is_some_and(|process| process.poll_ended(context).is_ready())
            });
            ended.map_or(Poll::Pending, |(index, _)| Poll::Ready(index))
        })
        .await
    }

    pub(crate) fn note_end(&mut self, index: usize) -> Option<ExtensionFailure> {
        let extension = self.known.get_mut(index)?;
        extension.has_ended = true;
        Some(extension.failure())
    }

    /// Returns `true` if a process that got SHUTDOWN still runs.
    pub(crate) fn are_shutting_down(&self) -> bool {
        self.known.iter().any(|extension| {
            extension.process.is_some() && !extension.has_ended && extension.wants(SHUTDOWN)
        })
    }

    /// Reports the state of every extension at the end of an init (runtime interface emulator, `logAgentsInitStatus`).
    pub(crate) fn report_states(
        &self,
        failure: Option<&ExtensionFailure>,
        events: &PlatformEvents,
    ) {
        for extension in &self.known {
            let state = match extension.identifier {
                _ if extension.is_ready => "Ready",
                Some(_) => "Registered",
                None => "Started",
            };
            let error_type = failure
                .filter(|failure| failure.name == extension.name)
                .map(|failure| failure.error_type.as_str());
            events.extension(&extension.name, state, &extension.events, error_type);
        }
    }

    pub(crate) fn begin_freeze(&mut self) {
        self.processes().for_each(Process::begin_freeze);
    }

    pub(crate) async fn freeze(&mut self) {
        for process in self.processes() {
            process.freeze().await;
        }
    }

    pub(crate) fn thaw(&mut self) {
        self.processes().for_each(Process::thaw);
    }

    fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        self.known.iter_mut().filter_map(|extension| extension.process.as_mut())
    }

    /// The sum of the peak resident memory of their processes, in MB.
    pub(crate) fn peak_memory_mb(&self) -> u64 {
        let processes = self.known.iter().filter_map(|extension| extension.process.as_ref());
        processes.filter_map(Process::peak_memory_mb).sum()
    }

    pub(crate) async fn end(self) {
        for extension in &self.known {
            if let Some(process) = &extension.process {
                process.kill();
            }
        }
        for extension in self.known {
            if let Some(process) = extension.process {
                process.end().await;
            }
        }
    }
}

impl Extension {
    fn new(name: String, process: Option<Process>, begun: Instant) -> Self {
        Self {
            name,
            process,
            has_ended: false,
            begun,
            identifier: None,
            events: Vec::new(),
            is_ready: false,
            ready_after: None,
            waiting: None,
            reported: None,
        }
    }

    fn wants(&self, event: &str) -> bool {
        self.events.iter().any(|wanted| wanted == event)
    }

    fn failure(&self) -> ExtensionFailure {
        ExtensionFailure {
            name: self.name.clone(),
            error_type: self.reported.clone().unwrap_or_else(|| CRASH.to_owned()),
            message: format!("the extension {} has ended", self.name),
        }
    }
}

fn invoke_answer(event: String) -> Answer {
    let answer = server::json(StatusCode::OK, event);
    server::with(answer, "Lambda-Extension-Event-Identifier", &identifiers::uuid())
}

/// SHUTDOWN has neither an identifier nor JSON's content type (runtime interface emulator, `ShutdownRenderer`).
fn shutdown_answer(event: String) -> Answer {
    let answer = server::json(StatusCode::OK, event);
    server::with(answer, "content-type", "text/plain; charset=utf-8")
}

/// The files of the layers by name; a later layer's file replaces an earlier one's, as in `/opt`.
fn files(layers: &[PathBuf]) -> BTreeMap<String, PathBuf> {
    let entries = |layer: &PathBuf| -> io::Result<Vec<(String, PathBuf)>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(layer.join("extensions"))? {
            let path = entry?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            if let (true, Some(name)) = (path.is_file(), name) {
                files.push((name, path));
            }
        }
        Ok(files)
    };
    // A layer without extensions is an ordinary one.
    layers.iter().filter_map(|layer| entries(layer).ok()).flatten().collect()
}
