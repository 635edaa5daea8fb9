//! The loop's state: the newest invocation, and decisions about `next`. Time is an argument.

use crate::config::Config;
use crate::invocations::roots::ReceivedSpan;
use crate::invocations::table::InvocationTable;
use crate::policy::{RunningInvocation, Traffic, is_held, last_moment_ms};
use extensions_api::Invoke;
use platform::{EventKind, PlatformEvent, XRaySegment};
use std::time::Duration;
use wire::Request;

/// Time limit for the first telemetry. Lambda delivers `platform.start` within 25 ms.
const TRUST_MS: u64 = 500;
/// Time limit for outstanding events at SHUTDOWN. Lambda buffers them for 25 ms.
const REPORTS_MS: u64 = 300;
/// The same on a managed instance, which buffers them for 500 ms.
const MANAGED_REPORTS_MS: u64 = 700;

#[derive(Debug)]
struct Current {
    request_id: String,
    invoked_ms: u64,
    deadline_ms: u64,
    otlp_received: bool,
    runtime_done: bool,
    /// The time of the handler's end, as Lambda reports it.
    ended_ms: Option<u64>,
    /// The time of the first `next` during this invocation.
    asked_ms: Option<u64>,
    /// Finished telemetry was written before the deadline.
    written_before_deadline: bool,
}

/// The trust in Lambda's reports of ends. Without reports, each hold would last until the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TelemetryState {
    Off,
    Silent,
    Coming,
    /// Lambda did not report the end of a held invocation, nor any end since.
    Failed,
}

/// The last init phase, as Lambda reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InitPhase {
    /// It failed, or its end is not reported yet.
    NotSucceeded,
    Succeeded,
}

#[derive(Debug)]
pub(crate) struct InvocationState {
    /// `false` if a flush gets no time after the handler.
    may_hold: bool,
    telemetry: TelemetryState,
    traffic: Traffic,
    current: Option<Current>,
    last_failed: bool,
    init: InitPhase,
    /// The usual duration of the handler in milliseconds.
    handler_ms: Option<f64>,
    is_managed: bool,
    pub(crate) table: InvocationTable,
}

impl InvocationState {
    pub(crate) fn new(config: &Config, table: InvocationTable) -> Self {
        let direct = config.choice.direct.as_ref();
        Self {
            is_managed: config.function.is_managed_instance,
            may_hold: direct.is_none_or(|direct| !direct.flush.timeout.is_zero()),
            telemetry: TelemetryState::Off,
            traffic: Traffic::default(),
            current: None,
            last_failed: false,
            init: InitPhase::NotSucceeded,
            handler_ms: None,
            table,
        }
    }

    /// Notes that Lambda reports the events of invocations.
    pub(crate) fn note_subscription(&mut self) {
        self.telemetry = TelemetryState::Silent;
        self.table.note_subscription();
    }

    pub(crate) fn begin_invocation(&mut self, invoke: &Invoke, now_ms: u64) {
        self.traffic.invoked(now_ms);
        // The loop calls `next` so late only after a hold.
        let was_held_in_vain = |last: &Current| {
            !last.runtime_done && last.asked_ms.is_some_and(|asked| asked >= last_moment(last))
        };
        if self.current.as_ref().is_some_and(was_held_in_vain) {
            self.telemetry = TelemetryState::Failed;
        }
        let request_id = invoke.request_id.to_ascii_lowercase();
        self.table.begin_invocation(&request_id, &invoke.invoked_function_arn, now_ms);
        self.current = Some(Current {
            invoked_ms: now_ms,
            deadline_ms: invoke.deadline_ms,
            otlp_received: false,
            // Its end may have been read before its beginning: they come on different connections.
            runtime_done: self.table.is_runtime_done(&request_id),
            ended_ms: None,
            asked_ms: None,
            written_before_deadline: false,
            request_id,
        });
    }

