//! An OTLP client that knows OpenObserve. All telemetry leaves our binaries through this crate.
//!
//! [`sanitize`] adapts a [`Request`](wire::Request) to OpenObserve, [`Client::export`] sends it, and the returned [`Outcome`]
//! accounts for each of its items. Pure functions (`judge`, `Attempts`) decide what follows a response; the loop in `client`
//! carries it out.
//!
//! Each module uses only modules before it in this list:
//!
//! - `destination`: settings of a backend. `variables` has those that all senders share, `endpoints` the URL of each signal,
//!   `requests` the headers, `stream-name` and limits of each request, `signals` the telemetry that the backend takes,
//!   `own_authority` private certificates, `cloudwatch` what its endpoints want. `direct_mode`
//!   decides whether the extension sends itself.
//! - `http`: one attempt (`transport`, `grpc`, and `json_stream` for OpenObserve's older endpoint `_json`). `response` parses
//!   `Retry-After`, `own_certificate` trusts private authorities, `cause` explains a failed connection.
//! - `mask`: hides credentials in a backend's texts.
//! - `judge`: the meaning of each status, also of a success, with a hint for the user. `export_response` reads the body. `reason`
//!   recognizes OpenObserve's words and puts a failure into ours.
//! - `sanitize`: the request as OpenObserve stores it. Its own file says how, and has a table of the rules with the module of each.
//!   `adapter` reads each item once, with its `shape`; a `plan` says what the rules about keys and types change in items of the shape
//!   (`planned`), and `write` does it. `traces`, `logs`, `metrics` and `histograms` have the rules about single values. `names` spells keys as
//!   OpenObserve does. `reserved_columns` has OpenObserve's own columns; add a further one there alone. `request_facts` are the times
//!   and a sketch of the keys, for `export` and the forwarder.
//! - `sanitize/typed_columns` plans texts for log attributes, and further columns for their numbers. cli's `openobserve/columns`
//!   declares the panels' columns beforehand, with the same types.
//! - `export`: what we learned from earlier requests (`Learned`). `attempts` decides (retry, wait, ask with an empty request) and
//!   cuts a request into known limits, or in two after a refusal (`halve`). A retry waits for its own pause or `Retry-After`,
//!   whichever is longer; if the delivery's time is shorter, the request is undelivered. `outcome` has the fate of each item,
//!   `column_limit` splits a request with too many columns, `new_columns` finds the items to send first because of their columns.
//! - `client`: sends and waits, with a secret that may be stored elsewhere.
//! - `reach`: sends an empty request of each signal to check a backend, for `doctor` and the extension's `health_check`, and
//!   explains the result.

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
    CloudWatchEndpoint, Compression, DESTINATION, DestinationConfig, Endpoints, InvalidAuthority,
    O2_DESTINATION, OwnAuthority, Profile, SIGNALS, STREAM, Signals, Telemetry, UnknownSignal,
    WrittenLogGroup, missing_organization,
};
pub use export::{Fate, Outcome, UndeliveredPart};
pub use judge::Reason;
pub use reach::{Advice, CREDENTIALS, Canary, ORGANIZATION_MISSING, REQUEST_TIMEOUT, Reach};
pub use sanitize::{
    RequestFacts, Sanitized, TimeRange, sanitize, stored_byte, stored_key, stored_stream,
};
