//! Where the times of a trace are drawn: waits of an execution are drawn short, or a wait of an hour would leave no room for what runs
//! around it.

use super::waits::WaitingSpans;
use super::{Scoped, ShortWait, millis_between};
use opentelemetry_proto::tonic::trace::v1::Span;

/// A wait is drawn for at most this fraction of the time in which something runs.
pub(crate) const WAIT_FRACTION: u64 = 8;
/// All waits together are drawn for at most this fraction of it.
pub(crate) const WAITS_FRACTION: u64 = 2;

pub(super) struct TimeScale {
    /// The time of the first span, in nanoseconds since the Unix epoch.
    pub(super) start: u64,
    pub(super) end: u64,
    /// In order, without overlap.
    waits: Vec<Wait>,
}

/// A time in which an execution waits, and the time for which it is drawn.
struct Wait {
    from: u64,
    to: u64,
    drawn: u64,
}

impl TimeScale {
    pub(super) fn new(spans: &[&Scoped<Span>], waiting: &WaitingSpans<'_>) -> Self {
        let start = spans.iter().map(|span| span.item.start_time_unix_nano).min().unwrap_or(0);
        let end = spans.iter().map(|span| span.item.end_time_unix_nano).max().unwrap_or(start);
        let mut scale = Self { start, end, waits: Vec::new() };
        let running = spans.iter().map(|span| &span.item).filter(|span| !waiting.contains(span));
        let mut times: Vec<_> =
            running.map(|span| (span.start_time_unix_nano, span.end_time_unix_nano)).collect();
        if times.len() == spans.len() {
            return scale;
        }
        times.sort_unstable();
        let mut busy: u64 = 0;
        let mut gaps = Vec::new();
        let mut covered_to = start;
        for (from, to) in times {
            if from > covered_to {
                gaps.push((covered_to, from));
            }
            busy += to.saturating_sub(from.max(covered_to));
            covered_to = covered_to.max(to);
        }
        if busy == 0 {
            return scale;
        }
        if covered_to < end {
            gaps.push((covered_to, end));
        }
        let count = u64::try_from(gaps.len()).unwrap_or(u64::MAX);
        let longest = (busy / WAIT_FRACTION.max(WAITS_FRACTION.saturating_mul(count))).max(1);
        let waits =
            gaps.into_iter().map(|(from, to)| Wait { from, to, drawn: longest.min(to - from) });
        scale.waits = waits.filter(|wait| wait.drawn < wait.to - wait.from).collect();
        scale
    }

    pub(super) fn short_waits(&self) -> Vec<ShortWait> {
        let drawn = |wait: &Wait| ShortWait {
            from: self.place(wait.from),
            to: self.place(wait.to),
            millis: millis_between(wait.from, wait.to),
        };
        self.waits.iter().map(drawn).collect()
    }

    /// Returns the place of a time, from 0 at the start to 1 at the end.
    #[expect(clippy::cast_precision_loss, reason = "numbers for the eye")]
    pub(super) fn place(&self, time: u64) -> f64 {
        self.drawn_until(time) as f64 / self.drawn_until(self.end).max(1) as f64
    }

    /// Returns the nanoseconds that are drawn before this time.
    fn drawn_until(&self, time: u64) -> u64 {
        let shortened = self.waits.iter().filter(|wait| wait.from < time).map(|wait| {
            let all = wait.to - wait.from;
            let passed = u128::from(time.min(wait.to) - wait.from);
            let cut = u128::from(all - wait.drawn) * passed / u128::from(all);
            u64::try_from(cut).unwrap_or(u64::MAX)
        });
        time.saturating_sub(self.start).saturating_sub(shortened.sum())
    }
}
