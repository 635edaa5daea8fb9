//! What kind of backend it is.

/// What the backend is, and with it what it asks of OTLP and how its answers are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// OpenObserve: an empty `partial_success` of logs is a write failure, metrics are shaped so that they add up.
    #[default]
    OpenObserve,
    /// Any other OTLP backend: answers mean what the specification says, users' telemetry is left as it is.
    Otlp,
}
