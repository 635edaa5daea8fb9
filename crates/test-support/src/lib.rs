//! What tests and the demo need beside the local Lambda: a fake OpenObserve, TLS and a proxy in front of it, a secret store, the items
//! in a log and their comparison, and filter patterns.

mod comparison;
mod filter_pattern;
pub mod hostile;
mod logged;
pub mod openobserve;
pub mod proxy;
pub mod secrets;
#[cfg(feature = "tls")]
pub mod tls;

pub use comparison::Comparison;
pub use filter_pattern::selects;
use local_lambda::lock;
pub use logged::Logged;
