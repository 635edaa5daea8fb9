//! The open spans: the events of each invocation, until its span is complete.
//!
//! Events come in order, and callers pass the times.

use super::limits::{MAX_CONCURRENT, MAX_EVENT_BYTES, MAX_KNOWN, MAX_SEGMENTS};
use super::{Id, Invocation, Invocations};
use crate::event::{EventKind, PlatformEvent};
use crate::options::SpanOptions;
use crate::outcome::OutcomeEvidence;
use crate::read::ids::canonical;
use crate::spans::invocation_span;
use crate::spans::open_span::{
    Closing, FunctionRoot, OpenSpan, ShutdownReason, TimedEvent, XRaySegment,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use std::collections::VecDeque;
use std::sync::Arc;

/// What the open spans of a table have in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct OpenSpans {
    options: SpanOptions,
    /// `true` if a report alone creates a span, as in a log stream: the lines of an invocation may arrive in two deliveries, and
    /// only one has the report.
    only_reported: bool,
    /// Events of an init phase or restore that belong to the next invocation.
    pending: VecDeque<TimedEvent>,
    /// X-Ray's segments whose invocation is still unknown: the function's datagrams may be faster than Lambda's events.
    segments: VecDeque<XRaySegment>,
    /// The events of all open spans have at most this size.
    most_bytes: usize,
    finished: Vec<Span>,
    evicted: usize,
}

impl OpenSpans {
    fn finish(&mut self, span: &OpenSpan, evidence: Option<&OutcomeEvidence>) {
        if span.is_written {
            if span.reported.is_some() {
                self.finished.extend(invocation_span::late_report(span, &self.options));
            }
        } else if !self.only_reported || span.reported.is_some() {
            let nothing = OutcomeEvidence::default();
            let evidence = evidence.unwrap_or(&nothing);
            self.finished.extend(invocation_span::make_spans(span, evidence, &self.options));
        }
    }

    fn push(&mut self, span: &mut OpenSpan, timed: TimedEvent) {
        self.most_bytes += timed.event.bytes();
        span.push(timed);
    }
}

/// The spans of an execution environment or a log stream.
impl Invocations {
    /// Makes spans of an environment's events, which an extension receives as they happen.
    pub fn make_spans(&mut self, options: SpanOptions) {
        self.spans = Some(Box::new(OpenSpans { options, ..OpenSpans::default() }));
    }

    /// Makes spans of a log stream's events, which arrive in deliveries: a report makes the span.
    pub fn make_spans_of_reports(&mut self, options: SpanOptions) {
        let only_reported = true;
        self.spans = Some(Box::new(OpenSpans { options, only_reported, ..OpenSpans::default() }));
    }

    pub fn makes_spans(&self) -> bool {
        self.spans.is_some()
    }

    /// Adds an event that was written at this Unix time in nanoseconds to its span.
    pub fn add_event(&mut self, event: &PlatformEvent, time_unix_nano: u64) {
        if self.spans.is_none() {
            return;
        }
        // No span uses the unknown fields.
        let own = PlatformEvent { other: Vec::new(), ..event.clone() };
        let timed = TimedEvent { event: own, time: time_unix_nano };
        match event.kind {
            EventKind::Start => self.start_span(timed),
            // This init phase created the snapshot, perhaps days ago, and belongs to no invocation.
            _ if event.made_snapshot() => {}
            EventKind::RestoreStart => {
                // The phases before the restore created the snapshot.
                if let Some(spans) = &mut self.spans {
                    spans.pending.clear();
                }
                self.add_early(timed);
            }
            _ if timed.is_early() => self.add_early(timed),
            EventKind::RuntimeDone
            | EventKind::Report
            | EventKind::End
            | EventKind::Timeout
            | EventKind::ExitError
            | EventKind::OutOfMemory => self.add_own_event(timed),
            _ => {}
        }
        self.join_segment(event);
        self.limit_bytes();
    }

    /// Returns `true` if spans were finished outside of [`Self::take_finished`], because the table is full or Lambda repeats an
    /// invocation.
    pub fn has_finished(&self) -> bool {
        self.spans.as_ref().is_some_and(|spans| !spans.finished.is_empty())
    }

    /// Notes the beginning of an invocation, before its first event.
    pub fn note_beginning(&mut self, request_id: &str, invoked_arn: &str, time_unix_nano: u64) {
        if let Some(span) = self.open_span(request_id, time_unix_nano) {
            span.has_begun = true;
            span.invoked_arn = Some(invoked_arn.to_owned()).filter(|arn| !arn.is_empty());
        }
    }

