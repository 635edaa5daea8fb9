//! The credentials that requests to AWS are signed with.

use crate::variables::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN};
use settings::{Reader, Secret};

/// Credentials of a role, or of a user in tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: Secret,
    /// `AWS_SESSION_TOKEN`, which a role's credentials have.
    pub session_token: Option<Secret>,
}

impl Credentials {
    /// Reads the rows of [`AWS`](crate::AWS); `None` unless both parts of a key are there.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let access_key_id = reader.string_if_set(ACCESS_KEY_ID);
        let secret_access_key = reader.secret(SECRET_ACCESS_KEY);
        let session_token = reader.secret(SESSION_TOKEN);
        let (access_key_id, secret_access_key) = access_key_id.zip(secret_access_key)?;
        Some(Self { access_key_id, secret_access_key, session_token })
    }
}
