//! Shows telemetry as it arrives. It is held briefly, so that related items appear together, and then passed to a view.
//!
//! A log record that arrives long before the spans of its trace is shown at once, and again in the trace. A trace that was
//! shown is drawn again only for new spans of the function.

mod choice;
mod drawn;
mod early;
mod views;

use crate::lines::{self, Joining, Line, LineContent, MAX_LINE_BYTES, NumberedContent, Writer};
use choice::Choice;
use console::waterfall::draw::Detail;
use console::waterfall::{PLATFORM_SCOPE, Scoped, settle_times, text_of};
use drawn::DrawnTraces;
use early::EarlyRecords;
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
    choice: Choice,
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
        writer: Writer,
    ) -> anyhow::Result<bool> {
        // anstream writes colours only to a terminal, and none if NO_COLOR is set.
        Ok(self.show_all(incoming, writer, &mut anstream::stdout().lock())?)
    }

    /// Shows input until its end, including the telemetry before an error.
    fn show_all(
        &self,
        incoming: &Receiver<Incoming>,
        writer: Writer,
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
                Err(RecvTimeoutError::Timeout) => showing.show(showing.patience())?,
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        showing.show(Duration::ZERO)?;
        Ok(showing.is_fine)
    }
}

/// Held telemetry is shown after a pause of this length, because the lines of an invocation arrive together.
const QUIET: Duration = Duration::from_millis(300);
/// The time for which a printed trace waits for the span of its invocation, which the extension writes with the next invocation.
const PATIENCE: Duration = Duration::from_secs(2);
const MOST_ITEMS: usize = 10_000;

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
    Said(String),
    /// The error of an OTLP line that cannot be decoded.
    Wrong(String),
    Failed(anyhow::Error),
}

struct Showing<'a> {
    out: &'a mut dyn Write,
    arguments: &'a OutputArguments,
    number: usize,
    joining: Joining,
    held: Held,
    /// The traces without the span of their invocation, and when each came first.
    waiting_since: BTreeMap<Vec<u8>, Instant>,
    /// The log records that were shown before their traces.
    early: EarlyRecords,
    drawn: DrawnTraces,
    /// The services of the telemetry so far. Two are enough to know that there are several.
    services: BTreeSet<String>,
    /// All telemetry could be read and decoded.
    is_fine: bool,
}

impl<'a> Showing<'a> {
    fn new(arguments: &'a OutputArguments, writer: Writer, out: &'a mut dyn Write) -> Self {
        Self {
            out,
            arguments,
            number: 0,
            joining: Joining::new(writer),
            held: Held::default(),
            waiting_since: BTreeMap::new(),
            early: EarlyRecords::default(),
            drawn: DrawnTraces::default(),
            services: BTreeSet::new(),
            is_fine: true,
        }
    }

    fn holds_anything(&self) -> bool {
        self.held.items() > 0 || self.joining.is_waiting()
    }

    fn take(&mut self, incoming: Incoming) -> io::Result<()> {
        match incoming {
            Incoming::Line(Line::Text(line)) => {
                self.number += 1;
                let contents = self.joining.take(self.number, line);
                self.take_contents(contents)?;
            }
            Incoming::Line(Line::TooLong) => {
                self.number += 1;
                let text = format!("skipped: the line is longer than {MAX_LINE_BYTES} bytes");
                self.wrong(&format!("line {}: {text}", self.number));
            }
            Incoming::Requests(requests) => {
                for request in &requests {
                    self.held.add(request);
                }
            }
            Incoming::Said(text) => eprintln!("{text}"),
            Incoming::Wrong(text) => self.wrong(&text),
            Incoming::Text(text) => {
                self.show(self.patience())?;
                self.line(&text)?;
            }
            Incoming::Failed(error) => self.wrong(&format!("lambda-otlp: {error:#}")),
        }
        if self.held.items() > MOST_ITEMS { self.show(Duration::ZERO) } else { Ok(()) }
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        let OutputArguments { telemetry_only, json, .. } = *self.arguments;
        if telemetry_only { Ok(()) } else { views::line(line, json, self.out) }
    }

