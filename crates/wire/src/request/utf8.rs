//! Replaces invalid UTF-8 in the strings of a request.

use super::Limits;
use crate::protobuf::{Reader, Value, Writer, begin_delimited, end_delimited};
use crate::schema::{self, Kind, Message};
use crate::signal::SignalKind;

/// Returns the request with U+FFFD in place of invalid UTF-8. Returns `None` if it is malformed in another way, or becomes larger
/// than [`Limits::inflated_bytes`], because one byte may become three.
pub(super) fn repaired(kind: SignalKind, bytes: &[u8], limits: &Limits) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len() + 64);
    message(schema::request(kind), bytes, limits.nesting, &mut out)?;
    (out.len() <= limits.inflated_bytes).then_some(out)
}

fn message(
    message_kind: &'static Message,
    bytes: &[u8],
    depth_left: usize,
    out: &mut Vec<u8>,
) -> Option<()> {
    let depth_left = depth_left.checked_sub(1)?;
    for field in Reader::new(bytes) {
        let field = field.ok()?;
        match (message_kind.field(field.number).map(|known| known.kind), field.value) {
            (Some(Kind::Message(inner)), Value::Len(content)) => {
                let content_at = begin_delimited(out, field.number);
                message(inner, content, depth_left, out)?;
                end_delimited(out, content_at);
            }
            (Some(Kind::String), Value::Len(text)) => {
                Writer::new(out).always_string(field.number, &String::from_utf8_lossy(text));
            }
            _ => out.extend_from_slice(field.raw),
        }
    }
    Some(())
}
