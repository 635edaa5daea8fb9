//! The columns that OpenObserve makes for spans.

use super::column_types::{ColumnLevel, ValueType, WantedColumns, each_value};
use crate::sanitize::gen_ai::GenAi;
use crate::sanitize::limits::MAP_LEVELS;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use wire::{Request, Traces};

/// The columns of spans.
#[derive(Debug, Default)]
pub(crate) struct SpanColumns {
    pub(crate) wanted: WantedColumns,
    /// `true` if OpenObserve makes further columns, as it does for generative AI.
    pub(crate) has_others: bool,
}

/// Columns that a span has if it has a parent.
const OF_PARENT: [&str; 3] =
    ["reference_parent_span_id", "reference_parent_trace_id", "reference_ref_type"];

/// Columns in which OpenObserve notes the service that a client or producer span calls.
const OF_CALLED_SERVICE: [&str; 3] =
    ["infer_service_name", "infer_service_system", "infer_service_type"];

/// The beginning of columns of which some are numbers.
const OF_GENERATIVE_AI: &str = "gen_ai_";

impl SpanColumns {
    pub(crate) fn of(spans: &Request) -> Self {
        let mut found = Self::default();
        let Some(Ok(traces)) = spans.decode::<Traces>() else { return found };
        for resource_spans in traces.resource_spans {
            if let Some(resource) = &resource_spans.resource {
                found.add("service_", &resource.attributes);
            }
            for scope_spans in &resource_spans.scope_spans {
                let scope = scope_spans.scope.as_ref().map_or("", |scope| &scope.name);
                for span in &scope_spans.spans {
                    found.add_span(span, scope);
                }
            }
        }
        found
    }

    fn add_span(&mut self, span: &Span, scope: &str) {
        self.has_others |= GenAi::of_decoded(span, scope).is_processed();
        self.add("", &span.attributes);
        if !span.parent_span_id.is_empty() {
            self.add_names(&OF_PARENT);
        }
        if matches!(span.kind(), SpanKind::Client | SpanKind::Producer) {
            self.add_names(&OF_CALLED_SERVICE);
        }
        if span.status.is_some() {
            self.wanted.add("status_code", ValueType::Large);
            self.wanted.add_name("status_message");
        }
    }

    fn add_names(&mut self, columns: &[&str]) {
        for column in columns {
            self.wanted.add_name(column);
        }
    }

    fn add(&mut self, path: &str, attributes: &[KeyValue]) {
        let level = ColumnLevel { path, levels: MAP_LEVELS, is_text: true };
        each_value(level, attributes, &mut |column, _| {
            if column.starts_with(OF_GENERATIVE_AI) {
                self.has_others = true;
            } else if column != SERVICE_SERVICE_NAME {
                self.wanted.add_name(column);
            }
        });
    }
}

/// `service.name` has no prefix, and each stream has its column.
const SERVICE_SERVICE_NAME: &str = "service_service_name";
