//! One attempt of one request over HTTP: no retry, no redirects, bounded responses.
//!
//! One trait has two transports: reqwest's for standalone programs, and a lean one for the extension.

mod bounded_body;
mod cause;
mod error;
mod headers;
#[cfg(feature = "lean")]
mod lean;
mod own_certificate;
#[cfg(feature = "reqwest")]
mod reqwest_client;
#[cfg(feature = "reqwest")]
mod reqwest_transport;
mod response;
mod transport;

#[cfg(not(any(feature = "lean", feature = "reqwest")))]
compile_error!("nothing to send with: choose the feature `reqwest` or `lean`");

pub use error::{ClientError, TransportError};
pub use headers::header_map;
#[cfg(feature = "lean")]
pub use lean::AwsTransport;
#[cfg(not(feature = "reqwest"))]
pub use lean::LeanTransport as HttpTransport;
#[cfg(feature = "lean")]
pub use lean::{JsonStreamEvent, JsonStreamRecord, LeanTransport, Protocol, events_request};
#[cfg(feature = "reqwest")]
pub use reqwest_transport::HttpTransport;
pub use response::HttpResponse;
pub use transport::{HttpRequest, Transport};
