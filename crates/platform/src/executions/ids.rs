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

/// The number of the first eight bytes, without the highest bit; never 0.
fn number(hash: &[u8]) -> u64 {
    let first = hash.first_chunk().copied().unwrap_or_default();
    (u64::from_be_bytes(first) & (u64::MAX >> 1)).max(1)
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
    }
}
