//! Decides when `next` is called, and when the buffer is flushed or spilled: pure functions of the invocation, the traffic and the
//! backend's health.
//!
//! To hold an invocation is not to call `next`, after which Lambda may freeze the environment. A rare invocation is held until
//! Lambda reports its end, because its telemetry would otherwise wait for the next one.
//!
//! During a flush the loop does not call `next`, because no request may be in flight across a freeze. A flush while a longer
//! handler runs costs nothing. A flush after the handler costs its own time, so it happens only if telemetry would otherwise wait
//! too long.

use std::time::Duration;

/// Time before the deadline at which finished telemetry is written and the buffer is spilled, because Lambda may kill the
/// environment at the deadline. No invocation is held longer.
const BEFORE_DEADLINE: Duration = Duration::from_millis(BEFORE_DEADLINE_MS);
const BEFORE_DEADLINE_MS: u64 = 150;
/// Time before the deadline at which the buffer is flushed, because the invocation may time out.
const LAST_CHANCE: Duration = Duration::from_millis(LAST_CHANCE_MS);
const LAST_CHANCE_MS: u64 = 650;
/// The time limit of a flush during a handler if the user's time limit is 0, which only means that no invocation is held.
const LONGEST_DURING_HANDLER: Duration = Duration::from_secs(1);
/// Time between the end of a flush and the deadline.
const RESERVE: Duration = Duration::from_millis(100);
/// Time at SHUTDOWN reserved for spilling.
const SPILL_TIME: Duration = Duration::from_millis(300);
/// Additional time for each MiB in the buffer: compressing one takes 50 to 120 ms of a whole CPU, and a small function has only a
/// part of one.
const SPILL_TIME_PER_MIB: Duration = Duration::from_millis(600);
/// The age at which telemetry is sent at the end of an invocation, even if invocations are frequent.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// The number of an environment's first invocations, which are held for a flush: they say nothing about the traffic yet.
const FIRST_INVOCATIONS: u64 = 3;
/// The time between invocations above which they are rare.
const RARE_MS: u64 = 30_000;

/// The usual time between the beginnings of invocations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    last_ms: Option<u64>,
    usual_gap_ms: Option<u64>,
}

impl Traffic {
    pub(crate) fn note_invocation(&mut self, now_ms: u64) {
        if let Some(last) = self.last_ms {
            // A clock set back gives no gap.
            let gap = now_ms.saturating_sub(last);
            self.usual_gap_ms = Some(match self.usual_gap_ms {
                // A moving average: neither one pause nor one burst decides.
                Some(usual) => (usual.saturating_mul(7).saturating_add(gap.saturating_mul(3))) / 10,
                None => gap,
            });
        }
        self.last_ms = Some(now_ms);
    }

    /// Returns `true` if invocations are rare. The first one counts as rare, because the telemetry of a function with a single
    /// invocation would wait for SHUTDOWN.
    pub(crate) fn is_rare(&self) -> bool {
        self.usual_gap_ms.is_none_or(|gap| gap > RARE_MS)
    }
}

/// The facts about the newest invocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "facts that have nothing in common")]
pub(crate) struct NewestInvocation {
    pub(crate) invoked_ms: u64,
    pub(crate) deadline_ms: u64,
    /// Lambda reported the handler's end, so its deadline is void.
    pub(crate) is_done: bool,
    /// Lambda is expected to report it.
    pub(crate) end_is_expected: bool,
    /// OTLP of this invocation was received and written.
    pub(crate) otlp_received: bool,
    pub(crate) is_rare: bool,
    pub(crate) last_failed: bool,
    /// The usual duration of the handler, if known.
    pub(crate) usual_handler: Option<Duration>,
}

