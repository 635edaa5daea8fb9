//! OpenObserve's treatment of spans.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;

use super::{Columns, column};
use super::{Context, Ingested, Refusal};
use crate::openobserve::oddity::{Oddities, OddityKind};
use crate::openobserve::store::ColumnsByStream;
use crate::openobserve::store::{Records, Stored, attribute};

pub(crate) const REJECTED: &str =
    "Some spans were rejected due to exceeding the allowed retention period";

/// Columns that OpenObserve fills itself; a span attribute of the same name replaces them in v0.60.5.
const RESERVED: [&str; 14] = [
    "trace_id",
    "span_id",
    "flags",
    "span_status",
    "span_kind",
    "operation_name",
    "service_name",
    "status_code",
    "status_message",
    "events",
    "links",
    "reference_parent_span_id",
    "reference_parent_trace_id",
    "reference_ref_type",
];

/// Reserved too, but an attribute of that name is renamed to `attr_…`.
const RENAMED: [&str; 4] = ["_timestamp", "duration", "start_time", "end_time"];

pub(crate) fn ingest(
    request: ExportTraceServiceRequest,
    context: &Context,
    oddities: &mut Oddities,
) -> Result<Ingested, Refusal> {
    let (mut kept, mut rejected) = (Vec::new(), 0);
    let mut columns = Columns::default();
    // A resource without `service.name` takes the previous one's, the first takes the stream's name.
    let mut service_name = context.stream.to_owned();
    for resource_spans in request.resource_spans {
        let resource = Arc::new(resource_spans.resource.unwrap_or_default());
        match service_name_of(&resource.attributes) {
            Some(name) => service_name = name,
            None => oddities.add(
                OddityKind::NoServiceName,
                format!("spans shown as those of `{service_name}`"),
            ),
        }
        for scope_spans in resource_spans.scope_spans {
            let scope = Arc::new(scope_spans.scope.unwrap_or_default());
            for span in scope_spans.spans {
                // An 8-byte trace id is rejected with the same, misleading, text.
                let ids_fit = span.trace_id.len() == 16 && span.span_id.len() == 8;
                if !ids_fit || context.window.misses(span.start_time_unix_nano).is_some() {
                    rejected += 1;
                    continue;
                }
                note(&span, &resource.attributes, oddities);
                add_columns(&mut columns, &span, &resource.attributes);
                kept.push(Stored {
                    organization: context.organization.to_owned(),
                    stream: context.stream.to_owned(),
                    service_name: service_name.clone(),
                    resource: Arc::clone(&resource),
                    scope: Arc::clone(&scope),
                    item: span,
                    request: context.request,
                });
            }
        }
    }
    context.check_columns(&columns, context.stream)?;
    let message = if rejected > 0 { REJECTED.to_owned() } else { String::new() };
    let columns = ColumnsByStream::from([(context.stream.to_owned(), columns)]);
    Ok(Ingested { records: Records::Spans(kept), rejected, message, columns })
}

pub(crate) fn service_name_of(attributes: &[KeyValue]) -> Option<String> {
    match attribute(attributes, "service.name")?.value.as_ref()? {
        Value::StringValue(name) => Some(name.clone()),
        _ => None,
    }
}

fn note(span: &Span, resource: &[KeyValue], oddities: &mut Oddities) {
    let name = &span.name;
    if span.end_time_unix_nano < span.start_time_unix_nano {
        oddities.add(OddityKind::EndBeforeStart, format!("span `{name}`"));
    }
    // An all-zero trace id is accepted.
    let is_zero = |id: &[u8]| id.iter().all(|byte| *byte == 0);
    if is_zero(&span.trace_id) || is_zero(&span.span_id) {
        oddities.add(OddityKind::InvalidId, format!("span `{name}` has an id of zeros"));
    }
    if !span.parent_span_id.is_empty()
        && (span.parent_span_id.len() != 8 || is_zero(&span.parent_span_id))
    {
        oddities.add(OddityKind::InvalidId, format!("span `{name}` has no valid parent id"));
    }
    for attribute in &span.attributes {
        let name = column(&attribute.key);
        let of_resource = name.strip_prefix("service_").is_some_and(|key| {
            resource.iter().any(|attribute| resource_column(&attribute.key) == Some(key.to_owned()))
        });
        if RESERVED.contains(&name.as_str()) || of_resource {
            oddities.add(
                OddityKind::AttributeReplacesColumn,
                format!("span `{}`: `{}`", span.name, attribute.key),
            );
        }
    }
}

/// The part after `service_` of a resource attribute's column; `service.name` itself has none.
fn resource_column(key: &str) -> Option<String> {
    (key != "service.name").then(|| column(key))
}

fn add_columns(columns: &mut Columns, span: &Span, resource: &[KeyValue]) {
    let (own, reference) = RESERVED.split_at(11);
    columns.add_all(own);
    columns.add_all(&RENAMED);
    if !span.parent_span_id.is_empty() {
        columns.add_all(reference);
    }
    for attribute in resource.iter().filter(|it| resource_column(&it.key).is_some()) {
        columns.flatten("service_", std::slice::from_ref(attribute), usize::MAX);
    }
    for attribute in &span.attributes {
        let is_renamed = RENAMED.contains(&column(&attribute.key).as_str());
        let prefix = if is_renamed { "attr_" } else { "" };
        columns.flatten(prefix, std::slice::from_ref(attribute), usize::MAX);
    }
}
