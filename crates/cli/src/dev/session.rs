//! A session with the function, from its first invocation to the end of its environments.

use super::command::Prepared;
use super::logs::Logs;
use super::{Arguments, http};
use crate::aws;
use crate::shown::Incoming;
use anyhow::Context as _;
use console::screen::on_one_line;
use console::waterfall::draw::short;
use local_lambda::{ClientContext, HttpServer, Invocation, InvocationResult, Lambda};
use serde::de::IgnoredAny;
use std::io::{self, BufRead as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

const MOST_WAITING: usize = 64;

pub(super) struct Session {
    pub(super) incoming: Receiver<Incoming>,
    stop: watch::Sender<bool>,
    thread: JoinHandle<bool>,
}

impl Session {
    pub(super) fn begin(
        arguments: &Arguments,
        prepared: Prepared,
        given: Given,
    ) -> anyhow::Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let (sender, incoming) = sync_channel(MOST_WAITING);
        let (stop, stopped) = watch::channel(false);
        let Prepared { mut spec, folder } = prepared;
        let (function, server) = runtime.block_on(async {
            let logs = Logs::new(&arguments.name, &arguments.destination, sender).await?;
            let logs = Arc::new(logs);
            if arguments.aws {
                let config = aws::load(&arguments.account).await;
                if let Some(region) = config.region() {
                    spec = spec.region(region.to_string());
                }
                spec = spec.credentials(aws::credentials(&config).await?);
            }
            let lambda = Lambda::start().await?;
            let observer = Arc::clone(&logs);
            lambda.observe_logs(move |event| observer.take(event));
            lambda.create_function(spec)?;
            let has_failed = AtomicBool::new(false);
            let name = arguments.name.clone();
            let timeout = arguments.timeout;
            let function = Arc::new(Function {
                name,
                logs,
                timeout,
                lambda,
                has_failed,
                is_managed: arguments.concurrency.is_some(),
                running: AtomicUsize::new(0),
            });
            let server = match arguments.http {
                Some(port) => {
                    let server = http::serve(port, &function).await;
                    let listen = || format!("--http: cannot listen on port {port}");
                    Some(server.with_context(listen)?)
                }
                None => None,
            };
            Ok::<_, anyhow::Error>((function, server))
        })?;
        let invocations = Invocations {
            given,
            repeat: arguments.repeat,
            at_a_time: arguments.concurrency.map_or(1, usize::from),
            server,
            stopped,
        };
        let thread =
            std::thread::spawn(move || runtime.block_on(invocations.run(function, folder)));
        Ok(Self { incoming, stop, thread })
    }

    /// Ends the session. Returns `true` if all invocations succeeded, and all telemetry was shown and delivered.
    pub(super) fn end(self) -> bool {
        // The session may have ended already.
        self.stop.send(true).ok();
        drop(self.incoming);
        self.thread.join().unwrap_or(false)
    }
}

/// Waits for a signal. Its default action would leave the function's processes running.
async fn received(kind: SignalKind) {
    match signal(kind) {
        Ok(mut signal) => drop(signal.recv().await),
        Err(_) => std::future::pending().await,
    }
}

/// The files of the command line.
pub(super) struct Given {
    pub(super) events: Vec<String>,
    pub(super) client_context: Option<ClientContext>,
}

struct Invocations {
    given: Given,
    repeat: u32,
    at_a_time: usize,
    server: Option<HttpServer>,
    stopped: watch::Receiver<bool>,
}

