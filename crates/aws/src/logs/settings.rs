//! Endpoint and credentials of CloudWatch Logs.

use super::logs_endpoint;
use crate::credentials::CredentialsSource;
use crate::variables::{ACCESS_KEY_ID, ENDPOINT, LOGS_ENDPOINT, REGION};
use settings::{Proxy, Reader};
use url::Url;

#[derive(Clone, Debug)]
pub struct LogsSettings {
    pub credentials: CredentialsSource,
    pub region: String,
    pub endpoint: Url,
    pub proxy: Option<Proxy>,
}

impl LogsSettings {
    /// Reads the rows of [`AWS`](crate::AWS), [`LOGS`](crate::LOGS) and [`settings::PROXY`]. Returns `None` after noting missing
    /// settings.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let credentials = CredentialsSource::read(reader);
        let region = reader.string_if_set(REGION);
        let of_all = reader.url(ENDPOINT);
        let own = reader.url(LOGS_ENDPOINT).or(of_all);
        let proxy = Proxy::read(reader);
        if credentials.is_none() {
            reader.mistake(
                ACCESS_KEY_ID,
                "needed, with AWS_SECRET_ACCESS_KEY, or AWS_CONTAINER_CREDENTIALS_FULL_URI, which Lambda sets",
            );
        }
        let Some(region) = region else {
            reader.mistake(REGION, "missing: set the region of the log groups");
            return None;
        };
        let Some(endpoint) = own.or_else(|| logs_endpoint(&region)) else {
            reader.mistake(REGION, "is not a region");
            return None;
        };
        Some(Self { credentials: credentials?, region, endpoint, proxy })
    }
}
