//! The metrics of an event's figures.

use super::Aggregator;
use crate::event::{MIB, PlatformEvent, seconds};
use crate::metrics::instrument::{self as metric, legacy};
use crate::metrics::points::{ErrorType, Period};
use crate::options::Names;

impl Aggregator {
    /// Adds the metrics that [`Owner::Extension`] owns. Each part of an invocation has one event: `platform.runtimeDone`, or `platform.report`
    /// on managed instances, which lack the former.
    pub(super) fn add_as_extension(&mut self, event: &PlatformEvent, period: Period) {
        for span in &event.spans {
            let instrument = match span.name.as_str() {
                "responseLatency" => &metric::RESPONSE_LATENCY,
                "responseDuration" => &metric::RESPONSE_DURATION,
                "runtimeOverhead" => &metric::RUNTIME_OVERHEAD,
                "extensionOverhead" => &metric::EXTENSION_OVERHEAD,
                _ => continue,
            };
            self.points.record(instrument, None, span.duration_ms.map(seconds), period);
        }
        self.points.record(&metric::PRODUCED_BYTES, None, event.figures.produced_bytes, period);
        self.points.record(&metric::LOGS_DROPPED, None, event.figures.dropped_records, period);
    }

    pub(super) fn record_figures(&mut self, event: &PlatformEvent, period: Period) {
        let figures = &event.figures;
        let utilization = figures
            .max_memory_used_mb
            .zip(figures.memory_size_mb.filter(|size| *size >= 1.0))
            .map(|(used, size)| used / size);
        // The billed duration includes the billed init and restore: a REPORT line of 2025 has a duration of 2338.66 ms, a billed
        // restore of 182 ms and a billed duration of 2521 ms.
        let gib_seconds = figures
            .billed_duration_ms
            .zip(figures.memory_size_mb)
            .map(|(billed, size)| seconds(billed) * size / 1024.0);

        for (instrument, value) in [
            (&metric::INVOKE_DURATION, figures.duration_ms.map(seconds)),
            (&metric::BILLED_DURATION, figures.billed_duration_ms.map(seconds)),
            (&metric::BILLED_GB_SECONDS, gib_seconds),
            (&metric::MEM_USAGE, figures.max_memory_used_mb.map(|mb| mb * MIB)),
            (&metric::MEMORY_UTILIZATION, utilization),
            (&metric::RESTORE_DURATION, figures.restore_duration_ms.map(seconds)),
            (&metric::BILLED_RESTORE_DURATION, figures.billed_restore_duration_ms.map(seconds)),
            (&metric::MEMORY_LIMIT, figures.memory_size_mb.map(|mb| mb * MIB)),
        ] {
            self.points.record(instrument, None, value, period);
        }
        self.record_init_duration(figures.init_duration_ms, None, period);
    }

    pub(super) fn record_init_duration(
        &mut self,
        ms: Option<f64>,
        error_type: ErrorType,
        period: Period,
    ) {
        match self.names {
            Names::Current => {
                self.points.record(&metric::INIT_DURATION, error_type, ms.map(seconds), period);
            }
            // A gauge of this name in older systems replaces the histogram.
            Names::Legacy => {
                self.points.record(&legacy::INIT_DURATION, None, ms, period);
                self.points.record(&legacy::LAMBDA_INIT_DURATION, None, ms, period);
            }
        }
    }

    pub(super) fn record_legacy_gauges(&mut self, event: &PlatformEvent, period: Period) {
        let figures = &event.figures;
        let coldstart = if event.is_cold_start() { 1.0 } else { 0.0 };
        let used = figures.max_memory_used_mb;
        for (instrument, value) in [
            (&legacy::DURATION, figures.duration_ms),
            (&legacy::INVOCATION_DURATION, figures.duration_ms),
            (&legacy::BILLED_DURATION, figures.billed_duration_ms),
            (&legacy::MAX_MEMORY, used),
            (&legacy::LAMBDA_MAX_MEMORY_USED, used.map(|mb| mb * MIB)),
            (&legacy::COLDSTART, Some(coldstart)),
        ] {
            self.points.record(instrument, None, value, period);
        }
    }
}
