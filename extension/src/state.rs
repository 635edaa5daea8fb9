//! What the loop knows of invocations, and what follows from it: no I/O, and time is passed in.

use crate::config::Config;
use crate::extensions_api::Invoke;
use crate::hold::{self, Situation, Traffic};
use crate::roots::Root;
use crate::table::Table;
use platform::{EventKind, PlatformEvent};
use wire::Request;

/// What is finished is written this long before an invocation times out: the environment may be killed then.
const BEFORE_DEADLINE_MS: u64 = 150;

/// The newest invocation.
#[derive(Debug)]
struct Current {
    request_id: String,
    deadline_ms: u64,
    otlp_received: bool,
    runtime_done: bool,
    /// What was due before the deadline has been written.
    written_before_deadline: bool,
}

/// All that the loop knows.
#[derive(Debug)]
pub(crate) struct State {
    hold: hold::Mode,
    subscribed: bool,
    traffic: Traffic,
    current: Option<Current>,
    last_failed: bool,
    table: Table,
}

impl State {
    pub(crate) fn new(config: &Config, table: Table) -> Self {
        Self {
            hold: config.hold,
            subscribed: false,
            traffic: Traffic::default(),
            current: None,
            last_failed: false,
            table,
        }
    }

    /// Telemetry will come.
    pub(crate) fn subscribed(&mut self) {
        self.subscribed = true;
        self.table.subscribed();
    }

    /// An invocation begins; what waits of earlier ones is due.
    pub(crate) fn invoke(&mut self, invoke: &Invoke, now_ms: u64) {
        self.traffic.invoked(now_ms);
        let request_id = invoke.request_id.to_ascii_lowercase();
        self.table.invoke(&request_id, &invoke.invoked_function_arn, now_ms);
        self.current = Some(Current {
            deadline_ms: invoke.deadline_ms,
            otlp_received: false,
            // Its end may have been read before its beginning: they come on different connections.
            runtime_done: self.table.is_runtime_done(&request_id),
            written_before_deadline: false,
            request_id,
        });
    }

    /// OTLP was received and written.
    pub(crate) fn otlp(&mut self, roots: Vec<Root>) {
        if let Some(current) = &mut self.current {
            current.otlp_received = true;
        }
        self.table.roots(roots);
    }

    /// Lambda says something; it was received at this time.
    pub(crate) fn telemetry(&mut self, event: PlatformEvent, now_ms: u64) {
        if event.kind == EventKind::RuntimeDone {
            let current = self
                .current
                .as_mut()
                .filter(|current| Some(current.request_id.as_str()) == event.request_id.as_deref());
            if let Some(current) = current {
                current.runtime_done = true;
            }
        }
        if matches!(event.kind, EventKind::RuntimeDone | EventKind::Report) {
            self.last_failed = !event.succeeded();
        }
        self.table.event(event, now_ms);
    }

    /// Whether the environment may sleep.
    pub(crate) fn may_call_next(&self, now_ms: u64) -> bool {
        let Some(current) = &self.current else { return true };
        !hold::hold(Situation {
            mode: self.hold,
            subscribed: self.subscribed,
            rare: self.traffic.is_rare(),
            otlp_received: current.otlp_received,
            last_failed: self.last_failed,
            runtime_done: current.runtime_done,
            deadline_near: now_ms >= last_moment(current),
        })
    }

    /// When the loop has to look again if nothing happens.
    pub(crate) fn wake_at_ms(&self) -> Option<u64> {
        let current = self.current.as_ref()?;
        let running = !current.runtime_done && !current.written_before_deadline;
        running.then(|| last_moment(current))
    }

    /// What is to be written now.
    pub(crate) fn due(&mut self, now_ms: u64) -> Vec<Request> {
        let mut all = false;
        if let Some(current) = &mut self.current
            && now_ms >= last_moment(current)
            && !current.written_before_deadline
        {
            current.written_before_deadline = true;
            all = true;
        }
        if all { self.table.take_all() } else { self.table.take_due() }
    }

    /// Invocations of which Lambda has not said all.
    pub(crate) fn is_waiting_for_reports(&self) -> bool {
        self.subscribed && self.table.is_waiting_for_reports()
    }

    /// The environment ends for this reason: what is left.
    pub(crate) fn close(&mut self, reason: &str, now_ms: u64) -> Vec<Request> {
        self.table.close(reason, now_ms)
    }
}

fn last_moment(current: &Current) -> u64 {
    current.deadline_ms.saturating_sub(BEFORE_DEADLINE_MS)
}
