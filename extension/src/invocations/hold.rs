//! Decides whether `next` is held after an invocation: a pure function of the traffic.
//!
//! Holding `next` keeps the environment awake, which costs money. Lambda delivers `platform.runtimeDone` 25 to 30 ms after the
//! handler. Without a hold, its telemetry is written with the next invocation or at SHUTDOWN: later, but never lost. So a hold
//! only makes the data fresher, and only rare traffic needs that.

/// The time between rare invocations.
const RARE_MS: u64 = 30_000;

/// The usual time between the beginnings of invocations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    last_ms: Option<u64>,
    usual_gap_ms: Option<u64>,
}

impl Traffic {
    pub(crate) fn invoked(&mut self, now_ms: u64) {
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

/// The input of [`is_held`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the facts that a table of decisions is about")]
pub(crate) struct Situation {
    /// `false` if no invocation is held.
    pub(crate) may_hold: bool,
    /// Lambda is expected to report the end.
    pub(crate) telemetry_comes: bool,
    pub(crate) rare: bool,
    /// OTLP of this invocation was received and written.
    pub(crate) otlp_received: bool,
    pub(crate) last_failed: bool,
    /// `platform.runtimeDone` of this invocation was received.
    pub(crate) runtime_done: bool,
    /// The deadline is so near that a hold might cause a timeout.
    pub(crate) deadline_near: bool,
}

/// Returns `true` if `next` is held. The loop asks after each event.
pub(crate) fn is_held(situation: Situation) -> bool {
    let Situation {
        may_hold,
        telemetry_comes,
        rare,
        otlp_received,
        last_failed,
        runtime_done,
        deadline_near,
    } = situation;
    let comes_soon = telemetry_comes && !runtime_done && !deadline_near;
    may_hold && comes_soon && (last_failed || (rare && !otlp_received))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invocation_is_held_only_while_telemetry_is_expected() {
        let check = |text: &str, expected| {
            let has = |word: &str| text.split(' ').any(|part| part == word);
            let situation = Situation {
                may_hold: !has("never"),
                telemetry_comes: !has("silent"),
                rare: has("rare"),
                otlp_received: has("otlp"),
                last_failed: has("failed"),
                runtime_done: has("done"),
                deadline_near: has("deadline"),
            };
            assert_eq!(is_held(situation), expected, "{text}");
        };
        check("", false);
        check("otlp", false);
        check("rare", true);
        check("rare otlp", false);
        check("rare done", false);
        check("rare deadline", false);
        check("rare silent", false);
        check("failed", true);
        check("failed otlp", true);
        check("failed done", false);
        check("never rare failed", false);
    }

    #[test]
    fn traffic_is_rare_if_the_usual_gap_is_long() {
        let check = |times_s: &[u64], expected| {
            let mut traffic = Traffic::default();
            for second in times_s {
                traffic.invoked(second * 1000);
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
            traffic.invoked(now_ms);
        }
        assert!(traffic.is_rare());
    }
}
