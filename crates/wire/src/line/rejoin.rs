//! Joins the pieces of an OTLP line that was cut into several log events.
//!
//! A raw line of more than 65,536 bytes may arrive as several events, and no event is larger than
//! CloudWatch takes; the pieces are neighbours in their stream. [`Rejoin`] is given the texts of the events in order;
//! it keeps the text of the pieces, and its caller keeps the events.
//!
//! Whoever gets text into a function's log must not be able to make ordinary lines look like pieces. So the first
//! piece begins its event, and what follows is either nothing but the rest of a base64 payload, or the first piece and those in
//! between are as long as the pieces that Lambda cuts; and the whole decodes to items. Otherwise each event is what it would
//! have been alone.

use super::find;
use super::read::{LineReading, read_line};
use crate::request::Limits;

/// The largest joined line: other people's exporters write lines of any length.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// The most pieces of one line.
const MOST_PIECES: usize = 512;

/// Lambda cuts a line at multiples of 65,536 bytes, the buffer of a pipe, or where an event of CloudWatch Logs ends, which has 26 bytes
/// less; a character that would be cut in two may be left for the next piece.
const PIPE_BYTES: usize = 65_536;
const EVENT_OVERHEAD_BYTES: usize = 26;
const MOST_LEFT_BYTES: usize = 3;

/// Local stand-ins for Lambda cut lines at 1,024 bytes. A piece of a payload is no shorter, so that a word of an ordinary line is
/// none.
const SHORTEST_PAYLOAD_PIECE: usize = 1_000;

/// Waits for the end of a line whose beginning was read.
#[derive(Debug, Default)]
pub struct Rejoin {
    text: String,
    pieces: usize,
    /// Length of the first piece.
    first_bytes: usize,
    waits_for: WaitsFor,
}

/// What the next piece has to be.
#[derive(Debug, Default)]
enum WaitsFor {
    /// The rest of a base64 payload, and of the line behind it.
    #[default]
    Payload,
    /// JSON.
    Json(Scan),
}

/// What one more event is to a line that is waited for.
#[derive(Debug)]
#[must_use]
pub enum Joined {
    /// A piece, and not the last.
    More,
    /// The last piece: this is what the joined text holds, items among it.
    Whole(LineReading),
    /// No piece of it. The events that were kept are no pieces either: each is read alone, and
    /// none of them begins another line; what becomes text goes through
    /// [`without_headers`](crate::without_headers), for the marker is in the first alone. The event at hand is still to be read, and may begin one.
    Broken,
}

impl Rejoin {
    /// True while the end of a line is waited for.
    pub fn is_waiting(&self) -> bool {
        self.pieces > 0
    }

    /// Takes an event as the first piece, if `reading`, which is what its text holds, says that the
    /// line that begins it has no end, and the text ends where a line may have been cut.
    pub fn begin(&mut self, text: &str, reading: &LineReading) -> bool {
        *self = Self::default();
        let begin = find::first_object(text);
        if reading.unfinished_at != Some(begin) || text.len() > MOST_BYTES {
            return false;
        }
        let piece = without_newline(text);
        if piece.len() >= SHORTEST_PAYLOAD_PIECE && ends_in_payload(piece) {
            self.waits_for = WaitsFor::Payload;
        } else if is_cut_by_lambda(piece) {
            let mut scan = Scan::default();
            scan.read(piece.get(begin..).unwrap_or_default());
            if scan.state != State::Inside {
                return false;
            }
            self.waits_for = WaitsFor::Json(scan);
        } else {
            return false;
        }
        self.first_bytes = piece.len();
        self.push(piece);
        true
    }

    /// Takes the next event of the stream.
    pub fn go_on(&mut self, text: &str, limits: &Limits) -> Joined {
        let too_much = self.pieces >= MOST_PIECES || self.text.len() + text.len() > MOST_BYTES;
        let piece = without_newline(text);
        if too_much || find::begins_line(text) || !self.waits_for(piece) {
            return self.give_up();
        }
        self.push(piece);
        if !self.is_last(piece) {
            return Joined::More;
        }
        let whole = std::mem::take(self);
        let has_items = |reading: &LineReading| {
            reading.undecodable.is_empty()
                && reading.decoded.iter().any(|line| line.request.items() > 0)
        };
        read_line(&whole.text, limits).filter(has_items).map_or(Joined::Broken, Joined::Whole)
    }

