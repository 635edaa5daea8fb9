//! lambda-otel-lite's events: span events named `event` with a severity. For new code, prefer `tracing` events, which become log
//! records of the span.

use crate::config::Config;
use opentelemetry::trace::get_active_span;
use opentelemetry::{Key, KeyValue, Value};
use settings::Env;
use std::sync::OnceLock;
use std::time::SystemTime;
use tracing::Level;

/// The severity of an event, as OpenTelemetry's severity numbers (OpenTelemetry specification, "Log and Event Record
/// Definition").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the levels of `tracing`")]
pub enum EventLevel {
    Trace = 1,
    Debug = 5,
    Info = 9,
    Warn = 13,
    Error = 17,
}

impl EventLevel {
    const ALL: [Self; 5] = [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error];

    /// `TRACE`, `DEBUG`, `INFO`, `WARN`, `ERROR`.
    fn text(self) -> &'static str {
        Level::from(self).as_str()
    }

    /// The minimum level to record, from the environment; `INFO` by default.
    pub(super) fn least(named: Option<&str>) -> Self {
        let known = |name: &str| {
            Self::ALL.into_iter().find(|level| level.text().eq_ignore_ascii_case(name))
        };
        named.and_then(known).unwrap_or(Self::Info)
    }
}

impl From<EventLevel> for Level {
    fn from(level: EventLevel) -> Self {
        match level {
            EventLevel::Trace => Self::TRACE,
            EventLevel::Debug => Self::DEBUG,
            EventLevel::Info => Self::INFO,
            EventLevel::Warn => Self::WARN,
            EventLevel::Error => Self::ERROR,
        }
    }
}

impl From<EventLevel> for u8 {
    fn from(level: EventLevel) -> Self {
        level as Self
    }
}

/// Adds an event to the active span, at `timestamp` or now. Records nothing without a span, or below the level in
/// `AWS_LAMBDA_LOG_LEVEL`, or else `LOG_LEVEL`, or else `INFO`.
///
/// ```
/// use lambda_otlp_exporter::events::{EventLevel, record_event};
/// use opentelemetry::KeyValue;
///
/// record_event(EventLevel::Warn, "few left", vec![KeyValue::new("shelf", 7)], None);
/// ```
pub fn record_event(
    level: EventLevel,
    message: impl AsRef<str>,
    attributes: Vec<KeyValue>,
    timestamp: Option<SystemTime>,
) {
    let event = EventBuilder { level, message: message.as_ref().to_owned(), attributes, timestamp };
    event.call();
}

/// Like [`record_event`], as a builder: `event().level(…).message(…).attribute(…, …).call()`.
///
/// ```
/// use lambda_otlp_exporter::events::{EventLevel, event};
///
/// event().level(EventLevel::Warn).message("few left").attribute("shelf", 7).call();
/// ```
pub fn event() -> EventBuilder {
    EventBuilder {
        level: EventLevel::Info,
        message: String::new(),
        attributes: Vec::new(),
        timestamp: None,
    }
}

/// Builds an event. Created by [`event`]; [`call`](Self::call) records it.
#[derive(Debug, Clone)]
#[must_use = "nothing is recorded before `call`"]
pub struct EventBuilder {
    level: EventLevel,
    message: String,
    attributes: Vec<KeyValue>,
    timestamp: Option<SystemTime>,
}

impl EventBuilder {
    /// The severity; `Info` if unset.
    pub fn level(mut self, level: EventLevel) -> Self {
        self.level = level;
        self
    }

    /// The message, stored in the attribute `event.body`.
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// Adds an attribute.
    pub fn attribute(mut self, key: impl Into<Key>, value: impl Into<Value>) -> Self {
        self.attributes.push(KeyValue::new(key, value));
        self
    }

    /// Adds attributes.
    pub fn add_attributes(mut self, attributes: Vec<KeyValue>) -> Self {
        self.attributes.extend(attributes);
        self
    }

    /// The time; now if unset.
    pub fn timestamp(mut self, timestamp: SystemTime) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// Adds the event to the active span.
    pub fn call(self) {
        static LEAST: OnceLock<EventLevel> = OnceLock::new();
        self.call_from(
            *LEAST.get_or_init(|| EventLevel::least(Config::from_source(&Env).event_level())),
        );
    }

    /// Adds the event if its level is at least this severe.
    fn call_from(self, least: EventLevel) {
        const NAME: &str = "event";
        if self.level < least {
            return;
        }
        let mut attributes = vec![
            KeyValue::new("event.severity_text", self.level.text()),
            KeyValue::new("event.severity_number", i64::from(u8::from(self.level))),
        ];
        if !self.message.is_empty() {
            attributes.push(KeyValue::new("event.body", self.message));
        }
        attributes.extend(self.attributes);
        get_active_span(|span| match self.timestamp {
            Some(timestamp) => span.add_event_with_timestamp(NAME, timestamp, attributes),
            None => span.add_event(NAME, attributes),
        });
    }
}
