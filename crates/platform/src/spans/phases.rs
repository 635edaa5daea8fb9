//! Writes the phases of an invocation, such as init and runtime, as events of its span or as child spans.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::Event;

use crate::attributes::{attribute, double};
use crate::event::{EventKind, Figures, PlatformEvent, nanoseconds, platform_attributes};
use crate::names::lambda;
use crate::outcome::Outcome;
use crate::spans::ids::InvocationIds;
use crate::spans::invocation_span::Extent;
use crate::spans::open_span::{OpenSpan, TimedEvent};

/// The attributes of a phase, without those of the invocation's span.
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
pub(crate) fn events(invocation: &OpenSpan, start: u64) -> Vec<Event> {
    let mut events = Vec::new();
    for timed in &invocation.events {
        if timed.event.kind == EventKind::Start {
            continue;
        }
        events.push(Event {
            time_unix_nano: timed.time,
            name: timed.event.kind.as_str().to_owned(),
            attributes: phase_attributes(&timed.event),
            ..Event::default()
        });
        for part in &timed.event.spans {
            let ms = part.duration_ms.map(|ms| double(lambda::DURATION_MS, ms));
            events.push(Event {
                time_unix_nano: part.start.unwrap_or_else(|| phase_start(invocation, timed, start)),
                name: part.name.clone(),
                attributes: ms.into_iter().collect(),
                ..Event::default()
            });
        }
    }
    events.sort_by_key(|event| event.time_unix_nano);
    events
}

fn phase_start(invocation: &OpenSpan, timed: &TimedEvent, start: u64) -> u64 {
    match timed.event.kind {
        EventKind::Report => {
            // Managed instances have no `platform.runtimeDone`; their report's measurements begin with the invocation.
            invocation.runtime_done.unwrap_or(start)
        }
        _ if timed.is_early() => {
            let began = timed.event.figures.duration_ms.map(nanoseconds);
            timed.time.saturating_sub(began.unwrap_or(0))
        }
        _ => start,
    }
}

/// A phase before an invocation.
#[derive(Clone, Copy)]
enum EarlyPhase {
    Init,
    Restore,
}

impl EarlyPhase {
    fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Restore => "restore",
        }
    }

    fn has(self, timed: &TimedEvent) -> bool {
        match self {
            Self::Init => timed.is_init(),
            Self::Restore => timed.is_restore(),
        }
    }

    /// The duration in the report of the invocation after it.
    fn reported_ms(self, report: &Figures) -> Option<f64> {
        match self {
            Self::Init => report.init_duration_ms,
            Self::Restore => report.restore_duration_ms,
        }
    }
}

/// The phases up to the end of the runtime as spans.
pub(crate) fn children(invocation: &OpenSpan, ids: &InvocationIds<'_>, start: u64) -> Vec<Span> {
    let mut spans = Vec::new();
    let report = invocation.event(&EventKind::Report).map(|report| &report.event.figures);
    for early in [EarlyPhase::Init, EarlyPhase::Restore] {
        let events: Vec<&TimedEvent> =
            invocation.events.iter().filter(|timed| early.has(timed)).collect();
        let reported_ms = report.and_then(|report| early.reported_ms(report));
        spans.extend(early_spans(&events, ids, early.name(), reported_ms));
    }
    if let Some(done) = invocation.event(&EventKind::RuntimeDone) {
        let mut span = ids.child(ids.span_id, "runtime", start, done.time);
        span.status = Some(Outcome::of_events(std::iter::once(&done.event)).to_otlp(false));
        span.attributes = phase_attributes(&done.event);
        spans.push(span);
        spans.extend(parts(&done.event, ids, ids.span_id, start));
    }
    spans
}

/// The span of an init phase or a restore, made of its events, and the spans of its parts. If no event states the duration, the
/// report does.
fn early_spans(
    events: &[&TimedEvent],
    ids: &InvocationIds<'_>,
    name: &str,
    reported_ms: Option<f64>,
) -> Vec<Span> {
    let Some(last) = events.last() else { return Vec::new() };
    let stated_ms = events.iter().find_map(|timed| timed.event.figures.duration_ms);
    let duration = stated_ms.or(reported_ms).map_or(0, nanoseconds);
    let begins = events
        .iter()
        .find(|timed| matches!(timed.event.kind, EventKind::InitStart | EventKind::RestoreStart));
    let start = match begins {
        Some(begins) => begins.time,
        None => last.time.saturating_sub(duration),
    };
    let has_only_start = events.len() == 1 && begins.is_some();
    let end = if has_only_start { start.saturating_add(duration) } else { last.time };
    let mut span = ids.child(ids.span_id, name, start, end);
    span.status = Some(Outcome::of_events(events.iter().map(|timed| &timed.event)).to_otlp(true));
    for timed in events {
        for attribute in phase_attributes(&timed.event) {
            if span.attributes.iter().all(|known| known.key != attribute.key) {
                span.attributes.push(attribute);
            }
        }
    }
    let id = ids.child_id(name, start);
    let mut spans = vec![span];
    for timed in events {
        spans.extend(parts(&timed.event, ids, id, start));
    }
    spans
}

/// The span from the end of the runtime to the report, with a child for the extensions' part of it.
pub(crate) fn report(invocation: &OpenSpan, ids: &InvocationIds<'_>, extent: Extent) -> Vec<Span> {
    let Some(timed) = invocation.event(&EventKind::Report) else { return Vec::new() };
    let done = invocation.runtime_done.or(invocation.ended).unwrap_or(extent.end.min(timed.time));
    let mut span = ids.child(ids.span_id, "report", done, timed.time);
    span.status = Some(Outcome::of_events(std::iter::once(&timed.event)).to_otlp(false));
    span.attributes = phase_attributes(&timed.event);
    let mut spans = vec![span];
    let start = phase_start(invocation, timed, extent.start);
    spans.extend(parts(&timed.event, ids, ids.span_id, start));
    spans
}

/// The parts of a phase as spans. A part without a duration is omitted.
fn parts(
    event: &PlatformEvent,
    ids: &InvocationIds<'_>,
    parent: [u8; 8],
    phase_start: u64,
) -> Vec<Span> {
    let spans = event.spans.iter().filter_map(|part| {
        let start = part.start.unwrap_or(phase_start);
        let end = start.saturating_add(nanoseconds(part.duration_ms?));
        Some(ids.child(parent, &part.name, start, end))
    });
    spans.collect()
}
