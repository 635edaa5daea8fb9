//! The HTTP APIs that Lambda gives to the processes of an environment: Runtime API, Extensions API, Telemetry API.

pub(crate) mod call;
mod extensions;
pub(crate) mod response;
pub(crate) mod runtime;
pub(crate) mod server;
