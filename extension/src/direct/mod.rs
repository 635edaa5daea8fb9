//! The direct output: what is received waits in a buffer, and is sent to a backend when that costs the function least.
//!
//! A request is acknowledged when it is in the buffer. What no backend takes is spilled: written to stdout as lines that say so.
//! So every item that was acknowledged is delivered, spilled, or rejected by the backend, as long as this process can write.

mod awake;
mod clients;
mod events;
mod flush;
mod function_lines;
mod health;
mod health_check;
#[cfg(feature = "secrets")]
mod secret;
mod sender;
#[cfg(not(feature = "secrets"))]
mod without_secret;

use crate::buffer::{Buffer, SharedBuffer, Unbuffered};
use crate::clock::unix_millis;
use crate::config::{Config, Flush, HoldMode, Output};
use crate::counts::{Count, Counts};
use crate::event::LogLine;
use crate::invocations::roots::NamedSpan;
use crate::invocations::state::Running;
use crate::output::own_lines::OwnLines;
use crate::output::{LineOutput, QUEUE};
use crate::takeover;
use crate::tasks;
use awake::Awake;
use clients::Clients;
use flush::{
    BEFORE_DEADLINE, Decision, Facts, Health, LAST_CHANCE, PROBE, Phase, Waiting, decide,
    is_near_deadline,
};
use function_lines::FunctionLines;
pub(crate) use function_lines::TakenLine;
use health::Record;
pub(crate) use health_check::health_check;
use platform::{EventKind, PlatformEvent};
use sender::{Flown, LAST_BYTES, Sender};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use wire::{Request, SignalKind};
#[cfg(not(feature = "secrets"))]
use without_secret as secret;

/// Lines have at most so many bytes before they are compressed: what is spilled is cut into pieces of this size.
const SPILLED_BYTES: usize = 256 * 1024;
/// At SHUTDOWN so much of the time is left for spilling, and so much more for each MiB that waits: compressing one takes 50 to 120 ms
/// of a whole CPU, of which a small function has a part.
const SPILL_TIME: Duration = Duration::from_millis(300);
const SPILL_TIME_OF_MIB: Duration = Duration::from_millis(600);
/// A flush at SHUTDOWN ends by itself so long before it would be cut off, which drops what its last request was told.
const CUT_OFF: Duration = Duration::from_millis(50);
/// While so many bytes that were spilled are not written, no further lines are taken: Lambda keeps them.
const MOST_UNWRITTEN: usize = 1 << 20;
/// The loop looks so often whether they are.
const LOOK_AGAIN_MS: u64 = 10;
/// So long is waited for what is left when the loop has ended.
const LEFT_TIME: Duration = Duration::from_secs(1);

/// Where requests go that are to be sent; `None` where nothing is.
pub(crate) fn buffer(config: &Config) -> Option<SharedBuffer> {
    match &config.choice.output {
        Output::Stdout => None,
        Output::Otlp(direct) | Output::Json(direct) => {
            let buffer = Buffer::new(direct.flush.buffer_bytes);
            let is_managed = config.function.is_managed_instance;
            Some(Arc::new(if is_managed { buffer.sending_partial() } else { buffer }))
        }
    }
}

/// What is left in the buffer: when the loop has ended by an error of Lambda's, or by the panic of the process whose place this one
/// takes.
pub(crate) struct Left {
    buffer: Option<SharedBuffer>,
    lines: OwnLines,
}

impl Left {
    pub(crate) fn new(
        buffer: Option<SharedBuffer>,
        output: &LineOutput,
        counts: &Arc<Counts>,
    ) -> Self {
        Self { buffer, lines: OwnLines::spilled(output.clone(), Arc::clone(counts)) }
    }

