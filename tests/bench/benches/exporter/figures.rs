//! The figures of many runs of one driver.

use crate::drivers::Run;
use anyhow::Context as _;

/// How many exports of a process are left out, until caches, allocator and compression state no longer change.
const WARM_UP: usize = 20;

#[derive(Default)]
pub(crate) struct Figures {
    lines: f64,
    bytes: f64,
    /// Of each round, nanoseconds.
    first: Vec<u64>,
    second: Vec<u64>,
    warm_median: Vec<u64>,
}

impl Figures {
    pub(crate) fn add(&mut self, run: &Run) -> anyhow::Result<()> {
        for line in &run.lines {
            self.lines += 1.0;
            self.bytes += float(line.len() as u64);
        }
        let [first, second, ..] = run.nanos.as_slice() else {
            anyhow::bail!("fewer than two exports");
        };
        self.first.push(*first);
        self.second.push(*second);
        let warm = run.nanos.get(WARM_UP..).context("no export after the warm-up")?;
        self.warm_median.push(median(warm.to_vec()));
        Ok(())
    }

    pub(crate) fn line_bytes(&self) -> f64 {
        self.bytes / self.lines
    }

    pub(crate) fn warm_micros(&self) -> f64 {
        float(self.warm_median.iter().copied().min().unwrap_or_default()) / 1000.0
    }

    pub(crate) fn first_micros(&self) -> f64 {
        float(median(self.first.clone())) / 1000.0
    }

    pub(crate) fn second_micros(&self) -> f64 {
        float(median(self.second.clone())) / 1000.0
    }
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}

pub(crate) fn cells(ours: f64, peer: f64, digits: usize) -> String {
    format!("{ours:.digits$} | {peer:.digits$} | {:.2}", ours / peer)
}
