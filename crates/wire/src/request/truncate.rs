//! Truncates the attribute values of a request that is too large for a line.

use super::Request;
use crate::protobuf::{Value, Writer, fields};
use crate::schema::{self, Kind, Message};

impl Request {
    /// Returns the request with every string and bytes value of an attribute or body truncated to `max_bytes`, including a mark in
    /// strings with the removed length, and the number of truncated values.
    pub fn with_values_cut(&self, max_bytes: usize) -> (Self, usize) {
        rewritten(self, &[], max_bytes)
    }

    /// Like [`with_values_cut`](Self::with_values_cut), but leaves the items unchanged.
    pub(crate) fn with_heads_cut(&self, max_bytes: usize) -> (Self, usize) {
        rewritten(self, self.kind().path_to_items(), max_bytes)
    }
}

fn rewritten(request: &Request, path: &[&[u32]], max_bytes: usize) -> (Request, usize) {
    let mut out = Vec::with_capacity(request.bytes().len());
    let mut rewrite = Rewrite { max_bytes, shortened: 0 };
    rewrite.message(schema::request(request.kind()), request.bytes(), path, &mut out);
    (request.part(out, request.items()), rewrite.shortened)
}

struct Rewrite {
    max_bytes: usize,
    shortened: usize,
}

impl Rewrite {
    /// `path` leads to the unchanged part.
    fn message(
        &mut self,
        message: &'static Message,
        bytes: &[u8],
        path: &[&[u32]],
        out: &mut Vec<u8>,
    ) {
        let max_bytes = self.max_bytes;
        for field in fields(bytes) {
            let kind = message.field(field.number).map(|known| known.kind);
            let deeper = match path.split_first() {
                Some((level, [])) if level.contains(&field.number) => {
                    out.extend_from_slice(field.raw);
                    continue;
                }
                Some((level, deeper)) if level.contains(&field.number) => deeper,
                _ => &[],
            };
            match (kind, field.value) {
                // A short message contains nothing long.
                (Some(Kind::Message(inner)), Value::Len(content)) if content.len() > max_bytes => {
                    Writer::new(out).message(field.number, |writer| {
                        let mut rewritten = Vec::new();
                        self.message(inner, content, deeper, &mut rewritten);
                        writer.raw(&rewritten);
                    });
                }
                (Some(Kind::String), Value::Len(text))
                    if schema::is_any_value(message) && text.len() > max_bytes =>
                {
                    self.shortened += 1;
                    Writer::new(out).always_string(field.number, &shorten(text, max_bytes));
                }
                (Some(Kind::Bytes), Value::Len(content))
                    if schema::is_any_value(message) && content.len() > max_bytes =>
                {
                    self.shortened += 1;
                    let kept = content.get(..max_bytes).unwrap_or_default();
                    Writer::new(out).always_bytes(field.number, kept);
                }
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
