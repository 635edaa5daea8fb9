//! Printable excerpts of a backend's text.

use crate::mask::Mask;
use std::borrow::Cow;

/// Returns the first 200 characters on one line. Masks first, so that a cut never leaves part of a credential.
pub(crate) fn excerpt(body: &[u8], mask: &Mask) -> String {
    const MOST_CHARS: usize = 200;
    let text = mask.apply(String::from_utf8_lossy(body));
    let is_long = text.chars().nth(4 * MOST_CHARS).is_some();
    let text: Cow<'_, str> =
        if is_long { text.chars().take(4 * MOST_CHARS).collect::<String>().into() } else { text };
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    let line = words.join(" ");
    let head: String = line.chars().take(MOST_CHARS).collect();
    if is_long || head.len() < line.len() { format!("{head}…") } else { head }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excerpt(body: &[u8]) -> String {
        super::excerpt(body, &Mask::default())
    }

    #[test]
    fn an_excerpt_is_one_truncated_line() {
        assert_eq!(excerpt(b" disk\r\nfull\x07 "), "disk full");
        assert_eq!(excerpt(b""), "");
        assert_eq!(excerpt(&[0xff, b'a']), "\u{fffd}a");
        assert_eq!(excerpt(format!("a{}b", " ".repeat(300)).as_bytes()), "a b");
        assert_eq!(excerpt("a   ".repeat(300).as_bytes()), format!("{}…", "a ".repeat(100)));
        assert_eq!(excerpt("é".repeat(500).as_bytes()), format!("{}…", "é".repeat(200)));
    }
}
