//! Names, units and buckets of the metrics made from Lambda's events.
//!
//! Source: OpenTelemetry's semantic conventions 1.44, faas/faas-metrics, for `faas.*` and the buckets of durations. Figures
//! without a convention are named `aws.lambda.*` after the `REPORT` line or the Telemetry API. Units are seconds and bytes;
//! Lambda's "MB" are MiB.

use crate::event::MIB;
use crate::options::Shape;

/// The data points made from the measurements of a metric. Metrics are written in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum InstrumentKind {
    Sum,
    Histogram,
    /// A gauge with the newest value.
    Newest,
    /// A gauge with a point for each value.
    Each,
}

/// A metric: its kind, name, unit, description, and the upper bounds of its buckets in each shape of metrics.
#[derive(Debug)]
pub(crate) struct Instrument {
    pub(crate) kind: InstrumentKind,
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) description: &'static str,
    otlp: &'static [f64],
    openobserve: &'static [f64],
}

impl Instrument {
    /// The upper bounds of the buckets; empty for one bucket, and for metrics that are not histograms.
    pub(crate) fn bounds(&self, shape: Shape) -> &'static [f64] {
        match shape {
            Shape::Otlp => self.otlp,
            Shape::OpenObserve => self.openobserve,
        }
    }
}

const fn counter(name: &'static str, unit: &'static str, description: &'static str) -> Instrument {
    Instrument { kind: InstrumentKind::Sum, ..histogram(name, unit, description, &[]) }
}

const fn histogram(
    name: &'static str,
    unit: &'static str,
    description: &'static str,
    bounds: &'static [f64],
) -> Instrument {
    let kind = InstrumentKind::Histogram;
    Instrument { kind, name, unit, description, otlp: bounds, openobserve: bounds }
}

const fn seconds(name: &'static str, description: &'static str) -> Instrument {
    Instrument { openobserve: &DURATION_BOUNDS, ..billed_seconds(name, description) }
}

/// A duration used by its sum: it always has the buckets of the semantic conventions.
const fn billed_seconds(name: &'static str, description: &'static str) -> Instrument {
    histogram(name, "s", description, &ADVISED_DURATION_BOUNDS)
}

const ADVISED_DURATION_BOUNDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// From a millisecond to Lambda's longest timeout, densest where most functions are. The conventions' bounds distort: a 20 ms
/// function has a 95th percentile of 24 ms, and a 20 s function of 10 s. Each bound costs a row, because OpenObserve stores each
/// bucket as a row and does not add up exponential ones.
const DURATION_BOUNDS: [f64; 39] = [
    0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.01, 0.0125, 0.016, 0.02, 0.025, 0.03, 0.04,
    0.05, 0.06, 0.08, 0.1, 0.125, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0,
    5.0, 7.5, 10.0, 15.0, 30.0, 60.0, 300.0, 900.0,
];

/// Common memory sizes, from half the smallest to the largest (10,240 MiB).
const MEMORY_BOUNDS: [f64; 14] = in_unit(
    MIB,
    [
        64.0, 128.0, 192.0, 256.0, 384.0, 512.0, 768.0, 1024.0, 1536.0, 2048.0, 3072.0, 4096.0,
        6144.0, 10_240.0,
    ],
);

/// From an empty response to the largest buffered one (6 MB), and beyond for streamed ones.
const RESPONSE_BOUNDS: [f64; 12] = in_unit(
    1024.0,
    [0.0, 0.125, 0.5, 2.0, 8.0, 32.0, 128.0, 512.0, 1024.0, 2048.0, 6144.0, 20_480.0],
);

#[expect(clippy::indexing_slicing, reason = "computed by the compiler")]
const fn in_unit<const N: usize>(unit: f64, mut bounds: [f64; N]) -> [f64; N] {
    let mut at = 0;
    while at < N {
        bounds[at] *= unit;
        at += 1;
    }
    bounds
}

const RATIO_BOUNDS: [f64; 11] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0];

/// From 8 ms at 128 MiB to a minute at the largest size.
const GIB_SECONDS_BOUNDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 25.0, 100.0, 600.0];

pub(crate) static SUCCESSES: Instrument =
    counter("faas.invocations", "{invocation}", "Number of successful invocations");
pub(crate) static ERRORS: Instrument = counter(
    "faas.errors",
    "{error}",
    "Number of invocations that failed according to Lambda, except timeouts",
);
pub(crate) static TIMEOUTS: Instrument =
    counter("faas.timeouts", "{timeout}", "Number of invocations that ran into the timeout");
pub(crate) static COLDSTARTS: Instrument =
    counter("faas.coldstarts", "{coldstart}", "Number of invocations that were a cold start");
