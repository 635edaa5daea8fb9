//! The telemetry that a backend takes.

use super::variables::SIGNALS;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, Metric};
use settings::{Check, Reader, quoted};
use url::Url;
use wire::{Metrics, Request, SignalKind};

/// A kind of telemetry. Temporality divides metrics, because databases of running totals refuse deltas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Telemetry {
    Traces,
    /// Sums and histograms that count since the last point.
    DeltaMetrics,
    /// Gauges, summaries, and sums and histograms that count since a start.
    OtherMetrics,
    Logs,
}

const ALL: [Telemetry; 4] =
    [Telemetry::Traces, Telemetry::DeltaMetrics, Telemetry::OtherMetrics, Telemetry::Logs];

/// Each word of the setting, and what it means.
const WORDS: [(&str, &[Telemetry]); 4] = [
    ("traces", &[Telemetry::Traces]),
    ("metrics", &[Telemetry::DeltaMetrics, Telemetry::OtherMetrics]),
    ("cumulative_metrics", &[Telemetry::OtherMetrics]),
    ("logs", &[Telemetry::Logs]),
];

impl Telemetry {
    /// Divides a request into its kinds of telemetry. Only metrics are decoded.
    pub fn divide(request: Request) -> Vec<(Self, Request)> {
        match request.kind() {
            SignalKind::Traces => vec![(Self::Traces, request)],
            SignalKind::Logs => vec![(Self::Logs, request)],
            SignalKind::Metrics => divide_metrics(request),
        }
    }
}

fn divide_metrics(request: Request) -> Vec<(Telemetry, Request)> {
    // Decoding twice is as fast as a copy, of which the extension contains no code.
    let all_with = |temporality: fn(&Metric) -> bool| {
        // The structure was checked when the request was created.
        let mut part = request.decode::<Metrics>()?.ok()?;
        let scopes = part.resource_metrics.iter_mut().flat_map(|it| &mut it.scope_metrics);
        scopes.for_each(|scope| scope.metrics.retain(temporality));
        Some(Request::encode::<Metrics>(&part))
    };
    let (Some(deltas), Some(others)) = (all_with(is_delta), all_with(|metric| !is_delta(metric)))
    else {
        return vec![(Telemetry::OtherMetrics, request)];
    };
    let parts = [(Telemetry::DeltaMetrics, deltas), (Telemetry::OtherMetrics, others)];
    parts.into_iter().filter(|(_, part)| part.items() > 0).collect()
}

fn is_delta(metric: &Metric) -> bool {
    let temporality = match &metric.data {
        Some(Data::Sum(sum)) => sum.aggregation_temporality,
        Some(Data::Histogram(histogram)) => histogram.aggregation_temporality,
        Some(Data::ExponentialHistogram(histogram)) => histogram.aggregation_temporality,
        Some(Data::Gauge(_) | Data::Summary(_)) | None => return false,
    };
    temporality == AggregationTemporality::Delta as i32
}

/// A word that names no telemetry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not `traces`, `metrics`, `cumulative_metrics` or `logs`, separated by commas")]
pub struct UnknownSignal(String);

/// The telemetry that a backend takes: all, unless its user says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signals {
    taken: Vec<Telemetry>,
}

impl Default for Signals {
    fn default() -> Self {
        Self { taken: ALL.to_vec() }
    }
}

impl Signals {
    /// Reads words such as `traces,cumulative_metrics`.
    pub fn parse(text: &str) -> Result<Self, UnknownSignal> {
        let mut taken = Vec::new();
        for word in text.split(',').map(str::trim) {
            let Some((_, kinds)) = WORDS.iter().find(|(it, _)| it.eq_ignore_ascii_case(word))
            else {
                return Err(UnknownSignal(quoted(word)));
            };
            taken.extend(*kinds);
        }
        Ok(Self { taken })
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let Some(text) = reader.read(SIGNALS) else { return Self::default() };
        Self::parse(&text).unwrap_or_else(|problem| {
            reader.mistake(SIGNALS, problem.to_string());
            Self::default()
        })
    }

    pub fn take(&self, telemetry: Telemetry) -> bool {
        self.taken.contains(&telemetry)
    }

    pub fn take_all(&self) -> bool {
        ALL.into_iter().all(|telemetry| self.take(telemetry))
    }

