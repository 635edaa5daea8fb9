//! Lambda's report of an invocation on one line.

use super::attributes::{INVOCATION_ID, attribute_text, numeric_attribute};
use crate::prices;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use std::fmt;

/// The event name of the report's log record.
const REPORT: &str = "platform.report";

/// The figures that Lambda reports after an invocation.
#[derive(Clone, Debug, PartialEq)]
pub struct InvocationReport {
    pub invocation: String,
    /// In nanoseconds since the Unix epoch.
    pub time: u64,
    /// The error type, or a status other than success.
    pub failure: Option<String>,
    pub duration_ms: f64,
    pub billed_ms: Option<f64>,
    pub memory_mb: Option<f64>,
    pub used_mb: Option<f64>,
    /// The duration of the init or restore phase of a cold start.
    pub cold_ms: Option<f64>,
}

impl InvocationReport {
    /// Reads the log record of a report; `None` for other records.
    pub fn of(record: &LogRecord) -> Option<Self> {
        if record.event_name != REPORT {
            return None;
        }
        let number = |key: &str| numeric_attribute(&record.attributes, key);
        let text = |key: &str| attribute_text(&record.attributes, key);
        let status = text("aws.lambda.status").filter(|status| status != "success");
        let restored_ms = || number("aws.lambda.restore_duration_ms");
        Some(Self {
            invocation: text(INVOCATION_ID).unwrap_or_default(),
            time: record.time_unix_nano,
            failure: text("error.type").or(status),
            duration_ms: number("aws.lambda.duration_ms")?,
            billed_ms: number("aws.lambda.billed_duration_ms"),
            memory_mb: number("aws.lambda.memory_size_mb"),
            used_mb: number("aws.lambda.max_memory_used_mb"),
            cold_ms: number("aws.lambda.init_duration_ms").or_else(restored_ms),
        })
    }

    /// The price in USD of a million such invocations on arm64.
    fn price_of_a_million(&self) -> Option<f64> {
        let gb_seconds = self.billed_ms? / 1e3 * self.memory_mb? / 1024.0;
        Some((gb_seconds * prices::GB_SECOND + prices::REQUEST) * 1e6)
    }
}

impl fmt::Display for InvocationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lambda: ")?;
        if let Some(failure) = &self.failure {
            write!(f, "{failure}, ")?;
        }
        write!(f, "{:.1} ms", self.duration_ms)?;
        if let Some(billed_ms) = self.billed_ms {
            write!(f, ", billed {billed_ms} ms")?;
        }
        match (self.used_mb, self.memory_mb) {
            (Some(used_mb), Some(memory_mb)) => write!(f, ", {used_mb} of {memory_mb} MB")?,
            (Some(used_mb), None) => write!(f, ", {used_mb} MB")?,
            (None, _) => {}
        }
        if let Some(cold_ms) = self.cold_ms {
            write!(f, ", cold {cold_ms:.1} ms")?;
        }
        match self.price_of_a_million() {
            Some(price) => write!(f, ", ${price:.2}/million"),
            None => Ok(()),
        }
    }
}
