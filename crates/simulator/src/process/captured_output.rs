//! Where a line goes that a process printed: to the log stream, and to the subscribers of the Telemetry API.

use std::sync::Arc;

use crate::clock;
use crate::cloudwatch::LogWriter;
use crate::telemetry::{Category, Generated, Telemetry};

/// Where the lines of a function, or of its extensions, go.
#[derive(Debug, Clone)]
pub(crate) struct CapturedOutput {
    pub(crate) writer: Arc<LogWriter>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) category: Category,
}

impl CapturedOutput {
    /// Passes a line on. Subscribers also get lines below the log level (AWS Lambda "Log-level filtering": it selects
    /// the lines for CloudWatch Logs).
    pub(crate) fn line(&self, line: &[u8]) {
        let text = String::from_utf8_lossy(line).into_owned();
        self.telemetry.emit(Generated::line(self.category, clock::now(), text));
        self.writer.application_line(line);
    }
}
