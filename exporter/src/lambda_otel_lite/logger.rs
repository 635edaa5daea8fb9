//! lambda-otel-lite's logger. There it prints lines of text; here each message is a `tracing` event, and thereby a log record of
//! its invocation. For new code, prefer `tracing`'s macros.

use std::borrow::Cow;

/// Prefixes messages.
///
/// ```
/// use lambda_otlp_exporter::logger::Logger;
///
/// static LOGGER: Logger = Logger::const_new("orders");
/// LOGGER.info("stored");
/// ```
#[derive(Debug, Clone)]
pub struct Logger {
    prefix: Cow<'static, str>,
}

impl Logger {
    /// Creates a logger with this prefix.
    pub fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: Cow::Owned(prefix.into()) }
    }

    /// Like [`new`](Self::new), for a `static`.
    #[must_use]
    pub const fn const_new(prefix: &'static str) -> Self {
        Self { prefix: Cow::Borrowed(prefix) }
    }

    /// Logs a message with level DEBUG.
    pub fn debug(&self, message: impl AsRef<str>) {
        tracing::debug!("[{}] {}", self.prefix, message.as_ref());
    }

    /// Logs a message with level INFO.
    pub fn info(&self, message: impl AsRef<str>) {
        tracing::info!("[{}] {}", self.prefix, message.as_ref());
    }

    /// Logs a message with level WARN.
    pub fn warn(&self, message: impl AsRef<str>) {
        tracing::warn!("[{}] {}", self.prefix, message.as_ref());
    }

    /// Logs a message with level ERROR.
    pub fn error(&self, message: impl AsRef<str>) {
        tracing::error!("[{}] {}", self.prefix, message.as_ref());
    }
}
