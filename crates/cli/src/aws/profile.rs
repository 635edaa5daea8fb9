//! The credentials of `--profile`. If there are none, the error names the profile.

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use aws_sdk_sqs::error::DisplayErrorContext;

#[derive(Debug)]
pub(super) struct NamedProfile {
    name: String,
    provider: ProfileFileCredentialsProvider,
}

impl NamedProfile {
    pub(super) fn new(name: &str, config: &ProviderConfig) -> Self {
        let provider = ProfileFileCredentialsProvider::builder().configure(config);
        Self { name: name.to_owned(), provider: provider.profile_name(name).build() }
    }

    async fn credentials(&self) -> provider::Result {
        let found = self.provider.provide_credentials().await;
        found.map_err(|error| match error {
            CredentialsError::CredentialsNotLoaded(_) => self.no_profile(),
            other if is_missing(&self.name, &DisplayErrorContext(&other).to_string()) => {
                self.no_profile()
            }
            other => other,
        })
    }

    fn no_profile(&self) -> CredentialsError {
        CredentialsError::not_loaded(NoProfile { name: self.name.clone() })
    }
}

/// Returns `true` if this error of the SDK says that there is no such profile.
pub(super) fn is_missing(name: &str, text: &str) -> bool {
    // The SDK says the first only once.
    text.contains(&format!("profile `{name}` was not defined"))
        || text.contains("profile file credentials provider initialization error already taken")
}

impl ProvideCredentials for NamedProfile {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "profile {name} does not exist or has no credentials: `aws configure list-profiles` prints the profiles; name another one, or sign in with the AWS CLI"
)]
pub(super) struct NoProfile {
    pub(super) name: String,
}