/// Returns `true` if `next` is held for the report of the handler's end. The loop asks after each event.
pub(crate) fn is_held(newest: &NewestInvocation, now_ms: u64) -> bool {
    let may_wait_for_end =
        newest.end_is_expected && !newest.is_done && now_ms < last_moment_ms(newest.deadline_ms);
    let is_worth_it = newest.last_failed || (newest.is_rare && !newest.otlp_received);
    may_wait_for_end && is_worth_it
}

/// The time from which an invocation with this deadline may no longer be held.
pub(crate) fn last_moment_ms(deadline_ms: u64) -> u64 {
    deadline_ms.saturating_sub(BEFORE_DEADLINE_MS)
}

/// The facts about the buffer, unless it is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BufferedTelemetry {
    /// The age of the oldest batch.
    pub(crate) oldest: Duration,
    /// The oldest batch is older than this invocation.
    pub(crate) is_from_earlier_invocation: bool,
    /// The buffer is more than half full.
    pub(crate) is_half_full: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InvocationPhase {
    /// The handler runs, as far as Lambda has reported, and `next` is not called.
    Running,
    /// Lambda reported the end of the handler.
    Done,
    /// `next` is called, so the environment may freeze at any moment.
    NextCalled,
    /// A managed instance, which Lambda neither freezes nor informs of invocations.
    Unbounded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlushFacts {
    pub(crate) phase: InvocationPhase,
    /// The default if no invocation is known.
    pub(crate) newest: NewestInvocation,
    /// `None` if the buffer is empty.
    pub(crate) buffered: Option<BufferedTelemetry>,
    /// Several flushes failed, so the next one is a probe.
    pub(crate) is_failing: bool,
    /// The next flush is not due, because the one before failed.
    pub(crate) is_paused: bool,
    /// The time limit of a probe of a failing backend.
    pub(crate) probe_timeout: Duration,
    /// Time until the deadline.
    pub(crate) time_left: Duration,
    /// The number of invocations, including this one.
    pub(crate) invocations: u64,
    /// The usual duration of a flush.
    pub(crate) usual_flush: Duration,
    /// The time limit of a flush; after the handler, the rest of the hold time.
    pub(crate) flush_timeout: Duration,
    /// The time telemetry may wait while a handler runs.
    pub(crate) interval: Duration,
}

/// The decision, made again after each event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Send nothing; `next` may be called.
    Pass,
    /// Do not call `next` until the handler has ended or a flush is due.
    Hold,
    /// Flush the buffer, and do not call `next` meanwhile.
    Flush { at_most: Duration },
    /// Write the buffer to stdout.
    Spill,
}

pub(crate) fn decide(facts: &FlushFacts) -> Decision {
    let at_most = flush_time(facts);
    let may_flush = !facts.is_paused && !at_most.is_zero();
    let flush = Decision::Flush { at_most };
    match facts.phase {
        InvocationPhase::Unbounded if may_flush && is_due(facts) => flush,
        InvocationPhase::Unbounded => Decision::Pass,
        _ if is_near_deadline(facts) => {
            if facts.buffered.is_some() {
                Decision::Spill
            } else {
                Decision::Pass
            }
        }
        InvocationPhase::Done
            if may_flush && facts.buffered.is_some() && should_hold_for_flush(facts) =>
        {
            flush
        }
        InvocationPhase::Running if should_flush_before_timeout(facts) => {
            let until_spill = facts.time_left.saturating_sub(BEFORE_DEADLINE);
            Decision::Flush { at_most: until_spill.min(flush_timeout(facts)) }
        }
        InvocationPhase::Running if may_flush && should_flush_during_handler(facts) => flush,
        InvocationPhase::Running if should_hold_for_flush(facts) => Decision::Hold,
        InvocationPhase::Done | InvocationPhase::Running | InvocationPhase::NextCalled => {
            Decision::Pass
        }
    }
}

/// Returns the time that a flush may take; 0 if it should not begin.
fn flush_time(facts: &FlushFacts) -> Duration {
    let until_deadline = flush_timeout(facts).min(facts.time_left.saturating_sub(RESERVE));
    // On a managed instance no invocation waits for a probe.
    let is_probe = facts.is_failing && facts.phase != InvocationPhase::Unbounded;
    if is_probe { until_deadline.min(facts.probe_timeout) } else { until_deadline }
}

