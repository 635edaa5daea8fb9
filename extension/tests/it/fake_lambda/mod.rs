//! The extension against a scripted Lambda: each answer and each moment is the test's.

pub(crate) mod connections;
pub(crate) mod direct;
mod formats;
mod grpc;
mod lifecycle;
mod lines;
mod managed;
mod panics;
mod process;
mod receiver;
mod stdout;
mod support;
mod xray;
