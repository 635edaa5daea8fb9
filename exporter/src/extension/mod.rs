//! The code beside the handlers: an internal Lambda extension, which writes telemetry outside of handlers, and the SIGTERM
//! handler.

pub(crate) mod actions;
mod client;
pub(crate) mod invocations;
mod sigterm;
mod thread;

use crate::config::lambda_environment::{InitializationType, LambdaEnvironment};
use crate::config::processor_mode::ProcessorMode;
use crate::output::stderr;
use actions::Actions;
use client::{Client, Events};
use invocations::{Completed, Invocations};
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::Builder;
use thread::{Shared, Thread};
use tokio::runtime::Handle;

/// When the telemetry of an invocation is written.
#[derive(Debug)]
pub(crate) enum Mode {
    Sync,
    Async(InternalExtension),
    Finalize,
}

#[derive(Debug, Clone)]
pub(crate) struct InternalExtension(Arc<Shared>);

impl InternalExtension {
    pub(crate) fn begin(&self, request_id: &str) {
        self.0.invocations().begin(request_id);
    }

    /// Leaves an ended invocation's telemetry to the extension, or hands it back if the caller must write it.
    pub(crate) fn complete(&self, completed: Completed) -> Result<(), Completed> {
        let left = self.0.invocations().complete(completed);
        self.0.wake();
        left
    }

    /// The caller has written the telemetry of an invocation without a wrapped handler.
    pub(crate) fn release(&self) {
        self.0.invocations().release();
        self.0.wake();
    }
}

/// Starts the threads of this mode. An unavailable mode becomes `Sync`, with the reason in one line; it never fails the function.
pub(crate) fn start(
    mode: ProcessorMode,
    lambda: &LambdaEnvironment,
    actions: Actions,
    handles_sigterm: bool,
) -> Mode {
    let Some(api) = lambda.runtime_api.as_deref() else {
        if mode != ProcessorMode::Sync {
            sync_instead(mode, "there is no AWS_LAMBDA_RUNTIME_API");
        }
        return Mode::Sync;
    };
    let is_managed = lambda.initialization_type == InitializationType::ManagedInstances;
    let events = match mode {
        ProcessorMode::Sync => None,
        ProcessorMode::Async if lambda.initialization_type == InitializationType::SnapStart => {
            // The connection for Lambda's events does not survive the snapshot.
            sync_instead(mode, "the function is restored from a snapshot (SnapStart)");
            None
        }
        // Managed instances refuse registration for INVOKE, and are not frozen between invocations.
        ProcessorMode::Async if !is_managed => Some(Events::Invoke),
        ProcessorMode::Async | ProcessorMode::Finalize => Some(Events::Nothing),
    };
    if events.is_none() && !handles_sigterm {
        return Mode::Sync;
    }
    let (extension, registered) = match start_thread(api, events, actions, handles_sigterm) {
        Ok(started) => started,
        Err(error) if mode == ProcessorMode::Sync => {
            stderr::warn(&format!("cannot write telemetry at SIGTERM: {error}"));
            return Mode::Sync;
        }
        Err(error) => {
            sync_instead(mode, &error.to_string());
            return Mode::Sync;
        }
    };
    match (mode, events, registered) {
        (ProcessorMode::Async, Some(_), Ok(())) => Mode::Async(extension),
        (ProcessorMode::Async, Some(Events::Nothing), Err(error)) => {
            stderr::warn(&format!(
                "Lambda sends no SIGTERM, since the Extensions API refused: {error}"
            ));
            Mode::Async(extension)
        }
        (ProcessorMode::Finalize, _, Ok(())) => Mode::Finalize,
        (_, Some(_), Err(error)) => {
            sync_instead(mode, &format!("the Extensions API refused: {error}"));
            Mode::Sync
        }
        _ => Mode::Sync,
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
    actions: Actions,
    handles_sigterm: bool,
) -> io::Result<(InternalExtension, io::Result<()>)> {
    const STACK_BYTES: usize = 512 * 1024;
    let (wake, woken) = UnixStream::pair()?;
    wake.set_nonblocking(true)?;
    woken.set_nonblocking(true)?;
    let is_terminated = Arc::new(AtomicBool::new(false));
    let exits = !(handles_sigterm && sigterm::is_handled());
    if handles_sigterm {
        sigterm::watch(&is_terminated, wake.try_clone()?)?;
    }
    let invocations = Mutex::new(Invocations::new(events == Some(Events::Invoke)));
    let shared = Arc::new(Shared { invocations, wake, is_terminated, actions, exits });
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
    Ok((InternalExtension(shared), registered))
}

fn register(
    api: &str,
    events: Option<Events>,
    told: &SyncSender<io::Result<()>>,
) -> Option<Client> {
    let (client, result) = match Client::register(api, events?) {
        Ok(client) => (Some(client), Ok(())),
        Err(error) => (None, Err(error)),
    };
    if client.is_some() && events == Some(Events::Invoke) {
        let_the_response_go_first();
    }
    told.send(result).ok();
    client
}

/// Lowers this thread's priority, because it writes while the runtime sends the response.
fn let_the_response_go_first() {
    #[cfg(target_os = "linux")]
    rustix::process::setpriority_process(None, 19).ok();
}
