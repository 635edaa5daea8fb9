//! The subscriber's events and answers.

mod answer;
mod event;
mod service;

pub use service::{Failed, Service};