    fn wrong(&mut self, text: &str) {
        self.is_fine = false;
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
            self.wrong(&format!("line {number}: {reason} ({} bytes)", undecodable.bytes));
        }
        match &reading.text {
            Some(text) if !text.trim().is_empty() => self.line(text.trim_end()),
            _ => Ok(()),
        }
    }

    fn patience(&self) -> Duration {
        if self.arguments.json { Duration::ZERO } else { PATIENCE }
    }

    /// Shows what is held, except traces that still wait for the span of their invocation.
    fn show(&mut self, patience: Duration) -> io::Result<()> {
        let rest = self.joining.rest();
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
            let held = self.arguments.choice.of(held);
            return if held.items() > 0 { views::json(&held, self.out) } else { Ok(()) };
        }
        self.show_text(held)
    }

    fn show_text(&mut self, mut held: Held) -> io::Result<()> {
        settle_times(&mut held.records);
        let redrawn = self.drawn.add_to(&mut held);
        self.early.add_to(&mut held);
        self.drawn.remember(&held);
        let mut records = held.take_records_without_spans();
        records.retain(|own| !is_of_extension(own));
        self.early.add(&records);
        held.records.extend(records);
        let mut held = self.arguments.choice.of(held);
        if !self.arguments.metrics {
            held.metrics.clear();
        }
        if held.items() == 0 {
            return Ok(());
        }
        self.note_services(&held);
        let view = TextView {
            has_several_services: self.services.len() > 1,
            detail: Detail {
                attributes: self.arguments.with_attributes,
                is_full: self.arguments.full,
            },
        };
        view.write(&held, &redrawn, self.out)
    }

    fn note_services(&mut self, held: &Held) {
        let of_spans = held.spans.iter().map(|own| &own.service);
        let of_records = held.records.iter().map(|own| &own.service);
        for service in of_spans.chain(of_records) {
            if self.services.len() < 2 && !self.services.contains(service) {
                self.services.insert(service.clone());
            }
        }
    }
}

/// Returns `true` for Lambda's lines about an extension that works, which each cold start has.
fn is_of_extension(own: &Scoped<LogRecord>) -> bool {
    const EVENTS: [&str; 2] = ["platform.extension", "platform.telemetrySubscription"];
    own.item.severity_number < SeverityNumber::Warn as i32
        && EVENTS.contains(&own.item.event_name.as_str())
}

#[derive(Default)]
pub(crate) struct Held {
    pub(crate) spans: Vec<Scoped<Span>>,
    pub(crate) records: Vec<Scoped<LogRecord>>,
    pub(crate) metrics: Vec<Scoped<Metric>>,
}

impl Held {
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
        let trace_id = |own: &Scoped<Span>| own.item.trace_id.clone();
        let mut traces: BTreeSet<Vec<u8>> = self.spans.iter().map(trace_id).collect();
        for own in self.spans.iter().filter(|own| own.scope == PLATFORM_SCOPE) {
            traces.remove(&own.item.trace_id);
        }
        traces
    }

    /// Takes the log records whose traces have no span here.
    fn take_records_without_spans(&mut self) -> Vec<Scoped<LogRecord>> {
        let traces: BTreeSet<&[u8]> =
            self.spans.iter().map(|own| own.item.trace_id.as_slice()).collect();
        let is_without =
            |own: &mut Scoped<LogRecord>| !traces.contains(own.item.trace_id.as_slice());
        self.records.extract_if(.., is_without).collect()
    }

    fn take_trace(&mut self, trace_id: &[u8]) -> Self {
        self.take_traces(|id| id == trace_id)
    }

    fn take_traces(&mut self, is_wanted: impl Fn(&[u8]) -> bool) -> Self {
        let spans = self.spans.extract_if(.., |own| is_wanted(&own.item.trace_id));
        let records = self.records.extract_if(.., |own| is_wanted(&own.item.trace_id));
        Self { spans: spans.collect(), records: records.collect(), metrics: Vec::new() }
    }
}

fn items<T>(
    resource: Option<&Resource>,
    scope: Option<InstrumentationScope>,
    items: Vec<T>,
) -> impl Iterator<Item = Scoped<T>> {
    let service = resource
        .and_then(|resource| text_of(&resource.attributes, "service.name"))
        .unwrap_or_else(|| "unknown".to_owned());
    let scope_name = scope.map(|scope| scope.name).unwrap_or_default();
    let scoped = move |item| Scoped { service: service.clone(), scope: scope_name.clone(), item };
    items.into_iter().map(scoped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use console::waterfall::INVOCATION_ID;
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::logs::v1::{ResourceLogs, ScopeLogs};
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};

    /// A span of the invocation with the number of its trace.
    fn span(trace: u8, span: u8, scope: &str) -> Incoming {
        let invocation = platform::string_attribute(INVOCATION_ID, trace.to_string());
        let span = Span {
            trace_id: vec![trace; 16],
            span_id: vec![span; 8],
            attributes: vec![invocation],
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
        let arguments = OutputArguments::default();
        let mut out = Vec::new();
        let mut showing = Showing::new(&arguments, Writer::default(), &mut out);
        for incoming in inputs {
            let is_text = matches!(incoming, Incoming::Text(_));
            showing.take(incoming).unwrap();
            if !is_text {
                showing.show(PATIENCE).unwrap();
            }
        }
        showing.show(Duration::ZERO).unwrap();
        assert!(showing.is_fine);
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
}
