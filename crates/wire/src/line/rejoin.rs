//! Joins the pieces of an OTLP line that was cut into several log events.
//!
//! A raw line of more than 65,536 bytes may arrive as several events, and no event is larger than
//! CloudWatch takes; the pieces are neighbours in their stream. What joins them is a state machine
//! that is fed with the texts of the events, in order; it keeps the pieces' text, its caller the events.

use super::find;
use super::read::{LineReading, read_line};
use crate::request::Limits;

/// Bounds on one joined line. Peers' exporters write lines of any length.
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// Stand-ins for Lambda cut lines at 1024 bytes.
const MOST_PIECES: usize = 512;

/// Waits for the end of a line whose beginning was read.
#[derive(Debug, Default)]
pub struct Rejoin {
    text: String,
    pieces: usize,
    scan: Scan,
}

/// What one more event is to a line that is waited for.
#[derive(Debug)]
#[must_use]
pub enum Joined {
    /// A piece, and not the last.
    More,
    /// The last piece: this is what the joined text holds.
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

    /// Takes an event as the first piece, if `reading`, which is what its text holds, says that a
    /// line in it has no end.
    pub fn begin(&mut self, text: &str, reading: &LineReading) -> bool {
        *self = Self::default();
        let Some(unfinished) = reading.unfinished_at.and_then(|at| text.get(at..)) else {
            return false;
        };
        let unfinished = without_newline(unfinished);
        self.scan.read(unfinished);
        if self.scan.state != State::Inside || text.len() > MOST_BYTES {
            return false;
        }
        self.push(text);
        true
    }

    /// Takes the next event of the stream.
    pub fn go_on(&mut self, text: &str, limits: &Limits) -> Joined {
        let too_much = self.pieces >= MOST_PIECES || self.text.len() + text.len() > MOST_BYTES;
        if too_much || find::begins_line(text) {
            return self.give_up();
        }
        self.scan.read(without_newline(text));
        if self.scan.state == State::Broken {
            return self.give_up();
        }
        self.push(text);
        if self.scan.state == State::Inside {
            return Joined::More;
        }
        let whole = std::mem::take(self);
        match read_line(&whole.text, limits) {
            Some(reading) if reading.undecodable.is_empty() => Joined::Whole(reading),
            _ => Joined::Broken,
        }
    }

    /// Gives up waiting; the events that were kept are to be read alone.
    pub fn give_up(&mut self) -> Joined {
        *self = Self::default();
        Joined::Broken
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(without_newline(text));
        self.pieces += 1;
    }
}

/// Not part of the line: Lambda ends each event with one, also where it cuts.
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
