//! Decodes escapes in text: JSON and other languages, percent-encoding, and terminal colours.

use super::TextRange;
use super::needle::Letters;

struct Escape {
    at: TextRange,
    stands_for: char,
}

/// Returns `false` if the escapes of a text stand for blanks only, next to which decoding finds nothing more.
pub(super) fn may_hide_text(text: &[u8], letters: Letters) -> bool {
    const FIRST: Letters = Letters::of(&[b'\\', b'%', ESC]);
    letters.has_any(FIRST)
        && escapes(text).any(|escape| !matches!(escape.stands_for, '\n' | '\r' | '\t'))
}

/// Decodes the escapes of a text; `None` if there are none.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut escapes = escapes(text.as_bytes()).peekable();
    escapes.peek()?;
    let mut decoded = String::with_capacity(text.len());
    let mut copied = 0;
    for escape in escapes {
        decoded.push_str(text.get(copied..escape.at.start).unwrap_or_default());
        decoded.push(escape.stands_for);
        copied = escape.at.end;
    }
    decoded.push_str(text.get(copied..).unwrap_or_default());
    Some(decoded)
}

/// Maps ranges of the decoded text to ranges of `text`. Decodes a second time, because a map would need more memory than the
/// text.
pub(super) fn locate<'f>(text: &str, found: impl Iterator<Item = &'f mut TextRange>) {
    let ends = found.flat_map(|range| [(&mut range.start, false), (&mut range.end, true)]);
    let mut sorted: Vec<(&mut usize, bool)> = ends.collect();
    sorted.sort_by_key(|(mark, is_end)| (**mark, !is_end));
    let mut marks = sorted.into_iter().peekable();
    let mut original = 0;
    let mut decoded = 0;
    for escape in escapes(text.as_bytes()) {
        let begins = decoded + escape.at.start - original;
        let ends = begins + escape.stands_for.len_utf8();
        while let Some((mark, _)) = marks.next_if(|(m, is_end)| **m < begins + usize::from(*is_end))
        {
            *mark = *mark - decoded + original;
        }
        while let Some((mark, _)) = marks.next_if(|(m, _)| **m < ends) {
            *mark = escape.at.start;
        }
        (original, decoded) = (escape.at.end, ends);
    }
    marks.for_each(|(mark, _)| *mark = *mark - decoded + original);
}

/// The end of the escape whose backslash is directly before `at`. A match on the letter of an escape begins after it.
pub(super) fn end_after_backslash(text: &str, at: usize) -> Option<usize> {
    let backslash = at.checked_sub(1).filter(|at| text.as_bytes().get(*at) == Some(&b'\\'))?;
    Some(escape_at(text.as_bytes(), backslash).ok()?.at.end)
}

fn escapes(bytes: &[u8]) -> impl Iterator<Item = Escape> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let offset = memchr::memchr3(b'\\', b'%', ESC, bytes.get(at..)?)?;
            match escape_at(bytes, at + offset) {
                Ok(escape) => {
                    at = escape.at.end;
                    return Some(escape);
                }
                Err(next) => at = next,
            }
        }
    })
}

const ESC: u8 = 0x1b;

/// The escape at a backslash, `%` or ESC. The error is the position to continue from.
fn escape_at(bytes: &[u8], start: usize) -> Result<Escape, usize> {
    let (end, stands_for) = match bytes.get(start) {
        Some(b'\\') => backslash(bytes, start)?,
        Some(b'%') => percent(bytes, start).ok_or(start + 1)?,
        // An ESC that begins no sequence is no escape.
        _ => (control_sequence_end(bytes, start + 1).ok_or(start + 1)?, ' '),
    };
    let is_esc = stands_for == char::from(ESC);
    let sequence_end = if is_esc { control_sequence_end(bytes, end) } else { None };
    Ok(match sequence_end {
        Some(end) => Escape { at: start..end, stands_for: ' ' },
        None => Escape { at: start..end, stands_for },
    })
}

/// The end of a terminal control sequence such as a colour (ECMA-48), whose ESC ends at `start`.
fn control_sequence_end(bytes: &[u8], start: usize) -> Option<usize> {
    bytes.get(start).filter(|byte| **byte == b'[')?;
    let is_parameter = |byte: &&u8| byte.is_ascii_digit() || matches!(byte, b';' | b':' | b'?');
    let last = start + 1 + bytes.iter().skip(start + 1).take_while(is_parameter).count();
    bytes.get(last).filter(|byte| byte.is_ascii_alphabetic())?;
    Some(last + 1)
}

/// An escape of JSON, Python, JavaScript, Go or Rust. Each further level of escaping adds backslashes.
fn backslash(bytes: &[u8], start: usize) -> Result<(usize, char), usize> {
    let run = bytes.iter().skip(start).take_while(|byte| **byte == b'\\').count();
    let letter = start + run;
    let numbered = |from: usize, len: usize| {
        let code = hexadecimal(bytes.get(from..from + len)?)?;
        Some((from + len, char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)))
    };
    let escape = match bytes.get(letter) {
        Some(b'n') => Some((letter + 1, '\n')),
        Some(b'r') => Some((letter + 1, '\r')),
        Some(b't') => Some((letter + 1, '\t')),
        Some(b'b' | b'f' | b'v') => Some((letter + 1, ' ')),
        Some(b'e') => Some((letter + 1, char::from(ESC))),
        Some(b'0') if bytes.get(letter..letter + 3) == Some(b"033") => {
            Some((letter + 3, char::from(ESC)))
        }
        Some(b'0') => Some((letter + 1, '\0')),
        Some(b'/') => Some((letter + 1, '/')),
        Some(b'x') => numbered(letter + 1, 2),
        Some(b'u') if bytes.get(letter + 1) == Some(&b'{') => {
            let digits = bytes.iter().skip(letter + 2).take(7);
            let len = digits.take_while(|byte| byte.is_ascii_hexdigit()).count();
            numbered(letter + 2, len)
                .filter(|(end, _)| bytes.get(*end) == Some(&b'}'))
                .map(|(end, stands_for)| (end + 1, stands_for))
        }
        Some(b'u') => numbered(letter + 1, 4),
        _ => None,
    };
    escape.ok_or(letter)
}

/// A percent-encoded byte, except ASCII letters and digits. Encoders leave these unencoded, so `100%41` is more likely a number.
fn percent(bytes: &[u8], start: usize) -> Option<(usize, char)> {
    let byte = u8::try_from(hexadecimal(bytes.get(start + 1..start + 3)?)?).ok()?;
    let stands_for = if byte.is_ascii() { char::from(byte) } else { char::REPLACEMENT_CHARACTER };
    (!byte.is_ascii_alphanumeric()).then_some((start + 3, stands_for))
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    let digits = digits.iter().map(|digit| char::from(*digit).to_digit(16));
    digits.reduce(|number, digit| Some(number? * 16 + digit?))?
}
