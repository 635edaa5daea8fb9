//! Creates events with log lines of every kind, from every source, each item with its mark.

use super::census::Census;
use super::cloud::Unit;
use super::hostile::HOSTILE_PERCENT;
use super::items::{Age, BEGAN_MS, Stream};
use super::marks::{self, Mark};
use super::schedule::{Random, Schedule};
use super::setup::{ADDRESS, DEFAULT, GROUPS, NAMES, NOISE, Way};
use crate::not_taken::parked;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::{Compression, GzBuilder};
use lambda_otlp_forwarder::{
    Consumed, Content, LogBatch, LogEvent, MAX_MESSAGE_BYTES, Origin, QueuedTelemetry,
};
use serde_json::{Value, json};
use std::io::Write as _;
use std::time::Duration;
use wire::{Request, Signal as _, Traces};

/// The forwarder's own log group.
pub(crate) const OWN_LOG_GROUP: &str = "/aws/lambda/forwarder";

const ACCOUNT: &str = "123456789012";

/// Creates telemetry with unique marks.
pub(crate) struct Maker {
    serial: u64,
    pub(crate) random: Random,
    pub(crate) schedule: Schedule,
    /// Arrival time of the next telemetry.
    pub(crate) start: Duration,
    pub(crate) census: Census,
}

impl Maker {
    pub(crate) fn new(random: Random, schedule: &Schedule) -> Self {
        let schedule = schedule.clone();
        let census = Census::default();
        Self { serial: 0, random, schedule, start: Duration::ZERO, census }
    }

    pub(crate) fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub(crate) fn raw(&mut self) -> (String, Mark) {
        let raw = format!("raw-{}", self.serial());
        let mark = marks::at(DEFAULT, &marks::of_raw(raw.as_bytes()));
        (raw, mark)
    }

    /// The event of a subscription.
    pub(crate) fn subscription(&mut self) -> (String, Unit) {
        if self.random.percent(3) {
            let (raw, mark) = self.raw();
            let event = match self.random.below(2) {
                0 => json!({"awslogs": {"data": format!("!{raw}!")}}),
                _ => json!({"deliveryStreamArn": "arn", "records": [raw]}),
            };
            return (event.to_string(), unit(vec![mark]));
        }
        let (data, unit) = self.delivery();
        let mut event = json!({"awslogs": {"data": STANDARD.encode(data)}});
        // Lambda keeps the text of a broken event.
        if let Some(mark) = unit.marks.first().filter(|_| unit.is_broken) {
            event["note"] = format!("raw-{}", mark.rsplit(' ').next().unwrap()).into();
        }
        (event.to_string(), unit)
    }

    /// The data of a subscription's event or a Kinesis record, usually with one object.
    fn delivery(&mut self) -> (Vec<u8>, Unit) {
        let mut unit = unit(Vec::new());
        let objects = match self.schedule.has_many_batches {
            true => self.random.between(2, 5),
            false if self.random.percent(30) => 2,
            false => 1,
        };
        let text: String = (0..objects).map(|_| self.object(&mut unit)).collect();
        if !self.random.percent(6) {
            return (gzip("", text.as_bytes()), unit);
        }
        let (raw, mark) = self.raw();
        unit.break_down(mark);
        (self.broken(&raw, &text), unit)
    }

    /// A delivery that is not readable to its end. The name in gzip's header identifies it (RFC 1952, 2.3).
    fn broken(&mut self, raw: &str, text: &str) -> Vec<u8> {
        let whole = gzip(raw, text.as_bytes());
        let content = whole.len() - 8 - text.len();
        if self.random.percent(50) {
            self.census.met("event: gzip truncated");
            return whole[..self.random.between(content, whole.len() - 1)].to_vec();
        }
        self.census.met("event: garbage behind the JSON");
        let garbage = *self.random.pick(&["garbage", "}", "{\"logGroup\":", "[1]"]);
        gzip(raw, format!("{text}{garbage}").as_bytes())
    }

    /// A log group that routes can match.
    pub(crate) fn place(&mut self) -> Origin {
        let kind = *self.random.pick(&GROUPS);
        let log_group = format!("/aws/lambda/{kind}{}", self.serial());
        Origin::new(ACCOUNT, "", &log_group, "2026/09/21/[$LATEST]abc")
    }

