//! An OTLP client that knows OpenObserve. All telemetry leaves our binaries through this crate.
//!
//! [`sanitize`] adapts a [`Request`](wire::Request) to OpenObserve, [`Client::export`] sends it, and the returned [`Outcome`]
//! accounts for each of its items. Pure functions (`judge`, `Attempts`) decide what follows a response; the loop in `client`
//! carries it out.
//!
//! Each module uses only modules before it in this list:
//!
//! - `destination`: endpoint and credentials; `direct_mode`: the variables with which the extension sends itself
//! - `http`: one attempt
//! - `mask`: hides credentials in texts
//! - `judge`: the meaning of a response
//! - `sanitize`: the request as OpenObserve stores it
//! - `export`: retry, split, account
//! - `client`: all of it, with a secret that may be stored elsewhere
//! - `reach`: checks a destination, and explains the result to a person

mod client;
mod destination;
pub mod direct_mode;
mod export;
mod http;
mod judge;
mod mask;
mod reach;
mod sanitize;

pub use self::http::{
    ClientError, HttpRequest, HttpResponse, HttpTransport, JsonStreamEvent, JsonStreamRecord,
    Protocol, Transport, TransportError, events_request,
};
pub use client::{Client, UnusableSecret, read_secret};
pub use destination::{
    Compression, DESTINATION, DestinationConfig, Endpoints, InvalidAuthority, O2_DESTINATION,
    OwnAuthority, Profile, STREAM, missing_organization,
};
pub use export::{Fate, Outcome, UndeliveredPart};
pub use judge::Reason;
pub use reach::{Advice, CREDENTIALS, Canary, ORGANIZATION_MISSING, REQUEST_TIMEOUT, Reach};
pub use sanitize::{
    Sanitized, Survey, TimeRange, sanitize, stored_byte, stored_key, stored_stream,
};
