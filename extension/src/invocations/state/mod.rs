//! What the loop knows of invocations, and what follows from it: no I/O, and time is passed in.

use crate::config::{Config, HoldMode};
use crate::invocations::hold::{Situation, Traffic, is_held};
use crate::invocations::roots::Root;
use crate::invocations::table::Table;
use crate::lambda::answers::Invoke;
use platform::{EventKind, PlatformEvent};
use std::time::Duration;
use wire::Request;

/// Finished spans and metrics are written this long before an invocation times out, since Lambda may kill the environment
/// then.
const BEFORE_DEADLINE_MS: u64 = 150;

/// How long an invocation is waited for before telemetry has come at all: `platform.start` comes within the 25 ms that
/// Lambda collects events.
const TRUST_MS: u64 = 500;

/// The newest invocation.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each has happened or not, in any order")]
struct Current {
    request_id: String,
    invoked_ms: u64,
    deadline_ms: u64,
    otlp_received: bool,
    /// `next` was held until its deadline came near.
    held_to_the_end: bool,
    runtime_done: bool,
    /// When the handler ended, as Lambda tells it.
    ended_ms: Option<u64>,
    /// When `next` was called after this invocation began.
    asked_ms: Option<u64>,
    /// What was due before the deadline has been written.
    written_before_deadline: bool,
}

/// Whether Lambda can be trusted to tell of an invocation's end. If it did not, each held `next` would keep the environment
/// until the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TelemetryState {
    /// There is no subscription.
    Off,
    /// Nothing has come yet.
    Silent,
    /// Events come.
    Told,
    /// Lambda did not tell of the end of a held invocation, nor of any end since.
    Failed,
}

/// The newest invocation, as far as it decides when telemetry is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "facts that have nothing in common")]
pub(crate) struct Running {
    pub(crate) invoked_ms: u64,
    pub(crate) deadline_ms: u64,
    /// Lambda has told of the handler's end.
    pub(crate) is_done: bool,
    /// Lambda can be trusted to tell of it.
    pub(crate) is_told_of_end: bool,
    pub(crate) is_rare: bool,
    pub(crate) last_failed: bool,
    /// How long the handler usually takes.
    pub(crate) usual_handler: Option<Duration>,
}

/// All that the loop knows.
#[derive(Debug)]
pub(crate) struct State {
    hold: HoldMode,
    telemetry: TelemetryState,
    traffic: Traffic,
    current: Option<Current>,
    /// The invocation before it, where Lambda had not told of its end when this one began.
    untold: Option<Current>,
    last_failed: bool,
    /// How long the handler usually takes, in milliseconds.
    handler_ms: Option<f64>,
    is_managed: bool,
    table: Table,
}

impl State {
    pub(crate) fn new(config: &Config, table: Table) -> Self {
        Self {
            is_managed: config.function.is_managed_instance,
            hold: config.hold,
            telemetry: TelemetryState::Off,
            traffic: Traffic::default(),
            current: None,
            untold: None,
            last_failed: false,
            handler_ms: None,
            table,
        }
    }

    /// Telemetry will come.
    pub(crate) fn subscribed(&mut self) {
        self.telemetry = TelemetryState::Silent;
        self.table.subscribed();
    }

    /// An invocation begins; spans and metrics of earlier ones are due.
    pub(crate) fn invoke(&mut self, invoke: &Invoke, now_ms: u64) {
        self.traffic.invoked(now_ms);
        let untold = self.current.as_ref().is_some_and(|last| !last.runtime_done);
        let was_held = self.current.as_ref().is_some_and(|last| last.held_to_the_end);
        if untold && was_held {
            self.telemetry = TelemetryState::Failed;
        }
        let request_id = invoke.request_id.to_ascii_lowercase();
        self.table.invoke(&request_id, &invoke.invoked_function_arn, now_ms);
        self.untold = self.current.take().filter(|last| last.ended_ms.is_none());
        self.current = Some(Current {
            invoked_ms: now_ms,
            held_to_the_end: false,
            deadline_ms: invoke.deadline_ms,
            otlp_received: false,
            // Its end may have been read before its beginning, since the two come on different connections.
            runtime_done: self.table.is_runtime_done(&request_id),
            ended_ms: None,
            asked_ms: None,
            written_before_deadline: false,
            request_id,
        });
    }

    /// Goes on with an invocation that began before this process did. What became of it is not known here, so nothing is made of it
    /// and nothing waits for it.
    pub(crate) fn resume(&mut self, invoke: &Invoke, now_ms: u64) {
        self.current = Some(Current {
            request_id: invoke.request_id.to_ascii_lowercase(),
            invoked_ms: now_ms,
            deadline_ms: invoke.deadline_ms,
            otlp_received: false,
            held_to_the_end: false,
            runtime_done: true,
            ended_ms: None,
            asked_ms: None,
            written_before_deadline: false,
        });
    }

    /// OTLP was received and written.
    pub(crate) fn otlp(&mut self, roots: Vec<Root>) {
        if let Some(current) = &mut self.current {
            current.otlp_received = true;
        }
        self.table.roots(roots);
    }

