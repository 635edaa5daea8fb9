//! Writes the spans of an invocation.
//!
//! Source: design §4 "To spans"; Lambda Developer Guide, "Converting Lambda Telemetry API Event
//! objects to OpenTelemetry Spans", with this difference: the X-Ray parent is a segment that
//! nobody exports to us, so it is an attribute, and a parent only where the user propagates so.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

use crate::attributes::{attribute, boolean, double, scope, string};
use crate::event::{EventKind, PhaseSpan, PlatformEvent, SpanStart};
use crate::invocations::{Invocation, Phase};
use crate::logs::platform_attributes;
use crate::metrics::{Names, nanoseconds};
use crate::names::{self, lambda};
use crate::outcome::{Outcome, outcome_of, outcome_of_invocation, status};
use crate::span_ids::{INTERNAL_NAME, Ids, derived_span_id};

/// What the phases of an invocation become (`LAMBDA_OTLP_SPAN_MAPPING`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpanMapping {
    /// Events of the invocation's span.
    #[default]
    SpanEvents,
    /// Spans of their own, below it.
    ChildSpans,
}

/// When the span of an invocation ends (`LAMBDA_OTLP_SPAN_END`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpanEnd {
    /// When the runtime is done.
    #[default]
    RuntimeDone,
    /// With the report, which Lambda writes when the extensions are done too.
    Report,
}

/// How spans are written, and of which function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpanOptions {
    /// What the phases become.
    pub mapping: SpanMapping,
    /// When the span ends.
    pub end: SpanEnd,
    /// Under [`Names::Legacy`] the older systems' attributes are written too.
    pub names: Names,
    /// Whether `OTEL_PROPAGATORS` names `xray-lambda`: only then the X-Ray header is the parent,
    /// and its `Sampled=0` keeps the spans from being written.
    pub xray_lambda: bool,
    /// Name of the function, and so of the span.
    pub function_name: String,
    /// Its version, where the events do not say it.
    pub function_version: Option<String>,
}

