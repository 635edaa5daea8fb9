//! Receives OTLP from the function, and the events of Lambda's Telemetry API.

pub(crate) mod body;
pub(crate) mod otlp;
pub(crate) mod response;
pub(crate) mod telemetry;
