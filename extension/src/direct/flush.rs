//! Decides when what waits is sent: a pure function of what is known of the invocation, of the traffic and of the backend.
//!
//! While a request is under way `next` is not called, since nothing may be in flight across a freeze. So a flush beside the
//! handler costs nothing where the handler takes longer, and a flush after it costs its time, which is spent only where the
//! data would wait for too long otherwise.

use crate::config::HoldMode;
use std::time::Duration;

/// An invocation that comes near its deadline has nothing left to wait for.
pub(super) const BEFORE_DEADLINE: Duration = Duration::from_millis(150);
/// An invocation that comes so near may time out: what waits is sent now, in the time until it would be spilled.
pub(super) const LAST_CHANCE: Duration = Duration::from_millis(650);
/// The length of a flush beside a handler where no invocation is to be kept for one at all.
const BESIDE_HANDLER: Duration = Duration::from_secs(1);
/// A flush ends so long before the deadline.
const RESERVE: Duration = Duration::from_millis(100);
/// What is older than this is sent at the end of an invocation, however frequent they are.
const OLDEST: Duration = Duration::from_secs(20);
/// The first invocations of an environment say nothing yet of its traffic.
const FIRST: u64 = 3;
/// While the backend takes nothing it is asked for so long at most.
pub(super) const PROBE: Duration = Duration::from_millis(250);

/// What waits in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// How long the oldest of it has waited.
    pub(super) oldest: Duration,
    /// It has waited since before this invocation.
    pub(super) is_left_over: bool,
    /// It fills more than half of the buffer.
    pub(super) is_much: bool,
}

/// How the backend is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// It takes what it is sent, as far as is known.
    Good,
    /// It asked for a pause.
    Paused,
    /// It took nothing several times: a probe is due.
    Open,
    /// It took nothing several times, and the next probe is not due.
    OpenAndPaused,
}

/// How far the invocation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The handler runs, as far as is known.
    Running,
    /// Lambda has told of its end.
    Done,
    /// `next` is called, after which the environment may freeze at any moment.
    Asking,
    /// There are no invocations to be told of, and no freezes: a managed instance.
    Unbounded,
}

/// All that the decision depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "facts that have nothing in common")]
pub(super) struct Facts {
    pub(super) phase: Phase,
    /// Lambda has told of the handler's end, whether `next` is called or not: its deadline means nothing any more.
    pub(super) is_done: bool,
    /// `None` where nothing does.
    pub(super) waiting: Option<Waiting>,
    pub(super) health: Health,
    /// Until the invocation times out.
    pub(super) left: Duration,
    /// How many there were, this one included.
    pub(super) invocations: u64,
    pub(super) hold: HoldMode,
    /// Lambda can be trusted to tell of the handler's end.
    pub(super) is_told_of_end: bool,
    pub(super) is_rare: bool,
    pub(super) last_failed: bool,
    /// How long the handler usually takes, where that is known.
    pub(super) handler: Option<Duration>,
    /// How long a flush usually takes.
    pub(super) cost: Duration,
    /// The longest that a flush may take; after the handler what is left of the time that its invocation is kept for.
    pub(super) flush_timeout: Duration,
    /// How long telemetry waits while a handler runs.
    pub(super) interval: Duration,
}

/// What is done now; asked again after each event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nothing is sent, and `next` may be called.
    Pass,
    /// `next` is held until the handler has ended or something is due.
    Hold,
    /// All that waits is sent, for at most so long, and `next` is held meanwhile.
    Flush { at_most: Duration },
    /// All that waits is written as lines.
    Spill,
}

/// What to do.
pub(super) fn decide(facts: &Facts) -> Decision {
    let is_open = matches!(facts.health, Health::Open | Health::OpenAndPaused);
    let is_asked = matches!(facts.health, Health::Good | Health::Open);
    // Who wants no invocation to be kept still wants its telemetry to be sent.
    let is_beside = facts.phase != Phase::Done && facts.flush_timeout.is_zero();
    let longest = if is_beside { BESIDE_HANDLER } else { facts.flush_timeout };
    let budget = longest.min(facts.left.saturating_sub(RESERVE));
    let at_most = if is_open { budget.min(PROBE) } else { budget };
    let may_try = is_asked && !at_most.is_zero();
    let flush = Decision::Flush { at_most };
    if facts.phase == Phase::Unbounded {
        let is_due = facts
            .waiting
            .is_some_and(|waiting| waiting.is_much || waiting.oldest >= facts.interval);
        return if is_due && may_try { flush } else { Decision::Pass };
    }
    if is_near_deadline(facts) {
        return if facts.waiting.is_some() { Decision::Spill } else { Decision::Pass };
    }
    match facts.phase {
        Phase::Done if facts.waiting.is_some() && may_try && ends_with_flush(facts) => flush,
        Phase::Running if is_last_chance(facts) => {
            Decision::Flush { at_most: facts.left.saturating_sub(BEFORE_DEADLINE).min(longest) }
        }
        Phase::Running if may_try && pays_beside_handler(facts) => flush,
        Phase::Running if ends_with_flush(facts) => Decision::Hold,
        _ => Decision::Pass,
    }
}

