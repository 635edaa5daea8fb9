//! The retry schedule: two retries within ten seconds, then the retry queue takes over, because a waiting forwarder counts against
//! the account's concurrent executions.

use settings::Backoff;
use std::time::Duration;

pub(crate) const RETRIES: u32 = 2;
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(4));
/// Time limit of one delivery, including all retries.
pub(crate) const BUDGET: Duration = Duration::from_secs(10);

/// The delay before retry `number`, counted from 0. It doubles each time, is shortened at random by up to one half, and is never
/// below the backend's `Retry-After`.
pub(super) fn wait(number: u32, retry_after: Option<Duration>, jitter: &mut Jitter) -> Duration {
    BACKOFF.delay(number, jitter.next_ratio()).max(retry_after.unwrap_or_default())
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
