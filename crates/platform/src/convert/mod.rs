//! Converts the log events of one log stream into one `ResourceLogs`, one `ResourceMetrics` and, if enabled, one `ResourceSpans`.
//!
//! - `REPORT` and other lines of Lambda with figures or failures: metrics, and one log record each.
//! - `START`, `END`, `INIT_START`, `RESTORE_START`: nothing, unless log records of them are enabled.
//! - A runtime's message about exhausted memory: `aws.lambda.out_of_memory`, once per invocation, and one log record.
//! - A runtime's line about a failed invocation: `faas.errors`, once per invocation, and one log record.
//! - A line in the embedded metric format: metrics, and one log record.
//! - A root line of the library or the layer: nothing. It names the root span of an invocation.
//! - An empty line: nothing. Runtimes that write one log event per line print them around panics and stack traces.
//! - Any other line: one log record.
//!
//! The caller decodes OTLP lines, and reports undecodable ones here.

use crate::attributes::{scope, string, text};
use crate::event::{EventKind, PlatformEvent};
use crate::identity::Identity;
use crate::logs::records::{self, Records};
use crate::logs::request_window::{Facts, LineInvocation, RequestWindow};
use crate::logs::seen_spans::{SeenSpans, TracedInvocation};
use crate::logs::{
    LineRecord, LogEventRef, PlatformRecord, Undecodable, UndecodableRecord, record_time,
};
use crate::metrics::aggregator::{
    Aggregator, OpenInvocations, Owner, counted_failures, is_reported,
};
use crate::metrics::emf::line as emf_line;
use crate::metrics::emf::points::EmfPoints;
use crate::names;
use crate::options::{PlatformOptions, SpanOptions};
use crate::outcome::FunctionStatement;
use crate::read::ids::request_id_of;
use crate::read::line::{FunctionLine, function_line, is_tenant_id, joined_objects, json_lines};
use crate::read::platform_event;
use crate::read::runtime_error::{Failure, Proof, RuntimeError};
use crate::read::runtime_text::is_out_of_memory;
use crate::read::severity::{Severity, without_colours};
use crate::read::whole_line::is_lambdas_to_the_end;
use crate::recent::{EarlierFacts, RecentInvocations};
use crate::spans::invocation_span::resource_spans;
use crate::spans::invocations::InvocationSpans;
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use prost::Message as _;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::{Request, RootLine, SpanIds};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConvertedLines {
    /// The log records with their resource, encoded; `None` if there are none.
    pub logs: Option<Request>,
    /// The metrics with their resource; `None` if there are none.
    pub metrics: Option<ResourceMetrics>,
    /// Log events without a log record.
    pub consumed: ConsumedLines,
    /// The spans of the invocations; `None` if disabled or if there are none.
    pub spans: Option<ResourceSpans>,
    /// Number of values missing from the metrics: no numbers, or beyond a limit of the embedded metric format.
    pub dropped_values: usize,
    pub divided: Divided,
    pub state: ConverterState,
}

/// Log events of several JSON lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Divided {
    /// Estimated size of the records made of the lines.
    pub bytes: usize,
    /// Number of log events whose lines stayed one record because of a limit.
    pub undivided: usize,
}

/// Log events without a log record, by the rule that consumes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsumedLines {
    /// `START`, `END`, `INIT_START` and `RESTORE_START`.
    pub platform_lines: usize,
    pub root_lines: usize,
    pub empty_lines: usize,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConverterState {
    window: RequestWindow,
    /// The invocations that were counted, so that lines in a later chunk do not count one twice.
    open: OpenInvocations,
    traced: Vec<TracedInvocation>,
    /// The running invocations whose last line is a runtime's, if nothing follows it.
    last_words: BTreeMap<String, Failure>,
    /// The runtime's line before the first start: the next report names its invocation.
    unnamed_failure: Option<Failure>,
    /// The invocations without a report so far; `None` if spans are disabled.
    spans: Option<Box<InvocationSpans>>,
}

/// What the function said about the end of one of its invocations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvocationStatement {
    pub request_id: String,
    pub statement: FunctionStatement,
    pub time_unix_nano: u64,
}

