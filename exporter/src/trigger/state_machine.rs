//! The parent of a function that a state machine calls: the ids that Datadog derives from Step Functions' context object (Datadog's
//! extension, `step_function_event.rs`).

use super::description::{DESCRIPTION, StateMachine, at, first_text, text_at};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::iter;

const RULES: &StateMachine = &DESCRIPTION.state_machine;
/// The names in an event of which a state machine's has one.
const OF_STATES: [&str; 3] = ["Execution", "Payload", "_datadog"];

/// Returns headers with the span of the state that called the function. `None` for another caller.
pub(super) fn headers(event: &Value) -> Option<HashMap<String, String>> {
    // Few events have one of its names, and the others are not searched.
    if !OF_STATES.iter().any(|name| event.get(name).is_some()) {
        return None;
    }
    let places = RULES.at.iter().filter_map(|pointer| at(event, pointer));
    let context = iter::once(event).chain(places).find(|place| RULES.when.hold_for(place))?;
    let trace_id = traced_by_datadog(context).or_else(|| trace_id(context))?;
    let parent_id = parent_id(context)?;
    Some([("traceparent".to_owned(), format!("00-{trace_id:032x}-{parent_id:016x}-01"))].into())
}

fn trace_id(context: &Value) -> Option<u128> {
    let hash = Sha256::digest(first_text(context, RULES.execution)?);
    let (high, low) = hash.split_at_checked(8)?;
    Some(u128::from(number(high)?) << 64 | u128::from(number(low)?))
}

fn parent_id(context: &Value) -> Option<u64> {
    let state: Option<Vec<&str>> = RULES.state.iter().map(|at| text_at(context, at)).collect();
    let mut state = state?.join("#");
    let counts = RULES.counts.iter().map(|pointer| at(context, pointer).and_then(Value::as_i64));
    let counts: Vec<i64> = counts.map(Option::unwrap_or_default).collect();
    if counts.iter().any(|count| *count != 0) {
        for count in counts {
            state.push('#');
            state.push_str(&count.to_string());
        }
    }
    number(&Sha256::digest(state))
}

/// The number of a hash's first eight bytes without its highest bit.
fn number(hash: &[u8]) -> Option<u64> {
    let number = u64::from_be_bytes(*hash.first_chunk()?) & (u64::MAX >> 1);
    Some(number.max(1))
}

/// The trace id of the function that started the state machine, if Datadog's tracer wrote one.
fn traced_by_datadog(context: &Value) -> Option<u128> {
    let digits = text_at(context, RULES.trace_id.as_str())?;
    let low: u64 =
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
    let mut tags = text_at(context, RULES.tags.as_str()).unwrap_or_default().split(',');
    let high = tags.find_map(|tag| wire::ids::id(tag.strip_prefix("_dd.p.tid=")?));
    let high = high.map_or(0, u64::from_be_bytes);
    (low != 0).then_some(u128::from(high) << 64 | u128::from(low))
}
