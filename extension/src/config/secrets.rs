//! The settings of credentials in Secrets Manager or the parameter store.

pub(super) use aws::{AWS, SECRETS};
use aws::{AwsSecretsSettings, SECRET_LIFETIME};
use backend::DestinationConfig;
pub(super) use backend::SECRET_ROW;
use settings::Reader;
use std::time::Duration;

/// The service of the destination's secret, and the secret's lifetime.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Secrets {
    pub(crate) settings: AwsSecretsSettings,
    pub(crate) lifetime: Duration,
}

impl Secrets {
    /// Reads the settings if the destination has a secret. Wrong AWS variables must not affect other destinations.
    pub(super) fn read(reader: &mut Reader<'_>, destination: Option<&DestinationConfig>) -> Self {
        if destination.is_none_or(|destination| destination.secret.is_none()) {
            return Self::default();
        }
        Self { settings: AwsSecretsSettings::read(reader), lifetime: SECRET_LIFETIME }
    }
}
