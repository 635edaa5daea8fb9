//! A local AWS Lambda and CloudWatch Logs with real processes, and an OTLP sink.

pub mod sink;
