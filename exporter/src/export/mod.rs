//! Exporters that write the SDK's data as OTLP lines, within bounded time and with counted losses, the processor of an invocation's
//! spans, and destinations of lines.

pub(crate) mod exporters;
pub(crate) mod line;
pub(crate) mod losses;
mod otlp;

pub use crate::output::stdout::Stdout;
pub use crate::output::{InMemoryOutput, Output};
pub use crate::processors::spans::{LambdaSpanProcessor, LambdaSpanProcessorBuilder};
pub use exporters::{
    StdoutLogExporter, StdoutLogExporterBuilder, StdoutMetricExporter, StdoutMetricExporterBuilder,
    StdoutSpanExporter, StdoutSpanExporterBuilder,
};

use crate::invocations::Invocations;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Unix time in nanoseconds, OTLP's time; 0 before 1970.
pub(crate) fn unix_nanos(time: SystemTime) -> u64 {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}

/// Maximum wait for the reader of our lines.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum wait after a timeout: a stuck reader must not cost each invocation a second.
const STUCK_TIMEOUT: Duration = Duration::from_millis(5);

/// The time to wait for one output or exporter, derived from the earliest deadline of the running invocations.
#[derive(Debug)]
pub(crate) struct WriteTimeout {
    invocations: Arc<Invocations>,
    /// `true` if the last wait timed out.
    is_stuck: AtomicBool,
}

impl WriteTimeout {
    pub(crate) fn new(invocations: Arc<Invocations>) -> Self {
        Self { invocations, is_stuck: AtomicBool::new(false) }
    }

    pub(crate) fn invocations(&self) -> &Arc<Invocations> {
        &self.invocations
    }

    /// Half of the remaining time of the invocation, at most a second, and at most 5 ms after a timeout.
    pub(crate) fn get(&self) -> Duration {
        let is_stuck = self.is_stuck.load(Ordering::Relaxed);
        let longest = if is_stuck { STUCK_TIMEOUT } else { LONGEST_TIMEOUT };
        self.invocations.time_left().map_or(longest, |left| longest.min(left / 2))
    }

    /// Notes whether the last wait timed out.
    pub(crate) fn note(&self, was_in_vain: bool) {
        self.is_stuck.store(was_in_vain, Ordering::Relaxed);
    }
}
