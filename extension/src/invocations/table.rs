//! The invocations of the environment until their spans and metrics are written, in bounded memory.
//!
//! `platform` makes spans and metrics from the events of an invocation. The table passes the events on, and delays an
//! invocation's end while the function's own root span may still come.

use crate::clock::unix_millis;
use crate::config::{Config, InvocationSpanMode};
use crate::counts::{Count, Counts};
use crate::invocations::identity::FunctionIdentity;
use crate::invocations::invocation_records::InvocationRecords;
use crate::invocations::recent_events::RecentEvents;
use crate::invocations::roots::Root;
use crate::own_metrics::OwnMetrics;
use extensions_api::Registration;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use platform::{
    Aggregator, EventKind, FunctionRoot, Invocations, Owner, PlatformEvent, ShutdownReason,
    SpanEnd, SpanOptions, XRaySegment,
};
use std::collections::VecDeque;
use std::sync::Arc;
use wire::Request;
use wire::invocation_record::RootSpan;

/// The number of ends that may wait for a root span. Beyond it, the oldest is passed on.
const MAX_HELD_BACK: usize = 64;
/// The time by which a root span may begin before the extension reads INVOKE.
const EARLY_MS: u64 = 100;

type SpanId = [u8; 8];

/// The table's facts about an invocation.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each has come or not, in any order")]
struct Known {
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
    /// The ends of the attempt before this one that were not read yet: Lambda often delivers an invocation's report after the next
    /// INVOKE.
    outstanding: Ends,
}

#[derive(Debug, Default)]
struct Ends {
    runtime_done: bool,
    report: bool,
}

/// The root span of an invocation.
#[derive(Clone, Copy, Debug)]
struct KnownRoot {
    span: FunctionRoot,
    /// The span names its invocation. Otherwise the newest one was assumed.
    is_named: bool,
}

impl Known {
    /// Returns `true` if this process read the beginning.
    fn was_told(&self) -> bool {
        self.invoked_ms.is_some() || self.started
    }

    /// Notes that Lambda retries the invocation, with the same request id.
    fn begin_attempt(&mut self) {
        let root = self.root.take();
        self.earlier_roots.extend(root.map(|root| root.span.span_id));
        self.outstanding = Ends { runtime_done: !self.runtime_done, report: !self.reported };
        (self.invoked_ms, self.started) = (None, false);
        (self.runtime_done, self.reported) = (false, false);
    }

