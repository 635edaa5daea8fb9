//! The event types of `aws_lambda_events`: API Gateway's, and the others with their features.

#[cfg(any(feature = "dynamodb", feature = "s3"))]
mod documents;
#[cfg(feature = "eventbridge")]
mod event_bridge;
mod http;
#[cfg(any(feature = "kafka", feature = "kinesis", feature = "sns", feature = "sqs"))]
mod messages;
