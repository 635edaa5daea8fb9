//! The keys that sign a request.

use settings::Secret;

/// Credentials of a role, or of a user in tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: Secret,
    /// `AWS_SESSION_TOKEN`, for a role's credentials.
    pub session_token: Option<Secret>,
}
