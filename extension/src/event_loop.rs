//! The loop that owns the state: it calls `next` when the state and the sink allow it, and takes the receivers' events.
//!
//! Each step is guarded: a panic ends that step and not the loop. The outstanding call of `next` survives it.

use crate::api::{ApiError, ExtensionsApi, retrying};
use crate::clock::{unix_millis, unix_nanos};
use crate::counts::Counts;
use crate::event::{Event, LogLine, TelemetryItem};
use crate::invocations::roots::invocation_spans;
use crate::invocations::state::InvocationState;
use crate::policy::NewestInvocation;
use crate::receiver::xray::XRayDaemon;
use crate::runtime::Fatal;
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
/// How often datagrams are read at SHUTDOWN: twice as many bytes as their socket's buffer may have.
const MAX_XRAY_READS: usize = 8;

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
            let decided_ms = unix_millis();
            self.step(|this| this.write_due(decided_ms));
            let is_called = next.is_some();
            let sink_allows_next = self.step(|this| this.run_sink_tasks(is_called)).unwrap_or(true);
            if !is_called
                && sink_allows_next
                && self.step(|this| this.state_allows_next(decided_ms)).unwrap_or(true)
            {
                // The environment may freeze as soon as `next` is called.
                tasks::catch_future(self.sink.wait_written(PIPE_TIMEOUT)).await;
                self.step(|this| this.state.note_next_call(unix_millis()));
                next = Some(self.call_next());
            }
            let is_called = next.is_some();
            let mut wake = self.step(|this| this.time_to_wake(is_called, decided_ms)).flatten();
            if std::mem::take(&mut self.has_panicked) {
                wake = Some(wake.unwrap_or_default().max(AFTER_PANIC));
            }
            self.sink.fill_queue();
            let takes_events = !self.sink.refuses_events();
            let takes_xray = !self.sink.refuses_xray();
            if !takes_xray {
                wake = Some(wake.unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN));
            }
            let flush_ended = self.sink.backend.as_mut().map(Backend::flush_ended);
            tokio::select! {
                Some(event) = self.events.recv(), if takes_events => self.take(event),
                () = self.xray.readable(), if takes_xray => {
                    self.step(Self::take_xray);
                }
                answered = or_never(next.as_mut()) => {
                    next = None;
                    match answered {
                        Some(Ok(NextEvent::Invoke(invoke))) => {
                            self.step(|this| this.begin_invocation(&invoke));
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
                _ = tasks::catch_future(or_never(flush_ended)) => {}
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
                tasks::catch(|| backend.move_lines_to_buffer());
            }
        }
        done
    }

    fn call_next(&self) -> NextCall {
        let api = self.api.clone();
        Box::pin(tasks::catch_future(async move { retrying(|| api.next()).await }))
    }

    fn write_due(&mut self, now_ms: u64) {
        let due = self.state.take_due(now_ms);
        self.sink.write_own(due);
    }

    /// Runs the sink's due tasks. Returns `true` if `next` may be called as far as the sink is concerned.
    fn run_sink_tasks(&mut self, next_is_called: bool) -> bool {
        let newest = self.newest_invocation();
        let backend = self.sink.backend.as_mut();
        backend.is_none_or(|backend| backend.run_due_tasks(newest.as_ref(), next_is_called))
    }

    fn newest_invocation(&self) -> Option<NewestInvocation> {
        self.state.newest(unix_millis())
    }

    fn state_allows_next(&self, now_ms: u64) -> bool {
        // While stdout is blocked, the loop takes no events and would miss the handler's end.
        !self.state.is_held(now_ms) || self.sink.refuses_events()
    }

    /// Returns the time until a decision may change although no event comes. `decided_ms` is the time of the state's decisions.
    fn time_to_wake(&self, next_is_called: bool, decided_ms: u64) -> Option<Duration> {
        let now_ms = unix_millis();
        let state = self.state.wake_at_ms(decided_ms);
        let newest = self.newest_invocation();
        let backend = self.sink.backend.as_ref();
        let flush =
            backend.and_then(|backend| backend.wake_at_ms(newest.as_ref(), next_is_called, now_ms));
        let at_ms = state.into_iter().chain(flush).min()?;
        Some(Duration::from_millis(at_ms.saturating_sub(now_ms)))
    }

    fn begin_invocation(&mut self, invoke: &Invoke) {
        tracing::debug!(request_id = invoke.request_id, "invocation begins");
        if let Some(backend) = &mut self.sink.backend {
            backend.note_invocation();
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
                self.sink.fill_queue();
                if !self.sink.refuses_xray() {
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
        let roots_of = |request| invocation_spans(request, false);
        let roots = received.requests.iter().flat_map(roots_of).collect();
        self.state.note_xray(roots, received.segments);
        self.sink.write_xray(received.requests);
        true
    }

    fn take_item(&mut self, item: TelemetryItem, now_ms: u64) {
        match item {
            TelemetryItem::Platform { event, text } => {
                tracing::debug!(kind = event.kind.as_str(), "platform event");
                if let Some(backend) = &mut self.sink.backend {
                    backend.lines.add_platform_event(&event, &text, now_ms);
                    self.state.table.add_statements(backend.lines.take_statements());
                }
                self.state.note_event(*event, now_ms);
            }
            TelemetryItem::Line(line) => self.take_line(&line),
        }
        if let Some(backend) = &mut self.sink.backend
            && backend.lines.is_full()
        {
            backend.move_lines_to_buffer();
        }
    }

    fn take_line(&mut self, line: &LogLine) {
        let Some(backend) = &mut self.sink.backend else { return };
        let content = backend.take_line(line);
        self.state.table.add_statements(backend.lines.take_statements());
        if let Some(out_of_memory) = content.out_of_memory {
            self.state.table.add_out_of_memory(&out_of_memory);
        }
        if let Some(spans) = content.invocation_spans {
            self.state.note_otlp(spans);
        }
    }

    async fn shut_down(&mut self, shutdown: &Shutdown) {
        let time_left = shutdown_time(shutdown, unix_millis());
        let end = Instant::now() + time_left;
        // At least half of the time remains for sending and writing.
        let reports_end = Instant::now() + (time_left / 2).min(self.state.reports_timeout());
        while self.state.is_waiting_for_reports() {
            tokio::select! {
                Some(event) = self.events.recv() => self.take(event),
                () = tokio::time::sleep_until(reports_end) => break,
            }
        }
        self.take_waiting();
        // The datagrams that came before a freeze.
        tokio::task::yield_now().await;
        let mut reads = 0;
        while reads < MAX_XRAY_READS && self.step(Self::take_xray).unwrap_or_default() {
            reads += 1;
        }
        self.step(|this| this.xray.count_overflow());
        let reason = &shutdown.shutdown_reason;
        self.step(|this| {
            let left = this.state.table.close(reason, unix_millis());
            this.sink.write_own(left);
        });
        tasks::catch_future(self.sink.shut_down(end)).await;
        // A handler of SIGTERM may have printed lines during the last flush. Later ones are refused.
        self.events.close();
        if self.take_waiting() {
            tasks::catch_future(self.sink.shut_down(end)).await;
        }
        if self.counts.lost_anything() {
            tracing::error!(counts = %self.counts, "telemetry was lost in this environment");
        } else {
            tracing::debug!(counts = %self.counts, "the environment ends");
        }
    }
}

/// Returns the time that the extension may use at SHUTDOWN.
fn shutdown_time(shutdown: &Shutdown, now_ms: u64) -> Duration {
    Duration::from_millis(match shutdown.deadline_ms.checked_sub(now_ms) {
        Some(left_ms) if left_ms > 0 => left_ms.saturating_sub(RESERVE_MS),
        // An emulator may give no deadline, or one in the past.
        _ => WITHOUT_DEADLINE_MS,
    })
}

/// Waits for the future; forever without one.
async fn or_never<T>(future: Option<impl Future<Output = T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