/// Converts the log events of one log stream in their order.
#[derive(Debug)]
pub struct Converter {
    identity: Identity,
    log_resource: OnceCell<Vec<u8>>,
    options: PlatformOptions,
    observed_unix_nano: u64,
    state: ConverterState,
    aggregator: Aggregator,
    /// `true` if the caller makes the metrics of Lambda's events.
    is_counted_elsewhere: bool,
    /// The statements for this caller.
    statements: Vec<InvocationStatement>,
    /// What earlier deliveries said, for a caller that has some.
    recent: Option<Arc<RecentInvocations>>,
    /// The spans of invocations whose extension was killed, although spans are disabled.
    rescued_spans: Vec<Span>,
    emf: EmfPoints,
    seen: SeenSpans,
    platform_records: Records,
    line_records: Records,
    consumed: ConsumedLines,
    divided: Divided,
    max_divided_bytes: usize,
}

/// Limit on the records made of the JSON lines of one log event. Without one, 250 kB would make 83,000 records.
const MAX_DIVIDED_BYTES: usize = 4 * 1024 * 1024;

/// Approximate size of a record without the text and the id of its log event.
const RECORD_BYTES: usize = 256;

impl Converter {
    /// Creates a converter for one stream. `observed_unix_nano` is the time of the delivery.
    pub fn new(identity: Identity, options: PlatformOptions, observed_unix_nano: u64) -> Self {
        Self {
            identity,
            log_resource: OnceCell::new(),
            options,
            observed_unix_nano,
            state: ConverterState::default(),
            aggregator: Aggregator::new(options.shape, options.names),
            is_counted_elsewhere: false,
            statements: Vec::new(),
            recent: None,
            rescued_spans: Vec::new(),
            emf: EmfPoints::new(options.shape),
            seen: SeenSpans::default(),
            platform_records: Records::default(),
            line_records: Records::default(),
            consumed: ConsumedLines::default(),
            divided: Divided::default(),
            max_divided_bytes: usize::MAX,
        }
    }

    /// Limits the records made of the JSON lines of all log events, in addition to the limit on one log event.
    #[must_use]
    pub fn with_most_divided_bytes(self, max_divided_bytes: usize) -> Self {
        Self { max_divided_bytes, ..self }
    }

    #[must_use]
    pub fn with_state(mut self, mut state: ConverterState) -> Self {
        self.aggregator.resume(std::mem::take(&mut state.open));
        self.seen.resume(std::mem::take(&mut state.traced));
        self.state = state;
        self
    }

    /// Also writes the span of each invocation (`LAMBDA_OTLP_PLATFORM_SPANS`), for functions in which neither an SDK nor the
    /// extension writes one.
    ///
    /// The `REPORT` line creates the span, because the lines of an invocation may arrive in two deliveries and only one has the
    /// report. The span begins at the `START` line if that came in this delivery or an earlier chunk. The identity provides the
    /// function's name and version.
    ///
    /// This also makes the metrics of figures that only JSON lines contain, such as the response's latency in the report of a
    /// managed instance.
    #[must_use]
    pub fn with_spans(mut self, xray_lambda: bool) -> Self {
        self.aggregator = self.aggregator.with_owner(Owner::ForwarderAlone);
        if self.state.spans.is_none() {
            self.state.spans = Some(Box::new(self.new_spans(xray_lambda)));
        }
        self
    }

    fn new_spans(&self, xray_lambda: bool) -> InvocationSpans {
        InvocationSpans::of_stream(SpanOptions {
            names: self.options.names,
            xray_lambda,
            function_name: self.identity.service_name.clone(),
            function_version: self.identity.function_version.clone(),
            ..SpanOptions::default()
        })
    }

    /// Continues with what earlier deliveries said about the stream's invocations, and remembers what this one says.
    #[must_use]
    pub fn with_recent(self, recent: Arc<RecentInvocations>) -> Self {
        Self { recent: Some(recent), ..self }
    }

