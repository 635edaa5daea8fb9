//! Credentials that are kept elsewhere: where they are read, and the variables that say so.

pub(super) use aws::{AWS, SECRETS};
use aws::{AwsSecretsSettings, SECRET_LIFETIME};
use backend::DestinationConfig;
pub(super) use backend::SECRET_ROW;
use settings::Reader;
use std::time::Duration;

/// Where the destination's secret is read, if it has one, and how long it is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Secrets {
    pub(crate) settings: AwsSecretsSettings,
    pub(crate) lifetime: Duration,
}

impl Secrets {
    /// Reads nothing for a destination without a secret: what is wrong with variables of AWS stops no other.
    pub(super) fn read(reader: &mut Reader<'_>, destination: Option<&DestinationConfig>) -> Self {
        if destination.is_none_or(|destination| destination.secret.is_none()) {
            return Self::default();
        }
        Self { settings: AwsSecretsSettings::read(reader), lifetime: SECRET_LIFETIME }
    }
}
