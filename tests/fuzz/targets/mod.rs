//! The fuzz targets, one for each decoder of bytes from outside. A target panics if a promise is broken. They are shared with the
//! test that replays their corpora.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a library of the fuzzer, a module of a test"
)]

mod answers;
mod compact;
mod events;
mod executions;
mod otlp;
mod received;
pub mod stack;

/// A target, and the name of its corpus.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: [Target; 17] = [
    ("answer", answers::backend),
    ("awslogs", events::awslogs),
    ("compact", compact::compact),
    ("execution", executions::execution),
    ("inflate", otlp::inflate),
    ("json", otlp::json),
    ("kinesis", events::kinesis),
    ("lines", events::lines),
    ("otlp_grpc", received::otlp_grpc),
    ("otlp_http", received::otlp_http),
    ("read_line", otlp::read_line),
    ("request", otlp::request),
    ("rules", events::rules),
    ("sqs", events::sqs),
    ("stack", stack::stack),
    ("telemetry", received::telemetry),
    ("xray", received::xray),
];

/// Divides the input into fields that NUL bytes end, and a rest.
fn fields<const N: usize>(data: &[u8]) -> ([&str; N], &[u8]) {
    let mut parts = data.splitn(N + 1, |byte| *byte == 0);
    let fields =
        [(); N].map(|()| std::str::from_utf8(parts.next().unwrap_or_default()).unwrap_or_default());
    (fields, parts.next().unwrap_or_default())
}
