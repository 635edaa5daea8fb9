//! Makes what a forwarder receives, each item with its mark: log lines of every kind in the events of every source.

use crate::marks::{self, MARK, Mark};
use crate::random::Random;
use crate::world::Unit;
use backend::{Profile, sanitize};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lambda_otlp_forwarder::convert::{self, ConvertOptions};
use lambda_otlp_forwarder::parking::{Content, MAX_MESSAGE_BYTES, Origin, Parked};
use lambda_otlp_forwarder::source::{Envelope, LogBatch, LogEvent};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value as Any};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use serde_json::json;
use wire::{Logs, Metrics, Request, Signal as _, Traces};

/// When every schedule begins, in milliseconds since the Unix epoch.
pub(crate) const BEGAN_MS: u64 = 1_790_000_000_000;

/// The forwarder's own log group.
pub(crate) const OWN_LOG_GROUP: &str = "/aws/lambda/forwarder";

/// Makes telemetry; no mark twice.
pub(crate) struct Maker {
    serial: u64,
    pub(crate) random: Random,
}

impl Maker {
    pub(crate) fn new(random: Random) -> Self {
        Self { serial: 0, random }
    }

    fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// What a subscription delivers.
    pub(crate) fn subscription(&mut self) -> (String, Unit) {
        if self.random.percent(3) {
            let raw = format!("raw-{}", self.serial());
            let event = match self.random.below(2) {
                0 => json!({"awslogs": {"data": format!("!{raw}!")}}),
                _ => json!({"deliveryStreamArn": "arn", "records": [raw]}),
            };
            return (event.to_string(), unit(vec![marks::of_raw(raw.as_bytes())]));
        }
        let (data, unit) = self.delivery();
        (json!({"awslogs": {"data": STANDARD.encode(data)}}).to_string(), unit)
    }

    /// What CloudWatch Logs puts into a subscription's event or into a Kinesis record: mostly one object.
    ///
    /// Not more than two, and no small chunks: the third batch waits on another thread until the first is delivered, and
    /// meanwhile tokio's paused clock stands still.
    fn delivery(&mut self) -> (Vec<u8>, Unit) {
        let mut unit = unit(Vec::new());
        let objects = if self.random.percent(30) { 2 } else { 1 };
        let text: String = (0..objects).map(|_| self.object(&mut unit)).collect();
        (gzip(text.as_bytes()), unit)
    }

    /// The log events of one log stream.
    fn object(&mut self, unit: &mut Unit) -> String {
        let serial = self.serial();
        let is_own = self.random.percent(3);
        let is_control = self.random.percent(3);
        let log_group =
            if is_own { OWN_LOG_GROUP.to_owned() } else { format!("/aws/lambda/fn{serial}") };
        let envelope = Envelope {
            owner: "123456789012".to_owned(),
            log_group: log_group.clone(),
            log_stream: "2026/09/21/[$LATEST]abc".to_owned(),
            ..Envelope::default()
        };
        let mut made = self::unit(Vec::new());
        let count = *self.random.pick(&[1, 2, 4, 8, 14]);
        let events: Vec<_> = (0..count)
            .map(|number| {
                // Lambda reports once, at the end.
                let is_last = number + 1 == count;
                let id = self.serial();
                self.log_event(format!("{id:056}"), is_last, &envelope, &mut made)
            })
            .map(|LogEvent { id, timestamp_ms, message }| {
                json!({"id": id, "timestamp": timestamp_ms, "message": message})
            })
            .collect();
        if !is_own && !is_control {
            unit.marks.extend(made.marks);
            unit.dropped += made.dropped;
        }
        let message_type = if is_control { "CONTROL_MESSAGE" } else { "DATA_MESSAGE" };
        json!({"messageType": message_type, "owner": envelope.owner, "logGroup": log_group,
            "logStream": envelope.log_stream, "subscriptionFilters": ["f"], "logEvents": events})
        .to_string()
    }

    fn log_event(
        &mut self,
        id: String,
        may_be_report: bool,
        envelope: &Envelope,
        unit: &mut Unit,
    ) -> LogEvent {
        // Some are outside OpenObserve's ingest window: they are dead-lettered.
        let age_ms = if self.random.percent(3) { 6 * 3_600_000 } else { 0 };
        let timestamp_ms = i64::try_from(BEGAN_MS + self.serial - age_ms).unwrap();
        let kind = self.random.below(100);
        let record = marks::of_event(&id);
        let message = match kind {
            0..35 => {
                unit.marks.push(record);
                let padding = *self.random.pick(&[0, 0, 20, 400]);
                format!("a line{}\n", " more".repeat(padding / 5))
            }
            35..45 => {
                unit.marks.push(record);
                r#"{"level":"ERROR","message":"it failed","orderId":17}"#.to_owned()
            }
            45..50 => {
                unit.marks.extend([record, marks::of_line(&id)]);
                r#"{"__otel_otlp_stdout":"0.1.0","source":"s","payload":"!"}"#.to_owned()
            }
            50..58 if may_be_report => {
                unit.marks.push(record);
                let message = "REPORT RequestId: 8f507cfc-0000-4697-b07a-ac58fc914c95\tDuration: 1.71 ms\t\
                               Billed Duration: 2 ms\tMemory Size: 128 MB\tMax Memory Used: 60 MB\t\n";
                let event = LogEvent { id: id.clone(), timestamp_ms, message: message.to_owned() };
                unit.marks.extend(points_of(envelope, &event));
                message.to_owned()
            }
            _ => {
                let request = self.request(unit);
                line(&request)
            }
        };
        LogEvent { id, timestamp_ms, message }
    }

