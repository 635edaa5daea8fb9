//! The invocations of the environment until their spans and metrics are written.
//!
//! `platform`'s table has an entry of each invocation, and makes spans and metrics from its events. This one passes the events on,
//! and delays an invocation's end while the function's own root span, or the invocation's beginning, may still come.

use crate::config::{Config, InvocationSpanMode};
use crate::counts::{Count, Counts};
use crate::event::OutOfMemory;
use crate::invocations::identity;
use crate::invocations::invocation_records::InvocationRecords;
use crate::invocations::roots::{ReceivedSegment, ReceivedSpan};
use crate::own_metrics::OwnMetrics;
use crate::recent::Recent;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use platform::{
    Aggregator, Attempt, EventKind, Failure, FunctionRoot, FunctionStatement, Identity,
    InvocationStatement, Invocations, KnownRoot, Owner, PlatformEvent, Received, ShutdownReason,
    SpanEnd, SpanOptions,
};
use std::collections::VecDeque;
use std::sync::Arc;
use wire::invocation_record::RootSpan;
use wire::{Request, SpanIds};

/// The number of ends that may wait for a root span. Beyond it, the oldest is passed on.
const MAX_DELAYED: usize = 64;
/// The number of ends that may wait on a managed instance, which runs up to 1,600 invocations at a time.
const MAX_DELAYED_CONCURRENT: usize = 1024;
/// The size limit of the ends that wait.
const MAX_DELAYED_BYTES: usize = 2 * 1024 * 1024;
/// The longest wait on a managed instance: the batch processor of an SDK exports every 5 s by default.
const LONGEST_DELAY_MS: u64 = 10_000;
/// The number of remembered events, more than a delivery contains.
const MAX_RECENT: usize = 2048;

/// The end of an invocation that waits for its root span, or for its beginning.
#[derive(Debug)]
struct DelayedEnd {
    event: PlatformEvent,
    time_unix_nano: u64,
    received_ms: u64,
    bytes: usize,
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
    records_path: String,
    /// The records as they were read during this delivery of telemetry, which may report many ends.
    records: Option<InvocationRecords>,
    metrics: Aggregator,
    /// It makes no spans if none are wanted, or without a subscription.
    invocations: Invocations,
    /// The ends that wait, in the order of their receipt.
    delayed_ends: VecDeque<DelayedEnd>,
    /// The function has sent a root span before.
    function_sends_roots: bool,
    recent_events: Recent,
    /// Finished spans and metrics should be written now.
    is_due: bool,
    /// The number of evicted invocations that are counted.
    counted_evictions: usize,
    own_metrics: OwnMetrics,
    counts: Arc<Counts>,
}

impl InvocationTable {
    pub(crate) fn new(
        config: &Config,
        function: Identity,
        counts: Arc<Counts>,
        records_path: String,
        now_ms: u64,
    ) -> Self {
        let options = SpanOptions {
            mapping: config.span_mapping,
            end: config.span_end,
            names: config.names,
            xray_lambda: config.xray_lambda,
            only_sampled: config.drops_traces && config.invocation_span == InvocationSpanMode::Auto,
            function_name: function.function_name.clone().unwrap_or_default(),
            function_version: function.function_version.clone(),
        };
        // In direct mode no forwarder reads the reports.
        let owner = if config.is_direct() { Owner::ExtensionAlone } else { Owner::Extension };
        let mut invocations = Invocations::default();
        if config.function.is_managed_instance {
            invocations.note_concurrency();
        }
        Self {
            function,
            memory_mib: config.function.memory_mib,
            invocation_span: config.invocation_span,
            gets_invoke: !config.function.is_managed_instance,
            options,
            records_path,
            records: None,
            metrics: Aggregator::new(config.shape, config.names).with_owner(owner),
            invocations,
            delayed_ends: VecDeque::new(),
            function_sends_roots: false,
            recent_events: Recent::new(MAX_RECENT),
            is_due: false,
            counted_evictions: 0,
            own_metrics: OwnMetrics::new(Arc::clone(&counts), config.shape, now_ms),
            counts,
        }
    }

