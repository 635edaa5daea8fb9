//! Converts the log events of one log stream into one `ResourceLogs`, one `ResourceMetrics` and, if enabled, one `ResourceSpans`.
//!
//! - `REPORT` and other lines of Lambda with figures or failures: metrics, and one log record each.
//! - `START`, `END`, `INIT_START`, `RESTORE_START`: nothing, unless log records of them are enabled.
//! - A runtime's message about exhausted memory: `aws.lambda.out_of_memory`, once per invocation, and one log record.
//! - A runtime's line about a failed invocation: `faas.errors`, once per invocation, and one log record. If the library has written a
//!   record of that error, the line makes none.
//! - A line in the embedded metric format: metrics, and one log record.
//! - A root line of the library or the layer: nothing. It names the root span of an invocation.
//! - A log event of a state machine: one log record, with the trace of its execution. All events of an Express execution: its spans.
//! - An empty line: nothing. Runtimes that write one log event per line print them around panics and stack traces.
//! - Any other line: one log record.
//!
//! The caller decodes OTLP lines, and reports undecodable ones here.

mod result;
mod statements;

pub use statements::InvocationStatement;

use crate::event::{EventKind, PlatformEvent};
use crate::executions::log_line::{self, HistoryLine};
use crate::executions::logged::LoggedExecutions;
use crate::identity::Identity;
use crate::invocations::{Facts, Invocations};
use crate::logs::records::Records;
use crate::logs::{
    LineRecord, LogEventRef, PlatformRecord, Undecodable, UndecodableRecord, record_time,
};
use crate::metrics::aggregator::{Aggregator, Owner};
use crate::metrics::emf::line as emf_line;
use crate::metrics::emf::points::EmfPoints;
use crate::options::{PlatformOptions, SpanOptions};
use crate::read::line::{function_line, is_tenant_id, joined_objects, json_lines};
use crate::read::platform_event;
use crate::read::severity::without_colours;
use crate::read::whole_line::is_lambdas_to_the_end;
use crate::recent::RecentInvocations;
use opentelemetry_proto::tonic::metrics::v1::ResourceMetrics;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use statements::ErrorRecords;
use std::cell::OnceCell;
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
    /// The traces of Express state machines' executions.
    pub executions: Vec<Request>,
    /// Number of values missing from the metrics: no numbers, or beyond a limit of the embedded metric format.
    pub dropped_values: usize,
    pub divided: Divided,
    /// What the stream's next chunk needs.
    pub state: ConverterState,
}

/// What a stream's next chunk needs: its invocations, and the executions of a state machine that lack events.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConverterState {
    invocations: Invocations,
    executions: LoggedExecutions,
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
    /// The runtime's lines about errors of which the library wrote a record.
    pub repeated_errors: usize,
}

/// Converts the log events of one log stream in their order.
#[derive(Debug)]
pub struct Converter {
    identity: Identity,
    log_resource: OnceCell<Vec<u8>>,
    options: PlatformOptions,
    observed_unix_nano: u64,
    invocations: Invocations,
    executions: LoggedExecutions,
    aggregator: Aggregator,
    /// `true` if the caller makes the metrics of Lambda's events.
    is_counted_elsewhere: bool,
    /// The statements for this caller.
    statements: Vec<InvocationStatement>,
    errors: ErrorRecords,
    /// What earlier deliveries said, for a caller that has some.
    recent: Option<Arc<RecentInvocations>>,
    /// The spans of invocations whose extension was killed, although spans are disabled.
    rescued_spans: Vec<Span>,
    emf: EmfPoints,
    platform_records: Records,
    line_records: Records,
    consumed: ConsumedLines,
    divided: Divided,
    max_divided_bytes: usize,
}

/// Limit on the records made of the JSON lines of one log event. Without one, 250 kB would make 83,000 records.
const MAX_DIVIDED_BYTES: usize = 4 * 1024 * 1024;

