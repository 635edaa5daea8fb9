//! The backend as a sink (direct mode): requests wait in a buffer, and are sent when that costs the function least.
//!
//! A request is acknowledged when it is in the buffer. A request that the backend does not accept is spilled: written to
//! stdout as OTLP lines with the key `spill`. So every acknowledged item is delivered, spilled, or rejected by the backend, as
//! long as this process can write.

mod buffer;
mod flush;
mod health;
mod health_check;
mod printed_lines;
mod uploader;

use crate::clock::unix_millis;
use crate::config::{Config, Flush};
use crate::counts::{Count, Counts};
use crate::event::{LogLine, RuntimeReport};
use crate::invocations::roots::{ReceivedSpan, invocation_spans};
use crate::policy::{
    Decision, FlushFacts, InvocationPhase, RunningInvocation, Waiting, WakeFacts, decide,
    is_near_deadline, last_send_time, next_decision_ms,
};
use crate::sink::lines::LineOutput;
use crate::sink::lines::backlog::Backlog;
pub(crate) use buffer::{BatchOrigin, Buffer, SharedBuffer};
use flush::Flushes;
use health::Awake;
pub(crate) use health_check::health_check;
use printed_lines::PrintedLines;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use uploader::{LAST_BYTES, Uploader};
use wire::{Request, SignalKind};

/// Time between the end of the last flush and its abortion, which would discard the result of its last request.
const CUT_OFF: Duration = Duration::from_millis(50);
/// Time between checks of the backlog while it is too long.
const LOOK_AGAIN_MS: u64 = 10;

/// Makes the buffer, or returns `None` in stdout mode.
pub(crate) fn buffer(config: &Config) -> Option<SharedBuffer> {
    let direct = config.choice.direct.as_ref()?;
    Some(Arc::new(Buffer::new(direct.flush.buffer_bytes)))
}

/// The loop's side of direct mode. The receivers fill the buffer.
pub(crate) struct Backend {
    buffer: SharedBuffer,
    flushes: Flushes,
    spilled: Backlog,
    pub(crate) lines: PrintedLines,
    /// Events are sent unchanged (the `json` output).
    is_json: bool,
    counts: Arc<Counts>,
    flush: Flush,
    is_managed: bool,
    invocations: u64,
    /// The time when the end of this invocation's handler became known.
    done: Option<Instant>,
    awake: Awake,
    /// The time of the last decision.
    decided_ms: u64,
}

/// The facts about an invocation in a printed line.
pub(crate) struct InvocationFacts {
    /// The possible root spans; `None` if the line contains no OTLP.
    pub(crate) invocation_spans: Option<Vec<ReceivedSpan>>,
    pub(crate) runtime_report: Option<RuntimeReport>,
}

impl Backend {
    /// Prepares the uploader, without using the network. Returns `None` in stdout mode, or if the destination is unusable.
    pub(crate) fn start(
        config: &Config,
        function: platform::Identity,
        buffer: Option<&SharedBuffer>,
        output: &LineOutput,
        counts: &Arc<Counts>,
    ) -> Option<Self> {
        let word = config.choice.word();
        let because = &config.choice.because;
        tracing::info!(output = word, because, "selected the output");
        let direct = config.choice.direct.as_ref()?;
        let buffer = buffer?;
        let uploader = match Uploader::new(direct, &function.service_name, counts) {
            Ok(uploader) => uploader,
            Err(error) => {
                tracing::warn!(%error, "cannot send, telemetry goes to stdout instead");
                return None;
            }
        };
        uploader.read_secret_ahead();
        Some(Self {
            buffer: Arc::clone(buffer),
            flushes: Flushes::new(buffer, uploader, counts),
            spilled: Backlog::new(output.clone(), Arc::clone(counts), true),
            lines: PrintedLines::new(config, function, direct.is_json, counts),
            is_json: direct.is_json,
            counts: Arc::clone(counts),
            flush: direct.flush.clone(),
            is_managed: config.function.is_managed_instance,
            invocations: 0,
            done: None,
            awake: Awake::new(unix_millis(), Instant::now()),
            decided_ms: 0,
        })
    }

    /// Notes the beginning of an invocation, perhaps after a freeze.
    pub(crate) fn invoked(&mut self) {
        self.invocations += 1;
        self.flushes.health.invoked();
        self.done = None;
        self.woke(unix_millis(), true);
    }

