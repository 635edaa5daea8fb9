//! The Lambda behind the CloudWatch Logs subscription: log events in, OTLP out.
