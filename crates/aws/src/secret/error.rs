//! Why a secret could not be read, and what to do about it; never the value.

/// Why a secret could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The process has no credentials.
    #[error(
        "cannot read {secret}: neither AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY nor AWS_CONTAINER_CREDENTIALS_FULL_URI is set; Lambda sets them from the function's role"
    )]
    NoCredentials {
        /// Which secret.
        secret: String,
    },
    /// Nothing says which region the secret is in.
    #[error("cannot read {secret}: in which region is it? Give its ARN, or set AWS_REGION")]
    NoRegion {
        /// Which secret.
        secret: String,
    },
    /// The role may not read it.
    #[error(
        "cannot read {secret}: access denied; allow {action} on {resource} in the function's role ({text})"
    )]
    Denied {
        /// Which secret.
        secret: String,
        /// The IAM action that is missing.
        action: &'static str,
        /// On what.
        resource: String,
        /// AWS's words, cut.
        text: String,
    },
    /// There is no such secret.
    #[error(
        "cannot read {secret}: not found in {region}; is it in another region or account, or misspelt?"
    )]
    NotFound {
        /// Which secret.
        secret: String,
        /// Where it was looked for.
        region: String,
    },
    /// The service refused for another reason.
    #[error("cannot read {secret}: {host} answered {}", described(*status, code, text))]
    Refused {
        /// Which secret.
        secret: String,
        /// Who answered.
        host: String,
        /// The HTTP status.
        status: u16,
        /// AWS's code, `ThrottlingException`.
        code: String,
        /// AWS's words, cut.
        text: String,
    },
    /// The service could not be asked.
    #[error("cannot read {secret}: {text}")]
    NoResponse {
        /// Which secret.
        secret: String,
        /// Host and cause.
        text: String,
    },
    /// The service answered, and what is there cannot be used.
    #[error("cannot use {secret}: {problem}")]
    Unusable {
        /// Which secret.
        secret: String,
        /// What is wrong with the value, without any part of it.
        problem: String,
    },
}

impl SecretError {
    /// Whether asking again soon may help.
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

/// `400 ThrottlingException: Rate exceeded`. The response of a proxy on the way has neither code nor text.
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