    /// Creates a converter whose caller makes the metrics of Lambda's events, including exhausted memory.
    #[must_use]
    pub fn counted_elsewhere(self) -> Self {
        Self { is_counted_elsewhere: true, ..self }
    }

    /// Sets that the environment is a managed instance, where a line without a request id belongs to no invocation.
    #[must_use]
    pub fn of_managed_instance(mut self) -> Self {
        self.state.window.note_concurrency();
        self
    }

    /// Sets the observed time of later lines, in nanoseconds since the Unix epoch.
    pub fn set_observed_time(&mut self, unix_nano: u64) {
        self.observed_unix_nano = unix_nano;
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The encoded [`Identity::log_resource`], created once.
    pub fn encoded_log_resource(&self) -> &[u8] {
        encoded(&self.log_resource, &self.identity)
    }
}

/// Knowledge of the caller beyond the lines that it converts.
impl Converter {
    /// Notes the trace of a span of this stream. Lambda gives every invocation an X-Ray root, traced or not; X-Ray's
    /// trace id of a line becomes its record's trace id only if a span has that trace.
    pub fn note_trace(&mut self, trace_id: [u8; 16]) {
        self.seen.add_trace(trace_id);
    }

    /// Notes a span of this stream that names its invocation. Records of the invocation without a trace get the trace and the
    /// root span of the spans that name it, or none if those belong to several traces.
    pub fn note_invocation_span(&mut self, request_id: &str, span: &SpanIds<'_>) {
        self.seen.add_invocation_span(request_id, span);
    }

    /// Notes what a span of the function says about the end of its invocation. Only an invocation that Lambda's lines name counts.
    pub fn note_span_statement(&mut self, request_id: &str, statement: FunctionStatement) {
        let request_id = request_id_of(request_id);
        let is_known = self.aggregator.knows_invocation(&request_id)
            || self.state.window.invocation_of_line(Some(&request_id))
                == LineInvocation::Running(&request_id);
        if is_known {
            self.add_statement(&request_id, statement, self.observed_unix_nano);
        }
    }

    /// Notes the start or end of an invocation in this event, for a caller that makes the log records itself.
    pub fn note_invocation_event(&mut self, platform: &PlatformEvent, one_at_a_time: bool) {
        self.end_last_words(platform, platform.time_unix_nano.unwrap_or(self.observed_unix_nano));
        self.state.window.observe(platform, one_at_a_time);
    }

    /// Notes a line of the function, for a caller of [`Self::counted_elsewhere`].
    pub fn note_printed_line(&mut self, text: &str, time_unix_nano: u64) {
        let error = RuntimeError::read(text);
        if error.is_some() || !self.state.last_words.is_empty() {
            let line = function_line(text, self.identity.is_lambda);
            self.note_runtime_line(line.request_id.as_deref(), error, time_unix_nano);
        }
    }

    /// Takes what lines said about the ends of invocations, for a caller of [`Self::counted_elsewhere`].
    pub fn take_statements(&mut self) -> Vec<InvocationStatement> {
        std::mem::take(&mut self.statements)
    }
}

/// The conversion of log events.
impl Converter {
    /// Converts a log event that is not an OTLP line.
    pub fn convert_log_event(&mut self, event: &LogEventRef<'_>) {
        // Other programs may print such lines, and only a function's log group, or one that is not known, has Lambda's.
        let may_be_lambdas = self.identity.is_lambda || self.identity.log_group.is_empty();
        let of_lambda = may_be_lambdas.then(|| platform_event(event.message)).flatten();
        let Some(mut platform) = of_lambda else { return self.convert_function_text(event) };
        self.assign_unnamed_failure(&platform, event);
        self.recall(&platform, event.time_unix_nano());
        self.end_last_words(&platform, event.time_unix_nano());
        self.observe(&mut platform, false);
        self.aggregator.add(&platform, event.time_unix_nano());
        if let Some(invocations) = &mut self.state.spans {
            invocations.observe(&platform, event.time_unix_nano());
        } else if platform.is_end_of_killed_extension() {
            // Nobody else can write this span.
            let mut alone = self.new_spans(false);
            alone.observe(&platform, event.time_unix_nano());
            self.rescued_spans.extend(alone.take_finished());
        }
        let only_marks_time = matches!(
            platform.kind,
            EventKind::Start | EventKind::End | EventKind::InitStart | EventKind::RestoreStart
        );
        if only_marks_time
            && !self.options.platform_logs_all
            && is_lambdas_to_the_end(event.message)
        {
            self.consumed.platform_lines += 1;
            return;
        }
        self.record_platform(event, &platform);
    }