    /// Notes OTLP of the function with these spans.
    pub(crate) fn note_otlp(&mut self, spans: Vec<ReceivedSpan>) {
        if let Some(current) = &mut self.current {
            current.otlp_received = true;
        }
        self.table.add_spans(spans);
    }

    /// Notes spans of X-Ray's documents. Unlike OTLP they are not acknowledged, so a rare invocation is held until its end.
    pub(crate) fn note_xray(
        &mut self,
        roots: Vec<ReceivedSpan>,
        segments: Vec<(XRaySegment, u64)>,
    ) {
        self.table.add_spans(roots);
        for (segment, start_unix_nano) in segments {
            self.table.add_xray_segment(segment, start_unix_nano);
        }
    }

    /// Notes an event of the Telemetry API, received at this time.
    pub(crate) fn note_event(&mut self, event: PlatformEvent, now_ms: u64) {
        let is_end = event.kind == EventKind::RuntimeDone;
        if self.telemetry == TelemetryState::Silent
            || (self.telemetry == TelemetryState::Failed && is_end)
        {
            self.telemetry = TelemetryState::Coming;
        }
        if is_end {
            let is_its = |current: &&mut Current| {
                Some(current.request_id.as_str()) == event.request_id.as_deref()
            };
            if let Some(current) = self.current.as_mut().filter(is_its) {
                current.runtime_done = true;
                // Both times come from one clock, which may be set.
                let reported_ms = event.time_unix_nano.map_or(now_ms, |nanos| nanos / 1_000_000);
                let ended_ms = reported_ms.max(current.invoked_ms).min(now_ms);
                if current.ended_ms.is_none() {
                    current.ended_ms = Some(ended_ms);
                    self.table.count_hold_time(held_ms(current));
                }
            }
        }
        if let Some(took) = event.figures.duration_ms.filter(|_| is_end) {
            self.handler_ms = Some(self.handler_ms.map_or(took, |usual| 0.7 * usual + 0.3 * took));
        }
        match event.kind {
            EventKind::RuntimeDone | EventKind::Report => self.last_failed = !event.succeeded(),
            EventKind::InitRuntimeDone if event.succeeded() => self.init = InitPhase::Succeeded,
            EventKind::InitRuntimeDone => self.init = InitPhase::NotSucceeded,
            _ => {}
        }
        self.table.add_event(event, now_ms);
    }

    pub(crate) fn running(&self, now_ms: u64) -> Option<RunningInvocation> {
        let current = self.current.as_ref()?;
        let usual_ms = self.handler_ms.filter(|usual| usual.is_finite());
        Some(RunningInvocation {
            invoked_ms: current.invoked_ms,
            deadline_ms: current.deadline_ms,
            is_done: current.runtime_done,
            end_is_expected: self.telemetry_comes(current, now_ms),
            otlp_received: current.otlp_received,
            is_rare: self.traffic.is_rare(),
            last_failed: self.last_failed,
            usual_handler: usual_ms
                .map(|usual| Duration::from_secs_f64(usual.clamp(0.0, 1e9) / 1e3)),
        })
    }

    /// Returns `true` if Lambda is expected to report this invocation's end.
    fn telemetry_comes(&self, current: &Current, now_ms: u64) -> bool {
        match self.telemetry {
            TelemetryState::Off => false,
            TelemetryState::Coming => true,
            TelemetryState::Silent | TelemetryState::Failed => {
                now_ms < current.invoked_ms + TRUST_MS
            }
        }
    }

    /// Returns `true` if `next` is held. The environment may freeze as soon as it is called.
    pub(crate) fn is_held(&self, now_ms: u64) -> bool {
        self.may_hold && self.running(now_ms).is_some_and(|running| is_held(&running, now_ms))
    }

