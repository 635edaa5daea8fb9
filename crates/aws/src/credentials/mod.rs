//! The credentials for AWS requests and their sources.

mod endpoint;

pub use endpoint::{CredentialsEndpoint, CredentialsError};

use crate::client::{AwsClient, Credentials};
use crate::variables::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN};
use endpoint::Renewed;
use settings::Reader;
use tokio::sync::Mutex;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialsSource {
    /// Variables, which Lambda sets for the lifetime of an environment.
    Variables(Credentials),
    /// An endpoint in the execution environment with expiring credentials. Lambda sets it instead of the variables for
    /// environments that may outlive their credentials, for example snapshots.
    Endpoint(CredentialsEndpoint),
}

impl CredentialsSource {
    /// Reads the rows of [`AWS`](crate::AWS). `None` without a complete key or an endpoint.
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

#[derive(Debug)]
pub(crate) struct CurrentCredentials {
    source: CredentialsSource,
    renewed: Mutex<Option<Renewed>>,
}

impl CurrentCredentials {
    pub(crate) fn of(source: CredentialsSource) -> Self {
        Self { source, renewed: Mutex::default() }
    }

    /// Returns currently valid credentials. An endpoint's are renewed early with this client; while renewal fails, the old ones
    /// are used until they expire.
    pub(crate) async fn current(
        &self,
        client: &AwsClient,
    ) -> Result<Credentials, CredentialsError> {
        let now = client.wall_clock();
        let endpoint = match &self.source {
            CredentialsSource::Variables(credentials) => return Ok(credentials.clone()),
            CredentialsSource::Endpoint(endpoint) => endpoint,
        };
        // Concurrent callers wait for one answer.
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