    /// Handles a Telemetry API event: it sets the invocation of the next lines, and becomes a log record if Lambda writes it to
    /// the function's log too: reports, dropped logs and failures. `event.message` is the JSON of the event.
    ///
    /// `one_at_a_time` is `true` if the environment runs one invocation after the other.
    pub fn convert_platform_event(
        &mut self,
        event: &LogEventRef<'_>,
        mut platform: PlatformEvent,
        one_at_a_time: bool,
    ) {
        self.end_last_words(&platform, event.time_unix_nano());
        self.observe(&mut platform, one_at_a_time);
        let is_in_log = matches!(
            platform.kind,
            EventKind::Report | EventKind::RestoreReport | EventKind::LogsDropped
        );
        if is_in_log || platform.is_failure() {
            self.record_platform(event, &platform);
        }
    }

    /// Converts the rest of a log event around an OTLP line. It is the function's text, whatever it looks like.
    pub fn convert_function_text(&mut self, event: &LogEventRef<'_>) {
        let mut message = event.message;
        while let Some((before, line)) = RootLine::read_last(message) {
            self.note_root_line(line);
            message = before;
        }
        let is_root_line = message.is_empty() && !event.message.is_empty();
        if is_root_line {
            self.consumed.root_lines += 1;
            return;
        }
        let event = &LogEventRef { message, ..*event };
        if event.message.bytes().all(|byte| byte.is_ascii_whitespace()) {
            self.consumed.empty_lines += 1;
            return;
        }
        match json_lines(event.message) {
            Some(objects) if self.may_divide(event, objects.len()) => {
                self.convert_objects(event, objects);
            }
            _ => self.convert_line(event),
        }
    }

    /// Returns `true` if the memory for so many records of one log event is left.
    fn may_divide(&mut self, event: &LogEventRef<'_>, records: usize) -> bool {
        let record_bytes = RECORD_BYTES.saturating_add(event.id.len());
        let bytes = records.saturating_mul(record_bytes) + event.message.len();
        let left = self.max_divided_bytes.saturating_sub(self.divided.bytes);
        let may_divide = bytes <= left.min(MAX_DIVIDED_BYTES);
        if may_divide {
            self.divided.bytes += bytes;
        } else {
            self.divided.undivided += 1;
        }
        may_divide
    }

    #[cold]
    #[inline(never)]
    fn convert_objects(&mut self, event: &LogEventRef<'_>, objects: Vec<&str>) {
        for (at, object) in objects.into_iter().enumerate() {
            // The first record keeps the id of the log event; ids are unique.
            let id = if at == 0 || event.id.is_empty() {
                event.id.to_owned()
            } else {
                format!("{}.{at}", event.id)
            };
            self.convert_line(&LogEventRef { id: &id, message: object, ..*event });
        }
    }

    /// Converts a claimed OTLP line that did not decode to one log record.
    pub fn convert_undecodable(&mut self, event: &LogEventRef<'_>, undecodable: &Undecodable<'_>) {
        let observed_unix_nano = self.observed_unix_nano;
        let undecodable = UndecodableRecord { event, undecodable, observed_unix_nano };
        self.line_records.push(|record| undecodable.write(&self.state.window, record));
    }