/// Returns the time limit of a flush, apart from the deadline and the backend's health.
fn flush_timeout(facts: &FlushFacts) -> Duration {
    let is_after_handler = facts.phase == InvocationPhase::Done;
    if facts.flush_timeout.is_zero() && !is_after_handler {
        LONGEST_DURING_HANDLER
    } else {
        facts.flush_timeout
    }
}

/// Returns `true` if the telemetry is old or much.
fn is_due(facts: &FlushFacts) -> bool {
    facts
        .buffered
        .is_some_and(|buffered| buffered.is_half_full || buffered.oldest >= facts.interval)
}

/// The facts about the time of the next decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WakeFacts {
    /// The deadline of a running handler.
    pub(crate) deadline_ms: Option<u64>,
    /// `next` is called, so no flush begins before the deadline.
    pub(crate) next_is_called: bool,
    /// The time at which the buffer is old enough for a flush; `None` if none can begin.
    pub(crate) flush_due_ms: Option<u64>,
    /// The time at which the records of printed lines move to the buffer.
    pub(crate) lines_due_ms: Option<u64>,
    /// The time of the last decision.
    pub(crate) decided_ms: u64,
}

/// The next time at which [`decide`] may decide otherwise although no event comes; `None` if there is none.
pub(crate) fn next_decision_ms(facts: &WakeFacts) -> Option<u64> {
    let last_chance = facts.deadline_ms.map(|deadline| deadline.saturating_sub(LAST_CHANCE_MS));
    let times = [
        last_chance.filter(|_| !facts.next_is_called),
        facts.deadline_ms.map(last_moment_ms),
        facts.lines_due_ms,
        facts.flush_due_ms,
    ];
    // Compare with the last decision and not with now: a task that became due since then is due now.
    times.into_iter().flatten().filter(|at| *at > facts.decided_ms).min()
}

/// Returns `true` if Lambda may kill the environment soon. A handler that has ended cannot time out.
pub(crate) fn is_near_deadline(facts: &FlushFacts) -> bool {
    !facts.newest.is_done && facts.time_left <= BEFORE_DEADLINE
}

/// Returns `true` if the invocation is held for a flush, but would time out before it.
fn should_flush_before_timeout(facts: &FlushFacts) -> bool {
    facts.buffered.is_some()
        && facts.time_left <= LAST_CHANCE
        && !facts.is_paused
        && should_hold_for_flush(facts)
}

/// Returns `true` if the invocation is held until its telemetry is sent.
fn should_hold_for_flush(facts: &FlushFacts) -> bool {
    let newest = &facts.newest;
    let may_hold = newest.end_is_expected && !facts.is_failing && !facts.flush_timeout.is_zero();
    let telemetry_should_not_wait = facts
        .buffered
        .is_some_and(|buffered| buffered.is_half_full || buffered.oldest >= LONGEST_WAIT);
    // Lambda reports the end 25 ms late, which is little compared with such a handler.
    let handlers_are_long = newest.usual_handler.is_some_and(|usual| usual >= facts.interval);
    let is_worth_it = facts.invocations <= FIRST_INVOCATIONS
        || newest.is_rare
        || newest.last_failed
        || telemetry_should_not_wait
        || handlers_are_long;
    may_hold && is_worth_it
}

/// Returns `true` if the buffer is flushed while the handler runs. A flush that outlasts the handler costs money, so frequent
/// invocations share one.
fn should_flush_during_handler(facts: &FlushFacts) -> bool {
    let is_from_earlier_invocation =
        facts.buffered.is_some_and(|buffered| buffered.is_from_earlier_invocation);
    let flush_ends_first =
        facts.newest.usual_handler.is_some_and(|usual| usual >= facts.usual_flush);
    is_due(facts)
        || (is_from_earlier_invocation && (flush_ends_first || should_hold_for_flush(facts)))
}

