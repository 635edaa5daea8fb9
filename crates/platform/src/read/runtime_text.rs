//! Recognizes messages that runtimes print without a level and outside of any logger.
//!
//! A function can print such a text too, so only the exact form at the beginning of a log event counts.

/// Returns `true` if the text begins like a Rust panic's message: `thread 'main' panicked at src/main.rs:4:5:`, with the thread's
/// id since Rust 1.89, and with the message in the same line before Rust 1.73.
///
/// Source: Rust's standard library, `std/src/panicking.rs`, `default_hook`.
#[inline]
pub fn is_rust_panic(text: &str) -> bool {
    // Excludes nearly all lines.
    matches!(text.as_bytes().first(), Some(b't' | b'\r' | b'\n')) && begins_as_panic(text)
}

fn begins_as_panic(text: &str) -> bool {
    const PANICKED: &str = "panicked at ";
    let Some(rest) = text.trim_start_matches(['\r', '\n']).strip_prefix("thread '") else {
        return false;
    };
    let line = rest.lines().next().unwrap_or_default().trim_end();
    let Some((thread, place)) = line.split_once(PANICKED) else { return false };
    let is_id = |id: &str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
    let is_thread = thread.strip_suffix("' ").is_some()
        || thread
            .strip_suffix(") ")
            .and_then(|thread| thread.rsplit_once("' ("))
            .is_some_and(|(_, id)| is_id(id));
    let mut numbers = place.strip_suffix(':').unwrap_or(place).rsplitn(3, ':');
    let is_place = [numbers.next(), numbers.next()].into_iter().flatten().all(is_id)
        && numbers.next().is_some();
    is_thread && (is_place || place.starts_with('\''))
}
