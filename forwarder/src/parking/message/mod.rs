//! Divides what is parked into messages that a queue takes.

use super::encoding::{self, TooManyBytes};
use super::parked::{Content, Parked};
use std::fmt;

/// Largest message that is sent to a queue. SQS takes 1 MiB (Amazon SQS Developer Guide, "Message quotas"); the rest is
/// for whoever wraps the message once more.
pub const MAX_MESSAGE_BYTES: usize = 900 * 1024;

/// A cut repeats the resource, scope and metric of the items around it. All cuts of one request may together repeat
/// this many times its size; where they would repeat more, cutting helps nobody.
const MOST_GROWTH: usize = 4;

/// The values of a single item that fits no message are cut to the first of these lengths with which it does.
const CUT_VALUE_BYTES: [usize; 5] = [512 * 1024, 128 * 1024, 16 * 1024, 1024, 128];

/// A message as a queue takes it.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// The JSON text.
    pub body: String,
    /// Items that it stands for.
    pub items: usize,
}

impl fmt::Debug for Message {
    /// Sizes only: the content is a customer's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({} items, {} bytes)", self.items, self.body.len())
    }
}

/// What fits no message and cannot be divided.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} of {} items has {encoded_bytes} bytes as a message, at most {max_bytes} are sent",
    parked.content.name(), parked.items
)]
pub struct TooLarge {
    /// It, unchanged.
    pub parked: Box<Parked>,
    /// Its size as one message; for content that inflates to more than is read back, as it is.
    pub encoded_bytes: usize,
    /// The largest message.
    pub max_bytes: usize,
}

impl Parked {
    /// Messages of at most `max_bytes`, divided between items (or log events) where one does not suffice. The items of
    /// all messages and of what is too large add up to `items`, and each message can be read back.
    pub fn into_messages(self, max_bytes: usize) -> (Vec<Message>, Vec<TooLarge>) {
        let mut divided = Divided { max_bytes, ..Divided::default() };
        divided.spare_bytes = MOST_GROWTH.saturating_mul(self.content_bytes());
        divided.add(self);
        (divided.messages, divided.too_large)
    }

    /// Reads what [`into_messages`](Self::into_messages) wrote, this version's or a later one's.
    pub fn from_body(body: &str) -> Result<Self, encoding::NotParked> {
        encoding::decode(body)
    }
}

/// Messages made so far.
#[derive(Default)]
struct Divided {
    max_bytes: usize,
    /// What cuts may still add to the content.
    spare_bytes: usize,
    messages: Vec<Message>,
    too_large: Vec<TooLarge>,
}

impl Divided {
    fn add(&mut self, parked: Parked) {
        let mut waiting = vec![parked];
        while let Some(parked) = waiting.pop() {
            let encoded_bytes = match encoding::encode(&parked) {
                Ok(body) if body.len() <= self.max_bytes => {
                    self.messages.push(Message { body, items: parked.items });
                    continue;
                }
                Ok(body) => body.len(),
                Err(TooManyBytes(bytes)) => bytes,
            };
            // Where the names around the content leave it no room, dividing the content does not help either.
            let can_be_divided = parked.units() > 1
                && self.spare_bytes > 0
                && encoding::frame_bytes(&parked) <= self.max_bytes / 2;
            if can_be_divided {
                let pieces = self.divide(parked, encoded_bytes);
                waiting.extend(pieces.into_iter().rev());
            } else if let Some(message) = self.cut_to_fit(&parked) {
                self.messages.push(message);
            } else {
                let (parked, max_bytes) = (Box::new(parked), self.max_bytes);
                self.too_large.push(TooLarge { parked, encoded_bytes, max_bytes });
            }
        }
    }

    /// A single item that is larger than a message, with its longest values cut: whole it has a place nowhere, and would bring its
    /// event back again and again, with the neighbours that have one. `None` where it is no such item, or has too many values.
    fn cut_to_fit(&self, parked: &Parked) -> Option<Message> {
        let Content::Request(request) = &parked.content else { return None };
        if request.items() != 1 {
            return None;
        }
        CUT_VALUE_BYTES.into_iter().find_map(|value_bytes| {
            let (request, cut) = request.with_values_cut(value_bytes);
            let reason = format!(
                "{}; {cut} values were cut to {value_bytes} bytes to fit a message",
                parked.reason
            );
            let cut_parked =
                Parked { content: Content::Request(request), reason, ..parked.clone() };
            let body = encoding::encode(&cut_parked).ok()?;
            let fits = cut > 0 && body.len() <= self.max_bytes;
            fits.then(|| {
                tracing::warn!(
                    item_bytes = parked.content_bytes(),
                    values = cut,
                    value_bytes,
                    "a single item is larger than a message: its longest values are cut"
                );
                Message { body, items: parked.items }
            })
        })
    }

    /// As many pieces as would fit were all units alike, two at least; one that does not fit is divided again.
    fn divide(&mut self, parked: Parked, encoded_bytes: usize) -> Vec<Parked> {
        let units = parked.units();
        let pieces = encoded_bytes.div_ceil(self.max_bytes.max(1)).clamp(2, units);
        let units_each = units.div_ceil(pieces);
        let mut divided = Vec::with_capacity(pieces);
        let mut rest = parked;
        while rest.units() > units_each && self.spare_bytes > 0 {
            let whole_bytes = rest.content_bytes();
            let (first, second) = rest.cut(units_each);
            let cut_bytes = first.content_bytes() + second.content_bytes();
            self.spare_bytes =
                self.spare_bytes.saturating_sub(cut_bytes.saturating_sub(whole_bytes));
            divided.push(first);
            rest = second;
        }
        divided.push(rest);
        divided
    }
}

#[cfg(test)]
mod tests;
