//! Turns the log events of one batch into OTLP requests: lines decoded, all else converted.

mod envelope;
mod span_lines;
mod stack_traces;
pub(crate) mod time_shift;

use crate::ledger::{Consumed, Ledger};
use crate::source::{LogBatch, LogEvent, Origin};
use envelope::Envelope;
use platform::{Converter, SPANS_LOG_GROUP, SpanEnd, SpanMapping, Undecodable};
use span_lines::SpanLines;
use stack_traces::Trace;
use time_shift::TimeShift;
use wire::{
    Joined, Limits, LineReading, Metrics, Rejoin, Request, Signal, Traces, UndecodableLine,
    read_line,
};

/// What does not change from batch to batch.
#[derive(Clone, Debug)]
pub struct ConvertOptions {
    /// How Lambda's own events are converted.
    pub platform: platform::Options,
    /// Bounds on every line.
    pub limits: Limits,
    /// Most items of all lines of one event.
    pub event_items: usize,
    /// Moves all times; for replaying old samples.
    pub time_shift: TimeShift,
    /// Whether the lines of a stack trace that are log events of their own become one log record.
    pub join_stack_traces: bool,
    /// How the span of each invocation is written, for functions that have nobody else to do it.
    pub platform_spans: Option<PlatformSpans>,
}

impl Default for ConvertOptions {
    fn default() -> Self {
        Self {
            platform: platform::Options::default(),
            limits: Limits::default(),
            event_items: 250_000,
            time_shift: TimeShift::default(),
            join_stack_traces: false,
            platform_spans: None,
        }
    }
}

/// How the span of an invocation is made of Lambda's lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlatformSpans {
    /// Whether X-Ray's header is the parent.
    pub xray_lambda: bool,
}

/// Decoded requests of this size are delivered before more log events are decoded: a line of a
/// few kilobytes may inflate to [`Limits::inflated_bytes`].
const MOST_DECODED_BYTES: usize = 8 * 1024 * 1024;

/// The memory of an undecodable line in addition to its text, in bytes: a log record, and the id of its log event.
const UNDECODABLE_BYTES: usize = 1024;

/// Most bytes of the requests of all lines of one event, dozens of times what lines of telemetry have: a line of 20 kB may become 16 MB,
/// and an event hold thousands of those.
const MOST_EVENT_BYTES: usize = 256 * 1024 * 1024;

/// What the first log events of a batch became.
#[derive(Debug, Default)]
pub struct Converted {
    /// How many log events these were: all of the batch, unless they hold very much.
    pub taken: usize,
    /// Checked requests of all signals, not merged yet.
    pub requests: Vec<Request>,
    /// The size of the requests and the undecodable lines.
    pub decoded_bytes: usize,
    /// The service that telemetry without a service name is given to.
    pub service_name: String,
    /// Log events and consumed log events. Items are counted on their way to a destination.
    pub ledger: Ledger,
    /// The lines that claim to be OTLP and did not decode, with their log event; its message is left
    /// out.
    pub undecodable: Vec<(LogEvent, UndecodableLine)>,
    /// Figures of reports and of embedded metrics that became no data point: no plausible numbers, or beyond a bound.
    pub dropped_figures: usize,
    /// Spans that were written before they had ended, and whose final version is among the requests.
    pub superseded: usize,
    /// Where the stream stands, for its next log events.
    pub state: StreamState,
}

/// Where a stream stands between two calls of [`convert`].
#[derive(Debug, Default)]
pub struct StreamState {
    platform: platform::ConverterState,
    /// The line in pieces whose end is waited for.
    rejoin: Rejoin,
    /// Its log events so far: taken, and not in any ledger yet.
    held: Vec<LogEvent>,
    origin: Origin,
    /// True once the delivery is over: nothing is waited for any more.
    at_end: bool,
    read: ReadSoFar,
}

/// What the lines of the forwarder's event held so far, which is bounded.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadSoFar {
    items: usize,
    bytes: usize,
}

impl StreamState {
    /// The same, for an event of whose lines so much was read.
    #[must_use]
    pub fn with_read(self, read: ReadSoFar) -> Self {
        Self { read, ..self }
    }

    /// What was read of the event's lines.
    pub fn read(&self) -> ReadSoFar {
        self.read
    }

    /// Whether it is the state of this stream, so that the stream's events may go on in it.
    pub fn is_of(&self, origin: &Origin) -> bool {
        self.origin == *origin || self.origin == Origin::default()
    }

    /// The log events that wait for the end of their line.
    pub fn held(&self) -> &[LogEvent] {
        &self.held
    }