    /// Returns `true` if requests of this signal are sent, perhaps without deltas.
    pub fn include(&self, kind: SignalKind) -> bool {
        match kind {
            SignalKind::Traces => self.take(Telemetry::Traces),
            SignalKind::Logs => self.take(Telemetry::Logs),
            SignalKind::Metrics => {
                self.take(Telemetry::DeltaMetrics) || self.take(Telemetry::OtherMetrics)
            }
        }
    }

    /// What is taken by any of these backends.
    pub fn union<'s>(all: impl IntoIterator<Item = &'s Self>) -> Self {
        Self { taken: all.into_iter().flat_map(|signals| &signals.taken).copied().collect() }
    }

    /// Warns of what a single backend isn't sent.
    pub fn check(&self) -> Option<Check> {
        let missing = self.missing();
        let text = format!("{missing}: not sent, because {} leaves them out", SIGNALS.name());
        (!missing.is_empty()).then(|| Check::warning("signals", text))
    }

    /// Names what is not sent: `delta metrics, logs`. Empty if everything is.
    pub fn missing(&self) -> String {
        let missing = SignalKind::ALL.into_iter().filter_map(|kind| {
            let is_divided = kind == SignalKind::Metrics && !self.take(Telemetry::DeltaMetrics);
            match self.include(kind) {
                true if is_divided => Some("delta metrics"),
                true => None,
                false => Some(kind.as_str()),
            }
        });
        missing.collect::<Vec<_>>().join(", ")
    }
}

/// Returns the name of a database behind this URL that refuses deltas: Prometheus 3 without `otlp-deltatocumulative`, VictoriaMetrics
/// 1.112 (200, and a line in its log), Mimir without `otel-native-delta-ingestion`.
pub(super) fn database_of_totals(metrics: &Url) -> Option<&'static str> {
    let is_grafana = metrics.host_str().is_some_and(|host| host.ends_with(".grafana.net"));
    match metrics.path() {
        _ if is_grafana => Some("Grafana Cloud"),
        path if path.ends_with("/api/v1/otlp/v1/metrics") => Some("Prometheus"),
        path if path.ends_with("/opentelemetry/v1/metrics") => Some("VictoriaMetrics"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::metrics::v1::{Gauge, NumberDataPoint, Sum};
    use opentelemetry_proto::tonic::resource::v1::Resource;

    #[test]
    fn words_name_what_a_backend_takes() {
        let check = |text, missing: &str| {
            assert_eq!(Signals::parse(text).unwrap().missing(), missing, "{text}");
        };
        check("traces,metrics,logs", "");
        check(" Traces , LOGS", "metrics");
        check("cumulative_metrics", "traces, delta metrics, logs");
        check("metrics,cumulative_metrics", "traces, logs");
        for wrong in ["", "traces,", "delta", "traces metrics"] {
            assert!(Signals::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn metrics_are_divided_by_temporality_and_keep_all_points() {
        let points = |count| vec![NumberDataPoint::default(); count];
        let sum = |temporality, count| {
            let aggregation_temporality = temporality as i32;
            Data::Sum(Sum { data_points: points(count), aggregation_temporality, ..Sum::default() })
        };
        let gauge = Data::Gauge(Gauge { data_points: points(4) });
        let data = [
            sum(AggregationTemporality::Delta, 1),
            sum(AggregationTemporality::Cumulative, 2),
            gauge,
        ];
        let named = |data| Metric { name: "m".to_owned(), data: Some(data), ..Metric::default() };
        let metrics: Vec<Metric> = data.into_iter().map(named).collect();
        let divide = |metrics: &[Metric]| {
            let request = Request::of_metrics(Resource::default(), metrics.to_vec());
            let parts = Telemetry::divide(request).into_iter();
            parts.map(|(telemetry, part)| (telemetry, part.items())).collect::<Vec<_>>()
        };
        let (deltas, others) = ((Telemetry::DeltaMetrics, 1), (Telemetry::OtherMetrics, 6));
        assert_eq!(divide(&metrics), [deltas, others]);
        assert_eq!(divide(&metrics[..1]), [deltas]);
        assert_eq!(divide(&metrics[1..]), [others]);
    }
}
