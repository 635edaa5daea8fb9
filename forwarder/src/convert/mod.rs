//! Converts the log events of one batch to OTLP requests.

mod envelope;
mod failed_spans;
mod stack_traces;

use crate::ledger::{Consumed, Ledger};
use crate::source::{LogBatch, LogEvent, Origin};
use envelope::EnvelopeResource;
use failed_spans::mend_spans;
use platform::{
    Converter, FunctionStatement, Identity, RecentInvocations, SPANS_LOG_GROUP, Segments, SpanLine,
    Undecodable,
};
use stack_traces::StackTrace;
use std::sync::Arc;
use wire::{
    Joined, Limits, LineReading, Metrics, Rejoin, Request, RootLine, Signal, Traces,
    UndecodableLine, read_line_of,
};

#[derive(Clone, Copy, Debug, Default)]
pub struct ConvertOptions {
    pub platform: platform::PlatformOptions,
    /// Creates the span of each invocation, for functions without the layer and the library.
    pub platform_spans: Option<PlatformSpans>,
}

/// Options for the span of an invocation made from Lambda's lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlatformSpans {
    /// `true` if X-Ray's header names the parent.
    pub xray_lambda: bool,
}

/// Size of decoded requests and of log records that ends a chunk: a line of a few kilobytes may inflate to
/// [`Limits::inflated_bytes`].
const MAX_DECODED_BYTES: usize = 8 * 1024 * 1024;

/// Limit on the records made of log events with several JSON lines, in one event.
const MAX_EVENT_DIVIDED_BYTES: usize = 64 * 1024 * 1024;

/// Memory of an undecodable line in addition to its text: a log record, and the id of its log event.
const UNDECODABLE_BYTES: usize = 1024;

/// Limit on the items of all lines of one event.
const MAX_EVENT_ITEMS: usize = 250_000;

/// Limit on the requests of all lines of one event, dozens of times the usual size. An event may contain thousands of lines of 20
/// kB that inflate to 16 MB each.
const MAX_EVENT_BYTES: usize = 256 * 1024 * 1024;

/// The result of converting the first log events of a batch.
#[derive(Debug, Default)]
pub struct Converted {
    /// Number of converted log events. Less than the batch if they decoded to very much.
    pub event_count: usize,
    /// Validated requests of all signals, not merged.
    pub requests: Vec<Request>,
    /// Size of the requests and the undecodable lines.
    pub decoded_bytes: usize,
    /// Service name for telemetry without one.
    pub service_name: String,
    /// Log events and consumed log events. The pipeline counts items.
    pub ledger: Ledger,
    pub undecodable: Vec<UndecodableEvent>,
    /// Values of embedded metrics without a data point: implausible, or over a limit.
    pub dropped_figures: usize,
    pub state: StreamState,
}

/// An undecodable OTLP line.
#[derive(Debug)]
pub struct UndecodableEvent {
    /// Its log event, with the text of the line as the message.
    pub event: LogEvent,
    /// The line without its text.
    pub line: UndecodableLine,
}

impl Converted {
    /// Adds a request that has items.
    fn add(&mut self, request: Request) {
        if request.items() > 0 {
            self.decoded_bytes += request.bytes().len();
            self.requests.push(request);
        }
    }
}

/// The state of a stream between two calls of [`convert`].
#[derive(Debug, Default)]
pub struct StreamState {
    converter: platform::ConverterState,
    /// A split line whose end is missing.
    rejoin: Rejoin,
    /// The log events of that line. No ledger has counted them.
    held: Vec<LogEvent>,
    origin: Origin,
    /// `true` after the last log event of the stream: no line is held any longer.
    has_ended: bool,
    totals: EventTotals,
    /// What earlier events said about invocations.
    recent: Arc<RecentInvocations>,
}

/// The counts of one event that have a limit.
#[derive(Clone, Copy, Debug, Default)]
struct EventTotals {
    /// Items of OTLP lines.
    items: usize,
    /// Bytes of their requests.
    bytes: usize,
    /// Bytes of undecodable lines.
    refused_bytes: usize,
    /// Bytes of the records of log events with several JSON lines.
    divided_bytes: usize,
}

impl StreamState {
    /// The initial state of the event's next stream.
    #[must_use]
    pub(crate) fn next_stream(&self) -> Self {
        Self { totals: self.totals, recent: Arc::clone(&self.recent), ..Self::default() }
    }