pub(crate) static INVOCATIONS: Instrument =
    counter("aws.lambda.invocations", "{invocation}", "Number of all invocations");
pub(crate) static OUT_OF_MEMORY: Instrument =
    counter("aws.lambda.out_of_memory", "{error}", "Number of invocations that ran out of memory");

pub(crate) static INVOKE_DURATION: Instrument =
    seconds("faas.invoke_duration", "Duration of the invocations");
pub(crate) static INIT_DURATION: Instrument =
    seconds("faas.init_duration", "Duration of the init phases");
pub(crate) static BILLED_DURATION: Instrument =
    billed_seconds("aws.lambda.billed_duration", "Billed duration of the invocations");
pub(crate) static RESTORE_DURATION: Instrument =
    seconds("aws.lambda.restore_duration", "Duration of the SnapStart restores");
pub(crate) static BILLED_RESTORE_DURATION: Instrument = billed_seconds(
    "aws.lambda.billed_restore_duration",
    "Billed duration of the SnapStart restores",
);

pub(crate) static RESPONSE_LATENCY: Instrument = seconds(
    "aws.lambda.response_latency",
    "Time from the beginning of the invocation to the first byte of the response",
);
pub(crate) static RESPONSE_DURATION: Instrument =
    seconds("aws.lambda.response_duration", "Time from the first to the last byte of the response");
pub(crate) static RUNTIME_OVERHEAD: Instrument = seconds(
    "aws.lambda.runtime_overhead",
    "Time from the end of the response until the runtime was ready for the next invocation",
);
pub(crate) static EXTENSION_OVERHEAD: Instrument = seconds(
    "aws.lambda.extension_overhead",
    "Time that extensions added after the runtime was ready",
);

pub(crate) static PRODUCED_BYTES: Instrument =
    histogram("aws.lambda.produced_bytes", "By", "Size of the responses", &RESPONSE_BOUNDS);
pub(crate) static LOGS_DROPPED: Instrument = counter(
    "aws.lambda.logs_dropped",
    "{record}",
    "Number of log records that Lambda dropped before the extension got them",
);

pub(crate) static MEM_USAGE: Instrument = histogram(
    "faas.mem_usage",
    "By",
    "Highest memory use over the environment's life, seen at each invocation",
    &MEMORY_BOUNDS,
);
pub(crate) static MEMORY_UTILIZATION: Instrument = histogram(
    "aws.lambda.memory_utilization",
    "1",
    "Highest memory use as a share of the configured memory",
    &RATIO_BOUNDS,
);
pub(crate) static BILLED_GB_SECONDS: Instrument = Instrument {
    // OpenObserve stores a row for each bucket, and this metric is used by its sum.
    openobserve: &[],
    ..histogram(
        "aws.lambda.billed_gb_seconds",
        "GiBy.s",
        "Billed duration times configured memory, the quantity that AWS bills",
        &GIB_SECONDS_BOUNDS,
    )
};
pub(crate) static MEMORY_LIMIT: Instrument = Instrument {
    kind: InstrumentKind::Newest,
    ..histogram("aws.lambda.memory_limit", "By", "Configured memory", &[])
};

/// The names of older systems, as gauges with a point for each invocation.
pub(crate) mod legacy {
    use super::{Instrument, InstrumentKind, histogram};

    const fn gauge(
        name: &'static str,
        unit: &'static str,
        description: &'static str,
    ) -> Instrument {
        Instrument { kind: InstrumentKind::Each, ..histogram(name, unit, description, &[]) }
    }

    pub(crate) static DURATION: Instrument =
        gauge("faas.duration", "ms", "Duration of the invocation");
    pub(crate) static BILLED_DURATION: Instrument =
        gauge("faas.billed_duration", "ms", "Billed duration of the invocation");
    /// With the older names this gauge replaces the histogram of the same name.
    pub(crate) static INIT_DURATION: Instrument =
        gauge("faas.init_duration", "ms", "Duration of the init phase");
    pub(crate) static MAX_MEMORY: Instrument =
        gauge("faas.max_memory", "MB", "Highest memory use over the environment's life");
    pub(crate) static COLDSTART: Instrument =
        gauge("faas.coldstart", "1", "1 if the invocation was a cold start, else 0");
    pub(crate) static INVOCATION_DURATION: Instrument =
        gauge("faas.invocation.duration", "ms", "Duration of the invocation");
    pub(crate) static LAMBDA_MAX_MEMORY_USED: Instrument =
        gauge("aws.lambda.max_memory_used", "By", "Highest memory use over the environment's life");
    pub(crate) static LAMBDA_INIT_DURATION: Instrument =
        gauge("aws.lambda.init_duration", "ms", "Duration of the init phase");
}
