//! The only way out for telemetry: an OTLP client that knows OpenObserve.
//!
//! A [`Request`](wire::Request) is shaped by [`sanitize`], goes through [`Client::export`], and comes back as an [`Outcome`]
//! that accounts for each of its items. What to do after a response is decided by pure functions (`judge`, `Delivery`); the
//! one loop in `export` acts on them.
//!
//! The folders, each of which uses only those before it: `destination` says where telemetry goes, `http` makes one attempt,
//! `judge` says what its response means, `sanitize` shapes requests, `export` repeats, splits and accounts, `client` is what
//! a binary holds, and `authorized` the client with a secret that is kept elsewhere. `reach` tells a person whether a destination
//! takes what it is sent.

#[cfg(feature = "secret")]
mod authorized;
mod client;
mod destination;
mod export;
mod http;
mod judge;
mod mask;
#[cfg(feature = "reach")]
mod reach;
mod sanitize;

#[cfg(all(feature = "lean", feature = "secret"))]
pub use self::http::AwsTransport;
pub use self::http::{
    ClientError, HttpRequest, HttpResponse, HttpTransport, Transport, TransportError, header_map,
};
#[cfg(feature = "lean")]
pub use self::http::{LeanTransport, Protocol, Record, TelemetryEvent, events_request};
#[cfg(feature = "secret")]
pub use authorized::{Authorized, read_secret};
pub use client::Client;
pub use destination::{
    Compression, DESTINATION, DestinationConfig, Endpoints, OwnAuthority, PROXY_ROW, Profile,
    SECRET_ROW, missing_organization,
};
pub use export::{Fate, InvalidRetryPolicy, Outcome, RetryPolicy, Undelivered, gzip_level};
pub use judge::Reason;
#[cfg(feature = "reach")]
pub use reach::{
    Advice, Answers, Canary, ORGANIZATION_MISSING, REQUEST_TIMEOUT, Reach, is_no_otlp,
};
pub use sanitize::{Sanitized, Survey, Times, sanitize, stored_byte, stored_key};
