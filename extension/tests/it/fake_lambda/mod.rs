//! The extension against a scripted Lambda: each answer and each moment is the test's.

mod direct;
mod foreign;
mod formats;
mod grpc;
mod lifecycle;
mod lines;
mod partial;
mod receiver;
mod support;
mod xray;