    /// Takes a line that the function or another extension printed. Returns the facts in it that concern the invocation.
    pub(crate) fn take_line(&mut self, line: &LogLine) -> InvocationFacts {
        let content = self.lines.take(line, unix_millis());
        let spans_of = |request| invocation_spans(request, false);
        let has_otlp = !content.requests.is_empty();
        let spans = has_otlp.then(|| content.requests.iter().flat_map(spans_of).collect());
        self.put(content.requests);
        InvocationFacts { invocation_spans: spans, runtime_report: content.runtime_report }
    }

    pub(crate) fn put(&mut self, requests: Vec<Request>) {
        for request in requests {
            if let Err(request) = self.buffer.put(request, BatchOrigin::Otlp) {
                self.spilled.write(vec![request]);
            }
        }
    }

    /// Takes the extension's own telemetry. With the `json` output the events are sent instead.
    pub(crate) fn write(&mut self, requests: Vec<Request>) {
        for request in requests.into_iter().filter(|_| !self.is_json) {
            self.lines.note_spans_of(&request);
            if let Err(request) = self.buffer.put(request, BatchOrigin::Otlp) {
                self.spilled.write_own(vec![request]);
            }
        }
    }

    /// Returns `true` if too many spilled bytes are not written to take further events.
    pub(crate) fn is_behind(&self) -> bool {
        self.spilled.is_full()
    }

    /// Moves the waiting records of printed lines to the buffer.
    pub(crate) fn finish_lines(&mut self) {
        for request in self.lines.finish() {
            let is_event = self.is_json && request.kind() == SignalKind::Logs;
            let origin = if is_event { BatchOrigin::Events } else { BatchOrigin::Lines };
            if let Err(request) = self.buffer.put(request, origin) {
                self.spilled.write(vec![request]);
            }
        }
    }

    /// Spills requests after their last attempt, once the queue has room for them.
    fn spill_tried(&mut self) {
        self.spilled.fill_queue();
        if !self.spilled.is_behind() {
            self.spilled.write(self.buffer.remove_tried(self.flush.retries));
        }
    }

    fn spill_all(&mut self) {
        self.spilled.write(self.buffer.remove_all());
    }

    fn woke(&mut self, now_ms: u64, may_freeze: bool) {
        if self.awake.woke(now_ms, Instant::now(), may_freeze && !self.is_managed) {
            self.flushes.drop_connections();
        }
    }

    /// Runs due tasks. Returns `true` if `next` may be called. `is_asking` is `true` if it is called already.
    pub(crate) fn due(&mut self, running: Option<&RunningInvocation>, is_asking: bool) -> bool {
        let now_ms = unix_millis();
        self.woke(now_ms, is_asking);
        self.decided_ms = now_ms;
        if running.is_some_and(|running| running.is_done) {
            self.done.get_or_insert_with(Instant::now);
        }
        self.spill_tried();
        if self.lines.is_due(running, self.flush.interval, now_ms) {
            self.finish_lines();
        }
        let Some(facts) = self.facts(running, is_asking, now_ms) else {
            return !self.flushes.is_running();
        };
        if self.flushes.is_running() {
            // The flush ends with its own time limit. The rest of the buffer would be late.
            if is_near_deadline(&facts) && facts.waiting.is_some() {
                self.spill_all();
            }
            return false;
        }
        match decide(&facts) {
            Decision::Pass => true,
            // While stdout is blocked, no event reports the handler's end.
            Decision::Hold => self.is_behind(),
            Decision::Spill => {
                self.spill_all();
                true
            }
            Decision::Flush { at_most } => {
                self.flushes.begin(at_most, false);
                false
            }
        }
    }

    pub(crate) fn wake_at_ms(
        &self,
        running: Option<&RunningInvocation>,
        is_asking: bool,
        now_ms: u64,
    ) -> Option<u64> {
        if self.is_behind() {
            return Some(now_ms + LOOK_AGAIN_MS);
        }
        let buffered = self.buffer.waiting().map(|waiting| waiting.since_ms);
        let lines = self.lines.since_ms();
        if buffered.is_none() && lines.is_none() {
            return None;
        }
        let running = running.filter(|running| !running.is_done);
        let interval_ms = in_ms(self.flush.interval);
        let again_ms = self.flushes.health.not_before_ms();
        let may_flush = (!is_asking || self.is_managed) && !self.flushes.is_running();
        let facts = WakeFacts {
            deadline_ms: running.map(|running| running.deadline_ms),
            is_asking,
            flush_due_ms: buffered
                .filter(|_| may_flush)
                .map(|since_ms| since_ms.saturating_add(interval_ms).max(again_ms)),
            lines_due_ms: lines.map(|since_ms| since_ms.saturating_add(interval_ms)),
            decided_ms: self.decided_ms,
        };
        next_decision_ms(&facts).map(|at| at.max(now_ms))
    }

