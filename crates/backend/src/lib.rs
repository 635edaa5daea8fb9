//! The only way out for telemetry: an OTLP client that knows OpenObserve.
//!
//! A [`Request`](wire::Request) goes through [`Client::export`] and comes back as an [`Outcome`] that accounts for each of
//! its items. What to do after an answer is decided by pure functions ([`judge`], [`Delivery`]); one loop acts on them.

mod answer;
mod reason;
mod retry;
mod transport;

pub use answer::{Answer, Judgement, Profile, judge};
pub use reason::Reason;
pub use retry::{InvalidRetryPolicy, Jitter, RetryPolicy};
pub use transport::{HttpRequest, MAX_ANSWER_BYTES, Transport, TransportError};
