//! Collects the events of each invocation until its span is complete.
//!
//! A bounded table by request id: it receives events in order and returns finished spans. It reads no clock; callers pass the
//! times.

use std::collections::VecDeque;

use opentelemetry_proto::tonic::trace::v1::Span;

use crate::event::{EventKind, PlatformEvent};
use crate::options::SpanOptions;
use crate::outcome::FunctionStatement;
use crate::read::ids::request_id_of;
use crate::spans::invocation::{
    Closing, FunctionRoot, Invocation, ShutdownReason, TimedEvent, XRaySegment,
};
use crate::spans::invocation_span;

/// The invocations of one execution environment or log stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InvocationSpans {
    options: SpanOptions,
    /// `true` if a report alone creates a span, as in a log stream: the lines of an invocation may arrive in two deliveries, and
    /// only one has the report.
    only_reported: bool,
    table: VecDeque<Invocation>,
    /// Events of an init phase or restore that belong to the next invocation.
    pending: VecDeque<TimedEvent>,
    /// X-Ray's segments whose invocation is still unknown: the function's datagrams may be faster than Lambda's events.
    segments: VecDeque<XRaySegment>,
    finished: Vec<Span>,
    evicted: usize,
}

impl InvocationSpans {
    /// Maximum number of invocations. Without a limit, unfinished ones would accumulate.
    pub const MAX_KNOWN: usize = 256;

    /// Maximum number of concurrent invocations that are not completed. A managed instance runs at most 1,600 at a time (AWS
    /// Lambda API Reference, `PerExecutionEnvironmentMaxConcurrency`).
    pub(crate) const MAX_CONCURRENT: usize = 2000;

    /// Maximum size of the events in the table. Typical ones of 2,000 invocations have less.
    pub const MAX_BYTES: usize = 8 * 1024 * 1024;

    /// Maximum number of X-Ray's segments without an invocation.
    const MAX_SEGMENTS: usize = 16;

