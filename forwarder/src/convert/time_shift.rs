//! Shifts the times of telemetry, so that old telemetry fits into a backend's ingest window.

use opentelemetry_proto::tonic::metrics::v1::{Exemplar, metric::Data};
use wire::{Logs, Metrics, Request, Signal, SignalKind, Traces};

/// A time difference. Zero changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeShift {
    nanos: i64,
}

impl TimeShift {
    /// The shift that moves `from` to `to`, both in nanoseconds since the Unix epoch.
    pub fn between(from_unix_nano: u64, to_unix_nano: u64) -> Self {
        let signed = |nanos: u64| i64::try_from(nanos).unwrap_or(i64::MAX);
        Self { nanos: signed(to_unix_nano).saturating_sub(signed(from_unix_nano)) }
    }

    pub(crate) fn apply_to_millis(self, millis: i64) -> i64 {
        millis.saturating_add(self.nanos / 1_000_000)
    }

    /// Zero means "not set" in OTLP and stays zero.
    fn apply(self, unix_nano: &mut u64) {
        if *unix_nano != 0 {
            *unix_nano = unix_nano.saturating_add_signed(self.nanos);
        }
    }
}

/// Shifts all times of a request. An undecodable request stays unchanged.
pub(crate) fn request(request: Request, shift: TimeShift) -> Request {
    if shift == TimeShift::default() {
        return request;
    }
    match request.kind() {
        SignalKind::Traces => rewrite::<Traces>(request, |request| {
            let scopes = request.resource_spans.iter_mut().flat_map(|r| &mut r.scope_spans);
            for span in scopes.flat_map(|scope| &mut scope.spans) {
                shift.apply(&mut span.start_time_unix_nano);
                shift.apply(&mut span.end_time_unix_nano);
                span.events.iter_mut().for_each(|event| shift.apply(&mut event.time_unix_nano));
            }
        }),
        SignalKind::Logs => rewrite::<Logs>(request, |request| {
            let scopes = request.resource_logs.iter_mut().flat_map(|r| &mut r.scope_logs);
            for record in scopes.flat_map(|scope| &mut scope.log_records) {
                shift.apply(&mut record.time_unix_nano);
                shift.apply(&mut record.observed_time_unix_nano);
            }
        }),
        SignalKind::Metrics => rewrite::<Metrics>(request, |request| {
            let scopes = request.resource_metrics.iter_mut().flat_map(|r| &mut r.scope_metrics);
            for data in scopes.flat_map(|scope| &mut scope.metrics).filter_map(|m| m.data.as_mut())
            {
                shift_points(data, shift);
            }
        }),
    }
}

fn rewrite<S: Signal>(request: Request, change: impl FnOnce(&mut S::Request)) -> Request {
    match request.decode::<S>() {
        Some(Ok(mut decoded)) => {
            change(&mut decoded);
            Request::encode::<S>(&decoded)
        }
        _ => request,
    }
}

fn shift_points(data: &mut Data, shift: TimeShift) {
    // The point types share these fields but no trait.
    match data {
        Data::Gauge(gauge) => each(&mut gauge.data_points, shift, |p| {
            (&mut p.start_time_unix_nano, &mut p.time_unix_nano, &mut p.exemplars)
        }),
        Data::Sum(sum) => each(&mut sum.data_points, shift, |p| {
            (&mut p.start_time_unix_nano, &mut p.time_unix_nano, &mut p.exemplars)
        }),
        Data::Histogram(histogram) => each(&mut histogram.data_points, shift, |p| {
            (&mut p.start_time_unix_nano, &mut p.time_unix_nano, &mut p.exemplars)
        }),
        Data::ExponentialHistogram(histogram) => each(&mut histogram.data_points, shift, |p| {
            (&mut p.start_time_unix_nano, &mut p.time_unix_nano, &mut p.exemplars)
        }),
        Data::Summary(summary) => {
            for point in &mut summary.data_points {
                shift.apply(&mut point.start_time_unix_nano);
                shift.apply(&mut point.time_unix_nano);
            }
        }
    }
}

fn each<P>(
    points: &mut [P],
    shift: TimeShift,
    times: impl Fn(&mut P) -> (&mut u64, &mut u64, &mut Vec<Exemplar>),
) {
    for point in points {
        let (start, time, exemplars) = times(point);
        shift.apply(start);
        shift.apply(time);
        for exemplar in exemplars {
            shift.apply(&mut exemplar.time_unix_nano);
        }
    }
}
