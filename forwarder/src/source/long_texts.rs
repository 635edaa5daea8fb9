//! Cuts texts that are too long: messages, and texts of JSON that is not in memory as a whole.

use super::SourceLimits;

/// The note at the end of a cut message.
const CUT_NOTE: &str = " … (cut: the log event is longer than the forwarder reads)";

/// Cuts a message to the limit, and returns `true` if it was longer.
pub(super) fn cut_message(message: &mut String, limits: &SourceLimits) -> bool {
    let is_long = message.len() > limits.message_bytes;
    if is_long {
        message.truncate(message.floor_char_boundary(limits.message_bytes));
        note_cut(message);
        message.shrink_to_fit();
    }
    is_long
}

/// Notes in a message that it was cut.
pub(super) fn note_cut(message: &mut String) {
    message.push_str(CUT_NOTE);
}

/// Copies one JSON value piece by piece, with texts of limited size.
pub(super) struct ShortTexts {
    max_text_bytes: usize,
    /// Open arrays and objects.
    depth: usize,
    text: Option<TextState>,
    has_ended: bool,
}

/// The text at the end of the pieces so far.
#[derive(Default)]
struct TextState {
    bytes: usize,
    /// Number of bytes that the escape sequence at its end lacks.
    escape_bytes_left: usize,
    is_cut: bool,
}

impl ShortTexts {
    pub(super) fn new(max_text_bytes: usize) -> Self {
        Self { max_text_bytes, depth: 0, text: None, has_ended: false }
    }

    /// Returns `true` after the last byte of the value.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Copies bytes to `out`, and those after the value, too.
    pub(super) fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        for (at, byte) in piece.iter().enumerate() {
            if self.has_ended {
                out.extend_from_slice(piece.get(at..).unwrap_or_default());
                return;
            }
            if self.read_next(*byte) {
                out.push(*byte);
            }
        }
    }

    /// Reads the next byte. Returns `true` if it is kept.
    fn read_next(&mut self, byte: u8) -> bool {
        let Some(text) = &mut self.text else {
            match byte {
                b'"' => self.text = Some(TextState::default()),
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
            self.has_ended = self.depth == 0 && matches!(byte, b'}' | b']');
            return true;
        };
        if text.escape_bytes_left == 0 && byte == b'"' {
            self.text = None;
            self.has_ended = self.depth == 0;
            return true;
        }
        let begins_character = text.escape_bytes_left == 0 && !is_continuation(byte);
        text.is_cut |= begins_character && text.bytes >= self.max_text_bytes;
        text.bytes += 1;
        text.escape_bytes_left = match (text.escape_bytes_left, byte) {
            (0, b'\\') => 1,
            (1, b'u') => 4,
            (left, _) => left.saturating_sub(1),
        };
        !text.is_cut
    }
}

/// Returns `true` for a later byte of a character.
fn is_continuation(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}
