//! A failure that the runtime reported.

use bytes::Bytes;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReportedFailure {
    /// The header's `Category.Reason`, else the body's `errorType`.
    pub(crate) error_type: String,
    /// The error type in Lambda's own events: the header's value if it has the form `Category.Reason`.
    pub(crate) platform_type: String,
    pub(crate) body: Bytes,
}

impl ReportedFailure {
    pub(crate) fn new(header: Option<&str>, body: Bytes) -> Self {
        let categorised = header.filter(|error_type| {
            error_type.split_once('.').is_some_and(|(category, reason)| {
                matches!(category, "Runtime" | "Function" | "Extension" | "Sandbox")
                    && !reason.is_empty()
            })
        });
        let platform_type = categorised.unwrap_or("Function.Unknown").to_owned();
        let error_type = categorised
            .map(str::to_owned)
            .or_else(|| error_type_of(&body))
            .or(header.map(str::to_owned));
        Self {
            error_type: error_type.unwrap_or_else(|| platform_type.clone()),
            platform_type,
            body,
        }
    }
}

fn error_type_of(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    body.get("errorType")?.as_str().map(str::to_owned)
}
