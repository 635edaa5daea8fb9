//! Why a request to AWS got no response, and whether it may have arrived all the same.

/// Why there is no response. Of the request it holds the host and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoResponse {
    /// The request could not be made.
    #[error("{0}")]
    NotMade(&'static str),
    /// There was no connection: nothing was sent.
    #[error("cannot reach {host}: {cause}")]
    NotConnected {
        /// The endpoint's host, with the port where that is not the usual one.
        host: String,
        /// What happened, and what to do about it.
        cause: String,
    },
    /// The connection broke, or what came back is no HTTP.
    #[error("cannot reach {host}: {cause}")]
    Broken {
        /// The endpoint's host, with the port where that is not the usual one.
        host: String,
        /// What happened.
        cause: String,
    },
    /// The deadline came first.
    #[error("cannot reach {host}: {TIMED_OUT}")]
    Deadline {
        /// The endpoint's host, with the port where that is not the usual one.
        host: String,
    },
    /// The response is longer than the request allowed.
    #[error("the answer of {host} is longer than {most} bytes")]
    TooLong {
        /// The endpoint's host, with the port where that is not the usual one.
        host: String,
        /// Most bytes that the request allowed.
        most: usize,
    },
}

/// The cause where a service takes too long.
pub const TIMED_OUT: &str =
    "timed out; does the function's VPC have a way to it, such as a VPC endpoint?";

impl NoResponse {
    /// Whether the service may have done what it was asked.
    pub fn may_have_arrived(&self) -> bool {
        !matches!(self, Self::NotMade(_) | Self::NotConnected { .. })
    }
}
