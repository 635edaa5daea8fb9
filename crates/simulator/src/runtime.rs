//! One life of a function's process: from its start over the events it takes to its end.

use std::io;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::clock;
use crate::cloudwatch::LogWriter;
use crate::function::FunctionSpec;
use crate::identifiers;
use crate::platform_events::PlatformEvents;
use crate::process::{Process, ProcessTable, Start};
use crate::runtime_api::{Call, Event, Failure, Refused, Registered, Reply, RuntimeApi};

/// What Lambda grants a process that has an internal extension between SIGTERM and SIGKILL.
const SHUTDOWN_WITH_EXTENSION: Duration = Duration::from_millis(500);

/// The most extensions that may register (AWS Lambda "Extensions API").
const MAX_EXTENSIONS: usize = 10;

/// A running process together with its side of the Runtime API.
#[derive(Debug)]
pub(crate) struct Runtime {
    process: Process,
    api: RuntimeApi,
    function: Arc<FunctionSpec>,
    /// The `next` call that waits for an event.
    waiting: Option<Reply<Event>>,
    extensions: Vec<Extension>,
    initialised: bool,
}

#[derive(Debug)]
struct Extension {
    identifier: String,
    name: String,
    events: Vec<String>,
    waiting: Option<Reply<String>>,
}

/// Why a process did not become ready.
#[derive(Debug)]
pub(crate) enum InitFailure {
    Start(io::Error),
    Reported(Failure),
    Exited,
    Timeout,
}

/// How far a process came with an event.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) response: Option<Responded>,
    pub(crate) end: RunEnd,
    /// When it came to its end; what follows is not the function's time.
    pub(crate) ended_at: Instant,
}

impl Run {
    fn new(response: Option<Responded>, end: RunEnd) -> Self {
        Self { response, end, ended_at: Instant::now() }
    }
}

