//! Cuts content between its items until each piece fits, by a measure of the caller.

use super::Request;

/// Limit on the bytes that the pieces of some content may repeat: each cut writes the resource, the scope and the metric around it
/// once more. Only crafted content reaches it, and what is left of that stays in one piece.
pub const MAX_REPEATED_BYTES: usize = 8 << 20;

/// Content that can be cut between its items.
pub trait Halve: Sized {
    /// Number of items that can be apart from each other.
    fn items(&self) -> usize;

    fn bytes(&self) -> usize;

    /// Cuts content of several items. Items keep their order.
    fn into_halves(self) -> (Self, Self);
}

impl Halve for Request {
    fn items(&self) -> usize {
        Self::items(self)
    }

    fn bytes(&self) -> usize {
        Self::bytes(self).len()
    }

    fn into_halves(self) -> (Self, Self) {
        let half = Self::items(&self) / 2;
        self.split_at(half)
    }
}

/// The pieces of some content, in order.
#[derive(Debug)]
pub struct Pieces<T> {
    /// The next one is the last.
    waiting: Vec<T>,
    repeated_bytes: usize,
}

impl<T: Halve> Pieces<T> {
    pub fn new(mut content: Vec<T>) -> Self {
        content.reverse();
        Self { waiting: content, repeated_bytes: 0 }
    }

    pub fn take_next(&mut self) -> Option<T> {
        self.waiting.pop()
    }

    /// Makes this piece the next one again.
    pub fn put_back(&mut self, piece: T) {
        self.waiting.push(piece);
    }

    /// Halves a piece that is too large, and puts both halves back. Returns the piece if it has a single item, or if the halves
    /// have repeated more than [`MAX_REPEATED_BYTES`].
    pub fn halve(&mut self, piece: T) -> Result<(), T> {
        if piece.items() <= 1 || self.repeated_bytes >= MAX_REPEATED_BYTES {
            return Err(piece);
        }
        let bytes = piece.bytes();
        let (first, second) = piece.into_halves();
        let bytes_of_both = first.bytes() + second.bytes();
        self.repeated_bytes += bytes_of_both.saturating_sub(bytes);
        self.waiting.push(second);
        self.waiting.push(first);
        Ok(())
    }
}
