//! Hostile content, one log event, record and message in a hundred: it must not hold back, repeat or lose its neighbours.

use super::cloud::Unit;
use super::items::{Age, Stream, attribute, resource};
use super::schedule::Random;
use super::telemetry::{Maker, line};
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::Value;
use std::sync::LazyLock;
use wire::Request;

/// The share of hostile content, in percent.
pub(crate) const HOSTILE_PERCENT: usize = 1;

#[derive(Clone, Copy, Debug)]
enum HostileLine {
    /// A span with a name, an attribute or many attributes larger than a queue message.
    LargeSpan,
    /// Items of a resource larger than a queue message.
    LargeResource,
    /// A span without a valid trace id, with a large name.
    LargeInvalidSpan,
    /// An undecodable OTLP line larger than a queue message.
    LargeBrokenLine,
    /// Words that look like the request ids of CloudFront: a reader that recurses over them overflows its stack.
    IdsInHead,
    /// More lines of JSON than a log event may have, which stay one record.
    JsonLines,
}

const LINES: &[HostileLine] = &[
    HostileLine::LargeSpan,
    HostileLine::LargeResource,
    HostileLine::LargeInvalidSpan,
    HostileLine::LargeBrokenLine,
    HostileLine::IdsInHead,
    HostileLine::JsonLines,
];

#[derive(Clone, Copy, Debug)]
enum ForgedMessage {
    InvalidStream,
    LargeStream,
    LargeDestination,
    LargeGarbage,
}

const MESSAGES: &[ForgedMessage] = &[
    ForgedMessage::InvalidStream,
    ForgedMessage::LargeStream,
    ForgedMessage::LargeDestination,
    ForgedMessage::LargeGarbage,
];

/// Text that does not compress, larger than a queue message and smaller than SQS's limit.
static LARGE: LazyLock<String> = LazyLock::new(|| {
    let mut random = Random::new(1);
    (0..1_000_000).map(|_| char::from(b'0' + u8::try_from(random.below(64)).unwrap())).collect()
});

impl Maker {
    pub(crate) fn hostile_line(&mut self, stream: &mut Stream, (id, age): (&str, Age)) -> String {
        let kind = *self.random.pick(LINES);
        self.census.met(&format!("hostile: {kind:?}"));
        match kind {
            HostileLine::LargeSpan => {
                let mut span = self.span(stream);
                match self.random.below(3) {
                    0 => LARGE.clone_into(&mut span.name),
                    1 => span.attributes.push(attribute("large", &LARGE)),
                    _ => {
                        let key = |at: usize| &LARGE[40 * at..40 * at + 40];
                        let keys = (0..12_000).map(|at| attribute(key(2 * at), key(2 * at + 1)));
                        span.attributes.extend(keys);
                    }
                }
                line(&Request::of_spans(resource(), vec![span]), "")
            }
            HostileLine::LargeResource => {
                let mut resource = resource();
                resource.attributes.push(attribute("large", &LARGE));
                let items = self.random.between(1, 20);
                let records = (0..items).map(|_| self.record(stream)).collect();
                line(&Request::of_log_records(resource, records), "")
            }
            // Without a dead-letter queue, it stays in its log group.
            HostileLine::LargeInvalidSpan if self.schedule.has_dead_letter_queue => {
                let valid = self.span_of(stream, Age::Fresh, None);
                let span = Span { name: LARGE.clone(), ..valid };
                line(&Request::of_spans(resource(), vec![span]), "")
            }
            HostileLine::LargeInvalidSpan | HostileLine::LargeBrokenLine => {
                let line = self.broken_line(stream, (id, age));
                line.replace('!', &format!("!{}", *LARGE))
            }
            // Each line of a raw Kinesis record is a log event of its own.
            HostileLine::JsonLines if !stream.place.log_group.is_empty() => {
                const LINES: usize = 20_000;
                self.owe_record(stream, (id, age), None);
                "{}\n".repeat(LINES)
            }
            HostileLine::JsonLines | HostileLine::IdsInHead => {
                const WORDS: usize = 8_000;
                self.owe_record(stream, (id, age), None);
                let word = "Ab1x".repeat(9) + "yz== ";
                word.repeat(WORDS)
            }
        }
    }

    /// A Kinesis record that is unreadable and larger than a queue message.
    pub(crate) fn hostile_record(&mut self) -> (Vec<u8>, Unit) {
        self.census.met("hostile: LargeRecord");
        let (raw, mark) = self.raw();
        let bytes = [b"\xff", raw.as_bytes(), b" ", LARGE.as_bytes()].concat();
        (bytes, Unit { marks: vec![mark], ..Unit::delivered() })
    }

    /// A message that another program sent to the retry queue. `message` is a message of the forwarder.
    pub(crate) fn forged_message(&mut self, message: &str) -> (String, Unit) {
        let kind = *self.random.pick(MESSAGES);
        self.census.met(&format!("hostile: {kind:?}"));
        let (raw, mark) = self.raw();
        let unit = Unit { marks: vec![mark], ..Unit::delivered() };
        let large = LARGE.as_str();
        let mut message: Value = serde_json::from_str(message).unwrap();
        match kind {
            ForgedMessage::InvalidStream => message["stream"] = "orders\r\nx: y".into(),
            ForgedMessage::LargeStream => message["stream"] = large.into(),
            ForgedMessage::LargeDestination => message["destination"] = large.into(),
            ForgedMessage::LargeGarbage => return (format!("{raw} {large}"), unit),
        }
        // The mark has to be at the beginning: the dead letter may be shortened.
        let message = message.to_string();
        (format!("{{\"mark\":\"{raw}\",{}", &message[1..]), unit)
    }
}
