//! Removes the values of `headers` from lines that are kept, because dev7a's exporters copy credentials into them.

use super::find::OLD_MARKER;
use memchr::memmem;

/// The text of a log event without the values of `headers`, if it mentions OTLP lines and has any: a log
/// record is made of it. `None`, at the cost of a search, if it stays as it is.
pub(super) fn without_headers_of_lines(text: &str) -> Option<String> {
    // The name of the present marker contains the old one's.
    memmem::find(text.as_bytes(), OLD_MARKER.as_bytes())?;
    Some(without_headers(text)).filter(|masked| masked != text)
}

/// The line without the value of any `headers` key. Works on text that is no JSON, too, and on lines inside
/// the strings of others; what follows a value whose end cannot be told is cut off with it.
pub fn without_headers(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("headers") {
        kept.push_str(before);
        kept.push_str("headers");
        rest = after;
        let Some(quote) = Quote::of_key(before, after) else { continue };
        let Some(behind_quote) = after.get(quote.len()..) else { continue };
        let Some(value) = behind_quote.trim_start().strip_prefix(':') else { continue };
        let written_quote = after.get(..quote.len()).unwrap_or_default();
        kept.push_str(written_quote);
        kept.push_str(":null");
        rest = quote.skip_json_value(value.trim_start()).unwrap_or_default();
    }
    kept.push_str(rest);
    kept
}

/// How a text writes the quotes of JSON that stands in it.
#[derive(Clone, Copy, PartialEq)]
enum Quote {
    /// So many backslashes and a quote: none in plain JSON, one inside a string, three inside a string of a string, and so on.
    Escaped(usize),
    /// So many backslashes and `u0022`, as .NET writes quotes in strings.
    Unicode(usize),
}

impl Quote {
    /// The quotes of a key that stands between `before` and `after`; `None` if it is none.
    fn of_key(before: &str, after: &str) -> Option<Self> {
        let opens = before.ends_with('"') || before.ends_with(UNICODE);
        let behind_slashes = after.trim_start_matches('\\');
        let slashes = after.len() - behind_slashes.len();
        if !opens {
            None
        } else if behind_slashes.starts_with('"') {
            Some(Self::Escaped(slashes))
        } else {
            behind_slashes.starts_with(UNICODE).then_some(Self::Unicode(slashes))
        }
    }

    fn len(self) -> usize {
        match self {
            Self::Escaped(slashes) => slashes + 1,
            Self::Unicode(slashes) => slashes + UNICODE.len(),
        }
    }

    /// What follows the JSON value that begins `text`; `None` if its end cannot be told.
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
            // Backslashes that are content, each written with this many, stand before those of a quote.
            let slashes_here = std::mem::take(&mut slashes) % (2 * (quote_slashes + 1));
            let mut value_ends_behind = false;
            match byte {
                b'"' if slashes_here == quote_slashes => {
                    in_string = !in_string;
                    value_ends_behind = !in_string && depth == 0;
                }
                // A quote of the string around, which ends before the value does.
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
