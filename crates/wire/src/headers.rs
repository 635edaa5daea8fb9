//! Removes the values of `headers` from lines that are kept: dev7a's exporters copy credentials there.

/// The line without the value of any `headers` key. Works on text that is no JSON, too; what
/// follows an unfinished value is cut off with it, and so is all that follows a `headers` inside a
/// JSON string, where its value cannot be told from what is behind it.
pub fn without_headers(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("headers") {
        kept.push_str(before);
        kept.push_str("headers");
        rest = after;
        let behind_quote = after.trim_start_matches('\\').strip_prefix('"');
        let (true, Some(behind_quote)) = (before.ends_with('"'), behind_quote) else { continue };
        let Some(value) = behind_quote.trim_start().strip_prefix(':') else { continue };
        if after.starts_with('\\') {
            kept.push('…');
            return kept;
        }
        kept.push_str("\":null");
        rest = skip_json_value(value.trim_start());
    }
    kept.push_str(rest);
    kept
}

/// What follows the JSON value that begins `text`; nothing if the value does not end.
fn skip_json_value(text: &str) -> &str {
    let mut depth = 0usize;
    let mut in_string = false;
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        let mut value_ends_behind = false;
        if in_string {
            match character {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => {
                    in_string = false;
                    value_ends_behind = depth == 0;
                }
                _ => {}
            }
        } else {
            match character {
                '"' => in_string = true,
                '{' | '[' => depth += 1,
                '}' | ']' | ',' if depth == 0 => return text.get(at..).unwrap_or_default(),
                '}' | ']' => {
                    depth -= 1;
                    value_ends_behind = depth == 0;
                }
                _ => {}
            }
        }
        if value_ends_behind {
            return text.get(at + character.len_utf8()..).unwrap_or_default();
        }
    }
    ""
}
