//! What Lambda invokes the subscriber with, and what it answers.

mod answer;
mod event;
mod service;

pub use service::{Failed, Service};