/// The spans with their resource.
pub fn resource_spans(resource: Resource, spans: Vec<Span>) -> ResourceSpans {
    ResourceSpans {
        resource: Some(resource),
        scope_spans: vec![ScopeSpans {
            scope: Some(scope(names::PLATFORM_SCOPE)),
            spans,
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    }
}

/// The span of an invocation and, if so mapped, those of its phases.
pub(crate) fn of_invocation(invocation: &Invocation, options: &SpanOptions) -> Vec<Span> {
    let Some(ids) = Ids::of(invocation, options) else { return Vec::new() };
    let (start, end) = extent(invocation, options);
    let outcome = outcome_of_invocation(invocation);
    let mut span = ids.internal(ids.span, start, end);
    span.parent_span_id.clone_from(&ids.parent);
    if invocation.function_root.is_some() {
        INTERNAL_NAME.clone_into(&mut span.name);
    } else {
        span.kind = SpanKind::Server as i32;
        let name = Some(options.function_name.as_str()).filter(|name| !name.is_empty());
        name.unwrap_or(INTERNAL_NAME).clone_into(&mut span.name);
    }
    span.status = Some(status(&outcome));
    span.attributes = attributes(invocation, options, &outcome, end.saturating_sub(start));
    match options.mapping {
        SpanMapping::SpanEvents => {
            span.events = events(invocation, start);
            vec![span]
        }
        SpanMapping::ChildSpans => {
            let mut spans = vec![span];
            spans.extend(children(invocation, &ids, start));
            if invocation.reported.is_some() {
                spans.extend(report(invocation, &ids, start, end));
            }
            spans
        }
    }
}

/// The report child of an invocation whose span is out.
pub(crate) fn late_report(invocation: &Invocation, options: &SpanOptions) -> Vec<Span> {
    if options.mapping == SpanMapping::SpanEvents {
        return Vec::new();
    }
    let Some(ids) = Ids::of(invocation, options) else { return Vec::new() };
    let (start, end) = extent(invocation, options);
    report(invocation, &ids, start, end)
}

/// Start and end of the invocation's span.
fn extent(invocation: &Invocation, options: &SpanOptions) -> (u64, u64) {
    let began = |kind: &EventKind| {
        let phase = invocation.phase(kind)?;
        let ms = phase.event.figures.duration_ms?;
        Some(phase.time.saturating_sub(nanoseconds(ms)))
    };
    let start = invocation
        .started
        .or_else(|| began(&EventKind::RuntimeDone))
        .or_else(|| began(&EventKind::Report))
        .or_else(|| invocation.own_phases().map(|phase| phase.time).min())
        .or(invocation.closed.map(|(_, time)| time))
        .unwrap_or(invocation.last_seen);
    let done = invocation.runtime_done.or(invocation.ended);
    let end = match options.end {
        SpanEnd::RuntimeDone => done.or(invocation.reported),
        SpanEnd::Report => invocation.reported.or(done),
    };
    let end = end.or(invocation.closed.map(|(_, time)| time)).unwrap_or(invocation.last_seen);
    (start, end.max(start))
}

impl Invocation {
    /// The first invocation of its environment. Lambda says it in the report; before that, an
    /// init phase that ran for this invocation says it, and one that ran ahead does not.
    fn is_cold_start(&self) -> bool {
        let ahead = |phase: &Phase| {
            matches!(
                phase.event.initialization_type.as_deref(),
                Some("provisioned-concurrency" | "lambda-managed-instances")
            )
        };
        let report = self.phase(&EventKind::Report);
        report.is_some_and(|report| report.event.is_cold_start())
            || self.phases.iter().any(|phase| phase.is_before() && !ahead(phase))
    }
}

fn attributes(
    invocation: &Invocation,
    options: &SpanOptions,
    outcome: &Outcome,
    duration: u64,
) -> Vec<KeyValue> {
    let cold_start = invocation.is_cold_start();
    let mut attributes = vec![
        string(names::FAAS_INVOCATION_ID, &invocation.request_id),
        boolean(names::FAAS_COLDSTART, cold_start),
    ];
    let first = |word: fn(&PlatformEvent) -> &Option<String>| {
        invocation.phases.iter().find_map(|phase| word(&phase.event).clone())
    };
    let version = first(|event| &event.version).or_else(|| options.function_version.clone());
    let resource_id =
        invocation.invoked_arn.as_deref().map(|arn| resource_id(arn, version.as_deref()));
    let failed = match outcome {
        Outcome::Failed(error_type, _) => Some(error_type.clone()),
        _ => None,
    };
    let words = [
        (names::FAAS_TRIGGER, invocation.trigger.clone()),
        (names::CLOUD_RESOURCE_ID, resource_id),
        (lambda::INVOKED_ARN, invocation.invoked_arn.clone()),
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
    if let Some(report) = invocation.phase(&EventKind::Report) {
        let figures = &report.event.figures;
        let numbers = [
            (lambda::BILLED_DURATION_MS, figures.billed_duration_ms),
            (lambda::MEMORY_SIZE_MB, figures.memory_size_mb),
            (lambda::MAX_MEMORY_USED_MB, figures.max_memory_used_mb),
            (lambda::INIT_DURATION_MS, figures.init_duration_ms),
            (lambda::RESTORE_DURATION_MS, figures.restore_duration_ms),
            (lambda::BILLED_RESTORE_DURATION_MS, figures.billed_restore_duration_ms),
        ];
        for (key, number) in numbers {
            attributes.extend(number.map(|number| double(key, number)));
        }
    }
    if options.names == Names::Legacy {
        let name = &options.function_name;
        #[expect(clippy::cast_precision_loss, reason = "an invocation is shorter than 104 days")]
        let duration_ms = duration as f64 / 1e6;
        attributes.push(string(names::legacy::FUNCTION_NAME, name));
        attributes.extend(version.map(|word| string(names::legacy::FUNCTION_VERSION, word)));
        attributes.push(string(names::legacy::REQUEST_ID, &invocation.request_id));
        attributes.push(double(names::legacy::INVOCATION_DURATION_MS, duration_ms));
        attributes.push(boolean(names::legacy::COLD_START, cold_start));
    }
    attributes
}

/// The function's ARN with the version in the place of the alias (semantic conventions,
/// `cloud.resource_id`).
fn resource_id(invoked_arn: &str, version: Option<&str>) -> String {
    // arn:aws:lambda:region:account:function:name[:version or alias]
    let parts: Vec<&str> = invoked_arn.split(':').collect();
    match (parts.split_at_checked(7), version) {
        (Some((arn, [_])), Some(version)) => format!("{}:{version}", arn.join(":")),
        _ => invoked_arn.to_owned(),
    }
}

/// What a phase says, without what the span itself says.
fn phase_attributes(event: &PlatformEvent) -> Vec<KeyValue> {
    let mut attributes = Vec::new();
    platform_attributes(event, &mut |key, value| {
        if key != lambda::EVENT_TYPE && !key.starts_with("aws.xray.") {
            attributes.push(attribute(key, value.to_any()));
        }
    });
    attributes
}

/// The phases and their parts as events, in the order of their times.
fn events(invocation: &Invocation, start: u64) -> Vec<Event> {
    let mut events = Vec::new();
    for phase in &invocation.phases {
        if phase.event.kind == EventKind::Start {
            continue;
        }
        events.push(Event {
            time_unix_nano: phase.time,
            name: phase.event.kind.as_str().to_owned(),
            attributes: phase_attributes(&phase.event),
            ..Event::default()
        });
        for part in &phase.event.spans {
            let ms = part.duration_ms.map(|ms| double(lambda::DURATION_MS, ms));
            events.push(Event {
                time_unix_nano: part_start(part, phase_start(invocation, phase, start)),
                name: part.name.clone(),
                attributes: ms.into_iter().collect(),
                ..Event::default()
            });
        }
    }
    events.sort_by_key(|event| event.time_unix_nano);
    events
}

/// When the phase began that an event tells the end of.
fn phase_start(invocation: &Invocation, phase: &Phase, start: u64) -> u64 {
    match phase.event.kind {
        EventKind::Report => {
            // Managed instances say no end of the runtime: their parts begin with the invocation.
            invocation.runtime_done.unwrap_or(start)
        }
        _ if phase.is_before() => {
            let began = phase.event.figures.duration_ms.map(nanoseconds);
            phase.time.saturating_sub(began.unwrap_or(0))
        }
        _ => start,
    }
}

fn part_start(part: &PhaseSpan, phase_start: u64) -> u64 {
    match part.start {
        Some(SpanStart::At(nanos)) => nanos,
        Some(SpanStart::After(ms)) => phase_start.saturating_add(nanoseconds(ms)),
        None => phase_start,
    }
}

/// The phases up to the end of the runtime as spans.
fn children(invocation: &Invocation, ids: &Ids<'_>, start: u64) -> Vec<Span> {
    let mut spans = Vec::new();
    for (name, belongs) in
        [("init", Phase::is_init as fn(&Phase) -> bool), ("restore", Phase::is_restore)]
    {
        let phases: Vec<&Phase> = invocation.phases.iter().filter(|phase| belongs(phase)).collect();
        // Where nothing tells of its end, the report does.
        let figures = invocation.phase(&EventKind::Report).map(|report| &report.event.figures);
        let reported = figures.and_then(|figures| match name {
            "init" => figures.init_duration_ms,
            _ => figures.restore_duration_ms,
        });
        spans.extend(before(&phases, ids, name, reported));
    }
    if let Some(done) = invocation.phase(&EventKind::RuntimeDone) {
        let mut span = ids.child(ids.span, "runtime", start, done.time);
        span.status = Some(status(&outcome_of(std::iter::once(done))));
        span.attributes = phase_attributes(&done.event);
        spans.push(span);
        spans.extend(parts(&done.event, ids, ids.span, start));
    }
    spans
}

/// The init phase or the restore.
fn before(phases: &[&Phase], ids: &Ids<'_>, name: &str, reported: Option<f64>) -> Vec<Span> {
    let Some(last) = phases.last() else { return Vec::new() };
    let duration = phases.iter().find_map(|phase| phase.event.figures.duration_ms);
    let duration = duration.or(reported).map(nanoseconds);
    let begins = phases
        .iter()
        .find(|phase| matches!(phase.event.kind, EventKind::InitStart | EventKind::RestoreStart));
    let start = match begins {
        Some(begins) => begins.time,
        None => last.time.saturating_sub(duration.unwrap_or(0)),
    };
    let end = if phases.len() == 1 && begins.is_some() {
        start.saturating_add(duration.unwrap_or(0))
    } else {
        last.time
    };
    let mut span = ids.child(ids.span, name, start, end);
    span.status = Some(status(&outcome_of(phases.iter().copied())));
    for phase in phases {
        for attribute in phase_attributes(&phase.event) {
            if span.attributes.iter().all(|known| known.key != attribute.key) {
                span.attributes.push(attribute);
            }
        }
    }
    let mut spans = Vec::new();
    let id = derived_span_id(&ids.trace, ids.request, name, start);
    for phase in phases {
        spans.extend(parts(&phase.event, ids, id, start));
    }
    spans.insert(0, span);
    spans
}

/// The time from the end of the runtime to the report, and the extensions' part of it.
fn report(invocation: &Invocation, ids: &Ids<'_>, start: u64, end: u64) -> Vec<Span> {
    let Some(phase) = invocation.phase(&EventKind::Report) else { return Vec::new() };
    let done = invocation.runtime_done.or(invocation.ended).unwrap_or(end.min(phase.time));
    let mut span = ids.child(ids.span, "report", done, phase.time);
    span.status = Some(status(&outcome_of(std::iter::once(phase))));
    span.attributes = phase_attributes(&phase.event);
    let mut spans = vec![span];
    spans.extend(parts(&phase.event, ids, ids.span, phase_start(invocation, phase, start)));
    spans
}

/// The parts of a phase as spans; one without a duration is only a name.
fn parts(event: &PlatformEvent, ids: &Ids<'_>, parent: [u8; 8], phase_start: u64) -> Vec<Span> {
    let spans = event.spans.iter().filter_map(|part| {
        let start = part_start(part, phase_start);
        let end = start.saturating_add(nanoseconds(part.duration_ms?));
        Some(ids.child(parent, &part.name, start, end))
    });
    spans.collect()
}