    /// At the end of the delivery: the log events that still wait. They are to be converted once
    /// more, and are then read alone.
    pub fn take_held(&mut self) -> Option<LogBatch> {
        self.at_end = true;
        self.rejoin = Rejoin::default();
        let events = std::mem::take(&mut self.held);
        let origin = self.origin.clone();
        (!events.is_empty()).then(|| LogBatch { origin, events, ..LogBatch::default() })
    }
}

/// Converts log events of one stream, in order, until they are at their end or hold very much.
/// `state` is what the stream's log events before these left; `service_name` takes the place of the
/// one that log group and stream suggest.
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
        .with_state(std::mem::take(&mut state.platform));
    if let Some(PlatformSpans { xray_lambda }) = options.platform_spans {
        others = others.with_spans(SpanMapping::default(), SpanEnd::default(), xray_lambda);
    }
    others.look_ahead(events.iter().map(|event| event.message.as_str()));
    let held_before = state.held.len();
    let mut stream = Stream {
        options,
        envelope: None,
        others,
        state,
        converted: Converted { service_name, ..Converted::default() },
        trace: None,
        spans: SpanLines::default(),
        partial: Vec::new(),
    };
    // By the envelope: a function that logs such an object forges no span of another service.
    let holds_spans = origin.log_group == SPANS_LOG_GROUP;
    for event in events {
        if holds_spans {
            stream.take_span_line(event);
        } else {
            stream.take(event);
        }
        stream.converted.taken += 1;
        if stream.converted.decoded_bytes >= MOST_DECODED_BYTES {
            break;
        }
    }
    stream.end_trace();
    stream.name_subsegments();
    stream.take_partial();
    let Stream { mut others, mut state, mut converted, .. } = stream;
    converted.ledger.events = held_before + converted.taken - state.held.len();
    if others.awaits_traces() {
        for request in &converted.requests {
            request.each_trace_id(&mut |trace_id| others.trace_seen(trace_id));
        }
    }
    if others.awaits_spans() {
        for request in &converted.requests {
            request.each_invocation_span(&mut |span| others.invocation_span_seen(&span));
        }
    }
    let rest = others.finish();
    let platform::Consumed { platform_lines, empty_lines } = rest.consumed;
    converted.ledger.consumed += Consumed { platform_lines, empty_lines, ..Consumed::default() };
    converted.dropped_figures = rest.dropped_values;
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

/// A log event over which tests let the conversion panic: no input is known that does.
#[cfg(test)]
pub(crate) const PANICS: &str = "panic";

/// The log events of one stream on their way to requests.
struct Stream<'o, 'e> {
    options: &'o ConvertOptions,
    /// What the lines' resources must not contradict, once there is a line.
    envelope: Option<Envelope>,
    /// Takes what is no OTLP line.
    others: Converter,
    state: StreamState,
    converted: Converted,
    /// Plain text that the next lines may belong to.
    trace: Option<Trace<'e>>,
    spans: SpanLines,
    /// Spans that had not ended when they were written.
    partial: Vec<Request>,
}