/// A state machine's event is a day old at most when Step Functions logs it; another time is none of its own.
const LATEST_MACHINE_EVENT_MS: u64 = 24 * 60 * 60 * 1000;

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
            invocations: Invocations::default(),
            executions: LoggedExecutions::default(),
            aggregator: Aggregator::new(options.shape, options.names),
            is_counted_elsewhere: false,
            statements: Vec::new(),
            errors: ErrorRecords::default(),
            recent: None,
            rescued_spans: Vec::new(),
            emf: EmfPoints::new(options.shape),
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

    /// Continues with what the stream's last chunk left.
    #[must_use]
    pub fn with_state(self, state: ConverterState) -> Self {
        let ConverterState { invocations, executions } = state;
        Self { invocations, executions, ..self }
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
        if !self.invocations.makes_spans() {
            let options = self.span_options(xray_lambda);
            self.invocations.make_spans_of_reports(options);
        }
        self
    }

    fn span_options(&self, xray_lambda: bool) -> SpanOptions {
        SpanOptions {
            names: self.options.names,
            xray_lambda,
            function_name: self.identity.service_name.clone(),
            function_version: self.identity.function_version.clone(),
            ..SpanOptions::default()
        }
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
        self.invocations.note_concurrency();
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
        result::encoded(&self.log_resource, &self.identity)
    }
}

/// Knowledge of the caller beyond the lines that it converts.
impl Converter {
    /// Notes the trace of a span of this stream. Lambda gives every invocation an X-Ray root, traced or not; X-Ray's
    /// trace id of a line becomes its record's trace id only if a span has that trace.
    pub fn note_trace(&mut self, trace_id: [u8; 16]) {
        self.invocations.add_trace(trace_id);
    }

    /// Notes a span of this stream that names its invocation. Records of the invocation without a trace get the trace and the
    /// root span of the spans that name it, or none if those belong to several traces.
    pub fn note_invocation_span(&mut self, request_id: &str, span: &SpanIds<'_>) {
        self.invocations.add_span(request_id, span);
    }

    /// Notes the start or end of an invocation in this event, for a caller that makes the log records itself.
    pub fn note_invocation_event(&mut self, platform: &PlatformEvent, one_at_a_time: bool) {
        self.end_last_words(platform, platform.time_unix_nano.unwrap_or(self.observed_unix_nano));
        self.invocations.note_start_or_end(platform, one_at_a_time);
    }
}