    /// A request of any signal.
    fn request(&mut self, unit: &mut Unit) -> Request {
        let items = self.random.between(1, 4);
        match self.random.below(4) {
            0 | 1 => {
                let spans = (0..items).map(|_| {
                    let span_id = self.serial().to_be_bytes().to_vec();
                    unit.marks.push(marks::of_span(&span_id));
                    let start = BEGAN_MS * 1_000_000;
                    Span {
                        trace_id: vec![7; 16],
                        span_id,
                        name: "work".to_owned(),
                        start_time_unix_nano: start,
                        end_time_unix_nano: start + 1000,
                        ..Span::default()
                    }
                });
                let spans = ScopeSpans { spans: spans.collect(), ..ScopeSpans::default() };
                let scope_spans = vec![spans];
                let resource = Some(resource());
                let spans = ResourceSpans { resource, scope_spans, ..ResourceSpans::default() };
                Request::encode::<Traces>(&Traces::request(vec![spans]))
            }
            2 => {
                let points = (0..items).map(|_| self.point(unit)).collect();
                let sum =
                    Sum { data_points: points, aggregation_temporality: 1, is_monotonic: true };
                let data = Some(metric::Data::Sum(sum));
                let metrics = vec![Metric { name: "orders".to_owned(), data, ..Metric::default() }];
                let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
                let resource = Some(resource());
                let metrics =
                    ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() };
                Request::encode::<Metrics>(&Metrics::request(vec![metrics]))
            }
            _ => {
                let log_records = (0..items).map(|_| {
                    let mark = format!("otlp {}", self.serial());
                    unit.marks.push(mark.clone());
                    LogRecord {
                        time_unix_nano: BEGAN_MS * 1_000_000,
                        severity_text: "INFO".to_owned(),
                        attributes: vec![attribute(MARK, &mark)],
                        ..LogRecord::default()
                    }
                });
                let log_records = log_records.collect();
                let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
                let resource = Some(resource());
                let logs = ResourceLogs { resource, scope_logs, ..ResourceLogs::default() };
                Request::encode::<Logs>(&Logs::request(vec![logs]))
            }
        }
    }

    fn point(&mut self, unit: &mut Unit) -> NumberDataPoint {
        let mark = format!("otlp {}", self.serial());
        // OpenObserve cannot store it: the forwarder drops and counts it.
        let is_number = !self.random.percent(10);
        if is_number {
            unit.marks.push(mark.clone());
        } else {
            unit.dropped += 1;
        }
        NumberDataPoint {
            attributes: vec![attribute(MARK, &mark)],
            time_unix_nano: BEGAN_MS * 1_000_000,
            value: Some(number_data_point::Value::AsDouble(if is_number { 1.0 } else { f64::NAN })),
            ..NumberDataPoint::default()
        }
    }

    /// A Kinesis record, its sequence number first.
    pub(crate) fn kinesis_record(&mut self) -> (String, String, Unit) {
        let sequence_number = format!("49{:020}", self.serial());
        let (data, unit) = match self.random.below(10) {
            0..6 => self.delivery(),
            6..9 => self.raw_lines(&sequence_number),
            _ => {
                let data = [b"\xff", format!("raw-{}", self.serial()).as_bytes()].concat();
                let mark = marks::of_raw(&data);
                (data, unit(vec![mark]))
            }
        };
        let record = json!({
            "kinesis": {"sequenceNumber": sequence_number, "data": STANDARD.encode(data),
                "approximateArrivalTimestamp": 1_790_000_000.123},
            "eventSource": "aws:kinesis",
            "eventSourceARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/logs",
            "awsRegion": "eu-west-1",
        });
        (sequence_number, record.to_string(), unit)
    }

    fn raw_lines(&mut self, sequence_number: &str) -> (Vec<u8>, Unit) {
        let mut unit = unit(Vec::new());
        let mut text = String::new();
        for number in 0..self.random.between(1, 3) {
            let id = match number {
                0 => sequence_number.to_owned(),
                _ => format!("{sequence_number}-{number}"),
            };
            let event = self.log_event(id, false, &Envelope::default(), &mut unit);
            text.push_str(event.message.trim_end());
            text.push('\n');
        }
        (text.into_bytes(), unit)
    }

    /// A message that waits in the retry queue from the beginning.
    pub(crate) fn message(&mut self) -> (String, Unit) {
        let mut unit = unit(Vec::new());
        let id = format!("{:056}", self.serial());
        let content = match self.random.below(12) {
            0..5 => {
                let mut request = self.request(&mut unit);
                // What is parked was sanitized before.
                while unit.dropped > 0 {
                    unit = self::unit(Vec::new());
                    request = self.request(&mut unit);
                }
                Content::Request(request)
            }
            5 => {
                let line = "{\"__otel_otlp_stdout\":\"0.1.0\",\"payload\":\"!\"}".to_owned();
                unit.marks.extend([marks::of_event(&id), marks::of_line(&id)]);
                Content::Line { event_id: id, timestamp_ms: 1_790_000_000_000, line }
            }
            6 => {
                let request = self.request(&mut unit);
                let line = line(&request);
                Content::Line { event_id: id, timestamp_ms: 1_790_000_000_000, line }
            }
            7 => {
                let envelope = Envelope { log_group: "/g".to_owned(), ..Envelope::default() };
                let event = self.log_event(id, false, &envelope, &mut unit);
                Content::Events(LogBatch { envelope, events: vec![event] })
            }
            8 => {
                let raw = format!("raw-{}", self.serial()).into_bytes();
                unit.marks.push(marks::of_raw(&raw));
                Content::Raw(raw)
            }
            9 => {
                let text = *self.random.pick(&["what is this? ", "{\"requestPayload\":7}", "{} "]);
                let body = format!("{text} raw-{}", self.serial());
                unit.marks.push(marks::of_raw(body.as_bytes()));
                return (body, unit);
            }
            _ => {
                let (event, unit) = self.subscription();
                let body = if self.random.percent(50) { on_failure_record(&event) } else { event };
                return (body, unit);
            }
        };
        let items = match &content {
            Content::Request(request) => request.items(),
            _ => 1,
        };
        let parked = Parked {
            destination: "default".to_owned(),
            stream: None,
            content,
            items,
            oldest_unix_nano: BEGAN_MS * 1_000_000,
            newest_unix_nano: BEGAN_MS * 1_000_000,
            first_seen_unix_nano: BEGAN_MS * 1_000_000,
            reason: "answered 503 Service Unavailable".to_owned(),
            partial: false,
            origin: Origin::default(),
        };
        let (messages, too_large) = parked.into_messages(MAX_MESSAGE_BYTES);
        assert_eq!((messages.len(), too_large.len()), (1, 0));
        (messages[0].body.clone(), unit)
    }
}