    /// Gives up waiting; the events that were kept are to be read alone.
    pub fn give_up(&mut self) -> Joined {
        *self = Self::default();
        Joined::Broken
    }

    /// Whether the text may be the next piece.
    fn waits_for(&mut self, piece: &str) -> bool {
        match &mut self.waits_for {
            WaitsFor::Payload => {
                // What is behind the payload is JSON, in a string or not, which the whole will show.
                let payload = base64_len(piece);
                let behind = piece.get(payload..).unwrap_or_default();
                if behind.is_empty() {
                    // Whatever cuts lines cuts them all alike, or as Lambda does; an ordinary line of base64 has another length.
                    piece.len() == self.first_bytes || is_cut_by_lambda(piece)
                } else {
                    behind.starts_with(['"', '\\'])
                }
            }
            WaitsFor::Json(scan) => {
                scan.read(piece);
                match scan.state {
                    State::Inside => is_cut_by_lambda(piece),
                    State::Ended => true,
                    State::Broken => false,
                }
            }
        }
    }

    /// Whether a piece that was waited for is the last one.
    fn is_last(&self, piece: &str) -> bool {
        match &self.waits_for {
            WaitsFor::Payload => base64_len(piece) < piece.len(),
            WaitsFor::Json(scan) => scan.state == State::Ended,
        }
    }

    fn push(&mut self, piece: &str) {
        self.text.push_str(piece);
        self.pieces += 1;
    }
}

/// Whether a piece is as long as one that Lambda cuts.
fn is_cut_by_lambda(piece: &str) -> bool {
    let left = |bytes: usize| (bytes.next_multiple_of(PIPE_BYTES) - bytes) <= MOST_LEFT_BYTES;
    !piece.is_empty() && (left(piece.len()) || left(piece.len() + EVENT_OVERHEAD_BYTES))
}

/// Whether the text ends within a base64 payload: behind the opening quote of the value of a key `payload` there is nothing
/// else. In a log record that holds the line as text the quotes are escaped.
fn ends_in_payload(text: &str) -> bool {
    let before = text.trim_end_matches(is_base64);
    let value = before.strip_suffix('"').map(|before| before.trim_end_matches('\\').trim_end());
    let key = value.and_then(|value| value.strip_suffix(':')).map(str::trim_end);
    let key = key.and_then(|key| key.strip_suffix('"')).map(|key| key.trim_end_matches('\\'));
    key.is_some_and(|key| key.ends_with("payload"))
}

/// Length of the base64 text that begins a piece.
fn base64_len(piece: &str) -> usize {
    piece.len() - piece.trim_start_matches(is_base64).len()
}

/// A character of either alphabet (RFC 4648), or padding.
fn is_base64(character: char) -> bool {
    character.is_ascii_alphanumeric() || "+/-_=".contains(character)
}

/// The text without the newline at its end, which Lambda gives each event, also where it cuts a line.
fn without_newline(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

/// Follows the structure of one JSON object over any number of pieces, each byte once.
#[derive(Debug, Default)]
struct Scan {
    state: State,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum State {
    #[default]
    Inside,
    /// The object has ended; what follows is not looked at.
    Ended,
    /// There is a byte that JSON does not have there.
    Broken,
}

/// White space, numbers, and the letters of `true`, `false` and `null`.
const OUTSIDE_STRINGS: &[u8] = b" \t\r\n:,-+.0123456789Eaeflnrstu";

impl Scan {
    fn read(&mut self, piece: &str) {
        for byte in piece.bytes() {
            if self.state != State::Inside {
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
            0..0x20 => self.state = State::Broken,
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
                    self.state = State::Ended;
                }
            }
            byte if OUTSIDE_STRINGS.contains(&byte) => {}
            _ => self.state = State::Broken,
        }
    }
}
