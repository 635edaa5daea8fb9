//! The code beside the handlers: an internal Lambda extension, which writes telemetry outside of handlers, and the SIGTERM
//! handler.

mod client;
pub(crate) mod invocations;

use crate::bounded::within;
use crate::config::{InitializationType, LambdaEnvironment, ProcessorMode};
use crate::output::stderr;
use crate::telemetry::Telemetry;
use client::{Client, Events, INVOKE, NOTHING};
use extensions_api::NextEvent;
use invocations::{Completed, Invocations, Step};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use settings::Backoff;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::Builder;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// When the telemetry of an invocation is written.
pub(crate) enum Mode {
    Sync,
    Async(Arc<InternalExtension>),
    Finalize,
}

/// Starts the threads of this mode. `exits_at_sigterm` tells whether the process ends after the last write, unless a hook was
/// installed later; `None` if SIGTERM is not handled. An unavailable mode becomes `Sync`, with the reason in one line; it never
/// fails the function.
pub(crate) fn start(
    mode: ProcessorMode,
    lambda: &LambdaEnvironment,
    telemetry: Weak<Telemetry>,
    exits_at_sigterm: Option<bool>,
) -> Mode {
    let Some(api) = lambda.runtime_api.as_deref() else {
        if mode != ProcessorMode::Sync {
            sync_instead(mode, "there is no AWS_LAMBDA_RUNTIME_API");
        }
        return Mode::Sync;
    };
    let (mode, events) = match (mode, lambda.initialization_type) {
        (ProcessorMode::Sync, _) => (mode, None),
        (ProcessorMode::Async, InitializationType::SnapStart) => {
            // The connection for Lambda's events does not survive the snapshot.
            sync_instead(mode, "the function is restored from a snapshot (SnapStart)");
            (ProcessorMode::Sync, None)
        }
        // Managed instances refuse registration for INVOKE, and are not frozen between invocations.
        (ProcessorMode::Async, InitializationType::ManagedInstances)
        | (ProcessorMode::Finalize, _) => (mode, Some(NOTHING)),
        (ProcessorMode::Async, _) => (mode, Some(INVOKE)),
    };
    if events.is_none() && exits_at_sigterm.is_none() {
        return Mode::Sync;
    }
    let started = start_thread(api, events, telemetry, exits_at_sigterm);
    let (extension, registered) = match started {
        Ok(started) => started,
        Err(error) => {
            stderr::warn(&format!("telemetry is only written before the response: {error}"));
            return Mode::Sync;
        }
    };
    match (mode, registered) {
        (ProcessorMode::Sync, _) => Mode::Sync,
        (ProcessorMode::Async, Ok(())) => Mode::Async(extension),
        (ProcessorMode::Finalize, Ok(())) => Mode::Finalize,
        (ProcessorMode::Async, Err(error)) if events == Some(NOTHING) => {
            stderr::warn(&format!(
                "Lambda sends no SIGTERM, since the Extensions API refused: {error}"
            ));
            Mode::Async(extension)
        }
        (_, Err(error)) => {
            sync_instead(mode, &format!("the Extensions API refused: {error}"));
            Mode::Sync
        }
    }
}

fn sync_instead(mode: ProcessorMode, why: &str) {
    stderr::warn(&format!("mode {mode} is unavailable, using sync: {why}"));
}

