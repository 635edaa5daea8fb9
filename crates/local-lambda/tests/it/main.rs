//! The local Lambda against the answers and the order of events of AWS's own execution environment (the runtime interface emulator
//! at 4fa2157). The processes are puppets: the tests make their calls.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests"
)]

mod client_context;
mod extensions_api;
mod invoke_api;
mod managed;
mod puppets;
mod shutdown;
mod telemetry;
