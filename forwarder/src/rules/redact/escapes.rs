//! Decodes escapes in text: JSON and other languages, percent-encoding, and terminal colours.

use super::TextRange;
use super::needle::Letters;

struct Escape {
    range: TextRange,
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
        decoded.push_str(text.get(copied..escape.range.start).unwrap_or_default());
        decoded.push(escape.stands_for);
        copied = escape.range.end;
    }
    decoded.push_str(text.get(copied..).unwrap_or_default());
    Some(decoded)
}

/// Maps ranges of the decoded text to ranges of `text`. Decodes a second time, because a map would need more memory than the
/// text.
pub(super) fn locate<'f>(text: &str, found: impl Iterator<Item = &'f mut TextRange>) {
    let bounds = found.flat_map(|range| {
        [
            Bound { place: &mut range.start, is_end: false },
            Bound { place: &mut range.end, is_end: true },
        ]
    });
    let mut sorted: Vec<Bound<'_>> = bounds.collect();
    sorted.sort_by_key(|bound| (*bound.place, !bound.is_end));
    let mut bounds = sorted.into_iter().peekable();
    // The end of the last escape, in both texts.
    let mut original = 0;
    let mut decoded = 0;
    for escape in escapes(text.as_bytes()) {
        let begin = decoded + escape.range.start - original;
        let end = begin + escape.stands_for.len_utf8();
        let is_before = |bound: &Bound<'_>| *bound.place < begin + usize::from(bound.is_end);
        while let Some(Bound { place, .. }) = bounds.next_if(is_before) {
            *place = *place - decoded + original;
        }
        while let Some(Bound { place, .. }) = bounds.next_if(|bound| *bound.place < end) {
            *place = escape.range.start;
        }
        original = escape.range.end;
        decoded = end;
    }
    for Bound { place, .. } in bounds {
        *place = *place - decoded + original;
    }
}

/// The start or the end of a range.
struct Bound<'f> {
    place: &'f mut usize,
    is_end: bool,
}

/// The end of the escape whose backslash is directly before `at`. A match on the letter of an escape begins after it.
pub(super) fn end_after_backslash(text: &str, at: usize) -> Option<usize> {
    let backslash = at.checked_sub(1).filter(|at| text.as_bytes().get(*at) == Some(&b'\\'))?;
    Some(escape_at(text.as_bytes(), backslash).ok()?.range.end)
}

fn escapes(bytes: &[u8]) -> impl Iterator<Item = Escape> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let offset = memchr::memchr3(b'\\', b'%', ESC, bytes.get(at..)?)?;
            match escape_at(bytes, at + offset) {
                Ok(escape) => {
                    at = escape.range.end;
                    return Some(escape);
                }
                Err(NoEscape { continue_at }) => at = continue_at,
            }
        }
    })
}

const ESC: u8 = 0x1b;

/// A backslash, `%` or ESC that begins no escape.
struct NoEscape {
    /// The position at which the search goes on.
    continue_at: usize,
}

/// The escape at a backslash, `%` or ESC.
fn escape_at(bytes: &[u8], start: usize) -> Result<Escape, NoEscape> {
    let no_escape = NoEscape { continue_at: start + 1 };
    let escape = match bytes.get(start) {
        Some(b'\\') => backslash(bytes, start)?,
        Some(b'%') => percent(bytes, start).ok_or(no_escape)?,
        _ => {
            let end = control_sequence_end(bytes, start + 1).ok_or(no_escape)?;
            Escape { range: start..end, stands_for: ' ' }
        }
    };
    // An encoded ESC may begin a sequence too.
    let is_esc = escape.stands_for == char::from(ESC);
    let sequence_end = if is_esc { control_sequence_end(bytes, escape.range.end) } else { None };
    Ok(match sequence_end {
        Some(end) => Escape { range: start..end, stands_for: ' ' },
        None => escape,
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
fn backslash(bytes: &[u8], start: usize) -> Result<Escape, NoEscape> {
    let run = bytes.iter().skip(start).take_while(|byte| **byte == b'\\').count();
    let letter = start + run;
    let escape = |end: usize, stands_for: char| Some(Escape { range: start..end, stands_for });
    let numbered = |digits: TextRange, end: usize| {
        let code = hexadecimal(bytes.get(digits)?)?;
        escape(end, char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
    };
    let found = match bytes.get(letter) {
        Some(b'n') => escape(letter + 1, '\n'),
        Some(b'r') => escape(letter + 1, '\r'),
        Some(b't') => escape(letter + 1, '\t'),
        Some(b'b' | b'f' | b'v') => escape(letter + 1, ' '),
        Some(b'e') => escape(letter + 1, char::from(ESC)),
        Some(b'0') if bytes.get(letter..letter + 3) == Some(b"033") => {
            escape(letter + 3, char::from(ESC))
        }
        Some(b'0') => escape(letter + 1, '\0'),
        Some(b'/') => escape(letter + 1, '/'),
        Some(b'x') => numbered(letter + 1..letter + 3, letter + 3),
        Some(b'u') if bytes.get(letter + 1) == Some(&b'{') => {
            let first = letter + 2;
            let digits = bytes.iter().skip(first).take(7);
            let brace = first + digits.take_while(|byte| byte.is_ascii_hexdigit()).count();
            let is_closed = bytes.get(brace) == Some(&b'}');
            is_closed.then(|| numbered(first..brace, brace + 1)).flatten()
        }
        Some(b'u') => numbered(letter + 1..letter + 5, letter + 5),
        _ => None,
    };
    found.ok_or(NoEscape { continue_at: letter })
}

/// A percent-encoded byte, except ASCII letters and digits. Encoders leave these unencoded, so `100%41` is more likely a number.
fn percent(bytes: &[u8], start: usize) -> Option<Escape> {
    let byte = u8::try_from(hexadecimal(bytes.get(start + 1..start + 3)?)?).ok()?;
    let stands_for = if byte.is_ascii() { char::from(byte) } else { char::REPLACEMENT_CHARACTER };
    let is_encoded = !byte.is_ascii_alphanumeric();
    is_encoded.then_some(Escape { range: start..start + 3, stands_for })
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    let digits = digits.iter().map(|digit| char::from(*digit).to_digit(16));
    digits.reduce(|number, digit| Some(number? * 16 + digit?))?
}
