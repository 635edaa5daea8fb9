//! Errors of the simulator.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::cloudwatch::InvalidPattern;

/// Why the simulator refused a request. A function that fails is no error but an [`InvocationResult`](crate::InvocationResult).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    #[error("cannot listen on the loopback interface")]
    Listen(#[source] io::Error),
    #[error("function {0} does not exist; create it first")]
    UnknownFunction(String),
    #[error("function {0} exists already")]
    FunctionExists(String),
    #[error("cannot use the bootstrap {}", path.display())]
    Bootstrap { path: PathBuf, source: io::Error },
    #[error("environment variable {0} is reserved by Lambda; remove it from the function")]
    ReservedVariable(String),
    #[error("log group {0} has two subscription filters already, which is the most it may have")]
    TooManyFilters(String),
    #[error(transparent)]
    FilterPattern(#[from] InvalidPattern),
    #[error("payload has {bytes} bytes, the most is {limit_bytes}")]
    PayloadTooLarge { bytes: usize, limit_bytes: usize },
    #[error("payload is not JSON")]
    PayloadNotJson(#[source] serde_json::Error),
    #[error("too many asynchronous invocations wait; flush before you add more")]
    QueueFull,
    #[error("the simulator is shutting down")]
    ShuttingDown,
}