    /// Notes a root span written by the function itself: the invocation's span becomes its child, of several the last one's. If
    /// the function was cut off before writing its root, the invocation's span replaces it. Returns `false` if that span was
    /// already returned.
    pub fn set_function_root(
        &mut self,
        request_id: &str,
        root: FunctionRoot,
        time_unix_nano: u64,
    ) -> bool {
        match self.open_span(request_id, time_unix_nano) {
            Some(span) if !span.is_written => {
                span.function_root = Some(root);
                true
            }
            _ => false,
        }
    }

    /// Notes the segment that the function's X-Ray subsegments name as their parent: the span of the invocation with its trace
    /// takes its place. Of several the last one counts, because SDKs send a long subsegment's children before it. The newest
    /// invocation that began before them at `start_unix_nano` counts if Lambda's events name no trace.
    pub fn add_xray_segment(&mut self, segment: XRaySegment, start_unix_nano: u64) {
        let newest = self.newest_at(start_unix_nano).map(Id::from);
        self.add_segment_of(newest.as_deref(), segment);
    }

    fn add_segment_of(&mut self, newest: Option<&str>, segment: XRaySegment) {
        let Some(spans) = &mut self.spans else { return };
        for id in self.order.iter().rev() {
            let known = self.entries.get_mut(id).and_then(|known| known.open_span.as_mut());
            let Some(span) = known.filter(|span| !span.is_written) else { continue };
            let is_own = match span.tracing.xray_trace_id() {
                Some(trace) => trace == segment.trace_id,
                None => newest == Some(&**id),
            };
            if is_own {
                span.xray_segment = Some(segment);
                if span.tracing.trace_id.is_some() {
                    return;
                }
                break;
            }
        }
        if spans.segments.len() == MAX_SEGMENTS {
            spans.segments.pop_front();
        }
        spans.segments.push_back(segment);
    }

    /// Takes the segment that came before the event with the trace of its invocation.
    fn join_segment(&mut self, event: &PlatformEvent) {
        let (Some(request_id), Some(trace)) = (&event.request_id, event.tracing.xray_trace_id())
        else {
            return;
        };
        let known = self.entries.get_mut(&*canonical(request_id));
        let (Some(spans), Some(span)) =
            (&mut self.spans, known.and_then(|known| known.open_span.as_mut()))
        else {
            return;
        };
        let is_of_trace = |segment: &&XRaySegment| segment.trace_id == trace;
        let newest = spans.segments.iter().rfind(is_of_trace);
        let known = span.xray_segment.as_ref().filter(is_of_trace);
        span.xray_segment = newest.or(known).copied();
        spans.segments.retain(|segment| segment.trace_id != trace);
    }

    /// Closes all invocations, because their environment ends.
    pub fn close_all(&mut self, reason: ShutdownReason, time_unix_nano: u64) {
        for invocation in self.entries.values_mut() {
            match &mut invocation.open_span {
                Some(span) if span.has_begun => {
                    span.closed.get_or_insert(Closing { reason, time: time_unix_nano });
                }
                unbegun => *unbegun = None,
            }
        }
        let is_known = |id: &Id| self.entries.get(id).is_some_and(Invocation::is_ordered);
        self.order.retain(is_known);
    }

    /// Number of unfinished invocations evicted from the full table. In an environment their spans were written unfinished; in a
    /// log stream their reports still create them.
    pub fn evicted(&self) -> usize {
        self.spans.as_ref().map_or(0, |spans| spans.evicted)
    }

    pub fn take_finished(&mut self) -> Vec<Span> {
        let Self { entries, order, spans: Some(spans), .. } = self else { return Vec::new() };
        order.retain(|id| {
            let Some(invocation) = entries.get_mut(id) else { return false };
            let Invocation { open_span, end, .. } = invocation;
            if let Some(span) = open_span {
                let is_new =
                    !span.is_written && span.is_ready(spans.options.end, spans.only_reported);
                if is_new || span.is_written {
                    spans.finish(span, end.as_ref().map(|end| &end.evidence));
                }
                if is_new {
                    span.set_written();
                }
                // An invocation without a report stays, so that its late report creates no second span.
                if span.is_written && span.reported.is_some() {
                    *open_span = None;
                }
            }
            invocation.forget_unneeded_evidence();
            let is_known = invocation.open_span.is_some() || invocation.received.is_some();
            if invocation.is_empty() {
                entries.remove(id);
            }
            is_known
        });
        std::mem::take(&mut spans.finished)
    }

