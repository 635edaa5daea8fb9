//! Shows telemetry as it arrives. It is held briefly, so that related items appear together, and then passed to a view.

mod choice;
mod views;

use crate::lines::{self, Found, Joining, Line, MAX_LINE_BYTES, Writer};
use choice::Choice;
use console::waterfall::text_of;
use console::waterfall::{Naming, PLATFORM_SCOPE, RecordOf, SpanOf, Waterfall, waterfalls};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use views::{Json, Text};
use wire::{LineReading, Logs, Metrics, Request, Traces};

#[derive(clap::Args, Default)]
pub(crate) struct OutputArguments {
    #[command(flatten)]
    choice: Choice,
    /// Leave out lines that are not telemetry.
    #[arg(long)]
    telemetry_only: bool,
    /// Print one JSON object per line.
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
        let out = &mut anstream::stdout().lock();
        let ended = if self.json {
            self.show_all(incoming, writer, &mut Json { out })?
        } else {
            self.show_all(incoming, writer, &mut Text { out })?
        };
        for error in &ended.failed {
            eprintln!("lambda-otlp: {error:#}");
        }
        Ok(ended.is_fine())
    }

    /// Shows input until its end, including the telemetry before an error.
    fn show_all(
        &self,
        incoming: &Receiver<Incoming>,
        writer: Writer,
        view: &mut dyn View,
    ) -> io::Result<Ended> {
        let mut showing = Showing {
            view,
            arguments: self,
            number: 0,
            joining: Joining::new(writer),
            held: Held::default(),
            waiting_since: BTreeMap::new(),
            ended: Ended::default(),
        };
        loop {
            // Held telemetry limits the wait for the next line.
            let next = if showing.holds_anything() {
                incoming.recv_timeout(QUIET)
            } else {
                incoming.recv().map_err(RecvTimeoutError::from)
            };
            match next {
                Ok(Incoming::Failed(error)) => showing.ended.failed.push(error),
                Ok(incoming) => showing.take(incoming)?,
                Err(RecvTimeoutError::Timeout) => showing.show()?,
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        showing.show_all()?;
        Ok(showing.ended)
    }
}

/// Held telemetry is shown after a pause of this length, because the lines of an invocation arrive together.
const QUIET: Duration = Duration::from_millis(300);
const MOST_ITEMS: usize = 10_000;

pub(crate) enum Incoming {
    Line(Line),
    /// Telemetry made from log events.
    Requests(Vec<Request>),
    /// Text between the telemetry, in order.
    Text(String),
    Said(String),
    /// The error of an OTLP line that cannot be decoded.
    Wrong(String),
    Failed(anyhow::Error),
}

pub(crate) trait View {
    /// The time for which a trace waits for the span of its invocation, which the extension writes with the next invocation.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }

    fn show(&mut self, held: &Held) -> io::Result<()>;
    fn line(&mut self, line: &str) -> io::Result<()>;
}

#[derive(Default)]
pub(crate) struct Ended {
    /// The number of OTLP lines that cannot be decoded.
    pub(crate) wrong: usize,
    pub(crate) failed: Vec<anyhow::Error>,
}

impl Ended {
    pub(crate) fn is_fine(&self) -> bool {
        self.wrong == 0 && self.failed.is_empty()
    }
}

struct Showing<'a> {
    view: &'a mut dyn View,
    arguments: &'a OutputArguments,
    number: usize,
    joining: Joining,
    held: Held,
    /// The traces without the span of their invocation, and when each came first.
    waiting_since: BTreeMap<Vec<u8>, Instant>,
    ended: Ended,
}

