//! Counts lost and truncated items, and measures them; the environment's first loss is reported on stderr.

use crate::output::stderr;
use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::{SdkMeterProvider, Temporality};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use wire::SignalKind;

/// Number of lost items, by `signal` and `error.type`. Absent without losses.
pub(crate) const LOST_METRIC: &str = "lambda_otlp.exporter.lost";
/// Number of attribute values truncated to fit a line. Absent without any.
pub(crate) const TRUNCATED_METRIC: &str = "lambda_otlp.exporter.truncated_values";

/// The reason why an item (span, log record, data point) was lost or truncated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Loss {
    /// The buffer was full and could not be written early.
    BufferFull,
    OutputFailed,
    /// The item exceeds the maximum line size even with truncated values.
    TooLarge,
    Panicked,
    /// The invocation was about to time out.
    DeadlineReached,
    /// The application's asynchronous exporter was not ready in time.
    ExporterNotReady,
}

impl Loss {
    /// The value of `error.type` on the metric.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::BufferFull => "buffer_full",
            Self::OutputFailed => "output_failed",
            Self::TooLarge => "too_large",
            Self::Panicked => "panicked",
            Self::DeadlineReached => "deadline_reached",
            Self::ExporterNotReady => "exporter_not_ready",
        }
    }
}

/// Counts since the environment started, shared by all parts of one exporter.
#[derive(Debug, Default)]
pub(crate) struct LossCounts {
    state: Mutex<LossState>,
    warned: AtomicBool,
}

#[derive(Debug, Default)]
struct LossState {
    counts: Counts,
    /// The part of the counts that is already measured.
    reported: Counts,
    /// The value of `reported` before the last report.
    previous: Counts,
}

#[derive(Clone, Debug, Default)]
struct Counts {
    lost: BTreeMap<(SignalKind, Loss), u64>,
    truncated_values: u64,
}

impl Counts {
    fn lost(&self, kind: SignalKind, loss: Loss) -> u64 {
        self.lost.get(&(kind, loss)).copied().unwrap_or_default()
    }
}

impl LossCounts {
    /// Counts lost items, and reports the first loss on stderr.
    pub(crate) fn lose(&self, kind: SignalKind, loss: Loss, items: usize) {
        if items == 0 {
            return;
        }
        *self.state().counts.lost.entry((kind, loss)).or_default() += items as u64;
        if !self.warned.swap(true, Ordering::Relaxed) {
            stderr::warn(&format!(
                "{items} {}(s) lost: {}; further losses are counted in the metric {LOST_METRIC}",
                kind.item(),
                loss.as_str(),
            ));
        }
    }

    pub(crate) fn truncate(&self, values: usize) {
        self.state().counts.truncated_values += values as u64;
    }

    #[cfg(test)]
    pub(crate) fn lost(&self, kind: SignalKind, loss: Loss) -> u64 {
        self.state().counts.lost(kind, loss)
    }

    /// Measures the losses since the last call; without a loss there is no instrument. Repeats the last report if its delta metrics
    /// were lost.
    pub(crate) fn report(&self, temporality: Temporality, meter_provider: &SdkMeterProvider) {
        let (now, before) = {
            let LossState { counts, reported, previous } = &mut *self.state();
            let is_lost = [Loss::OutputFailed, Loss::DeadlineReached].into_iter().any(|loss| {
                counts.lost(SignalKind::Metrics, loss) != reported.lost(SignalKind::Metrics, loss)
            });
            if !is_lost || temporality == Temporality::Cumulative {
                previous.clone_from(reported);
            }
            reported.clone_from(counts);
            (counts.clone(), previous.clone())
        };
        let add =
            |metric: &'static str, unit: &'static str, count: u64, attributes: &[KeyValue]| {
                if count > 0 {
                    let meter = meter_provider.meter(env!("CARGO_PKG_NAME"));
                    meter.u64_counter(metric).with_unit(unit).build().add(count, attributes);
                }
            };
        for ((kind, loss), count) in &now.lost {
            let attributes = [
                KeyValue::new("signal", kind.as_str()),
                KeyValue::new("error.type", loss.as_str()),
            ];
            add(LOST_METRIC, "{item}", count - before.lost(*kind, *loss), &attributes);
        }
        add(TRUNCATED_METRIC, "{value}", now.truncated_values - before.truncated_values, &[]);
    }

    fn state(&self) -> MutexGuard<'_, LossState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
