//! Telemetry that has arrived and waits to be shown.

use console::waterfall::attributes::text_of;
use console::waterfall::{Naming, RecordOf, SpanOf, Waterfall, waterfalls};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use std::collections::{BTreeMap, BTreeSet};
use wire::{Logs, Metrics, Request, Traces};

/// Spans, log records and metrics, each with its service.
#[derive(Default)]
pub(crate) struct Held {
    pub(crate) spans: Vec<HeldSpan>,
    pub(crate) records: Vec<(String, LogRecord)>,
    pub(crate) metrics: Vec<(String, Metric)>,
}

pub(crate) struct HeldSpan {
    pub(crate) service: String,
    pub(crate) scope: String,
    pub(crate) span: Span,
}

#[derive(Default)]
pub(crate) struct Trace<'a> {
    pub(crate) spans: Vec<&'a HeldSpan>,
    pub(crate) records: Vec<&'a (String, LogRecord)>,
}

impl Held {
    pub(crate) fn items(&self) -> usize {
        self.spans.len() + self.records.len() + self.metrics.len()
    }

    pub(crate) fn add(&mut self, request: &Request) {
        if let Some(Ok(request)) = request.decode::<Traces>() {
            for resource in request.resource_spans {
                let service = service(resource.resource.as_ref());
                for scope in resource.scope_spans {
                    let name = scope.scope.map(|scope| scope.name).unwrap_or_default();
                    self.spans.extend(scope.spans.into_iter().map(|span| HeldSpan {
                        service: service.clone(),
                        scope: name.clone(),
                        span,
                    }));
                }
            }
        } else if let Some(Ok(request)) = request.decode::<Logs>() {
            for resource in request.resource_logs {
                let service = service(resource.resource.as_ref());
                let records = resource.scope_logs.into_iter().flat_map(|scope| scope.log_records);
                self.records.extend(records.map(|record| (service.clone(), record)));
            }
        } else if let Some(Ok(request)) = request.decode::<Metrics>() {
            for resource in request.resource_metrics {
                let service = service(resource.resource.as_ref());
                let metrics = resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics);
                self.metrics.extend(metrics.map(|metric| (service.clone(), metric)));
            }
        }
    }

    pub(crate) fn traces(&self) -> BTreeMap<&[u8], Trace<'_>> {
        let mut traces: BTreeMap<&[u8], Trace<'_>> = BTreeMap::new();
        for span in &self.spans {
            traces.entry(&span.span.trace_id).or_default().spans.push(span);
        }
        for record in self.records.iter().filter(|(_, record)| !record.trace_id.is_empty()) {
            traces.entry(&record.1.trace_id).or_default().records.push(record);
        }
        traces
    }

    pub(crate) fn waterfalls(&self) -> Vec<Waterfall> {
        let spans = self.spans.iter();
        let spans: Vec<SpanOf<'_>> = spans
            .map(|HeldSpan { service, scope, span }| SpanOf { service, scope, span })
            .collect();
        let records: Vec<RecordOf<'_>> =
            self.records.iter().map(|(service, record)| RecordOf { service, record }).collect();
        waterfalls(&spans, &records, &Named)
    }
}

/// Names traces after their invocations.
pub(crate) struct Named;

impl Naming for Named {
    fn label(&self, request_ids: &BTreeSet<String>) -> String {
        let ids: Vec<&str> = request_ids.iter().map(String::as_str).collect();
        match ids.as_slice() {
            [] => "without an invocation id".to_owned(),
            [one] => format!("invocation {one}"),
            several => format!("invocations {}", several.join(", ")),
        }
    }

    fn number(&self, _attributes: &[KeyValue]) -> String {
        String::new()
    }
}

fn service(resource: Option<&Resource>) -> String {
    let name = resource.and_then(|resource| text_of(&resource.attributes, "service.name"));
    name.unwrap_or_else(|| "unknown".to_owned())
}
