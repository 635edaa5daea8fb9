//! OpenObserve's treatment of log records.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;

use super::traces::service_name_of;
use super::{Columns, FLATTEN_LEVEL, column};
use super::{Context, Ingested, Refusal};
use crate::openobserve::oddity::{Oddities, OddityKind};
use crate::openobserve::store::ColumnsByStream;
use crate::openobserve::store::{Records, Stored};

/// Columns that OpenObserve fills itself; an attribute of the same name replaces them.
const RESERVED: [&str; 8] = [
    "_timestamp",
    "severity",
    "body",
    "dropped_attributes_count",
    "trace_id",
    "span_id",
    "instrumentation_library_name",
    "instrumentation_library_version",
];

pub(crate) fn ingest(
    request: ExportLogsServiceRequest,
    context: &Context,
    oddities: &mut Oddities,
) -> Result<Ingested, Refusal> {
    let (mut kept, mut rejected, mut message) = (Vec::new(), 0, String::new());
    let mut columns = Columns::default();
    for resource_logs in request.resource_logs {
        let resource = Arc::new(resource_logs.resource.unwrap_or_default());
        let service_name = service_name_of(&resource.attributes).unwrap_or_default();
        for scope_logs in resource_logs.scope_logs {
            let scope = Arc::new(scope_logs.scope.unwrap_or_default());
            for record in scope_logs.log_records {
                // Without time the observed time counts; without both the record is too old.
                let time = if record.time_unix_nano == 0 {
                    record.observed_time_unix_nano
                } else {
                    record.time_unix_nano
                };
                if let Some(reason) = context.window.misses(time) {
                    rejected += 1;
                    message = reason;
                    continue;
                }
                note(&record, &resource.attributes, oddities);
                add_columns(&mut columns, &record, &resource.attributes, &scope);
                kept.push(Stored {
                    organization: context.organization.to_owned(),
                    stream: context.stream.to_owned(),
                    service_name: service_name.clone(),
                    resource: Arc::clone(&resource),
                    scope: Arc::clone(&scope),
                    item: record,
                    request: context.request,
                });
            }
        }
    }
    if context.check_columns(&columns, context.stream).is_err() {
        // Logs only: 200 with `0a 00`, and everything is dropped.
        oddities.add(
            OddityKind::TooManyColumns,
            format!("{} columns, {} log records", columns.count(), kept.len()),
        );
        return Err(Refusal::WriteFailed);
    }
    let columns = ColumnsByStream::new();
    Ok(Ingested { records: Records::Logs(kept), rejected, message, columns })
}

fn note(record: &LogRecord, resource: &[KeyValue], oddities: &mut Oddities) {
    // Ids of a wrong length or of zeros: the record is stored without them.
    for (name, id, length) in [("trace", &record.trace_id, 16), ("span", &record.span_id, 8)] {
        if !id.is_empty() && (id.len() != length || id.iter().all(|byte| *byte == 0)) {
            oddities.add(OddityKind::InvalidId, format!("{name} id of {} bytes", id.len()));
        }
    }
    if record.severity_text.is_empty() {
        oddities
            .add(OddityKind::NoSeverityText, format!("severity number {}", record.severity_number));
    }
    for attribute in &record.attributes {
        let name = column(&attribute.key);
        if RESERVED.contains(&name.as_str())
            || resource.iter().any(|other| column(&other.key) == name)
        {
            oddities.add(
                OddityKind::AttributeReplacesColumn,
                format!("log record: `{}`", attribute.key),
            );
        }
    }
}

fn add_columns(
    columns: &mut Columns,
    record: &LogRecord,
    resource: &[KeyValue],
    scope: &InstrumentationScope,
) {
    columns.add_all(&["_timestamp", "severity", "dropped_attributes_count"]);
    match record.body.as_ref().and_then(|body| body.value.as_ref()) {
        // A body that is a map has columns of its own and no `body`.
        Some(Value::KvlistValue(map)) => columns.flatten("body_", &map.values, FLATTEN_LEVEL - 1),
        _ => columns.add("body"),
    }
    if !scope.name.is_empty() {
        columns.add("instrumentation_library_name");
    }
    if !scope.version.is_empty() {
        columns.add("instrumentation_library_version");
    }
    if record.trace_id.len() == 16 {
        columns.add("trace_id");
    }
    if record.span_id.len() == 8 {
        columns.add("span_id");
    }
    columns.flatten("", resource, FLATTEN_LEVEL);
    columns.flatten("", &record.attributes, FLATTEN_LEVEL);
}
