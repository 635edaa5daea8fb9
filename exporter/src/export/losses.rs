//! Counts lost and truncated items, and measures them; the environment's first loss is reported on stderr.

use crate::output::stderr;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, MeterProvider as _};
use opentelemetry_sdk::metrics::{SdkMeterProvider, Temporality};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use wire::SignalKind;

/// Number of lost items, by `signal` and `error.type`. Absent without losses.
pub(crate) const LOST_METRIC: &str = "lambda_otlp.exporter.lost";
/// Number of attribute values truncated to fit a line. Absent without any.
pub(crate) const TRUNCATED_METRIC: &str = "lambda_otlp.exporter.truncated_values";

/// The reason why an item (span, log record, data point) was lost or truncated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    pub(crate) const ALL: [Self; 6] = [
        Self::BufferFull,
        Self::OutputFailed,
        Self::TooLarge,
        Self::Panicked,
        Self::DeadlineReached,
        Self::ExporterNotReady,
    ];

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

/// Counters since the environment started, shared by all parts of one exporter.
#[derive(Debug, Default)]
pub(crate) struct LossCounts {
    /// By signal, then by [`Loss`].
    lost: [[AtomicU64; Loss::ALL.len()]; 3],
    truncated_values: AtomicU64,
    warned: AtomicBool,
}

impl LossCounts {
    /// Counts lost items, and reports the first loss on stderr.
    pub(crate) fn lose(&self, kind: SignalKind, loss: Loss, items: usize) {
        if items == 0 {
            return;
        }
        if let Some(counter) = self.counter(kind, loss) {
            counter.fetch_add(items as u64, Ordering::Relaxed);
        }
        if !self.warned.swap(true, Ordering::Relaxed) {
            stderr::warn(&format!(
                "{items} {}(s) lost: {}; further losses are counted in the metric {}",
                kind.item(),
                loss.as_str(),
                LOST_METRIC,
            ));
        }
    }

    pub(crate) fn truncate(&self, values: usize) {
        self.truncated_values.fetch_add(values as u64, Ordering::Relaxed);
    }

    pub(crate) fn lost(&self, kind: SignalKind, loss: Loss) -> u64 {
        self.counter(kind, loss).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    pub(crate) fn truncated_values(&self) -> u64 {
        self.truncated_values.load(Ordering::Relaxed)
    }

    fn counter(&self, kind: SignalKind, loss: Loss) -> Option<&AtomicU64> {
        let signal = SignalKind::ALL.iter().position(|own| *own == kind)?;
        self.lost.get(signal)?.get(loss as usize)
    }
}

/// Measures losses; without a loss there is no instrument.
pub(crate) struct LossMetrics {
    is_delta: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    reported: Reported,
    /// The value of `reported` before the last report.
    previous: Reported,
    /// Data points lost with their whole batch, by reason, as of the last report.
    lost_batches: [u64; 2],
    instruments: Option<Instruments>,
}

/// The part of the counts that is already measured.
#[derive(Clone, Copy, Default)]
struct Reported {
    lost: [[u64; Loss::ALL.len()]; 3],
    truncated_values: u64,
}

struct Instruments {
    lost: Counter<u64>,
    truncated_values: Counter<u64>,
}

impl Instruments {
    fn new(meter_provider: &SdkMeterProvider) -> Self {
        let meter = meter_provider.meter(env!("CARGO_PKG_NAME"));
        Self {
            lost: meter.u64_counter(LOST_METRIC).with_unit("{item}").build(),
            truncated_values: meter.u64_counter(TRUNCATED_METRIC).with_unit("{value}").build(),
        }
    }
}

impl LossMetrics {
    pub(crate) fn new(temporality: Temporality) -> Self {
        Self { is_delta: temporality != Temporality::Cumulative, state: Mutex::default() }
    }

    /// Measures the losses since the last call. Repeats the last report if its delta metrics were lost.
    pub(crate) fn report(&self, losses: &LossCounts, meter_provider: &SdkMeterProvider) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { reported, previous, lost_batches, instruments } = &mut *state;
        let now_lost = [Loss::OutputFailed, Loss::DeadlineReached]
            .map(|loss| losses.lost(SignalKind::Metrics, loss));
        if std::mem::replace(lost_batches, now_lost) != now_lost && self.is_delta {
            *reported = *previous;
        }
        *previous = *reported;
        let Reported { lost, truncated_values } = reported;
        let new_instruments = || Instruments::new(meter_provider);
        for (kind, lost) in SignalKind::ALL.into_iter().zip(lost) {
            for (loss, before) in Loss::ALL.into_iter().zip(lost) {
                let now = losses.lost(kind, loss);
                if now > *before {
                    let attributes = [
                        KeyValue::new("signal", kind.as_str()),
                        KeyValue::new("error.type", loss.as_str()),
                    ];
                    let instruments = instruments.get_or_insert_with(new_instruments);
                    instruments.lost.add(now - *before, &attributes);
                    *before = now;
                }
            }
        }
        let now = losses.truncated_values();
        if now > *truncated_values {
            let instruments = instruments.get_or_insert_with(new_instruments);
            instruments.truncated_values.add(now - *truncated_values, &[]);
            *truncated_values = now;
        }
    }
}
