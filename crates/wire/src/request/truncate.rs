//! Truncates the attribute values of a request that is too large for a line.

use super::Request;
use crate::protobuf::{Value, Writer, delimited, fields};
use crate::schema::{self, Kind, Message};

impl Request {
    /// Returns the request with every string and bytes value of an attribute or body truncated to `max_bytes`, including a mark in
    /// strings with the removed length, and the number of truncated values.
    pub fn with_values_cut(&self, max_bytes: usize) -> (Self, usize) {
        let mut out = Vec::with_capacity(self.bytes().len());
        let mut rewrite = Rewrite { max_bytes, shortened: 0 };
        rewrite.message(schema::request(self.kind()), self.bytes(), &mut out);
        (self.part(out, self.items()), rewrite.shortened)
    }
}

struct Rewrite {
    max_bytes: usize,
    shortened: usize,
}

impl Rewrite {
    fn message(&mut self, message: &'static Message, bytes: &[u8], out: &mut Vec<u8>) {
        for field in fields(bytes) {
            let kind = message.field(field.number).map(|known| known.kind);
            match (kind, field.value) {
                // A short message contains nothing long.
                (Some(kind), Value::Len(content)) if content.len() > self.max_bytes => match kind {
                    Kind::Message(inner) => {
                        delimited(out, field.number, |out| self.message(inner, content, out));
                    }
                    Kind::String if schema::is_any_value(message) => {
                        self.shortened += 1;
                        let shorter = shorten(content, self.max_bytes);
                        Writer::new(out).always_string(field.number, &shorter);
                    }
                    Kind::Bytes if schema::is_any_value(message) => {
                        self.shortened += 1;
                        let kept = content.get(..self.max_bytes).unwrap_or_default();
                        Writer::new(out).always_bytes(field.number, kept);
                    }
                    _ => out.extend_from_slice(field.raw),
                },
                _ => out.extend_from_slice(field.raw),
            }
        }
    }
}

fn shorten(text: &[u8], max_bytes: usize) -> String {
    let text = std::str::from_utf8(text).unwrap_or_default();
    let mark = format!("…[{} bytes truncated]", text.len() - max_bytes.min(text.len()));
    let kept_bytes = max_bytes.saturating_sub(mark.len());
    let kept = (0..=kept_bytes).rev().find_map(|end| text.get(..end)).unwrap_or_default();
    format!("{kept}{mark}")
}
