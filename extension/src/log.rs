//! The extension's own log: single lines on stderr, which Lambda ships to the function's log group.
//!
//! The filters and formats of `tracing-subscriber` would increase the cold start, so the subscriber is written here. It drops the
//! events of dependencies.

use crate::clock;
use crate::config::Config;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Map, Value};
use std::fmt;
use std::io::Write as _;
use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Event, Level, Metadata, Subscriber};

const OURS: &str = "lambda_otlp_";

/// Returns the subscriber that writes events of at least the configured level; one JSON object a line under Lambda's JSON log
/// format.
pub fn log(config: &Config) -> impl Subscriber + use<> {
    Stderr { level: config.log_level, json: config.lines.json_level.is_some() }
}

pub(crate) fn plain() -> impl Subscriber {
    Stderr { level: Level::ERROR, json: false }
}

struct Stderr {
    level: Level,
    json: bool,
}

/// A pipe that is ready has room for so many bytes.
const PIPE_BUF: usize = 4096;

/// Writes a line, unless stderr is full: the only thread of the extension must not wait for it.
fn write(line: &str) {
    let mut stderr = std::io::stderr().lock();
    for part in line.as_bytes().chunks(PIPE_BUF) {
        let mut polled = [PollFd::new(&stderr, PollFlags::OUT)];
        let is_ready = poll(&mut polled, Some(&Timespec::default())) == Ok(1)
            && polled.iter().all(|stderr| stderr.revents().contains(PollFlags::OUT));
        if !is_ready || stderr.write_all(part).is_err() {
            return;
        }
    }
}

impl Subscriber for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level && metadata.target().starts_with(OURS)
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(self.level.into())
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = LogFields::default();
        event.record(&mut fields);
        let level = *event.metadata().level();
        write(&if self.json {
            fields.json(level, clock::unix_nanos())
        } else {
            fields.text(level)
        });
    }

    // The extension opens no spans.
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[derive(Default)]
struct LogFields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl LogFields {
    /// Writes the level as the runtimes' loggers do, because the forwarder takes the severity of log records from it.
    fn text(&self, level: Level) -> String {
        let mut line = ["[", level.as_str(), "] lambda-otlp-extension: ", &self.message].concat();
        for (name, value) in &self.others {
            line.push_str(&[" ", name, "=", &value.to_string()].concat());
        }
        let mut line = line.replace(['\n', '\r'], " ");
        line.push('\n');
        line
    }

    fn json(&self, level: Level, unix_nanos: u64) -> String {
        let members = [
            ("timestamp", wire::timestamp::rfc3339_millis(unix_nanos)),
            ("level", level.to_string()),
            ("logger", "lambda-otlp-extension".to_owned()),
            ("message", self.message.clone()),
        ];
        let object: Map<String, Value> = members
            .into_iter()
            .map(|(name, text)| (name, Value::String(text)))
            .chain(self.others.iter().cloned())
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        format!("{}\n", Value::Object(object))
    }
}

impl Visit for LogFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => self.others.push((name, value.into())),
        }
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.others.push((field.name(), value.into()));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.others.push((field.name(), value.into()));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.others.push((field.name(), value.into()));
    }
    // No value of these types is logged. The code that prints them would add 20 kB to the binary.
    fn record_f64(&mut self, _: &Field, _: f64) {}
    fn record_i128(&mut self, _: &Field, _: i128) {}
    fn record_u128(&mut self, _: &Field, _: u128) {}
    fn record_bytes(&mut self, _: &Field, _: &[u8]) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> LogFields {
        LogFields {
            message: "cannot\nbind".to_owned(),
            others: vec![("port", 4318.into()), ("error", "in \"use\"".into())],
        }
    }

    #[test]
    fn a_message_is_one_line_in_text_and_json_formats() {
        assert_eq!(
            fields().text(Level::WARN),
            "[WARN] lambda-otlp-extension: cannot bind port=4318 error=\"in \\\"use\\\"\"\n"
        );
        expect_test::expect![[r#"
            {"error":"in \"use\"","level":"WARN","logger":"lambda-otlp-extension","message":"cannot\nbind","port":4318,"timestamp":"2026-09-21T14:13:20.123Z"}
        "#]]
        .assert_eq(&fields().json(Level::WARN, 1_790_000_000_123_000_000));
    }
}