/// Whether the handler may be killed soon, and the environment with it. One that has ended cannot time out.
pub(super) fn is_near_deadline(facts: &Facts) -> bool {
    !facts.is_done && facts.left <= BEFORE_DEADLINE
}

/// Whether what an invocation has left that is kept anyway would be spilled if it timed out, though the backend takes it.
fn is_last_chance(facts: &Facts) -> bool {
    facts.waiting.is_some()
        && facts.left <= LAST_CHANCE
        && facts.health == Health::Good
        && ends_with_flush(facts)
}

/// Whether the invocation is kept until its telemetry is sent.
fn ends_with_flush(facts: &Facts) -> bool {
    let may_wait =
        matches!(facts.health, Health::Good | Health::Paused) && !facts.flush_timeout.is_zero();
    let waits_long =
        facts.waiting.is_some_and(|waiting| waiting.is_much || waiting.oldest >= OLDEST);
    // Lambda tells of the end 25 ms late, which is nothing beside such a handler.
    let is_long = facts.handler.is_some_and(|usual| usual >= facts.interval);
    let is_wanted =
        facts.invocations <= FIRST || facts.is_rare || facts.last_failed || waits_long || is_long;
    match facts.hold {
        HoldMode::Never => false,
        HoldMode::Always => facts.is_told_of_end && may_wait,
        HoldMode::Auto => facts.is_told_of_end && may_wait && is_wanted,
    }
}

