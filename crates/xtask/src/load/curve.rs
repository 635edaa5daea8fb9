//! Throughput and memory of processes, second by second.

use anyhow::ensure;
use local_lambda::lock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::interval;

/// The throughput and the memory of a process, second by second.
pub(super) struct Curve {
    pub(super) name: &'static str,
    pub(super) unit: RateUnit,
    pub(super) rates: Vec<f64>,
    /// Resident memory in MiB.
    pub(super) memory: Vec<f64>,
}

/// The unit of a throughput.
#[derive(Clone, Copy)]
pub(super) struct RateUnit {
    pub(super) name: &'static str,
    /// Bytes or items in one unit.
    size: f64,
}

impl RateUnit {
    pub(super) const MEGABYTES: Self = Self { name: "MB/s", size: 1e6 };
    pub(super) const SPANS: Self = Self { name: "spans/s", size: 1.0 };
}

/// Measures throughput and memory every second.
pub(super) struct Sampling {
    task: JoinHandle<()>,
    samples: Arc<Mutex<Vec<Sample>>>,
}

struct Sample {
    /// Bytes or items that were sent until then.
    sent: u64,
    mib: f64,
}

impl Sampling {
    /// `sent` counts bytes or items.
    pub(super) fn begin(
        sent: Arc<AtomicU64>,
        processes: impl Fn() -> Vec<u32> + Send + 'static,
    ) -> Self {
        let samples: Arc<Mutex<Vec<Sample>>> = Arc::default();
        let taken = Arc::clone(&samples);
        let task = tokio::spawn(async move {
            let mut ticks = interval(Duration::from_secs(1));
            loop {
                ticks.tick().await;
                let mib = processes().into_iter().filter_map(resident_mib).sum();
                lock(&taken).push(Sample { sent: sent.load(Ordering::Relaxed), mib });
            }
        });
        Self { task, samples }
    }

    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub(super) fn end(self, name: &'static str, unit: RateUnit) -> anyhow::Result<Curve> {
        self.task.abort();
        let samples = std::mem::take(&mut *lock(&self.samples));
        ensure!(samples.len() > 3, "{name}: the run was too short for a curve");
        let rate = |pair: &[Sample]| match pair {
            [earlier, later] => (later.sent - earlier.sent) as f64 / unit.size,
            _ => 0.0,
        };
        let rates = samples.windows(2).map(rate).collect();
        let memory = samples.iter().map(|sample| sample.mib).collect();
        Ok(Curve { name, unit, rates, memory })
    }
}

fn resident_mib(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse::<f64>().ok().map(|kib| kib / 1024.0)
}
