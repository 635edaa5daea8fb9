//! Joins the pieces of an OTLP line that was cut into several log events.
//!
//! A raw line above 65,536 bytes may arrive as several events, and CloudWatch limits an event's size; the pieces are neighbours
//! in their stream. [`Rejoin`] receives the texts of the events in order and keeps the text of the pieces; its caller keeps the
//! events.
//!
//! An attacker who gets text into a function's log must not be able to make ordinary lines look like pieces. So the first piece
//! must begin its event. All others must contain only the rest of a base64 payload, or all pieces except the last must have a
//! length at which Lambda cuts. And the joined text must decode to items. Otherwise each event is read alone.

use super::find;
use super::read::read_line_of;
use super::reading::LineReading;
use crate::compact::Context;
use crate::request::Limits;

/// Maximum size of a joined line: foreign exporters write lines of any length.
const MAX_BYTES: usize = 4 * 1024 * 1024;
const MAX_PIECES: usize = 512;

/// Lambda cuts a line at multiples of 65,536 bytes, the buffer of a pipe, or at the end of a CloudWatch Logs event, 26 bytes
/// below. A character at the cut may move to the next piece.
const PIPE_BYTES: usize = 65_536;
const EVENT_OVERHEAD_BYTES: usize = 26;
const MAX_LEFT_BYTES: usize = 3;

/// Local stand-ins for Lambda cut lines at 1,024 bytes. A piece of a payload is no shorter, so that a word of an ordinary line
/// does not qualify.
const SHORTEST_PAYLOAD_PIECE: usize = 1_000;

/// Waits for the end of a line.
#[derive(Debug, Default)]
pub struct Rejoin {
    text: String,
    pieces: usize,
    first_bytes: usize,
    /// `true` until the end of the base64 payload, if the first piece ends within it.
    in_payload: bool,
    scan: ObjectScan,
}

/// The relation of one more event to the incomplete line.
#[derive(Debug)]
#[must_use]
pub enum Joined {
    /// A piece, and not the last.
    More,
    /// The last piece. This is the content of the joined text, with at least one item.
    Whole(LineReading),
    /// Not a piece, so the kept events are not pieces either: the caller reads each of them alone. None begins another line, and
    /// only the first contains the marker, so text of the others goes through [`without_headers`](crate::without_headers). The
    /// event at hand is still unread, and may begin a line.
    Broken {
        /// Bytes that the joined text inflated to, which count toward [`Limits::refused_bytes`].
        refused_bytes: usize,
    },
}

impl Rejoin {
    /// Returns `true` while a line is incomplete.
    pub fn is_waiting(&self) -> bool {
        self.pieces > 0
    }

    /// Starts with this event as the first piece if `reading`, the content of its text, ends in an incomplete line that begins
    /// the text, and the text ends at a possible cut.
    pub fn begin(&mut self, text: &str, reading: &LineReading) -> bool {
        *self = Self::default();
        let begin = find::first_object(text);
        if reading.unfinished_at != Some(begin) || text.len() > MAX_BYTES {
            return false;
        }
        let piece = without_newline(text);
        self.in_payload = piece.len() >= SHORTEST_PAYLOAD_PIECE && ends_in_payload(piece);
        self.scan.read(piece.get(begin..).unwrap_or_default());
        if self.scan.state != JsonState::Inside || !(self.in_payload || is_cut_by_lambda(piece)) {
            return false;
        }
        self.first_bytes = piece.len();
        self.push(piece);
        true
    }

    /// Handles the next event of the stream.
    pub fn go_on(&mut self, text: &str, context: &Context<'_>, limits: &Limits) -> Joined {
        let too_much = self.pieces >= MAX_PIECES || self.text.len() + text.len() > MAX_BYTES;
        let piece = without_newline(text);
        if too_much || find::begins_line(text) || !self.read_piece(piece) {
            *self = Self::default();
            return Joined::Broken { refused_bytes: 0 };
        }
        self.push(piece);
        if self.scan.state != JsonState::Ended {
            return Joined::More;
        }
        let whole = std::mem::take(self);
        let Some(reading) = read_line_of(&whole.text, context, limits) else {
            return Joined::Broken { refused_bytes: 0 };
        };
        let mut requests = reading.decoded.iter();
        if reading.undecodable.is_empty() && requests.any(|request| request.items() > 0) {
            return Joined::Whole(reading);
        }
        let decoded_bytes: usize =
            reading.decoded.iter().map(|request| request.bytes().len()).sum();
        Joined::Broken { refused_bytes: reading.refused_bytes + decoded_bytes }
    }