    #[inline]
    fn convert_line(&mut self, event: &LogEventRef<'_>) {
        let plain = without_colours(event.message);
        let line = function_line(&plain, self.identity.is_lambda);
        if line.is_joined
            && let Some(objects) = joined_objects(event.message)
            && self.may_divide(event, objects.len())
        {
            return self.convert_objects(event, objects);
        }
        let emf = line.json.and_then(|json| emf_line::parse(json, line.emf_fields.as_ref()));
        let line_record = LineRecord {
            event,
            line: &line,
            identity: &self.identity,
            has_metrics: emf.as_ref().is_some_and(|line| !line.metrics.is_empty()),
            observed_unix_nano: self.observed_unix_nano,
        };
        self.line_records.push(|record| line_record.write(&mut self.state.window, record));
        if !self.is_counted_elsewhere {
            self.note_failures(event, &line, &plain);
        }
        if let Some(metrics) = emf {
            self.emf.add(metrics, record_time(event, line.time));
        }
    }

    /// Notes the failure and the exhausted memory that a runtime's line states. `plain` is the line without colours.
    #[inline]
    fn note_failures(&mut self, event: &LogEventRef<'_>, line: &FunctionLine<'_>, plain: &str) {
        let is_error =
            line.severity.is_some_and(|severity| severity.number >= Severity::ERROR.number);
        let may_be_error = is_error || RuntimeError::may_lack_a_level(plain);
        let error = if may_be_error { RuntimeError::read(plain) } else { None };
        if error.is_some() || !self.state.last_words.is_empty() {
            self.note_runtime_line(line.request_id.as_deref(), error, event.time_unix_nano());
        }
        if is_out_of_memory(event.message) {
            let request_id = line.request_id.as_deref().or(self.state.window.request_id());
            self.aggregator.add_out_of_memory(request_id, event.time_unix_nano());
        }
    }

    /// Notes the root span of a root line, which only managed instances have.
    fn note_root_line(&mut self, line: RootLine<'_>) {
        let RootLine { request_id, trace_id, span_id } = line;
        self.state.window.note_concurrency();
        self.seen.add_trace(trace_id);
        let root = SpanIds {
            request_id: Some(request_id),
            trace_id,
            span_id,
            parent_span_id: None,
            is_entry: true,
            start_unix_nano: 0,
            error: None,
            is_complete_root_of_ours: false,
        };
        self.seen.add_invocation_span(request_id, &root);
    }

    /// Notes the start or end of an event's invocation, and its tenant.
    fn observe(&mut self, platform: &mut PlatformEvent, one_at_a_time: bool) {
        let tenant_id = take_tenant_id(platform);
        self.state.window.observe(platform, one_at_a_time);
        // Lambda names the tenant at a request's start and in its report; on any other line the function may have written it.
        let names_tenant = matches!(platform.kind, EventKind::Start | EventKind::Report);
        if let Some(request_id) = platform.request_id.as_ref().filter(|_| names_tenant) {
            let facts = Facts { tenant_id: tenant_id.as_deref(), ..Facts::default() };
            self.state.window.note_facts(request_id, facts, platform.kind == EventKind::Report);
        }
    }

    fn record_platform(&mut self, event: &LogEventRef<'_>, platform: &PlatformEvent) {
        let observed_unix_nano = self.observed_unix_nano;
        let platform_record = PlatformRecord { event, platform, observed_unix_nano };
        self.platform_records.push(|record| platform_record.write(&self.state.window, record));
    }

    /// Notes a line of the function, which names this request id, and perhaps is the runtime's own one about a failure.
    #[cold]
    #[inline(never)]
    fn note_runtime_line(
        &mut self,
        named: Option<&str>,
        error: Option<RuntimeError>,
        time_unix_nano: u64,
    ) {
        let window = &self.state.window;
        if let Some(request_id) = named.or(window.request_id()) {
            self.state.last_words.remove(request_id);
        }
        let Some(RuntimeError { request_id, failure, proof }) = error else { return };
        match (window.invocation_of_line(request_id.as_deref()), proof) {
            (LineInvocation::Running(request_id), Proof::Certain) => {
                let request_id = request_id.to_owned();
                let statement = FunctionStatement::RuntimeLine(failure);
                self.add_statement(&request_id, statement, time_unix_nano);
            }
            (LineInvocation::Running(request_id), Proof::IfLast) => {
                self.state.last_words.insert(request_id.to_owned(), failure);
            }
            (LineInvocation::Unknown, Proof::Certain) => {
                self.state.unnamed_failure.get_or_insert(failure);
            }
            (LineInvocation::Unknown | LineInvocation::None, _) => {}
        }
    }

