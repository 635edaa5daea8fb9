//! Searches recent log events for errors.

use super::answers::Question;
use crate::aws::deadline;
use ::aws::{CloudWatchLogs, LogSearch, LogsError};
use console::time_arguments::{TimeArgument, duration_text};
use console::waterfall::draw::short;
use serde_json::Value;
use settings::Check;
use std::time::Duration;

/// Words by which our functions or Lambda report a failure.
const FAILURE_WORDS: [&str; 4] = ["ERROR", "Task timed out", "Runtime exited", "Runtime.ExitError"];
/// Lambda's lines of the JSON log format that report a status, or dropped lines.
const PLATFORM_TYPES: [&str; 5] = [
    "platform.report",
    "platform.runtimeDone",
    "platform.initReport",
    "platform.initRuntimeDone",
    LOGS_DROPPED,
];
const LOGS_DROPPED: &str = "platform.logsDropped";
/// Maximum number of answers. Each covers a part of the log group.
const MAX_PAGES: usize = 20;
const MAX_CHARS: usize = 300;

/// The search for errors since a time.
pub(super) struct ErrorSearch<'a> {
    client: &'a CloudWatchLogs,
    from_ms: i64,
    /// The age of that time, such as `1h`.
    age: String,
    /// The region and profile of the command line as flags, each with a space before it.
    aws_flags: String,
}

/// Returns the command that shows a log group's errors.
pub(super) fn show_command(group: &str, aws_flags: &str) -> String {
    format!("`aws logs tail {group} --since 1h --filter-pattern ERROR{aws_flags}`")
}

/// The errors of a log group.
#[derive(Default)]
struct RecentErrors {
    count: usize,
    newest: String,
    newest_ms: i64,
}

impl<'a> ErrorSearch<'a> {
    pub(super) fn since(
        client: &'a CloudWatchLogs,
        time: TimeArgument,
        now_unix_nano: u64,
        aws_flags: &str,
    ) -> Self {
        let from_ms = time.millis(now_unix_nano);
        let now_ms = now_unix_nano / 1_000_000;
        let age_ms = now_ms.saturating_sub(u64::try_from(from_ms).unwrap_or(0));
        let age = duration_text(Duration::from_millis(age_ms));
        Self { client, from_ms, age, aws_flags: aws_flags.to_owned() }
    }

    /// Checks that a log group has no recent errors.
    pub(super) async fn check(&self, group: &str) -> Check {
        const NAME: &str = "log";
        let age = &self.age;
        match self.search(group).await {
            Ok(RecentErrors { count: 0, .. }) => {
                Check::ok(NAME, format!("{group}: no errors in the last {age}"))
            }
            Ok(RecentErrors { count, newest, .. }) => {
                let text = format!(
                    "{group}: {count} errors in the last {age}, the newest: {}; {} shows all, and docs/troubleshooting.md has the remedies",
                    short(&newest, MAX_CHARS),
                    show_command(group, &self.aws_flags)
                );
                Check::failed(NAME, text)
            }
            // Lambda creates the log group at the first invocation.
            Err(error) if error.is_gone() => Check::ok(
                NAME,
                format!("{group}: does not exist yet, because nothing was written to it"),
            ),
            Err(error) => {
                let permission = "logs:FilterLogEvents";
                Question { check: NAME, subject: group, permission }.unanswered(error.cause())
            }
        }
    }

    async fn search(&self, group: &str) -> Result<RecentErrors, LogsError> {
        let mut found = RecentErrors::default();
        let pattern = error_pattern();
        let search = LogSearch { from_ms: self.from_ms, before_ms: None, pattern: Some(&pattern) };
        let mut next = None;
        for _ in 0..MAX_PAGES {
            let page = self.client.log_events(group, search, next, deadline()).await?;
            for event in page.items {
                if !is_error(&event.message) {
                    continue;
                }
                found.count += 1;
                if event.timestamp_ms >= found.newest_ms {
                    found.newest_ms = event.timestamp_ms;
                    found.newest = event.message;
                }
            }
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        Ok(found)
    }
}

/// The filter pattern of all lines that may report a failure.
fn error_pattern() -> String {
    let words = FAILURE_WORDS.iter().chain(&PLATFORM_TYPES);
    words.map(|word| format!("?{word:?}")).collect::<Vec<_>>().join(" ")
}

/// Returns `true` if the line reports a failure. A level in the line decides, because a warning may quote an error.
fn is_error(line: &str) -> bool {
    let Ok(fields @ Value::Object(_)) = serde_json::from_str::<Value>(line) else {
        return FAILURE_WORDS.iter().any(|word| line.contains(word));
    };
    let text = |pointer| fields.pointer(pointer).and_then(Value::as_str);
    text("/level") == Some("ERROR")
        || text("/type") == Some(LOGS_DROPPED)
        || text("/record/status").is_some_and(|status| status != "success")
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_support::selects;

    #[test]
    fn errors_are_recognised_by_level_or_platform_message() {
        let pattern = error_pattern();
        let check = |line: &str, expected: bool| {
            assert_eq!(is_error(line), expected, "{line}");
            assert!(!expected || selects(&pattern, line), "{line}");
        };
        check(r#"{"level":"ERROR","message":"invalid settings"}"#, true);
        check(r#"{"level":"WARN","message":"answered ERROR"}"#, false);
        check("2026-11-22T10:00:00Z 1 Task timed out after 60.00 seconds", true);
        check("RequestId: 1 Error: Runtime exited with error: signal: killed", true);
        check("REPORT RequestId: 1 Duration: 2 ms", false);
        let platform = |kind: &str, record: &str, expected: bool| {
            let line = format!(
                r#"{{"time":"2026-11-22T10:00:00Z","type":"platform.{kind}","record":{record}}}"#
            );
            check(&line, expected);
        };
        for kind in ["report", "runtimeDone", "initReport", "initRuntimeDone"] {
            platform(kind, r#"{"requestId":"1","status":"timeout"}"#, true);
            platform(kind, r#"{"requestId":"1","status":"success"}"#, false);
        }
        platform("logsDropped", r#"{"droppedRecords":123,"reason":"slow"}"#, true);
        platform("start", r#"{"requestId":"1","version":"$LATEST"}"#, false);
    }
}