    /// Creates the table of an extension, which receives an environment's events as they happen.
    pub fn new(options: SpanOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// Creates the table of a log stream, whose events arrive in deliveries.
    pub fn of_stream(options: SpanOptions) -> Self {
        Self { only_reported: true, ..Self::new(options) }
    }

    /// Adds an event that was written at this Unix time in nanoseconds.
    pub fn observe(&mut self, event: &PlatformEvent, time_unix_nano: u64) {
        // No span uses the unknown fields.
        let own = PlatformEvent { other: Vec::new(), ..event.clone() };
        let timed = TimedEvent { event: own, time: time_unix_nano };
        match event.kind {
            EventKind::Start => self.start(timed),
            // This init phase created the snapshot, perhaps days ago, and belongs to no invocation.
            _ if event.made_snapshot() => {}
            EventKind::RestoreStart => {
                // The phases before the restore created the snapshot.
                self.pending.clear();
                self.add_early(timed);
            }
            _ if timed.is_early() => self.add_early(timed),
            EventKind::RuntimeDone
            | EventKind::Report
            | EventKind::End
            | EventKind::Timeout
            | EventKind::ExitError
            | EventKind::OutOfMemory => self.add_own(timed),
            _ => {}
        }
        self.join_segment(event);
        self.limit_bytes();
    }

    /// Returns `true` if spans were finished outside of [`Self::take_finished`], because the table is full or Lambda repeats an
    /// invocation.
    pub fn has_finished(&self) -> bool {
        !self.finished.is_empty()
    }

    pub fn note_invoke(&mut self, request_id: &str, invoked_arn: &str, time_unix_nano: u64) {
        if let Some(invocation) = self.entry(request_id, time_unix_nano) {
            invocation.has_begun = true;
            invocation.invoked_arn = Some(invoked_arn.to_owned()).filter(|arn| !arn.is_empty());
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
        match self.entry(request_id, time_unix_nano) {
            Some(invocation) if !invocation.is_written => {
                invocation.function_root = Some(root);
                true
            }
            _ => false,
        }
    }

    /// Notes what the function says about the end of its invocation.
    pub fn note_statement(&mut self, request_id: &str, statement: FunctionStatement) {
        if let Some(invocation) = self.unwritten(request_id) {
            invocation.evidence.note_statement(statement);
        }
    }

    /// Notes a statement of an invocation whose first event of this stream is about to come.
    pub(crate) fn note_early_statement(
        &mut self,
        request_id: &str,
        statement: FunctionStatement,
        time_unix_nano: u64,
    ) {
        if let Some(invocation) = self.entry(request_id, time_unix_nano) {
            invocation.evidence.note_statement(statement);
        }
    }

    fn unwritten(&mut self, request_id: &str) -> Option<&mut Invocation> {
        let mut known = self.table.iter_mut().rev();
        known.find(|known| known.request_id == request_id && !known.is_written)
    }

    /// Notes the segment that the function's X-Ray subsegments name as their parent: the span of the invocation with its trace
    /// takes its place. Of several the last one counts, because SDKs send a long subsegment's children before it. `newest` is the
    /// newest invocation that began before them, which counts if Lambda's events name no trace.
    pub fn add_xray_segment(&mut self, newest: Option<&str>, segment: XRaySegment) {
        let mut open = self.table.iter_mut().rev().filter(|invocation| !invocation.is_written);
        let found = open.find(|invocation| match invocation.tracing.xray_trace_id() {
            Some(trace) => trace == segment.trace_id,
            None => newest == Some(invocation.request_id.as_str()),
        });
        let is_certain = found.is_some_and(|invocation| {
            invocation.xray_segment = Some(segment);
            invocation.tracing.trace_id.is_some()
        });
        if is_certain {
            return;
        }
        if self.segments.len() == Self::MAX_SEGMENTS {
            self.segments.pop_front();
        }
        self.segments.push_back(segment);
    }

    /// Takes the segment that came before the event with the trace of its invocation.
    fn join_segment(&mut self, event: &PlatformEvent) {
        let (Some(request_id), Some(trace)) = (&event.request_id, event.tracing.xray_trace_id())
        else {
            return;
        };
        let request_id = request_id_of(request_id);
        let known = self.table.iter_mut().find(|known| known.request_id == request_id);
        let Some(invocation) = known else { return };
        let is_of_trace = |segment: &&XRaySegment| segment.trace_id == trace;
        let newest = self.segments.iter().rfind(is_of_trace);
        let known = invocation.xray_segment.as_ref().filter(is_of_trace);
        invocation.xray_segment = newest.or(known).copied();
        self.segments.retain(|segment| segment.trace_id != trace);
    }

    /// Closes all invocations, because their environment ends.
    pub fn close_all(&mut self, reason: ShutdownReason, time_unix_nano: u64) {
        self.table.retain(|invocation| invocation.has_begun);
        for invocation in &mut self.table {
            invocation.closed.get_or_insert(Closing { reason, time: time_unix_nano });
        }
    }

    /// Number of unfinished invocations evicted from the full table. In an environment their spans were written unfinished; in a
    /// log stream their reports still create them.
    pub fn evicted(&self) -> usize {
        self.evicted
    }

    pub fn take_finished(&mut self) -> Vec<Span> {
        let end = self.options.end;
        let only_reported = self.only_reported;
        let mut table = std::mem::take(&mut self.table);
        for invocation in &mut table {
            let is_new = !invocation.is_written && invocation.is_ready(end, only_reported);
            if is_new || invocation.is_written {
                self.finish(invocation);
            }
            if is_new {
                invocation.set_written();
            }
        }
        // An invocation without a report stays, so that its late report creates no second span.
        table.retain(|invocation| !invocation.is_written || invocation.reported.is_none());
        self.table = table;
        std::mem::take(&mut self.finished)
    }

    fn start(&mut self, timed: TimedEvent) {
        let Some(request_id) = timed.event.request_id.clone() else { return };
        let known_at = self.table.iter().position(|known| known.request_id == request_id);
        if let Some(at) = known_at
            && let Some(known) = self.table.get(at)
        {
            let is_repeated = known.started == Some(timed.time);
            if is_repeated {
                return;
            }
            // Lambda's retries of an asynchronous invocation keep its request id.
            let is_retry = known.started.is_some() || known.is_written;
            if is_retry && let Some(earlier) = self.table.remove(at) {
                self.finish(&earlier);
            }
        }
        let pending = std::mem::take(&mut self.pending);
        if let Some(invocation) = self.entry(&request_id, timed.time) {
            invocation.has_begun = true;
            invocation.started = Some(timed.time);
            invocation.tracing = timed.event.tracing.clone();
            invocation.push_early(pending);
            invocation.push(timed);
        }
    }

    /// Adds an event of an init phase or restore, which has no request id. It belongs to the running invocation, or else to the
    /// next one.
    fn add_early(&mut self, timed: TimedEvent) {
        let running = self.table.back_mut().filter(|invocation| {
            invocation.started.is_some()
                && invocation.runtime_done.is_none()
                && invocation.ended.is_none()
                && invocation.reported.is_none()
        });
        if let Some(invocation) = running {
            invocation.push(timed);
            return;
        }
        // An init phase within an invocation comes before the invocation's start (runtime interface emulator, `doInvoke`). If only
        // its end is seen, events came in another order: the end may come after the invocation's end, and after the next INVOKE.
        let is_end = !matches!(timed.event.kind, EventKind::InitStart | EventKind::RestoreStart);
        let has_start = self.pending.iter().any(|known| known.event.kind == EventKind::InitStart);
        if is_end && !has_start && timed.event.phase.as_deref() == Some("invoke") {
            let had_started = |known: &&mut Invocation| {
                known.started.is_some_and(|started| started <= timed.time)
            };
            let own = self.table.iter_mut().rev().find(had_started);
            if let Some(own) = own.filter(|own| !own.is_written) {
                own.push(timed);
            }
            return;
        }
        if self.pending.len() == Invocation::MAX_EVENTS / 2 {
            self.pending.pop_front();
        }
        self.pending.push_back(timed);
    }

    /// Adds an event with a request id.
    fn add_own(&mut self, timed: TimedEvent) {
        let Some(request_id) = timed.event.request_id.clone() else { return };
        let Some(invocation) = self.entry(&request_id, timed.time) else { return };
        invocation.has_begun = true;
        let moment = match timed.event.kind {
            EventKind::RuntimeDone => &mut invocation.runtime_done,
            EventKind::Report => &mut invocation.reported,
            EventKind::End => &mut invocation.ended,
            _ => &mut None,
        };
        let is_repeated = moment.is_some_and(|known| known == timed.time);
        if is_repeated {
            return;
        }
        moment.get_or_insert(timed.time);
        if invocation.tracing.trace_id.is_none() {
            invocation.tracing = timed.event.tracing.clone();
        }
        invocation.push(timed);
    }

    /// The entry of an invocation, created on demand; `None` for an empty id.
    fn entry(&mut self, request_id: &str, time: u64) -> Option<&mut Invocation> {
        let request_id = request_id_of(request_id);
        if request_id.is_empty() {
            return None;
        }
        let known = self.table.iter().position(|known| known.request_id == request_id);
        if known.is_none() {
            self.make_room();
            self.table.push_back(Invocation { request_id, ..Invocation::default() });
        }
        let invocation = match known {
            Some(at) => self.table.get_mut(at),
            None => self.table.back_mut(),
        }?;
        invocation.last_seen = invocation.last_seen.max(time);
        Some(invocation)
    }

    /// Returns the position of the entry to remove before another one is added to a table of `known` entries; `None` if there is
    /// room. `completed` is the position of the oldest completed invocation, which is removed first.
    pub fn position_to_remove(
        options: &SpanOptions,
        known: usize,
        completed: Option<usize>,
    ) -> Option<usize> {
        let may_grow = options.concurrent && completed.is_none();
        let limit = if may_grow { Self::MAX_CONCURRENT } else { Self::MAX_KNOWN };
        (known >= limit).then(|| completed.unwrap_or(0))
    }

    fn make_room(&mut self) {
        loop {
            let written = self.table.iter().position(|invocation| invocation.is_written);
            let excess = Self::position_to_remove(&self.options, self.table.len(), written);
            let Some(oldest) = excess.and_then(|at| self.table.remove(at)) else { return };
            self.forget(&oldest);
        }
    }

    /// Forgets the oldest invocations while the events of all are too large. The newest one's events are always smaller.
    fn limit_bytes(&mut self) {
        let mut bytes: usize = self.table.iter().map(|invocation| invocation.bytes).sum();
        while bytes > Self::MAX_BYTES
            && let Some(at) = self.table.iter().position(|invocation| invocation.bytes > 0)
            && let Some(oldest) = self.table.remove(at)
        {
            bytes -= oldest.bytes;
            self.forget(&oldest);
        }
    }

    fn forget(&mut self, oldest: &Invocation) {
        if oldest.has_begun {
            self.evicted += usize::from(!oldest.is_written);
            self.finish(oldest);
        }
    }

    fn finish(&mut self, invocation: &Invocation) {
        if invocation.is_written {
            if invocation.reported.is_some() {
                self.finished.extend(invocation_span::late_report(invocation, &self.options));
            }
        } else if !self.only_reported || invocation.reported.is_some() {
            self.finished.extend(invocation_span::of_invocation(invocation, &self.options));
        }
    }
}

#[cfg(test)]
mod tests;