    pub(crate) fn add_out_of_memory(&mut self, printed: &OutOfMemory) {
        let OutOfMemory { request_id, time_unix_nano } = printed;
        let request_id = request_id.as_deref();
        self.metrics.add_out_of_memory(&mut self.invocations, request_id, *time_unix_nano);
    }

    /// Adds what printed lines say about the ends of invocations.
    pub(crate) fn add_statements(&mut self, statements: Vec<InvocationStatement>) {
        for InvocationStatement { request_id, statement, time_unix_nano } in statements {
            self.add_statement(&request_id, statement, time_unix_nano);
        }
    }

    fn add_statement(
        &mut self,
        request_id: &str,
        statement: FunctionStatement,
        time_unix_nano: u64,
    ) {
        let Self { metrics, invocations, .. } = self;
        metrics.add_statement(invocations, request_id, statement, time_unix_nano);
    }

    /// Notes what a span says about an invocation that Lambda named. It counts from the invocation's end on: a span is often faster
    /// than Lambda's event about the start, which begins a new attempt.
    fn note_span_statement(
        &mut self,
        request_id: &str,
        statement: FunctionStatement,
        time_unix_nano: u64,
    ) {
        let known = self.invocations.received_mut(request_id).filter(|known| known.has_begun());
        let Some(known) = known else { return };
        known.note_span_statement(statement);
        if known.runtime_done || known.reported {
            self.apply_span_statement(request_id, time_unix_nano);
        }
    }

    fn apply_span_statement(&mut self, request_id: &str, time_unix_nano: u64) {
        let known = self.invocations.received_mut(request_id);
        if let Some(statement) = known.and_then(|known| known.span_statement.take()) {
            self.add_statement(request_id, statement, time_unix_nano);
        }
    }

    /// Notes that Lambda reports the events of invocations.
    pub(crate) fn note_subscription(&mut self) {
        if self.invocation_span != InvocationSpanMode::Never {
            self.invocations.make_spans(self.options.clone());
        }
    }

    /// Notes the beginning of an invocation. Spans and metrics of earlier ones are due.
    pub(crate) fn begin_invocation(&mut self, request_id: &str, invoked_arn: &str, now_ms: u64) {
        self.is_due = true;
        self.invocations.receive(request_id).note_invoke(invoked_arn, now_ms);
        // Its end may have been read first.
        self.release_ends_of(request_id);
    }

    pub(crate) fn is_runtime_done(&self, request_id: &str) -> bool {
        self.invocations.received(request_id).is_some_and(|known| known.runtime_done)
    }

    /// Adds received spans: what they say about the ends of invocations, and root spans.
    pub(crate) fn add_spans(&mut self, spans: Vec<ReceivedSpan>) {
        self.records = None;
        for span in &spans {
            if let (Some(request_id), Some(statement)) = (&span.request_id, &span.statement) {
                let request_id = request_id.to_ascii_lowercase();
                let time = span.ids.start_unix_nano;
                self.note_span_statement(&request_id, statement.clone(), time);
            }
        }
        if self.invocation_span != InvocationSpanMode::Auto {
            return;
        }
        let roots = spans.into_iter().filter(ReceivedSpan::is_root);
        let (named, unnamed): (Vec<_>, Vec<_>) = roots.partition(|root| root.request_id.is_some());
        for root in named.into_iter().chain(unnamed) {
            self.add_root(root);
        }
    }

    /// Adds a root span. If it names no invocation, it belongs to the newest one that began before it, unless the exporter's record of
    /// that invocation has another root: work of an earlier invocation may have sent the span.
    fn add_root(&mut self, root: ReceivedSpan) {
        let SpanIds { trace_id, span_id, start_unix_nano, .. } = root.ids;
        let is_named = root.request_id.is_some();
        let named = root.request_id.map(|id| id.to_ascii_lowercase());
        let newest = || self.invocations.newest_at(start_unix_nano).map(str::to_owned);
        let Some(request_id) = named.or_else(newest) else { return };
        self.function_sends_roots = true;
        if !is_named {
            self.look_up_root(&request_id, start_unix_nano);
        }
        let span = FunctionRoot { trace_id, span_id, is_open: false, is_sampled: true };
        self.set_root(&request_id, KnownRoot { span, is_named }, start_unix_nano);
    }

