//! lambda-otel-lite's logger, which prints lines of text there: here each message is a `tracing` event, and so a log record of its
//! invocation. `tracing`'s macros are the better choice in new code.

use std::borrow::Cow;

/// Puts a prefix before messages.
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
    /// A logger with this prefix.
    pub fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: Cow::Owned(prefix.into()) }
    }

    /// The same for a `static`.
    #[must_use]
    pub const fn const_new(prefix: &'static str) -> Self {
        Self { prefix: Cow::Borrowed(prefix) }
    }

    /// A message of level DEBUG.
    pub fn debug(&self, message: impl AsRef<str>) {
        tracing::debug!("[{}] {}", self.prefix, message.as_ref());
    }

    /// A message of level INFO.
    pub fn info(&self, message: impl AsRef<str>) {
        tracing::info!("[{}] {}", self.prefix, message.as_ref());
    }

    /// A message of level WARN.
    pub fn warn(&self, message: impl AsRef<str>) {
        tracing::warn!("[{}] {}", self.prefix, message.as_ref());
    }

    /// A message of level ERROR.
    pub fn error(&self, message: impl AsRef<str>) {
        tracing::error!("[{}] {}", self.prefix, message.as_ref());
    }
}
