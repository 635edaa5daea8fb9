//! The backend as a sink (direct mode): requests wait in a buffer, and are sent when that costs the function least.
//!
//! A request is acknowledged when it is in the buffer. A request that the backend does not accept is spilled: written to
//! stdout as OTLP lines with the key `spill`. So every acknowledged item is delivered, spilled, or rejected by the backend, as
//! long as this process can write.

mod buffer;
mod flush;
mod freeze;
mod health;
mod health_check;
mod printed_lines;
mod uploader;

use crate::clock::unix_millis;
use crate::config::{Config, Flush};
use crate::counts::Counts;
use crate::event::{LogLine, OutOfMemory};
use crate::invocations::roots::{ReceivedSpan, invocation_spans};
use crate::policy::{
    BufferedTelemetry, Decision, FlushFacts, InvocationPhase, NewestInvocation, WakeFacts, decide,
    is_near_deadline, last_send_time, next_decision_ms,
};
use crate::sink::lines::LineOutput;
use crate::sink::lines::backlog::Backlog;
pub(crate) use buffer::{BatchOrigin, Buffer, SharedBuffer};
use flush::{FlushEnded, Flushes};
use freeze::FreezeDetector;
pub(crate) use health_check::health_check;
use printed_lines::{LineContent, PrintedLines};
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
    let direct = config.output.direct.as_ref()?;
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
    flush: Flush,
    is_managed: bool,
    /// The number of invocations so far.
    invocations: u64,
    /// The time when the end of this invocation's handler became known.
    handler_end: Option<Instant>,
    freeze_detector: FreezeDetector,
    /// The time of the last decision.
    decided_ms: u64,
}

