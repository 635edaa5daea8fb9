//! A session with the function, from its first invocation to the end of its environments.

use super::command::{Prepared, Rebuild};
use super::event_kinds::EventSource;
use super::events::{EventReader, Read};
use super::logs::Logs;
use super::page::LivePage;
use super::watch::Watched;
use super::{Arguments, http, page};
use crate::aws;
use crate::shown::Incoming;
use anyhow::Context as _;
use console::screen::on_one_line;
use console::waterfall::draw::short;
use local_lambda::{ClientContext, HttpServer, Invocation, InvocationResult, Lambda};
use serde::de::IgnoredAny;
use settings::{Env, Source as _};
use std::io::{self, BufRead as _, IsTerminal as _, Read as _};
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
        given: GivenEvents,
    ) -> anyhow::Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let (sender, incoming) = sync_channel(MOST_WAITING);
        let (stop, stopped) = watch::channel(false);
        let Prepared { mut spec, folder, rebuild } = prepared;
        let page = arguments.open.map(|_| Arc::new(LivePage::new()));
        let (function, servers) = runtime.block_on(async {
            let mut region = region();
            if arguments.aws {
                let config = aws::load(&arguments.account).await;
                if let Some(named) = config.region() {
                    region = named.to_string();
                }
                spec = spec.credentials(aws::credentials(&config).await?);
            }
            let destination = &arguments.destination;
            let logs = Logs::new(&arguments.name, &region, destination, sender, page).await?;
            let logs = Arc::new(logs);
            spec = spec.region(region);
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
                is_outdated: AtomicBool::new(false),
            });
            let mut servers = Vec::new();
            if let Some(port) = arguments.http {
                let server = http::serve(port, &function).await;
                let listen = || format!("--http: cannot listen on port {port}");
                servers.push(server.with_context(listen)?);
            }
            if let Some(port) = arguments.open {
                let server = page::serve(port, &function).await;
                let listen = || format!("--open: cannot listen on port {port}");
                let server = server.with_context(listen)?;
                page::show(server.address(), &function.logs);
                servers.push(server);
            }
            Ok::<_, anyhow::Error>((function, servers))
        })?;
        let watched = arguments.watch.then(|| Watched {
            folder: std::env::current_dir().unwrap_or_default(),
            files: given.files.clone(),
        });
        let invocations = Invocations {
            watched,
            rebuild,
            given,
            repeat: arguments.repeat,
            at_a_time: arguments.concurrency.map_or(1, usize::from),
            servers,
            reads_standard_input: arguments.http.is_none(),
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

/// Returns the region of this shell, as AWS's tools read it.
pub(super) fn region() -> String {
    /// The region of the local Lambda.
    const REGION: &str = "us-east-1";
    let variables = ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter();
    let mut regions =
        variables.filter_map(|name| Env.get(name)).filter(|region| !region.is_empty());
    regions.next().unwrap_or_else(|| REGION.to_owned())
}

/// The events and the client context of the command line.
pub(super) struct GivenEvents {
    files: Vec<PathBuf>,
    kind: Option<EventSource>,
    body: Option<String>,
    /// The events on standard input, if `--event -` names it.
    of_standard_input: Vec<String>,
    events: Vec<String>,
    client_context: Option<ClientContext>,
}

impl GivenEvents {
    pub(super) fn read(arguments: &Arguments) -> anyhow::Result<Self> {
        let client_context = arguments.client_context.as_deref();
        let mut given = Self {
            files: arguments.events.clone(),
            kind: arguments.event_kind,
            body: arguments.body.clone(),
            of_standard_input: Vec::new(),
            events: Vec::new(),
            client_context: client_context.map(read_client_context).transpose()?,
        };
        if given.files.iter().any(|file| is_standard_input(file)) {
            given.of_standard_input = events_of_standard_input()?;
        }
        given.events = given.current()?;
        Ok(given)
    }

    /// Reads the files again.
    fn current(&self) -> anyhow::Result<Vec<String>> {
        let mut events = Vec::new();
        for file in &self.files {
            if is_standard_input(file) {
                events.extend(self.of_standard_input.iter().cloned());
            } else {
                events.push(read_event(file)?);
            }
        }
        if let Some(kind) = self.kind {
            events.push(kind.event(self.body.as_deref(), &region())?);
        }
        Ok(events)
    }
}

fn is_standard_input(file: &Path) -> bool {
    file == Path::new("-")
}

/// Reads all of standard input.
fn events_of_standard_input() -> anyhow::Result<Vec<String>> {
    let mut text = String::new();
    io::stdin()
        .lock()
        .read_to_string(&mut text)
        .context("--event -: cannot read standard input")?;
    let read = EventReader::of_text(&text).into_iter().map(|read| match read {
        Read::Event(event) => Ok(event),
        Read::Wrong(why) => Err(anyhow::anyhow!("--event -: {why}: correct it")),
    });
    let events = read.collect::<anyhow::Result<Vec<String>>>()?;
    anyhow::ensure!(!events.is_empty(), "--event -: standard input has no event");
    Ok(events)
}

struct Invocations {
    watched: Option<Watched>,
    rebuild: Option<Rebuild>,
    given: GivenEvents,
    repeat: u32,
    at_a_time: usize,
    servers: Vec<HttpServer>,
    /// Events come from standard input, if the command line has none.
    reads_standard_input: bool,
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
        for server in self.servers {
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
        let mut running = Running {
            function: Arc::clone(function),
            client_context: self.given.client_context.clone(),
            at_a_time: self.at_a_time,
            tasks: JoinSet::new(),
        };
        let (sender, mut changes) = tokio::sync::mpsc::channel(1);
        let watching = self.watched.clone().map(|watched| {
            // A change while the last one is handled makes no difference.
            tokio::spawn(watched.watch(move |file| drop(sender.try_send(file))))
        });
        let mut events = self.given.events.clone();
        let has_events = !events.is_empty();
        let mut lines = (!has_events && self.reads_standard_input).then(of_standard_input);
        let mut has_come = has_events;
        loop {
            for _ in 0..self.repeat {
                for event in &events {
                    running.invoke(event.clone()).await;
                }
            }
            if has_events && watching.is_some() {
                running.wait().await;
                function.logs.say("waiting for changes of the code; Ctrl-C ends".to_owned());
            }
            let file = loop {
                tokio::select! {
                    file = changes.recv(), if watching.is_some() => break file,
                    read = next(&mut lines), if lines.is_some() => match read {
                        Some(Read::Event(event)) => {
                            has_come = true;
                            running.invoke(event).await;
                        }
                        Some(Read::Wrong(why)) => {
                            has_come = true;
                            function.fail(&format!("standard input, {why}: correct it"));
                        }
                        None => lines = None,
                    },
                    else => break None,
                }
            };
            match file {
                Some(file) => {
                    running.wait().await;
                    events = self.reload(&file, function).await;
                }
                None if !self.servers.is_empty() => return std::future::pending().await,
                None => break,
            }
        }
        running.wait().await;
        if !has_come {
            function.fail(
                "nothing was invoked: use --event FILE or --event-kind KIND, or write JSON to standard input",
            );
        }
    }

    /// Builds the function again, and reads the events again. The next invocation is a cold start.
    async fn reload(&self, file: &str, function: &Arc<Function>) -> Vec<String> {
        function.logs.say(format!("{file} changed"));
        if let Some(rebuild) = self.rebuild.clone() {
            let built = tokio::task::spawn_blocking(move || rebuild.run()).await;
            if let Ok(Err(error)) = built {
                function.fail(&format!("{error:#}"));
                return Vec::new();
            }
        }
        function.is_outdated.store(true, Ordering::Relaxed);
        match self.given.current() {
            Ok(events) => events,
            Err(error) => {
                function.fail(&format!("{error:#}"));
                Vec::new()
            }
        }
    }
}

type Lines = tokio::sync::mpsc::Receiver<Read>;

async fn next(lines: &mut Option<Lines>) -> Option<Read> {
    match lines {
        Some(lines) => lines.recv().await,
        None => None,
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

    async fn wait(&mut self) {
        while self.tasks.join_next().await.is_some() {}
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
    /// The code changed since the last process began.
    is_outdated: AtomicBool,
}

impl Function {
    /// Invokes the function, and shows its telemetry and result. Returns `None` if the event is invalid.
    pub(super) async fn invoke(
        &self,
        event: &[u8],
        client_context: Option<ClientContext>,
    ) -> Option<InvocationResult> {
        let is_first = self.running.fetch_add(1, Ordering::Relaxed) == 0;
        if is_first && self.is_outdated.swap(false, Ordering::Relaxed) {
            // It exists, and its environments end without an error.
            self.lambda.recycle(&self.name).await.ok();
        }
        let given = client_context.clone();
        let ended = match self.lambda.begin_invocation_with(&self.name, event, given) {
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
        if let Some(page) = self.logs.page() {
            page.add_invocation(&invocation, event, client_context);
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

fn read_event(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file);
    let text = text.with_context(|| format!("--event: cannot read {}", file.display()))?;
    serde_json::from_str::<IgnoredAny>(&text)
        .with_context(|| format!("--event: {} is not JSON: correct it", file.display()))?;
    Ok(text)
}

fn read_client_context(file: &Path) -> anyhow::Result<ClientContext> {
    let json = std::fs::read(file);
    let json = json.with_context(|| format!("--client-context: cannot read {}", file.display()))?;
    let parsed = ClientContext::parse(&json);
    parsed.with_context(|| format!("--client-context: cannot use {}", file.display()))
}

fn of_standard_input() -> Lines {
    if io::stdin().is_terminal() {
        eprintln!(
            "waiting for events on standard input: JSON, then Enter; Ctrl-D ends. --event, --event-kind and --http also give events."
        );
    }
    let (sender, events) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        let mut events = EventReader::default();
        let send =
            |read: Vec<Read>| read.into_iter().all(|read| sender.blocking_send(read).is_ok());
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if !send(events.line(&line)) {
                return;
            }
        }
        send(events.end());
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