#[derive(Debug)]
pub(crate) struct Responded {
    pub(crate) result: Result<Bytes, Failure>,
    pub(crate) latency: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunEnd {
    /// The runtime and its extensions wait for the next event.
    Ready,
    Exited,
    Timeout,
}

impl Runtime {
    pub(crate) async fn start(
        function: &Arc<FunctionSpec>,
        writer: &Arc<LogWriter>,
        table: &Arc<ProcessTable>,
    ) -> io::Result<Self> {
        let api = RuntimeApi::start().await?;
        let start = Start {
            program: function.bootstrap(),
            arguments: function.arguments(),
            environment: function.environment(&api.address().to_string(), writer.stream()),
            directory: function.directory.as_deref(),
        };
        let process = Process::start(start, writer, table)?;
        Ok(Self {
            process,
            api,
            function: Arc::clone(function),
            waiting: None,
            extensions: Vec::new(),
            initialised: false,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub(crate) fn peak_memory_mb(&self) -> Option<u64> {
        self.process.peak_memory_mb()
    }

    /// Waits until the runtime and its extensions have asked for their first event.
    pub(crate) async fn initialise(
        &mut self,
        until: Instant,
        events: &PlatformEvents,
    ) -> Result<(), InitFailure> {
        while !(self.waiting.is_some()
            && self.extensions.iter().all(|extension| extension.waiting.is_some()))
        {
            let call = match self.next_call(until).await {
                Happened::Call(call) => call,
                Happened::Exited => return Err(InitFailure::Exited),
                Happened::Timeout => return Err(InitFailure::Timeout),
            };
            match call {
                Call::InitError { failure, reply } => {
                    answer(reply, Ok(()));
                    return Err(InitFailure::Reported(failure));
                }
                Call::Register { name, events, reply } => self.register(name, events, reply),
                other => self.take_waiting_call(other),
            }
        }
        self.initialised = true;
        for extension in &self.extensions {
            events.extension(&extension.name, &extension.events, clock::now());
        }
        Ok(())
    }

    /// Gives an event out and waits until the invocation is over.
    pub(crate) async fn run(&mut self, event: Event, deadline: Instant) -> Run {
        let request_id = event.request_id.clone();
        self.process.thaw();
        let given_out = Instant::now();
        self.inform_extensions(&event);
        if let Some(waiting) = self.waiting.take() {
            answer(waiting, Ok(event));
        }
        let mut response = None;
        loop {
            let call = match self.next_call(deadline).await {
                Happened::Call(call) => call,
                Happened::Exited => return Run::new(response, RunEnd::Exited),
                Happened::Timeout => return Run::new(response, RunEnd::Timeout),
            };
            match call {
                Call::Response { request_id: answered, result, reply }
                    if answered == request_id =>
                {
                    if response.is_some() {
                        answer(reply, Err(Refused::WrongState));
                    } else {
                        response = Some(Responded { result, latency: given_out.elapsed() });
                        answer(reply, Ok(()));
                    }
                }
                Call::Next(reply) if response.is_none() => answer(reply, Err(Refused::WrongState)),
                other => self.take_waiting_call(other),
            }
            let informed = |extension: &Extension| {
                !extension.wants_invocations() || extension.waiting.is_some()
            };
            if self.waiting.is_some() && self.extensions.iter().all(informed) {
                return Run::new(response, RunEnd::Ready);
            }
        }
    }

    /// Stops the process until the next event; all that it wrote before is in the log when this returns.
    pub(crate) async fn freeze(&mut self) {
        self.process.freeze().await;
    }

    /// Kills the process, writes its last lines and gives the status with which it ended.
    pub(crate) async fn kill(self) -> Option<ExitStatus> {
        self.process.end().await
    }

    /// Ends the environment as Lambda does: SIGTERM and 500 ms if an extension is registered, and SIGKILL.
    pub(crate) async fn shut_down(mut self) -> Option<ExitStatus> {
        if !self.extensions.is_empty() {
            self.process.terminate();
            // The result does not matter: the process is ended either way.
            drop(tokio::time::timeout(SHUTDOWN_WITH_EXTENSION, self.process.ended()).await);
        }
        self.process.end().await
    }

    async fn next_call(&mut self, until: Instant) -> Happened {
        tokio::select! {
            // What a process asked before it ended counts.
            biased;
            Some(call) = self.api.calls.recv() => Happened::Call(call),
            () = self.process.ended() => Happened::Exited,
            () = tokio::time::sleep_until(until) => Happened::Timeout,
        }
    }

    /// Keeps a call that waits for an event, and refuses what is not allowed at this time.
    fn take_waiting_call(&mut self, call: Call) {
        match call {
            Call::Next(reply) => self.waiting = Some(reply),
            Call::NextExtensionEvent { extension, reply } => {
                match self.extensions.iter_mut().find(|known| known.identifier == extension) {
                    Some(known) => known.waiting = Some(reply),
                    None => answer(reply, Err(Refused::UnknownExtension)),
                }
            }
            Call::Response { reply, .. } => answer(reply, Err(Refused::UnknownRequest)),
            Call::InitError { reply, .. } => answer(reply, Err(Refused::WrongState)),
            Call::Register { reply, .. } => answer(reply, Err(Refused::WrongState)),
        }
    }

    fn register(&mut self, name: String, events: Vec<String>, reply: Reply<Registered>) {
        if self.waiting.is_some() || self.initialised || self.extensions.len() >= MAX_EXTENSIONS {
            return answer(reply, Err(Refused::WrongState));
        }
        // An extension inside the runtime's process may not register for SHUTDOWN.
        if events.iter().any(|event| event != INVOKE) {
            return answer(reply, Err(Refused::UnsupportedEvent));
        }
        let identifier = identifiers::uuid();
        let body = serde_json::json!({
            "functionName": self.function.name(),
            "functionVersion": self.function.version_name(),
            "handler": self.function.handler,
            "accountId": self.function.account_id,
        });
        answer(reply, Ok(Registered { identifier: identifier.clone(), body: body.to_string() }));
        self.extensions.push(Extension { identifier, name, events, waiting: None });
    }

    fn inform_extensions(&mut self, event: &Event) {
        let tracing = event
            .trace_header
            .as_ref()
            .map(|value| serde_json::json!({ "type": "X-Amzn-Trace-Id", "value": value }));
        let mut invoke = serde_json::json!({
            "eventType": INVOKE,
            "deadlineMs": event.deadline_ms,
            "requestId": event.request_id,
            "invokedFunctionArn": event.function_arn,
        });
        if let (Some(tracing), Some(invoke)) = (tracing, invoke.as_object_mut()) {
            invoke.insert("tracing".to_owned(), tracing);
        }
        for extension in
            self.extensions.iter_mut().filter(|extension| extension.wants_invocations())
        {
            if let Some(waiting) = extension.waiting.take() {
                answer(waiting, Ok(invoke.to_string()));
            }
        }
    }
}

const INVOKE: &str = "INVOKE";

impl Extension {
    fn wants_invocations(&self) -> bool {
        self.events.iter().any(|event| event == INVOKE)
    }
}

enum Happened {
    Call(Call),
    Exited,
    Timeout,
}

/// A caller that no longer waits has lost its answer; that is its own affair.
fn answer<T>(reply: Reply<T>, answer: Result<T, Refused>) {
    drop(reply.send(answer));
}