impl Invocations {
    /// Runs the invocations. Returns `true` if everything succeeded.
    async fn run(self, function: Arc<Function>, folder: TempDir) -> bool {
        let mut stopped = self.stopped.clone();
        let logs = Arc::clone(&function.logs);
        let showing = Arc::clone(&logs);
        let showing = tokio::spawn(async move { showing.show_as_it_comes().await });
        tokio::select! {
            () = self.invoke_all(&function) => {}
            () = received(SignalKind::interrupt()) => {}
            () = received(SignalKind::terminate()) => {}
            // The terminal was closed.
            () = received(SignalKind::hangup()) => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
        showing.abort();
        if let Some(server) = self.server {
            server.stop().await;
        }
        let is_fine = !function.has_failed.load(Ordering::Relaxed);
        function.shut_down().await;
        logs.pass_on().await;
        logs.say_what_was_sent();
        drop(folder);
        is_fine && logs.is_delivered()
    }

    async fn invoke_all(&self, function: &Arc<Function>) {
        let Given { events, client_context } = &self.given;
        let mut running = Running {
            function: Arc::clone(function),
            client_context: client_context.clone(),
            at_a_time: self.at_a_time,
            tasks: JoinSet::new(),
        };
        for _ in 0..self.repeat {
            for event in events {
                running.invoke(event.clone()).await;
            }
        }
        if self.server.is_some() {
            running.tasks.join_all().await;
            return std::future::pending().await;
        }
        let mut has_come = !events.is_empty();
        if !has_come {
            let mut lines = of_standard_input();
            while let Some(event) = lines.recv().await {
                has_come = true;
                running.invoke(event).await;
            }
        }
        running.tasks.join_all().await;
        if !has_come {
            function.fail(
                "nothing was invoked: use --event FILE, or write a line of JSON to standard input",
            );
        }
    }
}

/// The invocations that run at the same time.
struct Running {
    function: Arc<Function>,
    client_context: Option<ClientContext>,
    at_a_time: usize,
    tasks: JoinSet<()>,
}

impl Running {
    /// Begins an invocation, once fewer than the most run.
    async fn invoke(&mut self, event: String) {
        if self.tasks.len() >= self.at_a_time {
            self.tasks.join_next().await;
        }
        let function = Arc::clone(&self.function);
        let client_context = self.client_context.clone();
        self.tasks.spawn(async move {
            function.invoke(event.as_bytes(), client_context).await;
        });
    }
}

pub(super) struct Function {
    pub(super) name: String,
    pub(super) logs: Arc<Logs>,
    timeout: Duration,
    lambda: Lambda,
    /// An event was invalid, or an invocation failed.
    has_failed: AtomicBool,
    is_managed: bool,
    running: AtomicUsize,
}

impl Function {
    /// Invokes the function, and shows its telemetry and result. Returns `None` if the event is invalid.
    pub(super) async fn invoke(
        &self,
        event: &[u8],
        client_context: Option<ClientContext>,
    ) -> Option<InvocationResult> {
        self.running.fetch_add(1, Ordering::Relaxed);
        let ended = match self.lambda.begin_invocation_with(&self.name, event, client_context) {
            Ok(running) => running.finished().await,
            Err(error) => Err(error),
        };
        let is_last = self.running.fetch_sub(1, Ordering::Relaxed) == 1;
        let invocation = match ended {
            Ok(invocation) => invocation,
            Err(error) => {
                self.fail(&format!("{:#}", anyhow::Error::from(error)));
                return None;
            }
        };
        // The spans of the others come later, and log records get their trace from a span of the same event.
        if is_last || !self.is_managed {
            self.logs.pass_on().await;
        }
        let has_started = has_started(&self.lambda.platform_events(&self.name));
        if !invocation.is_success() {
            self.has_failed.store(true, Ordering::Relaxed);
        }
        let words = words(&invocation, has_started, self.timeout);
        self.logs.send(Incoming::Text(words));
        Some(invocation.result)
    }

    /// Ends the environments: extensions get SHUTDOWN, and remaining processes are killed.
    pub(super) async fn shut_down(self: Arc<Self>) {
        self.lambda.recycle(&self.name).await.ok();
        // The other owners end too, and the last one kills the processes.
        if let Some(function) = Arc::into_inner(self) {
            function.lambda.shut_down().await;
        }
    }

