//! The code that runs outside of handlers: an internal Lambda extension, which writes telemetry outside of handlers, and the SIGTERM
//! handler.

mod client;
pub(crate) mod invocations;

use crate::bounded::{spawn, within};
use crate::config::{InitializationType, ProcessorMode};
use crate::output::stderr;
use crate::state::Telemetry;
use client::{Client, Events};
use extensions_api::NextEvent;
use invocations::{Completed, KeptInvocations, Wait};
use settings::{Backoff, Jitter};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use std::fmt;
use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// When the telemetry of an invocation is written.
pub(crate) enum Mode {
    Sync,
    Async(Arc<InternalExtension>),
    Finalize,
}

/// Starts the threads of this mode. An unavailable mode becomes `Sync`, with the reason in one line; it never fails the function.
pub(crate) fn start(mode: ProcessorMode, telemetry: &Arc<Telemetry>) -> Mode {
    try_start(mode, telemetry).unwrap_or_else(|unavailable| {
        stderr::warn(&format!("mode {mode} is unavailable, using sync: {unavailable}"));
        Mode::Sync
    })
}

/// The reason why a mode is unavailable.
enum Unavailable {
    NoRuntimeApi,
    NoThread(io::Error),
    /// The connection for Lambda's events does not survive the snapshot.
    Restored,
    Refused(RefusedRegistration),
}

/// The Extensions API did not register this process.
struct RefusedRegistration(io::Error);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRuntimeApi => f.write_str("there is no AWS_LAMBDA_RUNTIME_API"),
            Self::NoThread(error) => write!(f, "cannot start a thread: {error}"),
            Self::Restored => f.write_str("the function is restored from a snapshot (SnapStart)"),
            Self::Refused(refused) => refused.fmt(f),
        }
    }
}

impl fmt::Display for RefusedRegistration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the Extensions API refused: {}", self.0)
    }
}

fn try_start(mode: ProcessorMode, telemetry: &Arc<Telemetry>) -> Result<Mode, Unavailable> {
    let lambda = &telemetry.environment.lambda;
    let Some(api) = lambda.runtime_api.as_deref() else {
        return match mode {
            ProcessorMode::Sync => Ok(Mode::Sync),
            ProcessorMode::Async | ProcessorMode::Finalize => Err(Unavailable::NoRuntimeApi),
        };
    };
    if let Some(exits) = telemetry.exits_at_sigterm {
        watch_sigterm(exits, Arc::downgrade(telemetry)).map_err(Unavailable::NoThread)?;
    }
    let events = match (mode, lambda.initialization_type) {
        (ProcessorMode::Sync, _) => return Ok(Mode::Sync),
        (ProcessorMode::Async, InitializationType::SnapStart) => {
            return Err(Unavailable::Restored);
        }
        // Managed instances refuse registration for INVOKE, and are not frozen between invocations.
        (ProcessorMode::Async, InitializationType::ManagedInstances)
        | (ProcessorMode::Finalize, _) => Events::Nothing,
        (ProcessorMode::Async, _) => Events::Invoke,
    };
    let api = api.to_owned();
    let register = move || Client::register(&api, events);
    let StartedThread { extension, registered } =
        start_thread(register, events, Arc::downgrade(telemetry)).map_err(Unavailable::NoThread)?;
    match registered.map_err(RefusedRegistration) {
        Ok(()) if mode == ProcessorMode::Finalize => Ok(Mode::Finalize),
        Err(refused) if mode == ProcessorMode::Finalize || events == Events::Invoke => {
            Err(Unavailable::Refused(refused))
        }
        registered => {
            if let Err(refused) = registered {
                stderr::warn(&format!("Lambda sends no SIGTERM: {refused}"));
            }
            Ok(Mode::Async(extension))
        }
    }
}

/// The extension's thread, and the result of its registration.
struct StartedThread {
    extension: Arc<InternalExtension>,
    registered: io::Result<()>,
}

