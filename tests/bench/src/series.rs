//! The numbers of many runs as one cell of a table.

use std::time::Duration;

#[derive(Clone, Debug, Default)]
pub struct Series(Vec<f64>);

impl Series {
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub fn push_millis(&mut self, duration: Duration) {
        self.push(duration.as_secs_f64() * 1000.0);
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    pub fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub fn max(&self) -> f64 {
        self.0.iter().copied().fold(0.0, f64::max)
    }

    /// The middle one; of an even number the lower of both.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The one below or at which this share of them is.
    pub fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a count far below 2^52"
        )]
        let at = (sorted.len().saturating_sub(1) as f64 * share) as usize;
        sorted.get(at).copied().unwrap_or_default()
    }

    /// `minimum / median`.
    pub fn cell(&self, digits: usize) -> String {
        format!("{:.digits$} / {:.digits$}", self.min(), self.median())
    }
}

/// The load of the machine over the last minute, as the kernel says it.
pub fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}
