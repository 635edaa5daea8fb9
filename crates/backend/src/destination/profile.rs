//! The kind of backend.

/// The kind of backend, which determines the adaptation of requests and the meaning of responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// OpenObserve: an empty `partial_success` for logs means that nothing was written, and metrics are adapted so that they add
    /// up.
    #[default]
    OpenObserve,
    /// Any other OTLP backend: responses mean what the specification says, and telemetry is sent unchanged.
    Otlp,
}
