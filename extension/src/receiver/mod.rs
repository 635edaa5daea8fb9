//! What listens: for OTLP from the function, and for Lambda's Telemetry API.

pub(crate) mod body;
pub(crate) mod otlp;
pub(crate) mod response;
pub(crate) mod telemetry;