    /// Waits for the end of the flush; forever if there is none. If the flush panicked, the buffer is spilled: the same requests
    /// would panic again.
    pub(crate) async fn flush_ended(&mut self) {
        if !self.flushes.ended().await {
            self.spill_all();
        }
    }

    /// Sends the buffer until `end`, less the time for spilling, and spills the rest.
    pub(crate) async fn shut_down(&mut self, end: Instant) {
        self.finish_lines();
        let left = end.saturating_duration_since(Instant::now());
        // A failing backend gets one probe.
        let health = &self.flushes.health;
        let most = if health.is_open() { health.probe() } else { left };
        let send_end = Instant::now() + last_send_time(left, self.buffer.bytes()).min(most);
        loop {
            // Refused requests are not sent again.
            self.spill_tried();
            if !self.flushes.is_running() {
                let left = send_end.saturating_duration_since(Instant::now() + CUT_OFF);
                if self.buffer.waiting().is_none() || left.is_zero() {
                    break;
                }
                self.flushes.begin(left, self.buffer.bytes() > LAST_BYTES);
            }
            let failures = self.counts.get(Count::FailedFlushes);
            let is_late = timeout_at(send_end, self.flush_ended()).await.is_err();
            if is_late || self.counts.get(Count::FailedFlushes) > failures {
                break;
            }
        }
        self.flushes.abort().await;
        self.buffer.close();
        self.spill_all();
        self.spilled.drain(end).await;
        self.spilled.give_up().await;
    }

    pub(crate) async fn wait_written(&mut self, limit: Duration) {
        self.spilled.wait_written(limit).await;
    }

    /// Returns all unsettled requests to the buffer.
    pub(crate) async fn stop(&mut self) {
        self.flushes.abort().await;
        self.finish_lines();
    }

    fn facts(
        &self,
        running: Option<&RunningInvocation>,
        is_asking: bool,
        now_ms: u64,
    ) -> Option<FlushFacts> {
        let phase = match running {
            _ if self.is_managed => InvocationPhase::Unbounded,
            // Before the first invocation nothing is known, and the environment may be frozen.
            None => return None,
            Some(_) if is_asking => InvocationPhase::Asking,
            Some(running) if running.is_done => InvocationPhase::Done,
            Some(_) => InvocationPhase::Running,
        };
        let waiting = self.buffer.waiting().map(|buffered| Waiting {
            oldest: Duration::from_millis(now_ms.saturating_sub(buffered.since_ms)),
            is_left_over: running.is_some_and(|running| buffered.since_ms < running.invoked_ms),
            is_much: buffered.is_much,
        });
        let left = running.map_or(u64::MAX, |running| running.deadline_ms.saturating_sub(now_ms));
        let flush_timeout = match (phase, self.done) {
            (InvocationPhase::Done, Some(done)) => self.left_after_handler(done),
            _ => self.flush.timeout,
        };
        Some(FlushFacts {
            phase,
            running: running.copied().unwrap_or_default(),
            waiting,
            is_open: self.flushes.health.is_open(),
            is_paused: self.flushes.health.is_paused(now_ms),
            probe: self.flushes.health.probe(),
            left: Duration::from_millis(left),
            invocations: self.invocations,
            cost: self.flushes.health.cost(),
            flush_timeout,
            interval: self.flush.interval,
        })
    }

    /// Returns the rest of the hold time, so that a stream of telemetry does not hold the invocation to its deadline. A rest too
    /// short for a flush counts as 0: the flush would fail and be repeated.
    fn left_after_handler(&self, done: Instant) -> Duration {
        let left = self.flush.timeout.saturating_sub(done.elapsed());
        let least = self.flushes.health.cost().min(self.flush.timeout / 2);
        if left < least { Duration::ZERO } else { left }
    }
}

fn in_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
