//! A queue's settings: its URL, endpoint and credentials.

use crate::credentials::CredentialsSource;
use crate::variables::{ENDPOINT, REGION, SQS_ENDPOINT};
use settings::{Proxy, Reader, Setting};
use url::Url;

#[derive(Clone, Debug)]
pub struct SqsSettings {
    pub(super) url: String,
    pub(super) name: String,
    pub(super) account: String,
    pub(super) region: String,
    pub(super) endpoint: Url,
    pub(super) credentials: CredentialsSource,
    pub(super) proxy: Option<Proxy>,
}

impl SqsSettings {
    /// Reads the queue's URL from this variable. `None` if it is unset, or a mistake was noted.
    pub fn read(reader: &mut Reader<'_>, variable: Setting<Url>) -> Option<Self> {
        let url = reader.read(variable)?;
        let region = reader.read(REGION);
        let endpoint = reader.read(SQS_ENDPOINT).or_else(|| reader.read(ENDPOINT));
        let credentials = CredentialsSource::read(reader);
        let mut mistake = |name: Setting<Url>, problem: &str| {
            reader.mistake(name, problem);
            None
        };
        let segments: Vec<&str> = url.path_segments().into_iter().flatten().collect();
        let (account, name) = match segments.as_slice() {
            [.., account, name] if !name.is_empty() && is_account(account) => (*account, *name),
            _ => {
                return mistake(
                    variable,
                    "not the URL of a queue: expected https://sqs.{region}.amazonaws.com/{account}/{name}",
                );
            }
        };
        if name.strip_suffix(".fifo").is_some() {
            return mistake(variable, "a FIFO queue: use a standard queue");
        }
        let host = url.host_str().unwrap_or_default();
        let Some(region) = region_of_host(host).map(str::to_owned).or(region) else {
            return mistake(variable, "its host names no region, and AWS_REGION is not set");
        };
        let Some(credentials) = credentials else {
            return mistake(
                variable,
                "needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_CONTAINER_CREDENTIALS_FULL_URI, which Lambda sets",
            );
        };
        let endpoint = endpoint.or_else(|| url.join("/").ok())?;
        Some(Self {
            url: url.to_string(),
            name: name.to_owned(),
            account: account.to_owned(),
            region,
            endpoint,
            credentials,
            proxy: Proxy::read(reader),
        })
    }

    /// Returns `true` if both URLs name the same queue, even with different hosts.
    pub fn is_same_queue(&self, other: &Self) -> bool {
        self.arn() == other.arn()
    }

    pub(super) fn arn(&self) -> String {
        let Self { region, account, name, .. } = self;
        let partition = crate::client::partition_name(region);
        format!("arn:{partition}:sqs:{region}:{account}:{name}")
    }
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Reads the region from `sqs.{region}.…`, `sqs-fips.{region}.…` and `vpce-1.sqs.{region}.vpce.…` (AWS General Reference, "Amazon
/// SQS endpoints and quotas").
pub fn region_of_host(host: &str) -> Option<&str> {
    let labels: Vec<&str> = host.split('.').collect();
    let service = labels.iter().position(|label| matches!(*label, "sqs" | "sqs-fips"))?;
    labels.get(service + 1).copied().filter(|region| region.matches('-').count() >= 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variables::{AWS, SQS};
    use settings::{InvalidSettings, Table, Variable};
    use std::collections::HashMap;

    const QUEUE_URL: Setting<Url> = Setting::url("LAMBDA_OTLP_RETRY_QUEUE_URL", "The queue's URL.");
    const QUEUE: &[Variable] = &[QUEUE_URL.row()];
    const TABLE: Table = Table::new(&[SQS, AWS, settings::PROXY, QUEUE]);

    fn read(url: &str, others: &[(&str, &str)]) -> Result<SqsSettings, InvalidSettings> {
        let mut variables = HashMap::from([
            (QUEUE_URL.name().to_owned(), url.to_owned()),
            ("AWS_ACCESS_KEY_ID".to_owned(), "AKID".to_owned()),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), "hunter2".to_owned()),
        ]);
        variables.extend(others.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        let mut reader = Reader::new(&variables, TABLE);
        let address = SqsSettings::read(&mut reader, QUEUE_URL);
        InvalidSettings::check(reader.finish()).map(|()| address.unwrap())
    }

    #[test]
    fn endpoint_and_arn_are_derived_from_the_queue_url() {
        let check = |server: &str, endpoint: &str, service: &str| {
            let url = format!("{server}/123456789012/retry");
            let address = read(&url, &[("AWS_REGION", "eu-west-3")]).unwrap();
            let arn = format!("arn:{service}:123456789012:retry");
            assert_eq!(address.endpoint.as_str(), format!("{endpoint}/"), "{url}");
            assert_eq!(address.arn(), arn, "{url}");
        };
        for (server, service) in [
            ("https://sqs.eu-central-1.amazonaws.com", "aws:sqs:eu-central-1"),
            ("https://sqs.cn-north-1.amazonaws.com.cn", "aws-cn:sqs:cn-north-1"),
            ("https://sqs-fips.us-gov-west-1.amazonaws.com", "aws-us-gov:sqs:us-gov-west-1"),
            ("https://vpce-0a1b-2c.sqs.us-east-1.vpce.amazonaws.com", "aws:sqs:us-east-1"),
            ("http://localhost:4566", "aws:sqs:eu-west-3"),
        ] {
            check(server, server, service);
        }
    }

    #[test]
    fn endpoint_variables_take_precedence_over_the_queue_url() {
        let url = "https://sqs.eu-central-1.amazonaws.com/123456789012/retry";
        let all = ("AWS_ENDPOINT_URL", "http://127.0.0.1:5000");
        let sqs = ("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:6000");
        assert_eq!(read(url, &[all]).unwrap().endpoint.as_str(), "http://127.0.0.1:5000/");
        assert_eq!(read(url, &[all, sqs]).unwrap().endpoint.as_str(), "http://127.0.0.1:6000/");
    }

    #[test]
    fn queue_url_mistakes_name_the_variable_and_the_remedy() {
        let check = |url: &str, others: &[(&str, &str)], expected: &str| {
            let error = read(url, others).unwrap_err().to_string();
            assert!(error.starts_with(QUEUE_URL.name()) && error.contains(expected), "{error}");
        };
        let no_queue =
            "not the URL of a queue: expected https://sqs.{region}.amazonaws.com/{account}/{name}";
        check("https://sqs.eu-central-1.amazonaws.com/", &[], no_queue);
        check("https://sqs.eu-central-1.amazonaws.com/retry", &[], no_queue);
        check("https://sqs.eu-central-1.amazonaws.com/123456789012/", &[], no_queue);
        check("retry", &[], "");
        let fifo = "https://sqs.eu-central-1.amazonaws.com/123456789012/retry.fifo";
        check(fifo, &[], "a FIFO queue: use a standard queue");
        check("http://localhost/123456789012/retry", &[], "AWS_REGION is not set");
        let url = "https://sqs.eu-central-1.amazonaws.com/123456789012/retry";
        check(url, &[("AWS_SECRET_ACCESS_KEY", "")], "which Lambda sets");
    }
}
