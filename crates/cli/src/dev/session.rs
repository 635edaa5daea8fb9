//! A session with the function, from its first invocation to the end of its environments.

use super::command::{PreparedFunction, Rebuild};
use super::event_kinds::EventSource;
use super::events::{EventReader, EventReading};
use super::function::SessionFunction;
use super::live_page::LivePage;
use super::output::SessionOutput;
use super::watch::Watched;
use super::{DevArguments, http, page};
use crate::aws::Machine;
use crate::shown::Incoming;
use anyhow::Context as _;
use local_lambda::{ClientContext, FunctionSpec, HttpServer, Lambda};
use serde::de::IgnoredAny;
use settings::{Env, Source as _};
use std::io::{self, BufRead as _, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Number of outputs that wait for the terminal; further ones make the function wait.
const MAX_WAITING: usize = 64;

/// A function that is running, and the source of its output.
pub(super) struct Session {
    pub(super) incoming: Receiver<Incoming>,
    stop: watch::Sender<bool>,
    thread: JoinHandle<bool>,
}

impl Session {
    pub(super) fn begin(
        arguments: &DevArguments,
        prepared: PreparedFunction,
        given: GivenEvents,
    ) -> anyhow::Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let (sender, incoming) = sync_channel(MAX_WAITING);
        let (stop, stopped) = watch::channel(false);
        let PreparedFunction { spec, folder, rebuild } = prepared;
        let created = runtime.block_on(create_function(arguments, spec, sender))?;
        let function = Arc::new(created);
        let servers = runtime.block_on(start_servers(arguments, &function))?;
        let watched = arguments.watch.then(|| Watched {
            folder: std::env::current_dir().unwrap_or_default(),
            files: given.files.clone(),
        });
        let run = SessionRun {
            watched,
            rebuild,
            given,
            repeat: arguments.repeat,
            at_a_time: arguments.concurrency.map_or(1, usize::from),
            servers,
            reads_standard_input: arguments.http.is_none(),
            stopped,
        };
        let thread = std::thread::spawn(move || runtime.block_on(run.run(function, folder)));
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

/// Creates the function in a new local Lambda.
async fn create_function(
    arguments: &DevArguments,
    mut spec: FunctionSpec,
    sender: SyncSender<Incoming>,
) -> anyhow::Result<SessionFunction> {
    let mut region = region();
    if arguments.aws {
        let machine = Machine::load(&arguments.account).await?;
        if let Some(named) = machine.region() {
            region = named.to_owned();
        }
        spec = spec.credentials(machine.credential_variables().await?);
    }
    let page = arguments.open.map(|_| Arc::new(LivePage::new()));
    let destination = &arguments.destination;
    let output =
        Arc::new(SessionOutput::new(&arguments.name, &region, destination, sender, page).await?);
    let lambda = Lambda::start().await?;
    let observer = Arc::clone(&output);
    lambda.observe_logs(move |event| observer.add(event));
    lambda.create_function(spec.region(region))?;
    let is_managed = arguments.concurrency.is_some();
    Ok(SessionFunction::new(arguments.name.clone(), arguments.timeout, is_managed, lambda, output))
}

/// Starts the servers of `--http` and `--open`.
async fn start_servers(
    arguments: &DevArguments,
    function: &Arc<SessionFunction>,
) -> anyhow::Result<Vec<HttpServer>> {
    let mut servers = Vec::new();
    if let Some(port) = arguments.http {
        let server = http::serve(port, function).await;
        servers.push(server.with_context(|| format!("--http: cannot listen on port {port}"))?);
    }
    if let Some(port) = arguments.open {
        let server = page::serve(port, function)
            .await
            .with_context(|| format!("--open: cannot listen on port {port}"))?;
        page::show(server.address(), &function.output);
        servers.push(server);
    }
    Ok(servers)
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
    from_standard_input: Vec<String>,
    events: Vec<String>,
    client_context: Option<ClientContext>,
}

impl GivenEvents {
    pub(super) fn read(arguments: &DevArguments) -> anyhow::Result<Self> {
        let client_context = arguments.client_context.as_deref();
        let mut given = Self {
            files: arguments.events.clone(),
            kind: arguments.event_kind,
            body: arguments.body.clone(),
            from_standard_input: Vec::new(),
            events: Vec::new(),
            client_context: client_context.map(read_client_context).transpose()?,
        };
        if given.files.iter().any(|file| is_standard_input(file)) {
            given.from_standard_input = read_standard_input()?;
        }
        given.events = given.current()?;
        Ok(given)
    }

    /// Reads the files again.
    fn current(&self) -> anyhow::Result<Vec<String>> {
        let mut events = Vec::new();
        for file in &self.files {
            if is_standard_input(file) {
                events.extend(self.from_standard_input.iter().cloned());
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
fn read_standard_input() -> anyhow::Result<Vec<String>> {
    let mut text = String::new();
    io::stdin()
        .lock()
        .read_to_string(&mut text)
        .context("--event -: cannot read standard input")?;
    let mut events = Vec::new();
    for reading in EventReader::of_text(&text) {
        match reading {
            EventReading::Event(event) => events.push(event),
            EventReading::Invalid(why) => anyhow::bail!("--event -: {why}: correct it"),
        }
    }
    anyhow::ensure!(!events.is_empty(), "--event -: standard input has no event");
    Ok(events)
}

/// The work of a session: its invocations, until it is stopped.
struct SessionRun {
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

impl SessionRun {
    /// Runs the invocations. Returns `true` if everything succeeded.
    async fn run(self, function: Arc<SessionFunction>, folder: TempDir) -> bool {
        let mut stopped = self.stopped.clone();
        let output = Arc::clone(&function.output);
        let shown_output = Arc::clone(&output);
        let showing = tokio::spawn(async move { shown_output.show_arrivals().await });
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
        let is_fine = !function.has_failed();
        function.shut_down().await;
        output.flush().await;
        output.print_sent();
        drop(folder);
        is_fine && output.is_delivered()
    }

    /// Invokes the function with the events of the command line, again after each change of its code, and with those of standard
    /// input.
    async fn invoke_all(&self, function: &Arc<SessionFunction>) {
        let mut invocations = InvocationTasks {
            function: Arc::clone(function),
            client_context: self.given.client_context.clone(),
            at_a_time: self.at_a_time,
            tasks: JoinSet::new(),
        };
        let mut events = self.given.events.clone();
        let has_given_events = !events.is_empty();
        let reads_standard_input = !has_given_events && self.reads_standard_input;
        let mut sources = EventSources {
            changes: self.watched.clone().map(file_changes),
            standard_input: reads_standard_input.then(open_standard_input),
            has_read: false,
        };
        loop {
            for _ in 0..self.repeat {
                for event in &events {
                    invocations.invoke(event.clone()).await;
                }
            }
            if has_given_events && sources.changes.is_some() {
                invocations.wait_for_all().await;
                function.output.say("waiting for changes of the code; Ctrl-C ends".to_owned());
            }
            match sources.next_change(&mut invocations).await {
                Some(file) => {
                    invocations.wait_for_all().await;
                    events = self.reload(&file, function).await;
                }
                None if !self.servers.is_empty() => return std::future::pending().await,
                None => break,
            }
        }
        invocations.wait_for_all().await;
        if !has_given_events && !sources.has_read {
            function.fail(
                "nothing was invoked: use --event FILE or --event-kind KIND, or write JSON to standard input",
            );
        }
    }

    /// Builds the function again, and reads the events again. The next invocation is a cold start.
    async fn reload(&self, file: &str, function: &Arc<SessionFunction>) -> Vec<String> {
        function.output.say(format!("{file} changed"));
        if let Some(rebuild) = self.rebuild.clone() {
            let built = tokio::task::spawn_blocking(move || rebuild.run()).await;
            if let Ok(Err(error)) = built {
                function.fail(&format!("{error:#}"));
                return Vec::new();
            }
        }
        function.set_outdated();
        match self.given.current() {
            Ok(events) => events,
            Err(error) => {
                function.fail(&format!("{error:#}"));
                Vec::new()
            }
        }
    }
}

/// The sources of events while a session runs.
struct EventSources {
    /// Names of changed files, with `--watch`.
    changes: Option<mpsc::Receiver<String>>,
    /// Events on standard input, until its end.
    standard_input: Option<mpsc::Receiver<EventReading>>,
    /// Standard input had an event, or an invalid one.
    has_read: bool,
}

impl EventSources {
    /// Invokes the function with the events of standard input, until a file changes. Returns `None` if no source is left.
    async fn next_change(&mut self, invocations: &mut InvocationTasks) -> Option<String> {
        loop {
            tokio::select! {
                file = receive(&mut self.changes), if self.changes.is_some() => return file,
                reading = receive(&mut self.standard_input), if self.standard_input.is_some() => {
                    let Some(reading) = reading else {
                        self.standard_input = None;
                        continue;
                    };
                    self.has_read = true;
                    match reading {
                        EventReading::Event(event) => invocations.invoke(event).await,
                        EventReading::Invalid(why) => {
                            invocations.function.fail(&format!("standard input, {why}: correct it"));
                        }
                    }
                }
                else => return None,
            }
        }
    }
}

async fn receive<T>(receiver: &mut Option<mpsc::Receiver<T>>) -> Option<T> {
    match receiver {
        Some(receiver) => receiver.recv().await,
        None => None,
    }
}

/// Watches files, and returns the names of changed ones.
fn file_changes(watched: Watched) -> mpsc::Receiver<String> {
    let (sender, changes) = mpsc::channel(1);
    // A change while the last one is handled makes no difference.
    tokio::spawn(watched.watch(move |file| drop(sender.try_send(file))));
    changes
}

/// The invocations that run at the same time.
struct InvocationTasks {
    function: Arc<SessionFunction>,
    client_context: Option<ClientContext>,
    at_a_time: usize,
    tasks: JoinSet<()>,
}

impl InvocationTasks {
    /// Begins an invocation, once another may run.
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

    async fn wait_for_all(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

fn read_event(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("--event: cannot read {}", file.display()))?;
    serde_json::from_str::<IgnoredAny>(&text)
        .with_context(|| format!("--event: {} is not JSON: correct it", file.display()))?;
    Ok(text)
}

fn read_client_context(file: &Path) -> anyhow::Result<ClientContext> {
    let json = std::fs::read(file)
        .with_context(|| format!("--client-context: cannot read {}", file.display()))?;
    ClientContext::parse(&json)
        .with_context(|| format!("--client-context: cannot use {}", file.display()))
}

/// Reads events from standard input in a thread.
fn open_standard_input() -> mpsc::Receiver<EventReading> {
    if io::stdin().is_terminal() {
        eprintln!(
            "waiting for events on standard input: JSON, then Enter; Ctrl-D ends. --event, --event-kind and --http also give events."
        );
    }
    let (sender, events) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut reader = EventReader::default();
        let send = |readings: Vec<EventReading>| {
            readings.into_iter().all(|reading| sender.blocking_send(reading).is_ok())
        };
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if !send(reader.add_line(&line)) {
                return;
            }
        }
        send(reader.end());
    });
    events
}