    /// Reads a text as the next piece. Returns `false` if it is none.
    fn read_piece(&mut self, piece: &str) -> bool {
        // Other programs than Lambda cut all lines at one length, and an ordinary line of base64 has another length.
        let may_be_cut =
            is_cut_by_lambda(piece) || (self.in_payload && piece.len() == self.first_bytes);
        if self.in_payload {
            // JSON follows the payload, in a string or not.
            let after = piece.trim_start_matches(is_base64);
            self.in_payload = after.is_empty();
            if !after.is_empty() && !after.starts_with(['"', '\\']) {
                return false;
            }
        }
        self.scan.read(piece);
        match self.scan.state {
            JsonState::Inside => may_be_cut,
            JsonState::Ended => true,
            JsonState::Broken => false,
        }
    }

    fn push(&mut self, piece: &str) {
        self.text.push_str(piece);
        self.pieces += 1;
    }
}

/// Returns `true` if the piece has a length at which Lambda cuts.
fn is_cut_by_lambda(piece: &str) -> bool {
    let left = |bytes: usize| (bytes.next_multiple_of(PIPE_BYTES) - bytes) <= MAX_LEFT_BYTES;
    !piece.is_empty() && (left(piece.len()) || left(piece.len() + EVENT_OVERHEAD_BYTES))
}

/// Returns `true` if the text ends within a base64 payload: only base64 follows the opening quote of the value of a key
/// `payload`. In a log record with the line as text the quotes are escaped.
fn ends_in_payload(text: &str) -> bool {
    let before = text.trim_end_matches(is_base64);
    let value = before.strip_suffix('"').map(|before| before.trim_end_matches('\\').trim_end());
    let quoted_key = value.and_then(|value| value.strip_suffix(':')).map(str::trim_end);
    let key =
        quoted_key.and_then(|key| key.strip_suffix('"')).map(|key| key.trim_end_matches('\\'));
    key.is_some_and(|key| key.ends_with("payload"))
}

/// A character of either alphabet (RFC 4648), or padding.
fn is_base64(character: char) -> bool {
    character.is_ascii_alphanumeric() || "+/-_=".contains(character)
}

/// The text without its final newline, which Lambda adds to each event, also at a cut.
fn without_newline(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

/// Tracks the structure of one JSON object over any number of pieces, reading each byte once.
#[derive(Debug, Default)]
struct ObjectScan {
    state: JsonState,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum JsonState {
    #[default]
    Inside,
    /// The object has ended; later bytes are ignored.
    Ended,
    /// A byte was invalid in JSON.
    Broken,
}

/// White space, numbers, and the letters of `true`, `false` and `null`.
const OUTSIDE_STRINGS: &[u8] = b" \t\r\n:,-+.0123456789Eaeflnrstu";

impl ObjectScan {
    fn read(&mut self, piece: &str) {
        for byte in piece.bytes() {
            if self.state != JsonState::Inside {
                return;
            }
            if self.in_string {
                self.read_in_string(byte);
            } else {
                self.read_outside(byte);
            }
        }
    }

    fn read_in_string(&mut self, byte: u8) {
        match byte {
            0..0x20 => self.state = JsonState::Broken,
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => self.in_string = false,
            _ => {}
        }
    }

    fn read_outside(&mut self, byte: u8) {
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    self.state = JsonState::Ended;
                }
            }
            byte if OUTSIDE_STRINGS.contains(&byte) => {}
            _ => self.state = JsonState::Broken,
        }
    }
}