/// Whether what waits is sent while the handler runs. A flush that outlasts it would be paid for, so that one of frequent
/// invocations has to carry what has gathered for a while.
fn pays_beside_handler(facts: &Facts) -> bool {
    let Some(waiting) = facts.waiting else { return false };
    let is_covered =
        facts.handler.is_some_and(|usual| usual >= facts.cost) || ends_with_flush(facts);
    let is_due = waiting.is_much || waiting.oldest >= facts.interval;
    is_due || (waiting.is_left_over && is_covered)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// The situation that the words describe: a steady, short, successful function with a healthy backend where they do not.
    fn facts(words: &str) -> Facts {
        let has = |word: &str| words.split(' ').any(|part| part == word);
        let number = |name: &str| {
            let value =
                words.split(' ').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
            value.map(|value| value.parse::<u64>().unwrap())
        };
        let oldest = number("oldest").map(ms);
        Facts {
            phase: match () {
                () if has("done") => Phase::Done,
                () if has("asking") => Phase::Asking,
                () if has("managed") => Phase::Unbounded,
                () => Phase::Running,
            },
            is_done: has("done") || has("after-done"),
            waiting: oldest.map(|oldest| Waiting {
                oldest,
                is_left_over: has("left-over"),
                is_much: has("much"),
            }),
            health: match () {
                () if has("paused") => Health::Paused,
                () if has("open") => Health::Open,
                () if has("open-paused") => Health::OpenAndPaused,
                () => Health::Good,
            },
            left: number("left").map_or(ms(3000), ms),
            invocations: number("invocations").unwrap_or(100),
            hold: match () {
                () if has("never") => HoldMode::Never,
                () if has("always") => HoldMode::Always,
                () => HoldMode::Auto,
            },
            is_told_of_end: !has("untold"),
            is_rare: has("rare"),
            last_failed: has("failed"),
            handler: number("handler").map(ms),
            cost: ms(30),
            flush_timeout: ms(number("timeout").unwrap_or(1000)),
            interval: ms(5000),
        }
    }

    #[test]
    fn it_sends_where_it_costs_nothing_or_pays() {
        let check = |words: &str, expected: &str| {
            let decided = match decide(&facts(words)) {
                Decision::Pass => "pass".to_owned(),
                Decision::Hold => "hold".to_owned(),
                Decision::Spill => "spill".to_owned(),
                Decision::Flush { at_most } => format!("flush {}", at_most.as_millis()),
            };
            assert_eq!(decided, expected, "{words}");
        };
        // Frequent invocations are not held, and what one leaves is sent beside a later one.
        check("", "pass");
        check("oldest=1", "pass");
        check("oldest=100 left-over", "pass");
        check("oldest=100 left-over handler=10", "pass");
        check("oldest=100 left-over handler=50", "flush 1000");
        check("oldest=5000 left-over", "flush 1000");
        check("oldest=100 left-over much", "flush 1000");
        check("done oldest=100", "pass");
        check("done oldest=20000", "flush 1000");
        check("done oldest=100 much", "flush 1000");
        // Rare ones, the first ones, and those after a failure are held until what they leave is sent.
        for kept in ["rare", "invocations=3", "failed", "always"] {
            check(kept, "hold");
            check(&format!("{kept} oldest=1"), "hold");
            check(&format!("{kept} oldest=1 left-over"), "flush 1000");
            check(&format!("{kept} done"), "pass");
            check(&format!("{kept} done oldest=1"), "flush 1000");
            check(&format!("{kept} done oldest=1 paused"), "pass");
            check(&format!("{kept} untold"), "pass");
            check(&format!("{kept} done oldest=1 untold"), "pass");
        }
        check("invocations=4", "pass");
        check("never rare failed oldest=1", "pass");
        check("never rare failed done oldest=30000", "pass");
        check("never oldest=5000", "flush 1000");
        check("rare timeout=0", "pass");
        check("rare done oldest=1 timeout=0", "pass");
        // Long handlers are told by the ones before.
        check("handler=6000", "hold");
        check("handler=6000 oldest=4999", "hold");
        check("handler=6000 oldest=5000", "flush 1000");
        // The deadline bounds the flush, and ends the waiting.
        check("rare done oldest=1 left=400", "flush 300");
        check("rare done oldest=1 left=151", "flush 51");
        check("rare oldest=1 left=150", "spill");
        check("oldest=1 left=150", "spill");
        check("asking oldest=1 left=150", "spill");
        // Before that a good backend is sent what waits, where the invocation is kept for it anyway.
        check("rare oldest=1 left=651", "hold");
        check("rare oldest=1 left=650", "flush 500");
        check("rare oldest=1 left=151", "flush 1");
        check("rare oldest=1 left=650 timeout=100", "flush 100");
        check("rare left=650", "hold");
        check("rare oldest=1 left=650 paused", "hold");
        check("rare oldest=1 left=650 open", "pass");
        check("oldest=1 left=650", "pass");
        check("never rare oldest=1 left=650", "pass");
        check("rare oldest=1 left=650 timeout=0", "pass");
        check("asking oldest=1 left=650", "pass");
        check("rare left=150", "pass");
        check("rare left=0", "pass");
        // A handler that has ended does not time out, and what it left waits for the next one.
        check("rare done oldest=1 left=150", "flush 50");
        check("rare done oldest=1 left=100", "pass");
        check("asking after-done oldest=1 left=150", "pass");
        check("asking after-done oldest=60000 left=0", "pass");
        // No invocation is kept for a flush, which is sent beside a handler all the same.
        check("oldest=5000 timeout=0", "flush 1000");
        check("oldest=5000 open timeout=0", "flush 250");
        check("managed oldest=5000 timeout=0", "flush 1000");
        check("done oldest=20000 timeout=0", "pass");
        // Nothing is sent while the environment may freeze.
        check("asking oldest=60000 left-over much", "pass");
        // A backend that takes nothing is probed beside the handler, and nothing is held for it.
        check("rare oldest=1 open", "pass");
        check("rare oldest=5000 open", "flush 250");
        check("oldest=100 left-over handler=50 open", "flush 250");
        check("rare oldest=5000 open-paused", "pass");
        check("rare done oldest=60000 open", "pass");
        check("always failed done oldest=60000 much open", "pass");
        check("oldest=5000 paused", "pass");
        // A managed instance is never frozen.
        check("managed", "pass");
        check("managed oldest=4999", "pass");
        check("managed oldest=5000", "flush 1000");
        check("managed oldest=1 much", "flush 1000");
        check("managed oldest=60000 open-paused", "pass");
    }
}