    /// Takes an event of the Telemetry API that was received at this time.
    pub(crate) fn telemetry(&mut self, event: PlatformEvent, now_ms: u64) {
        let is_end = event.kind == EventKind::RuntimeDone;
        if self.telemetry == TelemetryState::Silent
            || (self.telemetry == TelemetryState::Failed && is_end)
        {
            self.telemetry = TelemetryState::Told;
        }
        if is_end {
            let mut known = [&mut self.current, &mut self.untold].into_iter().flatten();
            let current =
                known.find(|known| Some(known.request_id.as_str()) == event.request_id.as_deref());
            if let Some(current) = current {
                current.runtime_done = true;
                // The two clocks are one, unless somebody sets it.
                let told_ms = event.time_unix_nano.map_or(now_ms, |nanos| nanos / 1_000_000);
                let ended_ms = told_ms.max(current.invoked_ms).min(now_ms);
                if current.ended_ms.is_none() {
                    current.ended_ms = Some(ended_ms);
                    self.table.held(held_ms(current));
                }
            }
        }
        if let Some(took) = event.figures.duration_ms.filter(|_| is_end) {
            self.handler_ms = Some(self.handler_ms.map_or(took, |usual| 0.7 * usual + 0.3 * took));
        }
        if matches!(event.kind, EventKind::RuntimeDone | EventKind::Report) {
            self.last_failed = !event.succeeded();
        }
        self.table.event(event, now_ms);
    }

    /// The runtime has said in a line that its memory is exhausted.
    pub(crate) fn out_of_memory(&mut self, request_id: Option<&str>, time_unix_nano: u64) {
        self.table.out_of_memory(request_id, time_unix_nano);
    }

    /// The newest invocation.
    pub(crate) fn running(&self, now_ms: u64) -> Option<Running> {
        let current = self.current.as_ref()?;
        let usual_ms = self.handler_ms.filter(|usual| usual.is_finite());
        Some(Running {
            invoked_ms: current.invoked_ms,
            deadline_ms: current.deadline_ms,
            is_done: current.runtime_done,
            is_told_of_end: self.telemetry_comes(current, now_ms),
            is_rare: self.traffic.is_rare(),
            last_failed: self.last_failed,
            usual_handler: usual_ms
                .map(|usual| Duration::from_secs_f64(usual.clamp(0.0, 1e9) / 1e3)),
        })
    }

    /// Whether Lambda can be trusted to tell of this invocation's end.
    fn telemetry_comes(&self, current: &Current, now_ms: u64) -> bool {
        match self.telemetry {
            TelemetryState::Off => false,
            TelemetryState::Told => true,
            TelemetryState::Silent | TelemetryState::Failed => {
                now_ms < current.invoked_ms + TRUST_MS
            }
        }
    }

    /// Whether `next` may be called, after which the environment may freeze.
    pub(crate) fn may_call_next(&mut self, now_ms: u64) -> bool {
        let telemetry_comes =
            self.current.as_ref().is_some_and(|current| self.telemetry_comes(current, now_ms));
        let Some(current) = &mut self.current else { return true };
        // Asked so late only where something held `next` all the time.
        current.held_to_the_end |= !current.runtime_done && now_ms >= last_moment(current);
        let mut situation = Situation {
            mode: self.hold,
            telemetry_comes,
            rare: self.traffic.is_rare(),
            otlp_received: current.otlp_received,
            last_failed: self.last_failed,
            runtime_done: current.runtime_done,
            deadline_near: false,
        };
        if !is_held(situation) {
            return true;
        }
        situation.deadline_near = now_ms >= last_moment(current);
        !is_held(situation)
    }

    /// `next` is called: the environment is kept no longer.
    pub(crate) fn asked(&mut self, now_ms: u64) {
        if let Some(current) = &mut self.current
            && current.asked_ms.is_none()
        {
            current.asked_ms = Some(now_ms);
            self.table.held(held_ms(current));
        }
    }

    /// When the loop has to look again if nothing happens.
    pub(crate) fn wake_at_ms(&self, now_ms: u64) -> Option<u64> {
        let current = self.current.as_ref()?;
        let running = !current.runtime_done && !current.written_before_deadline;
        let trusts_until =
            (self.telemetry != TelemetryState::Told).then(|| current.invoked_ms + TRUST_MS);
        let trusts_until = trusts_until.filter(|until| *until > now_ms);
        running.then(|| last_moment(current).min(trusts_until.unwrap_or(u64::MAX)))
    }

    /// The requests that are to be written now.
    pub(crate) fn due(&mut self, now_ms: u64) -> Vec<Request> {
        let mut all = false;
        if let Some(current) = &mut self.current
            && now_ms >= last_moment(current)
            && !current.written_before_deadline
        {
            current.written_before_deadline = true;
            all = true;
        }
        if all { self.table.take_all(now_ms) } else { self.table.take_due(now_ms) }
    }

    /// Whether there are invocations that Lambda has not reported.
    ///
    /// Nobody but telemetry tells a managed instance of its invocations: some may have begun and ended since it last came.
    pub(crate) fn is_waiting_for_reports(&self) -> bool {
        let is_waiting = self.is_managed || self.table.is_waiting_for_reports();
        self.telemetry != TelemetryState::Off && is_waiting
    }

    /// The environment ends for this reason; the requests that are left.
    pub(crate) fn close(&mut self, reason: &str, now_ms: u64) -> Vec<Request> {
        self.table.close(reason, now_ms)
    }
}

/// How long the environment was kept when the handler had ended, once it is known when that was and when `next` was called.
fn held_ms(current: &Current) -> u64 {
    match (current.ended_ms, current.asked_ms) {
        (Some(ended_ms), Some(asked_ms)) => asked_ms.saturating_sub(ended_ms),
        _ => 0,
    }
}

fn last_moment(current: &Current) -> u64 {
    current.deadline_ms.saturating_sub(BEFORE_DEADLINE_MS)
}

#[cfg(test)]
mod tests;
