//! Shows telemetry as it arrives. It is held briefly, so that related items appear together, and then passed to a view.
//!
//! A log record that arrives long before the spans of its trace is shown at once, and again in the trace. A drawn trace is drawn
//! again if the function sends more spans of it.

mod drawn;
mod early;
mod filter;
mod views;

use crate::lines::{
    self, Line, LineContent, LineJoiner, MAX_LINE_BYTES, NumberedContent, WritingFunction,
};
use console::waterfall::draw::Detail;
use console::waterfall::{PLATFORM_SCOPE, Scoped, align_times_to_print_order, attribute_text};
use drawn::RememberedTraces;
use early::EarlyRecords;
use filter::TelemetryFilter;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use views::TextView;
use wire::{LineReading, Logs, Metrics, Request, Traces};

#[derive(clap::Args, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct OutputArguments {
    #[command(flatten)]
    filter: TelemetryFilter,
    /// Leave out lines that are not telemetry.
    #[arg(long)]
    telemetry_only: bool,
    /// Show all metrics. By default, a line for each invocation has duration, memory, cold start and price.
    #[arg(long)]
    metrics: bool,
    /// Show the attributes of spans.
    #[arg(long = "attributes")]
    with_attributes: bool,
    /// Show all spans, and texts and stack traces whole. By default, texts are folded after 12 lines, and traces at about 100
    /// spans.
    #[arg(long)]
    full: bool,
    /// Print one JSON object per line, metrics included.
    #[arg(long)]
    json: bool,
}

impl OutputArguments {
    /// Shows telemetry until the input ends. Returns `true` if all of it could be read.
    pub(crate) fn show(
        &self,
        incoming: &Receiver<Incoming>,
        writer: WritingFunction,
    ) -> anyhow::Result<bool> {
        // anstream writes colours only to a terminal, and none if NO_COLOR is set.
        Ok(self.show_all(incoming, writer, &mut anstream::stdout().lock())?)
    }

    /// Shows input until its end, including the telemetry before an error.
    fn show_all(
        &self,
        incoming: &Receiver<Incoming>,
        writer: WritingFunction,
        out: &mut dyn Write,
    ) -> io::Result<bool> {
        let mut showing = Showing::new(self, writer, out);
        loop {
            // Held telemetry limits the wait for the next line.
            let next = if showing.holds_anything() {
                incoming.recv_timeout(QUIET)
            } else {
                incoming.recv().map_err(RecvTimeoutError::from)
            };
            match next {
                Ok(incoming) => showing.take(incoming)?,
                Err(RecvTimeoutError::Timeout) => showing.show_after(showing.patience())?,
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        showing.show_after(Duration::ZERO)?;
        Ok(showing.could_read_all)
    }
}

/// Held telemetry is shown after a pause of this length, because the lines of an invocation arrive together.
const QUIET: Duration = Duration::from_millis(300);
/// The longest wait of a trace for the span of its invocation, which the extension writes with the next invocation.
const PATIENCE: Duration = Duration::from_secs(2);
const MAX_ITEMS: usize = 10_000;

pub(crate) enum Incoming {
    Line(Line),
    /// Telemetry made from log events.
    Requests(Vec<Request>),
    /// Text between the telemetry, in order.
    #[cfg_attr(
        not(any(target_os = "linux", test)),
        expect(dead_code, reason = "only `dev`, which runs on Linux, makes it")
    )]
    Text(String),
    Message(String),
    /// The error of an OTLP line that cannot be decoded.
    Undecodable(String),
    Failed(anyhow::Error),
}

struct Showing<'a> {
    out: &'a mut dyn Write,
    arguments: &'a OutputArguments,
    /// The number of the last line.
    line_number: usize,
    joiner: LineJoiner,
    held: ReceivedTelemetry,
    /// The times at which traces without the span of their invocation came first, by trace id.
    waiting_since: BTreeMap<Vec<u8>, Instant>,
    /// The log records that were shown before their traces.
    early: EarlyRecords,
    remembered: RememberedTraces,
    /// The services of the telemetry so far. Two are enough to know that there are several.
    services: BTreeSet<String>,
    /// `false` if some telemetry could not be read or decoded.
    could_read_all: bool,
}

impl<'a> Showing<'a> {
    fn new(
        arguments: &'a OutputArguments,
        writer: WritingFunction,
        out: &'a mut dyn Write,
    ) -> Self {
        Self {
            out,
            arguments,
            line_number: 0,
            joiner: LineJoiner::new(writer),
            held: ReceivedTelemetry::default(),
            waiting_since: BTreeMap::new(),
            early: EarlyRecords::default(),
            remembered: RememberedTraces::default(),
            services: BTreeSet::new(),
            could_read_all: true,
        }
    }

    fn holds_anything(&self) -> bool {
        self.held.items() > 0 || self.joiner.is_waiting()
    }

