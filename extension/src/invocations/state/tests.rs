use super::*;
use crate::counts::{Count, Counts};
use crate::invocations::invocation_records::InvocationRecords;
use extensions_api::Registration;
use std::collections::BTreeMap;
use std::sync::Arc;

const DEADLINE_MS: u64 = 60_000;

/// A state, with the clock in milliseconds since the first invocation.
struct Story(InvocationState, Arc<Counts>);

impl Story {
    fn new() -> Self {
        let config = Config::from_source(&BTreeMap::new());
        let nothing = InvocationRecords::new(|_| Vec::new());
        let counts = Arc::new(Counts::default());
        let table =
            InvocationTable::new(&config, &Registration::default(), Arc::clone(&counts), nothing);
        let mut state = InvocationState::new(&config, table);
        state.subscribed();
        Self(state, counts)
    }

    fn invoke(&mut self, request_id: &str, now_ms: u64) {
        let invoke = Invoke {
            request_id: request_id.to_owned(),
            deadline_ms: now_ms + DEADLINE_MS,
            invoked_function_arn: String::new(),
        };
        self.0.invoke(&invoke, now_ms);
    }

    fn event(&mut self, kind: EventKind, request_id: &str, status: &str, now_ms: u64) {
        let event = PlatformEvent {
            request_id: Some(request_id.to_owned()),
            status: Some(status.to_owned()),
            ..PlatformEvent::new(kind)
        };
        self.0.telemetry(event, now_ms);
    }

    /// The time at which `next` is called if nothing else happens, found as the loop finds it.
    fn next_at(&mut self, mut now_ms: u64) -> u64 {
        while !self.0.may_call_next(now_ms) {
            let wake_at = self.0.wake_at_ms(now_ms).expect("who waits, waits for something");
            assert!(wake_at > now_ms, "the loop would spin at {now_ms}");
            now_ms = wake_at;
        }
        now_ms
    }
}

#[test]
fn missing_telemetry_is_awaited_for_a_limited_time() {
    let mut story = Story::new();
    story.invoke("first", 0);
    assert_eq!(story.next_at(0), TRUST_MS);
    story.invoke("second", 100_000);
    assert_eq!(story.next_at(100_000), 100_000 + TRUST_MS);
}

#[test]
fn the_hold_ends_with_runtime_done_or_before_the_deadline() {
    let mut story = Story::new();
    story.event(EventKind::InitStart, "", "success", 0);
    story.invoke("first", 0);
    assert_eq!(story.next_at(0), DEADLINE_MS - BEFORE_DEADLINE_MS);
    story.event(EventKind::RuntimeDone, "first", "success", 30);
    assert_eq!(story.next_at(30), 30);
}

#[test]
fn telemetry_is_trusted_again_after_it_reports_an_end() {
    let mut story = Story::new();
    story.event(EventKind::InitStart, "", "success", 0);
    story.invoke("first", 0);
    assert_eq!(story.next_at(0), DEADLINE_MS - BEFORE_DEADLINE_MS);
    story.invoke("second", 100_000);
    assert_eq!(story.next_at(100_000), 100_000 + TRUST_MS);
    story.event(EventKind::RuntimeDone, "second", "success", 101_000);
    story.invoke("third", 200_000);
    assert_eq!(story.next_at(200_000), 200_000 + DEADLINE_MS - BEFORE_DEADLINE_MS);
}

#[test]
fn an_invocation_is_held_if_the_previous_one_failed() {
    let mut story = Story::new();
    story.event(EventKind::InitStart, "", "success", 0);
    for (request_id, now_ms) in [("first", 0), ("second", 100), ("third", 200)] {
        story.invoke(request_id, now_ms);
    }
    assert_eq!(story.next_at(200), 200);
    story.event(EventKind::RuntimeDone, "third", "error", 210);
    story.invoke("fourth", 300);
    assert!(!story.0.may_call_next(300));
    story.event(EventKind::RuntimeDone, "fourth", "success", 310);
    assert_eq!(story.next_at(310), 310);
    story.invoke("fifth", 400);
    assert_eq!(story.next_at(400), 400);
}

#[test]
fn a_near_or_missing_deadline_disables_the_hold() {
    let mut story = Story::new();
    story.event(EventKind::InitStart, "", "success", 0);
    story.invoke("first", 0);
    assert_eq!(story.next_at(DEADLINE_MS - 1), DEADLINE_MS - 1);
    story.0.invoke(&Invoke { request_id: "second".to_owned(), ..Invoke::default() }, 100_000);
    assert_eq!(story.next_at(100_000), 100_000);
}

#[test]
fn a_pending_platform_event_is_written_before_the_deadline() {
    let mut story = Story::new();
    story.invoke("first", 0);
    assert!(story.0.due(0).is_empty());
    let mut dropped = PlatformEvent::new(EventKind::LogsDropped);
    dropped.figures.dropped_records = Some(3.0);
    story.0.telemetry(dropped, 10);
    assert!(story.0.due(10).is_empty());
    let last_moment = story.0.wake_at_ms(10).expect("the deadline");
    assert_eq!(last_moment, DEADLINE_MS - BEFORE_DEADLINE_MS);
    assert_eq!(story.0.due(last_moment).len(), 1);
    assert!(story.0.due(last_moment + 1).is_empty());
    assert_eq!(story.0.wake_at_ms(last_moment), None);
}

/// Checks the hold time of an invocation, given the times of its end, of Lambda's report, and of `next`.
fn held(
    story: &mut Story,
    request_id: &str,
    ended_ms: u64,
    told_ms: u64,
    asked_ms: u64,
    held_ms: u64,
) {
    let before = story.1.get(Count::HeldMs);
    story.invoke(request_id, 1000);
    let end = PlatformEvent {
        request_id: Some(request_id.to_owned()),
        time_unix_nano: Some(ended_ms * 1_000_000),
        ..PlatformEvent::new(EventKind::RuntimeDone)
    };
    if asked_ms < told_ms {
        story.0.asked(asked_ms);
    }
    // Lambda may repeat a report, and `next` may return an unknown event.
    story.0.telemetry(end.clone(), told_ms);
    story.0.telemetry(end, told_ms + 1);
    story.0.asked(asked_ms);
    story.0.asked(asked_ms + 50_000);
    assert_eq!(story.1.get(Count::HeldMs) - before, held_ms, "{request_id}");
}

#[test]
fn hold_time_lasts_from_handler_end_to_the_next_call() {
    let mut story = Story::new();
    let mut check = |request_id: &str, ended_ms, told_ms, asked_ms, held_ms| {
        held(&mut story, request_id, ended_ms, told_ms, asked_ms, held_ms);
    };
    check("held for its end", 1010, 1038, 1039, 29);
    check("held for a flush", 1010, 1038, 2038, 1028);
    check("not held", 1010, 1038, 1000, 0);
    check("held until shortly before the deadline", 1010, 60_000, 59_850, 58_840);
    check("of a clock that was set", 7, 1038, 1039, 39);
    check("of a clock that was set back", 900_000, 1038, 1039, 1);
    // Its end is told when the next one has begun.
    story.invoke("untold", 1000);
    story.0.asked(1500);
    story.invoke("the one after it", 1600);
    let end = PlatformEvent {
        request_id: Some("untold".to_owned()),
        time_unix_nano: Some(1_010_000_000),
        ..PlatformEvent::new(EventKind::RuntimeDone)
    };
    let before = story.1.get(Count::HeldMs);
    story.0.telemetry(end, 1610);
    assert_eq!(story.1.get(Count::HeldMs) - before, 490);
}
