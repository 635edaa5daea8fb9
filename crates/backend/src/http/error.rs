//! Errors of creating a client and of sending a request.

/// The reason why no client could be created.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// A header of the destination is not valid in HTTP.
    #[error("header {name} contains characters that HTTP does not allow")]
    Header { name: String },
    /// TLS setup failed, for instance because the system has no certificates.
    #[error("cannot set up the HTTP client: {text}")]
    Build {
        /// The innermost cause.
        text: String,
    },
}

/// The request got no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct TransportError {
    /// `true` if the body was sent at least in part, so that the backend may have the request.
    pub sent: bool,
    /// Host and cause: `cannot reach o2.example.com:443: connection refused`.
    pub text: String,
}