/// Starts the thread and waits for its registration, which must precede the runtime's first request for an event. The thread
/// starts first: Lambda would wait forever for an extension that registers and never asks for events.
fn start_thread(
    api: &str,
    events: Option<Events>,
    telemetry: Weak<Telemetry>,
    exits_at_sigterm: Option<bool>,
) -> io::Result<(Arc<InternalExtension>, io::Result<()>)> {
    const STACK_BYTES: usize = 512 * 1024;
    let (wake, woken) = UnixStream::pair()?;
    wake.set_nonblocking(true)?;
    woken.set_nonblocking(true)?;
    let is_terminated = Arc::new(AtomicBool::new(false));
    let exits = exits_at_sigterm == Some(true);
    if exits_at_sigterm.is_some() {
        watch_sigterm(&is_terminated, wake.try_clone()?)?;
    }
    let invocations = Mutex::new(Invocations::new(events == Some(INVOKE)));
    let shared = Arc::new(InternalExtension { invocations, wake, is_terminated, telemetry, exits });
    let (is_registered, registered) = sync_channel(1);
    let (api, runtime) = (api.to_owned(), Handle::try_current().ok());
    let mut thread = Thread {
        shared: Arc::clone(&shared),
        woken,
        client: None,
        runtime,
        again_at: None,
        failures: 0,
    };
    let register = move || {
        thread.client = register(&api, events, &is_registered);
        drop(is_registered);
        // Without an API there is no connection to lose.
        thread.shared.invocations().is_listening = true;
        thread.run();
    };
    Builder::new().name("otlp-extension".to_owned()).stack_size(STACK_BYTES).spawn(register)?;
    let registered = registered.recv().unwrap_or(Ok(()));
    Ok((shared, registered))
}

fn register(
    api: &str,
    events: Option<Events>,
    registered: &SyncSender<io::Result<()>>,
) -> Option<Client> {
    let (client, result) = match Client::register(api, events?) {
        Ok(client) => (Some(client), Ok(())),
        Err(error) => (None, Err(error)),
    };
    if client.is_some() && events == Some(INVOKE) {
        let_the_response_go_first();
    }
    registered.send(result).ok();
    client
}

/// Lowers this thread's priority, because it writes while the runtime sends the response.
fn let_the_response_go_first() {
    #[cfg(target_os = "linux")]
    rustix::process::setpriority_process(None, 19).ok();
}

/// Time limit for the last write. Between SIGTERM and kill Lambda leaves 500 ms if an extension is inside the process, and 300 ms
/// if all are outside (AWS Lambda Developer Guide, "Shutdown phase").
const LAST_WRITE: Duration = Duration::from_millis(280);
/// Retry schedule for an unresponsive API.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(1));

pub(crate) struct InternalExtension {
    invocations: Mutex<Invocations>,
    /// A byte here wakes the thread.
    wake: UnixStream,
    /// `true` after SIGTERM.
    is_terminated: Arc<AtomicBool>,
    /// The thread lives as long as the process; dropped telemetry has nothing to write.
    telemetry: Weak<Telemetry>,
    /// `true` if the process ends after the last write; otherwise another handler of SIGTERM decides.
    exits: bool,
}

impl InternalExtension {
    pub(crate) fn begin(&self, request_id: &str) {
        self.invocations().begin(request_id);
    }

    /// Leaves an ended invocation's telemetry to the extension; `false` if the caller must write it.
    pub(crate) fn complete(&self, completed: Completed) -> bool {
        let left = self.invocations().complete(completed);
        self.wake();
        left
    }

    /// The caller has written the telemetry of an invocation without a wrapped handler.
    pub(crate) fn release(&self) {
        self.invocations().release();
        self.wake();
    }

    fn invocations(&self) -> MutexGuard<'_, Invocations> {
        self.invocations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // If the buffer is full, the thread is waking already.
        (&self.wake).write_all(&[0]).ok();
    }
}

struct Thread {
    shared: Arc<InternalExtension>,
    woken: UnixStream,
    /// `None` without a registration.
    client: Option<Client>,
    /// The runtime for the application's exporters.
    runtime: Option<Handle>,
    /// The time of the next attempt after the API did not answer.
    again_at: Option<Instant>,
    /// Number of failures since the last event.
    failures: u32,
}

impl Thread {
    /// Runs until the process ends.
    fn run(mut self) {
        let runtime = self.runtime.take();
        let _entered = runtime.as_ref().map(Handle::enter);
        self.ask();
        loop {
            let wait = self.work();
            let event = self.wait(wait);
            if self.shared.is_terminated.swap(false, Ordering::Relaxed) {
                if let Some(telemetry) = self.shared.telemetry.upgrade() {
                    // An error can no longer be reported.
                    drop(within(LAST_WRITE, move || telemetry.write_all_at_end()));
                }
                if self.shared.exits && !is_hook_installed() {
                    std::process::exit(0);
                }
            }
            if event {
                self.take_event();
            }
            if self.again_at.is_some_and(|at| at <= Instant::now()) {
                self.ask();
            }
        }
    }

