//! Converts the log events of one log stream into one `ResourceLogs`, one `ResourceMetrics` and,
//! if asked for, one `ResourceSpans`.
//!
//! Source: design §4 "What a CloudWatch event becomes". OTLP lines are the caller's: it decodes
//! them and reports here only those that do not decode.

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Metric, ResourceMetrics, ScopeMetrics, metric::Data,
};
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;

use crate::attributes::scope;
use crate::emf;
use crate::emf_points::EmfPoints;
use crate::event::EventKind;
use crate::identity::Identity;
use crate::invocations::Invocations;
use crate::logs::{
    LogEvent, Undecodable, Window, line_record, platform_record, undecodable_record,
};
use crate::metrics::{Aggregator, Names, Shape};
use crate::names;
use crate::spans::{SpanEnd, SpanMapping, SpanOptions, resource_spans};
use crate::{telemetry, text};

/// How many traces of one chunk are known; more could only be invented ones.
const MAX_TRACES: usize = 50_000;

/// What the user chose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// For which kind of backend metrics are shaped (`LAMBDA_OTLP_BACKEND`).
    pub shape: Shape,
    /// Which metric names are written (`LAMBDA_OTLP_NAMES`).
    pub names: Names,
    /// Whether START, END, INIT_START and RESTORE_START become log records too (`LAMBDA_OTLP_PLATFORM_LOGS=all`).
    pub platform_logs_all: bool,
}

/// What became of a log event, for the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    /// It becomes no item: START, END, INIT_START, RESTORE_START.
    Consumed,
    /// It was the function's line and becomes one log record; in the embedded metric format also
    /// metrics.
    Line,
    /// It was one of Lambda's own and becomes one log record, and maybe metrics.
    Platform,
}

/// What the log events of a stream became.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Converted {
    /// The log records with their resource; `None` if there are none.
    pub logs: Option<ResourceLogs>,
    /// The metrics with their resource; `None` if there are none.
    pub metrics: Option<ResourceMetrics>,
    /// Log events that became no item.
    pub consumed: usize,
    /// Log records in `logs`.
    pub log_records: usize,
    /// The spans of the invocations, if they were asked for; `None` if there are none.
    pub spans: Option<ResourceSpans>,
    /// Spans in `spans`.
    pub span_count: usize,
    /// Data points in `metrics`.
    pub data_points: usize,
    /// Figures that were no finite, plausible number, or beyond a bound of the embedded metric
    /// format, and were left out of the metrics.
    pub dropped_values: usize,
    /// Where the stream stands, for the next chunk of it.
    pub window: Window,
}

/// Takes the log events of one log stream in their order.
#[derive(Debug)]
pub struct Converter {
    identity: Identity,
    options: Options,
    observed_unix_nano: u64,
    window: Window,
    aggregator: Aggregator,
    invocations: Option<Box<Invocations>>,
    emf: EmfPoints,
    traces: BTreeSet<[u8; 16]>,
    platform_records: Vec<LogRecord>,
    line_records: Vec<LogRecord>,
    consumed: usize,
}

impl Converter {
    /// A converter for one stream. `observed_unix_nano` is the time of the delivery.
    pub fn new(identity: Identity, options: Options, observed_unix_nano: u64) -> Self {
        Self {
            identity,
            options,
            observed_unix_nano,
            window: Window::default(),
            aggregator: Aggregator::new(options.shape, options.names),
            invocations: None,
            emf: EmfPoints::default(),
            traces: BTreeSet::new(),
            platform_records: Vec::new(),
            line_records: Vec::new(),
            consumed: 0,
        }
    }

    /// Goes on where an earlier chunk of the stream ended.
    #[must_use]
    pub fn with_window(mut self, mut window: Window) -> Self {
        self.aggregator.resume(std::mem::take(&mut window.invocations));
        self.window = window;
        self
    }

    /// Writes the span of each invocation too, for functions that have nobody else to do it
    /// (`LAMBDA_OTLP_PLATFORM_SPANS`).
    ///
    /// The report makes the span, since the lines of an invocation may come in two deliveries; a
    /// `START` in the same delivery, or in a chunk before, tells its beginning. Name and version
    /// of the function are taken from the identity.
    #[must_use]
    pub fn with_spans(mut self, mapping: SpanMapping, end: SpanEnd, xray_lambda: bool) -> Self {
        let earlier = self.window.spans.take();
        self.invocations = Some(earlier.unwrap_or_else(|| {
            Box::new(Invocations::of_stream(SpanOptions {
                mapping,
                end,
                names: self.options.names,
                xray_lambda,
                function_name: self.identity.service_name.clone(),
                function_version: self.identity.function_version.clone(),
            }))
        }));
        self
    }

    /// Takes note of a trace that a span of this stream carries. A line says an X-Ray root
    /// whether or not anybody traces; only where spans have it is it the record's trace id.
    pub fn trace_seen(&mut self, trace_id: [u8; 16]) {
        if self.traces.len() < MAX_TRACES {
            self.traces.insert(trace_id);
        }
    }

