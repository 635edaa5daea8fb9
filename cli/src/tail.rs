//! `lambda-otlp tail`: shows the telemetry of OTLP lines as they come: traces as waterfalls with their log records, metrics, and
//! between them the lines that are none.

use crate::lines::{Found, Joining, Line, MAX_LINE_BYTES, next_line, open};
use crate::waterfall::attributes::text_of;
use crate::waterfall::draw::{self, HEADING, short};
use crate::waterfall::{Log, Naming, RecordOf, SpanOf, Waterfall, waterfalls};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;
use wire::{DecodedLine, LineReading, Logs, Metrics, Traces};

/// Arguments of `lambda-otlp tail`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Files of lines; `-` is standard input, which is also read when no file is named.
    files: Vec<String>,
    /// Only traces, log records and metrics of this service.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only traces with a span that failed.
    #[arg(long)]
    failed: bool,
    /// Only traces that take at least so many milliseconds.
    #[arg(long, value_name = "MS")]
    slower_than: Option<u64>,
    /// Leave out the lines that are no telemetry.
    #[arg(long)]
    telemetry_only: bool,
}

/// The lines of an invocation come together: what has come is shown when nothing has for so long.
const QUIET: Duration = Duration::from_millis(300);
/// So much is shown at once at most.
const MOST_ITEMS: usize = 10_000;

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let lines = read(&arguments.files)?;
    // Colours on a terminal only, and none under NO_COLOR.
    let mut out = anstream::stdout().lock();
    let mut tail = Tail { arguments, joining: Joining::default(), held: Held::default(), wrong: 0 };
    let mut number = 0;
    loop {
        // While anything is held the next line is waited for only so long.
        let wait = if tail.holds_anything() { QUIET } else { Duration::MAX };
        match lines.recv_timeout(wait) {
            Ok(line) => {
                number += 1;
                tail.take(number, line?, &mut out)?;
            }
            Err(RecvTimeoutError::Timeout) => tail.show(&mut out)?,
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    tail.show(&mut out)?;
    Ok(if tail.wrong > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Reads the files one after the other, on a thread, since standard input may have nothing for long.
fn read(files: &[String]) -> anyhow::Result<Receiver<io::Result<Line>>> {
    const LINES: usize = 64;
    let standard_input = ["-".to_owned()];
    let files = if files.is_empty() { &standard_input } else { files };
    let inputs = files.iter().map(|file| open(file)).collect::<anyhow::Result<Vec<_>>>()?;
    let (sender, lines) = sync_channel(LINES);
    std::thread::spawn(move || {
        for mut input in inputs {
            loop {
                let line = next_line(&mut input);
                if matches!(line, Ok(Line::End)) {
                    break;
                }
                let is_last = line.is_err();
                if sender.send(line).is_err() || is_last {
                    return;
                }
            }
        }
    });
    Ok(lines)
}

/// What is not shown yet.
#[derive(Default)]
struct Held {
    spans: Vec<(String, String, Span)>,
    records: Vec<(String, LogRecord)>,
    metrics: Vec<(String, Metric)>,
}

struct Tail<'a> {
    arguments: &'a Arguments,
    joining: Joining,
    held: Held,
    /// Lines that claim to be OTLP and did not decode.
    wrong: usize,
}

impl Tail<'_> {
    fn holds_anything(&self) -> bool {
        self.held.items() > 0 || self.joining.is_waiting()
    }

    fn take(&mut self, number: usize, line: Line, out: &mut dyn Write) -> io::Result<()> {
        match line {
            Line::Text(line) => {
                let found = self.joining.take(number, line);
                self.take_found(found, out)
            }
            Line::TooLong => {
                self.wrong += 1;
                eprintln!("line {number}: skipped: it is longer than {MAX_LINE_BYTES} bytes");
                Ok(())
            }
            Line::End => Ok(()),
        }
    }

    fn take_found(&mut self, found: Vec<(usize, Found)>, out: &mut dyn Write) -> io::Result<()> {
        for (number, found) in found {
            match found {
                Found::Otlp(reading) => self.hold(number, &reading),
                Found::Other(line) if self.arguments.telemetry_only || line.trim().is_empty() => {}
                Found::Other(line) => writeln!(out, "{line}")?,
            }
        }
        if self.held.items() > MOST_ITEMS { self.show(out) } else { Ok(()) }
    }

    fn hold(&mut self, number: usize, reading: &LineReading) {
        reading.decoded.iter().for_each(|line| self.held.add(line));
        for undecodable in &reading.undecodable {
            self.wrong += 1;
            eprintln!("line {number}: {} ({} bytes)", undecodable.reason, undecodable.bytes);
        }
    }

    /// Shows what is held.
    fn show(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let rest = self.joining.rest();
        if !rest.is_empty() {
            self.take_found(rest, out)?;
        }
        let mut held = std::mem::take(&mut self.held);
        if let Some(service) = &self.arguments.service {
            held.keep(service);
        }
        for trace in held.waterfalls().iter().filter(|trace| self.is_wanted(trace)) {
            draw::waterfall(trace, out)?;
        }
        // Filters of traces ask for traces.
        if !self.arguments.failed && self.arguments.slower_than.is_none() {
            held.show_others(out)?;
        }
        out.flush()
    }

    fn is_wanted(&self, trace: &Waterfall) -> bool {
        let Arguments { failed, slower_than, .. } = self.arguments;
        let longest = trace.rows.iter().map(|row| row.millis).fold(0.0, f64::max);
        #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
        let is_slow = slower_than.is_none_or(|least| longest >= least as f64);
        is_slow && (!failed || trace.rows.iter().any(|row| row.has_failed))
    }
}

impl Held {
    fn items(&self) -> usize {
        self.spans.len() + self.records.len() + self.metrics.len()
    }

    fn add(&mut self, line: &DecodedLine) {
        if let Some(Ok(request)) = line.request.decode::<Traces>() {
            for resource in request.resource_spans {
                let service = service(resource.resource.as_ref());
                for scope in resource.scope_spans {
                    let name = scope.scope.map(|scope| scope.name).unwrap_or_default();
                    let spans = scope.spans.into_iter();
                    self.spans.extend(spans.map(|span| (service.clone(), name.clone(), span)));
                }
            }
        } else if let Some(Ok(request)) = line.request.decode::<Logs>() {
            for resource in request.resource_logs {
                let service = service(resource.resource.as_ref());
                let records = resource.scope_logs.into_iter().flat_map(|scope| scope.log_records);
                self.records.extend(records.map(|record| (service.clone(), record)));
            }
        } else if let Some(Ok(request)) = line.request.decode::<Metrics>() {
            for resource in request.resource_metrics {
                let service = service(resource.resource.as_ref());
                let metrics = resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics);
                self.metrics.extend(metrics.map(|metric| (service.clone(), metric)));
            }
        }
    }

    /// Leaves what is of this service; of traces that it takes part in, all spans.
    fn keep(&mut self, service: &str) {
        let of_service = self.spans.iter().filter(|(own, ..)| own == service);
        let traces: BTreeSet<Vec<u8>> =
            of_service.map(|(.., span)| span.trace_id.clone()).collect();
        self.spans.retain(|(.., span)| traces.contains(&span.trace_id));
        self.records.retain(|(own, record)| own == service || traces.contains(&record.trace_id));
        self.metrics.retain(|(own, _)| own == service);
    }

    fn waterfalls(&self) -> Vec<Waterfall> {
        let of = |(service, scope, span)| SpanOf { service, scope, span };
        let spans: Vec<SpanOf<'_>> =
            self.spans.iter().map(|(service, scope, span)| of((service, scope, span))).collect();
        let records: Vec<RecordOf<'_>> =
            self.records.iter().map(|(service, record)| RecordOf { service, record }).collect();
        waterfalls(&spans, &records, &Named)
    }

    /// Log records without a trace, and metrics.
    fn show_others(&self, out: &mut dyn Write) -> io::Result<()> {
        for (service, record) in self.records.iter().filter(|(_, own)| own.trace_id.is_empty()) {
            let Log { level, body, .. } = Log::of(RecordOf { service, record }, &Named);
            writeln!(out, "  {service:<8} {level:<6} {}", short(&body, 100))?;
        }
        if !self.metrics.is_empty() {
            writeln!(out, "\n{HEADING}Metrics{HEADING:#}")?;
        }
        for (service, metric) in &self.metrics {
            for value in values(metric) {
                writeln!(out, "  {service:<8} {:<40} {value} {}", metric.name, metric.unit)?;
            }
        }
        Ok(())
    }
}