    /// Adds the segment of a function's X-Ray subsegment.
    pub(crate) fn add_xray_segment(&mut self, received: ReceivedSegment) {
        self.invocations.add_xray_segment(received.segment, received.start_unix_nano);
    }

    fn set_root(&mut self, request_id: &str, root: KnownRoot, time: u64) {
        if self.invocations.received(request_id).is_some_and(|known| known.ignores_root(&root)) {
            return;
        }
        if self.invocations.set_function_root(request_id, root.span, time) {
            self.invocations.receive(request_id).root = Some(root);
            self.release_ends_of(request_id);
        }
    }

    /// Notes that a delivery of telemetry begins.
    pub(crate) fn begin_delivery(&mut self) {
        self.records = None;
    }

    /// Adds an event of the Telemetry API. The default of its time is the time of receipt.
    pub(crate) fn add_event(&mut self, event: PlatformEvent, now_ms: u64) {
        if self.is_repeated(&event) {
            return;
        }
        let time = event.time_unix_nano.unwrap_or(now_ms.saturating_mul(1_000_000));
        if let Some(request_id) = &event.request_id
            && is_end(&event)
        {
            self.apply_span_statement(request_id, time);
        }
        self.metrics.add(&mut self.invocations, &event, time);
        if let Some(request_id) = event.request_id.clone() {
            self.add_event_of(&request_id, event, time, now_ms);
        } else {
            self.invocations.add_event(&event, time);
        }
    }

    /// Adds an event of an invocation.
    fn add_event_of(&mut self, request_id: &str, event: PlatformEvent, time: u64, now_ms: u64) {
        let known = self.invocations.receive(request_id);
        let ends_invocation = match event.kind {
            EventKind::RuntimeDone => true,
            EventKind::Report => !known.runtime_done,
            _ => false,
        };
        let attempt = known.note_event(&event.kind);
        if ends_invocation && attempt == Attempt::Newest {
            self.release_others(request_id, now_ms);
        }
        let waits_for_root = if attempt != Attempt::Newest || !self.joins_root(&event) {
            false
        } else if self.is_report_after_end(&event, request_id) {
            // The report waits if the end does.
            self.delayed_ends.iter().any(|end| end.event.request_id == event.request_id)
        } else {
            // Managed instances send no `platform.runtimeDone`, so the report is the end.
            let is_root_known =
                self.look_up_root(request_id, event.time_unix_nano.unwrap_or_default());
            !is_root_known && self.function_sends_roots
        };
        if waits_for_root || self.is_foreign(&event) {
            let bytes = event.bytes();
            self.delay(DelayedEnd { event, time_unix_nano: time, received_ms: now_ms, bytes });
        } else {
            self.pass_on(&event, time);
        }
    }

    /// Returns `true` if Lambda delivers the event again, and remembers it. An event without a time never counts as repeated.
    fn is_repeated(&mut self, event: &PlatformEvent) -> bool {
        if event.time_unix_nano.is_none() {
            return false;
        }
        let PlatformEvent { request_id, time_unix_nano, phase, name, state, .. } = event;
        let key = (event.kind.as_str(), request_id, time_unix_nano, phase, name, state);
        let is_repeated = self.recent_events.contains(key);
        if !is_repeated {
            self.recent_events.add(key);
        }
        is_repeated
    }

    /// Adds an end to those that wait, within limits.
    fn delay(&mut self, end: DelayedEnd) {
        let most = if self.gets_invoke { MAX_DELAYED } else { MAX_DELAYED_CONCURRENT };
        self.delayed_ends.push_back(end);
        loop {
            let bytes: usize = self.delayed_ends.iter().map(|end| end.bytes).sum();
            if self.delayed_ends.len() <= most && bytes <= MAX_DELAYED_BYTES {
                return;
            }
            let oldest = self.delayed_ends.front().and_then(|end| end.event.request_id.clone());
            self.release(|end| end.event.request_id == oldest);
        }
    }

