//! Creates items of the three signals, with the expectations for each.

use super::cloud::Unit;
use super::marks::{self, MARK, Mark, NOTE};
use super::setup::{ADDRESS, DEFAULT, DestinationId, FAILED_TRACE, NOISE, TRACES, Way, profile};
use super::telemetry::{Maker, line};
use backend::{Profile, sanitize};
use lambda_otlp_forwarder::{ConvertOptions, LogEvent, Origin, StreamState, convert};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value as Any};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use opentelemetry_proto::tonic::metrics::v1::{
    Metric, NumberDataPoint, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{Span, Status, status::StatusCode};
use std::cell::RefCell;
use wire::compact::{Context, Encoder};
use wire::{Request, SignalKind};

thread_local! {
    /// Shared by the schedules, because indexing the dictionary takes longer than many lines.
    static COMPACT: RefCell<Encoder> = RefCell::default();
}

/// Start of every schedule, in milliseconds since the Unix epoch.
pub(crate) const BEGAN_MS: u64 = 1_790_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    Fresh,
    /// From a clock that differs from CloudWatch's by this many seconds.
    Skewed(i16),
    /// Leaves the ingest window this many seconds after the start.
    Aging(u64),
    /// Left the window an hour ago.
    Old,
    /// Too far in the future.
    Ahead,
}

/// An item of this age at the start is at the end of the window.
const WINDOW_MS: u64 = 5 * 3_600_000;

impl Age {
    pub(crate) fn time_ms(self) -> u64 {
        match self {
            Self::Fresh => BEGAN_MS,
            Self::Skewed(seconds) => BEGAN_MS.strict_add_signed(i64::from(seconds) * 1000),
            Self::Aging(seconds) => BEGAN_MS - WINDOW_MS + seconds * 1000,
            Self::Old => BEGAN_MS - WINDOW_MS - 3_600_000,
            Self::Ahead => BEGAN_MS + 25 * 3_600_000,
        }
    }

    /// Returns `true` if an item of this time leaves the window during the schedule.
    pub(crate) fn is_aging(time_unix_nano: u64) -> bool {
        let old = Self::Aging(0).unix_nano();
        (old..Self::Fresh.unix_nano()).contains(&time_unix_nano)
    }

    pub(crate) fn unix_nano(self) -> u64 {
        self.time_ms() * 1_000_000
    }

