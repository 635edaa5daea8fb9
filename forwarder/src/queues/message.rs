//! Divides parked content into messages that fit into a queue.

use super::encoding;
use super::{Content, Parked};
use std::fmt;

/// Size limit of a message. SQS accepts 1 MiB (Amazon SQS Developer Guide, "Message quotas"); the difference leaves room for a
/// wrapper.
pub const MAX_MESSAGE_BYTES: usize = 900 * 1024;

/// Each cut repeats the resource, scope and metric of the items around it. All cuts of a request may repeat this many times its
/// size.
const MOST_GROWTH: usize = 4;

/// If a single item does not fit, its values are truncated to the first of these lengths that makes it fit.
const CUT_VALUE_BYTES: [usize; 5] = [512 * 1024, 128 * 1024, 16 * 1024, 1024, 128];

#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    pub body: String,
    pub items: usize,
}

impl fmt::Debug for Message {
    /// Shows sizes only, because the content is telemetry.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({} items, {} bytes)", self.items, self.body.len())
    }
}

/// Content that is too large for a message and cannot be divided.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} of {} items has {encoded_bytes} bytes as a message, more than the limit of {max_bytes}",
    parked.content.name(), parked.items
)]
pub struct TooLargeForQueue {
    pub parked: Box<Parked>,
    /// Its size as one message, or its inflated size if that exceeds the limit for reading.
    pub encoded_bytes: usize,
    pub max_bytes: usize,
}

impl Parked {
    /// Encodes the content into messages of at most `max_bytes`, divided between items or log events. The items of all messages
    /// and of oversized parts add up to `items`. Each message is readable by [`from_body`](Self::from_body).
    pub fn into_messages(self, max_bytes: usize) -> (Vec<Message>, Vec<TooLargeForQueue>) {
        let (mut messages, mut too_large) = (Vec::new(), Vec::new());
        // Bytes that further cuts may repeat.
        let mut spare_bytes = MOST_GROWTH.saturating_mul(self.content.bytes());
        let mut waiting = vec![self];
        while let Some(parked) = waiting.pop() {
            let encoded_bytes = match encoding::encode(&parked) {
                Ok(body) if body.len() <= max_bytes => {
                    messages.push(Message { body, items: parked.items });
                    continue;
                }
                Ok(body) => body.len(),
                Err(bytes) => bytes,
            };
            // Dividing the content does not help if the fields around it are too large.
            let can_be_divided = parked.units() > 1
                && spare_bytes > 0
                && encoding::frame_bytes(&parked) <= max_bytes / 2;
            if can_be_divided {
                let (whole_bytes, half) = (parked.content.bytes(), parked.units().div_ceil(2));
                let (first, second) = parked.cut(half);
                let cut_bytes = first.content.bytes() + second.content.bytes();
                spare_bytes = spare_bytes.saturating_sub(cut_bytes.saturating_sub(whole_bytes));
                waiting.extend([second, first]);
            } else if let Some(message) = parked.cut_to_fit(max_bytes) {
                messages.push(message);
            } else {
                let parked = Box::new(parked);
                too_large.push(TooLargeForQueue { parked, encoded_bytes, max_bytes });
            }
        }
        (messages, too_large)
    }

    /// Decodes a message written by [`into_messages`](Self::into_messages) of this version or a later one.
    pub fn from_body(body: &str) -> Result<Self, encoding::NotParked> {
        encoding::decode(body)
    }

    /// Truncates the longest values of a single item that is larger than a message. Otherwise its event would return again and
    /// again, with all its neighbours. Returns `None` if that does not help.
    fn cut_to_fit(&self, max_bytes: usize) -> Option<Message> {
        let Content::Request(request) = &self.content else { return None };
        if request.items() != 1 {
            return None;
        }
        CUT_VALUE_BYTES.into_iter().find_map(|value_bytes| {
            let (request, cut) = request.with_values_cut(value_bytes);
            let reason = format!(
                "{}; {cut} values were cut to {value_bytes} bytes to fit a message",
                self.reason
            );
            let cut_parked = Parked { content: Content::Request(request), reason, ..self.clone() };
            let body = encoding::encode(&cut_parked).ok()?;
            let fits = cut > 0 && body.len() <= max_bytes;
            fits.then(|| {
                tracing::warn!(
                    item_bytes = self.content.bytes(),
                    values = cut,
                    value_bytes,
                    "a single item is larger than a message, its longest values are truncated"
                );
                Message { body, items: self.items }
            })
        })
    }
}