/// Traces are called after the invocations in them.
struct Named;

impl Naming for Named {
    fn label(&self, request_ids: &BTreeSet<String>) -> String {
        let ids: Vec<&str> = request_ids.iter().map(String::as_str).collect();
        if ids.is_empty() {
            "of no invocation".to_owned()
        } else {
            format!("invocation {}", ids.join(", "))
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

/// The value of each data point.
fn values(metric: &Metric) -> Vec<String> {
    let number = |value: &Option<Value>| match value {
        Some(Value::AsInt(value)) => value.to_string(),
        Some(Value::AsDouble(value)) => value.to_string(),
        None => "no value".to_owned(),
    };
    let total = |count: u64, sum: Option<f64>| match sum {
        Some(sum) => format!("{count} times, sum {sum}"),
        None => format!("{count} times"),
    };
    match &metric.data {
        Some(Data::Gauge(data)) => data.data_points.iter().map(|own| number(&own.value)).collect(),
        Some(Data::Sum(data)) => data.data_points.iter().map(|own| number(&own.value)).collect(),
        Some(Data::Histogram(data)) => {
            data.data_points.iter().map(|own| total(own.count, own.sum)).collect()
        }
        Some(Data::ExponentialHistogram(data)) => {
            data.data_points.iter().map(|own| total(own.count, own.sum)).collect()
        }
        Some(Data::Summary(data)) => {
            data.data_points.iter().map(|own| total(own.count, Some(own.sum))).collect()
        }
        None => Vec::new(),
    }
}
