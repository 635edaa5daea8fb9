//! Identifiers as AWS makes them: request ids, log streams, X-Ray ids, CloudWatch event ids.

use std::hash::{BuildHasher, RandomState};

use crate::clock::Timestamp;
use crate::function::VERSION;

/// 64 random bits; unlikely to repeat, and not meant to be secret.
pub(crate) fn random() -> u64 {
    // Every `RandomState` has keys of its own, and the standard library is the only source of randomness here.
    RandomState::new().hash_one(0_u8)
}

/// 32 hexadecimal digits.
pub(crate) fn hex_32() -> String {
    format!("{:016x}{:016x}", random(), random())
}

/// A version 4 UUID, as in `Lambda-Runtime-Aws-Request-Id`.
pub(crate) fn uuid() -> String {
    let high = random();
    let low = random();
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        (low >> 48) & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    )
}

/// Returns `true` if the text has the form of a UUID.
pub(crate) fn is_uuid(text: &str) -> bool {
    let is_hexadecimal = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.split('-').all(is_hexadecimal)
}

/// The X-Ray context of one invocation (facts: AWS X-Ray "Tracing header").
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TraceContext {
    pub(crate) segment: String,
    /// The whole value of `Lambda-Runtime-Trace-Id`.
    pub(crate) header: String,
}

impl TraceContext {
    /// A new trace. Without active tracing, Lambda samples none.
    pub(crate) fn new(now: Timestamp, is_sampled: bool) -> Self {
        let root =
            format!("1-{:08x}-{:08x}{:016x}", now.seconds(), random() & 0xffff_ffff, random());
        let segment = format!("{:016x}", random());
        let header = format!("Root={root};Parent={segment};Sampled={}", u8::from(is_sampled));
        Self { segment, header }
    }
}

/// `YYYY/MM/DD/[VERSION]<32 hex>`
pub(crate) fn log_stream(environment: &str, now: Timestamp) -> String {
    format!("{}/[{VERSION}]{environment}", now.date_path())
}

/// Makes CloudWatch event ids: 56 decimal digits, unique between local Lambdas, rising within one.
#[derive(Debug)]
pub(crate) struct EventIds {
    prefix: String,
    last: u64,
}

impl EventIds {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self { prefix: format!("36{:014}{:020}", now.millis(), random()), last: 0 }
    }

    pub(crate) fn next(&mut self) -> String {
        self.last += 1;
        format!("{}{:020}", self.prefix, self.last)
    }
}
