//! Rewrites fields of an encoded message and copies the others. Untouched messages cost nothing, and unknown fields stay.

use wire::protobuf::{Field, Writer};

#[derive(Debug)]
pub(super) enum Edited {
    Same,
    Changed(Vec<u8>),
    Gone,
}

/// A message whose fields are visited one by one. Copies nothing before the first change.
pub(super) struct MessageRewrite<'m> {
    message: &'m [u8],
    /// End of the last field.
    at: usize,
    /// Everything before this is in `out`, or removed.
    copied: usize,
    out: Option<Vec<u8>>,
    any_left: bool,
    any_gone: bool,
}

impl<'m> MessageRewrite<'m> {
    pub(super) fn new(message: &'m [u8]) -> Self {
        Self { message, at: 0, copied: 0, out: None, any_left: false, any_gone: false }
    }

    /// Keeps a field without items.
    pub(super) fn keep(&mut self, field: &Field<'_>) {
        self.at += field.raw.len();
    }

    /// Removes a field without items.
    pub(super) fn leave_out(&mut self, field: &Field<'_>) {
        self.flush();
        self.at += field.raw.len();
        self.copied = self.at;
    }

    pub(super) fn replace(&mut self, field: &Field<'_>, bytes: &[u8]) {
        self.leave_out(field);
        self.append(field.number, bytes);
    }

    pub(super) fn append(&mut self, number: u32, bytes: &[u8]) {
        let out = self.flush();
        Writer::new(out).always_bytes(number, bytes);
    }

    /// Keeps, replaces or removes an item, or a field with items.
    pub(super) fn item(&mut self, field: &Field<'_>, fate: &Edited) {
        match fate {
            Edited::Same => self.keep(field),
            Edited::Changed(bytes) => self.replace(field, bytes),
            Edited::Gone => self.leave_out(field),
        }
        let gone = matches!(fate, Edited::Gone);
        self.any_gone |= gone;
        self.any_left |= !gone;
    }

    pub(super) fn finish(mut self) -> Edited {
        if self.any_gone && !self.any_left {
            return Edited::Gone;
        }
        if self.out.is_none() {
            return Edited::Same;
        }
        Edited::Changed(std::mem::take(self.flush()))
    }

    /// Copies the kept fields up to here.
    fn flush(&mut self) -> &mut Vec<u8> {
        let message = self.message;
        let out = self.out.get_or_insert_with(|| Vec::with_capacity(message.len()));
        out.extend_from_slice(message.get(self.copied..self.at).unwrap_or_default());
        self.copied = self.at;
        out
    }
}