    fn take(&mut self, incoming: Incoming) -> io::Result<()> {
        match incoming {
            Incoming::Line(Line::Text(line)) => {
                self.line_number += 1;
                let contents = self.joiner.add(self.line_number, line);
                self.take_contents(contents)?;
            }
            Incoming::Line(Line::TooLong) => {
                self.line_number += 1;
                let text = format!("skipped: the line is longer than {MAX_LINE_BYTES} bytes");
                self.report_unread(&format!("line {}: {text}", self.line_number));
            }
            Incoming::Requests(requests) => {
                for request in &requests {
                    self.held.add(request);
                }
            }
            Incoming::Message(text) => eprintln!("{text}"),
            Incoming::Undecodable(text) => self.report_unread(&text),
            Incoming::Text(text) => {
                self.show_after(self.patience())?;
                self.line(&text)?;
            }
            Incoming::Failed(error) => self.report_unread(&format!("lambda-otlp: {error:#}")),
        }
        if self.held.items() > MAX_ITEMS { self.show_after(Duration::ZERO) } else { Ok(()) }
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        let OutputArguments { telemetry_only, json, .. } = *self.arguments;
        if telemetry_only { Ok(()) } else { views::line(line, json, self.out) }
    }

    fn report_unread(&mut self, text: &str) {
        self.could_read_all = false;
        eprintln!("{text}");
    }

    fn take_contents(&mut self, contents: Vec<NumberedContent>) -> io::Result<()> {
        for NumberedContent { number, content } in contents {
            match content {
                LineContent::Otlp(reading) => self.take_reading(number, &reading)?,
                LineContent::Other(line) if line.trim().is_empty() => {}
                LineContent::Other(line) => self.line(&line)?,
            }
        }
        Ok(())
    }

    fn take_reading(&mut self, number: usize, reading: &LineReading) -> io::Result<()> {
        for request in &reading.decoded {
            self.held.add(request);
        }
        for undecodable in &reading.undecodable {
            let reason = lines::reason(&undecodable.reason);
            self.report_unread(&format!("line {number}: {reason} ({} bytes)", undecodable.bytes));
        }
        match &reading.text {
            Some(text) if !text.trim().is_empty() => self.line(text.trim_end()),
            _ => Ok(()),
        }
    }

    fn patience(&self) -> Duration {
        if self.arguments.json { Duration::ZERO } else { PATIENCE }
    }

    /// Shows the held telemetry, except traces that have waited less than `patience` for the span of their invocation.
    fn show_after(&mut self, patience: Duration) -> io::Result<()> {
        let rest = self.joiner.take_rest();
        self.take_contents(rest)?;
        let now = Instant::now();
        let mut waiting_since = BTreeMap::new();
        for trace_id in self.held.without_invocation() {
            let since = self.waiting_since.get(&trace_id).copied().unwrap_or(now);
            if now < since + patience {
                waiting_since.insert(trace_id, since);
            }
        }
        self.waiting_since = waiting_since;
        let waiting = self.held.take_traces(|id| self.waiting_since.contains_key(id));
        let held = std::mem::replace(&mut self.held, waiting);
        if self.arguments.json {
            let selected = self.arguments.filter.select(held);
            return if selected.items() > 0 { views::json(&selected, self.out) } else { Ok(()) };
        }
        self.show_text(held)
    }

    fn show_text(&mut self, mut held: ReceivedTelemetry) -> io::Result<()> {
        align_times_to_print_order(&mut held.records);
        // Makes the traces whole: with spans and records that came before.
        let redrawn = self.remembered.add_to(&mut held);
        self.early.add_to(&mut held);
        self.remembered.remember(&held);
        // Records without spans may belong to a later trace.
        let mut records = held.take_records_without_spans();
        records.retain(|record| !is_of_extension(record));
        self.early.add(&records);
        held.records.extend(records);
        // The filter judges whole traces.
        let mut selected = self.arguments.filter.select(held);
        self.remembered.note_drawn(&selected);
        if !self.arguments.metrics {
            selected.metrics.clear();
        }
        if selected.items() == 0 {
            return Ok(());
        }
        self.note_services(&selected);
        let view = TextView {
            has_several_services: self.services.len() > 1,
            detail: Detail {
                attributes: self.arguments.with_attributes,
                is_full: self.arguments.full,
            },
        };
        view.write(&selected, &redrawn, self.out)
    }

    fn note_services(&mut self, telemetry: &ReceivedTelemetry) {
        let of_spans = telemetry.spans.iter().map(|span| &span.service);
        let of_records = telemetry.records.iter().map(|record| &record.service);
        for service in of_spans.chain(of_records) {
            if self.services.len() < 2 && !self.services.contains(service) {
                self.services.insert(service.clone());
            }
        }
    }
}