    /// Returns the time at which the oldest waiting end of a managed instance is passed on.
    pub(crate) fn release_at_ms(&self) -> Option<u64> {
        let oldest = self.delayed_ends.front().filter(|_| !self.gets_invoke)?;
        Some(oldest.received_ms + LONGEST_DELAY_MS)
    }

    /// Takes finished spans and metrics, if they are due or `at_once` is set.
    pub(crate) fn take_requests(&mut self, at_once: bool, now_ms: u64) -> Vec<Request> {
        self.release_late(now_ms);
        if !(at_once || self.is_due) {
            return Vec::new();
        }
        let metrics = self.metrics.take(&mut self.invocations);
        // The extension's own metrics need no line of their own.
        let own = if metrics.is_empty() { Vec::new() } else { self.own_metrics.take_due(now_ms) };
        self.requests(metrics, own)
    }

    fn requests(&mut self, metrics: Vec<Metric>, own: Vec<Metric>) -> Vec<Request> {
        self.is_due = false;
        let mut requests = Vec::new();
        let spans = self.invocations.take_finished();
        let evictions = self.invocations.evicted();
        self.counts.add(Count::TableFull, evictions.saturating_sub(self.counted_evictions));
        self.counted_evictions = evictions;
        if !spans.is_empty() {
            requests.push(identity::traces(&self.function, self.memory_mib, spans));
        }
        if !(metrics.is_empty() && own.is_empty()) {
            requests.push(identity::metrics(&self.function, metrics, own));
        }
        requests
    }

    pub(crate) fn is_waiting_for_reports(&self) -> bool {
        self.invocations.await_reports()
    }

    /// Closes invocations without an end, at the end of the environment.
    pub(crate) fn close(&mut self, reason: &str, now_ms: u64) -> Vec<Request> {
        let now = now_ms.saturating_mul(1_000_000);
        self.release(|_| true);
        // Lambda's events may not have come in time.
        for request_id in self.invocations.without_events() {
            self.pass_beginning_on(&request_id, now);
        }
        self.records = None;
        for request_id in self.invocations.without_end() {
            self.look_up_root(&request_id, now);
        }
        self.invocations.close_all(ShutdownReason::parse(reason), now);
        let metrics = self.metrics.take(&mut self.invocations);
        // The last metrics of the extension, even if there are no others.
        let own =
            if self.invocations.is_empty() { Vec::new() } else { self.own_metrics.take(now_ms) };
        self.requests(metrics, own)
    }

    /// Passes the beginning of an invocation to `platform`, before its first event.
    fn pass_beginning_on(&mut self, request_id: &str, time: u64) {
        let known = self.invocations.receive(request_id);
        if known.is_passed_on {
            return;
        }
        known.is_passed_on = true;
        let began = known.invoked_ms.map_or(time, |ms| ms.saturating_mul(1_000_000));
        let invoked_arn = known.invoked_arn.clone();
        self.invocations.note_beginning(request_id, &invoked_arn, began.min(time));
    }

    /// Returns `true` for the end of an invocation whose beginning this process has not read. Either the beginning is about to
    /// come, or an earlier process of the extension closed the invocation at its SHUTDOWN, so that no second span may be written.
    fn is_foreign(&self, event: &PlatformEvent) -> bool {
        let request_id = event.request_id.as_deref();
        let known = request_id.and_then(|request_id| self.invocations.received(request_id));
        is_end(event) && self.gets_invoke && !known.is_some_and(Received::has_begun)
    }

    /// Returns `true` for the end of an invocation whose span is joined with the function's root span, if there is one.
    fn joins_root(&self, event: &PlatformEvent) -> bool {
        is_end(event)
            && self.invocations.makes_spans()
            && self.invocation_span == InvocationSpanMode::Auto
    }

    /// Returns `true` for the report of an invocation whose span ended before.
    fn is_report_after_end(&self, event: &PlatformEvent, request_id: &str) -> bool {
        event.kind == EventKind::Report
            && self.options.end == SpanEnd::RuntimeDone
            && self.is_runtime_done(request_id)
    }