    /// Writes the telemetry in this file as lines. The process before the panic left it there, perhaps while sending it.
    pub(crate) async fn take_over(&mut self, number: RawFd) {
        let (requests, unread) = match takeover::read(number) {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(%error, "what waited to be sent cannot be read, it is lost");
                return;
            }
        };
        if unread > 0 {
            tracing::error!(bytes = unread, "what waited to be sent cannot be read, it is lost");
        }
        let items: usize = requests.iter().map(Request::items).sum();
        tracing::info!(items, "what waited to be sent is written to the log");
        self.lines.write(merge_for_queue(requests));
        wait_written(&mut self.lines, Instant::now() + LEFT_TIME).await;
    }

    /// Writes it as lines, and lets nothing into the buffer any more.
    pub(crate) async fn spill(&mut self) {
        let Some(buffer) = &self.buffer else { return };
        buffer.spill_from_now_on();
        buffer.add_partial();
        // A flush that was cut off gives back what it had when the runtime comes to drop it.
        let end = Instant::now() + LEFT_TIME;
        while buffer.bytes() > 0 && Instant::now() < end {
            tokio::task::yield_now().await;
            self.lines.write(wire::merge(buffer.take_all(), SPILLED_BYTES));
        }
        wait_written(&mut self.lines, end).await;
    }
}

/// Few enough that all have room in the output's queue: what has none waits until the environment ends.
fn merge_for_queue(requests: Vec<Request>) -> Vec<Request> {
    let bytes: usize = requests.iter().map(|request| request.bytes().len()).sum();
    // Any two that could be one have more bytes than that, so there are half as many as have room, and one of each signal.
    wire::merge(requests, SPILLED_BYTES.max(bytes / QUEUE * 4))
}

async fn wait_written(lines: &mut OwnLines, end: Instant) {
    while lines.is_worth_waiting_for() && Instant::now() < end {
        lines.wait_written(end - Instant::now()).await;
        lines.write(Vec::new());
    }
}

/// What the loop holds of the direct output.
pub(crate) struct Direct {
    buffer: SharedBuffer,
    sender: Arc<Sender>,
    spilled: OwnLines,
    lines: FunctionLines,
    /// Events go as they came, beside the OTLP that was received.
    is_json: bool,
    counts: Arc<Counts>,
    flush: Flush,
    hold: HoldMode,
    is_managed: bool,
    record: Record,
    flight: Option<Flight>,
    invocations: u64,
    /// When the end of this invocation's handler was first seen.
    done: Option<Instant>,
    awake: Awake,
    /// When it was last decided what to do.
    acted_ms: u64,
}