/// Returns `true` for Lambda's lines about an extension that works, which each cold start has.
fn is_of_extension(record: &Scoped<LogRecord>) -> bool {
    const EVENTS: [&str; 2] = ["platform.extension", "platform.telemetrySubscription"];
    record.item.severity_number < SeverityNumber::Warn as i32
        && EVENTS.contains(&record.item.event_name.as_str())
}

/// Received spans, log records and metrics.
#[derive(Default)]
pub(crate) struct ReceivedTelemetry {
    pub(crate) spans: Vec<Scoped<Span>>,
    pub(crate) records: Vec<Scoped<LogRecord>>,
    pub(crate) metrics: Vec<Scoped<Metric>>,
}

impl ReceivedTelemetry {
    pub(crate) fn items(&self) -> usize {
        self.spans.len() + self.records.len() + self.metrics.len()
    }

    pub(crate) fn add(&mut self, request: &Request) {
        if let Some(Ok(request)) = request.decode::<Traces>() {
            for resource in request.resource_spans {
                for scope in resource.scope_spans {
                    self.spans.extend(items(resource.resource.as_ref(), scope.scope, scope.spans));
                }
            }
        } else if let Some(Ok(request)) = request.decode::<Logs>() {
            for resource in request.resource_logs {
                for scope in resource.scope_logs {
                    let records = scope.log_records;
                    self.records.extend(items(resource.resource.as_ref(), scope.scope, records));
                }
            }
        } else if let Some(Ok(request)) = request.decode::<Metrics>() {
            for resource in request.resource_metrics {
                for scope in resource.scope_metrics {
                    let metrics = scope.metrics;
                    self.metrics.extend(items(resource.resource.as_ref(), scope.scope, metrics));
                }
            }
        }
    }

    /// The traces of the spans that lack the span of an invocation.
    fn without_invocation(&self) -> BTreeSet<Vec<u8>> {
        let trace_id = |span: &Scoped<Span>| span.item.trace_id.clone();
        let mut traces: BTreeSet<Vec<u8>> = self.spans.iter().map(trace_id).collect();
        for span in self.spans.iter().filter(|span| span.scope == PLATFORM_SCOPE) {
            traces.remove(&span.item.trace_id);
        }
        traces
    }

    /// Takes the log records whose traces have no span here.
    fn take_records_without_spans(&mut self) -> Vec<Scoped<LogRecord>> {
        let traces: BTreeSet<&[u8]> =
            self.spans.iter().map(|span| span.item.trace_id.as_slice()).collect();
        let is_without =
            |record: &mut Scoped<LogRecord>| !traces.contains(record.item.trace_id.as_slice());
        self.records.extract_if(.., is_without).collect()
    }

    fn take_trace(&mut self, trace_id: &[u8]) -> Self {
        self.take_traces(|id| id == trace_id)
    }

    fn take_traces(&mut self, is_wanted: impl Fn(&[u8]) -> bool) -> Self {
        let spans = self.spans.extract_if(.., |span| is_wanted(&span.item.trace_id));
        let records = self.records.extract_if(.., |record| is_wanted(&record.item.trace_id));
        Self { spans: spans.collect(), records: records.collect(), metrics: Vec::new() }
    }
}