    /// Looks up the root span in the exporter's record, unless it came by OTLP, and passes it on. Returns `true` if it is known.
    fn look_up_root(&mut self, request_id: &str, time: u64) -> bool {
        let known = self.invocations.received(request_id);
        if known.is_some_and(|known| known.root.is_some()) {
            return true;
        }
        if self.invocation_span != InvocationSpanMode::Auto || !self.invocations.makes_spans() {
            return false;
        }
        // The exporter wrote the record before Lambda reported the end.
        let records =
            self.records.get_or_insert_with(|| InvocationRecords::read(&self.records_path));
        let is_new = |root: &RootSpan| {
            !known.is_some_and(|known| known.earlier_roots.contains(&root.span_id))
        };
        let Some(root) = records.find(request_id).into_iter().find(is_new) else { return false };
        let RootSpan { trace_id, span_id, is_open, is_sampled, has_failed } = root;
        let span = FunctionRoot { trace_id, span_id, is_open, is_sampled };
        self.set_root(request_id, KnownRoot { span, is_named: true }, time);
        if has_failed {
            // The root has type and message.
            let failed = FunctionStatement::SpanFailed(Failure::default());
            self.note_span_statement(request_id, failed, time);
        }
        true
    }

    /// Passes on the waiting ends that `goes_on` selects. Drops an end whose beginning was not read.
    fn release(&mut self, goes_on: impl Fn(&DelayedEnd) -> bool) {
        let ends = std::mem::take(&mut self.delayed_ends).into_iter();
        let (released, waiting): (VecDeque<_>, VecDeque<_>) = ends.partition(goes_on);
        self.delayed_ends = waiting;
        for DelayedEnd { event, time_unix_nano, .. } in released {
            if !self.is_foreign(&event) {
                self.pass_on(&event, time_unix_nano);
            }
        }
    }

    fn release_ends_of(&mut self, request_id: &str) {
        self.release(|end| end.event.request_id.as_deref() == Some(request_id));
    }

    /// Passes on the waiting ends of other invocations whose beginning was read, because ends wait at most until the next invocation
    /// ends. On a managed instance others end all the time, so ends wait for a limited time there.
    fn release_others(&mut self, request_id: &str, now_ms: u64) {
        if !self.gets_invoke {
            self.release_late(now_ms);
            return;
        }
        let foreign: Vec<Option<String>> = self
            .delayed_ends
            .iter()
            .filter(|end| self.is_foreign(&end.event))
            .map(|end| end.event.request_id.clone())
            .collect();
        self.release(|end| {
            let own = &end.event.request_id;
            own.as_deref() != Some(request_id) && !foreign.contains(own)
        });
    }

    /// Passes on the ends that have waited for the longest time on a managed instance.
    fn release_late(&mut self, now_ms: u64) {
        if self.release_at_ms().is_some_and(|release_at_ms| release_at_ms <= now_ms) {
            self.release(|end| end.received_ms + LONGEST_DELAY_MS <= now_ms);
        }
    }

    /// Passes an event on to `platform`.
    fn pass_on(&mut self, event: &PlatformEvent, time: u64) {
        // The report's metrics can wait for the next line, unless the report ends the span.
        let report_ends_span = self.options.end == SpanEnd::Report
            || !self.invocations.makes_spans()
            || event.request_id.as_deref().is_some_and(|id| !self.is_runtime_done(id));
        self.is_due |= match event.kind {
            EventKind::RuntimeDone => true,
            EventKind::Report => report_ends_span,
            _ => false,
        };
        if let Some(request_id) = &event.request_id {
            self.pass_beginning_on(request_id, time);
        }
        self.invocations.add_event(event, time);
        // They would accumulate.
        self.is_due |= self.invocations.has_finished();
    }
}

/// Returns `true` for the events that end an invocation.
fn is_end(event: &PlatformEvent) -> bool {
    matches!(event.kind, EventKind::RuntimeDone | EventKind::Report)
}

#[cfg(test)]
mod tests;
