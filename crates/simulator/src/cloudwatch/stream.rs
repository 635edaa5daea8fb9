//! Writes the log stream of one execution environment: the function's own lines and Lambda's.

use std::sync::Arc;

use serde::Deserialize;

use super::{CloudWatch, StreamName};
use crate::clock;
use crate::function::{FunctionSpec, LogFormat, LogLevel};
use crate::identifiers;

/// The most bytes Lambda puts into one event: 2^18 less the 26 that CloudWatch adds for each event.
pub(crate) const MAX_EVENT_BYTES: usize = 262_118;

#[derive(Debug)]
pub(crate) struct LogWriter {
    cloudwatch: Arc<CloudWatch>,
    name: StreamName,
    log_format: LogFormat,
    application_level: LogLevel,
}

impl LogWriter {
    pub(crate) fn new(
        cloudwatch: &Arc<CloudWatch>,
        spec: &FunctionSpec,
        environment: &str,
    ) -> Self {
        let stream = identifiers::log_stream(spec, environment, clock::now());
        Self {
            cloudwatch: Arc::clone(cloudwatch),
            name: StreamName {
                group: spec.log_group_name().into(),
                stream: stream.into(),
                function: spec.name().into(),
                account_id: spec.account_id.as_str().into(),
            },
            log_format: spec.log_format,
            application_level: spec.application_log_level,
        }
    }

    pub(crate) fn stream(&self) -> &str {
        &self.name.stream
    }

    /// Writes a line that the function printed, unless it is below the application log level.
    pub(crate) fn application_line(&self, line: &[u8]) {
        let dropped = self.log_format == LogFormat::Json && level_of(line) < self.application_level;
        if !dropped {
            let text = String::from_utf8_lossy(line).into_owned();
            self.cloudwatch.append(&self.name, clock::now(), text);
        }
    }

    pub(crate) fn platform_line(&self, line: String) {
        self.cloudwatch.append(&self.name, clock::now(), line);
    }
}

/// The level that Lambda sees in a line (AWS Lambda "Using log-level filtering"): the top-level `level` of a JSON object;
/// a line without a valid one, or without a `timestamp` in RFC 3339, counts as INFO.
fn level_of(line: &[u8]) -> LogLevel {
    #[derive(Deserialize)]
    struct Line {
        level: String,
        timestamp: String,
    }
    // serde would also read the array `["ERROR","2024-…"]` as the two fields.
    let is_object = line.trim_ascii_start().starts_with(b"{");
    is_object
        .then(|| serde_json::from_slice::<Line>(line).ok())
        .flatten()
        .filter(|line| clock::is_rfc3339(&line.timestamp))
        .and_then(|line| LogLevel::parse(&line.level))
        .unwrap_or(LogLevel::Info)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_level_is_parsed_as_in_lambda() {
        let check =
            |line: &str, expected| assert_eq!(level_of(line.as_bytes()), expected, "{line}");
        check(
            r#"{"level":"ERROR","timestamp":"2024-10-27T19:17:45.586Z","message":"m"}"#,
            LogLevel::Error,
        );
        check(r#"{"timestamp":"2024-10-27T19:17:45.586Z","level":"trace"}"#, LogLevel::Trace);
        check(r#"{"level":"FATAL","timestamp":"2024-10-27T19:17:45.586Z"}"#, LogLevel::Fatal);
        check(r#"{"level":"ERROR"}"#, LogLevel::Info);
        check(r#"{"level":"ERROR","timestamp":"yesterday"}"#, LogLevel::Info);
        check(r#"{"level":"ERROR","timestamp":1730056665586}"#, LogLevel::Info);
        check(r#"{"level":"WARNING","timestamp":"2024-10-27T19:17:45.586Z"}"#, LogLevel::Info);
        check(r#"{"level":40,"timestamp":"2024-10-27T19:17:45.586Z"}"#, LogLevel::Info);
        check(
            r#"{"record":{"level":"ERROR","timestamp":"2024-10-27T19:17:45.586Z"}}"#,
            LogLevel::Info,
        );
        check(r#"["ERROR","2024-10-27T19:17:45.586Z"]"#, LogLevel::Info);
        check("ERROR plain text", LogLevel::Info);
        check("", LogLevel::Info);
    }
}
