//! The state of the event loop: the newest invocation, and what Lambda's events say about holding it. Time is an argument.

use crate::config::Config;
use crate::counts::{Count, Counts};
use crate::invocations::roots::{ReceivedSegment, ReceivedSpan};
use crate::invocations::table::InvocationTable;
use crate::policy::{NewestInvocation, Traffic, is_held, last_moment_ms};
use extensions_api::Invoke;
use platform::{EventKind, PlatformEvent};
use std::sync::Arc;
use std::time::Duration;
use wire::Request;

/// Time limit for the first telemetry. Lambda delivers `platform.start` within 25 ms.
const TRUST_MS: u64 = 500;
/// Time limit for outstanding events at SHUTDOWN. Lambda buffers them for 25 ms.
const REPORTS_TIMEOUT: Duration = Duration::from_millis(300);
/// Time limit for outstanding events on a managed instance, which buffers them for 500 ms.
const MANAGED_REPORTS_TIMEOUT: Duration = Duration::from_millis(700);

/// The newest invocation.
#[derive(Debug)]
struct CurrentInvocation {
    request_id: String,
    invoked_ms: u64,
    deadline_ms: u64,
    otlp_received: bool,
    /// Lambda reported the handler's end.
    is_done: bool,
    /// The time of the handler's end, as Lambda reports it.
    ended_ms: Option<u64>,
    /// The time of the first `next` during this invocation.
    next_called_ms: Option<u64>,
    /// Finished telemetry was written before the deadline.
    written_before_deadline: bool,
}

impl CurrentInvocation {
    /// Returns the time from which the invocation may no longer be held.
    fn last_moment_ms(&self) -> u64 {
        last_moment_ms(self.deadline_ms)
    }

    /// Returns the hold time; 0 until the handler's end and the call of `next` are known.
    fn hold_ms(&self) -> u64 {
        match (self.ended_ms, self.next_called_ms) {
            (Some(ended_ms), Some(next_called_ms)) => next_called_ms.saturating_sub(ended_ms),
            _ => 0,
        }
    }

    /// Returns `true` if the invocation was held for the report of its end until the last moment.
    fn was_held_in_vain(&self) -> bool {
        // The loop calls `next` so late only after a hold.
        !self.is_done
            && self.next_called_ms.is_some_and(|called_ms| called_ms >= self.last_moment_ms())
    }
}

/// The trust in Lambda's reports of ends. Without reports, each hold would last until the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TelemetryState {
    /// There is no subscription.
    Off,
    /// No event has come yet.
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
    current: Option<CurrentInvocation>,
    /// The newest invocation whose end was reported failed.
    last_failed: bool,
    init: InitPhase,
    /// The usual duration of the handler in milliseconds.
    usual_handler_ms: Option<f64>,
    is_managed: bool,
    pub(crate) table: InvocationTable,
    counts: Arc<Counts>,
}

impl InvocationState {
    pub(crate) fn new(config: &Config, table: InvocationTable, counts: Arc<Counts>) -> Self {
        let direct = config.output.direct.as_ref();
        Self {
            is_managed: config.function.is_managed_instance,
            may_hold: direct.is_none_or(|direct| !direct.flush.timeout.is_zero()),
            telemetry: TelemetryState::Off,
            traffic: Traffic::default(),
            current: None,
            last_failed: false,
            init: InitPhase::NotSucceeded,
            usual_handler_ms: None,
            table,
            counts,
        }
    }

    /// Notes that Lambda reports the events of invocations.
    pub(crate) fn note_subscription(&mut self) {
        self.telemetry = TelemetryState::Silent;
        self.table.note_subscription();
    }