/// The conversion of log events.
impl Converter {
    /// Converts a log event that is not an OTLP line.
    pub fn convert_log_event(&mut self, event: &LogEventRef<'_>) {
        // Other programs may print such lines, and only a function's log group, or one that is not known, has Lambda's.
        let may_be_lambdas = self.identity.is_lambda || self.identity.log_group.is_empty();
        let of_lambda = may_be_lambdas.then(|| platform_event(event.message)).flatten();
        let Some(mut platform) = of_lambda else {
            return match self.identity.state_machine {
                Some(_) if !may_be_lambdas => self.convert_machine_line(event),
                _ => self.convert_function_text(event),
            };
        };
        self.assign_unnamed_failure(&platform, event);
        self.recall(&platform, event.time_unix_nano());
        self.end_last_words(&platform, event.time_unix_nano());
        self.observe(&mut platform, false);
        self.aggregator.add(&mut self.invocations, &platform, event.time_unix_nano());
        if self.invocations.makes_spans() {
            self.invocations.add_event(&platform, event.time_unix_nano());
        } else if platform.is_end_of_killed_extension() {
            self.rescue_span(&platform, event.time_unix_nano());
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

    /// Writes the span of an invocation whose extension was killed: nobody else can.
    #[cold]
    fn rescue_span(&mut self, report: &PlatformEvent, time_unix_nano: u64) {
        let mut alone = Invocations::default();
        alone.make_spans_of_reports(self.span_options(false));
        alone.note_evidence(report, time_unix_nano);
        alone.add_event(report, time_unix_nano);
        self.rescued_spans.extend(alone.take_finished());
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
        self.line_records.push(|record| undecodable.write(&self.invocations, record));
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
        self.line_records.push(|record| line_record.write(&mut self.invocations, record));
        if !self.is_counted_elsewhere {
            self.note_failures(event, &line, &plain);
        }
        if let Some(metrics) = emf {
            self.emf.add(metrics, record_time(event, line.time));
        }
    }

    /// Converts a log event of a state machine's stream.
    #[cold]
    #[inline(never)]
    fn convert_machine_line(&mut self, event: &LogEventRef<'_>) {
        let budget = self.executions.text_budget();
        let read = log_line::read(&self.identity, event.message, budget);
        let Some(HistoryLine { time_ms, line, express }) = read else {
            return self.convert_function_text(event);
        };
        let is_near = time_ms.abs_diff(event.time_ms) <= LATEST_MACHINE_EVENT_MS;
        if let Some(express) = express.filter(|_| is_near) {
            self.executions.add(*express);
        }
        let time_ms = if is_near { time_ms } else { event.time_ms };
        let event = &LogEventRef { time_ms, ..*event };
        let line_record = LineRecord {
            event,
            line: &line,
            identity: &self.identity,
            has_metrics: false,
            observed_unix_nano: self.observed_unix_nano,
        };
        self.line_records.push(|record| line_record.write(&mut self.invocations, record));
    }

    /// Notes the root span of a root line, which only managed instances have.
    fn note_root_line(&mut self, line: RootLine<'_>) {
        let RootLine { request_id, trace_id, span_id } = line;
        self.invocations.note_concurrency();
        self.invocations.add_trace(trace_id);
        let root = SpanIds {
            request_id: Some(request_id),
            trace_id,
            span_id,
            parent_span_id: None,
            is_entry: true,
            start_unix_nano: 0,
            error: None,
            complete_root_of: None,
        };
        self.invocations.add_span(request_id, &root);
    }

    /// Notes the start or end of an event's invocation, and its tenant.
    fn observe(&mut self, platform: &mut PlatformEvent, one_at_a_time: bool) {
        let tenant_id = take_tenant_id(platform);
        self.invocations.note_start_or_end(platform, one_at_a_time);
        // Lambda names the tenant at a request's start and in its report; on any other line the function may have written it.
        let names_tenant = matches!(platform.kind, EventKind::Start | EventKind::Report);
        if let Some(request_id) = platform.request_id.as_ref().filter(|_| names_tenant) {
            let facts = Facts { tenant_id: tenant_id.as_deref(), ..Facts::default() };
            self.invocations.note_facts(request_id, facts, platform.kind == EventKind::Report);
        }
    }

    fn record_platform(&mut self, event: &LogEventRef<'_>, platform: &PlatformEvent) {
        let observed_unix_nano = self.observed_unix_nano;
        let platform_record = PlatformRecord { event, platform, observed_unix_nano };
        self.platform_records.push(|record| platform_record.write(&self.invocations, record));
    }
}

/// What the caller asks.
impl Converter {
    /// Returns `true` if [`Self::note_trace`] may still change a record: one has X-Ray's trace id and no other.
    pub fn awaits_traces(&self) -> bool {
        self.line_records.awaits_traces() || self.platform_records.awaits_traces()
    }

    /// Returns `true` if [`Self::note_invocation_span`] may still change a record or a span: a record has an invocation and no trace
    /// id, or spans of invocations are enabled.
    pub fn awaits_spans(&self) -> bool {
        self.invocations.makes_spans()
            || self.line_records.awaits_spans()
            || self.platform_records.awaits_spans()
    }

    /// The invocation of the next line, if the line names none.
    pub fn request_id(&self) -> Option<&str> {
        self.invocations.only_running()
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

#[cfg(test)]
mod tests;