    /// Notes the call of `next`, which ends the hold.
    pub(crate) fn note_next_call(&mut self, now_ms: u64) {
        if let Some(current) = &mut self.current
            && current.asked_ms.is_none()
        {
            current.asked_ms = Some(now_ms);
            self.table.count_hold_time(held_ms(current));
        }
    }

    pub(crate) fn wake_at_ms(&self, now_ms: u64) -> Option<u64> {
        let invocation = self.invocation_wakes_at_ms(now_ms);
        invocation.into_iter().chain(self.table.release_at_ms()).min()
    }

    fn invocation_wakes_at_ms(&self, now_ms: u64) -> Option<u64> {
        let current = self.current.as_ref()?;
        let running = !current.runtime_done && !current.written_before_deadline;
        let trusts_until = (self.telemetry != TelemetryState::Coming)
            .then(|| current.invoked_ms + TRUST_MS)
            .filter(|until| *until > now_ms);
        running.then(|| last_moment(current).min(trusts_until.unwrap_or(u64::MAX)))
    }

    /// Takes the finished telemetry that is due.
    pub(crate) fn take_due(&mut self, now_ms: u64) -> Vec<Request> {
        let is_late = |current: &&mut Current| {
            now_ms >= last_moment(current) && !current.written_before_deadline
        };
        let late = self.current.as_mut().filter(is_late);
        let is_late = late.is_some();
        if let Some(current) = late {
            current.written_before_deadline = true;
        }
        self.table.take_requests(is_late, now_ms)
    }

    /// Returns `true` if events of invocations are outstanding. A managed instance always expects some, because only telemetry
    /// reports its invocations. An invocation whose init phase failed has no INVOKE, and its events may still be buffered.
    pub(crate) fn is_waiting_for_reports(&self) -> bool {
        let may_have_begun = self.init == InitPhase::NotSucceeded && !self.table.has_invocations();
        let is_waiting = self.is_managed || may_have_begun || self.table.is_waiting_for_reports();
        self.telemetry != TelemetryState::Off && is_waiting
    }

    /// The time limit for outstanding events at SHUTDOWN.
    pub(crate) fn reports_within(&self) -> Duration {
        Duration::from_millis(if self.is_managed { MANAGED_REPORTS_MS } else { REPORTS_MS })
    }
}

/// Returns the hold time, if the handler's end and the call of `next` are known.
fn held_ms(current: &Current) -> u64 {
    match (current.ended_ms, current.asked_ms) {
        (Some(ended_ms), Some(asked_ms)) => asked_ms.saturating_sub(ended_ms),
        _ => 0,
    }
}