    pub(crate) fn log_event(self, id: String, message: String) -> LogEvent {
        LogEvent { id, timestamp_ms: i64::try_from(self.time_ms()).unwrap(), message }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Fact {
    pub(crate) kind: SignalKind,
    pub(crate) age: Age,
    pub(crate) stream: Option<String>,
    /// The text of its log event.
    pub(crate) text: Option<String>,
}

struct Item {
    mark: Mark,
    kind: SignalKind,
    age: Age,
    is_noise: bool,
    /// `false` for a data point that OpenObserve cannot store.
    is_number: bool,
    text: Option<String>,
    trace: Option<u8>,
}

impl Item {
    fn new(mark: Mark, kind: SignalKind, age: Age) -> Self {
        Self { mark, kind, age, is_noise: false, is_number: true, text: None, trace: None }
    }
}

/// Telemetry of one log stream, with its expectations.
pub(crate) struct Stream {
    pub(crate) place: Origin,
    pub(crate) ways: Vec<Way>,
    /// `false` for items parked before, whose rules were applied then.
    pub(crate) is_ruled: bool,
    pub(crate) unit: Unit,
    pub(crate) events: Vec<LogEvent>,
}

impl Maker {
    pub(crate) fn stream(&self, place: Origin) -> Stream {
        let ways = self.schedule.setup.ways(&place);
        let unit = Unit::delivered();
        Stream { place, ways, is_ruled: true, unit, events: Vec::new() }
    }

    pub(crate) fn age(&mut self) -> Age {
        if !self.random.percent(self.schedule.old_percent) {
            if !self.random.percent(10) {
                return Age::Fresh;
            }
            self.census.met("clock: skewed");
            let seconds = i16::try_from(self.random.below(600)).unwrap();
            return Age::Skewed(if self.random.percent(50) { seconds } else { -seconds });
        }
        match self.random.below(6) {
            0..4 => {
                // Soon after its arrival, or while it waits.
                let soon = *self.random.pick(&[60, 60, 1200]);
                Age::Aging(self.start.as_secs() + self.random.next() % soon)
            }
            4 => Age::Old,
            _ => Age::Ahead,
        }
    }

    /// Notes the expectation of one fate at each destination of an item.
    fn owe(&mut self, stream: &mut Stream, item: &Item) {
        let Stream { ways, is_ruled, unit, .. } = stream;
        for way in ways.iter() {
            self.owe_at(way, *is_ruled, unit, item);
        }
    }

    fn owe_at(&mut self, way: &Way, is_ruled: bool, unit: &mut Unit, item: &Item) {
        let Way { destination, stream } = way;
        let mark = marks::at(*destination, &item.mark);
        let cannot_be_stored = !item.is_number && profile(*destination) == Profile::OpenObserve;
        let setup = &self.schedule.setup;
        let is_noise = is_ruled && item.is_noise && setup.drops;
        let is_of_dropped_trace =
            is_ruled && item.trace.is_some_and(|trace| setup.drops_trace(trace));
        let is_of_failed_trace = is_ruled && setup.samples && item.trace == Some(FAILED_TRACE);
        self.census.met_often("rule: dropped", usize::from(is_noise));
        self.census.met_often("rule: dropped with its trace", usize::from(is_of_dropped_trace));
        self.census.met_often("rule: kept with its trace", usize::from(is_of_failed_trace));
        let is_dropped = is_noise || is_of_dropped_trace;
        if is_dropped || cannot_be_stored {
            unit.dropped.push(mark);
            return;
        }
        let fact = Fact {
            kind: item.kind,
            age: item.age,
            stream: stream.clone().filter(|_| item.kind != SignalKind::Metrics),
            text: item.text.clone(),
        };
        unit.facts.push((mark.clone(), fact));
        unit.marks.push(mark);
    }

    /// Expects the log record of a line.
    pub(crate) fn owe_record(
        &mut self,
        stream: &mut Stream,
        (id, age): (&str, Age),
        text: Option<String>,
    ) {
        let is_noise = text.as_ref().is_some_and(|text| text.starts_with(NOISE));
        let address = if self.schedule.setup.redacts { "****" } else { ADDRESS };
        let text = text.map(|text| text.replace(ADDRESS, address));
        let new = Item::new(marks::of_event(id), SignalKind::Logs, age);
        self.owe(stream, &Item { is_noise, text, ..new });
    }

    pub(crate) fn broken_line(&mut self, stream: &mut Stream, event: (&str, Age)) -> String {
        self.owe_record(stream, event, None);
        stream.unit.marks.push(marks::at(DEFAULT, &marks::of_line(event.0)));
        r#"{"__otel_otlp_stdout":"0.1.0","source":"s","payload":"!"}"#.to_owned()
    }

    /// An OTLP line with items of any signal. A compact line may have several requests.
    pub(crate) fn line(&mut self, stream: &mut Stream) -> String {
        if !self.random.percent(40) {
            return line(&self.request(stream), "");
        }
        let requests: Vec<Request> =
            (0..self.random.between(1, 3)).map(|_| self.request(stream)).collect();
        self.census.met(match requests.len() {
            1 => "line: compact",
            _ => "line: compact, several requests",
        });
        let Origin { account, log_group, log_stream, .. } = &stream.place;
        let function = log_group.strip_prefix("/aws/lambda/").unwrap_or_default();
        // Raw lines and lines of the retry queue come without the names of their function.
        let names = if log_group.is_empty() {
            Context::default()
        } else {
            Context { function, account, log_stream, region: "eu-west-1" }
        };
        let requests: Vec<&Request> = requests.iter().collect();
        let content = COMPACT.with_borrow_mut(|encoder| encoder.text(&names, &requests));
        format!(r#"{{"_otelc":"{content}"}}"#)
    }

    pub(crate) fn report(&mut self, stream: &mut Stream, (id, age): (&str, Age)) -> String {
        // The report counts as a trace of its own, which the hash of this id keeps with any share above 0.2.
        const REQUEST_ID: &str = "8f507cfc-0003-4697-b07a-ac58fc914c95";
        let message = format!(
            "REPORT RequestId: {REQUEST_ID}\tDuration: 1.71 ms\tBilled Duration: 2 ms\t\
             Memory Size: 128 MB\tMax Memory Used: 60 MB\t\n"
        );
        self.owe_record(stream, (id, age), None);
        let event = age.log_event(id.to_owned(), message.clone());
        let Stream { place, ways, unit, .. } = stream;
        for way in ways {
            for mark in points_of(place, &event, way.destination) {
                let item = Item::new(mark, SignalKind::Metrics, Age::Fresh);
                self.owe_at(way, true, unit, &item);
            }
        }
        message
    }

    pub(crate) fn request(&mut self, stream: &mut Stream) -> Request {
        let items = self.random.between(1, 4);
        match self.random.below(4) {
            0 | 1 => {
                let spans = (0..items).map(|_| self.span(stream)).collect();
                Request::of_spans(resource(), spans)
            }
            2 => {
                let points = (0..items).map(|_| self.point(stream)).collect();
                let sum =
                    Sum { data_points: points, aggregation_temporality: 1, is_monotonic: true };
                let data = Some(metric::Data::Sum(sum));
                let metrics = vec![Metric { name: "orders".to_owned(), data, ..Metric::default() }];
                Request::of_metrics(resource(), metrics)
            }
            _ => {
                let log_records = (0..items).map(|_| self.record(stream)).collect();
                Request::of_log_records(resource(), log_records)
            }
        }
    }

    /// Expects an item from OTLP. Returns its attributes, which rules read.
    fn otlp(&mut self, stream: &mut Stream, item: Item) -> Vec<KeyValue> {
        // Rules must not drop what they were applied to before.
        let is_noise = self.random.percent(15);
        let note = if stream.is_ruled { ADDRESS } else { "****" };
        let mut attributes = vec![attribute(MARK, &item.mark), attribute(NOTE, note)];
        if is_noise {
            let value = Some(AnyValue { value: Some(Any::BoolValue(true)) });
            attributes.push(KeyValue { key: "noise".to_owned(), value, ..KeyValue::default() });
        }
        self.owe(stream, &Item { is_noise, ..item });
        attributes
    }

    fn trace(&mut self) -> u8 {
        let first = usize::from(*TRACES.start());
        let last = usize::from(*TRACES.end());
        u8::try_from(self.random.between(first, last)).unwrap()
    }

    pub(crate) fn span(&mut self, stream: &mut Stream) -> Span {
        let age = self.age();
        let trace = self.trace();
        self.span_of(stream, age, Some(trace))
    }

    /// A span of this trace. Without one, its id is invalid.
    pub(crate) fn span_of(&mut self, stream: &mut Stream, age: Age, trace: Option<u8>) -> Span {
        let span_id = self.serial().to_be_bytes().to_vec();
        let item = Item::new(marks::of_span(&span_id), SignalKind::Traces, age);
        let attributes = self.otlp(stream, Item { trace, ..item });
        let start = age.unix_nano();
        let code = if trace == Some(FAILED_TRACE) { StatusCode::Error } else { StatusCode::Unset };
        Span {
            trace_id: vec![trace.unwrap_or_default(); 16],
            status: Some(Status { code: code as i32, ..Status::default() }),
            span_id,
            name: "work".to_owned(),
            start_time_unix_nano: start,
            end_time_unix_nano: start + 1000,
            attributes,
            ..Span::default()
        }
    }

    pub(crate) fn record(&mut self, stream: &mut Stream) -> LogRecord {
        let mark = format!("otlp {}", self.serial());
        let age = self.age();
        let trace = if self.random.percent(50) { Some(self.trace()) } else { None };
        let item = Item::new(mark, SignalKind::Logs, age);
        let attributes = self.otlp(stream, Item { trace, ..item });
        let severity = if trace == Some(FAILED_TRACE) { "ERROR" } else { "INFO" };
        let number =
            if severity == "ERROR" { SeverityNumber::Error } else { SeverityNumber::Unspecified };
        LogRecord {
            time_unix_nano: age.unix_nano(),
            severity_text: severity.to_owned(),
            severity_number: number as i32,
            attributes,
            trace_id: trace.map(|trace| vec![trace; 16]).unwrap_or_default(),
            ..LogRecord::default()
        }
    }

    fn point(&mut self, stream: &mut Stream) -> NumberDataPoint {
        let mark = format!("otlp {}", self.serial());
        // OpenObserve cannot store it; the forwarder drops and counts it.
        let is_number = !self.random.percent(10) || !stream.is_ruled;
        let item = Item { is_number, ..Item::new(mark, SignalKind::Metrics, Age::Fresh) };
        let attributes = self.otlp(stream, item);
        NumberDataPoint {
            attributes,
            time_unix_nano: BEGAN_MS * 1_000_000,
            value: Some(number_data_point::Value::AsDouble(if is_number { 1.0 } else { f64::NAN })),
            ..NumberDataPoint::default()
        }
    }
}

pub(crate) fn attribute(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Any::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

pub(crate) fn resource() -> Resource {
    // Compact lines leave out the account and the log stream of the delivery.
    let writer = "123456789012 in 2026/09/21/[$LATEST]abc";
    let attributes = vec![attribute("service.name", "checkout"), attribute("writer", writer)];
    Resource { attributes, ..Resource::default() }
}

/// The marks of the data points of a REPORT line. `platform` tests their content.
fn points_of(origin: &Origin, event: &LogEvent, destination: DestinationId) -> Vec<Mark> {
    let options = ConvertOptions::default();
    let events = std::slice::from_ref(event);
    let stream = StreamState::default();
    let converted = convert(origin, events, stream, &options, None, 1);
    let metrics = converted.requests.into_iter().filter(|it| it.kind() == SignalKind::Metrics);
    let sanitized = metrics.filter_map(|request| {
        sanitize(profile(destination), request, &converted.service_name).request
    });
    sanitized.flat_map(|request| marks::of_request(&request)).map(|found| found.mark).collect()
}
