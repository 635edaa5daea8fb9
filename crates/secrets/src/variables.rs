//! The variables of AWS's services: who we are, where, and under which URLs.

use settings::{Kind, Proxy, Reader, Secret, SecretStore, Variable};
use std::time::Duration;
use url::Url;

const ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET_ACCESS_KEY: &str = "AWS_SECRET_ACCESS_KEY";
const SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";
const REGION: &str = "AWS_REGION";
const ENDPOINT: &str = "AWS_ENDPOINT_URL";
const SECRETS_MANAGER_ENDPOINT: &str = "AWS_ENDPOINT_URL_SECRETS_MANAGER";
const SSM_ENDPOINT: &str = "AWS_ENDPOINT_URL_SSM";
const SECRET_TTL: &str = "LAMBDA_OTLP_SECRET_TTL";

const fn row(name: &'static str, kind: Kind, doc: &'static str) -> Variable {
    Variable { name, default: None, kind, doc }
}

/// The rows of every binary that calls AWS's services, the queues included, beside those of [`settings::PROXY`]. Each has a
/// row of its own for `AWS_REGION`, which says more than where to ask.
pub const AWS: &[Variable] = &[
    row(
        ACCESS_KEY_ID,
        Kind::Text,
        "Set by Lambda: the function's role, for queues, secrets and parameters.",
    ),
    row(SECRET_ACCESS_KEY, Kind::Secret, "Set by Lambda, with `AWS_ACCESS_KEY_ID`."),
    row(SESSION_TOKEN, Kind::Secret, "Set by Lambda, with `AWS_ACCESS_KEY_ID`."),
    row(ENDPOINT, Kind::Url, "Where AWS is, for a stand-in of all its services."),
];

/// The rows of a binary that reads secrets, beside [`AWS`].
pub const SECRETS: &[Variable] = &[
    row(
        SECRETS_MANAGER_ENDPOINT,
        Kind::Url,
        "URL of Secrets Manager, for a VPC endpoint or tests.",
    ),
    row(SSM_ENDPOINT, Kind::Url, "URL of Systems Manager, for a VPC endpoint or tests."),
    Variable {
        name: SECRET_TTL,
        default: Some("5m"),
        kind: Kind::Duration,
        doc: "How long a secret is used before it is read again. When the backend answers 401 or 403 it is read at once.",
    },
];

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
    /// Reads the rows of [`AWS`]; `None` unless both parts of a key are there.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let access_key_id = reader.string_if_set(ACCESS_KEY_ID);
        let secret_access_key = reader.secret(SECRET_ACCESS_KEY);
        let session_token = reader.secret(SESSION_TOKEN);
        let (access_key_id, secret_access_key) = access_key_id.zip(secret_access_key)?;
        Some(Self { access_key_id, secret_access_key, session_token })
    }
}

/// What a call of AWS's services needs. Nothing here is a mistake when it is missing: most installations keep no secret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AwsSettings {
    /// Who asks.
    pub credentials: Option<Credentials>,
    /// Where, unless an ARN says otherwise.
    pub region: Option<String>,
    /// In place of Secrets Manager's own URL.
    pub secrets_manager: Option<Url>,
    /// In place of Systems Manager's own URL.
    pub parameter_store: Option<Url>,
    /// On the way to both.
    pub proxy: Option<Proxy>,
}

impl AwsSettings {
    /// Reads the rows of [`AWS`], [`SECRETS`] and [`settings::PROXY`], and `AWS_REGION`.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let endpoint = reader.url(ENDPOINT);
        Self {
            credentials: Credentials::read(reader),
            region: reader.string_if_set(REGION),
            secrets_manager: reader.url(SECRETS_MANAGER_ENDPOINT).or_else(|| endpoint.clone()),
            parameter_store: reader.url(SSM_ENDPOINT).or(endpoint),
            proxy: Proxy::read(reader),
        }
    }

    pub(crate) fn endpoint(&self, store: SecretStore) -> Option<&Url> {
        match store {
            SecretStore::SecretsManager => self.secrets_manager.as_ref(),
            SecretStore::ParameterStore => self.parameter_store.as_ref(),
        }
    }
}

/// How long a secret is used before it is read again.
pub fn secret_lifetime(reader: &mut Reader<'_>) -> Duration {
    reader.duration(SECRET_TTL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use settings::{Source, Table};

    const REGIONS: &[Variable] = &[row(REGION, Kind::Text, "Set by Lambda.")];
    const TABLE: Table = Table::new(&[AWS, SECRETS, settings::PROXY, REGIONS]);

    fn read(source: &dyn Source) -> (AwsSettings, Duration) {
        let mut reader = Reader::new(source, TABLE);
        let settings = AwsSettings::read(&mut reader);
        let lifetime = secret_lifetime(&mut reader);
        assert_eq!(reader.finish(), []);
        (settings, lifetime)
    }

    #[test]
    fn the_table_is_sound() {
        assert_eq!(TABLE.problems(), [""; 0]);
    }

    #[test]
    fn nothing_is_needed() {
        assert_eq!(read(&[]), (AwsSettings::default(), Duration::from_mins(5)));
        assert_eq!(read(&[(ACCESS_KEY_ID, "AKID")]).0.credentials, None);
        assert_eq!(read(&[(REGION, "eu-west-1")]).0.region.as_deref(), Some("eu-west-1"));
    }

    #[test]
    fn a_services_own_endpoint_goes_before_the_one_for_all() {
        let settings =
            read(&[(ENDPOINT, "http://127.0.0.1:5000"), (SSM_ENDPOINT, "http://127.0.0.1:5001")]).0;
        let url = |store| settings.endpoint(store).unwrap().as_str();
        assert_eq!(url(SecretStore::SecretsManager), "http://127.0.0.1:5000/");
        assert_eq!(url(SecretStore::ParameterStore), "http://127.0.0.1:5001/");
    }

    #[test]
    fn the_proxy_is_the_one_of_everything() {
        let proxy = read(&[
            ("HTTPS_PROXY", "http://proxy:3128"),
            ("NO_PROXY", "ssm.eu-west-1.amazonaws.com"),
        ]);
        let proxy = proxy.0.proxy.unwrap();
        let aws = Url::parse("https://sqs.eu-west-1.amazonaws.com/").unwrap();
        assert_eq!(proxy.of(&aws).map(Url::as_str), Some("http://proxy:3128/"));
        assert!(proxy.exempt.starts_with("ssm.eu-west-1.amazonaws.com,"), "{}", proxy.exempt);
    }

    #[test]
    fn credentials_are_not_printed() {
        let source =
            [(ACCESS_KEY_ID, "AKID"), (SECRET_ACCESS_KEY, "hunter2"), (SESSION_TOKEN, "hunter2")];
        let settings = read(&source).0;
        assert_eq!(settings.credentials.as_ref().unwrap().secret_access_key.expose(), "hunter2");
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
