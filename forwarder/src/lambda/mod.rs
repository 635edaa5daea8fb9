//! What Lambda sees: the handler that answers each invocation, and the service that the settings make of it.

pub(crate) mod handler;
pub(crate) mod service;
