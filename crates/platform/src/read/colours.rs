//! Removes terminal colours, which some loggers also write without a terminal.

use std::borrow::Cow;

pub(crate) const ESC: char = '\x1b';

/// The text without its SGR sequences (ECMA-48, 8.3.117), such as `ESC [ 3 1 m`.
pub(crate) fn without_colours(text: &str) -> Cow<'_, str> {
    let mut parts = text.split(ESC);
    let first = parts.next().unwrap_or_default();
    if first.len() == text.len() {
        return Cow::Borrowed(text);
    }
    let mut plain = first.to_owned();
    for part in parts {
        let behind = part.strip_prefix('[').map(|rest| rest.trim_start_matches(is_parameter));
        match behind.and_then(|rest| rest.strip_prefix('m')) {
            Some(rest) => plain.push_str(rest),
            None => plain.extend([ESC.encode_utf8(&mut [0; 4]), part]),
        }
    }
    Cow::Owned(plain)
}

fn is_parameter(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, ';' | ':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_colours_are_removed() {
        let check = |text: &str, expected: &str| assert_eq!(without_colours(text), expected);
        check("", "");
        check("plain [31m", "plain [31m");
        check("\x1b[31mred\x1b[0m \x1b[1;38:5:9mbold\x1b[m", "red bold");
        check("\x1b", "\x1b");
        check("\x1b[", "\x1b[");
        check("\x1b\x1b[31mx", "\x1bx");
        check("\x1b[2Jx\x1b[31", "\x1b[2Jx\x1b[31");
    }
}
