//! One attempt at one request over HTTP: no repetition, no redirects, bounded responses.

mod cause;
mod error;
mod headers;
mod reqwest_client;
mod reqwest_transport;
mod response;
mod transport;

pub use error::{ClientError, TransportError};
pub use headers::header_map;
pub use reqwest_transport::HttpTransport;
pub use response::HttpResponse;
pub use transport::{HttpRequest, Transport};
