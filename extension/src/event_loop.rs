//! The loop that owns the state: it calls `next` when the state and the sink allow it, and takes the receivers' events.
//!
//! Each step is guarded: a panic ends that step and not the loop. The outstanding call of `next` survives it.

use crate::clock::{unix_millis, unix_nanos};
use crate::counts::Counts;
use crate::event::{Event, LogLine, TelemetryItem};
use crate::invocations::roots::invocation_spans;
use crate::invocations::state::InvocationState;
use crate::policy::RunningInvocation;
use crate::receiver::xray::XRayDaemon;
use crate::runtime::{ApiError, ExtensionsApi, Fatal, retrying};
use crate::sink::{Backend, Sink};
use crate::tasks;
use crate::termination::Termination;
use extensions_api::{Invoke, NextEvent, Shutdown};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Time limit for a full pipe before `next` is called.
const PIPE_TIMEOUT: Duration = Duration::from_millis(200);
/// Time for SHUTDOWN if Lambda gives no deadline.
const WITHOUT_DEADLINE_MS: u64 = 600;
/// Time left unused at SHUTDOWN, because Lambda kills the process at the deadline.
const RESERVE_MS: u64 = 100;
/// Pause of the timer after a panic, so that a step that always panics does not take the function's CPU.
const AFTER_PANIC: Duration = Duration::from_millis(100);

/// Time between checks of the lines that wait for stdout.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How often datagrams are taken at SHUTDOWN: twice as many bytes as their socket's buffer may have.
const MOST_XRAY_TAKES: usize = 8;

/// A call of `next`; `None` if it panicked.
type NextCall = Pin<Box<dyn Future<Output = Option<Result<NextEvent, ApiError>>> + Send>>;

pub(crate) struct EventLoop<'s> {
    pub(crate) api: ExtensionsApi,
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) xray: XRayDaemon,
    pub(crate) termination: &'s mut Termination,
    pub(crate) counts: Arc<Counts>,
    pub(crate) state: InvocationState,
    pub(crate) sink: &'s mut Sink,
    /// A step panicked since the last pause.
    pub(crate) has_panicked: bool,
}

