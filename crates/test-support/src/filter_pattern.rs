//! Filter patterns of CloudWatch Logs (AWS: CloudWatch Logs "Filter pattern syntax"), for tests of ours.

use serde_json::Value;

/// The longest pattern (CloudWatch Logs: 1,024 characters).
const MAX_CHARS: usize = 1024;

/// Returns `true` if the pattern selects this message: it has one of the terms (`?"a" ?"two words"`), or the key of `{ $.key IS TRUE }`
/// is `true`.
///
/// # Panics
/// When the pattern is too long, or has another form.
pub fn selects(pattern: &str, message: &str) -> bool {
    assert!(pattern.chars().count() <= MAX_CHARS, "longer than {MAX_CHARS} characters: {pattern}");
    let condition = pattern.strip_prefix("{ $.").and_then(|rest| rest.strip_suffix(" IS TRUE }"));
    if let Some(key) = condition {
        return serde_json::from_str::<Value>(message)
            .is_ok_and(|event| event.get(key) == Some(&Value::Bool(true)));
    }
    let terms: Vec<&str> = pattern.split('"').skip(1).step_by(2).collect();
    let written: Vec<String> = terms.iter().map(|term| format!("?\"{term}\"")).collect();
    assert_eq!(written.join(" "), pattern, "another form than is simulated");
    terms.iter().any(|term| message.contains(term))
}
