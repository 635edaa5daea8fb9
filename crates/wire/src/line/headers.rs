//! Removes the values of `headers` from stored lines, because dev7a's exporters copy credentials into them.

use super::find::OLD_MARKER;
use memchr::memmem;

/// Returns the text of a log event without the values of `headers`, for use in a log record. `None`, at the cost of one search,
/// if nothing was removed.
pub(super) fn without_headers_of_lines(text: &str) -> Option<String> {
    // The name of the current marker contains the old one's.
    memmem::find(text.as_bytes(), OLD_MARKER.as_bytes())?;
    Some(without_headers(text)).filter(|masked| masked != text)
}

/// Returns the line without the value of any `headers` key. Handles invalid JSON and lines inside strings, too. If the end of a
/// value is unclear, the rest of the line is removed.
pub fn without_headers(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("headers") {
        kept.push_str(before);
        kept.push_str("headers");
        rest = after;
        let Some(quote) = Quote::of_key(before, after) else { continue };
        let Some(after_quote) = after.get(quote.len()..) else { continue };
        let Some(value) = after_quote.trim_start().strip_prefix(':') else { continue };
        let written_quote = after.get(..quote.len()).unwrap_or_default();
        kept.push_str(written_quote);
        kept.push_str(":null");
        rest = quote.skip_json_value(value.trim_start()).unwrap_or_default();
    }
    kept.push_str(rest);
    kept
}

/// The escaping of JSON quotes in a text.
#[derive(Clone, Copy, PartialEq)]
enum Quote {
    /// This number of backslashes and a quote: none in plain JSON, one inside a string, three inside a string of a string, and so
    /// on.
    Escaped(usize),
    /// This number of backslashes and `u0022`, as .NET writes quotes in strings.
    Unicode(usize),
}

impl Quote {
    /// The quotes of a key between `before` and `after`; `None` if it is not a key.
    fn of_key(before: &str, after: &str) -> Option<Self> {
        let opens = before.ends_with('"') || before.ends_with(UNICODE);
        let after_slashes = after.trim_start_matches('\\');
        let slashes = after.len() - after_slashes.len();
        if !opens {
            None
        } else if after_slashes.starts_with('"') {
            Some(Self::Escaped(slashes))
        } else {
            after_slashes.starts_with(UNICODE).then_some(Self::Unicode(slashes))
        }
    }

    fn len(self) -> usize {
        match self {
            Self::Escaped(slashes) => slashes + 1,
            Self::Unicode(slashes) => slashes + UNICODE.len(),
        }
    }

    /// The text after the JSON value at the start of `text`; `None` if its end is unclear.
    fn skip_json_value(self, text: &str) -> Option<&str> {
        let Self::Escaped(quote_slashes) = self else { return None };
        let mut depth = 0usize;
        let mut in_string = false;
        let mut slashes = 0;
        for (at, byte) in text.bytes().enumerate() {
            if byte == b'\\' {
                slashes += 1;
                continue;
            }
            // Backslashes of the content, each written with this many, precede those of a quote.
            let slashes_here = std::mem::take(&mut slashes) % (2 * (quote_slashes + 1));
            let mut value_ends_behind = false;
            match byte {
                b'"' if slashes_here == quote_slashes => {
                    in_string = !in_string;
                    value_ends_behind = !in_string && depth == 0;
                }
                // A quote of the enclosing string, which ends before the value.
                b'"' if slashes_here < quote_slashes || !in_string => return None,
                _ if in_string => {}
                b'{' | b'[' => depth += 1,
                b'}' | b']' | b',' if depth == 0 => return text.get(at..),
                b'}' | b']' => {
                    depth -= 1;
                    value_ends_behind = depth == 0;
                }
                _ => {}
            }
            if value_ends_behind {
                return text.get(at + 1..);
            }
        }
        None
    }
}

const UNICODE: &str = "u0022";
