//! The ids of an execution's spans: hashes of its ARN and of what AWS wrote about the event. Whoever computes them gets the same
//! ones, in any order and any number of times.
//!
//! Those of state machines are Datadog's (its extension, `step_function_event.rs`), because functions derive their parent from
//! Step Functions' context object by the same formula (`state_machine` in `exporter/events.json`).

use sha2::{Digest as _, Sha256};

/// The trace id of a state machine's execution.
pub(crate) fn trace_of_machine(execution_arn: &str) -> [u8; 16] {
    let hash: [u8; 32] = Sha256::digest(execution_arn).into();
    let (high, low) = hash.split_at(8);
    let mut id = [0; 16];
    let halves = [number(high), number(low)].map(u64::to_be_bytes);
    id.iter_mut().zip(halves.as_flattened()).for_each(|(to, byte)| *to = *byte);
    id
}

/// The id of a span, from the first eight bytes of the hash of a text.
pub(crate) fn span_id(text: &str) -> [u8; 8] {
    number(&Sha256::digest(text)).to_be_bytes()
}

/// The number of the first eight bytes, without the highest bit; never 0.
fn number(hash: &[u8]) -> u64 {
    let first = hash.first_chunk().copied().unwrap_or_default();
    (u64::from_be_bytes(first) & (u64::MAX >> 1)).max(1)
}

/// A state that was entered, as Step Functions' context object names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EnteredState<'a> {
    pub(crate) execution_arn: &'a str,
    pub(crate) name: &'a str,
    /// In nanoseconds since the Unix epoch. The context object has milliseconds.
    pub(crate) entered_unix_nano: u64,
}

/// The count of a state's retries, and of the execution's redrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) retry: u32,
    pub(crate) redrive: u32,
}

impl EnteredState<'_> {
    /// The id of the span below which a function hangs that this state calls.
    pub(crate) fn span_id(&self, Counts { retry, redrive }: Counts) -> [u8; 8] {
        let Self { execution_arn, name, entered_unix_nano } = self;
        let entered = wire::timestamp::rfc3339_millis(*entered_unix_nano);
        let mut text = format!("{execution_arn}#{name}#{entered}");
        if retry != 0 || redrive != 0 {
            text = format!("{text}#{retry}#{redrive}");
        }
        span_id(&text)
    }
}

/// The id of a span that an event of the history begins.
pub(crate) fn event_span_id(execution_arn: &str, event_id: u64) -> [u8; 8] {
    span_id(&format!("{execution_arn}#event#{event_id}"))
}

/// The trace id of a durable execution: its start, as in X-Ray's trace ids, and the hash of its ARN. AWS's plugins for Node and Java
/// and our layer and library take the same.
pub(crate) fn trace_of_durable(arn: &str, started_unix_nano: u64) -> [u8; 16] {
    let seconds = u32::try_from(started_unix_nano / 1_000_000_000).unwrap_or(u32::MAX);
    let hash = Sha256::digest(arn);
    let mut id = [0; 16];
    id.iter_mut().zip(seconds.to_be_bytes().iter().chain(&hash)).for_each(|(to, byte)| *to = *byte);
    id
}

/// The id of a durable execution's own span.
pub(crate) fn span_of_durable(arn: &str) -> [u8; 8] {
    // `span_seed` in `exporter/events.json`
    whole_hash(&format!("workflow:{arn}"))
}

/// The id of the span of an operation.
pub(crate) fn span_of_operation(arn: &str, operation: &str) -> [u8; 8] {
    whole_hash(&format!("{arn}:{operation}"))
}

fn whole_hash(text: &str) -> [u8; 8] {
    let id = Sha256::digest(text).first_chunk().copied().unwrap_or_default();
    if id == [0; 8] { 1_u64.to_be_bytes() } else { id }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::ids::to_hex;

    #[test]
    fn the_ids_are_those_of_datadogs_extension() {
        // datadog-lambda-extension, `step_function_event.json` and the numbers of its tests.
        let execution_arn = "arn:aws:states:us-east-1:425362996713:execution:agocsTestSF:bc9f281c-3daa-4e5a-9a60-471a3810bf44";
        assert_eq!(to_hex(&trace_of_machine(execution_arn)), "1914fe7789eb32be4fb6f07e011a6faf");
        let state = EnteredState {
            execution_arn,
            name: "agocsTest1",
            entered_unix_nano: wire::timestamp::parse("2024-07-30T19:55:53.018Z").unwrap(),
        };
        assert_eq!(to_hex(&state.span_id(Counts::default())), "2847bea88ffc11a7");
        let redriven = state.span_id(Counts { retry: 0, redrive: 1 });
        assert_ne!(redriven, state.span_id(Counts { retry: 1, redrive: 0 }));
    }
}
