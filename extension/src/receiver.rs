//! Receives OTLP from the function, on loopback.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod http;