impl Showing<'_> {
    fn holds_anything(&self) -> bool {
        self.held.items() > 0 || self.joining.is_waiting()
    }

    fn take(&mut self, incoming: Incoming) -> io::Result<()> {
        match incoming {
            Incoming::Line(Line::Text(line)) => {
                self.number += 1;
                let found = self.joining.take(self.number, line);
                self.take_found(found)?;
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
                self.show()?;
                self.line(&text)?;
            }
            Incoming::Line(Line::End) | Incoming::Failed(_) => {}
        }
        if self.held.items() > MOST_ITEMS { self.show_all() } else { Ok(()) }
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        if self.arguments.telemetry_only { Ok(()) } else { self.view.line(line) }
    }

    fn wrong(&mut self, text: &str) {
        self.ended.wrong += 1;
        eprintln!("{text}");
    }

    fn take_found(&mut self, found: Vec<(usize, Found)>) -> io::Result<()> {
        for (number, found) in found {
            match found {
                Found::Otlp(reading) => self.take_reading(number, &reading)?,
                Found::Other(line) if line.trim().is_empty() => {}
                Found::Other(line) => self.line(&line)?,
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

    /// Shows what is held, except traces that wait.
    fn show(&mut self) -> io::Result<()> {
        let rest = self.joining.rest();
        self.take_found(rest)?;
        let (now, patience) = (Instant::now(), self.view.patience());
        let incomplete = self.held.without_invocation().into_iter();
        let begun = |trace_id: Vec<u8>| {
            let since = self.waiting_since.get(&trace_id).copied().unwrap_or(now);
            (trace_id, since)
        };
        let waiting = incomplete.map(begun).filter(|(_, since)| now < *since + patience);
        self.waiting_since = waiting.collect();
        let waiting = self.held.take_traces(&self.waiting_since);
        self.show_held(waiting)
    }

    fn show_all(&mut self) -> io::Result<()> {
        let rest = self.joining.rest();
        self.take_found(rest)?;
        self.show_held(Held::default())
    }

    fn show_held(&mut self, waiting: Held) -> io::Result<()> {
        let held = std::mem::replace(&mut self.held, waiting);
        let held = self.arguments.choice.of(held);
        if held.items() > 0 { self.view.show(&held) } else { Ok(()) }
    }
}

/// Spans, log records and metrics, each with its service.
#[derive(Default)]
pub(crate) struct Held {
    pub(crate) spans: Vec<HeldSpan>,
    pub(crate) records: Vec<(String, LogRecord)>,
    pub(crate) metrics: Vec<(String, Metric)>,
}

pub(crate) struct HeldSpan {
    pub(crate) service: String,
    pub(crate) scope: String,
    pub(crate) span: Span,
}

#[derive(Default)]
pub(crate) struct Trace<'a> {
    pub(crate) spans: Vec<&'a HeldSpan>,
    pub(crate) records: Vec<&'a (String, LogRecord)>,
}

impl Held {
    pub(crate) fn items(&self) -> usize {
        self.spans.len() + self.records.len() + self.metrics.len()
    }

    pub(crate) fn add(&mut self, request: &Request) {
        if let Some(Ok(request)) = request.decode::<Traces>() {
            for resource in request.resource_spans {
                let service = service(resource.resource.as_ref());
                for scope in resource.scope_spans {
                    let name = scope.scope.map(|scope| scope.name).unwrap_or_default();
                    self.spans.extend(scope.spans.into_iter().map(|span| HeldSpan {
                        service: service.clone(),
                        scope: name.clone(),
                        span,
                    }));
                }
            }
        } else if let Some(Ok(request)) = request.decode::<Logs>() {
            for resource in request.resource_logs {
                let service = service(resource.resource.as_ref());
                let records = resource.scope_logs.into_iter().flat_map(|scope| scope.log_records);
                self.records.extend(records.map(|record| (service.clone(), record)));
            }
        } else if let Some(Ok(request)) = request.decode::<Metrics>() {
            for resource in request.resource_metrics {
                let service = service(resource.resource.as_ref());
                let metrics = resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics);
                self.metrics.extend(metrics.map(|metric| (service.clone(), metric)));
            }
        }
    }

    /// The traces of the spans that lack the span of an invocation.
    fn without_invocation(&self) -> BTreeSet<Vec<u8>> {
        let trace_id = |own: &HeldSpan| own.span.trace_id.clone();
        let mut traces: BTreeSet<Vec<u8>> = self.spans.iter().map(trace_id).collect();
        for own in self.spans.iter().filter(|own| own.scope == PLATFORM_SCOPE) {
            traces.remove(&own.span.trace_id);
        }
        traces
    }

    /// Takes the spans and log records of these traces.
    fn take_traces<T>(&mut self, traces: &BTreeMap<Vec<u8>, T>) -> Self {
        let spans = self.spans.extract_if(.., |own| traces.contains_key(&own.span.trace_id));
        let records = self.records.extract_if(.., |own| traces.contains_key(&own.1.trace_id));
        Self { spans: spans.collect(), records: records.collect(), metrics: Vec::new() }
    }

    pub(crate) fn traces(&self) -> BTreeMap<&[u8], Trace<'_>> {
        let mut traces: BTreeMap<&[u8], Trace<'_>> = BTreeMap::new();
        for span in &self.spans {
            traces.entry(&span.span.trace_id).or_default().spans.push(span);
        }
        for record in self.records.iter().filter(|(_, record)| !record.trace_id.is_empty()) {
            traces.entry(&record.1.trace_id).or_default().records.push(record);
        }
        traces
    }

    pub(crate) fn waterfalls(&self) -> Vec<Waterfall> {
        let spans = self.spans.iter();
        let spans: Vec<SpanOf<'_>> = spans
            .map(|HeldSpan { service, scope, span }| SpanOf { service, scope, span })
            .collect();
        let records: Vec<RecordOf<'_>> =
            self.records.iter().map(|(service, record)| RecordOf { service, record }).collect();
        waterfalls(&spans, &records, &Named)
    }
}

