//! The credentials that requests to AWS are signed with, and where they come from.

mod endpoint;

pub use endpoint::{CredentialsEndpoint, CredentialsError};

use crate::client::AwsClient;
use crate::variables::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN};
use endpoint::Renewed;
use settings::{Reader, Secret};
use tokio::sync::Mutex;

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

/// Where credentials come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialsSource {
    /// Variables, which Lambda sets for the life of an environment.
    Variables(Credentials),
    /// An endpoint in the execution environment: what it gives expires and is asked for again. Lambda sets it in place of the
    /// variables where an environment may outlive its credentials, as a snapshot does.
    Endpoint(CredentialsEndpoint),
}

impl CredentialsSource {
    /// Reads the rows of [`AWS`](crate::AWS); `None` unless both parts of a key are there, or an endpoint.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let access_key_id = reader.string_if_set(ACCESS_KEY_ID);
        let secret_access_key = reader.secret(SECRET_ACCESS_KEY);
        let session_token = reader.secret(SESSION_TOKEN);
        let endpoint = CredentialsEndpoint::read(reader);
        match access_key_id.zip(secret_access_key) {
            Some((access_key_id, secret_access_key)) => Some(Self::Variables(Credentials {
                access_key_id,
                secret_access_key,
                session_token,
            })),
            None => endpoint.map(Self::Endpoint),
        }
    }
}

/// Gives credentials that are still good.
#[derive(Debug)]
pub(crate) struct CurrentCredentials {
    source: CredentialsSource,
    renewed: Mutex<Option<Renewed>>,
}

impl CurrentCredentials {
    pub(crate) fn of(source: CredentialsSource) -> Self {
        Self { source, renewed: Mutex::default() }
    }

    /// The credentials that are good now. Those of an endpoint are asked for before they expire, by this client; while that fails,
    /// the old ones serve to their end.
    pub(crate) async fn current(
        &self,
        client: &AwsClient,
    ) -> Result<Credentials, CredentialsError> {
        let now = client.wall_clock();
        let endpoint = match &self.source {
            CredentialsSource::Variables(credentials) => return Ok(credentials.clone()),
            CredentialsSource::Endpoint(endpoint) => endpoint,
        };
        // Who comes meanwhile waits for the one answer.
        let mut renewed = self.renewed.lock().await;
        match renewed.as_ref() {
            Some(kept) if !kept.should_be_renewed(now) => return Ok(kept.credentials.clone()),
            _ => {}
        }
        match endpoint.ask(client).await {
            Ok(new) => Ok(renewed.insert(new).credentials.clone()),
            Err(error) => match renewed.as_ref().filter(|kept| kept.is_good(now)) {
                Some(kept) => Ok(kept.credentials.clone()),
                None => Err(error),
            },
        }
    }
}