/// A flush under way.
struct Flight {
    task: JoinHandle<()>,
    ended: oneshot::Receiver<Flown>,
    begun: Instant,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Direct {
    /// Prepares the sender, which needs no network; `None` where nothing is to be sent, or nothing can be.
    pub(crate) fn start(
        config: &Config,
        function: platform::Identity,
        buffer: Option<&SharedBuffer>,
        output: &LineOutput,
        counts: &Arc<Counts>,
    ) -> Option<Self> {
        config.choice.say();
        let (direct, is_json) = match &config.choice.output {
            Output::Stdout => return None,
            Output::Otlp(direct) => (direct, false),
            Output::Json(direct) => (direct, true),
        };
        let buffer = buffer?;
        let Clients { otlp, events, secret } = match Clients::new(direct, is_json) {
            Ok(clients) => clients,
            Err(error) => {
                tracing::warn!(%error, "cannot send, telemetry goes to stdout instead");
                buffer.close();
                let mut lines = OwnLines::new(output.clone(), Arc::clone(counts));
                lines.write(buffer.take_all());
                return None;
            }
        };
        if let Some(secret) = secret {
            secret.read_ahead();
        }
        let sender = Sender {
            client: otlp,
            events,
            max_request_bytes: direct.destination.max_request_bytes,
            counts: Arc::clone(counts),
            has_told: AtomicBool::new(false),
            has_told_of_refusal: AtomicBool::new(false),
        };
        Some(Self {
            buffer: Arc::clone(buffer),
            sender: Arc::new(sender),
            spilled: OwnLines::spilled(output.clone(), Arc::clone(counts)),
            lines: FunctionLines::new(config, function, is_json, counts),
            is_json,
            counts: Arc::clone(counts),
            flush: direct.flush.clone(),
            hold: config.hold,
            is_managed: config.function.is_managed_instance,
            record: Record::default(),
            flight: None,
            invocations: 0,
            done: None,
            awake: Awake::new(unix_millis(), Instant::now()),
            acted_ms: 0,
        })
    }

    /// An invocation begins, maybe after a freeze.
    pub(crate) fn invoked(&mut self) {
        // Whoever is invoked again was not cut off.
        self.forget_partial();
        self.invocations += 1;
        self.record.invoked();
        self.done = None;
        self.woke(unix_millis(), true);
    }

    /// Takes an event of Lambda's own, of which the log records of lines are told.
    pub(crate) fn platform_event(&mut self, event: &PlatformEvent, text: &str) {
        if event.kind == EventKind::RuntimeDone && !event.is_cut_off() {
            self.forget_partial();
        }
        self.lines.platform_event(event, text, unix_millis());
    }

    /// Takes a line of the function, or of another extension.
    pub(crate) fn line(&mut self, line: &LogLine) -> TakenLine {
        self.lines.take(line, unix_millis())
    }

    /// An invocation has ended by itself: its spans have come as they ended, and those that were exported before are not sent.
    fn forget_partial(&self) {
        self.counts.add(Count::Superseded, self.buffer.forget_partial());
    }

    /// Puts what the function printed as OTLP where all OTLP waits.
    pub(crate) fn put(&mut self, requests: Vec<Request>) {
        self.put_by(Buffer::put, requests);
    }

    /// The same of spans that had not ended.
    pub(crate) fn put_partial(&mut self, requests: Vec<Request>) {
        self.put_by(Buffer::put_partial, requests);
    }

    fn put_by(
        &mut self,
        put: fn(&Buffer, Request) -> Result<usize, Unbuffered>,
        requests: Vec<Request>,
    ) {
        for request in requests {
            self.counts.add(Count::Items, request.items());
            let put = put(&self.buffer, request);
            self.spill_unbuffered(put);
        }
    }

    /// Spans that were received, whose invocations' log records get their ids.
    pub(crate) fn spans_seen(&mut self, spans: &[NamedSpan]) {
        self.lines.spans_seen(spans);
    }

    /// The same of the extension's own spans.
    pub(crate) fn spans_of(&mut self, request: &Request) {
        self.lines.spans_of(request);
    }

    /// Whether spans and metrics are made of Lambda's events; else the events go as they came.
    pub(crate) fn makes_telemetry(&self) -> bool {
        !self.is_json
    }

    /// Whether so much waits to be written that nothing may be added.
    pub(crate) fn is_behind(&self) -> bool {
        self.spilled.bytes() > MOST_UNWRITTEN
    }

    /// Puts what became of lines into the buffer: less of it than of what is sent as OTLP, since that is nowhere else.
    fn put_lines(&mut self) {
        for request in self.lines.finish() {
            let put = if self.is_json && request.kind() == SignalKind::Logs {
                self.buffer.put_events(request)
            } else {
                self.buffer.put_lines(request)
            };
            self.spill_unbuffered(put);
        }
    }

    fn spill_unbuffered(&mut self, put: Result<usize, Unbuffered>) {
        if let Err(Unbuffered::Full(request) | Unbuffered::Closed(request)) = put {
            self.spilled.write(request.split_by_size(SPILLED_BYTES));
        }
    }

    fn woke(&mut self, now_ms: u64, may_freeze: bool) {
        if self.awake.woke(now_ms, Instant::now(), may_freeze && !self.is_managed) {
            self.sender.drop_connections();
        }
    }

    /// Does what is to be done now; whether `next` may be called. `is_asking` says that it is called already.
    pub(crate) fn act(&mut self, running: Option<&Running>, is_asking: bool) -> bool {
        let now_ms = unix_millis();
        self.woke(now_ms, is_asking);
        self.acted_ms = now_ms;
        if running.is_some_and(|running| running.is_done) {
            self.done.get_or_insert_with(Instant::now);
        }
        self.write_spilled();
        let before_deadline_ms = in_ms(BEFORE_DEADLINE);
        if self.lines.is_due(running, self.flush.interval, before_deadline_ms, now_ms) {
            self.put_lines();
        }
        let Some(facts) = self.facts(running, is_asking, now_ms) else {
            return self.flight.is_none();
        };
        if self.flight.is_some() {
            // What is in flight ends with its own time; the rest would come too late.
            if is_near_deadline(&facts) && facts.waiting.is_some() {
                self.spill();
            }
            return false;
        }
        match decide(&facts) {
            Decision::Pass => true,
            Decision::Hold => false,
            Decision::Spill => {
                self.spill();
                true
            }
            Decision::Flush { at_most } => {
                self.begin(at_most, false);
                false
            }
        }
    }

    /// When the loop has to look again if nothing happens.
    pub(crate) fn wake_at_ms(
        &self,
        running: Option<&Running>,
        is_asking: bool,
        now_ms: u64,
    ) -> Option<u64> {
        if self.is_behind() {
            return Some(now_ms + LOOK_AGAIN_MS);
        }
        let buffered = self.buffer.oldest().map(|(since_ms, _)| since_ms);
        let lines = self.lines.since_ms();
        if buffered.is_none() && lines.is_none() {
            return None;
        }
        let running = running.filter(|running| !running.is_done);
        let before = |duration| Some(running?.deadline_ms.saturating_sub(in_ms(duration)));
        let last_chance = before(LAST_CHANCE).filter(|_| !is_asking);
        let interval_ms = in_ms(self.flush.interval);
        let due = buffered.filter(|_| !is_asking || self.is_managed);
        let due = due.map(|since_ms| since_ms.saturating_add(interval_ms));
        // What became due since it was last decided is due now, and would be missed if it was compared with this moment.
        let acted_ms = self.acted_ms;
        let due = due.map(|due| due.max(self.record.again_at_ms(acted_ms).unwrap_or_default()));
        let lines_due = lines.map(|since_ms| since_ms.saturating_add(interval_ms));
        let due = due.filter(|_| self.flight.is_none());
        let times = [last_chance, before(BEFORE_DEADLINE), lines_due, due];
        times.into_iter().flatten().filter(|at| *at > acted_ms).min().map(|at| at.max(now_ms))
    }

    /// Waits for the end of the flush that is under way; for ever where there is none.
    pub(crate) async fn flown(&mut self) {
        let Some(flight) = &mut self.flight else { return std::future::pending().await };
        let flown = (&mut flight.ended).await;
        let took = flight.begun.elapsed();
        self.flight = None;
        // A flush that ends without a word has given back what it had.
        self.note(&flown.unwrap_or(Flown::FAILED), took);
    }

    /// Sends what there is until this time, less what spilling the rest takes; then spills it. `is_cut_off` says that the environment
    /// ends with an invocation that did not end by itself.
    pub(crate) async fn shut_down(&mut self, end_ms: u64, is_cut_off: bool) {
        if is_cut_off {
            self.buffer.add_partial();
        } else {
            self.forget_partial();
        }
        self.put_lines();
        let left = Duration::from_millis(end_ms.saturating_sub(unix_millis()));
        let end = Instant::now() + left;
        let kibibytes = u32::try_from(self.buffer.bytes() >> 10).unwrap_or(u32::MAX);
        let reserve = SPILL_TIME + SPILL_TIME_OF_MIB.saturating_mul(kibibytes) / 1024;
        // A backend that took nothing for some time is asked once more, but not waited for.
        let is_open = matches!(self.record.at(unix_millis()), Health::Open | Health::OpenAndPaused);
        let most = if is_open { PROBE } else { left };
        let send_time = left.saturating_sub(reserve).max(left / 4).min(most);
        let send_end = Instant::now() + send_time;
        loop {
            // What is refused is not sent again.
            self.write_spilled();
            if self.flight.is_none() {
                let left = send_end.saturating_duration_since(Instant::now() + CUT_OFF);
                if self.buffer.oldest().is_none() || left.is_zero() {
                    break;
                }
                self.begin(left, self.buffer.bytes() > LAST_BYTES);
            }
            let failures = self.counts.get(Count::FailedFlushes);
            let is_late = timeout_at(send_end, self.flown()).await.is_err();
            if is_late || self.counts.get(Count::FailedFlushes) > failures {
                break;
            }
        }
        self.cut_off().await;
        self.buffer.spill_from_now_on();
        self.spill();
        wait_written(&mut self.spilled, end).await;
        self.spilled.give_up().await;
    }

    /// Waits until what was spilled is written, since the environment may freeze.
    pub(crate) async fn wait_spilled(&mut self, limit: Duration) {
        self.spilled.wait_written(limit).await;
    }

    fn facts(&self, running: Option<&Running>, is_asking: bool, now_ms: u64) -> Option<Facts> {
        let waiting = self.buffer.oldest();
        let phase = match running {
            _ if self.is_managed => Phase::Unbounded,
            // Before the first invocation nothing is known, and the environment may be frozen.
            None => return None,
            Some(_) if is_asking => Phase::Asking,
            Some(running) if running.is_done => Phase::Done,
            Some(_) => Phase::Running,
        };
        let waiting = waiting.map(|(since_ms, is_much)| Waiting {
            oldest: Duration::from_millis(now_ms.saturating_sub(since_ms)),
            is_left_over: running.is_some_and(|running| since_ms < running.invoked_ms),
            is_much,
        });
        let left = running.map_or(u64::MAX, |running| running.deadline_ms.saturating_sub(now_ms));
        let flush_timeout = match (phase, self.done) {
            (Phase::Done, Some(done)) => self.left_after_handler(done),
            _ => self.flush.timeout,
        };
        Some(Facts {
            phase,
            is_done: running.is_some_and(|running| running.is_done),
            waiting,
            health: self.record.at(now_ms),
            left: Duration::from_millis(left),
            invocations: self.invocations,
            hold: self.hold,
            is_told_of_end: running.is_some_and(|running| running.is_told_of_end),
            is_rare: running.is_some_and(|running| running.is_rare),
            last_failed: running.is_some_and(|running| running.last_failed),
            handler: running.and_then(|running| running.usual_handler),
            cost: self.record.cost(),
            flush_timeout,
            interval: self.flush.interval,
        })
    }

    /// What is left of the time that an invocation is kept for its flushes: what keeps arriving must not hold it to its deadline.
    /// A rest in which no flush ends is none, since that would fail and be sent again.
    fn left_after_handler(&self, done: Instant) -> Duration {
        let left = self.flush.timeout.saturating_sub(done.elapsed());
        let least = self.record.cost().min(self.flush.timeout / 2);
        if left < least { Duration::ZERO } else { left }
    }

    /// Begins a flush. `is_last` says that the environment ends, and that much waits.
    fn begin(&mut self, at_most: Duration, is_last: bool) {
        let taken = SignalKind::ALL.map(|kind| self.buffer.take(kind));
        let events = self.buffer.take_events();
        let sender = Arc::clone(&self.sender);
        let begun = Instant::now();
        let (end, (report, ended)) = (begun + at_most, oneshot::channel());
        let task = tasks::spawn(async move {
            drop(report.send(Box::pin(sender.send(taken, events, end, is_last)).await));
        });
        self.flight = Some(Flight { task, ended, begun });
    }

    /// Ends the flush that is under way. What it had waits again when this returns, and its connections are closed.
    async fn cut_off(&mut self) {
        let Some(mut flight) = self.flight.take() else { return };
        flight.task.abort();
        drop((&mut flight.task).await);
        if let Ok(flown) = flight.ended.try_recv() {
            return self.note(&flown, flight.begun.elapsed());
        }
        self.counts.add(Count::FailedFlushes, 1);
        self.record.failed(None, unix_millis());
    }

    fn note(&mut self, flown: &Flown, took: Duration) {
        if flown.failed {
            self.record.failed(flown.retry_after, unix_millis());
        } else {
            self.record.succeeded(took);
        }
    }

    /// Spills what was sent as often as may be, once what was spilled before is in the output's queue.
    fn write_spilled(&mut self) {
        self.spilled.write(Vec::new());
        if !self.spilled.is_behind() {
            let tried = self.buffer.take_tried(self.flush.retries);
            self.spilled.write(wire::merge(tried, SPILLED_BYTES));
        }
    }

    /// Spills all that waits. What is in no log as text comes first: the rest may be megabytes, which take their time.
    fn spill(&mut self) {
        self.spilled.write(wire::merge(self.buffer.take_otlp(), SPILLED_BYTES));
        self.spilled.write(wire::merge(self.buffer.take_all(), SPILLED_BYTES));
    }
}

impl Drop for Direct {
    /// Lines that wait when the loop ends go where all goes that is left.
    fn drop(&mut self) {
        self.put_lines();
    }
}

fn in_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
