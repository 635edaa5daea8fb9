//! The names under which OpenObserve stores keys and streams.

pub use wire::{stored_byte, stored_key};

/// Returns a stream's name as OpenObserve stores it: lower case, and each run of other characters than ASCII letters, digits, `_`
/// and `:` becomes one `_`.
pub fn stored_stream(name: &str) -> String {
    let mut stream = String::with_capacity(name.len());
    let mut is_in_run = false;
    for c in name.chars() {
        let is_allowed = c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
        if is_allowed || !is_in_run {
            stream.push(if is_allowed { c.to_ascii_lowercase() } else { '_' });
        }
        is_in_run = !is_allowed;
    }
    stream
}