    /// Finishes the span of the attempt before the one that starts at this time, if there was one.
    pub(super) fn finish_earlier_attempt(&mut self, request_id: &str, time_unix_nano: u64) {
        let Some(spans) = &mut self.spans else { return };
        let Some(invocation) = self.entries.get_mut(request_id) else { return };
        let Invocation { id, open_span, end, received, .. } = invocation;
        let Some(span) = open_span else { return };
        let is_repeated = span.started == Some(time_unix_nano);
        // Lambda's retries of an asynchronous invocation keep its request id.
        let is_retry = span.started.is_some() || span.reported.is_some() || span.is_written;
        if is_retry && !is_repeated {
            spans.finish(span, end.as_ref().map(|end| &end.evidence));
            *open_span = None;
            if received.is_none() {
                self.order.retain(|known| known != id);
            }
        }
    }

    fn start_span(&mut self, timed: TimedEvent) {
        let Some(request_id) = timed.event.request_id.clone() else { return };
        let known = self.get(&request_id).and_then(|known| known.open_span.as_ref());
        if known.is_some_and(|known| known.started == Some(timed.time)) {
            return;
        }
        if known.is_none()
            && let Some(at) = self.order.iter().position(|known| **known == *request_id)
            && let Some(id) = self.order.remove(at)
        {
            // Events of a phase without an invocation belong to the newest one.
            self.order.push_back(id);
        }
        let pending = self.spans.as_mut().map(|spans| std::mem::take(&mut spans.pending));
        if self.open_span(&request_id, timed.time).is_none() {
            return;
        }
        let Some((spans, span)) = self.span_mut(&request_id) else { return };
        span.has_begun = true;
        span.started = Some(timed.time);
        span.tracing = timed.event.tracing.clone();
        for early in pending.iter().flatten() {
            spans.most_bytes += early.event.bytes();
        }
        span.push_early(pending.into_iter().flatten());
        spans.push(span, timed);
    }

    /// Adds an event of an init phase or restore, which has no request id. It belongs to the running invocation, or else to the
    /// next one.
    fn add_early(&mut self, timed: TimedEvent) {
        let Self { entries, order, spans: Some(spans), .. } = self else { return };
        let mut newest_first = order.iter().rev();
        let newest =
            newest_first.find(|id| entries.get(*id).is_some_and(|known| known.open_span.is_some()));
        let newest = newest.and_then(|id| entries.get_mut(id)?.open_span.as_mut());
        let running = newest.filter(|span| {
            span.started.is_some()
                && span.runtime_done.is_none()
                && span.ended.is_none()
                && span.reported.is_none()
        });
        if let Some(span) = running {
            spans.push(span, timed);
            return;
        }
        // An init phase within an invocation comes before the invocation's start (runtime interface emulator, `doInvoke`). If only
        // its end is seen, events came in another order: the end may come after the invocation's end, and after the next INVOKE.
        let is_end = !matches!(timed.event.kind, EventKind::InitStart | EventKind::RestoreStart);
        let has_start = spans.pending.iter().any(|known| known.event.kind == EventKind::InitStart);
        if is_end && !has_start && timed.event.phase.as_deref() == Some("invoke") {
            let had_started = |id: &&Id| {
                let span = entries.get(*id).and_then(|known| known.open_span.as_ref());
                span.is_some_and(|span| span.started.is_some_and(|started| started <= timed.time))
            };
            let own = order.iter().rev().find(had_started);
            let own = own.and_then(|id| entries.get_mut(id)?.open_span.as_mut());
            if let Some(own) = own.filter(|own| !own.is_written) {
                spans.push(own, timed);
            }
            return;
        }
        if spans.pending.len() == OpenSpan::MAX_EVENTS / 2 {
            spans.pending.pop_front();
        }
        spans.pending.push_back(timed);
    }

    /// Adds an event with a request id.
    fn add_own_event(&mut self, timed: TimedEvent) {
        let Some(request_id) = timed.event.request_id.clone() else { return };
        if self.open_span(&request_id, timed.time).is_none() {
            return;
        }
        let Some((spans, span)) = self.span_mut(&request_id) else { return };
        span.has_begun = true;
        let moment = match timed.event.kind {
            EventKind::RuntimeDone => &mut span.runtime_done,
            EventKind::Report => &mut span.reported,
            EventKind::End => &mut span.ended,
            _ => &mut None,
        };
        let is_repeated = moment.is_some_and(|known| known == timed.time);
        if is_repeated {
            return;
        }
        moment.get_or_insert(timed.time);
        if span.tracing.trace_id.is_none() {
            span.tracing = timed.event.tracing.clone();
        }
        spans.push(span, timed);
    }