impl EventLoop<'_> {
    pub(crate) async fn run(&mut self) -> Result<(), Fatal> {
        let mut next = None;
        loop {
            self.step(Self::write_due);
            let is_asking = next.is_some();
            let is_sent = self.step(|this| this.sink_due(is_asking)).unwrap_or(true);
            if !is_asking && is_sent && self.step(|this| this.may_call_next()).unwrap_or(true) {
                // The environment may freeze as soon as `next` is called.
                tasks::caught(self.sink.wait_written(PIPE_TIMEOUT)).await;
                self.step(|this| this.state.note_next_call(unix_millis()));
                next = Some(self.next());
            }
            let is_asking = next.is_some();
            let mut wake = self.step(|this| this.wake(is_asking)).flatten();
            if std::mem::take(&mut self.has_panicked) {
                wake = Some(wake.unwrap_or_default().max(AFTER_PANIC));
            }
            let is_behind = self.sink.is_behind();
            let leaves_xray = self.sink.leaves_xray();
            if leaves_xray {
                wake = Some(wake.unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN));
            }
            let flush_ended = self.sink.backend.as_mut().map(Backend::flush_ended);
            tokio::select! {
                Some(event) = self.events.recv(), if !is_behind => self.take(event),
                () = self.xray.readable(), if !leaves_xray => {
                    self.step(Self::take_xray);
                }
                answered = or_never(next.as_mut()) => {
                    next = None;
                    match answered {
                        Some(Ok(NextEvent::Invoke(invoke))) => {
                            self.step(|this| this.invoke(&invoke));
                        }
                        Some(Ok(NextEvent::Shutdown(shutdown))) => {
                            self.shut_down(&shutdown).await;
                            return Ok(());
                        }
                        Some(Ok(NextEvent::Other)) => tracing::info!("unknown event, ignored"),
                        Some(Err(error)) => return Err(error.into()),
                        None => tokio::time::sleep(AFTER_PANIC).await,
                    }
                }
                () = self.termination.requested() => {
                    self.shut_down(&Shutdown::default()).await;
                    return Ok(());
                }
                _ = tasks::caught(or_never(flush_ended)) => {}
                () = or_never(wake.map(tokio::time::sleep)) => {}
            }
        }
    }

    /// Runs one step. Returns `None` if it panicked.
    fn step<T>(&mut self, step: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let done = tasks::catch(|| step(&mut *self));
        if done.is_none() {
            self.has_panicked = true;
            if let Some(backend) = &mut self.sink.backend {
                // Later lines find a new converter.
                tasks::catch(|| backend.finish_lines());
            }
        }
        done
    }

    fn next(&self) -> NextCall {
        let api = self.api.clone();
        Box::pin(tasks::caught(async move { retrying(|| api.next()).await }))
    }

    fn write_due(&mut self) {
        let due = self.state.take_due(unix_millis());
        self.sink.write(due);
    }

    fn sink_due(&mut self, is_asking: bool) -> bool {
        let running = self.running();
        let backend = self.sink.backend.as_mut();
        backend.is_none_or(|backend| backend.due(running.as_ref(), is_asking))
    }

    fn running(&self) -> Option<RunningInvocation> {
        self.state.running(unix_millis())
    }

    fn may_call_next(&self) -> bool {
        // While stdout is blocked, the loop takes no events and would miss the handler's end.
        !self.state.is_held(unix_millis()) || self.sink.is_behind()
    }

    fn wake(&self, is_asking: bool) -> Option<Duration> {
        let now_ms = unix_millis();
        let state = self.state.wake_at_ms(now_ms);
        let running = self.running();
        let backend = self.sink.backend.as_ref();
        let flush = backend.and_then(|of| of.wake_at_ms(running.as_ref(), is_asking, now_ms));
        let at_ms = state.into_iter().chain(flush).min()?;
        Some(Duration::from_millis(at_ms.saturating_sub(now_ms)))
    }

    fn invoke(&mut self, invoke: &Invoke) {
        tracing::debug!(request_id = invoke.request_id, "invocation begins");
        if let Some(backend) = &mut self.sink.backend {
            backend.invoked();
        }
        self.state.begin_invocation(invoke, unix_millis());
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Otlp(spans) => {
                self.step(|this| {
                    if let Some(backend) = &mut this.sink.backend {
                        backend.lines.note_spans(&spans);
                    }
                    this.state.note_otlp(spans);
                });
            }
            Event::Telemetry { items, _room } => {
                // The end of an invocation may be among them, and its spans came before.
                if !self.sink.leaves_xray() {
                    self.step(Self::take_xray);
                }
                let now_ms = unix_millis();
                self.state.table.begin_delivery();
                for item in items {
                    self.step(|this| this.take_item(item, now_ms));
                }
            }
        }
    }

    /// Takes the waiting events. Returns `true` if there were any.
    fn take_waiting(&mut self) -> bool {
        let mut has_any = false;
        while let Ok(event) = self.events.try_recv() {
            self.take(event);
            has_any = true;
        }
        has_any
    }

    /// Takes waiting datagrams. Returns `true` if there were any.
    fn take_xray(&mut self) -> bool {
        let received = self.xray.take(unix_nanos());
        if received.bytes == 0 {
            return false;
        }
        let roots_in = |request| invocation_spans(request, false);
        let roots = received.requests.iter().flat_map(roots_in).collect();
        self.state.note_xray(roots, received.segments);
        self.sink.xray(received.requests);
        true
    }

    fn take_item(&mut self, item: TelemetryItem, now_ms: u64) {
        match item {
            TelemetryItem::Platform { event, text } => {
                tracing::debug!(kind = event.kind.as_str(), "platform event");
                if let Some(backend) = &mut self.sink.backend {
                    backend.lines.platform_event(&event, &text, now_ms);
                }
                self.state.note_event(*event, now_ms);
            }
            TelemetryItem::Line(line) => self.take_line(&line),
        }
        if let Some(backend) = &mut self.sink.backend
            && backend.lines.is_full()
        {
            backend.finish_lines();
        }
    }

    fn take_line(&mut self, line: &LogLine) {
        let Some(backend) = &mut self.sink.backend else { return };
        let content = backend.take_line(line);
        if let Some(report) = content.runtime_report {
            self.state.table.add_runtime_report(report);
        }
        if let Some(spans) = content.invocation_spans {
            self.state.note_otlp(spans);
        }
    }

    async fn shut_down(&mut self, shutdown: &Shutdown) {
        let begun_ms = unix_millis();
        // An emulator may give no deadline, or one in the past.
        let end_ms = match shutdown.deadline_ms {
            deadline if deadline > begun_ms => deadline - RESERVE_MS.min(deadline - begun_ms),
            _ => begun_ms + WITHOUT_DEADLINE_MS,
        };
        let left = Duration::from_millis(end_ms - begun_ms);
        let end = Instant::now() + left;
        // At least half of the time remains for sending and writing.
        let reports_end = Instant::now() + (left / 2).min(self.state.reports_within());
        while self.state.is_waiting_for_reports() {
            tokio::select! {
                Some(event) = self.events.recv() => self.take(event),
                () = tokio::time::sleep_until(reports_end) => break,
            }
        }
        self.take_waiting();
        // The datagrams that came before a freeze.
        tokio::task::yield_now().await;
        let mut takes = 0;
        while takes < MOST_XRAY_TAKES && self.step(Self::take_xray).unwrap_or_default() {
            takes += 1;
        }
        self.step(|this| this.xray.count_overflow());
        let reason = &shutdown.shutdown_reason;
        self.step(|this| {
            let left = this.state.table.close(reason, unix_millis());
            this.sink.write(left);
        });
        tasks::caught(self.sink.shut_down(end)).await;
        // A handler of SIGTERM may have printed lines during the last flush. Later ones are refused.
        self.events.close();
        if self.take_waiting() {
            tasks::caught(self.sink.shut_down(end)).await;
        }
        if self.counts.lost_anything() {
            tracing::error!(counts = %self.counts, "telemetry was lost in this environment");
        } else {
            tracing::debug!(counts = %self.counts, "the environment ends");
        }
    }
}

/// Waits for the future; forever without one.
async fn or_never<T>(future: Option<impl Future<Output = T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
