//! The beginning of a response body, up to a size limit.

use bytes::{Bytes, BytesMut};

/// The bytes kept so far.
pub(super) struct BoundedBody {
    kept: BytesMut,
    most_bytes: usize,
    cut: bool,
}

impl BoundedBody {
    /// Starts empty, with a limit in bytes.
    pub(super) fn new(most_bytes: usize) -> Self {
        Self { kept: BytesMut::new(), most_bytes, cut: false }
    }

    /// Keeps as much of this piece as fits. Returns `false` once a byte was discarded, so that the caller can stop reading.
    pub(super) fn take(&mut self, piece: &[u8]) -> bool {
        let room = self.most_bytes - self.kept.len();
        self.kept.extend_from_slice(piece.get(..room).unwrap_or(piece));
        self.cut = piece.len() > room;
        !self.cut
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    pub(super) fn into_bytes(self) -> Bytes {
        self.kept.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlong_body_is_truncated_and_marked_cut() {
        let check = |pieces: &[&str], kept: &str, is_cut: bool| {
            let mut body = BoundedBody::new(5);
            let all = pieces.iter().all(|piece| body.take(piece.as_bytes()));
            assert_eq!((all, body.is_cut()), (!is_cut, is_cut), "{pieces:?}");
            assert_eq!(body.into_bytes(), kept, "{pieces:?}");
        };
        check(&[], "", false);
        check(&["ab", "cde"], "abcde", false);
        check(&["ab", "cde", ""], "abcde", false);
        check(&["ab", "cdef", "g"], "abcde", true);
        check(&["abcde", "f"], "abcde", true);
    }
}
