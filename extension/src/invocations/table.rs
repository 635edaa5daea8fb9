//! The invocations of the environment until their spans and metrics are written, in bounded memory.
//!
//! `platform` makes spans and metrics from the events of an invocation. The table passes the events on, and delays an
//! invocation's end while the function's own root span may still come.

use crate::clock::unix_millis;
use crate::config::{Config, InvocationSpanMode};
use crate::counts::{Count, Counts};
use crate::event::RuntimeReport;
use crate::invocations::identity;
use crate::invocations::invocation_records::Records;
use crate::invocations::roots::ReceivedSpan;
use crate::own_metrics::OwnMetrics;
use crate::recent::Recent;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use platform::{
    Aggregator, EventKind, Failure, FunctionRoot, Identity, InvocationSpans, Owner, PlatformEvent,
    ShutdownReason, SpanEnd, SpanOptions, XRaySegment,
};
use std::collections::VecDeque;
use std::sync::Arc;
use wire::invocation_record::RootSpan;
use wire::{Request, SpanIds};

/// The number of ends that may wait for a root span. Beyond it, the oldest is passed on.
const MAX_HELD_BACK: usize = 64;
/// The same for a managed instance, which runs up to 1,600 invocations at a time.
const MAX_HELD_BACK_CONCURRENT: usize = 1024;
/// The size limit of the ends that wait.
const MAX_HELD_BACK_BYTES: usize = 2 * 1024 * 1024;
/// The longest wait on a managed instance: the batch processor of an SDK exports every 5 s by default.
const LONGEST_WAIT_MS: u64 = 10_000;
/// The number of remembered events, more than a delivery contains.
const MAX_RECENT: usize = 2048;
/// The time by which a root span may begin before the extension reads INVOKE.
const EARLY_MS: u64 = 100;

type SpanId = [u8; 8];

#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each has come or not, in any order")]
struct KnownInvocation {
    request_id: String,
    invoked_arn: String,
    /// The time of INVOKE; `None` if only telemetry reported the invocation.
    invoked_ms: Option<u64>,
    /// `platform.start` was read.
    started: bool,
    has_events: bool,
    root: Option<KnownRoot>,
    earlier_roots: Vec<SpanId>,
    runtime_done: bool,
    reported: bool,
    /// The failure that a span stated before Lambda's events of the invocation came.
    failure: Option<Failure>,
    /// The ends of the attempt before this one that were not read yet: Lambda often delivers an invocation's report after the next
    /// INVOKE.
    outstanding: Ends,
}

/// An attempt to run an invocation. Lambda retries some with the same request id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    Newest,
    Earlier,
}

#[derive(Debug, Default)]
struct Ends {
    runtime_done: bool,
    report: bool,
}

/// The end of an invocation that waits for its root span, or for its beginning.
#[derive(Debug)]
struct HeldEnd {
    event: PlatformEvent,
    time_unix_nano: u64,
    /// The time of receipt.
    since_ms: u64,
    bytes: usize,
}

#[derive(Clone, Copy, Debug)]
struct KnownRoot {
    span: FunctionRoot,
    /// The span names its invocation. Otherwise the newest one was assumed.
    is_named: bool,
}

impl KnownInvocation {
    /// Returns `true` if this process read the beginning.
    fn has_begun(&self) -> bool {
        self.invoked_ms.is_some() || self.started
    }

    /// Notes that Lambda retries the invocation, with the same request id.
    fn begin_attempt(&mut self) {
        let root = self.root.take();
        self.earlier_roots.extend(root.map(|root| root.span.span_id));
        self.outstanding = Ends { runtime_done: !self.runtime_done, report: !self.reported };
        self.invoked_ms = None;
        self.started = false;
        self.runtime_done = false;
        self.reported = false;
    }

