//! What kind of backend it is.

/// What kind of backend it is, from which follows what it asks of OTLP and what its responses mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// OpenObserve: an empty `partial_success` of logs means that nothing was written, and metrics are shaped so that they add
    /// up.
    #[default]
    OpenObserve,
    /// Any other OTLP backend: responses mean what the specification says, and users' telemetry is left as it is.
    Otlp,
}
