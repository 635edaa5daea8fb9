//! The reason for a missing response, and whether the request may have arrived.

/// The reason for a missing response. Contains only the host of the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoResponse {
    /// The request could not be made.
    #[error("{0}")]
    NotMade(&'static str),
    /// Connecting failed: nothing was sent.
    #[error("cannot reach {host}: {cause}")]
    NotConnected {
        /// The endpoint's host, with its port unless that is the default.
        host: String,
        cause: String,
    },
    /// The connection broke, or the response was not HTTP.
    #[error("cannot reach {host}: {cause}")]
    Broken {
        /// The endpoint's host, with its port unless that is the default.
        host: String,
        cause: String,
    },
    #[error("cannot reach {host}: {TIMED_OUT}")]
    Deadline {
        /// The endpoint's host, with its port unless that is the default.
        host: String,
    },
    /// The response exceeds the request's limit.
    #[error("the answer of {host} is longer than {most} bytes")]
    TooLong {
        /// The endpoint's host, with its port unless that is the default.
        host: String,
        most: usize,
    },
}

/// The cause if a service takes too long.
pub const TIMED_OUT: &str =
    "timed out; does the function's VPC have a way to it, such as a VPC endpoint?";

impl NoResponse {
    /// Returns `true` if the service may have carried out the request.
    pub fn may_have_arrived(&self) -> bool {
        !matches!(self, Self::NotMade(_) | Self::NotConnected { .. })
    }
}
