//! Reads secrets from Secrets Manager and the parameter store, for forwarder and extension.
//!
//! [`Aws`] makes the one request that each service needs; [`signed_request`] signs and sends it, for queues too; [`authorization`] turns what is kept there into
//! the value of an authorization header; [`Cached`] reads again when it is time or when a backend refuses the value, shares one
//! read among all who ask, and keeps the old value while the service fails.

mod authorization;
mod aws;
mod aws_answer;
mod cached;
mod error;
mod moment;
pub mod signed_request;
mod variables;

pub use authorization::authorization;
pub use aws::{Aws, SecretService};
pub use cached::{Cached, Current};
pub use error::SecretError;
pub use moment::Moment;
pub use variables::{AWS, AwsSettings, Credentials, SECRETS, secret_lifetime};
