//! The reason why a secret could not be read, and the remedy; never the value.

/// The reason why a secret could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The process has no credentials.
    #[error(
        "cannot read {secret}: neither AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY nor AWS_CONTAINER_CREDENTIALS_FULL_URI is set; Lambda sets them from the function's role"
    )]
    NoCredentials { secret: String },
    #[error("cannot read {secret}: its region is unknown; give its ARN, or set AWS_REGION")]
    NoRegion { secret: String },
    #[error(
        "cannot read {secret}: access denied; allow {action} on {resource} in the function's role ({text})"
    )]
    Denied { secret: String, action: &'static str, resource: String, text: String },
    /// The secret does not exist.
    #[error(
        "cannot read {secret}: not found in {region}; is it in another region or account, or misspelt?"
    )]
    NotFound { secret: String, region: String },
    #[error("cannot read {secret}: {host} answered {}", described(*status, code, text))]
    Refused {
        secret: String,
        host: String,
        status: u16,
        /// AWS's code, `ThrottlingException`.
        code: String,
        text: String,
    },
    /// The service was unreachable.
    #[error("cannot read {secret}: {text}")]
    NoResponse { secret: String, text: String },
    #[error("cannot use {secret}: {problem}")]
    Unusable {
        secret: String,
        /// The error in the value, without any part of it.
        problem: String,
    },
}

impl SecretError {
    /// Returns `true` if an early retry may succeed.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::NoResponse { .. } => true,
            Self::Refused { status, code, .. } => {
                *status >= 500 || *status == 429 || code.contains("Throttling")
            }
            _ => false,
        }
    }
}

/// `400 ThrottlingException: Rate exceeded`. A proxy's response has neither code nor text.
fn described(status: u16, code: &str, text: &str) -> String {
    let mut described = status.to_string();
    for (separator, part) in [(" ", code), (": ", text)] {
        if !part.is_empty() {
            described.push_str(separator);
            described.push_str(part);
        }
    }
    described
}