/// Names traces after their invocations.
pub(crate) struct Named;

impl Naming for Named {
    fn label(&self, request_ids: &BTreeSet<String>) -> String {
        let ids: Vec<&str> = request_ids.iter().map(String::as_str).collect();
        match ids.as_slice() {
            [] => "without an invocation id".to_owned(),
            [one] => format!("invocation {one}"),
            several => format!("invocations {}", several.join(", ")),
        }
    }

    fn number(&self, _attributes: &[KeyValue]) -> String {
        String::new()
    }
}

fn service(resource: Option<&Resource>) -> String {
    let name = resource.and_then(|resource| text_of(&resource.attributes, "service.name"));
    name.unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};

    fn span(trace: u8, span: u8, scope: &str) -> Incoming {
        let span = Span { trace_id: vec![trace; 16], span_id: vec![span; 8], ..Span::default() };
        let scope = InstrumentationScope { name: scope.to_owned(), ..Default::default() };
        let scopes = ScopeSpans { scope: Some(scope), spans: vec![span], ..Default::default() };
        let resource = ResourceSpans { scope_spans: vec![scopes], ..Default::default() };
        let request = ExportTraceServiceRequest { resource_spans: vec![resource] };
        Incoming::Requests(vec![Request::encode::<Traces>(&request)])
    }

    #[test]
    fn a_trace_waits_for_the_span_of_its_invocation() {
        let (sender, incoming) = std::sync::mpsc::sync_channel(9);
        let text = |text: &str| Incoming::Text(text.to_owned());
        for incoming in [
            span(1, 1, "app"),
            text("=> 1"),
            span(2, 3, "app"),
            span(1, 2, PLATFORM_SCOPE),
            text("=> 2"),
        ] {
            sender.send(incoming).unwrap();
        }
        drop(sender);
        let mut out = Vec::new();
        let arguments = OutputArguments::default();
        let ended = arguments.show_all(&incoming, Writer::default(), &mut Text { out: &mut out });
        assert!(ended.unwrap().is_fine());
        let out = String::from_utf8(out).unwrap();
        let seen = out
            .lines()
            .filter_map(|line| line.trim_start_matches("\u{1b}[1m").split([':', ',']).next());
        let seen: Vec<&str> = seen.filter(|line| !line.starts_with("  unknown")).collect();
        let [one, two] =
            ["1", "2"].map(|digit| format!("Trace {}", format!("0{digit}").repeat(16)));
        assert_eq!(seen, ["=> 1", "", &one, "  2 spans", "=> 2", "", &two, "  1 span"], "{out}");
    }
}
