//! Writes the span of an invocation, and the child spans of its phases.
//!
//! Source: Lambda Developer Guide, "Converting Lambda Telemetry API Event objects to OpenTelemetry Spans", with one difference:
//! the X-Ray header's parent is a segment that never reaches an OTLP backend. It becomes the attribute `aws.xray.parent_id`, and
//! the parent only with propagation by X-Ray's header.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

use crate::attributes::{boolean, double, scope, string};
use crate::event::{EventKind, PlatformEvent, nanoseconds};
use crate::names::{self, lambda};
use crate::options::{Names, SpanEnd, SpanMapping, SpanOptions};
use crate::outcome::{Outcome, OutcomeEvidence};
use crate::spans::ids::{INTERNAL_NAME, InvocationIds};
use crate::spans::open_span::OpenSpan;
use crate::spans::phases;
use wire::arn::Arn;

pub fn resource_spans(resource: Resource, scope_name: &str, spans: Vec<Span>) -> ResourceSpans {
    ResourceSpans {
        resource: Some(resource),
        scope_spans: vec![ScopeSpans {
            scope: Some(scope(scope_name)),
            spans,
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    }
}

/// The span of an invocation and, with [`SpanMapping::ChildSpans`], of its phases.
pub(crate) fn make_spans(
    invocation: &OpenSpan,
    evidence: &OutcomeEvidence,
    options: &SpanOptions,
) -> Vec<Span> {
    let Some(ids) = InvocationIds::choose(invocation, options) else { return Vec::new() };
    let extent = Extent::measure(invocation, options);
    let Extent { start, end } = extent;
    let outcome = invocation.outcome(evidence);
    let mut span = ids.internal(ids.span_id, start, end);
    span.parent_span_id.clone_from(&ids.parent_span_id);
    if invocation.function_root.is_some() && !invocation.is_root_missing() {
        INTERNAL_NAME.clone_into(&mut span.name);
    } else {
        span.kind = SpanKind::Server as i32;
        let name = Some(options.function_name.as_str()).filter(|name| !name.is_empty());
        name.unwrap_or(INTERNAL_NAME).clone_into(&mut span.name);
    }
    span.status = Some(outcome.to_otlp(false));
    span.attributes = attributes(invocation, options, &outcome, end.saturating_sub(start));
    match options.mapping {
        SpanMapping::SpanEvents => {
            span.events = phases::events(invocation, start);
            vec![span]
        }
        SpanMapping::ChildSpans => {
            let mut spans = vec![span];
            spans.extend(phases::children(invocation, &ids, start));
            if invocation.reported.is_some() {
                spans.extend(phases::report(invocation, &ids, extent));
            }
            spans
        }
    }
}

/// The span of a report that came after the invocation's span was written.
pub(crate) fn late_report(invocation: &OpenSpan, options: &SpanOptions) -> Vec<Span> {
    if options.mapping == SpanMapping::SpanEvents {
        return Vec::new();
    }
    let Some(ids) = InvocationIds::choose(invocation, options) else { return Vec::new() };
    phases::report(invocation, &ids, Extent::measure(invocation, options))
}

/// Start and end of an invocation's span, as Unix times in nanoseconds.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl Extent {
    fn measure(invocation: &OpenSpan, options: &SpanOptions) -> Self {
        let began = |kind: &EventKind| {
            let timed = invocation.event(kind)?;
            let ms = timed.event.figures.duration_ms?;
            Some(timed.time.saturating_sub(nanoseconds(ms)))
        };
        let closed = invocation.closed.map(|closing| closing.time);
        let start = invocation
            .started
            .or_else(|| began(&EventKind::RuntimeDone))
            .or_else(|| began(&EventKind::Report))
            .or_else(|| invocation.own_events().map(|timed| timed.time).min())
            .or(closed)
            .unwrap_or(invocation.last_seen);
        let done = invocation.runtime_done.or(invocation.ended);
        let ended = match options.end {
            SpanEnd::RuntimeDone => done.or(invocation.reported),
            SpanEnd::Report => invocation.reported.or(done),
        };
        let end = ended.or(closed).unwrap_or(invocation.last_seen);
        Self { start, end: end.max(start) }
    }
}

fn attributes(
    invocation: &OpenSpan,
    options: &SpanOptions,
    outcome: &Outcome,
    duration: u64,
) -> Vec<KeyValue> {
    let cold_start = invocation.is_cold_start();
    let mut attributes = vec![
        string(names::FAAS_INVOCATION_ID, &*invocation.request_id),
        boolean(names::FAAS_COLDSTART, cold_start),
    ];
    let first = |word: fn(&PlatformEvent) -> &Option<String>| {
        invocation.events.iter().find_map(|timed| word(&timed.event).clone())
    };
    let version = first(|event| &event.version).or_else(|| options.function_version.clone());
    let resource_id =
        invocation.invoked_arn.as_deref().map(|arn| resource_id(arn, version.as_deref()));
    let failed = match outcome {
        Outcome::Failed { error_type, .. } => Some(error_type.clone()),
        Outcome::Unknown | Outcome::Succeeded => None,
    };
    let words = [
        (names::CLOUD_RESOURCE_ID, resource_id),
        ("aws.lambda.invoked_arn", invocation.invoked_arn.clone()),
        (names::FAAS_VERSION, version.clone()),
        (lambda::INITIALIZATION_TYPE, first(|event| &event.initialization_type)),
        (lambda::PHASE, first(|event| &event.phase)),
        (lambda::RUNTIME_VERSION, first(|event| &event.runtime_version)),
        (lambda::RUNTIME_VERSION_ARN, first(|event| &event.runtime_version_arn)),
        (names::ERROR_TYPE, failed),
        (lambda::XRAY_PARENT_ID, invocation.tracing.parent_id.clone()),
    ];
    for (key, word) in words {
        attributes.extend(word.map(|word| string(key, word)));
    }
    if let Some(report) = invocation.event(&EventKind::Report) {
        for (key, number) in report.event.figures.of_invocation() {
            attributes.extend(number.map(|number| double(key, number)));
        }
    }
    if options.names == Names::Legacy {
        let name = &options.function_name;
        #[expect(clippy::cast_precision_loss, reason = "an invocation is shorter than 104 days")]
        let duration_ms = duration as f64 / 1e6;
        attributes.push(string("aws.lambda.function_name", name));
        attributes.extend(version.map(|word| string("aws.lambda.function_version", word)));
        attributes.push(string("aws.lambda.request_id", &*invocation.request_id));
        attributes.push(double("aws.lambda.invocation.duration_ms", duration_ms));
        attributes.push(boolean("faas.cold_start", cold_start));
    }
    attributes
}

/// The function's ARN with its version instead of an alias, as the semantic conventions require for `cloud.resource_id`.
fn resource_id(invoked_arn: &str, version: Option<&str>) -> String {
    version
        .and_then(|version| Arn::parse(invoked_arn)?.with_version(version))
        .unwrap_or_else(|| invoked_arn.to_owned())
}
