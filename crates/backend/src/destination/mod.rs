//! The settings of one backend, shared by all senders.

mod compression;
mod config;
mod endpoints;
mod family;
mod headers;
mod limits;
mod organization;
mod own_authority;
mod profile;
mod stream;
mod variables;

#[cfg(test)]
mod tests;

pub use compression::Compression;
pub use config::DestinationConfig;
pub use endpoints::Endpoints;
pub use organization::missing_organization;
pub use own_authority::OwnAuthority;
pub use profile::Profile;
pub(crate) use stream::{STREAM_NAME, stream_header};
pub use variables::{DESTINATION, O2_DESTINATION, PROXY_ROW, SECRET_ROW};
