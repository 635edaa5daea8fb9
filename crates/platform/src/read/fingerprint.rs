//! The fingerprint of an exception: equal for failures of one type from one place in the code.
//!
//! It has the type without its package, because a runtime prints the name alone and a logger all of it, and the top frames. Line
//! numbers, addresses and a compiler's numbers are left out, because they differ from build to build, and so is the message, which
//! often has ids. Without a function in the stack trace, the message counts, without its ids.
//!
//! Users store fingerprints and alert on new ones: a change here makes every error of theirs new.

use crate::read::crash::ExceptionRef;
use crate::read::stack::{Frame, top_frames};
use wire::fingerprint::{MAX_OF_MESSAGE, digits, push_message, type_name};

/// Returns the fingerprint as 16 hexadecimal digits.
pub(crate) fn fingerprint(exception: ExceptionRef<'_>) -> String {
    digits(&identity(exception))
}

/// The text that is hashed.
fn identity(exception: ExceptionRef<'_>) -> String {
    let mut text = String::with_capacity(MAX_OF_MESSAGE);
    text.push_str(type_name(exception.kind));
    let frames = exception.stacktrace.map(top_frames).unwrap_or_default();
    for frame in &frames {
        text.push('\n');
        push_frame(&mut text, frame);
    }
    if frames.iter().all(|frame| frame.function.is_empty()) {
        text.push('\n');
        push_message(&mut text, exception.message.unwrap_or_default());
    }
    text
}

fn push_frame(text: &mut String, frame: &Frame<'_>) {
    push_function(text, &frame.function);
    if !frame.file.is_empty() {
        text.push('@');
        push_file(text, &frame.file);
    }
}

/// Appends the name of a function without its package's path, the address of a hidden class, and the numbers of a compiler.
fn push_function(text: &mut String, function: &str) {
    const GENERATED: [&str; 7] = ["$", "<", "{", ".func", ".gowrap", "lambda_method", "Accessor"];
    let hidden = if function.contains('/') { function.split_once("/0x") } else { None };
    let (path, address) = hidden.unwrap_or((function, ""));
    let name = path.rsplit('/').next().unwrap_or(path);
    let has_digit = name.bytes().any(|byte| byte.is_ascii_digit());
    let is_generated = has_digit && GENERATED.iter().any(|mark| name.contains(mark));
    if is_generated {
        text.extend(name.chars().filter(|character| !character.is_ascii_digit()));
    } else {
        text.push_str(name);
    }
    text.extend(address.chars().skip_while(char::is_ascii_hexdigit));
}

/// Appends the last folder and the name of a file, without versions and the hashes of bundlers.
fn push_file(text: &mut String, file: &str) {
    let mut parts = file.rsplit(['/', '\\']);
    let name = parts.next().unwrap_or_default();
    if let Some(folder) = parts.next() {
        push_without_versions(text, folder);
        text.push('/');
    }
    push_without_versions(text, name);
}

fn push_without_versions(text: &mut String, part: &str) {
    const FEWEST_OF_HASH: usize = 6;
    let mut rest = part;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (word, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let has_digit = word.bytes().any(|byte| byte.is_ascii_digit());
        let is_number = word.bytes().all(|byte| byte.is_ascii_digit());
        let is_hash = has_digit
            && word.len() >= FEWEST_OF_HASH
            && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_number && !is_hash {
            text.push_str(word);
        }
        let mut others = after.chars();
        text.extend(others.next());
        rest = others.as_str();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::crash::Exception;
    use crate::read::line::function_line;
    use crate::render::{check_table, unescaped};
    use expect_test::expect_file;
    use std::collections::HashMap;

    /// The exception of a log line, as the records of functions get it.
    fn exception_of(line: &str) -> Exception {
        let line = unescaped(line);
        let read = function_line(&line, true);
        *read.exception.unwrap_or_else(|| panic!("no exception in {line:?}"))
    }

    /// Each failure is a paragraph of the table: its lines have one fingerprint, which no other paragraph has.
    #[test]
    fn a_failure_has_one_fingerprint_and_another_failure_another() {
        let table = expect_file!["../../fixtures/fingerprints.txt"];
        check_table(&table, |line| {
            let exception = exception_of(line);
            let identity = identity(exception.as_ref()).replace('\n', " < ");
            format!("{} {identity}", fingerprint(exception.as_ref()))
        });
        let mut failures: HashMap<String, String> = HashMap::new();
        for failure in table.data().split("\n\n") {
            let rows = failure.lines().filter(|line| !line.starts_with(['#', '=']));
            let mut of_failure = rows.map(|row| fingerprint(exception_of(row).as_ref()));
            let Some(first) = of_failure.next() else { continue };
            assert!(of_failure.all(|other| other == first), "{failure}");
            let other = failures.insert(first, failure.to_owned());
            assert_eq!(other, None, "the same fingerprint as:\n{failure}");
        }
    }
}
