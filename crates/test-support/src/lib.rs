//! Parts of tests and of the demo other than the local Lambda: a fake OpenObserve, TLS and a proxy in front of it, a secret store, the items
//! in a log and their comparison, filter patterns, hostile content, and the lines of failed runtimes.

mod comparison;
mod filter_pattern;
pub mod hostile;
mod logged;
pub mod openobserve;
pub mod proxy;
mod runtime_errors;
pub mod secrets;
#[cfg(feature = "tls")]
pub mod tls;

pub use comparison::Comparison;
pub use filter_pattern::selects;
use local_lambda::lock;
pub use logged::Logged;
pub use runtime_errors::{RuntimeErrorCase, runtime_error_cases};
