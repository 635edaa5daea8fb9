//! The traces of a run.

use crate::run::{Labelled, Run};
use crate::stored;
use console::waterfall::{Log, Naming, RecordOf, SpanOf, Waterfall};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use simulator::sink::StoredLogRecord;
use std::collections::BTreeSet;

/// Names a trace after its invocation, and an item by its number.
impl Naming for Run {
    fn label(&self, request_ids: &BTreeSet<String>) -> String {
        // `invocations` lists a caller before the function that it calls.
        let invocation = self
            .invocations
            .iter()
            .find(|known| request_ids.contains(&known.invocation.request_id));
        invocation.map_or_else(
            || "of no known invocation".to_owned(),
            |Labelled { function, label, .. }| format!("{function}, {label}"),
        )
    }

    fn number(&self, attributes: &[KeyValue]) -> String {
        stored::number(attributes).map_or(String::new(), |number| format!("#{number}"))
    }
}

pub(crate) fn waterfalls(run: &Run) -> Vec<Waterfall> {
    let services: Vec<String> = run.arrived.spans.iter().map(stored::service).collect();
    let spans: Vec<SpanOf<'_>> = run
        .arrived
        .spans
        .iter()
        .zip(&services)
        .map(|(span, service)| SpanOf { service, scope: &span.scope.name, span: &span.item })
        .collect();
    let services: Vec<String> = run.arrived.log_records.iter().map(stored::service).collect();
    let records: Vec<RecordOf<'_>> = run
        .arrived
        .log_records
        .iter()
        .zip(&services)
        .map(|(record, service)| RecordOf { service, record: &record.item })
        .collect();
    console::waterfall::waterfalls(&spans, &records, run)
}

/// The log records without a trace.
pub(crate) fn without_trace(run: &Run) -> Vec<Log> {
    let records = run.arrived.log_records.iter();
    let of = |record: &StoredLogRecord| {
        let service = stored::service(record);
        Log::of(RecordOf { service: &service, record: &record.item }, run)
    };
    records.filter(|record| record.item.trace_id.is_empty()).map(of).collect()
}