    /// The state at the beginning of an event, in a forwarder that remembers these invocations.
    pub(crate) fn with_recent(recent: Arc<RecentInvocations>) -> Self {
        Self { recent, ..Self::default() }
    }

    /// Returns `true` if log events of this origin continue the stream.
    pub fn continues_with(&self, origin: &Origin) -> bool {
        self.origin == *origin || self.origin == Origin::default()
    }

    /// The log events that wait for the end of their line.
    pub fn held(&self) -> &[LogEvent] {
        &self.held
    }

    /// Ends the stream. Returns the log events that still wait for the end of their line. Converted again, they are read one by
    /// one.
    pub fn end(&mut self) -> Option<LogBatch> {
        self.has_ended = true;
        self.rejoin = Rejoin::default();
        let events = std::mem::take(&mut self.held);
        let origin = self.origin.clone();
        (!events.is_empty()).then(|| LogBatch { origin, events, ..LogBatch::default() })
    }
}

/// Converts log events of one stream in order. Stops early if they decode to very much.
///
/// `state` is the state after the stream's previous log events. `service_name` overrides the name derived from log group and log
/// stream.
pub fn convert(
    origin: &Origin,
    events: &[LogEvent],
    mut state: StreamState,
    options: &ConvertOptions,
    service_name: Option<&str>,
    observed_unix_nano: u64,
) -> Converted {
    let mut identity = origin.identity();
    if let Some(name) = service_name {
        name.clone_into(&mut identity.service_name);
    }
    if state.origin != *origin {
        state.origin = origin.clone();
    }
    let held_before = state.held.len();
    let mut stream = StreamConversion::begin(identity, state, *options, observed_unix_nano);
    // Only the envelope decides, so that a function cannot forge spans of other services.
    let has_span_lines = origin.log_group == SPANS_LOG_GROUP;
    for event in events {
        if has_span_lines {
            stream.convert_span_line(event);
        } else {
            stream.convert_event(event);
        }
        stream.converted.event_count += 1;
        if stream.is_chunk_full() {
            break;
        }
    }
    stream.end_stack_trace();
    stream.name_subsegments();
    stream.note_spans();
    let mut converted = stream.finish();
    // A log event that waits for the end of its line counts once the line is converted.
    converted.ledger.events = held_before + converted.event_count - converted.state.held.len();
    converted
}

/// A message that makes the conversion panic, for tests. No real input is known to.
#[cfg(test)]
pub(crate) const PANICS: &str = "panic";

/// The conversion of log events of one stream.
struct StreamConversion<'e> {
    /// Created for the first OTLP line.
    envelope: Option<EnvelopeResource>,
    /// Converts all lines that are not OTLP lines.
    converter: Converter,
    state: StreamState,
    converted: Converted,
    /// The stack trace whose further lines may follow.
    stack_trace: Option<StackTrace<'e>>,
    /// X-Ray segments of the chunk.
    segments: Segments,
    /// Positions of requests with subsegments that name no service.
    subsegments: Vec<usize>,
}

impl<'e> StreamConversion<'e> {
    fn begin(
        identity: Identity,
        mut state: StreamState,
        options: ConvertOptions,
        observed_unix_nano: u64,
    ) -> Self {
        let service_name = identity.service_name.clone();
        let max_divided_bytes = MAX_EVENT_DIVIDED_BYTES.saturating_sub(state.totals.divided_bytes);
        let mut converter = Converter::new(identity, options.platform, observed_unix_nano)
            .with_state(std::mem::take(&mut state.converter))
            .with_recent(Arc::clone(&state.recent))
            .with_most_divided_bytes(max_divided_bytes);
        if let Some(PlatformSpans { xray_lambda }) = options.platform_spans {
            converter = converter.with_spans(xray_lambda);
        }
        Self {
            envelope: None,
            converter,
            state,
            converted: Converted { service_name, ..Converted::default() },
            stack_trace: None,
            segments: Segments::default(),
            subsegments: Vec::new(),
        }
    }

    /// Returns `true` if the chunk ends. A stack trace, which is short, stays whole. Embedded metrics do not count: they have a
    /// limit of their own on each chunk, which more chunks would weaken.
    fn is_chunk_full(&self) -> bool {
        let is_in_stack_trace = self.stack_trace.as_ref().is_some_and(StackTrace::has_begun);
        let bytes = self.converted.decoded_bytes + self.converter.record_bytes();
        !is_in_stack_trace && bytes >= MAX_DECODED_BYTES
    }

