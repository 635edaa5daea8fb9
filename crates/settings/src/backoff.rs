//! Exponential backoff, the formula of all retry schedules. It is in this crate because all programs and the library use it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// A delay that doubles with each retry, up to a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// A backoff that starts at `first` and grows up to `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// The delay before retry `number`, counted from 0.
    pub fn delay(self, number: u32, jitter: Jitter) -> Duration {
        let factor = 1_u32.checked_shl(number).unwrap_or(u32::MAX);
        let full = self.first.saturating_mul(factor).min(self.longest);
        full / 2 + (full / 2).mul_f64(jitter.0)
    }
}

/// Shortens delays by up to one half, so that clients that failed together do not return together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Jitter(f64);

impl Jitter {
    /// The whole delay.
    pub const NONE: Self = Self(1.0);

    /// The jitter of this value, which must differ between clients or messages. Equal values have equal jitter.
    pub fn of(value: &impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        let upper_half = u32::try_from(hasher.finish() >> 32).unwrap_or_default();
        Self(f64::from(upper_half) * 2_f64.powi(-32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_limit_and_jitter_halves_them_at_most() {
        let backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(4));
        let delays =
            |jitter| [0, 1, 3, 4, 100].map(|number| backoff.delay(number, jitter).as_millis());
        assert_eq!(delays(Jitter::NONE), [500, 1000, 4000, 4000, 4000]);
        assert_eq!(delays(Jitter(0.5)), [375, 750, 3000, 3000, 3000]);
        assert_eq!(delays(Jitter(0.0)), [250, 500, 2000, 2000, 2000]);
    }
}