    /// Takes a log event that is no OTLP line.
    pub fn log_event(&mut self, event: &LogEvent<'_>) -> Handled {
        let parsed = text::parse(event.message).or_else(|| telemetry::parse_line(event.message));
        let Some(platform) = parsed else {
            let mut record = line_record(event, &self.window, self.observed_unix_nano);
            if let Some(line) = emf::parse(event.message) {
                self.emf.add(line, event.time_unix_nano());
                // The metrics say it now.
                record.attributes.retain(|attribute| attribute.key != emf::KEY);
            }
            self.line_records.push(record);
            return Handled::Line;
        };
        self.window.observe(&platform);
        self.aggregator.add(&platform, event.time_unix_nano());
        if let Some(invocations) = &mut self.invocations {
            invocations.observe(&platform, event.time_unix_nano());
        }
        let says_nothing = matches!(
            platform.kind,
            EventKind::Start | EventKind::End | EventKind::InitStart | EventKind::RestoreStart
        );
        if says_nothing && !self.options.platform_logs_all {
            self.consumed += 1;
            return Handled::Consumed;
        }
        self.platform_records.push(platform_record(event, &platform, self.observed_unix_nano));
        Handled::Platform
    }

    /// Takes a line that claims to be OTLP and did not decode: it becomes one log record.
    pub fn undecodable(&mut self, event: &LogEvent<'_>, undecodable: &Undecodable<'_>) {
        let record = undecodable_record(event, undecodable, &self.window, self.observed_unix_nano);
        self.line_records.push(record);
    }

    /// The OTLP of all events taken; the delivery ends here, or may.
    ///
    /// Where another chunk of the stream follows after all, [`Converted::window`] still keeps its
    /// lines from counting an invocation twice.
    pub fn finish(mut self) -> Converted {
        let (metrics, invocations) = self.aggregator.finish_chunk();
        self.window.invocations = invocations;
        self.converted(metrics)
    }

    /// The OTLP of all events taken, where another chunk of the same stream is sure to follow:
    /// what its first lines may still change, such as whether the last invocation went well, is
    /// counted there. The window must reach a converter that is finished.
    pub fn pause(mut self) -> Converted {
        let (metrics, invocations) = self.aggregator.pause();
        self.window.invocations = invocations;
        self.converted(metrics)
    }

    fn converted(mut self, metrics: Vec<Metric>) -> Converted {
        let spans = self.invocations.as_mut().map(|invocations| invocations.take_finished());
        self.window.spans = self.invocations.take();
        let spans = spans.unwrap_or_default();
        let span_count = spans.len();
        for span in &spans {
            if let Ok(trace_id) = span.trace_id.as_slice().try_into() {
                self.trace_seen(trace_id);
            }
        }
        for record in self.line_records.iter_mut().chain(&mut self.platform_records) {
            set_trace_id(record, &self.traces);
        }
        let spans =
            (!spans.is_empty()).then(|| resource_spans(self.identity.log_resource(), spans));
        let log_records = self.line_records.len() + self.platform_records.len();
        let dropped_values = self.aggregator.dropped_values() + self.emf.dropped_values();
        let emf = self.emf.into_metrics(self.options.shape);
        let data_points = metrics.iter().chain(&emf).map(points_of).sum();
        let scope_metrics: Vec<ScopeMetrics> =
            [(names::PLATFORM_SCOPE, metrics), (names::EMF_SCOPE, emf)]
                .into_iter()
                .filter(|(_, metrics)| !metrics.is_empty())
                .map(|(name, metrics)| ScopeMetrics {
                    scope: Some(scope(name)),
                    metrics,
                    ..ScopeMetrics::default()
                })
                .collect();
        let scopes = [
            (names::LOGS_SCOPE, self.line_records),
            (names::PLATFORM_SCOPE, self.platform_records),
        ];
        let scope_logs: Vec<ScopeLogs> = scopes
            .into_iter()
            .filter(|(_, log_records)| !log_records.is_empty())
            .map(|(name, log_records)| ScopeLogs {
                scope: Some(scope(name)),
                log_records,
                ..ScopeLogs::default()
            })
            .collect();
        let logs = (!scope_logs.is_empty()).then(|| ResourceLogs {
            resource: Some(self.identity.log_resource()),
            scope_logs,
            ..ResourceLogs::default()
        });
        let metrics = (!scope_metrics.is_empty()).then(|| ResourceMetrics {
            resource: Some(self.identity.metric_resource()),
            scope_metrics,
            ..ResourceMetrics::default()
        });
        Converted {
            logs,
            metrics,
            spans,
            span_count,
            consumed: self.consumed,
            log_records,
            data_points,
            dropped_values,
            window: self.window,
        }
    }
}

/// Makes the X-Ray root of a record its trace id, if that trace is one of these.
fn set_trace_id(record: &mut LogRecord, traces: &BTreeSet<[u8; 16]>) {
    if traces.is_empty() || !record.trace_id.is_empty() {
        return;
    }
    let root = record.attributes.iter().find(|pair| pair.key == names::AWS_XRAY_TRACE_ID);
    let root = root.and_then(|pair| match pair.value.as_ref()?.value.as_ref()? {
        Value::StringValue(root) => wire::ids::xray_trace_id(root),
        _ => None,
    });
    if let Some(trace_id) = root.filter(|trace_id| traces.contains(trace_id)) {
        record.trace_id = trace_id.to_vec();
    }
}

fn points_of(metric: &Metric) -> usize {
    match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
        Some(Data::Summary(summary)) => summary.data_points.len(),
        None => 0,
    }
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
