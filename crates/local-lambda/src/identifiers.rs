//! Identifiers as AWS makes them: request ids, log streams, X-Ray ids, CloudWatch event ids.

use serde_json::Value;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, RandomState};

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
    /// The context of an invocation with this event: a new trace, or the one of its durable execution. Without active tracing, Lambda
    /// samples none.
    pub(crate) fn new(event: &[u8], now: Timestamp, is_sampled: bool) -> Self {
        let root = root_of_execution(event).unwrap_or_else(|| {
            format!("1-{:08x}-{:08x}{:016x}", now.seconds(), random() & 0xffff_ffff, random())
        });
        let segment = format!("{:016x}", random());
        let header = format!("Root={root};Parent={segment};Sampled={}", u8::from(is_sampled));
        Self { segment, header }
    }
}

/// Returns the trace of the durable execution to which an event belongs. Lambda repeats it in each invocation of the execution.
fn root_of_execution(event: &[u8]) -> Option<String> {
    // Few events have it, and the others aren't parsed.
    event.windows(DURABLE.len()).find(|part| *part == DURABLE.as_bytes())?;
    let envelope: Value = serde_json::from_slice(event).ok()?;
    let arn = envelope.get(DURABLE)?.as_str()?;
    let started = envelope.pointer("/InitialExecutionState/Operations/0/StartTimestamp");
    let seconds = started.and_then(Value::as_u64).unwrap_or_default() / 1000;
    let hash = |number: u8| BuildHasherDefault::<DefaultHasher>::default().hash_one((number, arn));
    let (seconds, high) = (seconds & 0xffff_ffff, hash(0) & 0xffff_ffff);
    Some(format!("1-{seconds:08x}-{high:08x}{:016x}", hash(1)))
}

const DURABLE: &str = "DurableExecutionArn";

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn invocations_of_an_execution_have_one_trace() {
        let root = |event: &str| {
            let context = TraceContext::new(event.as_bytes(), clock::now(), false);
            context.header.split(';').next().map(str::to_owned)
        };
        let of_execution = r#"{"DurableExecutionArn":"a","InitialExecutionState":{"Operations":[{"StartTimestamp":1790000000123}]}}"#;
        assert_eq!(root(of_execution), root(of_execution));
        assert!(root(of_execution).is_some_and(|root| root.starts_with("Root=1-6ab13b80-")));
        assert_ne!(root(of_execution), root(&of_execution.replace("\"a\"", "\"b\"")));
        assert_ne!(root("{}"), root("{}"));
    }
}
