//! Recognizes runtimes' messages about exhausted memory.
//!
//! A function can print such a text too, so only a runtime's exact form at the beginning of a log event counts.
//!
//! Source: V8, `FatalProcessOutOfMemory`; OpenJDK, the messages of `java.lang.OutOfMemoryError` and the flags
//! `ExitOnOutOfMemoryError` and `CrashOnOutOfMemoryError`, and `<message>: <class>` of Lambda's Java runtime; Ruby, `gc.c`; Go,
//! `runtime/malloc.go`.

use crate::read::ids::{UUID_BYTES, is_uuid};
use crate::read::time::split_utc_time;

const JAVA_ERROR: &str = "java.lang.OutOfMemoryError";
/// The thread limit uses the same class, and is unrelated to memory.
const JAVA_MESSAGES: [&str; 5] = [
    "Java heap space",
    "GC overhead limit exceeded",
    "Requested array size exceeds VM limit",
    "Metaspace",
    "Compressed class space",
];
const RUBY_FATAL: &str = "[FATAL] failed to allocate memory";
const RUBY_INTERNAL: &str = "<internal:";

/// Returns `true` for such a message. Nearly all other texts are excluded by their first bytes, before a search for the line's
/// end.
#[inline]
pub fn is_out_of_memory(text: &str) -> bool {
    /// A bit for each first byte of such messages, and of what Lambda puts before them.
    const FIRST: u128 = {
        let mut bits = 0;
        let mut bytes: &[u8] = b"\r\n0123456789F<jETAJGRMCf[/";
        while let [first, rest @ ..] = bytes {
            bits |= 1 << *first;
            bytes = rest;
        }
        bits
    };
    let may_be_one = |first: u8| first.is_ascii() && FIRST >> first & 1 == 1;
    text.bytes().next().is_some_and(may_be_one) && is_of_a_runtime(text)
}

fn is_of_a_runtime(text: &str) -> bool {
    let begun = text.trim_start_matches(['\r', '\n']);
    let text = match begun.as_bytes().first() {
        Some(b'0'..=b'9') => after_time_and_request(begun),
        _ => begun,
    };
    match text.as_bytes().first() {
        Some(b'F') => is_of_v8(text),
        Some(b'<') if text.starts_with("<--- Last few GCs --->") => text.lines().any(is_of_v8),
        Some(b'<' | b'[' | b'/') => is_of_ruby(text),
        Some(b'f') => is_of_go(text) || is_of_ruby(text),
        _ => is_of_java(text),
    }
}

/// The prefix Lambda may put before a text of a terminated process: `<time> <request id> `.
fn after_time_and_request(text: &str) -> &str {
    let Some((_, rest)) = split_utc_time(text) else { return "" };
    match rest.split_at_checked(UUID_BYTES) {
        Some((id, rest)) if is_uuid(id) => rest.trim_start(),
        _ => "",
    }
}

/// The first line of a text that begins with one of these, and the rest of the line.
fn line<'t>(text: &'t str, begins: &[&str]) -> Option<(&'t str, &'t str)> {
    let begin = begins.iter().find(|begin| text.starts_with(**begin))?;
    let line = text.lines().next()?.trim_end();
    Some((line, line.get(begin.len()..)?))
}

fn is_of_v8(text: &str) -> bool {
    const ENDS: [&str; 2] = ["JavaScript heap out of memory", "process out of memory"];
    line(text, &["FATAL ERROR: "])
        .is_some_and(|(_, rest)| ENDS.iter().any(|end| rest.ends_with(end)))
}

fn is_of_java(text: &str) -> bool {
    if let Some((line, _)) = line(text, &JAVA_MESSAGES) {
        return line.rsplit_once(": ").is_some_and(|(message, error)| {
            error == JAVA_ERROR && JAVA_MESSAGES.contains(&message)
        });
    }
    let begins = ["Exception in thread \"", "Terminating due to ", "Aborting due to ", JAVA_ERROR];
    let Some((line, rest)) = line(text, &begins) else { return false };
    let error = if line.starts_with("Exception") {
        rest.split_once("\" ").map_or("", |(_, error)| error)
    } else if line.starts_with(JAVA_ERROR) {
        line
    } else {
        rest
    };
    error.strip_prefix(JAVA_ERROR).is_some_and(|rest| match rest.strip_prefix(": ") {
        Some(message) => !message.starts_with("unable to create "),
        None => rest.is_empty(),
    })
}

/// `failed to allocate memory (NoMemoryError)`, alone or after the place in the code.
fn is_of_ruby(text: &str) -> bool {
    const RAISED: &str = "failed to allocate memory (NoMemoryError)";
    let found = line(text, &["/", RUBY_INTERNAL, RAISED, RUBY_FATAL]);
    found.is_some_and(|(line, _)| match line.strip_suffix(RAISED) {
        Some(place) => place.is_empty() || place.ends_with(": "),
        None => line == RUBY_FATAL,
    })
}

fn is_of_go(text: &str) -> bool {
    const REASONS: [&str; 3] =
        ["runtime: out of memory", "out of memory", "runtime: cannot allocate memory"];
    line(text, &["fatal error: "]).is_some_and(|(_, reason)| REASONS.contains(&reason))
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
    let is_thread = thread.strip_suffix("' ").is_some()
        || thread
            .strip_suffix(") ")
            .and_then(|thread| thread.rsplit_once("' ("))
            .is_some_and(|(_, id)| is_id(id));
    let is_place = is_place(place.strip_suffix(':').unwrap_or(place));
    is_thread && (is_place || place.starts_with('\''))
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns `true` for `src/main.rs:4:5`.
pub(crate) fn is_place(text: &str) -> bool {
    let mut parts = text.rsplitn(3, ':');
    [parts.next(), parts.next()].into_iter().flatten().all(is_id) && parts.next().is_some()
}
