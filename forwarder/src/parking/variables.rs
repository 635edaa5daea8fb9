//! The variables that name the queues.

use settings::{Kind, Variable};

/// The variable that names the retry queue.
pub const RETRY_QUEUE_URL: &str = "LAMBDA_OTLP_RETRY_QUEUE_URL";
/// The variable that names the dead-letter queue.
pub(crate) const DEAD_LETTER_QUEUE_URL: &str = "LAMBDA_OTLP_DEAD_LETTER_QUEUE_URL";

/// The rows that name queues; those of [`aws::SQS`] and [`aws::AWS`] belong to them.
pub const QUEUES: &[Variable] = &[
    Variable {
        name: RETRY_QUEUE_URL,
        default: None,
        kind: Kind::Url,
        doc: "URL of the SQS queue that keeps what the backend does not take now. Without it that is returned to Lambda, \
              which delivers the whole event again.",
    },
    Variable {
        name: DEAD_LETTER_QUEUE_URL,
        default: None,
        kind: Kind::Url,
        doc: "URL of the SQS queue that keeps what the backend will never take. Without it a line that does not decode is \
              only reported, and what the backend refuses for good is returned to Lambda.",
    },
];
