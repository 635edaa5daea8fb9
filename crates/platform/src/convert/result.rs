//! The OTLP of all converted events.

use super::{ConvertedLines, Converter, ConverterState};
use crate::attributes::{scope, string, text};
use crate::identity::Identity;
use crate::logs::records;
use crate::metrics::aggregator::failure_in;
use crate::names;
use crate::read::runtime_error::Failure;
use crate::spans::invocation_span::resource_spans;
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message as _;
use std::cell::OnceCell;
use std::collections::BTreeMap;

impl Converter {
    /// Returns the OTLP of all events. [`ConvertedLines::state`] keeps the next chunk from counting an invocation twice.
    pub fn finish(mut self) -> ConvertedLines {
        let platform_metrics = self.aggregator.finish_chunk(&mut self.invocations);
        self.remember();
        self.remove_repeated_errors();
        self.complete_records();
        let spans = self.take_spans();
        let dropped_values = self.emf.dropped_values();
        let scopes = [
            (scope("lambda-otlp/logs"), self.line_records),
            (scope(names::PLATFORM_SCOPE), self.platform_records),
        ];
        let resource = || encoded(&self.log_resource, &self.identity);
        let logs = records::request(resource, scopes, &self.invocations);
        self.invocations.end_chunk();
        let executions = self.executions.take_traces(&self.identity.service_name);
        let state = ConverterState { invocations: self.invocations, executions: self.executions };
        ConvertedLines {
            logs,
            metrics: metrics_of(&self.identity, platform_metrics, self.emf.into_metrics()),
            spans,
            executions,
            consumed: self.consumed,
            dropped_values,
            divided: self.divided,
            state,
        }
    }

    /// Adds facts about their invocations to the records, from later lines. If several invocations run at a time, takes the assumed
    /// invocation away from records whose lines name none.
    fn complete_records(&mut self) {
        let invocations = &self.invocations;
        if invocations.has_late_facts {
            for records in [&mut self.line_records, &mut self.platform_records] {
                records.add_fields(|record| invocations.missing_facts(record));
            }
        }
        if invocations.is_concurrent() {
            let facts = invocations.attributes_of_all();
            let is_of_invocation = |key: &str, text: &str| {
                key == names::FAAS_INVOCATION_ID || facts.contains(&(key, text))
            };
            for records in [&mut self.line_records, &mut self.platform_records] {
                records.forget_assumed(is_of_invocation);
            }
        }
    }

    /// Takes the finished spans of invocations, with the facts about these.
    fn take_spans(&mut self) -> Option<ResourceSpans> {
        let mut spans = std::mem::take(&mut self.rescued_spans);
        spans.extend(self.invocations.take_finished());
        // An invocation has one root. The function, the library or the layer knows more about it.
        let seen = &self.invocations;
        spans.retain(|span| {
            let request_id = text(&span.attributes, names::FAAS_INVOCATION_ID);
            !request_id.is_some_and(|request_id| seen.has_root(request_id))
        });
        if spans.is_empty() {
            return None;
        }
        for span in &mut spans {
            self.invocations.add_own_span(span);
            let request_id = text(&span.attributes, names::FAAS_INVOCATION_ID);
            let facts = self.invocations.facts_of(request_id);
            span.attributes.extend(facts.attributes().map(|(key, word)| string(key, word)));
        }
        Some(resource_spans(self.identity.log_resource(), names::PLATFORM_SCOPE, spans))
    }

    /// The failed invocations of this stream so far. Spans that ended before the failure lack it.
    pub fn failures(&self) -> BTreeMap<&str, Failure> {
        let counted = self.invocations.counted();
        counted.filter_map(|(id, evidence, _)| Some((id, failure_in(evidence)?))).collect()
    }
}

pub(super) fn encoded<'r>(resource: &'r OnceCell<Vec<u8>>, identity: &Identity) -> &'r [u8] {
    resource.get_or_init(|| identity.log_resource().encode_to_vec())
}

/// Puts the metrics of Lambda's events and functions' embedded metrics under one resource.
fn metrics_of(
    identity: &Identity,
    platform: Vec<Metric>,
    embedded: Vec<Metric>,
) -> Option<ResourceMetrics> {
    let scopes = [(names::PLATFORM_SCOPE, platform), ("lambda-otlp/emf", embedded)];
    let scope_metrics: Vec<ScopeMetrics> = scopes
        .into_iter()
        .filter(|(_, metrics)| !metrics.is_empty())
        .map(|(name, metrics)| ScopeMetrics {
            scope: Some(scope(name)),
            metrics,
            ..ScopeMetrics::default()
        })
        .collect();
    (!scope_metrics.is_empty()).then(|| ResourceMetrics {
        resource: Some(identity.metric_resource()),
        scope_metrics,
        ..ResourceMetrics::default()
    })
}
