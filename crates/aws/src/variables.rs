//! The rows of variables for AWS services: credentials, regions and URLs.

use settings::{Kind, Variable, shared};

pub(crate) const ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID";
pub(crate) const SECRET_ACCESS_KEY: &str = "AWS_SECRET_ACCESS_KEY";
pub(crate) const SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";
pub(crate) const CREDENTIALS_FULL_URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
pub(crate) const AUTHORIZATION_TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
pub(crate) const REGION: &str = shared::AWS_REGION.name;
pub(crate) const ENDPOINT: &str = "AWS_ENDPOINT_URL";
pub(crate) const SECRETS_MANAGER_ENDPOINT: &str = "AWS_ENDPOINT_URL_SECRETS_MANAGER";
pub(crate) const SSM_ENDPOINT: &str = "AWS_ENDPOINT_URL_SSM";
pub(crate) const LOGS_ENDPOINT: &str = "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS";
pub(crate) const SQS_ENDPOINT: &str = "AWS_ENDPOINT_URL_SQS";

const fn row(name: &'static str, kind: Kind, doc: &'static str) -> Variable {
    Variable { name, default: None, kind, doc }
}

/// The rows of every binary that calls AWS services, including queues, beside [`settings::PROXY`].
pub const AWS: &[Variable] = &[
    row(
        ACCESS_KEY_ID,
        Kind::Text,
        "Set by Lambda: credentials of the function's role.",
    ),
    row(SECRET_ACCESS_KEY, Kind::Secret, "Set by Lambda, with `AWS_ACCESS_KEY_ID`."),
    row(SESSION_TOKEN, Kind::Secret, "Set by Lambda, with `AWS_ACCESS_KEY_ID`."),
    row(
        CREDENTIALS_FULL_URI,
        Kind::Url,
        "Set by Lambda instead of the other three with SnapStart: URL of the credentials.",
    ),
    row(
        AUTHORIZATION_TOKEN,
        Kind::Secret,
        "Set by Lambda: token for that URL.",
    ),
    shared::AWS_REGION.with_doc(
        "Set by Lambda: `cloud.region`, and the region of AWS's services unless an ARN or a URL names another.",
    ),
    row(ENDPOINT, Kind::Url, "URL of all AWS services, for a stand-in."),
];

/// The rows of a binary that reads secrets, beside [`AWS`].
pub const SECRETS: &[Variable] = &[
    row(SECRETS_MANAGER_ENDPOINT, Kind::Url, "URL of Secrets Manager."),
    row(SSM_ENDPOINT, Kind::Url, "URL of Systems Manager."),
];

/// The row of a binary that sends to queues, beside [`AWS`]. Each queue's own row is in the module of its user.
pub const SQS: &[Variable] =
    &[row(SQS_ENDPOINT, Kind::Url, "URL of SQS. Default: the host of the queue's URL.")];

/// The row of a binary that subscribes log groups, beside [`AWS`].
pub const LOGS: &[Variable] = &[row(LOGS_ENDPOINT, Kind::Url, "URL of CloudWatch Logs.")];
