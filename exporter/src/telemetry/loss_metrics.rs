//! Metrics about the exporter's own losses.

use crate::export::loss_counts::{LOST_METRIC, Loss, LossCounts, TRUNCATED_METRIC};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, MeterProvider as _};
use opentelemetry_sdk::metrics::{SdkMeterProvider, Temporality};
use std::sync::{Mutex, PoisonError};
use wire::SignalKind;

/// Measures losses; without a loss there is no instrument.
pub(super) struct LossMetrics {
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
    pub(super) fn new(temporality: Temporality) -> Self {
        Self { is_delta: temporality != Temporality::Cumulative, state: Mutex::default() }
    }

    /// Measures the losses since the last call. Repeats the last report if its delta metrics were lost.
    pub(super) fn report(&self, losses: &LossCounts, meter_provider: &SdkMeterProvider) {
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
