//! The loop that owns the state: it calls `next` when the state allows it, and takes what the receivers have received.

use super::Fatal;
use crate::clock::unix_millis;
use crate::counts::Counts;
use crate::direct::{Direct, TakenLine};
use crate::event::{Event, LogLine, Told};
use crate::invocations::roots::{Root, roots};
use crate::invocations::state::{Running, State};
use crate::lambda::answers::{Invoke, NextEvent, Shutdown};
use crate::lambda::extensions_api::{ApiError, ExtensionsApi, retrying};
use crate::output::LineOutput;
use crate::output::own_lines::OwnLines;
use platform::ShutdownReason;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use wire::Request;

/// How long a full pipe is waited for before `next` is called.
const PIPE_TIMEOUT: Duration = Duration::from_millis(200);
/// How long outstanding reports are waited for at SHUTDOWN, in all.
const REPORTS_MS: u64 = 300;
/// How much of the time at SHUTDOWN is left unused, since the process must have ended before Lambda kills it.
const RESERVE_MS: u64 = 100;

type Next = Pin<Box<dyn Future<Output = Result<NextEvent, ApiError>> + Send>>;

pub(super) struct EventLoop {
    api: ExtensionsApi,
    events: mpsc::Receiver<Event>,
    counts: Arc<Counts>,
    state: State,
    own_lines: OwnLines,
    /// `None` where everything goes to stdout.
    direct: Option<Direct>,
}

impl EventLoop {
    pub(super) fn new(
        api: ExtensionsApi,
        output: LineOutput,
        events: mpsc::Receiver<Event>,
        state: State,
        direct: Option<Direct>,
        counts: Arc<Counts>,
    ) -> Self {
        let own_lines = OwnLines::new(output, Arc::clone(&counts));
        Self { api, events, counts, state, own_lines, direct }
    }

    /// `is_asking` says that `next` is called already, by the process whose place this one takes.
    pub(super) async fn run(&mut self, is_asking: bool) -> Result<(), Fatal> {
        let mut next = is_asking.then(|| self.next());
        loop {
            self.write_due();
            let is_sent = self.send_due(next.is_some());
            if next.is_none() && self.may_call_next() && is_sent {
                // The environment may freeze as soon as `next` is called.
                self.own_lines.wait_written(PIPE_TIMEOUT).await;
                if let Some(direct) = &mut self.direct {
                    direct.wait_spilled(PIPE_TIMEOUT).await;
                }
                let now_ms = unix_millis();
                self.state.asked(now_ms);
                next = Some(self.next());
            }
            let now_ms = unix_millis();
            let wake = self.wake_at_ms(next.is_some(), now_ms).map(|at| at.saturating_sub(now_ms));
            let is_behind = self.direct.as_ref().is_some_and(Direct::is_behind);
            tokio::select! {
                Some(event) = self.events.recv(), if !is_behind => self.take(event),
                answered = answer(&mut next) => {
                    next = None;
                    match answered? {
                        NextEvent::Invoke(invoke) => self.invoke(&invoke),
                        NextEvent::Shutdown(shutdown) => {
                            self.shutdown(&shutdown).await;
                            return Ok(());
                        }
                        NextEvent::Other => tracing::info!("an event that is not known here"),
                    }
                }
                () = flown(&mut self.direct) => {}
                () = pause(wake) => {}
            }
        }
    }

    fn next(&self) -> Next {
        let api = self.api.clone();
        Box::pin(async move { retrying(|| api.next()).await })
    }

    /// Sends what is due where telemetry is sent; whether `next` may be called.
    fn send_due(&mut self, is_asking: bool) -> bool {
        if self.direct.is_none() {
            return true;
        }
        let running = self.running();
        match &mut self.direct {
            Some(direct) => direct.act(running.as_ref(), is_asking),
            None => true,
        }
    }

    fn running(&mut self) -> Option<Running> {
        let now_ms = unix_millis();
        self.state.running(now_ms)
    }

    fn wake_at_ms(&mut self, is_asking: bool, now_ms: u64) -> Option<u64> {
        let of_state = self.state.wake_at_ms(now_ms);
        if self.direct.is_none() {
            return of_state;
        }
        let running = self.running();
        let direct = self.direct.as_ref();
        let of_direct =
            direct.and_then(|direct| direct.wake_at_ms(running.as_ref(), is_asking, now_ms));
        of_state.into_iter().chain(of_direct).min()
    }