/// Starts the thread and waits for its registration, which must precede the runtime's first request for an event. The thread
/// starts first: Lambda would wait forever for an extension that registers and never asks for events. If the thread panics while it
/// registers, that is an error too, because nothing would write telemetry that is left to it.
fn start_thread(
    register: impl FnOnce() -> io::Result<Client> + Send + 'static,
    events: Events,
    telemetry: Weak<Telemetry>,
) -> io::Result<StartedThread> {
    let extension = Arc::new(InternalExtension {
        invocations: Mutex::default(),
        reported: Condvar::new(),
        telemetry,
    });
    let (report, registered) = sync_channel(1);
    let of_thread = Arc::clone(&extension);
    spawn("otlp-extension", move || {
        let (client, result) = match register() {
            Ok(client) => (Some(client), Ok(())),
            Err(error) => (None, Err(error)),
        };
        if client.is_some() && events == Events::Invoke {
            let_the_response_go_first();
        }
        report.send(result).ok();
        of_thread.run(client, events);
    })?;
    let registered =
        registered.recv().map_err(|_| io::Error::other("it panicked while it registered"))?;
    Ok(StartedThread { extension, registered })
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
    invocations: Mutex<KeptInvocations>,
    /// Notified of each report of a handler.
    reported: Condvar,
    /// The thread lives as long as the process; dropped telemetry has nothing to write.
    telemetry: Weak<Telemetry>,
}

impl InternalExtension {
    pub(crate) fn begin(&self, request_id: &str) {
        self.invocations().begin(request_id);
    }

    /// Leaves an ended invocation's telemetry to the extension. Returns `false` if the caller must write it.
    pub(crate) fn complete(&self, completed: Completed) -> bool {
        let is_left = self.invocations().complete(completed);
        self.reported.notify_one();
        is_left
    }

    /// The caller has written the telemetry of an invocation without a wrapped handler.
    pub(crate) fn release(&self) {
        self.invocations().release();
        self.reported.notify_one();
    }

    fn invocations(&self) -> MutexGuard<'_, KeptInvocations> {
        self.invocations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, client: Option<Client>, events: Events) -> ! {
        match (client, events) {
            (None, _) => self.write_as_reported(),
            (Some(client), Events::Nothing) => self.write_without_events(client),
            (Some(client), Events::Invoke) => self.keep_invocations(client),
        }
    }

    /// Asks for events until the API takes the request, because Lambda waits for it. There are none, so the rest is as without the
    /// API.
    fn write_without_events(&self, mut client: Client) -> ! {
        let mut failures = 0;
        while let Err(error) = self.ask(&mut client, failures) {
            self.pause_after_failure(failures, &error);
            failures += 1;
        }
        self.write_as_reported()
    }

    /// Asks for events, and keeps each invocation awake until its telemetry is written.
    fn keep_invocations(&self, mut client: Client) -> ! {
        // Number of failures since the last event.
        let mut failures = 0;
        loop {
            let event = self.ask(&mut client, failures).and_then(|()| client.event());
            match event {
                Ok(event) => {
                    failures = 0;
                    // An extension inside the function's process receives no other event.
                    if let NextEvent::Invoke(invoke) = event {
                        self.keep(&invoke.request_id);
                    }
                }
                Err(error) => {
                    self.pause_after_failure(failures, &error);
                    failures += 1;
                }
            }
        }
    }

    /// Asks for the next event, after this number of failures.
    fn ask(&self, client: &mut Client, failures: u32) -> io::Result<()> {
        client.ask(failures > 0)?;
        self.invocations().is_silent = false;
        Ok(())
    }

    /// Waits until the telemetry of this invocation is left here, and writes it.
    fn keep(&self, request_id: &str) {
        let since = Instant::now();
        let mut invocations = self.invocations();
        invocations.begin_keeping();
        loop {
            invocations = match invocations.wait_for(request_id, since.elapsed()) {
                Wait::Unlimited => self.wait(invocations, Duration::MAX),
                Wait::AtMost(left) => self.wait(invocations, left),
                Wait::Over => break,
            };
        }
        invocations.give_up(request_id);
        let completed = invocations.take_completed();
        drop(invocations);
        self.write(&completed);
    }

    /// Without events, writes telemetry as soon as it is left here.
    fn write_as_reported(&self) -> ! {
        loop {
            let mut invocations = self.invocations();
            let completed = invocations.take_completed();
            if completed.is_empty() {
                drop(self.wait(invocations, Duration::MAX));
            } else {
                drop(invocations);
                self.write(&completed);
            }
        }
    }

    fn wait<'a>(
        &self,
        invocations: MutexGuard<'a, KeptInvocations>,
        longest: Duration,
    ) -> MutexGuard<'a, KeptInvocations> {
        let waited = self.reported.wait_timeout(invocations, longest);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn write(&self, completed: &[Completed]) {
        if let Some(telemetry) = self.telemetry.upgrade().filter(|_| !completed.is_empty()) {
            let numbers = completed.iter().map(|invocation| invocation.number);
            telemetry.write_and_forget(&numbers.collect::<Vec<_>>());
        }
    }

    /// Pauses after the API did not answer. Lambda may be waiting for this extension, so the caller asks again and again; meanwhile the
    /// handlers write themselves.
    fn pause_after_failure(&self, failures: u32, error: &io::Error) {
        if failures == 0 {
            stderr::warn(&format!(
                "the Extensions API does not answer, until it does telemetry is written before the response: {error}"
            ));
        }
        let mut invocations = self.invocations();
        invocations.is_silent = true;
        let completed = invocations.take_completed();
        drop(invocations);
        self.write(&completed);
        thread::sleep(BACKOFF.delay(failures, Jitter::NONE));
    }
}