fn items<T>(
    resource: Option<&Resource>,
    scope: Option<InstrumentationScope>,
    items: Vec<T>,
) -> impl Iterator<Item = Scoped<T>> {
    let service = resource
        .and_then(|resource| attribute_text(&resource.attributes, "service.name"))
        .unwrap_or_else(|| "unknown".to_owned());
    let scope_name = scope.map(|scope| scope.name).unwrap_or_default();
    let scoped = move |item| Scoped { service: service.clone(), scope: scope_name.clone(), item };
    items.into_iter().map(scoped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use console::waterfall::INVOCATION_ID;
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::logs::v1::{ResourceLogs, ScopeLogs};
    use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Status};

    /// A span of the invocation with the number of its trace.
    fn span(trace: u8, span: u8, scope: &str) -> Incoming {
        span_with(trace, span, scope, None)
    }

    /// Lambda's span of an invocation that failed.
    fn failed_span(trace: u8, span: u8) -> Incoming {
        let failed = Status { code: StatusCode::Error.into(), ..Status::default() };
        span_with(trace, span, PLATFORM_SCOPE, Some(failed))
    }

    fn span_with(trace: u8, span: u8, scope: &str, status: Option<Status>) -> Incoming {
        let invocation = platform::string_attribute(INVOCATION_ID, trace.to_string());
        let span = Span {
            trace_id: vec![trace; 16],
            span_id: vec![span; 8],
            attributes: vec![invocation],
            status,
            ..Span::default()
        };
        let scope = InstrumentationScope { name: scope.to_owned(), ..Default::default() };
        let scopes = ScopeSpans { scope: Some(scope), spans: vec![span], ..Default::default() };
        let resource = ResourceSpans { scope_spans: vec![scopes], ..Default::default() };
        let request = ExportTraceServiceRequest { resource_spans: vec![resource] };
        Incoming::Requests(vec![Request::encode::<Traces>(&request)])
    }

    /// A printed line of an invocation.
    fn line(invocation: u8, text: &str) -> Incoming {
        let record = LogRecord {
            body: platform::string_attribute("", text).value,
            severity_text: "INFO".to_owned(),
            attributes: vec![platform::string_attribute(INVOCATION_ID, invocation.to_string())],
            ..LogRecord::default()
        };
        let scopes = ScopeLogs { log_records: vec![record], ..Default::default() };
        let resource = ResourceLogs { scope_logs: vec![scopes], ..Default::default() };
        let request = ExportLogsServiceRequest { resource_logs: vec![resource] };
        Incoming::Requests(vec![Request::encode::<Logs>(&request)])
    }

    fn text(text: &str) -> Incoming {
        Incoming::Text(text.to_owned())
    }

    /// Checks the headings, texts and log records that are shown. Each input is shown before the next.
    #[track_caller]
    fn check(inputs: Vec<Incoming>, expected: &[&str]) {
        check_with(&OutputArguments::default(), inputs, expected);
    }

    #[track_caller]
    fn check_with(arguments: &OutputArguments, inputs: Vec<Incoming>, expected: &[&str]) {
        let mut out = Vec::new();
        let mut showing = Showing::new(arguments, WritingFunction::default(), &mut out);
        for incoming in inputs {
            let is_text = matches!(incoming, Incoming::Text(_));
            showing.take(incoming).unwrap();
            if !is_text {
                showing.show_after(PATIENCE).unwrap();
            }
        }
        showing.show_after(Duration::ZERO).unwrap();
        assert!(showing.could_read_all);
        let out = String::from_utf8(out).unwrap();
        let shown = |line: &str| {
            let plain = anstream::adapter::strip_str(line).to_string();
            let text = plain.trim();
            let is_checked =
                ["=>", "Trace ", "INFO ", "- INFO"].iter().any(|begin| text.starts_with(begin));
            is_checked.then(|| match text.strip_prefix("Trace ") {
                Some(rest) => {
                    format!("Trace {}", rest.get(1..2).unwrap_or_default())
                        + rest.split_once(',').map_or("", |(_, again)| again)
                }
                None => text.to_owned(),
            })
        };
        let found: Vec<String> = out.lines().filter_map(shown).collect();
        assert_eq!(found, expected, "{out}");
    }

    #[test]
    fn a_trace_waits_for_the_span_of_its_invocation() {
        check(
            vec![
                span(1, 1, "app"),
                text("=> 1"),
                span(2, 3, "app"),
                span(1, 2, PLATFORM_SCOPE),
                text("=> 2"),
            ],
            &["=> 1", "Trace 1", "=> 2", "Trace 2"],
        );
    }

    #[test]
    fn a_line_is_shown_at_once_and_again_in_its_trace() {
        check(
            vec![
                line(1, "start"),
                line(2, "other"),
                line(1, "end"),
                span(1, 1, PLATFORM_SCOPE),
                text("=> 1"),
            ],
            &[
                "INFO  start",
                "INFO  other",
                "INFO  end",
                "Trace 1",
                "- INFO start",
                "- INFO end",
                "=> 1",
            ],
        );
    }

    #[test]
    fn a_trace_is_drawn_again_for_later_spans_of_the_function_only() {
        let first = || vec![span(1, 1, "app"), span(1, 2, PLATFORM_SCOPE), line(1, "late")];
        let mut lambdas = first();
        lambdas.extend([span(1, 3, PLATFORM_SCOPE), line(1, "later")]);
        check(lambdas, &["Trace 1", "INFO  late", "INFO  later"]);
        let mut functions = first();
        functions.push(span(1, 3, "app"));
        let again = "Trace 1 again with 1 later span";
        check(functions, &["Trace 1", "INFO  late", again, "- INFO late"]);
    }

    #[test]
    fn a_trace_that_the_filter_left_out_is_not_drawn_again_but_first() {
        #[derive(clap::Parser)]
        struct Arguments {
            #[command(flatten)]
            output: OutputArguments,
        }
        let only_failed = Arguments::parse_from(["shown", "--failed"]).output;
        let hidden = || vec![span(1, 1, "app"), span(1, 2, PLATFORM_SCOPE)];
        check_with(&only_failed, hidden(), &[]);
        let mut failing = hidden();
        failing.extend([failed_span(1, 3), span(1, 4, "app")]);
        let again = "Trace 1 again with 1 later span";
        check_with(&only_failed, failing, &["Trace 1", again]);
    }
}