    /// Notes an event, and returns the attempt that it belongs to.
    fn note_event(&mut self, kind: &EventKind) -> Attempt {
        match kind {
            EventKind::Start => {
                if self.started {
                    self.begin_attempt();
                }
                self.started = true;
                // Events come in order.
                self.outstanding = Ends::default();
                Attempt::Newest
            }
            EventKind::RuntimeDone if self.outstanding.runtime_done => {
                self.outstanding.runtime_done = false;
                Attempt::Earlier
            }
            EventKind::Report if self.outstanding.report => {
                self.outstanding.report = false;
                Attempt::Earlier
            }
            _ => {
                self.runtime_done |= *kind == EventKind::RuntimeDone;
                self.reported |= *kind == EventKind::Report;
                Attempt::Newest
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct InvocationTable {
    function: Identity,
    memory_mib: Option<usize>,
    invocation_span: InvocationSpanMode,
    /// Lambda sends INVOKE, except to managed instances.
    gets_invoke: bool,
    options: SpanOptions,
    /// The path of the exporter's records.
    records: String,
    /// The records as they were read during this delivery of telemetry, which may report many ends.
    known_records: Option<Records>,
    metrics: Aggregator,
    /// `None` if no spans are wanted, or without a subscription.
    spans: Option<InvocationSpans>,
    known: VecDeque<KnownInvocation>,
    /// The ends that wait for their root span, in the order of their receipt.
    held_back: VecDeque<HeldEnd>,
    /// The function has sent a root span before.
    sends_roots: bool,
    recent: Recent,
    due: bool,
    evicted: usize,
    own: OwnMetrics,
    counts: Arc<Counts>,
}

impl InvocationTable {
    pub(crate) fn new(
        config: &Config,
        function: Identity,
        counts: Arc<Counts>,
        records: String,
    ) -> Self {
        let options = SpanOptions {
            mapping: config.span_mapping,
            end: config.span_end,
            names: config.names,
            xray_lambda: config.xray_lambda,
            only_sampled: config.drops_traces && config.invocation_span == InvocationSpanMode::Auto,
            concurrent: config.function.is_managed_instance,
            function_name: function.function_name.clone().unwrap_or_default(),
            function_version: function.function_version.clone(),
        };
        // In direct mode no forwarder reads the reports.
        let owner = if config.is_direct() { Owner::Sole } else { Owner::Extension };
        Self {
            function,
            memory_mib: config.function.memory_mib,
            invocation_span: config.invocation_span,
            gets_invoke: !config.function.is_managed_instance,
            options,
            records,
            known_records: None,
            metrics: Aggregator::new(config.shape, config.names).with_owner(owner),
            spans: None,
            known: VecDeque::new(),
            held_back: VecDeque::new(),
            sends_roots: false,
            recent: Recent::new(MAX_RECENT),
            due: false,
            evicted: 0,
            own: OwnMetrics::new(Arc::clone(&counts), config.shape, unix_millis()),
            counts,
        }
    }

    /// Adds what a runtime printed about an invocation.
    pub(crate) fn add_runtime_report(&mut self, report: RuntimeReport) {
        match report {
            RuntimeReport::OutOfMemory { request_id, time_unix_nano } => {
                self.metrics.add_out_of_memory(request_id.as_deref(), time_unix_nano);
            }
            RuntimeReport::Failed { request_id, failure, time_unix_nano } => {
                self.metrics.add_runtime_error(&request_id, failure.clone(), time_unix_nano);
                if let Some(spans) = &mut self.spans {
                    spans.note_runtime_error(&request_id, failure);
                }
            }
        }
    }

    /// Notes the failure that a span states about an invocation that Lambda named.
    fn note_stated_failure(&mut self, request_id: &str, failure: Failure, time_unix_nano: u64) {
        if !self.find(request_id).is_some_and(KnownInvocation::has_begun) {
            return;
        }
        let known = self.entry(request_id);
        known.failure.get_or_insert(failure);
        // A span is often faster than Lambda's event about the start, which begins a new attempt.
        if known.runtime_done || known.reported {
            self.apply_stated_failure(request_id, time_unix_nano);
        }
    }

    fn apply_stated_failure(&mut self, request_id: &str, time_unix_nano: u64) {
        if self.find(request_id).is_none_or(|known| known.failure.is_none()) {
            return;
        }
        let Some(failure) = self.entry(request_id).failure.take() else { return };
        self.metrics.add_span_failure(request_id, failure.clone(), time_unix_nano);
        if let Some(spans) = &mut self.spans {
            spans.note_span_failure(request_id, failure);
        }
    }

    /// Notes that Lambda reports the events of invocations.
    pub(crate) fn note_subscription(&mut self) {
        if self.invocation_span != InvocationSpanMode::Never {
            self.spans = Some(InvocationSpans::new(self.options.clone()));
        }
    }

    /// Notes the beginning of an invocation. Spans and metrics of earlier ones are due.
    pub(crate) fn begin_invocation(&mut self, request_id: &str, invoked_arn: &str, now_ms: u64) {
        self.due = true;
        let known = self.entry(request_id);
        if known.invoked_ms.is_some() {
            known.begin_attempt();
        }
        known.invoked_ms = Some(now_ms);
        invoked_arn.clone_into(&mut known.invoked_arn);
        // Its end may have been read first.
        self.release(|held| held.request_id.as_deref() == Some(request_id));
    }

    pub(crate) fn is_runtime_done(&self, request_id: &str) -> bool {
        self.find(request_id).is_some_and(|known| known.runtime_done)
    }

    /// Adds received spans: failures that they state, and root spans. A root span without a name belongs to the newest invocation that began before it, unless the record of
    /// that invocation names another, or none: work of an earlier one may have sent the span.
    pub(crate) fn add_spans(&mut self, spans: Vec<ReceivedSpan>) {
        self.known_records = None;
        for span in &spans {
            if let (Some(request_id), Some(failure)) = (&span.request_id, &span.failure) {
                let request_id = request_id.to_ascii_lowercase();
                self.note_stated_failure(&request_id, failure.clone(), span.ids.start_unix_nano);
            }
        }
        if self.invocation_span != InvocationSpanMode::Auto {
            return;
        }
        let roots = spans.into_iter().filter(ReceivedSpan::is_root);
        let (named, unnamed): (Vec<_>, Vec<_>) = roots.partition(|root| root.request_id.is_some());
        for root in named.into_iter().chain(unnamed) {
            let is_named = root.request_id.is_some();
            let SpanIds { trace_id, span_id, start_unix_nano, .. } = root.ids;
            let of_newest = || Some(self.newest_at(start_unix_nano)?.request_id.clone());
            let named = root.request_id.map(|id| id.to_ascii_lowercase());
            let Some(request_id) = named.or_else(of_newest) else { continue };
            self.sends_roots = true;
            if !is_named {
                self.look_up_root(&request_id, start_unix_nano);
            }
            let span = FunctionRoot { trace_id, span_id, is_open: false, is_sampled: true };
            self.set_root(&request_id, KnownRoot { span, is_named }, start_unix_nano);
        }
    }

    /// Adds the segment of a function's X-Ray subsegment that began at this time.
    pub(crate) fn add_xray_segment(&mut self, segment: XRaySegment, start_unix_nano: u64) {
        let newest = self.newest_at(start_unix_nano).map(|known| known.request_id.clone());
        if let Some(spans) = &mut self.spans {
            spans.add_xray_segment(newest.as_deref(), segment);
        }
    }

    /// Returns the newest invocation that began before a span with this start.
    fn newest_at(&self, start_unix_nano: u64) -> Option<&KnownInvocation> {
        let start_ms = start_unix_nano / 1_000_000 + EARLY_MS;
        let began_before =
            |known: &&KnownInvocation| known.invoked_ms.is_some_and(|invoked| invoked <= start_ms);
        self.known.iter().rev().find(began_before)
    }

    fn set_root(&mut self, request_id: &str, root: KnownRoot, time: u64) {
        let is_known = self.find(request_id).is_some_and(|known| {
            // A root without a name is less certain.
            known.root.is_some_and(|before| before.is_named || !root.is_named)
                || known.earlier_roots.contains(&root.span.span_id)
        });
        let Some(spans) = self.spans.as_mut().filter(|_| !is_known) else { return };
        if !spans.set_function_root(request_id, root.span, time) {
            return;
        }
        self.entry(request_id).root = Some(root);
        self.release(|event| event.request_id.as_deref() == Some(request_id));
    }

    /// Notes that a delivery of telemetry begins.
    pub(crate) fn begin_delivery(&mut self) {
        self.known_records = None;
    }

    /// Adds an event of the Telemetry API. The default of its time is the time of receipt.
    pub(crate) fn add_event(&mut self, event: PlatformEvent, now_ms: u64) {
        // Events without a time never count as repeated.
        if event.time_unix_nano.is_some() {
            let PlatformEvent { request_id, time_unix_nano, phase, name, state, .. } = &event;
            let key = (event.kind.as_str(), request_id, time_unix_nano, phase, name, state);
            if self.recent.has(key) {
                return;
            }
            self.recent.add(key);
        }
        let time = event.time_unix_nano.unwrap_or(now_ms.saturating_mul(1_000_000));
        if let Some(request_id) = &event.request_id
            && matches!(event.kind, EventKind::RuntimeDone | EventKind::Report)
        {
            self.apply_stated_failure(request_id, time);
        }
        self.metrics.add(&event, time);
        let Some(request_id) = event.request_id.clone() else {
            if let Some(spans) = &mut self.spans {
                spans.observe(&event, time);
            }
            return;
        };
        let known = self.entry(&request_id);
        let was_done = known.runtime_done;
        let attempt = known.note_event(&event.kind);
        let is_end =
            event.kind == EventKind::RuntimeDone || (event.kind == EventKind::Report && !was_done);
        if is_end && attempt == Attempt::Newest {
            self.release_others(&request_id, now_ms);
        }
        let waits = attempt == Attempt::Newest && self.look_up_root_or_wait(&event, &request_id);
        if waits || self.is_foreign(&event) {
            let bytes = event.bytes();
            self.hold_back(HeldEnd { event, time_unix_nano: time, since_ms: now_ms, bytes });
        } else {
            self.pass_on(&event, time);
        }
    }

    /// Keeps an end, within limits.
    fn hold_back(&mut self, end: HeldEnd) {
        let most = if self.gets_invoke { MAX_HELD_BACK } else { MAX_HELD_BACK_CONCURRENT };
        self.held_back.push_back(end);
        loop {
            let bytes: usize = self.held_back.iter().map(|held| held.bytes).sum();
            if self.held_back.len() <= most && bytes <= MAX_HELD_BACK_BYTES {
                return;
            }
            let oldest = self.held_back.front().and_then(|held| held.event.request_id.clone());
            self.release(|held| held.request_id == oldest);
        }
    }

    /// Returns the time at which the oldest waiting end of a managed instance is passed on.
    pub(crate) fn release_at_ms(&self) -> Option<u64> {
        let oldest = self.held_back.front().filter(|_| !self.gets_invoke)?;
        Some(oldest.since_ms + LONGEST_WAIT_MS)
    }

    /// Takes finished spans and metrics, if they are due or `at_once` is set.
    pub(crate) fn take_requests(&mut self, at_once: bool, now_ms: u64) -> Vec<Request> {
        self.release_late(now_ms);
        if !(at_once || self.due) {
            return Vec::new();
        }
        let metrics = self.metrics.take();
        // The extension's own metrics need no line of their own.
        let own = if metrics.is_empty() { Vec::new() } else { self.own.take_due(now_ms) };
        self.requests(metrics, own)
    }

    fn requests(&mut self, metrics: Vec<Metric>, own: Vec<Metric>) -> Vec<Request> {
        self.due = false;
        let mut requests = Vec::new();
        if let Some(invocations) = &mut self.spans {
            let spans = invocations.take_finished();
            let evicted = invocations.evicted();
            self.counts.add(Count::TableFull, evicted - self.evicted.min(evicted));
            self.evicted = evicted;
            if !spans.is_empty() {
                requests.push(identity::traces(&self.function, self.memory_mib, spans));
            }
        }
        if !(metrics.is_empty() && own.is_empty()) {
            requests.push(identity::metrics(&self.function, metrics, own));
        }
        requests
    }

    /// Returns `true` if this process read the beginning of an invocation.
    pub(crate) fn has_invocations(&self) -> bool {
        self.known.iter().any(KnownInvocation::has_begun)
    }

    pub(crate) fn is_waiting_for_reports(&self) -> bool {
        self.known.iter().any(|known| known.has_begun() && !known.reported)
    }

    /// Closes invocations without an end, at the end of the environment.
    pub(crate) fn close(&mut self, reason: &str, now_ms: u64) -> Vec<Request> {
        let now = now_ms.saturating_mul(1_000_000);
        self.release(|_| true);
        // Lambda's events may not have come in time: those of the newest invocation, or of one whose root the function has sent.
        let newest = self.known.iter().rposition(KnownInvocation::has_begun);
        let is_unreported = |(at, known): &(usize, &KnownInvocation)| {
            !known.has_events && known.has_begun() && (newest == Some(*at) || known.root.is_some())
        };
        let unreported: Vec<String> = self
            .known
            .iter()
            .enumerate()
            .filter(is_unreported)
            .map(|(_, known)| known.request_id.clone())
            .collect();
        for request_id in unreported {
            self.pass_beginning_on(&request_id, now);
        }
        let is_endless =
            |known: &&KnownInvocation| known.has_events && !known.runtime_done && !known.reported;
        let endless: Vec<String> =
            self.known.iter().filter(is_endless).map(|known| known.request_id.clone()).collect();
        self.known_records = None;
        for request_id in endless {
            self.look_up_root(&request_id, now);
        }
        if let Some(spans) = &mut self.spans {
            spans.close_all(ShutdownReason::parse(reason), now);
        }
        let metrics = self.metrics.take();
        // The last metrics of the extension, even if there are no others.
        let own = if self.known.is_empty() { Vec::new() } else { self.own.take(now_ms) };
        self.requests(metrics, own)
    }

    pub(crate) fn count_hold_time(&self, millis: u64) {
        self.counts.add(Count::HeldMs, usize::try_from(millis).unwrap_or(usize::MAX));
    }

    /// Passes the beginning of an invocation to `platform`, before its first event.
    fn pass_beginning_on(&mut self, request_id: &str, time: u64) {
        let known = self.entry(request_id);
        if std::mem::replace(&mut known.has_events, true) {
            return;
        }
        let began = known.invoked_ms.map_or(time, |ms| ms.saturating_mul(1_000_000));
        let invoked_arn = known.invoked_arn.clone();
        if let Some(spans) = &mut self.spans {
            spans.note_invoke(request_id, &invoked_arn, began.min(time));
        }
    }

    /// Returns `true` for the end of an invocation whose beginning this process has not read. Either the beginning is about to
    /// come, or an earlier process of the extension closed the invocation at its SHUTDOWN, so that no second span may be written.
    fn is_foreign(&self, event: &PlatformEvent) -> bool {
        let is_end = matches!(event.kind, EventKind::RuntimeDone | EventKind::Report);
        let known = event.request_id.as_deref().and_then(|request_id| self.find(request_id));
        is_end && self.gets_invoke && !known.is_some_and(KnownInvocation::has_begun)
    }

    /// Looks up the function's root span at the end of an invocation. Returns `true` if the end has to wait for it.
    fn look_up_root_or_wait(&mut self, event: &PlatformEvent, request_id: &str) -> bool {
        let is_end = matches!(event.kind, EventKind::RuntimeDone | EventKind::Report);
        if self.spans.is_none() || !is_end || self.invocation_span != InvocationSpanMode::Auto {
            return false;
        }
        let has_ended = self.is_runtime_done(request_id);
        if event.kind == EventKind::Report && self.options.end == SpanEnd::RuntimeDone && has_ended
        {
            // The report waits if the end does.
            let is_its = |held: &HeldEnd| held.event.request_id == event.request_id;
            return self.held_back.iter().any(is_its);
        }
        // Managed instances send no `platform.runtimeDone`, so the report is the end.
        let time = event.time_unix_nano.unwrap_or_default();
        !self.look_up_root(request_id, time) && self.sends_roots
    }

    /// Looks up the root span in the exporter's record, unless it came by OTLP. Returns `true` if it is known.
    fn look_up_root(&mut self, request_id: &str, time: u64) -> bool {
        let known = self.find(request_id);
        if known.is_some_and(|known| known.root.is_some()) {
            return true;
        }
        if self.invocation_span != InvocationSpanMode::Auto || self.spans.is_none() {
            return false;
        }
        let earlier = known.map(|known| known.earlier_roots.clone()).unwrap_or_default();
        // The exporter wrote the record before Lambda reported the end.
        let records = self.known_records.get_or_insert_with(|| Records::read(&self.records));
        let is_new = |root: &RootSpan| !earlier.contains(&root.span_id);
        let Some(root) = records.find(request_id).into_iter().find(is_new) else { return false };
        let RootSpan { trace_id, span_id, is_open, is_sampled, has_failed } = root;
        let span = FunctionRoot { trace_id, span_id, is_open, is_sampled };
        self.set_root(request_id, KnownRoot { span, is_named: true }, time);
        if has_failed {
            // The root has type and message.
            self.note_stated_failure(request_id, Failure::default(), time);
        }
        true
    }

    /// Passes on the held ends that `goes_on` selects.
    fn release(&mut self, goes_on: impl Fn(&PlatformEvent) -> bool) {
        self.release_ends(|held| goes_on(&held.event));
    }

    fn release_ends(&mut self, goes_on: impl Fn(&HeldEnd) -> bool) {
        let ends = std::mem::take(&mut self.held_back).into_iter();
        let (released, waiting): (VecDeque<_>, VecDeque<_>) = ends.partition(goes_on);
        self.held_back = waiting;
        for HeldEnd { event, time_unix_nano, .. } in released {
            if !self.is_foreign(&event) {
                self.pass_on(&event, time_unix_nano);
            }
        }
    }

    /// Passes on the held ends of other invocations whose beginning was read, because ends wait at most until the next invocation
    /// ends. On a managed instance others end all the time, so ends wait for a limited time there.
    fn release_others(&mut self, request_id: &str, now_ms: u64) {
        if !self.gets_invoke {
            self.release_late(now_ms);
            return;
        }
        let foreign: Vec<Option<String>> = self
            .held_back
            .iter()
            .filter(|held| self.is_foreign(&held.event))
            .map(|held| held.event.request_id.clone())
            .collect();
        self.release(|held| {
            held.request_id.as_deref() != Some(request_id) && !foreign.contains(&held.request_id)
        });
    }

    /// Passes on the ends that have waited for the longest time on a managed instance.
    fn release_late(&mut self, now_ms: u64) {
        if self.release_at_ms().is_some_and(|release_at| release_at <= now_ms) {
            self.release_ends(|held| held.since_ms + LONGEST_WAIT_MS <= now_ms);
        }
    }

    /// Passes an event on to `platform`.
    fn pass_on(&mut self, event: &PlatformEvent, time: u64) {
        // The report's metrics can wait for the next line, unless the report ends the span.
        let ends_span = self.options.end == SpanEnd::Report
            || self.spans.is_none()
            || event.request_id.as_deref().is_some_and(|id| !self.is_runtime_done(id));
        self.due |=
            event.kind == EventKind::RuntimeDone || (event.kind == EventKind::Report && ends_span);
        if let Some(request_id) = &event.request_id {
            self.pass_beginning_on(request_id, time);
        }
        if let Some(spans) = &mut self.spans {
            spans.observe(event, time);
            // They would accumulate.
            self.due |= spans.has_finished();
        }
    }

    fn find(&self, request_id: &str) -> Option<&KnownInvocation> {
        self.known.iter().rev().find(|known| known.request_id == request_id)
    }

    /// The entry of an invocation, created on demand.
    fn entry(&mut self, request_id: &str) -> &mut KnownInvocation {
        let found = self.known.iter().rposition(|known| known.request_id == request_id);
        let at = found.unwrap_or_else(|| {
            loop {
                let reported = self.known.iter().position(|known| known.reported);
                let forgotten =
                    InvocationSpans::position_to_remove(&self.options, self.known.len(), reported);
                let Some(at) = forgotten else { break };
                self.known.remove(at);
            }
            self.known.push_back(KnownInvocation {
                request_id: request_id.to_owned(),
                ..KnownInvocation::default()
            });
            self.known.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "the position was found or made just now")]
        &mut self.known[at]
    }
}

#[cfg(test)]
mod tests;
