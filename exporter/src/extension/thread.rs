//! The extension's thread, which waits for Lambda's events, ended handlers, and SIGTERM.

use super::actions::Actions;
use super::client::Client;
use super::invocations::{Invocations, Step};
use crate::output::stderr;
use extensions_api::NextEvent;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use settings::Backoff;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// Retry schedule for an unresponsive API.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(1));

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) invocations: Mutex<Invocations>,
    /// A byte here wakes the thread.
    pub(super) wake: UnixStream,
    /// `true` after SIGTERM.
    pub(super) is_terminated: Arc<AtomicBool>,
    pub(super) actions: Actions,
    /// `true` if the process ends after the last write; otherwise another handler of SIGTERM decides.
    pub(super) exits: bool,
}

impl Shared {
    pub(super) fn invocations(&self) -> MutexGuard<'_, Invocations> {
        self.invocations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wake(&self) {
        // If the buffer is full, the thread is waking already.
        (&self.wake).write_all(&[0]).ok();
    }
}

pub(super) struct Thread {
    pub(super) shared: Arc<Shared>,
    pub(super) woken: UnixStream,
    /// `None` without a registration.
    pub(super) client: Option<Client>,
    /// The runtime for the application's exporters.
    pub(super) runtime: Option<Handle>,
    /// The time of the next attempt after the API did not answer.
    pub(super) again_at: Option<Instant>,
    /// Number of failures since the last event.
    pub(super) failures: u32,
}

impl Thread {
    /// Runs until the process ends.
    pub(super) fn run(mut self) {
        let runtime = self.runtime.take();
        let _entered = runtime.as_ref().map(Handle::enter);
        self.ask();
        loop {
            let wait = self.work();
            let event = self.wait(wait);
            if self.shared.is_terminated.swap(false, Ordering::Relaxed) {
                (self.shared.actions.end)();
                if self.shared.exits {
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
                Step::Write(completed) => (self.shared.actions.write)(&completed),
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
