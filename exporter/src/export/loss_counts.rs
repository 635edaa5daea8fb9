//! Counts lost and truncated items; the environment's first loss is reported on stderr.

use crate::output::stderr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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

    /// The remedy, if the application has one.
    const fn remedy(self) -> &'static str {
        match self {
            Self::ExporterNotReady => {
                " (the exporter may need the tokio runtime whose only thread waited for the flush: flush on another thread, as TracedHandler does)"
            }
            _ => "",
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
                "{items} {}(s) lost: {}{}; further losses are counted in the metric {}",
                kind.item(),
                loss.as_str(),
                loss.remedy(),
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
