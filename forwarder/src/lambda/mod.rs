//! The Lambda handler, and the service built from the settings.

pub(crate) mod handler;
pub(crate) mod service;