    /// Gives the converter the spans of the OTLP lines, and sets the status of those whose failure it has read.
    fn note_spans(&mut self) {
        let Self { converter, converted, .. } = self;
        if converter.awaits_traces() {
            for request in &converted.requests {
                request.each_trace_id(&mut |trace_id| converter.note_trace(trace_id));
            }
        }
        if converter.awaits_spans() {
            for request in &converted.requests {
                request.each_invocation_span(&mut |id, span| {
                    converter.note_invocation_span(id, &span);
                    if let Some(statement) = FunctionStatement::from_span(&span) {
                        converter.note_span_statement(id, statement);
                    }
                });
            }
        }
        if converter.awaits_error_records() {
            for request in &converted.requests {
                request.each_error_of_library(&mut |id, error| {
                    converter.note_error_record(id, &error);
                });
            }
        }
        mend_spans(&mut converted.requests, &converter.failures());
    }

    /// Adds the telemetry of the other lines.
    fn finish(self) -> Converted {
        let Self { converter, mut state, mut converted, .. } = self;
        let lines = converter.finish();
        let platform::ConsumedLines { platform_lines, root_lines, empty_lines, repeated_errors } =
            lines.consumed;
        converted.ledger.consumed += Consumed {
            platform_lines,
            root_lines,
            empty_lines,
            repeated_errors,
            ..Consumed::default()
        };
        converted.dropped_figures = lines.dropped_values;
        converted.ledger.undivided = lines.divided.undivided;
        state.totals.divided_bytes += lines.divided.bytes;
        state.converter = lines.state;
        converted.state = state;
        let metrics = lines
            .metrics
            .map(|metrics| Request::encode::<Metrics>(&Metrics::request(vec![metrics])));
        let spans =
            lines.spans.map(|spans| Request::encode::<Traces>(&Traces::request(vec![spans])));
        let requests = lines.logs.into_iter().chain(metrics).chain(spans).chain(lines.executions);
        for request in requests {
            converted.add(request);
        }
        converted
    }

    /// The limits on the next line.
    fn limits(&self) -> Limits {
        let limits = Limits::default();
        let EventTotals { items, bytes, refused_bytes, .. } = self.state.totals;
        Limits {
            items: limits.items.min(MAX_EVENT_ITEMS.saturating_sub(items)),
            inflated_bytes: limits.inflated_bytes.min(MAX_EVENT_BYTES.saturating_sub(bytes)),
            refused_bytes: limits.refused_bytes.saturating_sub(refused_bytes),
            ..limits
        }
    }

    fn read(&self, event: &LogEvent) -> Option<LineReading> {
        let context = self.converter.identity().line_context();
        read_line_of(&event.message, &context, &self.limits())
    }

    /// Converts a log event, which may be a piece of a split line.
    fn convert_event(&mut self, event: &'e LogEvent) {
        #[cfg(test)]
        assert_ne!(event.message, PANICS);
        if self.state.rejoin.is_waiting() {
            let context = self.converter.identity().line_context();
            let limits = self.limits();
            match self.state.rejoin.go_on(&event.message, &context, &limits) {
                Joined::More => {
                    self.state.held.push(event.clone());
                    return;
                }
                Joined::Whole(line) => {
                    let held = std::mem::take(&mut self.state.held);
                    // The first log event stands for the line; the others have no item.
                    self.converted.ledger.consumed.line_pieces += held.len();
                    self.convert_otlp_line(held.first().unwrap_or(event), line);
                    return;
                }
                Joined::Broken { refused_bytes } => {
                    self.state.totals.refused_bytes += refused_bytes;
                    self.end_stack_trace();
                    for held in std::mem::take(&mut self.state.held) {
                        let line = self.read(&held);
                        self.convert_piece(&held, line);
                    }
                }
            }
        }
        let line = self.read(event);
        if self.state.has_ended {
            self.convert_piece(event, line);
            return;
        }
        let Some(line) = line else {
            self.convert_text(event);
            return;
        };
        let waits_for_pieces = self.state.rejoin.begin(&event.message, &line);
        if waits_for_pieces {
            self.state.held.push(event.clone());
        } else {
            self.convert_otlp_line(event, line);
        }
    }

    /// Converts a piece of a line whose end is missing. Only the first piece has the marker of an OTLP line.
    fn convert_piece(&mut self, event: &LogEvent, line: Option<LineReading>) {
        if let Some(line) = line {
            self.convert_otlp_line(event, line);
        } else {
            let text = wire::without_headers(&event.message);
            self.converter.convert_log_event(&log_event(event, &text));
        }
    }

