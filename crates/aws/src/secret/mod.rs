//! Secrets from Secrets Manager and Parameter Store, as headers.

mod cached;
mod header;
mod service;

use crate::credentials::CredentialsSource;
use crate::variables::{ENDPOINT, REGION, SECRETS_MANAGER_ENDPOINT, SSM_ENDPOINT};
pub use cached::{CachedSecret, CurrentSecret};
pub use header::SecretHeader;
pub use service::{AwsSecrets, SecretReading, SecretService};
use settings::{Proxy, Reader, SecretReference, SecretStore};
use std::time::Duration;
use url::Url;

/// The reason why a secret could not be read, and the remedy. Has no part of the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct SecretError {
    text: String,
    /// `true` if an early retry may succeed.
    is_temporary: bool,
}

impl SecretError {
    /// The service was unreachable or failed: an early retry may succeed.
    pub fn unavailable(secret: &SecretReference, text: &str) -> Self {
        Self { text: format!("cannot read {secret}: {text}"), is_temporary: true }
    }

    /// The service, or the lack of a setting, refuses to give it.
    fn refused(secret: &SecretReference, text: &str) -> Self {
        Self { text: format!("cannot read {secret}: {text}"), is_temporary: false }
    }

    /// The value is no credential.
    fn unusable(secret: &SecretReference, problem: &str) -> Self {
        Self { text: format!("cannot use {secret}: {problem}"), is_temporary: false }
    }
}

/// The settings for reading a secret. All are optional, because most installations store no secret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AwsSecretsSettings {
    pub credentials: Option<CredentialsSource>,
    /// The default region; an ARN may name another.
    pub region: Option<String>,
    pub secrets_manager: Option<Url>,
    pub parameter_store: Option<Url>,
    pub proxy: Option<Proxy>,
}

impl AwsSecretsSettings {
    /// Reads the rows of [`AWS`](crate::AWS), [`SECRETS`](crate::SECRETS) and [`settings::PROXY`].
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let endpoint = reader.read(ENDPOINT);
        Self {
            credentials: CredentialsSource::read(reader),
            region: reader.read(REGION),
            secrets_manager: reader.read(SECRETS_MANAGER_ENDPOINT).or_else(|| endpoint.clone()),
            parameter_store: reader.read(SSM_ENDPOINT).or(endpoint),
            proxy: Proxy::read(reader),
        }
    }

    pub(super) fn endpoint(&self, store: SecretStore) -> Option<&Url> {
        match store {
            SecretStore::SecretsManager => self.secrets_manager.as_ref(),
            SecretStore::ParameterStore => self.parameter_store.as_ref(),
        }
    }
}

/// The time after which a secret is read again. A 401 or 403 from the backend makes it read at once.
pub const SECRET_LIFETIME: Duration = Duration::from_mins(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variables::{AWS, SECRETS};
    use settings::Table;

    #[test]
    fn a_service_endpoint_takes_precedence_over_the_common_one() {
        let source = [
            (ENDPOINT.name(), "http://127.0.0.1:5000"),
            (SSM_ENDPOINT.name(), "http://127.0.0.1:5001"),
        ];
        let table = Table::new(&[AWS, SECRETS, settings::PROXY]);
        let settings = AwsSecretsSettings::read(&mut Reader::new(&source, table));
        let url = |store| settings.endpoint(store).unwrap().as_str();
        assert_eq!(url(SecretStore::SecretsManager), "http://127.0.0.1:5000/");
        assert_eq!(url(SecretStore::ParameterStore), "http://127.0.0.1:5001/");
    }
}
