//! Makes foreign text safe for a terminal. Names, messages and answers that others wrote must not move the cursor, change
//! colours, or reorder text.

use std::fmt::{Display, Write as _};

/// Returns `true` for control characters, line breaks, and marks that change the direction of text (Unicode, UAX #9).
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// Replaces unsafe characters by spaces.
pub fn on_one_line(text: &str) -> String {
    text.chars().map(|character| if is_unsafe(character) { ' ' } else { character }).collect()
}

/// Like [`on_one_line`], but keeps line feeds and tabs, for texts of several lines.
pub fn on_lines(text: &str) -> String {
    let is_layout = |character| matches!(character, '\n' | '\t');
    let safe =
        |character| if is_unsafe(character) && !is_layout(character) { ' ' } else { character };
    text.chars().map(safe).collect()
}

/// Escapes unsafe characters of JSON. They only occur in its strings, so its value stays the same.
pub fn json(json: &impl Display) -> String {
    let text = json.to_string();
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if is_unsafe(character) && !character.is_ascii_whitespace() {
            // None is beyond U+FFFF.
            let _written = write!(escaped, "\\u{:04x}", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Shown {
        text: &'static str,
        /// The text on one line.
        line: &'static str,
        /// The text on several lines.
        lines: &'static str,
        in_json: &'static str,
    }

    #[test]
    fn characters_that_move_text_are_replaced_or_escaped() {
        for Shown { text, line, lines, in_json } in [
            Shown {
                text: "plain é 🔑",
                line: "plain é 🔑",
                lines: "plain é 🔑",
                in_json: "plain é 🔑",
            },
            Shown { text: "a\u{1b}[2Jb", line: "a [2Jb", lines: "a [2Jb", in_json: r"a\u001b[2Jb" },
            Shown { text: "a\u{9b}2Jb", line: "a 2Jb", lines: "a 2Jb", in_json: r"a\u009b2Jb" },
            Shown {
                text: "a\u{202e}b\u{2066}c",
                line: "a b c",
                lines: "a b c",
                in_json: r"a\u202eb\u2066c",
            },
            Shown {
                text: "a\u{7f}b\u{2028}c\u{61c}d",
                line: "a b c d",
                lines: "a b c d",
                in_json: r"a\u007fb\u2028c\u061cd",
            },
            Shown { text: "a\tb\nc", line: "a b c", lines: "a\tb\nc", in_json: "a\tb\nc" },
            Shown { text: "a\rb", line: "a b", lines: "a b", in_json: "a\rb" },
        ] {
            assert_eq!(on_one_line(text), line);
            assert_eq!(on_lines(text), lines);
            assert_eq!(json(&text), in_json);
        }
    }
}
