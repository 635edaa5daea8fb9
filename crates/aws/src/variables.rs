//! The rows of variables for AWS services: credentials, regions and URLs.

use settings::{Secret, Setting, Variable, shared};
use url::Url;

pub(crate) const ACCESS_KEY_ID: Setting<String> =
    Setting::text("AWS_ACCESS_KEY_ID", "Set by Lambda: credentials of the function's role.");
pub(crate) const SECRET_ACCESS_KEY: Setting<Secret> =
    Setting::secret("AWS_SECRET_ACCESS_KEY", "Set by Lambda, with `AWS_ACCESS_KEY_ID`.");
pub(crate) const SESSION_TOKEN: Setting<Secret> =
    Setting::secret("AWS_SESSION_TOKEN", "Set by Lambda, with `AWS_ACCESS_KEY_ID`.");
pub(crate) const CREDENTIALS_FULL_URI: Setting<Url> = Setting::url(
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "Set by Lambda instead of the other three with SnapStart: URL of the credentials.",
);
pub(crate) const AUTHORIZATION_TOKEN: Setting<Secret> =
    Setting::secret("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Set by Lambda: token for that URL.");
/// The region of this program.
pub const REGION: Setting<String> = shared::AWS_REGION.with_doc(
    "Set by Lambda: `cloud.region`, and the region of AWS's services unless an ARN or a URL names another.",
);
pub(crate) const ENDPOINT: Setting<Url> =
    Setting::url("AWS_ENDPOINT_URL", "URL of all AWS services, for a stand-in.");
pub(crate) const SECRETS_MANAGER_ENDPOINT: Setting<Url> =
    Setting::url("AWS_ENDPOINT_URL_SECRETS_MANAGER", "URL of Secrets Manager.");
pub(crate) const SSM_ENDPOINT: Setting<Url> =
    Setting::url("AWS_ENDPOINT_URL_SSM", "URL of Systems Manager.");
pub(crate) const LOGS_ENDPOINT: Setting<Url> =
    Setting::url("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", "URL of CloudWatch Logs.");
pub(crate) const SQS_ENDPOINT: Setting<Url> =
    Setting::url("AWS_ENDPOINT_URL_SQS", "URL of SQS. Default: the host of the queue's URL.");

pub(crate) const STEP_FUNCTIONS_ENDPOINT: Setting<Url> =
    Setting::url("AWS_ENDPOINT_URL_SFN", "URL of Step Functions.");
pub(crate) const LAMBDA_ENDPOINT: Setting<Url> =
    Setting::url("AWS_ENDPOINT_URL_LAMBDA", "URL of Lambda's API, for durable functions.");

/// The rows of every binary that calls AWS services, including queues, in addition to [`settings::PROXY`].
pub const AWS: &[Variable] = &[
    ACCESS_KEY_ID.row(),
    SECRET_ACCESS_KEY.row(),
    SESSION_TOKEN.row(),
    CREDENTIALS_FULL_URI.row(),
    AUTHORIZATION_TOKEN.row(),
    REGION.row(),
    ENDPOINT.row(),
];

/// The rows of a binary that reads secrets, in addition to [`AWS`].
pub const SECRETS: &[Variable] = &[SECRETS_MANAGER_ENDPOINT.row(), SSM_ENDPOINT.row()];

/// The row of a binary that sends to queues, in addition to [`AWS`]. Each queue's own row is in the module of its user.
pub const SQS: &[Variable] = &[SQS_ENDPOINT.row()];

/// The rows of a binary that reads the histories of executions, in addition to [`AWS`].
pub const HISTORIES: &[Variable] = &[STEP_FUNCTIONS_ENDPOINT.row(), LAMBDA_ENDPOINT.row()];

/// The row of a binary that subscribes log groups, in addition to [`AWS`].
pub const LOGS: &[Variable] = &[LOGS_ENDPOINT.row()];
