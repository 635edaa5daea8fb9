//! Converts the log events of one batch to OTLP requests.

mod envelope;
mod failed_spans;
mod stack_traces;

use crate::ledger::{Consumed, Ledger};
use crate::source::{LogBatch, LogEvent, Origin};
use envelope::EnvelopeResource;
use failed_spans::mend_spans;
use platform::{Converter, Failure, SPANS_LOG_GROUP, Segments, SpanLine, Undecodable};
use stack_traces::StackTrace;
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
const MOST_DECODED_BYTES: usize = 8 * 1024 * 1024;

/// Limit on the records made of log events with several JSON lines, in one event.
const MOST_EVENT_DIVIDED_BYTES: usize = 64 * 1024 * 1024;

/// Memory of an undecodable line in addition to its text: a log record, and the id of its log event.
const UNDECODABLE_BYTES: usize = 1024;

/// Limit on the items of all lines of one event.
const MOST_EVENT_ITEMS: usize = 250_000;

/// Limit on the requests of all lines of one event, dozens of times the usual size. An event may contain thousands of lines of 20
/// kB that inflate to 16 MB each.
const MOST_EVENT_BYTES: usize = 256 * 1024 * 1024;

/// The result of converting the first log events of a batch.
#[derive(Debug, Default)]
pub struct Converted {
    /// Number of converted log events. Less than the batch if they decoded to very much.
    pub taken: usize,
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
    /// Returns `true` if the chunk ends. Embedded metrics do not count: they have a limit of their own on each chunk, which more
    /// chunks would weaken.
    fn is_enough(&self, others: &Converter) -> bool {
        self.decoded_bytes + others.record_bytes() >= MOST_DECODED_BYTES
    }
}

/// The state of a stream between two calls of [`convert`].
#[derive(Debug, Default)]
pub struct StreamState {
    platform: platform::ConverterState,
    /// A split line whose end is missing.
    rejoin: Rejoin,
    /// The log events of that line. No ledger has counted them.
    held: Vec<LogEvent>,
    origin: Origin,
    /// `true` at the end of the delivery: no line is held any longer.
    at_end: bool,
    read: ReadSoFar,
}

/// What the limits on one event count.
#[derive(Clone, Copy, Debug, Default)]
struct ReadSoFar {
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
        Self { read: self.read, ..Self::default() }
    }

    /// Returns `true` if log events of this origin continue the stream.
    pub fn is_of(&self, origin: &Origin) -> bool {
        self.origin == *origin || self.origin == Origin::default()
    }

    /// The log events that wait for the end of their line.
    pub fn held(&self) -> &[LogEvent] {
        &self.held
    }

    /// Takes the log events that still wait at the end of the delivery. Converted again, they are read one by one.
    pub fn take_held(&mut self) -> Option<LogBatch> {
        self.at_end = true;
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
    let service_name = identity.service_name.clone();
    let mut others = Converter::new(identity, options.platform, observed_unix_nano)
        .with_state(std::mem::take(&mut state.platform))
        .with_most_divided_bytes(MOST_EVENT_DIVIDED_BYTES.saturating_sub(state.read.divided_bytes));
    if let Some(PlatformSpans { xray_lambda }) = options.platform_spans {
        others = others.with_spans(xray_lambda);
    }
    let held_before = state.held.len();
    let mut stream = StreamConversion {
        envelope: None,
        others,
        state,
        converted: Converted { service_name, ..Converted::default() },
        trace: None,
        segments: Segments::default(),
        subsegments: Vec::new(),
    };
    // Only the envelope decides, so that a function cannot forge spans of other services.
    let holds_spans = origin.log_group == SPANS_LOG_GROUP;
    for event in events {
        if holds_spans {
            stream.take_span_line(event);
        } else {
            stream.take(event);
        }
        stream.converted.taken += 1;
        // A stack trace, which is short, stays whole.
        let is_in_trace = stream.trace.as_ref().is_some_and(StackTrace::has_begun);
        if !is_in_trace && stream.converted.is_enough(&stream.others) {
            break;
        }
    }
    stream.end_trace();
    stream.name_subsegments();
    let StreamConversion { mut others, mut state, mut converted, .. } = stream;
    converted.ledger.events = held_before + converted.taken - state.held.len();
    if others.awaits_traces() {
        for request in &converted.requests {
            request.each_trace_id(&mut |trace_id| others.note_trace(trace_id));
        }
    }
    if others.awaits_spans() {
        for request in &converted.requests {
            request.each_invocation_span(&mut |id, span| {
                others.note_invocation_span(id, &span);
                if let Some(failure) = span.error.and_then(|error| Failure::of_span(&error)) {
                    others.note_failed_span(id, failure);
                }
            });
        }
    }
    mend_spans(&mut converted.requests, others.failures());
    let rest = others.finish();
    let platform::ConsumedLines { platform_lines, root_lines, empty_lines } = rest.consumed;
    converted.ledger.consumed +=
        Consumed { platform_lines, root_lines, empty_lines, ..Consumed::default() };
    converted.dropped_figures = rest.dropped_values;
    converted.ledger.undivided = rest.divided.undivided;
    state.read.divided_bytes += rest.divided.bytes;
    state.platform = rest.state;
    if state.origin != *origin {
        state.origin = origin.clone();
    }
    converted.state = state;
    let metrics =
        rest.metrics.map(|metrics| Request::encode::<Metrics>(&Metrics::request(vec![metrics])));
    let spans = rest.spans.map(|spans| Request::encode::<Traces>(&Traces::request(vec![spans])));
    for request in rest.logs.into_iter().chain(metrics).chain(spans) {
        take(&mut converted, request);
    }
    converted
}