    /// The log events of one log stream.
    fn object(&mut self, unit: &mut Unit) -> String {
        let is_own = self.random.percent(3);
        let is_control = self.random.percent(3);
        let mut place = self.place();
        if is_own {
            OWN_LOG_GROUP.clone_into(&mut place.log_group);
        }
        let mut stream = self.stream(place);
        let counts =
            if self.schedule.has_many_batches { [1, 1, 2, 3, 4] } else { [1, 2, 3, 6, 12] };
        let count = *self.random.pick(&counts);
        for number in 0..count {
            // Lambda reports at the end.
            let is_last = number + 1 == count;
            let event = (self.event_id(), self.age());
            self.log_event(&mut stream, event, is_last);
        }
        let message_type = if is_control { "CONTROL_MESSAGE" } else { "DATA_MESSAGE" };
        if is_own || is_control {
            let Consumed { control_messages, own_log_group, .. } = &mut unit.consumed;
            *if is_control { control_messages } else { own_log_group } += count;
            unit.events += count;
        } else {
            unit.take(&stream.unit);
        }
        delivery(message_type, &stream.place, &stream.events)
    }

    pub(crate) fn event_id(&mut self) -> String {
        format!("{:056}", self.serial())
    }

    /// Adds a log event of any kind, which may be hostile.
    pub(crate) fn log_event(
        &mut self,
        stream: &mut Stream,
        (id, age): (String, Age),
        may_be_report: bool,
    ) {
        if self.random.percent(HOSTILE_PERCENT) {
            stream.unit.events += 1;
            let message = self.hostile_line(stream, (&id, age));
            stream.events.push(age.log_event(id, message));
        } else {
            self.usual_log_event(stream, (id, age), may_be_report);
        }
    }

