//! The variables that name the queues.

use settings::{Kind, Variable};

pub const RETRY_QUEUE_URL: &str = "LAMBDA_OTLP_RETRY_QUEUE_URL";
pub(crate) const DEAD_LETTER_QUEUE_URL: &str = "LAMBDA_OTLP_DEAD_LETTER_QUEUE_URL";

/// The variables of the queues. [`aws::SQS`] and [`aws::AWS`] belong to them.
pub const QUEUES: &[Variable] = &[
    Variable {
        name: RETRY_QUEUE_URL,
        default: None,
        kind: Kind::Url,
        doc: "URL of the SQS queue for telemetry to send again. The stack sets it. Without it, Lambda delivers the event again.",
    },
    Variable {
        name: DEAD_LETTER_QUEUE_URL,
        default: None,
        kind: Kind::Url,
        doc: "URL of the SQS queue for telemetry that the backend rejects. The stack sets it. Without it, an undecodable line is only reported, and an event with rejected telemetry is returned to Lambda.",
    },
];