/// A message that makes the conversion panic, for tests. No real input is known to.
#[cfg(test)]
pub(crate) const PANICS: &str = "panic";

struct StreamConversion<'e> {
    /// Created for the first OTLP line.
    envelope: Option<EnvelopeResource>,
    others: Converter,
    state: StreamState,
    converted: Converted,
    trace: Option<StackTrace<'e>>,
    /// X-Ray segments of the chunk.
    segments: Segments,
    /// Positions of requests with subsegments that name no service.
    subsegments: Vec<usize>,
}

impl<'e> StreamConversion<'e> {
    fn limits(&self) -> Limits {
        let limits = Limits::default();
        let ReadSoFar { items, bytes, refused_bytes, .. } = self.state.read;
        Limits {
            items: limits.items.min(MOST_EVENT_ITEMS.saturating_sub(items)),
            inflated_bytes: limits.inflated_bytes.min(MOST_EVENT_BYTES.saturating_sub(bytes)),
            refused_bytes: limits.refused_bytes.saturating_sub(refused_bytes),
            ..limits
        }
    }

    fn read(&self, event: &LogEvent) -> Option<LineReading> {
        read_line_of(&event.message, &self.others.identity().line_context(), &self.limits())
    }

    /// Takes a log event, which may be a piece of a split line.
    fn take(&mut self, event: &'e LogEvent) {
        #[cfg(test)]
        assert_ne!(event.message, PANICS);
        if self.state.rejoin.is_waiting() {
            let context = self.others.identity().line_context();
            let limits = self.limits();
            match self.state.rejoin.go_on(&event.message, &context, &limits) {
                Joined::More => {
                    self.state.held.push(event.clone());
                    return;
                }
                Joined::Whole(reading) => {
                    let held = std::mem::take(&mut self.state.held);
                    // The first log event stands for the line; the others have no item.
                    self.converted.ledger.consumed.line_pieces += held.len();
                    self.take_reading(held.first().unwrap_or(event), reading);
                    return;
                }
                Joined::Broken { refused_bytes } => {
                    self.state.read.refused_bytes += refused_bytes;
                    self.end_trace();
                    for held in std::mem::take(&mut self.state.held) {
                        let reading = self.read(&held);
                        self.take_piece(&held, reading);
                    }
                }
            }
        }
        let reading = self.read(event);
        if self.state.at_end {
            self.take_piece(event, reading);
            return;
        }
        let begins = |reading| self.state.rejoin.begin(&event.message, reading);
        if reading.as_ref().is_some_and(begins) {
            self.state.held.push(event.clone());
            return;
        }
        match reading {
            Some(reading) => self.take_reading(event, reading),
            None => self.take_text(event),
        }
    }