    pub(crate) fn begin_invocation(&mut self, invoke: &Invoke, now_ms: u64) {
        self.traffic.note_invocation(now_ms);
        if self.current.as_ref().is_some_and(CurrentInvocation::was_held_in_vain) {
            self.telemetry = TelemetryState::Failed;
        }
        let request_id = invoke.request_id.to_ascii_lowercase();
        self.table.begin_invocation(&request_id, &invoke.invoked_function_arn, now_ms);
        self.current = Some(CurrentInvocation {
            invoked_ms: now_ms,
            deadline_ms: invoke.deadline_ms,
            otlp_received: false,
            // Its end may have been read before its beginning: they come on different connections.
            is_done: self.table.is_runtime_done(&request_id),
            ended_ms: None,
            next_called_ms: None,
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
    pub(crate) fn note_xray(&mut self, roots: Vec<ReceivedSpan>, segments: Vec<ReceivedSegment>) {
        self.table.add_spans(roots);
        for segment in segments {
            self.table.add_xray_segment(segment);
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
            self.note_handler_end(&event, now_ms);
        }
        match event.kind {
            EventKind::RuntimeDone | EventKind::Report => self.last_failed = !event.succeeded(),
            EventKind::InitRuntimeDone if event.succeeded() => self.init = InitPhase::Succeeded,
            EventKind::InitRuntimeDone => self.init = InitPhase::NotSucceeded,
            _ => {}
        }
        self.table.add_event(event, now_ms);
    }

    /// Notes a `platform.runtimeDone`.
    fn note_handler_end(&mut self, event: &PlatformEvent, now_ms: u64) {
        if let Some(took_ms) = event.figures.duration_ms {
            self.usual_handler_ms = Some(match self.usual_handler_ms {
                // A moving average.
                Some(usual_ms) => 0.7 * usual_ms + 0.3 * took_ms,
                None => took_ms,
            });
        }
        let is_its_invocation = |current: &&mut CurrentInvocation| {
            Some(current.request_id.as_str()) == event.request_id.as_deref()
        };
        let Some(current) = self.current.as_mut().filter(is_its_invocation) else { return };
        current.is_done = true;
        // Lambda may repeat the event.
        if current.ended_ms.is_none() {
            // All times come from one clock, which may be set.
            let reported_ms = event.time_unix_nano.map_or(now_ms, |nanos| nanos / 1_000_000);
            current.ended_ms = Some(reported_ms.max(current.invoked_ms).min(now_ms));
            count_hold_time(&self.counts, current);
        }
    }

    pub(crate) fn newest(&self, now_ms: u64) -> Option<NewestInvocation> {
        let current = self.current.as_ref()?;
        let usual_ms = self.usual_handler_ms.filter(|usual| usual.is_finite());
        let trust_end_ms = self.trust_end_ms(current);
        Some(NewestInvocation {
            invoked_ms: current.invoked_ms,
            deadline_ms: current.deadline_ms,
            is_done: current.is_done,
            end_is_expected: trust_end_ms.is_none_or(|end_ms| now_ms < end_ms),
            otlp_received: current.otlp_received,
            is_rare: self.traffic.is_rare(),
            last_failed: self.last_failed,
            usual_handler: usual_ms
                .map(|usual| Duration::from_secs_f64(usual.clamp(0.0, 1e9) / 1e3)),
        })
    }

    /// Returns the time until which Lambda is expected to report this invocation's end; `None` if there is no limit.
    fn trust_end_ms(&self, current: &CurrentInvocation) -> Option<u64> {
        match self.telemetry {
            TelemetryState::Off => Some(0),
            TelemetryState::Coming => None,
            TelemetryState::Silent | TelemetryState::Failed => Some(current.invoked_ms + TRUST_MS),
        }
    }

    /// Returns `true` if `next` is held. The environment may freeze as soon as it is called.
    pub(crate) fn is_held(&self, now_ms: u64) -> bool {
        self.may_hold && self.newest(now_ms).is_some_and(|newest| is_held(&newest, now_ms))
    }

    /// Notes the call of `next`, which ends the hold.
    pub(crate) fn note_next_call(&mut self, now_ms: u64) {
        if let Some(current) = &mut self.current
            && current.next_called_ms.is_none()
        {
            current.next_called_ms = Some(now_ms);
            count_hold_time(&self.counts, current);
        }
    }

    /// Returns the first time after `decided_ms` at which [`take_due`](Self::take_due) or [`is_held`](Self::is_held) decides
    /// otherwise although no event comes; `None` if there is none.
    pub(crate) fn wake_at_ms(&self, decided_ms: u64) -> Option<u64> {
        let running = self.current.as_ref().filter(|current| !current.is_done);
        let changes = running
            .into_iter()
            .flat_map(|current| [Some(current.last_moment_ms()), self.trust_end_ms(current)])
            .flatten()
            .filter(|at_ms| *at_ms > decided_ms);
        changes.chain(self.table.release_at_ms()).min()
    }

    /// Takes the finished telemetry that is due. Shortly before the deadline all of it is due, once.
    pub(crate) fn take_due(&mut self, now_ms: u64) -> Vec<Request> {
        let mut is_last_moment = false;
        if let Some(current) = &mut self.current
            && now_ms >= current.last_moment_ms()
            && !current.written_before_deadline
        {
            current.written_before_deadline = true;
            is_last_moment = true;
        }
        self.table.take_requests(is_last_moment, now_ms)
    }

    /// Returns `true` if events of invocations are outstanding. A managed instance always expects some, because only telemetry
    /// reports its invocations. An invocation whose init phase failed has no INVOKE, and its events may still be buffered.
    pub(crate) fn is_waiting_for_reports(&self) -> bool {
        let may_have_begun = self.init == InitPhase::NotSucceeded;
        let is_waiting = self.is_managed || may_have_begun || self.table.is_waiting_for_reports();
        self.telemetry != TelemetryState::Off && is_waiting
    }

    /// The time limit for outstanding events at SHUTDOWN.
    pub(crate) fn reports_timeout(&self) -> Duration {
        if self.is_managed { MANAGED_REPORTS_TIMEOUT } else { REPORTS_TIMEOUT }
    }
}

fn count_hold_time(counts: &Counts, current: &CurrentInvocation) {
    counts.add(Count::HeldMs, usize::try_from(current.hold_ms()).unwrap_or(usize::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invocations::identity::identity;
    use extensions_api::Registration;

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
                0,
            );
            let mut state = InvocationState::new(&config, table, Arc::clone(&counts));
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
            // The limit may pass between the decision and the question when to wake.
            assert_eq!(script.state.wake_at_ms(now_ms + TRUST_MS - 1), Some(now_ms + TRUST_MS));
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
        let mut check = |request_id: &str, ended_ms, reported_ms, next_called_ms, held_ms| {
            let before = script.counts.get(Count::HeldMs);
            script.invoke(request_id, 1000);
            if next_called_ms < reported_ms {
                script.state.note_next_call(next_called_ms);
            }
            // Lambda may repeat a report, and `next` may return an unknown event.
            for reported_ms in [reported_ms, reported_ms + 1] {
                script.state.note_event(end_of(request_id, ended_ms), reported_ms);
            }
            script.state.note_next_call(next_called_ms);
            script.state.note_next_call(next_called_ms + 50_000);
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