    /// Notes an event. Returns `true` if it belongs to the attempt before this one.
    fn note(&mut self, kind: &EventKind) -> bool {
        match kind {
            EventKind::Start => {
                if self.started {
                    self.begin_attempt();
                }
                self.started = true;
                // Events come in order.
                self.outstanding = Ends::default();
                false
            }
            EventKind::RuntimeDone if std::mem::take(&mut self.outstanding.runtime_done) => true,
            EventKind::Report if std::mem::take(&mut self.outstanding.report) => true,
            _ => {
                self.runtime_done |= *kind == EventKind::RuntimeDone;
                self.reported |= *kind == EventKind::Report;
                false
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct InvocationTable {
    identity: FunctionIdentity,
    invocation_span: InvocationSpanMode,
    /// Lambda sends INVOKE, except to managed instances.
    is_told_of_invocations: bool,
    options: SpanOptions,
    records: InvocationRecords,
    metrics: Aggregator,
    /// `None` if no spans are wanted, or without a subscription.
    spans: Option<Invocations>,
    known: VecDeque<Known>,
    /// The ends that wait for their root span, and their times.
    held_back: VecDeque<(PlatformEvent, u64)>,
    /// The function has sent a root span before.
    sends_roots: bool,
    recent: RecentEvents,
    due: bool,
    evicted: usize,
    own: OwnMetrics,
    counts: Arc<Counts>,
}

impl InvocationTable {
    pub(crate) fn new(
        config: &Config,
        registration: &Registration,
        counts: Arc<Counts>,
        records: InvocationRecords,
    ) -> Self {
        let identity = FunctionIdentity::of(config, registration);
        let options = SpanOptions {
            mapping: config.span_mapping,
            end: config.span_end,
            names: config.names,
            xray_lambda: config.xray_lambda,
            only_sampled: config.drops_traces && config.invocation_span == InvocationSpanMode::Auto,
            concurrent: config.function.is_managed_instance,
            function_name: identity.function_name().to_owned(),
            function_version: identity.function_version().map(str::to_owned),
        };
        // In direct mode no forwarder reads the reports.
        let owner = if config.is_direct() { Owner::Sole } else { Owner::Extension };
        Self {
            identity,
            invocation_span: config.invocation_span,
            is_told_of_invocations: !config.function.is_managed_instance,
            options,
            records,
            metrics: Aggregator::new(config.shape, config.names).with_owner(owner),
            spans: None,
            known: VecDeque::new(),
            held_back: VecDeque::new(),
            sends_roots: false,
            recent: RecentEvents::default(),
            due: false,
            evicted: 0,
            own: OwnMetrics::new(Arc::clone(&counts), config.shape, unix_millis()),
            counts,
        }
    }

    /// Notes that the runtime reported exhausted memory.
    pub(crate) fn out_of_memory(&mut self, request_id: Option<&str>, time_unix_nano: u64) {
        self.metrics.add_out_of_memory(request_id, time_unix_nano);
    }

    /// Notes that Lambda will send telemetry.
    pub(crate) fn subscribed(&mut self) {
        if self.invocation_span != InvocationSpanMode::Never {
            self.spans = Some(Invocations::new(self.options.clone()));
        }
    }

    /// Notes the beginning of an invocation. Spans and metrics of earlier ones are due.
    pub(crate) fn invoke(&mut self, request_id: &str, invoked_arn: &str, now_ms: u64) {
        self.due = true;
        let known = self.known(request_id);
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

    /// Takes received root spans. A span without a name belongs to the newest invocation that began before it, unless the record of
    /// that invocation names another, or none: work of an earlier one may have sent the span.
    pub(crate) fn roots(&mut self, roots: Vec<Root>) {
        if self.invocation_span != InvocationSpanMode::Auto {
            return;
        }
        let (named, unnamed): (Vec<Root>, Vec<Root>) =
            roots.into_iter().partition(|root| root.request_id.is_some());
        for root in named.into_iter().chain(unnamed) {
            let is_named = root.request_id.is_some();
            let request_id = root.request_id.map(|id| id.to_ascii_lowercase()).or_else(|| {
                self.newest_at(root.start_unix_nano).map(|known| known.request_id.clone())
            });
            let Some(request_id) = request_id else { continue };
            self.sends_roots = true;
            if !is_named {
                self.look_up_root(&request_id, root.start_unix_nano);
            }
            let Root { trace_id, span_id, start_unix_nano, .. } = root;
            let span = FunctionRoot { trace_id, span_id, is_open: false, is_sampled: true };
            self.root(&request_id, KnownRoot { span, is_named }, start_unix_nano);
        }
    }

    /// Takes the segment of a function's X-Ray subsegment that began at this time.
    pub(crate) fn xray_segment(&mut self, segment: XRaySegment, start_unix_nano: u64) {
        let newest = self.newest_at(start_unix_nano).map(|known| known.request_id.clone());
        if let Some(spans) = &mut self.spans {
            spans.xray_segment(newest.as_deref(), segment);
        }
    }

    /// Returns the newest invocation that began before a span with this start.
    fn newest_at(&self, start_unix_nano: u64) -> Option<&Known> {
        let start_ms = start_unix_nano / 1_000_000 + EARLY_MS;
        let began_before =
            |known: &&Known| known.invoked_ms.is_some_and(|invoked| invoked <= start_ms);
        self.known.iter().rev().find(began_before)
    }

    fn root(&mut self, request_id: &str, root: KnownRoot, time: u64) {
        let is_known = self.find(request_id).is_some_and(|known| {
            // A root without a name is less certain.
            known.root.is_some_and(|before| before.is_named || !root.is_named)
                || known.earlier_roots.contains(&root.span.span_id)
        });
        let Some(spans) = self.spans.as_mut().filter(|_| !is_known) else { return };
        if !spans.function_root(request_id, root.span, time) {
            return;
        }
        self.known(request_id).root = Some(root);
        self.release(|event| event.request_id.as_deref() == Some(request_id));
    }

    /// Takes an event of the Telemetry API. The default of its time is the time of receipt.
    pub(crate) fn event(&mut self, event: PlatformEvent, now_ms: u64) {
        if self.recent.is_repeated(&event) {
            self.counts.add(Count::Repeated, 1);
            return;
        }
        let time = event.time_unix_nano.unwrap_or(now_ms.saturating_mul(1_000_000));
        self.metrics.add(&event, time);
        let Some(request_id) = event.request_id.clone() else {
            if let Some(spans) = &mut self.spans {
                spans.observe(&event, time);
            }
            return;
        };
        let known = self.known(&request_id);
        let was_done = known.runtime_done;
        let is_of_earlier = known.note(&event.kind);
        // Managed instances send no `platform.runtimeDone`, so the report is the end.
        let is_end =
            event.kind == EventKind::RuntimeDone || (event.kind == EventKind::Report && !was_done);
        if is_end && !is_of_earlier {
            // Ends wait at most until the next invocation ends.
            self.release_others(&request_id);
        }
        let waits = !is_of_earlier && self.waits_for_root(&event, &request_id);
        if waits || self.is_foreign(&event) {
            if self.held_back.len() == MAX_HELD_BACK {
                let oldest = self.held_back.front().and_then(|(event, _)| event.request_id.clone());
                self.release(|held| held.request_id == oldest);
            }
            self.held_back.push_back((event, time));
        } else {
            self.observe(&event, time);
        }
    }

    pub(crate) fn take_due(&mut self, now_ms: u64) -> Vec<Request> {
        if self.due { self.take_all(now_ms) } else { Vec::new() }
    }

    /// Returns requests of all finished spans and metrics, due or not.
    pub(crate) fn take_all(&mut self, now_ms: u64) -> Vec<Request> {
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
                requests.push(self.identity.traces(spans));
            }
        }
        if !(metrics.is_empty() && own.is_empty()) {
            requests.push(self.identity.metrics(metrics, own));
        }
        requests
    }

    /// Returns `true` if reports of invocations are outstanding.
    pub(crate) fn is_waiting_for_reports(&self) -> bool {
        self.known.iter().any(|known| known.was_told() && !known.reported)
    }

    /// Closes invocations without an end, at the end of the environment.
    pub(crate) fn close(&mut self, reason: &str, now_ms: u64) -> Vec<Request> {
        let now = now_ms.saturating_mul(1_000_000);
        self.release(|_| true);
        // Lambda's events may not have come in time: those of the newest invocation, or of one whose root the function has sent.
        let newest = self.known.iter().rposition(Known::was_told);
        let is_told = |(at, known): &(usize, &Known)| {
            !known.has_events && known.was_told() && (newest == Some(*at) || known.root.is_some())
        };
        let told = self.known.iter().enumerate().filter(is_told);
        let told: Vec<String> = told.map(|(_, known)| known.request_id.clone()).collect();
        for request_id in told {
            self.begin(&request_id, now);
        }
        let endless = self.known.iter().filter(|known| known.has_events && !known.runtime_done);
        let endless: Vec<String> = endless.map(|known| known.request_id.clone()).collect();
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

    /// Counts hold time.
    pub(crate) fn held(&self, millis: u64) {
        self.counts.add(Count::HeldMs, usize::try_from(millis).unwrap_or(usize::MAX));
    }

    /// Passes the beginning of an invocation to `platform`, before its first event.
    fn begin(&mut self, request_id: &str, time: u64) {
        let known = self.known(request_id);
        if std::mem::replace(&mut known.has_events, true) {
            return;
        }
        let began = known.invoked_ms.map_or(time, |ms| ms.saturating_mul(1_000_000));
        let invoked_arn = known.invoked_arn.clone();
        if let Some(spans) = &mut self.spans {
            spans.invoked(request_id, &invoked_arn, began.min(time));
        }
    }

    /// Returns `true` for the end of an invocation whose beginning this process has not read. Either the beginning is about to
    /// come, or an earlier process of the extension closed the invocation at its SHUTDOWN, so that no second span may be written.
    fn is_foreign(&self, event: &PlatformEvent) -> bool {
        let is_end = matches!(event.kind, EventKind::RuntimeDone | EventKind::Report);
        let known = event.request_id.as_deref().and_then(|request_id| self.find(request_id));
        is_end && self.is_told_of_invocations && !known.is_some_and(Known::was_told)
    }

    /// Returns `true` if an end waits for the function's root span.
    fn waits_for_root(&mut self, event: &PlatformEvent, request_id: &str) -> bool {
        let is_end = matches!(event.kind, EventKind::RuntimeDone | EventKind::Report);
        if self.spans.is_none() || !is_end || self.invocation_span != InvocationSpanMode::Auto {
            return false;
        }
        let is_held_back = |(held, _): &(PlatformEvent, u64)| held.request_id == event.request_id;
        if event.kind == EventKind::Report && self.options.end == SpanEnd::RuntimeDone {
            // The report waits if the end does.
            return self.held_back.iter().any(is_held_back);
        }
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
        let is_earlier = |root: &RootSpan| {
            known.is_some_and(|known| known.earlier_roots.contains(&root.span_id))
        };
        let root = self.records.find(request_id).into_iter().find(|root| !is_earlier(root));
        let Some(RootSpan { trace_id, span_id, is_open, is_sampled }) = root else { return false };
        let span = FunctionRoot { trace_id, span_id, is_open, is_sampled };
        self.root(request_id, KnownRoot { span, is_named: true }, time);
        true
    }

    /// Passes on the held ends that `goes_on` selects.
    fn release(&mut self, goes_on: impl Fn(&PlatformEvent) -> bool) {
        let held_back = std::mem::take(&mut self.held_back);
        let (released, held_back): (VecDeque<_>, VecDeque<_>) =
            held_back.into_iter().partition(|(event, _)| goes_on(event));
        self.held_back = held_back;
        for (event, time) in released {
            if self.is_foreign(&event) {
                self.counts.add(Count::Foreign, 1);
            } else {
                self.observe(&event, time);
            }
        }
    }

    /// Passes on the held ends of other invocations whose beginning was read.
    fn release_others(&mut self, request_id: &str) {
        let foreign: Vec<Option<String>> = self
            .held_back
            .iter()
            .filter(|(event, _)| self.is_foreign(event))
            .map(|(event, _)| event.request_id.clone())
            .collect();
        self.release(|held| {
            held.request_id.as_deref() != Some(request_id) && !foreign.contains(&held.request_id)
        });
    }

    fn observe(&mut self, event: &PlatformEvent, time: u64) {
        // The report's metrics can wait for the next line, unless the report ends the span.
        let ends_span = self.options.end == SpanEnd::Report
            || self.spans.is_none()
            || event.request_id.as_deref().is_some_and(|id| !self.is_runtime_done(id));
        self.due |= match event.kind {
            EventKind::RuntimeDone => true,
            EventKind::Report => ends_span,
            _ => false,
        };
        if let Some(request_id) = &event.request_id {
            self.begin(request_id, time);
        }
        if let Some(spans) = &mut self.spans {
            spans.observe(event, time);
        }
    }

    fn find(&self, request_id: &str) -> Option<&Known> {
        self.known.iter().rev().find(|known| known.request_id == request_id)
    }

    fn known(&mut self, request_id: &str) -> &mut Known {
        let at = self.known.iter().rposition(|known| known.request_id == request_id);
        let at = at.unwrap_or_else(|| {
            loop {
                let reported = self.known.iter().position(|known| known.reported);
                let forgotten = Invocations::to_forget(&self.options, self.known.len(), reported);
                let Some(at) = forgotten else { break };
                self.known.remove(at);
            }
            self.known.push_back(Known { request_id: request_id.to_owned(), ..Known::default() });
            self.known.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "the position was found or made just now")]
        &mut self.known[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::trace::v1::Span;
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    const FIRST: &str = "3da1f2dc-3222-475e-9205-e2e6c6318895";
    const SECOND: &str = "8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11";
    const ROOT: RootSpan =
        RootSpan { trace_id: [3; 16], span_id: [7; 8], is_open: false, is_sampled: true };

    /// A table and its requests.
    struct Story {
        table: InvocationTable,
        records: Arc<Mutex<Vec<(String, RootSpan)>>>,
        counts: Arc<Counts>,
    }

    impl Story {
        fn new(variables: &[(&str, &str)]) -> Self {
            let source: BTreeMap<String, String> =
                variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            let config = Config::from_source(&source);
            assert_eq!(config.complaint(), "");
            let registration = Registration {
                function_name: "orders".to_owned(),
                function_version: "7".to_owned(),
                account_id: Some("123456789012".to_owned()),
            };
            let records = Arc::<Mutex<Vec<(String, RootSpan)>>>::default();
            let left = Arc::clone(&records);
            let look_up = InvocationRecords::new(move |request_id| {
                let left = left.lock().unwrap();
                left.iter().filter(|(id, _)| id == request_id).map(|(_, ids)| *ids).collect()
            });
            let counts = Arc::new(Counts::default());
            let mut table =
                InvocationTable::new(&config, &registration, Arc::clone(&counts), look_up);
            table.subscribed();
            Self { table, records, counts }
        }

        fn invoke(&mut self, request_id: &str, now_ms: u64) {
            let arn = "arn:aws:lambda:eu-west-1:123456789012:function:orders:live";
            self.table.invoke(request_id, arn, now_ms);
        }

        fn event(&mut self, kind: EventKind, request_id: &str, ms: u64) {
            let event = PlatformEvent {
                request_id: Some(request_id.to_owned()),
                time_unix_nano: Some(ms * 1_000_000),
                status: Some("success".to_owned()).filter(|_| kind != EventKind::Start),
                ..PlatformEvent::new(kind)
            };
            self.table.event(event, ms);
        }

        /// A whole invocation from start to report, with a second between its parts.
        fn invocation(&mut self, request_id: &str, ms: u64) {
            self.invoke(request_id, ms);
            self.handler(request_id, ms);
            self.event(EventKind::Report, request_id, ms + 2000);
        }

        /// Start and end of the handler, a second apart.
        fn handler(&mut self, request_id: &str, ms: u64) {
            self.event(EventKind::Start, request_id, ms);
            self.event(EventKind::RuntimeDone, request_id, ms + 1000);
        }

        fn root_by_otlp(&mut self, request_id: Option<&str>, start_ms: u64) {
            let request_id = request_id.map(str::to_owned);
            let RootSpan { trace_id, span_id, .. } = ROOT;
            let start_unix_nano = start_ms * 1_000_000;
            self.table.roots(vec![Root { request_id, trace_id, span_id, start_unix_nano }]);
        }

        /// Describes the due spans: kind, duration in seconds, and parent.
        fn due(&mut self) -> String {
            let requests = self.table.take_due(0);
            spans(&requests).iter().map(describe).collect::<Vec<_>>().join(", ")
        }

        fn close(&mut self, reason: &str, now_ms: u64) -> String {
            let requests = self.table.close(reason, now_ms);
            spans(&requests).iter().map(describe).collect::<Vec<_>>().join(", ")
        }
    }

    fn spans(requests: &[Request]) -> Vec<Span> {
        let traces = requests.iter().filter_map(Request::decode::<wire::Traces>);
        let containers = traces.flat_map(|request| request.unwrap().resource_spans);
        containers
            .flat_map(|container| container.scope_spans)
            .flat_map(|scope| scope.spans)
            .collect()
    }

    fn describe(span: &Span) -> String {
        let kind = if span.kind == 2 { "server" } else { "internal" };
        let parent = if span.parent_span_id.is_empty() {
            "no parent"
        } else if span.parent_span_id == ROOT.span_id && span.trace_id == ROOT.trace_id {
            "child of the function's root"
        } else {
            "child"
        };
        let millis = (span.end_time_unix_nano - span.start_time_unix_nano) / 1_000_000;
        let status = match span.status.as_ref().map_or(0, |status| status.code) {
            0 => "unset",
            1 => "ok",
            _ => "error",
        };
        format!("{kind} of {millis} ms, {parent}, {status}")
    }

    #[test]
    fn an_invocation_without_a_root_becomes_a_server_span_once() {
        let mut story = Story::new(&[]);
        story.invocation(FIRST, 10_000);
        assert_eq!(story.due(), "server of 1000 ms, no parent, ok");
        assert_eq!(story.due(), "");
        assert_eq!(story.close("spindown", 20_000), "");
    }

    #[test]
    fn a_root_of_earlier_work_does_not_replace_the_record_of_an_invocation() {
        let mut story = Story::new(&[]);
        story
            .records
            .lock()
            .unwrap()
            .push((FIRST.to_owned(), RootSpan { is_sampled: false, ..ROOT }));
        story.invoke(FIRST, 10_000);
        story.root_by_otlp(None, 10_050);
        story.handler(FIRST, 10_000);
        story.event(EventKind::Report, FIRST, 12_000);
        assert_eq!(story.due(), "", "the invocation is not sampled");
    }

    #[test]
    fn each_attempt_of_a_request_uses_its_own_root() {
        const AGAIN: RootSpan = RootSpan { trace_id: [4; 16], span_id: [8; 8], ..ROOT };
        let mut story = Story::new(&[]);
        story.records.lock().unwrap().push((FIRST.to_owned(), ROOT));
        story.invocation(FIRST, 10_000);
        assert_eq!(story.due(), "internal of 1000 ms, child of the function's root, ok");
        // The second has its record behind the first one's, and the third none.
        story.records.lock().unwrap().push((FIRST.to_owned(), AGAIN));
        story.invocation(FIRST, 20_000);
        let again = spans(&story.table.take_due(0));
        assert_eq!(again.len(), 1);
        assert_eq!(
            (again[0].trace_id.as_slice(), again[0].parent_span_id.as_slice()),
            (&AGAIN.trace_id[..], &AGAIN.span_id[..])
        );
        story.invocation(FIRST, 30_000);
        assert_eq!(story.due(), "server of 1000 ms, no parent, ok");
    }

    #[test]
    fn ends_that_are_read_after_a_retry_began_belong_to_the_first_attempt() {
        let check = |variables: &[(&str, &str)], invoked: bool, read_in_time: usize| {
            let mut story = Story::new(variables);
            let begin = |story: &mut Story, ms| {
                if invoked {
                    story.invoke(FIRST, ms);
                }
            };
            let root = |story: &mut Story, id: u8, ms: u64| {
                let (request_id, start_unix_nano) = (Some(FIRST.to_owned()), ms * 1_000_000);
                let (trace_id, span_id) = ([id; 16], [id; 8]);
                story.table.roots(vec![Root { request_id, trace_id, span_id, start_unix_nano }]);
            };
            begin(&mut story, 10_000);
            story.event(EventKind::Start, FIRST, 10_000);
            root(&mut story, 3, 10_005);
            let ends = [(EventKind::RuntimeDone, 11_000), (EventKind::Report, 12_000)];
            let (in_time, late) = ends.split_at(read_in_time);
            for (kind, ms) in in_time {
                story.event(kind.clone(), FIRST, *ms);
            }
            begin(&mut story, 20_000);
            for (kind, ms) in late {
                story.event(kind.clone(), FIRST, *ms);
            }
            story.event(EventKind::Start, FIRST, 20_000);
            assert!(!story.table.is_runtime_done(FIRST), "{read_in_time}");
            assert!(story.table.is_waiting_for_reports(), "{read_in_time}");
            root(&mut story, 8, 20_005);
            story.event(EventKind::RuntimeDone, FIRST, 21_000);
            story.event(EventKind::Report, FIRST, 22_000);
            assert!(!story.table.is_waiting_for_reports(), "{read_in_time}");
            let spans = spans(&story.table.take_due(0));
            let parents: Vec<&[u8]> =
                spans.iter().map(|span| span.parent_span_id.as_slice()).collect();
            assert_eq!(parents, [[3; 8], [8; 8]], "{read_in_time}");
        };
        for read_in_time in [2, 1, 0] {
            check(&[], true, read_in_time);
        }
        // Managed instances have no INVOKE.
        check(&[("AWS_LAMBDA_INITIALIZATION_TYPE", "lambda-managed-instances")], false, 2);
    }

    #[test]
    fn the_open_root_of_a_failed_invocation_is_written() {
        let check = |reason: Option<&str>, is_open, expected: &str| {
            let mut story = Story::new(&[]);
            story.records.lock().unwrap().push((FIRST.to_owned(), RootSpan { is_open, ..ROOT }));
            story.invoke(FIRST, 10_000);
            story.event(EventKind::Start, FIRST, 10_000);
            let requests = if let Some(reason) = reason {
                story.table.close(reason, 13_000)
            } else {
                story.event(EventKind::RuntimeDone, FIRST, 11_000);
                story.table.take_due(0)
            };
            let spans = spans(&requests);
            assert_eq!(spans.iter().map(describe).collect::<Vec<_>>(), [expected], "{reason:?}");
            assert_eq!(spans[0].trace_id, ROOT.trace_id, "{reason:?}");
            assert_eq!(
                spans[0].span_id == ROOT.span_id,
                expected.starts_with("server"),
                "{reason:?}"
            );
        };
        check(Some("timeout"), true, "server of 3000 ms, no parent, error");
        check(Some("failure"), true, "server of 3000 ms, no parent, error");
        check(Some("timeout"), false, "internal of 3000 ms, child of the function's root, error");
        check(None, true, "internal of 1000 ms, child of the function's root, ok");
    }

    #[test]
    fn a_root_with_a_request_id_wins_over_one_without() {
        let mut story = Story::new(&[]);
        story.invoke(FIRST, 10_000);
        // A span of another library that has no parent, posted before the handler's.
        let other = Root {
            request_id: None,
            trace_id: [5; 16],
            span_id: [5; 8],
            start_unix_nano: 10_001_000_000,
        };
        story.table.roots(vec![other.clone()]);
        story.root_by_otlp(Some(FIRST), 10_005);
        story.table.roots(vec![other]);
        story.handler(FIRST, 10_000);
        assert_eq!(story.due(), "internal of 1000 ms, child of the function's root, ok");
    }

    #[test]
    fn a_variable_selects_the_invocation_span() {
        let check = |choice, expected: &str| {
            let mut story = Story::new(&[("LAMBDA_OTLP_INVOCATION_SPAN", choice)]);
            story.records.lock().unwrap().push((FIRST.to_owned(), ROOT));
            story.invoke(FIRST, 10_000);
            story.root_by_otlp(Some(FIRST), 10_005);
            story.handler(FIRST, 10_000);
            assert_eq!(story.due(), expected, "{choice}");
            assert_eq!(story.close("timeout", 20_000), "", "{choice}");
        };
        check("auto", "internal of 1000 ms, child of the function's root, ok");
        check("always", "server of 1000 ms, no parent, ok");
        check("never", "");
    }

    #[test]
    fn an_invocation_that_the_function_does_not_sample_has_no_span() {
        let check = |variables: &[(&str, &str)], expected: [&str; 2]| {
            let mut story = Story::new(variables);
            story.records.lock().unwrap().push((FIRST.to_owned(), ROOT));
            for (request_id, ms) in [(FIRST, 10_000), (SECOND, 20_000)] {
                story.invocation(request_id, ms);
                assert_eq!(
                    story.due(),
                    expected[usize::from(request_id == SECOND)],
                    "{variables:?}"
                );
            }
            assert_eq!(story.close("spindown", 30_000), "", "{variables:?}");
        };
        let child = "internal of 1000 ms, child of the function's root, ok";
        let server = "server of 1000 ms, no parent, ok";
        check(&[], [child, server]);
        check(&[("OTEL_TRACES_SAMPLER", "parentbased_always_on")], [child, server]);
        let sampler = ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio");
        check(&[sampler], [child, ""]);
        check(&[sampler, ("LAMBDA_OTLP_INVOCATION_SPAN", "always")], [server, server]);
        check(&[("OTEL_SDK_DISABLED", "true")], ["", ""]);
    }

    #[test]
    fn an_invocation_end_waits_for_a_root_sent_by_otlp() {
        let mut story = Story::new(&[]);
        story.invoke(FIRST, 10_000);
        story.root_by_otlp(None, 10_000);
        story.event(EventKind::RuntimeDone, FIRST, 11_000);
        story.event(EventKind::Report, FIRST, 12_000);
        assert_eq!(story.due(), "internal of 0 ms, child of the function's root, ok");
        // The batch of the second comes when the environment wakes for the next.
        story.invoke(SECOND, 20_000);
        story.handler(SECOND, 20_000);
        assert_eq!(story.due(), "");
        story.event(EventKind::Report, SECOND, 22_000);
        story.invoke("third", 30_000);
        story.root_by_otlp(Some(SECOND), 20_010);
        assert_eq!(story.due(), "internal of 1000 ms, child of the function's root, ok");
        // The wait for an unsampled root ends with the next invocation.
        story.handler("third", 30_000);
        assert_eq!(story.due(), "");
        story.invoke("fourth", 40_000);
        story.handler("fourth", 40_000);
        assert_eq!(story.due(), "server of 1000 ms, no parent, ok");
        assert_eq!(story.close("spindown", 50_000), "server of 1000 ms, no parent, ok");
    }

    #[test]
    fn a_root_without_request_id_is_matched_by_start_time() {
        let mut story = Story::new(&[]);
        story.table.sends_roots = true;
        story.invoke(FIRST, 10_000);
        story.handler(FIRST, 10_000);
        story.invoke(SECOND, 20_000);
        assert_eq!(story.due(), "");
        story.root_by_otlp(None, 10_005);
        assert_eq!(story.due(), "internal of 1000 ms, child of the function's root, ok");
    }

    #[test]
    fn the_report_ends_the_span_if_configured() {
        let mut story = Story::new(&[("LAMBDA_OTLP_SPAN_END", "report")]);
        story.invoke(FIRST, 10_000);
        story.handler(FIRST, 10_000);
        assert_eq!(story.due(), "");
        story.event(EventKind::Report, FIRST, 12_000);
        assert_eq!(story.due(), "server of 2000 ms, no parent, ok");
    }

    #[test]
    fn an_early_end_waits_for_its_invocation_or_is_foreign() {
        let mut story = Story::new(&[]);
        story.event(EventKind::RuntimeDone, FIRST, 11_000);
        story.event(EventKind::Report, FIRST, 12_000);
        assert_eq!(story.due(), "");
        assert!(!story.table.is_waiting_for_reports());
        story.event(EventKind::RuntimeDone, SECOND, 21_000);
        story.invoke(SECOND, 20_000);
        assert_eq!(story.due(), "server of 0 ms, no parent, ok");
        assert_eq!(story.close("spindown", 30_000), "");
        assert_eq!(story.counts.get(Count::Foreign), 2);
    }

    #[test]
    fn an_invocation_without_an_end_is_closed_at_shutdown() {
        let check = |reason, expected: &str| {
            let mut story = Story::new(&[]);
            story.invoke(FIRST, 10_000);
            story.event(EventKind::Start, FIRST, 10_000);
            assert_eq!(story.due(), "");
            assert!(story.table.is_waiting_for_reports());
            assert_eq!(story.close(reason, 13_000), expected, "{reason}");
            // Telemetry was too slow to speak of it at all.
            let mut story = Story::new(&[]);
            story.invoke(FIRST, 10_000);
            assert_eq!(
                story.close(reason, 13_000).rsplit(", ").next(),
                expected.rsplit(", ").next()
            );
        };
        check("timeout", "server of 3000 ms, no parent, error");
        check("FAILURE", "server of 3000 ms, no parent, error");
        check("spindown", "server of 3000 ms, no parent, unset");
    }

    #[test]
    fn a_root_of_another_functions_invocation_makes_no_span() {
        let mut story = Story::new(&[]);
        story.invoke(FIRST, 10_000);
        story.root_by_otlp(Some("foreign"), 10_050);
        story.handler(FIRST, 10_000);
        assert_eq!(story.due(), "");
        assert_eq!(story.close("spindown", 13_000), "server of 1000 ms, no parent, ok");
    }

    #[test]
    fn a_full_table_writes_surplus_spans_early_and_counts_them() {
        let mut story = Story::new(&[]);
        for number in 0..2000 {
            story.event(EventKind::Start, &format!("request-{number}"), 10_000);
        }
        let written = spans(&story.table.take_all(0)).len();
        assert!(story.table.known.len() <= Invocations::MAX_KNOWN);
        let given_up = usize::try_from(story.counts.get(Count::TableFull)).unwrap();
        assert_eq!(
            (written, given_up),
            (2000 - Invocations::MAX_KNOWN, 2000 - Invocations::MAX_KNOWN)
        );
        // None is lost: they are written as they stood.
        assert_eq!(spans(&story.table.close("spindown", 20_000)).len(), Invocations::MAX_KNOWN);
    }

    #[test]
    fn reported_invocations_are_forgotten_first() {
        let mut story =
            Story::new(&[("AWS_LAMBDA_INITIALIZATION_TYPE", "lambda-managed-instances")]);
        for kind in [EventKind::Start, EventKind::Report] {
            for number in 0..1600 {
                story.event(kind.clone(), &format!("request-{number}"), 10_000);
            }
            assert_eq!(story.table.known.len(), 1600);
        }
        assert_eq!(spans(&story.table.take_all(0)).len(), 1600);
        story.event(EventKind::Start, "next", 30_000);
        assert_eq!(story.table.known.len(), Invocations::MAX_KNOWN);
    }

    #[test]
    fn invocations_awaiting_their_root_are_bounded_and_none_is_lost() {
        let managed = ("AWS_LAMBDA_INITIALIZATION_TYPE", "lambda-managed-instances");
        let mut story = Story::new(&[managed]);
        story.table.sends_roots = true;
        for number in 0..1000 {
            // Reports only, as of a managed instance; each lets the others go.
            story.event(EventKind::Report, &format!("request-{number}"), 10_000 + number);
            assert!(story.table.held_back.len() <= MAX_HELD_BACK);
        }
        let early = spans(&story.table.take_all(0)).len();
        assert_eq!(early + spans(&story.table.close("spindown", 20_000)).len(), 1000);
    }
}
