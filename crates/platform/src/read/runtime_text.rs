//! Recognizes runtimes' messages about exhausted memory.
//!
//! A function can print such a text too, so only a runtime's exact form at the beginning of a log event counts.
//!
//! Source: V8, `FatalProcessOutOfMemory`; OpenJDK, the messages of `java.lang.OutOfMemoryError` and the flags
//! `ExitOnOutOfMemoryError` and `CrashOnOutOfMemoryError`, and `<message>: <class>` of Lambda's Java runtime; Ruby, `gc.c`; Go,
//! `runtime/malloc.go`.

use crate::read::ids::{UUID_BYTES, is_uuid};
use crate::read::time::behind_utc_time;

const JAVA_ERROR: &str = "java.lang.OutOfMemoryError";
const JAVA_BEGINNINGS: [&str; 9] = [
    JAVA_ERROR,
    "Exception in thread ",
    "Terminating due to ",
    "Aborting due to ",
    "Java heap space: ",
    "GC overhead limit exceeded: ",
    "Requested array size exceeds VM limit: ",
    "Metaspace: ",
    "Compressed class space: ",
];
const V8_ERROR: &str = "FATAL ERROR: ";
const RUBY_FATAL: &str = "[FATAL] failed to allocate memory";
const RUBY_INTERNAL: &str = "<internal:";

/// Returns `true` for such a message. Nearly all other texts are excluded by their first bytes, before a search for the line's
/// end.
#[inline]
pub fn is_out_of_memory(text: &str) -> bool {
    let may_be_one = matches!(
        text.as_bytes().first(),
        Some(
            b'\r' | b'\n' | b'0'
                ..=b'9'
                    | b'F'
                    | b'<'
                    | b'j'
                    | b'E'
                    | b'T'
                    | b'A'
                    | b'J'
                    | b'G'
                    | b'R'
                    | b'M'
                    | b'C'
                    | b'f'
                    | b'['
                    | b'/'
        )
    );
    may_be_one && is_of_a_runtime(text)
}

fn is_of_a_runtime(text: &str) -> bool {
    let text = text.trim_start_matches(['\r', '\n']);
    let text = match text.as_bytes().first() {
        Some(b'0'..=b'9') => behind_time_and_request(text),
        _ => text,
    };
    let line = || text.lines().next().unwrap_or_default().trim_end();
    match text.as_bytes().first() {
        Some(b'F') => text.starts_with(V8_ERROR) && is_of_v8(line()),
        Some(b'<') => {
            text.starts_with("<--- Last few GCs --->") && text.lines().any(is_of_v8)
                || text.starts_with(RUBY_INTERNAL) && is_of_ruby(line())
        }
        Some(b'j' | b'E' | b'T' | b'A' | b'J' | b'G' | b'R' | b'M' | b'C') => {
            JAVA_BEGINNINGS.iter().any(|begin| text.starts_with(begin)) && is_of_java(line())
        }
        Some(b'f') => is_of_go(line()) || is_of_ruby(line()),
        Some(b'[') => text.starts_with(RUBY_FATAL) && is_of_ruby(line()),
        Some(b'/') => is_of_ruby(line()),
        _ => false,
    }
}

/// The prefix Lambda may put before a text of a terminated process: `<time> <request id> `.
fn behind_time_and_request(text: &str) -> &str {
    let Some((_, rest)) = behind_utc_time(text) else { return "" };
    match rest.split_at_checked(UUID_BYTES) {
        Some((id, rest)) if is_uuid(id) => rest.trim_start(),
        _ => "",
    }
}

fn is_of_v8(line: &str) -> bool {
    line.starts_with(V8_ERROR)
        && ["JavaScript heap out of memory", "process out of memory"]
            .iter()
            .any(|end| line.trim_end().ends_with(end))
}

/// The thread limit uses the same class, and is unrelated to memory.
fn is_of_java(line: &str) -> bool {
    const MESSAGES: [&str; 5] = [
        "Java heap space",
        "GC overhead limit exceeded",
        "Requested array size exceeds VM limit",
        "Metaspace",
        "Compressed class space",
    ];
    if let Some((message, JAVA_ERROR)) = line.rsplit_once(": ") {
        return MESSAGES.contains(&message);
    }
    let thread = || line.strip_prefix("Exception in thread \"")?.split_once("\" ");
    let error = ["", "Terminating due to ", "Aborting due to "]
        .iter()
        .find_map(|before| line.strip_prefix(before)?.strip_prefix(JAVA_ERROR))
        .or_else(|| thread()?.1.strip_prefix(JAVA_ERROR));
    error.is_some_and(|rest| match rest.strip_prefix(": ") {
        Some(message) => !message.starts_with("unable to create "),
        None => rest.is_empty(),
    })
}

fn is_of_ruby(line: &str) -> bool {
    const RAISED: &str = "failed to allocate memory (NoMemoryError)";
    match line.strip_suffix(RAISED) {
        // In the other form the place in the code precedes it.
        Some(place) => {
            place.is_empty()
                || place.ends_with(": ")
                    && ["/", RUBY_INTERNAL].iter().any(|at| place.starts_with(at))
        }
        None => line == RUBY_FATAL,
    }
}

fn is_of_go(line: &str) -> bool {
    line.strip_prefix("fatal error: ").is_some_and(|reason| {
        ["runtime: out of memory", "out of memory", "runtime: cannot allocate memory"]
            .contains(&reason)
    })
}

/// Returns `true` if the text begins like a Rust panic's message: `thread 'main' panicked at src/main.rs:4:5:`, with the thread's
/// id since Rust 1.89, and with the message in the same line before Rust 1.73.
///
/// Source: Rust's standard library, `std/src/panicking.rs`, `default_hook`.
#[inline]
pub(crate) fn is_rust_panic(text: &str) -> bool {
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