    /// Runs due tasks and returns the time until the next one.
    fn work(&mut self) -> Option<Duration> {
        loop {
            let step = self.shared.invocations().step(Instant::now());
            match step {
                Step::Write(completed) => {
                    if let Some(telemetry) = self.shared.telemetry.upgrade() {
                        let numbers = completed.iter().map(|invocation| invocation.number);
                        telemetry.finish(&numbers.collect::<Vec<u64>>());
                    }
                }
                Step::Ask => self.ask(),
                Step::Wait(wait) => return wait,
            }
        }
    }

    fn ask(&mut self) {
        let Some(client) = &mut self.client else { return };
        let is_lost = self.again_at.take().is_some();
        match if is_lost { client.ask_again() } else { client.ask() } {
            Ok(()) => self.shared.invocations().is_listening = true,
            Err(error) => self.be_silent(&error),
        }
    }

    fn take_event(&mut self) {
        let Some(client) = &mut self.client else { return };
        match client.event() {
            Ok(NextEvent::Invoke(invoke)) => {
                self.failures = 0;
                self.shared.invocations().invoked(invoke.request_id, Instant::now());
            }
            // An extension inside the function's process receives no other event.
            Ok(_) => self.ask(),
            Err(error) => self.be_silent(&error),
        }
    }

    /// The API did not answer. Lambda may be waiting for this extension, so it asks again and again; meanwhile the handlers write
    /// themselves.
    fn be_silent(&mut self, error: &io::Error) {
        if self.failures == 0 {
            stderr::warn(&format!(
                "the Extensions API does not answer, until it does telemetry is written before the response: {error}"
            ));
        }
        self.again_at = Some(Instant::now() + BACKOFF.delay(self.failures, 1.0));
        self.failures += 1;
        self.shared.invocations().lose_events();
    }

    /// Waits for an event, a wake-up byte, or the timeout. Returns `true` for an event.
    fn wait(&self, wait: Option<Duration>) -> bool {
        let until_again = self.again_at.map(|at| at.saturating_duration_since(Instant::now()));
        let wait = wait.into_iter().chain(until_again).min();
        let wait = wait.and_then(|wait| Timespec::try_from(wait).ok());
        let mut sources = vec![PollFd::new(&self.woken, PollFlags::IN)];
        if let (Some(client), None) = (&self.client, self.again_at) {
            sources.push(PollFd::new(client, PollFlags::IN));
        }
        // An error means that a signal interrupted the wait.
        poll(&mut sources, wait.as_ref()).ok();
        let is_ready =
            |source: Option<&PollFd<'_>>| source.is_some_and(|source| !source.revents().is_empty());
        if is_ready(sources.first()) {
            while (&self.woken).read(&mut [0; 64]).is_ok_and(|bytes| bytes > 0) {}
        }
        is_ready(sources.get(1))
    }
}

/// Makes SIGTERM set `flag` and write a byte to `wake`. Existing handlers are still called.
fn watch_sigterm(flag: &Arc<AtomicBool>, wake: UnixStream) -> io::Result<()> {
    signal_hook::flag::register(SIGTERM, Arc::clone(flag))?;
    pipe::register(SIGTERM, wake)?;
    Ok(())
}

/// Returns `true` if the process has a shutdown hook, whenever it was installed. Only one that also handles SIGINT, like
/// `lambda_runtime`'s, can be told from this library's handler of SIGTERM.
pub(crate) fn is_hook_installed() -> bool {
    is_handled(SIGINT)
}

/// Returns `true` if another handler of SIGTERM is there, which then ends the process.
pub(crate) fn is_sigterm_handled() -> bool {
    is_handled(SIGTERM)
}

/// From the mask of caught signals (proc_pid_status(5)).
fn is_handled(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}
