//! The retry schedule.

use settings::Backoff;
use std::time::Duration;

/// The retry schedule of a delivery, validated by its constructor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    retries: u32,
    backoff: Backoff,
    budget: Duration,
}

/// The reason why a retry schedule is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid retry policy: {0}")]
pub struct InvalidRetryPolicy(&'static str);

impl Default for RetryPolicy {
    /// Two retries within ten seconds, then the retry queue takes over: a waiting forwarder counts against the account's
    /// concurrent executions.
    fn default() -> Self {
        Self {
            retries: 2,
            backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(4)),
            budget: Duration::from_secs(10),
        }
    }
}

impl RetryPolicy {
    /// `retries` after the first attempt. The first delay is `first_delay`, each following one is twice as long up to
    /// `longest_delay`, and the sum stays within `budget`.
    pub fn new(
        retries: u32,
        first_delay: Duration,
        longest_delay: Duration,
        budget: Duration,
    ) -> Result<Self, InvalidRetryPolicy> {
        if first_delay.is_zero() && retries > 0 {
            return Err(InvalidRetryPolicy("the first delay is 0"));
        }
        if first_delay > longest_delay {
            return Err(InvalidRetryPolicy("the first delay is longer than the longest"));
        }
        if budget.is_zero() {
            return Err(InvalidRetryPolicy("the budget is 0"));
        }
        Ok(Self { retries, backoff: Backoff::new(first_delay, longest_delay), budget })
    }

    /// One attempt without a retry.
    #[must_use]
    pub fn once(self) -> Self {
        Self { retries: 0, ..self }
    }

    pub(super) fn retries(&self) -> u32 {
        self.retries
    }

    /// Time limit of one delivery, including all retries.
    pub(crate) fn budget(&self) -> Duration {
        self.budget
    }

    /// The delay before retry `number`, counted from 0. It doubles each time, is shortened at random by up to one half, and is
    /// never below the backend's `Retry-After`.
    pub(super) fn wait(
        &self,
        number: u32,
        retry_after: Option<Duration>,
        jitter: &mut Jitter,
    ) -> Duration {
        let backoff = self.backoff.delay(number, jitter.next_ratio());
        backoff.max(retry_after.unwrap_or_default())
    }
}

/// Reproducible random numbers (SplitMix64): equal seeds give equal delays.
#[derive(Debug, Clone)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// Starts at a seed that differs between processes and calls.
    pub(crate) fn random() -> Self {
        use std::hash::{BuildHasher, Hasher, RandomState};
        Self(RandomState::new().build_hasher().finish())
    }

    /// The next number, in the range 0..1.
    fn next_ratio(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let upper_half = u32::try_from(mixed >> 32).unwrap_or_default();
        f64::from(upper_half) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_retry_policy_rejects_invalid_values() {
        let check = |retries, first, longest, budget, problem: Option<&str>| {
            let result = RetryPolicy::new(retries, ms(first), ms(longest), ms(budget));
            assert_eq!(result.err().map(|InvalidRetryPolicy(text)| text), problem);
        };
        check(2, 500, 4000, 10_000, None);
        check(0, 0, 0, 1, None);
        check(1, 0, 4000, 10_000, Some("the first delay is 0"));
        check(1, 5000, 4000, 10_000, Some("the first delay is longer than the longest"));
        check(1, 500, 4000, 0, Some("the budget is 0"));
    }

    #[test]
    fn retry_after_extends_the_delay_but_never_shortens_it() {
        let policy = RetryPolicy::default();
        let mut jitter = Jitter::seeded(1);
        assert_eq!(policy.wait(0, Some(ms(120_000)), &mut jitter), ms(120_000));
        assert!(policy.wait(0, Some(ms(1)), &mut jitter) >= ms(250));
    }

    #[test]
    fn equal_seeds_give_equal_retry_delays() {
        let waits = |seed| {
            let mut jitter = Jitter::seeded(seed);
            [0, 1, 2].map(|number| RetryPolicy::default().wait(number, None, &mut jitter))
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
    }
}
