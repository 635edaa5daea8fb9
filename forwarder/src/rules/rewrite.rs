//! Changes fields of an encoded message and copies the others as they are, so that what no rule
//! touches costs nothing and fields of later versions of OTLP stay.

use wire::protobuf::{Field, Writer};

/// What became of a message.
#[derive(Debug)]
pub(super) enum Fate {
    /// It is as it was.
    Same,
    /// Its new bytes.
    Changed(Vec<u8>),
    /// It held items, and all were dropped.
    Gone,
}

/// A message that is gone through field by field; nothing is copied before the first change.
pub(super) struct Rewrite<'m> {
    message: &'m [u8],
    /// End of the last field.
    at: usize,
    /// What is before this is in `out`, or left out.
    copied: usize,
    out: Option<Vec<u8>>,
    any_left: bool,
    any_gone: bool,
}

impl<'m> Rewrite<'m> {
    pub(super) fn new(message: &'m [u8]) -> Self {
        Self { message, at: 0, copied: 0, out: None, any_left: false, any_gone: false }
    }

    /// Keeps a field that holds no items.
    pub(super) fn keep(&mut self, field: &Field<'_>) {
        self.at += field.raw.len();
    }

    /// Leaves out a field that holds no items.
    pub(super) fn leave_out(&mut self, field: &Field<'_>) {
        self.flush();
        self.at += field.raw.len();
        self.copied = self.at;
    }

    /// Puts these bytes in the place of a field.
    pub(super) fn replace(&mut self, field: &Field<'_>, bytes: &[u8]) {
        self.leave_out(field);
        self.append(field.number, bytes);
    }

    /// Writes a field that was not there.
    pub(super) fn append(&mut self, number: u32, bytes: &[u8]) {
        let out = self.flush();
        Writer::new(out).always_bytes(number, bytes);
    }

    /// Keeps, replaces or leaves out a field that is an item or holds some.
    pub(super) fn item(&mut self, field: &Field<'_>, fate: &Fate) {
        match fate {
            Fate::Same => self.keep(field),
            Fate::Changed(bytes) => self.replace(field, bytes),
            Fate::Gone => self.leave_out(field),
        }
        let gone = matches!(fate, Fate::Gone);
        self.any_gone |= gone;
        self.any_left |= !gone;
    }

    pub(super) fn finish(mut self) -> Fate {
        if self.any_gone && !self.any_left {
            return Fate::Gone;
        }
        if self.out.is_none() {
            return Fate::Same;
        }
        Fate::Changed(std::mem::take(self.flush()))
    }

    /// Copies what was kept up to here.
    fn flush(&mut self) -> &mut Vec<u8> {
        let message = self.message;
        let out = self.out.get_or_insert_with(|| Vec::with_capacity(message.len()));
        out.extend_from_slice(message.get(self.copied..self.at).unwrap_or_default());
        self.copied = self.at;
        out
    }
}
