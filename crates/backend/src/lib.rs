//! The only way out for telemetry: an OTLP client that knows OpenObserve.
//!
//! A [`Request`](wire::Request) goes through [`Client::export`] and comes back as an [`Outcome`] that accounts for each of
//! its items. What to do after an answer is decided by pure functions ([`judge`], [`Delivery`]); one loop acts on them.

mod answer;
mod client;
mod delivery;
mod destination;
mod export;
mod http_transport;
mod mask;
mod outcome;
mod reason;
mod response;
mod retry;
mod sanitize;
mod transport;

pub use answer::{Answer, Judgement, Profile, judge};
pub use client::{Client, ClientError, header_map};
pub use delivery::{Delivery, Step};
pub use destination::{DESTINATION, Destination, Endpoints, OwnAuthority};
pub use export::{Compression, gzip_level};
pub use http_transport::HttpTransport;
pub use outcome::{Fate, Outcome, Undelivered};
pub use reason::Reason;
pub use retry::{InvalidRetryPolicy, Jitter, RetryPolicy};
pub use sanitize::{DropReason, MAX_COLUMNS, Sanitized, Survey, Times, sanitize, split_by_columns};
pub use transport::{HttpRequest, MAX_ANSWER_BYTES, Transport, TransportError};