    fn usual_log_event(
        &mut self,
        stream: &mut Stream,
        (id, age): (String, Age),
        may_be_report: bool,
    ) {
        let kind = self.random.below(100);
        stream.unit.events += 1;
        let consumed = &mut stream.unit.consumed;
        let message = match kind {
            0..3 => {
                consumed.empty_lines += 1;
                " \n".to_owned()
            }
            3..6 => {
                consumed.platform_lines += 1;
                "INIT_START Runtime Version: nodejs:22.v59\tRuntime Version ARN: arn:aws:lambda:eu-west-1::runtime:1f77ab5a\n"
                    .to_owned()
            }
            6..8 => {
                consumed.lines_without_items += 1;
                line(&Request::encode::<Traces>(&Traces::request(Vec::new())), "")
            }
            8..35 => {
                let padding = *self.random.pick(&[0, 0, 20, 400]);
                let word = if self.random.percent(15) { NOISE } else { "a line" };
                let text = format!("{word} {id} of {ADDRESS}{}", " more".repeat(padding / 5));
                self.owe_record(stream, (&id, age), Some(text.clone()));
                format!("{text}\n")
            }
            35..45 => {
                let text = format!("it failed for {ADDRESS}");
                let order = &id;
                let all = format!("{text} {order}");
                self.owe_record(stream, (&id, age), Some(all));
                format!(r#"{{"level":"ERROR","message":"{text}","orderId":"{order}"}}"#)
            }
            45..50 => self.broken_line(stream, (&id, age)),
            50..58 if may_be_report => self.report(stream, (&id, age)),
            _ => self.line(stream),
        };
        stream.events.push(age.log_event(id, message));
    }

    /// A Kinesis record, with its sequence number first.
    pub(crate) fn kinesis_record(&mut self) -> (String, String, Unit) {
        let sequence_number = format!("49{:020}", self.serial());
        let age = self.age();
        let is_hostile = self.random.percent(HOSTILE_PERCENT);
        let (data, unit) = match self.random.below(10) {
            _ if is_hostile => self.hostile_record(),
            0..6 => self.delivery(),
            6..9 => self.raw_lines(&sequence_number, age),
            _ => {
                let (raw, mark) = self.raw();
                ([b"\xff", raw.as_bytes()].concat(), unit(vec![mark]))
            }
        };
        let record = json!({
            "kinesis": {"sequenceNumber": sequence_number, "data": STANDARD.encode(data),
                "approximateArrivalTimestamp": age.time_ms() / 1000},
            "eventSource": "aws:kinesis",
            "eventSourceARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/logs",
            "awsRegion": "eu-west-1",
        });
        (sequence_number, record.to_string(), unit)
    }

    fn raw_lines(&mut self, sequence_number: &str, age: Age) -> (Vec<u8>, Unit) {
        let mut stream = self.stream(Origin::new("", "", "", "logs"));
        for _ in 0..self.random.between(1, 3) {
            // Empty lines of a record are no log events.
            let id = match stream.unit.events {
                0 => sequence_number.to_owned(),
                number => format!("{sequence_number}-{number}"),
            };
            self.log_event(&mut stream, (id, age), false);
            let is_empty = stream.events.last().is_some_and(|it| it.message.trim().is_empty());
            stream.unit.events -= usize::from(is_empty);
            stream.unit.consumed.empty_lines -= usize::from(is_empty);
        }
        let lines = stream.events.iter().map(|event| format!("{}\n", event.message.trim_end()));
        (lines.collect::<String>().into_bytes(), stream.unit)
    }

    /// A message in the retry queue at the start.
    pub(crate) fn message(&mut self) -> (String, Unit) {
        loop {
            let (body, unit) = self.any_message();
            // The queue refuses an event that is too large for it.
            if body.len() <= local_lambda::queue::MAX_MESSAGE_BYTES {
                return (body, unit);
            }
        }
    }

    fn any_message(&mut self) -> (String, Unit) {
        let id = self.event_id();
        let age = self.age();
        let mut stream = self.stream(Origin::default());
        let mut way = Way { destination: DEFAULT, stream: None };
        let content = match self.random.below(12) {
            0..5 => {
                // Rules and routes were applied before, and the request was adapted to its destination.
                let destination = self.random.below(self.schedule.setup.destinations());
                let has_stream = self.random.percent(50);
                way = Way { destination, stream: has_stream.then(|| "parked".to_owned()) };
                stream.ways = vec![way.clone()];
                stream.is_ruled = false;
                Content::Request(self.request(&mut stream))
            }
            kind @ 5..7 => {
                stream.unit.events = 1;
                let line = match kind {
                    5 => self.broken_line(&mut stream, (&id, age)),
                    _ => self.line(&mut stream),
                };
                let events = vec![age.log_event(id, line)];
                Content::Events(LogBatch { events, ..LogBatch::default() })
            }
            7 => {
                let place = self.place();
                stream = self.stream(place);
                self.usual_log_event(&mut stream, (id, age), true);
                let origin = stream.place.clone();
                let events = std::mem::take(&mut stream.events);
                Content::Events(LogBatch { origin, events, ..LogBatch::default() })
            }
            8 => {
                let (raw, mark) = self.raw();
                stream.unit.marks.push(mark);
                Content::Raw(raw.into_bytes())
            }
            9 => {
                let text = *self.random.pick(&["what is this? ", "{\"requestPayload\":7}", "{} "]);
                let (raw, mark) = self.raw();
                return (format!("{text} {raw}"), unit(vec![mark]));
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
        let parked = QueuedTelemetry {
            stream: way.stream,
            oldest_unix_nano: Some(BEGAN_MS * 1_000_000),
            newest_unix_nano: Some(BEGAN_MS * 1_000_000),
            ..parked(NAMES[way.destination], content, items)
        };
        let messages = parked.into_messages(MAX_MESSAGE_BYTES);
        assert_eq!(messages.len(), 1);
        if self.random.percent(HOSTILE_PERCENT) {
            return self.forged_message(&messages[0].body);
        }
        (messages[0].body.clone(), stream.unit)
    }
}

/// Encodes a request as an OTLP line. `padding` makes it longer.
pub(crate) fn line(request: &Request, padding: &str) -> String {
    format!(
        r#"{{"__otel_otlp_stdout":"0.1.0","source":"checkout{padding}","endpoint":"{}","method":"POST","content-type":"application/x-protobuf","content-encoding":"gzip","payload":"{}","base64":true}}"#,
        request.kind().path(),
        STANDARD.encode(gzip("", request.bytes()))
    )
}

/// The JSON of a delivery, in CloudWatch's order of fields.
pub(crate) fn delivery(message_type: &str, place: &Origin, events: &[LogEvent]) -> String {
    let Origin { log_group, log_stream, .. } = place;
    let objects = events.iter().map(|LogEvent { id, timestamp_ms, message }| {
        json!({"id": id, "timestamp": timestamp_ms, "message": message})
    });
    let events = Value::Array(objects.collect());
    format!(
        r#"{{"messageType":"{message_type}","owner":"{ACCOUNT}","logGroup":"{log_group}","logStream":"{log_stream}","subscriptionFilters":["f"],"logEvents":{events}}}"#
    )
}

/// A gzip member. Compressing would take most of a schedule's time.
pub(crate) fn gzip(name: &str, bytes: &[u8]) -> Vec<u8> {
    let header = match name {
        "" => GzBuilder::new(),
        name => GzBuilder::new().filename(name),
    };
    let mut gzip = header.write(Vec::new(), Compression::none());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// Lambda's record of a failed event.
pub(crate) fn on_failure_record(event: &str) -> String {
    format!(
        r#"{{"version":"1.0","requestContext":{{"condition":"RetriesExhausted"}},"requestPayload":{event}}}"#
    )
}

fn unit(marks: Vec<Mark>) -> Unit {
    Unit { marks, ..Unit::delivered() }
}