/// Adds this telemetry to what is written at SIGTERM. Existing handlers are still called. `exits` states whether the process ends
/// after the write, unless a hook was installed later. One thread writes the telemetry of a process that is set up more than once:
/// otherwise the first write would end the process during the second.
fn watch_sigterm(exits: bool, telemetry: Weak<Telemetry>) -> io::Result<()> {
    static WATCHED: Mutex<Vec<Weak<Telemetry>>> = Mutex::new(Vec::new());
    let watched = || WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
    if !watched().is_empty() {
        watched().push(telemetry);
        return Ok(());
    }
    let (signal, mut signals) = UnixStream::pair()?;
    spawn("otlp-sigterm", move || {
        while signals.read_exact(&mut [0]).is_ok() {
            let alive: Vec<_> = watched().iter().filter_map(Weak::upgrade).collect();
            // Errors can no longer be reported.
            let write = move || alive.iter().for_each(|one| drop(one.write_all_at_end()));
            within(LAST_WRITE, write);
            if exits && !is_hook_installed() {
                std::process::exit(0);
            }
        }
    })?;
    pipe::register(SIGTERM, signal)?;
    watched().push(telemetry);
    Ok(())
}

/// Returns `true` if the process handled SIGTERM before this library did.
pub(crate) fn is_handled_by_others() -> bool {
    static IS_HANDLED: OnceLock<bool> = OnceLock::new();
    *IS_HANDLED.get_or_init(|| is_handled(SIGTERM))
}

/// Returns `true` if the process has a shutdown hook, whenever it was installed. Only one that also handles SIGINT, like
/// `lambda_runtime`'s, can be distinguished from this library's handler of SIGTERM.
pub(crate) fn is_hook_installed() -> bool {
    is_handled(SIGINT)
}

/// Returns `true` if the process handles this signal, from the mask of caught ones (proc_pid_status(5)).
fn is_handled(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let digits = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = digits.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_panics_while_it_registers_is_not_started() {
        for events in [Events::Invoke, Events::Nothing] {
            let started = start_thread(|| panic!("a bug"), events, Weak::new());
            let error = started.err().map(|error| Unavailable::NoThread(error).to_string());
            let expected = "cannot start a thread: it panicked while it registered";
            assert_eq!(error.as_deref(), Some(expected));
        }
    }
}