    fn fail(&self, why: &str) {
        self.has_failed.store(true, Ordering::Relaxed);
        self.logs.say(format!("lambda-otlp: {why}"));
    }
}

pub(super) fn read_events(files: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    let read = |file: &PathBuf| {
        let text = std::fs::read_to_string(file);
        let text = text.with_context(|| format!("--event: cannot read {}", file.display()))?;
        serde_json::from_str::<IgnoredAny>(&text)
            .with_context(|| format!("--event: {} is not JSON: correct it", file.display()))?;
        anyhow::Ok(text)
    };
    files.iter().map(read).collect()
}

pub(super) fn read_client_context(file: &Path) -> anyhow::Result<ClientContext> {
    let json = std::fs::read(file);
    let json = json.with_context(|| format!("--client-context: cannot read {}", file.display()))?;
    let parsed = ClientContext::parse(&json);
    parsed.with_context(|| format!("--client-context: cannot use {}", file.display()))
}

fn of_standard_input() -> tokio::sync::mpsc::Receiver<String> {
    let (sender, events) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if !line.trim().is_empty() && sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    events
}

const LONGEST_RESPONSE: usize = 2000;

/// Lambda's time limit for Init (AWS Lambda "Lambda runtime environment").
const INIT: Duration = Duration::from_secs(10);

/// Describes the result of an invocation. `has_started`: the last process asked for an event.
fn words(invocation: &Invocation, has_started: bool, timeout: Duration) -> String {
    let millis = invocation.duration.as_secs_f64() * 1e3;
    let timeout = timeout.as_secs();
    match &invocation.result {
        InvocationResult::Response(body) => {
            let start = match (invocation.init_duration, invocation.cold) {
                (Some(init), _) => format!(", cold: Init {:.1} ms", init.as_secs_f64() * 1e3),
                (None, true) => ", cold".to_owned(),
                (None, false) => String::new(),
            };
            format!("=> {} ({millis:.1} ms{start})", text(body))
        }
        InvocationResult::FunctionError { error_type, body } if !has_started => {
            format!("=> failed in Init: {error_type}: {}", message(body))
        }
        InvocationResult::FunctionError { error_type, body } => {
            format!("=> failed after {millis:.1} ms: {error_type}: {}", message(body))
        }
        InvocationResult::Timeout if !has_started => format!(
            "=> the function did not ask for an event within the {} s of Init and {timeout} s more: COMMAND must use Lambda's Runtime API, like lambda_runtime and awslambdaric; for a file with a handler, use --runtime python|node --handler FILE.FUNCTION",
            INIT.as_secs()
        ),
        InvocationResult::Timeout => {
            format!(
                "=> timed out after {timeout} s, and its process was killed: raise --timeout if it needs longer"
            )
        }
        InvocationResult::Crash { status: None } => {
            "=> the function or an extension of its layers could not be started".to_owned()
        }
        InvocationResult::Crash { status: Some(status) } if !has_started => format!(
            "=> the function ended with {status} before it asked for an event: see its output above; COMMAND must use Lambda's Runtime API and keep running"
        ),
        InvocationResult::Crash { status: Some(status) } => {
            format!("=> the function ended with {status} during the invocation")
        }
    }
}

fn text(body: &[u8]) -> String {
    short(&on_one_line(&String::from_utf8_lossy(body)), LONGEST_RESPONSE)
}

/// Reads the text of `{"errorMessage": …}`, which Lambda's runtimes write.
fn message(body: &[u8]) -> String {
    let error = serde_json::from_slice::<serde_json::Value>(body).ok();
    let message = error.as_ref().and_then(|error| error.get("errorMessage")?.as_str());
    text(message.map_or(body, str::as_bytes))
}

/// Returns `true` if the last process asked for an event, by Lambda's report of its Init (AWS Lambda "Telemetry API",
/// `platform.initRuntimeDone`).
fn has_started(platform_events: &[String]) -> bool {
    let mut ends = platform_events.iter().rev().filter_map(|event| {
        let event: serde_json::Value = serde_json::from_str(event).ok()?;
        let is_end = matches!(
            event.get("type")?.as_str()?,
            "platform.initRuntimeDone" | "platform.initReport"
        );
        is_end.then(|| event.pointer("/record/status").is_some_and(|status| status == "success"))
    });
    ends.next().unwrap_or(false)
}