/// Returns the part of the time `left` at SHUTDOWN in which the buffer is sent: at least a quarter. The rest is for spilling.
pub(crate) fn last_send_time(left: Duration, buffered_bytes: usize) -> Duration {
    let kibibytes = u32::try_from(buffered_bytes >> 10).unwrap_or(u32::MAX);
    let reserve = SPILL_TIME + SPILL_TIME_PER_MIB.saturating_mul(kibibytes) / 1024;
    left.saturating_sub(reserve).max(left / 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Parses a situation. The default is a steady, short, successful function with a healthy backend.
    fn facts(words: &str) -> FlushFacts {
        let has = |word: &str| words.split(' ').any(|part| part == word);
        let number = |name: &str| {
            let value =
                words.split(' ').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
            value.map(|value| value.parse::<u64>().unwrap())
        };
        let oldest = number("oldest").map(ms);
        FlushFacts {
            phase: match () {
                () if has("done") => InvocationPhase::Done,
                () if has("next-called") => InvocationPhase::NextCalled,
                () if has("managed") => InvocationPhase::Unbounded,
                () => InvocationPhase::Running,
            },
            newest: NewestInvocation {
                is_done: has("done") || has("after-done"),
                end_is_expected: !has("unexpected"),
                is_rare: has("rare"),
                last_failed: has("failed"),
                usual_handler: number("handler").map(ms),
                ..NewestInvocation::default()
            },
            buffered: oldest.map(|oldest| BufferedTelemetry {
                oldest,
                is_from_earlier_invocation: has("earlier"),
                is_half_full: has("half-full"),
            }),
            is_failing: has("failing"),
            is_paused: has("paused"),
            probe_timeout: ms(number("probe").unwrap_or(250)),
            time_left: number("left").map_or(ms(3000), ms),
            invocations: number("invocations").unwrap_or(100),
            usual_flush: ms(30),
            flush_timeout: ms(number("timeout").unwrap_or(1000)),
            interval: ms(5000),
        }
    }

    #[test]
    fn traffic_is_rare_if_the_usual_gap_is_long() {
        let check = |times_s: &[u64], expected| {
            let mut traffic = Traffic::default();
            for second in times_s {
                traffic.note_invocation(second * 1000);
            }
            assert_eq!(traffic.is_rare(), expected, "{times_s:?}");
        };
        check(&[], true);
        check(&[100], true);
        check(&[100, 101], false);
        check(&[100, 160], true);
        // One pause in dense traffic, and one burst in rare traffic.
        check(&[100, 101, 102, 103, 163], false);
        check(&[100, 700, 701], true);
        check(&[100, 700, 701, 702, 703, 704, 705, 706, 707, 708, 709, 710, 711], false);
        // A clock set back.
        check(&[100, 50], false);
        let mut traffic = Traffic::default();
        for now_ms in [0, u64::MAX, 0, u64::MAX] {
            traffic.note_invocation(now_ms);
        }
        assert!(traffic.is_rare());
    }

    #[test]
    fn the_next_decision_is_at_the_first_time_after_the_last_one() {
        let deadline_ms = Some(10_000);
        let wake = |facts: WakeFacts| next_decision_ms(&facts);
        assert_eq!(wake(WakeFacts::default()), None);
        let running = WakeFacts { deadline_ms, ..WakeFacts::default() };
        assert_eq!(wake(running), Some(10_000 - 650));
        // The last chance has passed, or is none.
        assert_eq!(wake(WakeFacts { decided_ms: 9_350, ..running }), Some(10_000 - 150));
        assert_eq!(wake(WakeFacts { next_is_called: true, ..running }), Some(10_000 - 150));
        assert_eq!(wake(WakeFacts { decided_ms: 9_850, ..running }), None);
        let buffered =
            WakeFacts { flush_due_ms: Some(6_000), lines_due_ms: Some(5_000), ..running };
        assert_eq!(wake(buffered), Some(5_000));
        assert_eq!(wake(WakeFacts { decided_ms: 5_000, ..buffered }), Some(6_000));
    }

    /// The situations that the documentation does not list.
    #[test]
    fn the_schedule_decides_by_traffic_deadline_and_backend_health() {
        let check = |words: &str, expected: &str| {
            let decided = match decide(&facts(words)) {
                Decision::Pass => "pass".to_owned(),
                Decision::Hold => "hold".to_owned(),
                Decision::Spill => "spill".to_owned(),
                Decision::Flush { at_most } => format!("flush {}", at_most.as_millis()),
            };
            assert_eq!(decided, expected, "{words}");
        };
        // Frequent invocations are not held, and later ones send their telemetry.
        check("", "pass");
        check("oldest=1", "pass");
        check("oldest=100 earlier", "pass");
        check("oldest=100 earlier handler=10", "pass");
        check("oldest=100 earlier half-full", "flush 1000");
        // Rare invocations, the first ones, and those after a failure are held for a flush.
        for kept in ["rare", "invocations=3", "failed"] {
            check(kept, "hold");
            check(&format!("{kept} oldest=1"), "hold");
            check(&format!("{kept} oldest=1 earlier"), "flush 1000");
            check(&format!("{kept} done"), "pass");
            check(&format!("{kept} done oldest=1"), "flush 1000");
            check(&format!("{kept} done oldest=1 paused"), "pass");
            check(&format!("{kept} unexpected"), "pass");
            check(&format!("{kept} done oldest=1 unexpected"), "pass");
        }
        check("invocations=4", "pass");
        check("rare timeout=0", "pass");
        // Earlier handlers announce long ones.
        check("handler=6000", "hold");
        check("handler=6000 oldest=4999", "hold");
        check("handler=6000 oldest=5000", "flush 1000");
        // The deadline bounds the flush, and ends the buffered.
        check("rare done oldest=1 left=400", "flush 300");
        check("rare done oldest=1 left=151", "flush 51");
        check("rare oldest=1 left=150", "spill");
        check("next-called oldest=1 left=150", "spill");
        // Before that, a healthy backend gets the buffer if the invocation is held anyway.
        check("rare oldest=1 left=651", "hold");
        check("rare oldest=1 left=650", "flush 500");
        check("rare oldest=1 left=151", "flush 1");
        check("rare oldest=1 left=650 timeout=100", "flush 100");
        check("rare left=650", "hold");
        check("rare oldest=1 left=650 paused", "hold");
        check("rare oldest=1 left=650 failing", "pass");
        check("oldest=1 left=650", "pass");
        check("rare oldest=1 left=650 timeout=0", "pass");
        check("next-called oldest=1 left=650", "pass");
        check("rare left=150", "pass");
        check("rare left=0", "pass");
        // A handler that has ended cannot time out.
        check("rare done oldest=1 left=150", "flush 50");
        check("rare done oldest=1 left=100", "pass");
        check("next-called after-done oldest=1 left=150", "pass");
        check("next-called after-done oldest=60000 left=0", "pass");
        // No invocation is kept for a flush, which is still sent during a handler.
        check("oldest=5000 timeout=0", "flush 1000");
        check("oldest=5000 failing timeout=0", "flush 250");
        check("managed oldest=5000 timeout=0", "flush 1000");
        // Nothing is sent while the environment may freeze.
        check("next-called oldest=60000 earlier half-full", "pass");
        // A backend that takes nothing is probed during the handler, and nothing is held for it.
        check("rare oldest=1 failing", "pass");
        check("rare oldest=5000 failing", "flush 250");
        check("rare oldest=5000 failing probe=500", "flush 500");
        check("rare oldest=5000 failing probe=2000", "flush 1000");
        check("oldest=100 earlier handler=50 failing", "flush 250");
        check("rare oldest=5000 failing paused", "pass");
        check("rare done oldest=60000 failing", "pass");
        check("failed done oldest=60000 half-full failing", "pass");
        check("oldest=5000 paused", "pass");
        // A managed instance is never frozen.
        check("managed", "pass");
        check("managed oldest=4999", "pass");
        check("managed oldest=60000 failing paused", "pass");
        check("managed oldest=60000 failing", "flush 1000");
    }

    /// The answers to "When does it flush?" in docs/layer.md: a situation, and the facts that stand for it. The first row that fits
    /// applies.
    const DOCUMENTED: &[(&str, &[&str])] = &[
        (
            "a managed instance, telemetry 5 s old or buffer half full",
            &["managed oldest=5000", "managed oldest=1 half-full"],
        ),
        ("150 ms before the handler's timeout", &["oldest=1 left=150", "oldest=1 rare left=150"]),
        (
            "the backend failed three times, a handler runs, telemetry 5 s old",
            &["oldest=5000 failing"],
        ),
        ("the backend failed three times, a handler ends", &["done oldest=60000 rare failing"]),
        (
            "a handler runs, telemetry 5 s old or buffer half full",
            &["oldest=5000", "oldest=1 half-full"],
        ),
        (
            "a handler runs, telemetry of an earlier invocation, handlers take longer than a flush",
            &["oldest=1 earlier handler=50"],
        ),
        ("a handler runs, any other telemetry", &["oldest=4999"]),
        (
            "a handler ends, `OTEL_LAMBDA_FLUSH_TIMEOUT=0`",
            &["done oldest=1 rare timeout=0", "done oldest=1 failed timeout=0"],
        ),
        ("a handler ends, the first three of an environment", &["done oldest=1 invocations=3"]),
        ("a handler ends, the one after a failed one", &["done oldest=1 failed"]),
        ("a handler ends, invocations more than 30 s apart", &["done oldest=1 rare"]),
        ("a handler ends, handlers usually take 5 s or more", &["done oldest=1 handler=5000"]),
        (
            "a handler ends, telemetry 20 s old or buffer half full",
            &["done oldest=20000", "done oldest=1 half-full"],
        ),
        ("a handler ends, any other", &["done oldest=19999", "done oldest=1 earlier"]),
    ];

    #[test]
    fn the_documentation_says_when_telemetry_is_flushed() {
        let mut table = "| situation | the telemetry |\n|---|---|\n".to_owned();
        for (situation, facts) in DOCUMENTED {
            let mut answers: Vec<String> = facts.iter().map(|words| answer(words)).collect();
            answers.dedup();
            assert_eq!(answers.len(), 1, "{situation}: {answers:?}");
            writeln!(table, "| {situation} | {} |", answers.concat()).unwrap();
        }
        let page = include_str!("../../docs/layer.md");
        assert!(page.contains(&table), "docs/layer.md should contain:\n{table}");
    }

    fn answer(words: &str) -> String {
        match decide(&facts(words)) {
            Decision::Pass | Decision::Hold => "waits".to_owned(),
            Decision::Spill => "is written to the log".to_owned(),
            Decision::Flush { at_most } if at_most == ms(1000) => "is sent".to_owned(),
            Decision::Flush { at_most } => {
                format!("is sent, within {} ms at first", at_most.as_millis())
            }
        }
    }

    #[test]
    fn shutdown_reserves_time_for_spilling() {
        let check = |left, kibibytes: usize, expected| {
            assert_eq!(
                last_send_time(ms(left), kibibytes << 10),
                ms(expected),
                "{left} {kibibytes}"
            );
        };
        check(2000, 0, 1700);
        check(2000, 512, 1400);
        check(2000, 1024, 1100);
        check(2000, 16 * 1024, 500);
        check(200, 0, 50);
    }
}