    fn span_mut(&mut self, request_id: &str) -> Option<(&mut OpenSpans, &mut OpenSpan)> {
        let span = self.entries.get_mut(&*canonical(request_id))?.open_span.as_mut()?;
        Some((self.spans.as_mut()?, span))
    }

    /// The open span of an invocation, created on demand; `None` for an empty id, or if no spans are wanted.
    fn open_span(&mut self, request_id: &str, time: u64) -> Option<&mut OpenSpan> {
        let request_id = &*canonical(request_id);
        if request_id.is_empty() || self.spans.is_none() {
            return None;
        }
        self.make_room_for(request_id);
        let Invocation { id, open_span, .. } = self.entry(request_id);
        let span = open_span.get_or_insert_with(|| {
            Box::new(OpenSpan { request_id: Arc::clone(id), ..OpenSpan::default() })
        });
        span.last_seen = span.last_seen.max(time);
        Some(span)
    }

    /// Makes room for another invocation with an open span or received events, unless this one is known: the oldest completed one
    /// goes first, then the oldest. An environment that runs one at a time has room for fewer.
    pub(super) fn make_room_for(&mut self, request_id: &str) {
        if self.get(request_id).is_some_and(Invocation::is_ordered) {
            return;
        }
        while self.order.len() >= MAX_KNOWN {
            let is_completed = |id: &Id| self.get(id).is_none_or(Invocation::is_completed);
            // In a stream, a completed span is taken at once, and a function can print any number of starts.
            let is_stream = self.spans.as_ref().is_some_and(|spans| spans.only_reported);
            let mut known = self.order.iter();
            let completed = if is_stream { None } else { known.position(is_completed) };
            let may_grow = self.is_concurrent() && !is_stream && completed.is_none();
            if may_grow && self.order.len() < MAX_CONCURRENT {
                break;
            }
            let Some(oldest) = self.order.remove(completed.unwrap_or(0)) else { break };
            self.forget(&oldest);
        }
        let id = Arc::clone(&self.entry(request_id).id);
        self.order.push_back(id);
    }

    /// Forgets the oldest spans while the events of all are too large. The newest one's events are always smaller.
    fn limit_bytes(&mut self) {
        if self.spans.as_ref().is_none_or(|spans| spans.most_bytes <= MAX_EVENT_BYTES) {
            return;
        }
        let bytes_of = |id: &Id| {
            self.get(id).and_then(|known| known.open_span.as_ref()).map_or(0, |span| span.bytes)
        };
        let sizes: Vec<(Id, usize)> =
            self.order.iter().map(|id| (Arc::clone(id), bytes_of(id))).collect();
        let mut bytes: usize = sizes.iter().map(|(_, bytes)| bytes).sum();
        for (id, own) in sizes.into_iter().filter(|(_, own)| *own > 0) {
            if bytes <= MAX_EVENT_BYTES {
                break;
            }
            bytes -= own;
            self.forget_span(&id);
        }
        let is_known = |id: &Id| self.entries.get(id).is_some_and(Invocation::is_ordered);
        self.order.retain(is_known);
        if let Some(spans) = &mut self.spans {
            spans.most_bytes = bytes;
        }
    }

    fn forget(&mut self, id: &Id) {
        if let Some(invocation) = self.entries.get_mut(id) {
            invocation.received = None;
        }
        self.forget_span(id);
    }

    /// Finishes the span of an invocation as it stands.
    fn forget_span(&mut self, id: &Id) {
        let Some(invocation) = self.entries.get_mut(id) else { return };
        if let Some(span) = invocation.open_span.take().filter(|span| span.has_begun)
            && let Some(spans) = &mut self.spans
        {
            spans.evicted += usize::from(!span.is_written);
            spans.finish(&span, invocation.end.as_ref().map(|end| &end.evidence));
        }
        invocation.forget_unneeded_evidence();
        if invocation.is_empty() {
            self.entries.remove(id);
        }
    }
}

impl Invocation {
    /// Returns `true` for an invocation in [`Invocations::order`].
    fn is_ordered(&self) -> bool {
        self.open_span.is_some() || self.received.is_some()
    }
}

#[cfg(test)]
mod tests;