/// The facts about an invocation in a printed line.
pub(crate) struct InvocationFacts {
    /// The possible root spans; `None` if the line contains no OTLP.
    pub(crate) invocation_spans: Option<Vec<ReceivedSpan>>,
    pub(crate) out_of_memory: Option<OutOfMemory>,
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
        let word = config.output.word();
        let because = &config.output.because;
        tracing::info!(output = word, because, "selected the output");
        let direct = config.output.direct.as_ref()?;
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
            flush: direct.flush.clone(),
            is_managed: config.function.is_managed_instance,
            invocations: 0,
            handler_end: None,
            freeze_detector: FreezeDetector::new(unix_millis(), Instant::now()),
            decided_ms: 0,
        })
    }

    /// Notes the beginning of an invocation, perhaps after a freeze.
    pub(crate) fn note_invocation(&mut self) {
        self.invocations += 1;
        self.flushes.health.note_invocation();
        self.handler_end = None;
        self.drop_frozen_connections(unix_millis(), true);
    }

    /// Takes a line that the function or another extension printed. Returns the facts in it that concern the invocation.
    pub(crate) fn take_line(&mut self, line: &LogLine) -> InvocationFacts {
        let LineContent { requests, out_of_memory } = self.lines.take(line, unix_millis());
        let spans_of = |request| invocation_spans(request, false);
        let has_otlp = !requests.is_empty();
        let invocation_spans = has_otlp.then(|| requests.iter().flat_map(spans_of).collect());
        self.put(requests);
        InvocationFacts { invocation_spans, out_of_memory }
    }

    /// Puts requests into the buffer, or spills them if there is no room.
    pub(crate) fn put(&mut self, requests: Vec<Request>) {
        for request in requests {
            if let Err(request) = self.buffer.put(request, BatchOrigin::Otlp) {
                self.spilled.write(vec![request]);
            }
        }
    }

    /// Like [`put`](Self::put), for the extension's own telemetry. With the `json` output the events are sent instead.
    pub(crate) fn put_own(&mut self, requests: Vec<Request>) {
        if self.is_json {
            return;
        }
        for request in requests {
            self.lines.note_spans_of(&request);
            if let Err(request) = self.buffer.put(request, BatchOrigin::Otlp) {
                self.spilled.write_or_drop(vec![request]);
            }
        }
    }

    /// Returns `true` if too many spilled bytes wait for stdout to take further events.
    pub(crate) fn is_backlog_full(&self) -> bool {
        self.spilled.is_full()
    }

    /// Moves the waiting records of printed lines to the buffer.
    pub(crate) fn move_lines_to_buffer(&mut self) {
        for request in self.lines.take_requests() {
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
        if self.spilled.is_all_queued() {
            self.spilled.write(self.buffer.remove_tried(self.flush.retries));
        }
    }

    fn spill_all(&mut self) {
        self.spilled.write(self.buffer.remove_all());
    }

    /// Drops the connections that the backend may have closed during a freeze.
    fn drop_frozen_connections(&mut self, now_ms: u64, may_freeze: bool) {
        let may_freeze = may_freeze && !self.is_managed;
        if self.freeze_detector.note_activity(now_ms, Instant::now(), may_freeze) {
            self.flushes.drop_connections();
        }
    }

    /// Runs due tasks. Returns `true` if `next` may be called. `next_is_called` is `true` if it is called already.
    pub(crate) fn run_due_tasks(
        &mut self,
        newest: Option<&NewestInvocation>,
        next_is_called: bool,
    ) -> bool {
        let now_ms = unix_millis();
        self.drop_frozen_connections(now_ms, next_is_called);
        self.decided_ms = now_ms;
        if newest.is_some_and(|newest| newest.is_done) {
            self.handler_end.get_or_insert_with(Instant::now);
        }
        self.spill_tried();
        if self.lines.is_due(newest, self.flush.interval, now_ms) {
            self.move_lines_to_buffer();
        }
        let Some(facts) = self.flush_facts(newest, next_is_called, now_ms) else {
            return !self.flushes.is_running();
        };
        if self.flushes.is_running() {
            // The flush ends with its own time limit. The rest of the buffer would be late.
            if is_near_deadline(&facts) && facts.buffered.is_some() {
                self.spill_all();
            }
            return false;
        }
        match decide(&facts) {
            Decision::Pass => true,
            // While stdout is blocked, the loop takes no event that reports the handler's end.
            Decision::Hold => self.is_backlog_full(),
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
        newest: Option<&NewestInvocation>,
        next_is_called: bool,
        now_ms: u64,
    ) -> Option<u64> {
        if self.is_backlog_full() {
            return Some(now_ms + LOOK_AGAIN_MS);
        }
        let buffered_since_ms = self.buffer.waiting().map(|waiting| waiting.since_ms);
        let lines_since_ms = self.lines.waiting_since_ms();
        if buffered_since_ms.is_none() && lines_since_ms.is_none() {
            return None;
        }
        let interval_ms = in_ms(self.flush.interval);
        let pause_end_ms = self.flushes.health.pause_end_ms();
        let may_flush = (!next_is_called || self.is_managed) && !self.flushes.is_running();
        let facts = WakeFacts {
            deadline_ms: newest.filter(|newest| !newest.is_done).map(|newest| newest.deadline_ms),
            next_is_called,
            flush_due_ms: buffered_since_ms
                .filter(|_| may_flush)
                .map(|since_ms| since_ms.saturating_add(interval_ms).max(pause_end_ms)),
            lines_due_ms: lines_since_ms.map(|since_ms| since_ms.saturating_add(interval_ms)),
            decided_ms: self.decided_ms,
        };
        next_decision_ms(&facts).map(|at| at.max(now_ms))
    }

    /// Waits for the end of the flush; forever if there is none. If the flush panicked, the buffer is spilled: the same requests
    /// would panic again.
    pub(crate) async fn flush_ended(&mut self) -> FlushEnded {
        let ended = self.flushes.ended().await;
        if ended == FlushEnded::Panicked {
            self.spill_all();
        }
        ended
    }

    /// Sends the buffer until `end`, less the time for spilling, and spills the rest.
    pub(crate) async fn shut_down(&mut self, end: Instant) {
        self.move_lines_to_buffer();
        let left = end.saturating_duration_since(Instant::now());
        let now = Instant::now();
        let abort_at = now + last_send_time(left, self.buffer.bytes());
        // A failing backend gets one probe.
        let health = &self.flushes.health;
        let longest = if health.is_failing() { health.probe_timeout() } else { left };
        let send_end = abort_at.min(now + longest);
        loop {
            // Refused requests are not sent again.
            self.spill_tried();
            let mut limit = send_end;
            if !self.flushes.is_running() {
                let left = send_end.saturating_duration_since(Instant::now() + CUT_OFF);
                if self.buffer.waiting().is_none() || left.is_zero() {
                    break;
                }
                self.flushes.begin(left, self.buffer.bytes() > LAST_BYTES);
                // It ends by itself, a little late if the process was frozen. Only its own account says what the backend accepted.
                limit = abort_at;
            }
            let ended = timeout_at(limit, self.flush_ended()).await;
            if ended != Ok(FlushEnded::Succeeded) {
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
        self.move_lines_to_buffer();
    }

    /// Returns the facts for the decision about a flush; `None` before the first invocation, except on a managed instance.
    fn flush_facts(
        &self,
        newest: Option<&NewestInvocation>,
        next_is_called: bool,
        now_ms: u64,
    ) -> Option<FlushFacts> {
        let phase = match newest {
            _ if self.is_managed => InvocationPhase::Unbounded,
            // Before the first invocation nothing is known, and the environment may be frozen.
            None => return None,
            Some(_) if next_is_called => InvocationPhase::NextCalled,
            Some(newest) if newest.is_done => InvocationPhase::Done,
            Some(_) => InvocationPhase::Running,
        };
        let buffered = self.buffer.waiting().map(|waiting| BufferedTelemetry {
            oldest: Duration::from_millis(now_ms.saturating_sub(waiting.since_ms)),
            is_from_earlier_invocation: newest
                .is_some_and(|newest| waiting.since_ms < newest.invoked_ms),
            is_half_full: waiting.is_half_full,
        });
        let left_ms = newest.map_or(u64::MAX, |newest| newest.deadline_ms.saturating_sub(now_ms));
        let flush_timeout = match (phase, self.handler_end) {
            (InvocationPhase::Done, Some(handler_end)) => self.hold_time_left(handler_end),
            _ => self.flush.timeout,
        };
        let health = &self.flushes.health;
        Some(FlushFacts {
            phase,
            newest: newest.copied().unwrap_or_default(),
            buffered,
            is_failing: health.is_failing(),
            is_paused: health.is_paused(now_ms),
            probe_timeout: health.probe_timeout(),
            time_left: Duration::from_millis(left_ms),
            invocations: self.invocations,
            usual_flush: health.usual_flush(),
            flush_timeout,
            interval: self.flush.interval,
        })
    }

    /// Returns the rest of the hold time, so that a stream of telemetry does not hold the invocation to its deadline. A rest too
    /// short for a flush counts as 0: the flush would fail and be repeated.
    fn hold_time_left(&self, handler_end: Instant) -> Duration {
        let left = self.flush.timeout.saturating_sub(handler_end.elapsed());
        let shortest = self.flushes.health.usual_flush().min(self.flush.timeout / 2);
        if left < shortest { Duration::ZERO } else { left }
    }
}

fn in_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