fn last_moment(current: &Current) -> u64 {
    last_moment_ms(current.deadline_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::{Count, Counts};
    use crate::invocations::identity::identity;
    use extensions_api::Registration;
    use std::sync::Arc;

    const DEADLINE_MS: u64 = 60_000;

    /// A state, with the clock in milliseconds since the first invocation.
    struct Script {
        state: InvocationState,
        counts: Arc<Counts>,
    }

    impl Script {
        fn new() -> Self {
            let config = Config::from_source(&[]);
            let counts = Arc::new(Counts::default());
            let table = InvocationTable::new(
                &config,
                identity(&config, &Registration::default()),
                Arc::clone(&counts),
                "/nowhere".to_owned(),
            );
            let mut state = InvocationState::new(&config, table);
            state.note_subscription();
            Self { state, counts }
        }

        fn invoke(&mut self, request_id: &str, now_ms: u64) {
            let invoke = Invoke {
                request_id: request_id.to_owned(),
                deadline_ms: now_ms + DEADLINE_MS,
                invoked_function_arn: String::new(),
            };
            self.state.begin_invocation(&invoke, now_ms);
        }

        fn event(&mut self, kind: EventKind, request_id: &str, status: &str, now_ms: u64) {
            let event = PlatformEvent {
                request_id: Some(request_id.to_owned()),
                status: Some(status.to_owned()),
                ..PlatformEvent::new(kind)
            };
            self.state.note_event(event, now_ms);
        }

        /// The time at which `next` is called if nothing else happens, found as the loop finds it.
        fn next_at(&mut self, mut now_ms: u64) -> u64 {
            while self.state.is_held(now_ms) {
                let wake_at =
                    self.state.wake_at_ms(now_ms).expect("a held invocation has a time to wake");
                assert!(wake_at > now_ms, "the loop would spin at {now_ms}");
                now_ms = wake_at;
            }
            self.state.note_next_call(now_ms);
            now_ms
        }
    }

    #[test]
    fn missing_telemetry_is_awaited_for_a_limited_time_until_it_reports_an_end() {
        let mut script = Script::new();
        for (request_id, now_ms) in [("first", 0), ("second", 100_000)] {
            script.invoke(request_id, now_ms);
            assert_eq!(script.next_at(now_ms), now_ms + TRUST_MS);
        }
        script.event(EventKind::InitStart, "", "success", 200_000);
        script.invoke("third", 200_000);
        assert_eq!(script.next_at(200_000), last_moment_ms(200_000 + DEADLINE_MS));
        script.invoke("fourth", 300_000);
        assert_eq!(script.next_at(300_000), 300_000 + TRUST_MS);
        script.event(EventKind::RuntimeDone, "fourth", "success", 301_000);
        script.invoke("fifth", 400_000);
        assert_eq!(script.next_at(400_000), last_moment_ms(400_000 + DEADLINE_MS));
    }

    #[test]
    fn a_pending_platform_event_is_written_before_the_deadline() {
        let mut script = Script::new();
        script.invoke("first", 0);
        assert!(script.state.take_due(0).is_empty());
        let mut dropped = PlatformEvent::new(EventKind::LogsDropped);
        dropped.figures.dropped_records = Some(3.0);
        script.state.note_event(dropped, 10);
        assert!(script.state.take_due(10).is_empty());
        let last_moment = script.state.wake_at_ms(10).expect("the deadline");
        assert_eq!(last_moment, last_moment_ms(DEADLINE_MS));
        assert_eq!(script.state.take_due(last_moment).len(), 1);
        assert!(script.state.take_due(last_moment + 1).is_empty());
        assert_eq!(script.state.wake_at_ms(last_moment), None);
    }

    fn end_of(request_id: &str, ended_ms: u64) -> PlatformEvent {
        PlatformEvent {
            request_id: Some(request_id.to_owned()),
            time_unix_nano: Some(ended_ms * 1_000_000),
            ..PlatformEvent::new(EventKind::RuntimeDone)
        }
    }

    #[test]
    fn hold_time_lasts_from_handler_end_to_the_next_call() {
        let mut script = Script::new();
        // The times of the handler's end, of Lambda's report, and of `next`.
        let mut check = |request_id: &str, ended_ms, reported_ms, asked_ms, held_ms| {
            let before = script.counts.get(Count::HeldMs);
            script.invoke(request_id, 1000);
            if asked_ms < reported_ms {
                script.state.note_next_call(asked_ms);
            }
            // Lambda may repeat a report, and `next` may return an unknown event.
            for reported_ms in [reported_ms, reported_ms + 1] {
                script.state.note_event(end_of(request_id, ended_ms), reported_ms);
            }
            script.state.note_next_call(asked_ms);
            script.state.note_next_call(asked_ms + 50_000);
            assert_eq!(script.counts.get(Count::HeldMs) - before, held_ms, "{request_id}");
        };
        check("held for its end", 1010, 1038, 1039, 29);
        check("held for a flush", 1010, 1038, 2038, 1028);
        check("not held", 1010, 1038, 1000, 0);
        check("held until shortly before the deadline", 1010, 60_000, 59_850, 58_840);
        check("of a clock that was set", 7, 1038, 1039, 39);
        check("of a clock that was set back", 900_000, 1038, 1039, 1);
    }
}
