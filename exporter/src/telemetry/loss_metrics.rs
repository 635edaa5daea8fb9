//! Metrics about the exporter's own losses.

use crate::export::loss_counts::{LOST_METRIC, Loss, LossCounts, TRUNCATED_METRIC};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, MeterProvider as _};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use std::sync::{Mutex, PoisonError};
use wire::SignalKind;

/// Measures losses; without a loss there is no instrument.
#[derive(Default)]
pub(super) struct LossMetrics {
    reported: Mutex<Reported>,
}

/// The part of the counts that is already measured.
#[derive(Default)]
struct Reported {
    lost: [[u64; Loss::ALL.len()]; 3],
    truncated_values: u64,
    instruments: Option<Instruments>,
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
    /// Measures the losses since the last call.
    pub(super) fn report(&self, losses: &LossCounts, meter_provider: &SdkMeterProvider) {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let Reported { lost, truncated_values, instruments } = &mut *reported;
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
