//! Parts of tests and of the demo other than the local Lambda: a fake OpenObserve, TLS and a proxy in front of it, a secret store, the items
//! in a log and their comparison, filter patterns, hostile content, and the lines of failed runtimes.
//!
//! - `openobserve` is the fake, with its handle for tests, which `builder` sets up. `script` has the answers and faults that a
//!   test orders, `server` gives them, `search` is the API to read.
//! - `openobserve/ingest` decides what OpenObserve would do with a request: `admit` checks it, `signals` has the rules of each
//!   signal.
//! - `openobserve/store` keeps the received requests and stored items. `rows` and `types` model the stored columns, `gen_ai` the
//!   processing of generative AI.
//! - `backends` has what other backends' documentation says, and a stand-in that answers so.
//! - `comparison` compares sent and stored items. `hostile` has families of hostile content with their limits.
//! - `tls`, `proxy` and `secrets` are servers for tests. `filter_pattern` applies filter patterns. `logged` reads the telemetry
//!   of a log. `runtime_errors` has the lines of failed runtimes.

pub mod backends;
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