    fn may_call_next(&mut self) -> bool {
        let now_ms = unix_millis();
        self.state.may_call_next(now_ms)
    }

    fn invoke(&mut self, invoke: &Invoke) {
        if let Some(direct) = &mut self.direct {
            direct.invoked();
        }
        let now_ms = unix_millis();
        self.state.invoke(invoke, now_ms);
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Otlp(received) => {
                if let Some(direct) = &mut self.direct {
                    direct.spans_seen(&received.named);
                }
                self.state.otlp(received.roots);
            }
            Event::Telemetry(delivery) => {
                let now_ms = unix_millis();
                for told in delivery.told {
                    match told {
                        Told::Platform { event, text } => {
                            if let Some(direct) = &mut self.direct {
                                direct.platform_event(&event, &text);
                            }
                            self.state.telemetry(*event, now_ms);
                        }
                        Told::Line(line) => self.take_line(&line),
                    }
                }
            }
        }
    }

    /// Takes what the function printed, where that is sent.
    fn take_line(&mut self, line: &LogLine) {
        let Some(direct) = &mut self.direct else { return };
        let TakenLine { requests, partial, out_of_memory } = direct.line(line);
        if let Some((request_id, time)) = out_of_memory {
            self.state.out_of_memory(request_id.as_deref(), time);
        }
        let roots: Vec<Root> = requests.iter().chain(&partial).flat_map(roots).collect();
        if !(requests.is_empty() && partial.is_empty()) {
            self.state.otlp(roots);
        }
        if let Some(direct) = &mut self.direct {
            direct.put(requests);
            direct.put_partial(partial);
        }
    }

    fn write_due(&mut self) {
        let now_ms = unix_millis();
        let due = self.state.due(now_ms);
        self.write_own(due);
    }

    fn write_own(&mut self, requests: Vec<Request>) {
        if let Some(direct) = &mut self.direct {
            if !direct.makes_telemetry() {
                return;
            }
            for request in &requests {
                direct.spans_of(request);
            }
        }
        self.own_lines.write(requests);
    }

    async fn shutdown(&mut self, shutdown: &Shutdown) {
        let begun_ms = unix_millis();
        // An emulator may give no deadline, or one in the past.
        let end_ms = match shutdown.deadline_ms {
            deadline if deadline > begun_ms => deadline - RESERVE_MS.min(deadline - begun_ms),
            _ => begun_ms + REPORTS_MS,
        };
        let reports_end_ms = end_ms.min(begun_ms + REPORTS_MS);
        while self.state.is_waiting_for_reports() {
            let Some(left) = reports_end_ms.checked_sub(unix_millis()).filter(|left| *left > 0)
            else {
                break;
            };
            tokio::select! {
                Some(event) = self.events.recv() => self.take(event),
                () = pause(Some(left)) => {}
            }
        }
        // Events that are in the channel already are taken without waiting.
        while let Ok(event) = self.events.try_recv() {
            self.take(event);
        }
        let now_ms = unix_millis();
        let reason = &shutdown.shutdown_reason;
        let is_cut_off = ShutdownReason::parse(reason) != ShutdownReason::Spindown;
        let left = self.state.close(reason, now_ms);
        self.write_own(left);
        if let Some(direct) = &mut self.direct {
            direct.shut_down(end_ms, is_cut_off).await;
        }
        while self.own_lines.is_worth_waiting_for() {
            let Some(left) = end_ms.checked_sub(unix_millis()).filter(|left| *left > 0) else {
                break;
            };
            self.own_lines.wait_written(Duration::from_millis(left)).await;
            self.own_lines.write(Vec::new());
        }
        self.own_lines.give_up().await;
        if self.counts.lost_anything() {
            tracing::error!(counts = %self.counts, "something was lost in this environment");
        } else {
            tracing::debug!(counts = %self.counts, "the environment ends");
        }
    }
}

async fn answer(next: &mut Option<Next>) -> Result<NextEvent, ApiError> {
    match next {
        Some(next) => next.await,
        None => std::future::pending().await,
    }
}

async fn flown(direct: &mut Option<Direct>) {
    match direct {
        Some(direct) => direct.flown().await,
        None => std::future::pending().await,
    }
}

async fn pause(millis: Option<u64>) {
    match millis {
        Some(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
        None => std::future::pending().await,
    }
}