impl<'e> Stream<'_, 'e> {
    /// The bounds on a line, as far as the lines before it used them up.
    fn limits(&self) -> Limits {
        let limits = self.options.limits;
        let ReadSoFar { items, bytes } = self.state.read;
        Limits {
            items: limits.items.min(self.options.event_items.saturating_sub(items)),
            inflated_bytes: limits.inflated_bytes.min(MOST_EVENT_BYTES.saturating_sub(bytes)),
            ..limits
        }
    }

    /// Takes an event, which may be a piece of a line that was cut into neighbouring events.
    fn take(&mut self, event: &'e LogEvent) {
        #[cfg(test)]
        assert_ne!(event.message, PANICS);
        if self.state.rejoin.is_waiting() {
            match self.state.rejoin.go_on(&event.message, &self.limits()) {
                Joined::More => {
                    self.state.held.push(event.clone());
                    return;
                }
                Joined::Whole(reading) => {
                    let held = std::mem::take(&mut self.state.held);
                    // The first event stands for the line, the others become no item.
                    self.converted.ledger.consumed.line_pieces += held.len();
                    self.take_reading(held.first().unwrap_or(event), reading);
                    return;
                }
                Joined::Broken => {
                    self.end_trace();
                    for mut held in std::mem::take(&mut self.state.held) {
                        let reading = read_line(&held.message, &self.limits());
                        // A later piece does not say that it belongs to a line.
                        if reading.is_none() {
                            held.message = wire::without_headers(&held.message);
                        }
                        self.take_alone(&held, reading);
                    }
                }
            }
        }
        let reading = read_line(&event.message, &self.limits());
        let begins = |reading| self.state.rejoin.begin(&event.message, reading);
        if !self.state.at_end && reading.as_ref().is_some_and(begins) {
            self.state.held.push(event.clone());
            return;
        }
        match reading {
            Some(reading) => self.take_reading(event, reading),
            None => self.take_text(event),
        }
    }

    /// Takes plain text, which may be a line of a stack trace.
    fn take_text(&mut self, event: &'e LogEvent) {
        if !self.options.join_stack_traces {
            self.others.log_event(&log_event(event, &event.message, self.options));
            return;
        }
        if self.trace.as_mut().is_some_and(|trace| trace.go_on(event)) {
            return;
        }
        let is_empty_line = event.message.trim_ascii().is_empty();
        // An empty line ends nothing: Go prints one between a panic and its frames.
        if !is_empty_line {
            self.end_trace();
            self.trace = Trace::begin(event);
        }
        if is_empty_line || self.trace.is_none() {
            self.others.log_event(&log_event(event, &event.message, self.options));
        }
    }

    /// Nothing more belongs to the text that waits.
    fn end_trace(&mut self) {
        if let Some(trace) = self.trace.take() {
            let (event, text, joined) = trace.end();
            // The first event stands for the text, the others become no item.
            self.converted.ledger.consumed.trace_lines += joined;
            self.others.log_event(&log_event(event, text, self.options));
        }
    }

    /// Takes the spans that had not ended, but for those that have come to their end by now.
    fn take_partial(&mut self) {
        // As one request, so that the others are gone through once.
        for request in wire::merge(std::mem::take(&mut self.partial), usize::MAX) {
            let (request, superseded) = request.without_spans_of(&self.converted.requests);
            self.converted.superseded += superseded;
            take(&mut self.converted, request);
        }
    }

    fn take_alone(&mut self, event: &LogEvent, reading: Option<LineReading>) {
        if let Some(reading) = reading {
            self.take_reading(event, reading);
        } else {
            self.others.log_event(&log_event(event, &event.message, self.options));
        }
    }

    /// Takes what an event's lines are. They end no stack trace: a process writes those to stderr and lines to stdout, and
    /// Lambda takes from both as it comes.
    fn take_reading(&mut self, event: &LogEvent, reading: LineReading) {
        if reading.text.is_some() || self.trace.as_ref().is_some_and(|trace| !trace.has_begun()) {
            self.end_trace();
        }
        let has_items = reading.decoded.iter().any(|line| line.request.items() > 0);
        if !has_items && reading.undecodable.is_empty() && reading.text.is_none() {
            self.converted.ledger.consumed.lines_without_items += 1;
        }
        for line in reading.decoded {
            self.state.read.items += line.request.items();
            self.state.read.bytes += line.request.bytes().len();
            let of_origin =
                || Envelope::of(self.others.identity(), self.others.encoded_log_resource());
            let envelope = self.envelope.get_or_insert_with(of_origin);
            let request = envelope.settle(line.request);
            let request = time_shift::request(request, self.options.time_shift);
            if line.is_partial && request.items() > 0 {
                self.converted.decoded_bytes += request.bytes().len();
                self.partial.push(request);
            } else {
                take(&mut self.converted, request);
            }
        }
        for line in reading.undecodable {
            let reason = line.reason.to_string();
            self.others.undecodable(
                &log_event(event, &event.message, self.options),
                &Undecodable { reason: &reason, size_bytes: line.bytes, sha256: &line.sha256 },
            );
            let LogEvent { id, timestamp_ms, .. } = event;
            let event =
                LogEvent { id: id.clone(), timestamp_ms: *timestamp_ms, message: String::new() };
            self.converted.decoded_bytes += line.line.len() + UNDECODABLE_BYTES;
            self.converted.undecodable.push((event, line));
        }
        if let Some(text) = &reading.text {
            self.others.function_text(&log_event(event, text, self.options));
        }
    }
}

fn log_event<'a>(
    event: &'a LogEvent,
    message: &'a str,
    options: &ConvertOptions,
) -> platform::LogEvent<'a> {
    let time_ms = options.time_shift.apply_to_millis(event.timestamp_ms);
    platform::LogEvent { id: &event.id, time_ms, message }
}

fn take(converted: &mut Converted, request: Request) {
    if request.items() > 0 {
        converted.decoded_bytes += request.bytes().len();
        converted.requests.push(request);
    }
}
