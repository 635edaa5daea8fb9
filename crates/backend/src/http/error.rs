//! Why there is no client, and why there is no response.

/// Why there is no client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// A header of the destination cannot be sent.
    #[error("header {name} holds characters that HTTP does not allow")]
    Header {
        /// Its name.
        name: String,
    },
    /// TLS cannot be set up, for instance because the system has no certificates.
    #[error("cannot set up the HTTP client: {text}")]
    Build {
        /// The first cause.
        text: String,
    },
}

/// There is no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct TransportError {
    /// Whether the backend may have the request all the same: the body, or part of it, was sent.
    pub sent: bool,
    /// Host and cause: `cannot reach o2.example.com:443: connection refused`.
    pub text: String,
}