    /// Converts plain text, which may be part of a stack trace.
    fn convert_text(&mut self, event: &'e LogEvent) {
        // Another invocation's root line may come between the lines of a stack trace.
        if RootLine::read(&event.message).is_some() {
            self.converter.convert_function_text(&log_event(event, &event.message));
            return;
        }
        if self.stack_trace.as_mut().is_some_and(|trace| trace.try_add(event)) {
            return;
        }
        let is_empty_line = event.message.trim_ascii().is_empty();
        // An empty line ends no trace: Go prints one between a panic and its frames.
        if !is_empty_line {
            self.end_stack_trace();
            self.stack_trace = StackTrace::begin(event);
        }
        if is_empty_line || self.stack_trace.is_none() {
            self.converter.convert_log_event(&log_event(event, &event.message));
        }
    }

    fn end_stack_trace(&mut self) {
        // Lines that were on trial may begin another trace.
        while let Some(trace) = self.stack_trace.take() {
            let joined = trace.joined();
            // The first log event stands for the text; the others have no item.
            self.converted.ledger.consumed.trace_lines += joined.further_lines;
            self.converter.convert_log_event(&log_event(joined.first, joined.text));
            for event in trace.into_rejected() {
                self.convert_text(event);
            }
        }
    }

    /// Converts an OTLP line. It does not end a stack trace: Lambda interleaves stdout and stderr.
    fn convert_otlp_line(&mut self, event: &LogEvent, line: LineReading) {
        if line.text.is_some() || self.stack_trace.as_ref().is_some_and(|trace| !trace.has_begun())
        {
            self.end_stack_trace();
        }
        let has_items = line.decoded.iter().any(|request| request.items() > 0);
        if !has_items && line.undecodable.is_empty() && line.text.is_none() {
            self.converted.ledger.consumed.lines_without_items += 1;
        }
        self.state.totals.refused_bytes += line.refused_bytes;
        for request in line.decoded {
            self.state.totals.items += request.items();
            self.state.totals.bytes += request.bytes().len();
            let envelope = self.envelope.get_or_insert_with(|| {
                let resource = self.converter.encoded_log_resource();
                EnvelopeResource::of(self.converter.identity(), resource)
            });
            if let Some(request) = request.edit(envelope) {
                self.converted.add(request);
            }
        }
        for mut undecodable in line.undecodable {
            let reason = undecodable.reason.to_string();
            self.converter.convert_undecodable(
                &log_event(event, &event.message),
                &Undecodable {
                    reason: &reason,
                    size_bytes: undecodable.bytes,
                    sha256: &undecodable.sha256,
                },
            );
            let event = LogEvent {
                id: event.id.clone(),
                timestamp_ms: event.timestamp_ms,
                message: std::mem::take(&mut undecodable.line),
            };
            self.converted.decoded_bytes += event.message.len() + UNDECODABLE_BYTES;
            self.converted.undecodable.push(UndecodableEvent { event, line: undecodable });
        }
        if let Some(text) = &line.text {
            self.converter.convert_function_text(&log_event(event, text));
        }
    }

    /// Converts a line of `aws/spans`. Spans keep their resource, because the log group belongs to the whole account.
    fn convert_span_line(&mut self, event: &LogEvent) {
        match SpanLine::read(&event.message) {
            SpanLine::Ended(spans) => {
                if self.segments.observe(&spans) {
                    self.subsegments.push(self.converted.requests.len());
                }
                let request = Request::encode::<Traces>(&Traces::request(vec![*spans]));
                self.converted.add(request.rename_foreign_names());
            }
            SpanLine::InProgress => {
                self.converted.ledger.consumed.spans_in_progress += 1;
            }
            SpanLine::Other => {
                self.converter.convert_log_event(&log_event(event, &event.message));
            }
        }
    }

    /// Names the service of X-Ray's subsegments. Their segments may follow them.
    fn name_subsegments(&mut self) {
        for at in std::mem::take(&mut self.subsegments) {
            let Some(request) = self.converted.requests.get_mut(at) else { continue };
            if let Some(Ok(mut traces)) = request.decode::<Traces>() {
                traces.resource_spans.iter_mut().for_each(|spans| self.segments.name(spans));
                *request = Request::encode::<Traces>(&traces);
            }
        }
    }
}

/// A log event with another text as its message.
fn log_event<'a>(event: &'a LogEvent, message: &'a str) -> platform::LogEventRef<'a> {
    platform::LogEventRef { id: &event.id, time_ms: event.timestamp_ms, message }
}
