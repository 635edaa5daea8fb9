//! Secrets from Secrets Manager and Parameter Store, as authorization headers.

mod authorization;
mod cached;
mod error;
mod response;
mod service;
mod settings;

pub use self::settings::{AwsSecretsSettings, SECRET_LIFETIME};
pub use authorization::authorization;
pub use cached::{CachedSecret, CurrentSecret};
pub use error::SecretError;
pub use service::{AwsSecrets, SecretService};
