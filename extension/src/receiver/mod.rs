//! The receivers of OTLP, of X-Ray's documents, and of Lambda's Telemetry API.

pub(crate) mod body;
pub(crate) mod grpc;
pub(crate) mod otlp;
pub(crate) mod response;
pub(crate) mod telemetry;
pub(crate) mod xray;
