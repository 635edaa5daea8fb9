//! The credentials of this machine, by AWS's SDK: variables, profiles, SSO, web identity, containers and instances (AWS SDKs and
//! Tools Reference Guide, "Standardized credential providers").

use super::errors::explain_text;
use ::aws::{Credentials, CredentialsLoader, ExpiringCredentials, LoadCredentials, LoadFuture};
use anyhow::anyhow;
use aws_config::SdkConfig;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use settings::{Env, Secret, Source as _};
use std::error::Error;

const NO_CREDENTIALS: &str = "there are no AWS credentials: set AWS_PROFILE, or give --profile, to a profile that `aws configure list-profiles` has, or sign in with the AWS CLI";

/// Returns the way to the credentials of this configuration, or of a profile that the command line names: as in the AWS CLI, it
/// takes precedence over the environment's credentials.
pub(super) fn loader(
    config: &SdkConfig,
    named_profile: Option<&str>,
    http: SharedHttpClient,
) -> CredentialsLoader {
    let Some(name) = named_profile else {
        let profile = Env.get("AWS_PROFILE");
        return CredentialsLoader::new(SdkCredentials {
            provider: config.credentials_provider(),
            profile,
        });
    };
    let provider = ProviderConfig::without_region()
        .with_region(config.region().cloned())
        .with_http_client(http);
    let provider = ProfileFileCredentialsProvider::builder().configure(&provider);
    CredentialsLoader::new(SdkCredentials {
        provider: Some(SharedCredentialsProvider::new(provider.profile_name(name).build())),
        profile: Some(name.to_owned()),
    })
}

/// Asks AWS's SDK.
#[derive(Debug)]
struct SdkCredentials {
    provider: Option<SharedCredentialsProvider>,
    /// The profile that the user names.
    profile: Option<String>,
}

impl LoadCredentials for SdkCredentials {
    fn load(&self) -> LoadFuture<'_> {
        Box::pin(async move {
            let Some(provider) = &self.provider else { return Err(NO_CREDENTIALS.to_owned()) };
            let loaded = provider.provide_credentials().await;
            let loaded = loaded.map_err(|error| self.explain(&error).to_string())?;
            Ok(ExpiringCredentials {
                credentials: Credentials {
                    access_key_id: loaded.access_key_id().to_owned(),
                    secret_access_key: Secret::new(loaded.secret_access_key()),
                    session_token: loaded.session_token().map(Secret::new),
                },
                expires: loaded.expiry(),
            })
        })
    }
}

impl SdkCredentials {
    fn explain(&self, error: &CredentialsError) -> anyhow::Error {
        // The instance's metadata is the last source of credentials on every machine.
        const NO_SOURCE: [&str; 3] = ["no providers in chain", "provider was not enabled", "IMDS"];
        let text = causes(error);
        let is_missing = |name: &String| {
            // The SDK says the first only once.
            text.contains(&format!("profile `{name}` was not defined"))
                || text.contains(
                    "profile file credentials provider initialization error already taken",
                )
        };
        let has_none = matches!(error, CredentialsError::CredentialsNotLoaded(_))
            || NO_SOURCE.iter().any(|words| text.contains(words));
        match &self.profile {
            Some(name) if has_none || is_missing(name) => anyhow!(
                "profile {name} does not exist or has no credentials: `aws configure list-profiles` prints the profiles; name another one, or sign in with the AWS CLI"
            ),
            None if has_none => anyhow!(NO_CREDENTIALS),
            _ => explain_text(&text),
        }
    }
}

/// Joins the error's causes. The SDK's own errors only say which step failed.
fn causes(error: &(dyn Error + 'static)) -> String {
    const STEPS: [&str; 9] = [
        "io error",
        "client error",
        "service error",
        "dispatch failure",
        "unhandled error",
        "failed to construct request",
        "response error",
        "an error occurred while loading credentials",
        "other",
    ];
    let mut kept: Vec<String> = Vec::new();
    for text in anyhow::Chain::new(error).map(ToString::to_string) {
        let is_step = STEPS.iter().any(|step| text.starts_with(step));
        let is_repeated = kept.iter().any(|before| before.contains(&text));
        if !text.is_empty() && !is_step && !is_repeated {
            kept.push(text);
        }
    }
    if kept.is_empty() { error.to_string() } else { kept.join(": ") }
}