    /// Takes a piece of a line whose end is missing. Only the first piece has the marker of an OTLP line.
    fn take_piece(&mut self, event: &LogEvent, reading: Option<LineReading>) {
        if let Some(reading) = reading {
            self.take_reading(event, reading);
        } else {
            let text = wire::without_headers(&event.message);
            self.others.convert_log_event(&log_event(event, &text));
        }
    }

    /// Takes plain text, which may be part of a stack trace.
    fn take_text(&mut self, event: &'e LogEvent) {
        // Another invocation's root line may come between the lines of a stack trace.
        if RootLine::read(&event.message).is_some() {
            self.others.convert_function_text(&log_event(event, &event.message));
            return;
        }
        if self.trace.as_mut().is_some_and(|trace| trace.try_add(event)) {
            return;
        }
        let is_empty_line = event.message.trim_ascii().is_empty();
        // An empty line ends no trace: Go prints one between a panic and its frames.
        if !is_empty_line {
            self.end_trace();
            self.trace = StackTrace::begin(event);
        }
        if is_empty_line || self.trace.is_none() {
            self.others.convert_log_event(&log_event(event, &event.message));
        }
    }

    fn end_trace(&mut self) {
        // Lines that were on trial may begin another trace.
        while let Some(trace) = self.trace.take() {
            let joined = trace.joined();
            // The first log event stands for the text; the others have no item.
            self.converted.ledger.consumed.trace_lines += joined.others;
            self.others.convert_log_event(&log_event(joined.first, joined.text));
            for event in trace.into_others() {
                self.take_text(event);
            }
        }
    }

    /// Takes an OTLP line. It does not end a stack trace: Lambda interleaves stdout and stderr.
    fn take_reading(&mut self, event: &LogEvent, reading: LineReading) {
        if reading.text.is_some() || self.trace.as_ref().is_some_and(|trace| !trace.has_begun()) {
            self.end_trace();
        }
        let has_items = reading.decoded.iter().any(|request| request.items() > 0);
        if !has_items && reading.undecodable.is_empty() && reading.text.is_none() {
            self.converted.ledger.consumed.lines_without_items += 1;
        }
        self.state.read.refused_bytes += reading.refused_bytes;
        for request in reading.decoded {
            self.state.read.items += request.items();
            self.state.read.bytes += request.bytes().len();
            let of_origin =
                || EnvelopeResource::of(self.others.identity(), self.others.encoded_log_resource());
            let envelope = self.envelope.get_or_insert_with(of_origin);
            if let Some(request) = request.edit(envelope) {
                take(&mut self.converted, request);
            }
        }
        for mut line in reading.undecodable {
            let reason = line.reason.to_string();
            self.others.convert_undecodable(
                &log_event(event, &event.message),
                &Undecodable { reason: &reason, size_bytes: line.bytes, sha256: &line.sha256 },
            );
            let event = LogEvent {
                id: event.id.clone(),
                timestamp_ms: event.timestamp_ms,
                message: std::mem::take(&mut line.line),
            };
            self.converted.decoded_bytes += event.message.len() + UNDECODABLE_BYTES;
            self.converted.undecodable.push(UndecodableEvent { event, line });
        }
        if let Some(text) = &reading.text {
            self.others.convert_function_text(&log_event(event, text));
        }
    }

    /// Takes a line of `aws/spans`. Spans keep their resource, because the log group belongs to the whole account.
    fn take_span_line(&mut self, event: &LogEvent) {
        match SpanLine::read(&event.message) {
            SpanLine::Ended(spans) => {
                if self.segments.observe(&spans) {
                    self.subsegments.push(self.converted.requests.len());
                }
                let request = Request::encode::<Traces>(&Traces::request(vec![*spans]));
                take(&mut self.converted, request);
            }
            SpanLine::InProgress => {
                self.converted.ledger.consumed.spans_in_progress += 1;
            }
            SpanLine::Other => {
                self.others.convert_log_event(&log_event(event, &event.message));
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

fn log_event<'a>(event: &'a LogEvent, message: &'a str) -> platform::LogEventRef<'a> {
    platform::LogEventRef { id: &event.id, time_ms: event.timestamp_ms, message }
}

fn take(converted: &mut Converted, request: Request) {
    if request.items() > 0 {
        converted.decoded_bytes += request.bytes().len();
        converted.requests.push(request);
    }
}