    /// Counts the runtime's line after which the invocation of this event printed nothing more.
    fn end_last_words(&mut self, platform: &PlatformEvent, time_unix_nano: u64) {
        if self.state.last_words.is_empty() {
            return;
        }
        let Some(request_id) = &platform.request_id else { return };
        let is_end =
            matches!(platform.kind, EventKind::End | EventKind::RuntimeDone | EventKind::Report);
        if let Some(failure) = self.state.last_words.remove(request_id).filter(|_| is_end) {
            let statement = FunctionStatement::RuntimeLine(failure);
            self.add_statement(request_id, statement, time_unix_nano);
        }
    }

    /// Adds what earlier deliveries said about the invocation of a report whose start is not in this one.
    fn recall(&mut self, platform: &PlatformEvent, time_unix_nano: u64) {
        let Some(recent) = &self.recent else { return };
        let Some(request_id) = &platform.request_id else { return };
        match platform.kind {
            EventKind::Start => recent.forget(&self.identity, request_id),
            EventKind::Report => {
                let is_known = self.state.window.invocation_of_line(Some(request_id))
                    == LineInvocation::Running(request_id);
                let earlier = if is_known { None } else { recent.find(&self.identity, request_id) };
                let Some(EarlierFacts { has_span, counted_failure }) = earlier else { return };
                if has_span {
                    self.seen.add_earlier_root(request_id);
                }
                if let Some(failure) = counted_failure {
                    if let Some(invocations) = &mut self.state.spans {
                        let statement = FunctionStatement::RuntimeLine(failure.clone());
                        invocations.note_early_statement(request_id, statement, time_unix_nano);
                    }
                    self.aggregator.add_counted_failure(request_id, failure, time_unix_nano);
                }
            }
            _ => {}
        }
    }

    /// Remembers what this delivery says about invocations whose report it does not have.
    fn remember(&self, open: &OpenInvocations) {
        let Some(recent) = &self.recent else { return };
        for (request_id, failure) in counted_failures(open) {
            recent.remember(&self.identity, request_id, |facts| {
                facts.counted_failure = Some(failure);
            });
        }
        if self.state.spans.is_some() {
            for request_id in self.seen.with_root().filter(|id| !is_reported(open, id)) {
                recent.remember(&self.identity, request_id, |facts| facts.has_span = true);
            }
        }
    }

    /// Assigns a runtime's line before the first start to the invocation of the first report. A start means that an init phase printed
    /// the line.
    fn assign_unnamed_failure(&mut self, platform: &PlatformEvent, event: &LogEventRef<'_>) {
        if self.state.unnamed_failure.is_none() {
            return;
        }
        match (&platform.kind, &platform.request_id) {
            (EventKind::Start, _) => self.state.unnamed_failure = None,
            (EventKind::Report, Some(request_id)) => {
                if let Some(failure) = self.state.unnamed_failure.take() {
                    let statement = FunctionStatement::RuntimeLine(failure);
                    self.add_statement(request_id, statement, event.time_unix_nano());
                }
            }
            _ => {}
        }
    }

    fn add_statement(
        &mut self,
        request_id: &str,
        statement: FunctionStatement,
        time_unix_nano: u64,
    ) {
        if self.is_counted_elsewhere {
            let request_id = request_id.to_owned();
            self.statements.push(InvocationStatement { request_id, statement, time_unix_nano });
            return;
        }
        if let Some(invocations) = &mut self.state.spans {
            invocations.note_statement(request_id, statement.clone());
        }
        self.aggregator.add_statement(request_id, statement, time_unix_nano);
    }
}

/// The result.
impl Converter {
    /// Returns the OTLP of all events. [`ConvertedLines::state`] keeps the next chunk from counting an invocation twice.
    pub fn finish(mut self) -> ConvertedLines {
        let (platform_metrics, open) = self.aggregator.finish_chunk();
        self.remember(&open);
        self.state.open = open;
        self.complete_records();
        let spans = self.take_spans();
        self.state.window.end_chunk();
        let dropped_values = self.emf.dropped_values();
        let scopes = [
            (scope("lambda-otlp/logs"), self.line_records),
            (scope(names::PLATFORM_SCOPE), self.platform_records),
        ];
        let resource = || encoded(&self.log_resource, &self.identity);
        let logs = records::request(resource, scopes, &self.seen);
        self.state.traced = self.seen.take_needed(self.state.window.running());
        ConvertedLines {
            logs,
            metrics: metrics_of(&self.identity, platform_metrics, self.emf.into_metrics()),
            spans,
            consumed: self.consumed,
            dropped_values,
            divided: self.divided,
            state: self.state,
        }
    }

