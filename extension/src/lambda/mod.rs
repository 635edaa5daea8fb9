//! The calls to Lambda: register, next event, and the subscription to telemetry.

pub(crate) mod extensions_api;
pub(crate) mod telemetry_api;
