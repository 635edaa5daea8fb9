//! Remembers failing destinations, so that an outage does not cost each delivery its whole budget and use up the account's
//! concurrency.

use backend::{Fate, Outcome, Reason, UndeliveredPart};
use std::time::Duration;

/// After this many consecutive failures, deliveries are parked at once.
const MAX_FAILURES: u32 = 3;
const SHORTEST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_mins(2);
/// While a destination hangs, each environment spends at most a twelfth of its time on probes.
const PAUSE_PER_DURATION: u32 = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Send,
    /// Send it as a probe. The other batches of its endpoint wait for its result.
    Probe,
    Park,
}

impl Admission {
    /// The admission of the other batches after a probe. If its result is [`DestinationHealth::Unknown`], the destination rejected
    /// its content, and may accept that of the others.
    pub(crate) fn after_probe(health: DestinationHealth) -> Self {
        match health {
            DestinationHealth::Failing => Self::Park,
            DestinationHealth::Unknown | DestinationHealth::Accepting => Self::Send,
        }
    }
}

/// The state of a destination, as the results of requests show it. Of several results, the greatest in the order below counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DestinationHealth {
    /// Nothing was sent, or all content was rejected. Rejected records may themselves be at fault.
    #[default]
    Unknown,
    /// No request was accepted.
    Failing,
    /// The destination accepted an item, or rejected single ones because of their content.
    Accepting,
}

impl DestinationHealth {
    /// The state that the outcome of a request shows.
    pub(crate) fn shown_by(outcome: &Outcome) -> Self {
        let parts = &outcome.parts;
        let is_single_rejection = |part: &UndeliveredPart| {
            matches!(part.fate, Fate::DeadLetter | Fate::DeadLetterPartial)
        };
        if outcome.accepted > 0 || parts.iter().any(is_single_rejection) {
            return Self::Accepting;
        }
        let is_rejection = |part: &UndeliveredPart| {
            part.fate == Fate::ParkRefused || part.reason.refuses_content()
        };
        if parts.iter().any(is_rejection) {
            return Self::Unknown;
        }
        // Unreadable credentials count as a failure although nothing was sent: each attempt to read them takes time.
        let lacks_credentials =
            |part: &UndeliveredPart| matches!(part.reason, Reason::Credentials { .. });
        let was_tried = outcome.requests_sent > 0 || parts.iter().any(lacks_credentials);
        if was_tried && !parts.is_empty() { Self::Failing } else { Self::Unknown }
    }
}

/// Recent deliveries of one signal to one destination. Times are wall-clock times, because the monotonic clock may stand still
/// during a freeze.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Breaker {
    failures: u32,
    /// The time of the last failure. A probe whose content was rejected does not delay the next one: in a queue with many such
    /// records, good ones would seldom be the probe.
    failed_unix_nano: u64,
    /// The pause after the last failure.
    pause: Duration,
    /// The time of the last delivery with an accepted item.
    accepted_unix_nano: u64,
}

impl Breaker {
    /// Decides how the next delivery is sent.
    pub(crate) fn admit(&self, now_unix_nano: u64) -> Admission {
        if self.failures < MAX_FAILURES {
            return Admission::Send;
        }
        // Probing continues after the clock was set back.
        let since = now_unix_nano.checked_sub(self.failed_unix_nano).map(Duration::from_nanos);
        let is_due = since.is_none_or(|since| since >= self.pause);
        if is_due { Admission::Probe } else { Admission::Park }
    }

    /// Returns `true` if the destination has accepted telemetry since then; 0 stands for never.
    pub(crate) fn has_accepted_since(&self, unix_nano: u64) -> bool {
        unix_nano > 0 && self.accepted_unix_nano > unix_nano
    }

    /// Notes the result and the duration of a delivery that began now.
    pub(crate) fn note(
        &mut self,
        health: DestinationHealth,
        now_unix_nano: u64,
        duration: Duration,
    ) {
        match health {
            DestinationHealth::Accepting => {
                self.failures = 0;
                self.accepted_unix_nano = now_unix_nano;
            }
            DestinationHealth::Failing => {
                self.failures = self.failures.saturating_add(1);
                self.pause = (duration * PAUSE_PER_DURATION).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
                self.failed_unix_nano = now_unix_nano;
            }
            DestinationHealth::Unknown => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::DestinationHealth::{Accepting, Failing, Unknown};
    use super::*;
    use opentelemetry_proto::tonic::logs::v1::LogRecord;
    use wire::Request;

    const SECOND: u64 = 1_000_000_000;
    const FAST: Duration = Duration::from_millis(100);

    /// A breaker after three failures at 100 s.
    fn opened() -> Breaker {
        let mut breaker = Breaker::default();
        (0..3).for_each(|_| breaker.note(Failing, 100 * SECOND, FAST));
        breaker
    }

    #[test]
    fn probing_continues_after_the_clock_is_set_back() {
        let mut breaker = opened();
        assert_eq!(breaker.admit(SECOND), Admission::Probe);
        breaker.note(Failing, SECOND, FAST);
        assert_eq!(breaker.admit(2 * SECOND), Admission::Park);
        assert_eq!(breaker.admit(31 * SECOND), Admission::Probe);
    }

    #[test]
    fn a_refused_probe_does_not_delay_the_next_one() {
        let mut breaker = opened();
        assert_eq!(breaker.admit(129 * SECOND), Admission::Park);
        assert_eq!(breaker.admit(130 * SECOND), Admission::Probe);
        breaker.note(Unknown, 130 * SECOND, FAST);
        assert_eq!(breaker.admit(131 * SECOND), Admission::Probe);
    }

    #[test]
    fn a_failure_requires_sent_requests_and_only_parked_items() {
        use Fate::{DeadLetter, DeadLetterPartial, Park, ParkRefused, ParkWithAlarm};
        let outcome = |accepted, fates: &[Fate], requests_sent| {
            let mut outcome = Outcome { accepted, requests_sent, ..Outcome::default() };
            for fate in fates {
                let request = Request::of_log_records(None, vec![LogRecord::default()]);
                outcome += Outcome::unsent(request, Reason::Deadline, *fate);
            }
            outcome
        };
        let check = |accepted, fates: &[Fate], requests, expected| {
            let health = DestinationHealth::shown_by(&outcome(accepted, fates, requests));
            assert_eq!(health, expected, "{accepted} {fates:?} {requests}");
        };
        check(0, &[Park], 1, Failing);
        check(0, &[ParkWithAlarm], 1, Failing);
        check(0, &[Park, ParkWithAlarm], 3, Failing);
        check(0, &[Park], 0, Unknown);
        check(0, &[], 0, Unknown);
        check(1, &[], 1, Accepting);
        check(1, &[Park], 2, Accepting);
        check(0, &[DeadLetter], 1, Accepting);
        check(0, &[DeadLetterPartial, Park], 2, Accepting);
        check(0, &[ParkRefused], 1, Unknown);
        let mut refused = outcome(0, &[Park], 1);
        let text = "bad record".to_owned();
        refused.parts[0].reason = Reason::Status { status: 400, text, hint: "" };
        assert_eq!(DestinationHealth::shown_by(&refused), Unknown);
    }
}