    /// Adds facts about their invocations to the records, from later lines. If several invocations run at a time, takes the assumed
    /// invocation away from records whose lines name none.
    fn complete_records(&mut self) {
        let window = &self.state.window;
        if window.has_late_facts {
            for records in [&mut self.line_records, &mut self.platform_records] {
                records.add_fields(|record| window.missing_facts(record));
            }
        }
        if window.is_concurrent() {
            let facts = window.attributes_of_all();
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
        if let Some(invocations) = &mut self.state.spans {
            spans.extend(invocations.take_finished());
        }
        // An invocation has one root. The function, the library or the layer knows more about it.
        let seen = &self.seen;
        spans.retain(|span| {
            let request_id = text(&span.attributes, names::FAAS_INVOCATION_ID);
            !request_id.is_some_and(|request_id| seen.has_root(request_id))
        });
        if spans.is_empty() {
            return None;
        }
        for span in &mut spans {
            self.seen.add_own(span);
            let request_id = text(&span.attributes, names::FAAS_INVOCATION_ID);
            let facts = self.state.window.facts_of(request_id);
            span.attributes.extend(facts.attributes().map(|(key, word)| string(key, word)));
        }
        Some(resource_spans(self.identity.log_resource(), names::PLATFORM_SCOPE, spans))
    }

    /// The failed invocations of this stream so far. Spans that ended before the failure lack it.
    pub fn failures(&self) -> BTreeMap<&str, Failure> {
        self.aggregator.failures().collect()
    }

    /// Returns `true` if [`Self::note_trace`] may still change a record: one has X-Ray's trace id and no other.
    pub fn awaits_traces(&self) -> bool {
        self.line_records.awaits_traces() || self.platform_records.awaits_traces()
    }

    /// Returns `true` if [`Self::note_invocation_span`] may still change a record or a span: a record has an invocation and no trace
    /// id, or spans of invocations are enabled.
    pub fn awaits_spans(&self) -> bool {
        self.state.spans.is_some()
            || self.line_records.awaits_spans()
            || self.platform_records.awaits_spans()
    }

    /// The invocation of the next line, if the line names none.
    pub fn request_id(&self) -> Option<&str> {
        self.state.window.request_id()
    }

    /// Size in bytes of the log records and embedded metrics that wait for [`Self::finish`].
    pub fn waiting_bytes(&self) -> usize {
        self.record_bytes() + self.emf.bytes
    }

    /// Size in bytes of the log records that wait for [`Self::finish`].
    pub fn record_bytes(&self) -> usize {
        self.line_records.bytes() + self.platform_records.bytes()
    }
}

fn encoded<'r>(resource: &'r OnceCell<Vec<u8>>, identity: &Identity) -> &'r [u8] {
    resource.get_or_init(|| identity.log_resource().encode_to_vec())
}

/// Moves the tenant, `tenantId` in JSON lines, from the other fields to the invocation.
///
/// Source: Lambda Developer Guide, "Monitoring tenant-isolated functions".
fn take_tenant_id(platform: &mut PlatformEvent) -> Option<String> {
    let is_tenant = |key: &str| matches!(key, "tenantId" | "TenantId" | "Tenant ID");
    let mut other = platform.other.iter();
    let at = other.position(|(key, value)| is_tenant(key) && is_tenant_id(value))?;
    let (_, tenant_id) = platform.other.remove(at);
    Some(tenant_id)
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

#[cfg(test)]
mod tests;
