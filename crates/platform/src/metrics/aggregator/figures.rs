//! Records the figures of events as histograms and gauges: durations, memory, sizes.

use super::Aggregator;
use crate::event::PlatformEvent;
use crate::event::figures::{MIB, seconds};
use crate::metrics::instrument::{self as metric, Instrument, legacy};
use crate::metrics::points::{ErrorType, Measured};
use crate::options::Names;

impl Aggregator {
    /// Records the figures owned by the extension. Each part of an invocation has one event: `platform.runtimeDone`, or
    /// `platform.report` on managed instances, which lack the former.
    pub(super) fn add_parts(&mut self, event: &PlatformEvent, measured: Measured) {
        for span in &event.spans {
            let instrument = match span.name.as_str() {
                "responseLatency" => &metric::RESPONSE_LATENCY,
                "responseDuration" => &metric::RESPONSE_DURATION,
                "runtimeOverhead" => &metric::RUNTIME_OVERHEAD,
                "extensionOverhead" => &metric::EXTENSION_OVERHEAD,
                _ => continue,
            };
            self.record(instrument, None, span.duration_ms.map(seconds), measured);
        }
        self.record(&metric::PRODUCED_BYTES, None, event.figures.produced_bytes, measured);
        if let Some(records) = self.believed(event.figures.dropped_records) {
            self.points.add(&metric::LOGS_DROPPED, None, whole(records), measured);
        }
    }

    pub(super) fn figures(&mut self, event: &PlatformEvent, measured: Measured) {
        let figures = &event.figures;
        let restore = figures.restore_duration_ms.map(seconds);
        let billed_restore = figures.billed_restore_duration_ms.map(seconds);
        let used = figures.max_memory_used_mb.map(|mb| mb * MIB);
        let utilization = figures
            .max_memory_used_mb
            .zip(figures.memory_size_mb.filter(|size| *size > 0.0))
            .map(|(used, size)| used / size);
        // The billed duration includes the billed init and restore: a REPORT line of 2025 has a duration of 2338.66 ms, a billed
        // restore of 182 ms and a billed duration of 2521 ms.
        let gib_seconds = figures
            .billed_duration_ms
            .zip(figures.memory_size_mb)
            .map(|(billed, size)| seconds(billed) * size / 1024.0);

        self.record(&metric::INVOKE_DURATION, None, figures.duration_ms.map(seconds), measured);
        self.record(
            &metric::BILLED_DURATION,
            None,
            figures.billed_duration_ms.map(seconds),
            measured,
        );
        self.record(&metric::BILLED_GB_SECONDS, None, gib_seconds, measured);
        self.record(&metric::MEM_USAGE, None, used, measured);
        self.record(&metric::MEMORY_UTILIZATION, None, utilization, measured);
        self.init_duration(figures.init_duration_ms, None, measured);
        self.record(&metric::RESTORE_DURATION, None, restore, measured);
        self.record(&metric::BILLED_RESTORE_DURATION, None, billed_restore, measured);
        if let Some(limit) = self.believed(figures.memory_size_mb.map(|mb| mb * MIB)) {
            self.points.set(&metric::MEMORY_LIMIT, limit, measured);
        }
    }

    pub(super) fn init_duration(
        &mut self,
        ms: Option<f64>,
        error_type: ErrorType,
        measured: Measured,
    ) {
        match self.names {
            Names::Current => {
                self.record(&metric::INIT_DURATION, error_type, ms.map(seconds), measured);
            }
            // A gauge of this name in older systems replaces the histogram.
            Names::Legacy => {
                self.append(&legacy::INIT_DURATION, ms, measured);
                self.append(&legacy::LAMBDA_INIT_DURATION, ms, measured);
            }
        }
    }

    pub(super) fn legacy_gauges(&mut self, event: &PlatformEvent, measured: Measured) {
        let figures = &event.figures;
        let coldstart = if event.is_cold_start() { 1.0 } else { 0.0 };
        self.append(&legacy::DURATION, figures.duration_ms, measured);
        self.append(&legacy::INVOCATION_DURATION, figures.duration_ms, measured);
        self.append(&legacy::BILLED_DURATION, figures.billed_duration_ms, measured);
        self.append(&legacy::MAX_MEMORY, figures.max_memory_used_mb, measured);
        let used = figures.max_memory_used_mb.map(|mb| mb * MIB);
        self.append(&legacy::LAMBDA_MAX_MEMORY_USED, used, measured);
        self.append(&legacy::COLDSTART, Some(coldstart), measured);
    }

    pub(super) fn record(
        &mut self,
        instrument: &'static Instrument,
        error_type: ErrorType,
        value: Option<f64>,
        measured: Measured,
    ) {
        if let Some(value) = self.believed(value) {
            self.points.record(instrument, error_type, value, measured, self.shape);
        }
    }

    fn append(&mut self, instrument: &'static Instrument, value: Option<f64>, measured: Measured) {
        if let Some(value) = self.believed(value) {
            self.points.append(instrument, value, measured);
        }
    }

    /// Returns the value unless it is negative, not a number or implausibly large; such values are counted and not sent. This
    /// crate's parsers only return plausible values, but callers can construct events.
    fn believed(&mut self, value: Option<f64>) -> Option<f64> {
        let believed = value.filter(|value| (0.0..=MAX_VALUE).contains(value));
        if value.is_some() && believed.is_none() {
            self.dropped_values += 1;
        }
        believed
    }
}

/// The largest recorded value: the largest plausible figure in mebibytes, as bytes.
const MAX_VALUE: f64 = 1e12 * MIB;

/// A plausible number without its fraction.
#[expect(clippy::cast_possible_truncation, reason = "the value is plausible: at most 1e18")]
fn whole(value: f64) -> i64 {
    value as i64
}