/// The request as an OTLP line, as a function's exporter writes it.
fn line(request: &Request) -> String {
    format!(
        r#"{{"__otel_otlp_stdout":"0.1.0","source":"checkout","endpoint":"{}","method":"POST","content-type":"application/x-protobuf","content-encoding":"gzip","payload":"{}","base64":true}}"#,
        request.kind().path(),
        STANDARD.encode(gzip(request.bytes()))
    )
}

/// One gzip member of one stored block (RFC 1951, 3.2.4): a compressor's tables would take most of a schedule's time.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a delivery of a schedule is small");
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 1];
    let lengths = [length.to_le_bytes(), (!length).to_le_bytes()].concat();
    let tail = [crc.sum().to_le_bytes(), u32::from(length).to_le_bytes()].concat();
    [head.as_slice(), &lengths, bytes, &tail].concat()
}

/// The record that Lambda writes of an event whose invocations failed.
pub(crate) fn on_failure_record(event: &str) -> String {
    format!(
        r#"{{"version":"1.0","requestContext":{{"condition":"RetriesExhausted"}},"requestPayload":{event}}}"#
    )
}

fn unit(marks: Vec<Mark>) -> Unit {
    Unit { marks, deliveries: 1, ..Unit::default() }
}

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Any::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn resource() -> Resource {
    let attributes = vec![attribute("service.name", "checkout")];
    Resource { attributes, ..Resource::default() }
}

/// The marks of the data points that Lambda's report becomes. What it becomes is `platform`'s to test.
fn points_of(envelope: &Envelope, event: &LogEvent) -> Vec<Mark> {
    let options = ConvertOptions::default();
    let events = std::slice::from_ref(event);
    let window = convert::Window::default();
    let converted = convert::convert(envelope, events, window, &options, None, 1);
    let sanitized = converted.requests.into_iter().filter_map(|request| {
        sanitize(Profile::OpenObserve, request, &converted.service_name).request
    });
    let marks: Vec<_> = sanitized.flat_map(|request| marks::of_request(&request)).collect();
    marks.into_iter().filter(|mark| mark.starts_with("point ")).collect()
}
