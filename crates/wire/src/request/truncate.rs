//! Shortens a request that is too large for a line or a queue message.

use super::Request;
use crate::edit::Rewrite;
use crate::field::{any_value, key_value};
use crate::protobuf::{Value, Writer, delimited, fields, len_of_delimited};
use crate::schema::{self, Kind, Message, Presence};
use crate::view::count;

/// The attribute of an item, a resource or a scope that lost a part without a mark of its own, such as attributes or links.
pub const TRUNCATED: &str = "lambda_otlp.truncated";

/// Maximum sizes within a message, in bytes.
#[derive(Clone, Copy)]
struct SizeLimits {
    /// Of a text or bytes.
    text: usize,
    /// Of all elements of a list, such as attributes, links or bucket counts. An element's own lists have half of it.
    list: usize,
}

/// The limits to try in turn: first texts become shorter, then lists. With the last ones, an item with its resource and scope has
/// less than 100 KB, whatever it contains.
const STEPS: [SizeLimits; 12] = {
    const KIB: usize = 1024;
    const fn texts(text: usize) -> SizeLimits {
        SizeLimits { text, list: usize::MAX }
    }
    const fn lists(text: usize, list: usize) -> SizeLimits {
        SizeLimits { text, list }
    }
    [
        texts(512 * KIB),
        texts(128 * KIB),
        texts(32 * KIB),
        texts(16 * KIB),
        texts(4 * KIB),
        texts(KIB),
        texts(256),
        lists(64 * KIB, 512 * KIB),
        lists(16 * KIB, 128 * KIB),
        lists(4 * KIB, 32 * KIB),
        lists(KIB, 8 * KIB),
        lists(128, KIB),
    ]
};

/// A request in which texts and lists were shortened. It has the same items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortened {
    pub request: Request,
    /// Number of texts that were shortened, and of parts that were left out.
    pub parts: usize,
}

impl Request {
    /// Returns shorter and shorter versions of the request. A shortened text ends with its removed length. An item, resource or
    /// scope that lost other parts gets the attribute [`TRUNCATED`], and OTLP's counts of dropped attributes, events and links.
    pub fn shortened(&self) -> impl Iterator<Item = Shortened> {
        let mut bytes = self.bytes().len();
        STEPS.into_iter().filter_map(move |limits| {
            let shortened = self.shortened_to(limits);
            let is_shorter = shortened.request.bytes().len() < bytes;
            bytes = bytes.min(shortened.request.bytes().len());
            is_shorter.then_some(shortened)
        })
    }

    fn shortened_to(&self, limits: SizeLimits) -> Shortened {
        let mut shortening = Shortening { limits, parts: 0, lost_unmarked: false };
        let place = MessagePlace {
            message: schema::request(self.kind()),
            path: Some(self.kind().path_to_items()),
            list_bytes: limits.list,
        };
        let rewritten = shortening.message(place, self.bytes());
        let bytes = rewritten.unwrap_or_else(|| self.bytes().to_vec());
        Shortened { request: self.part(bytes, self.items()), parts: shortening.parts }
    }
}

/// A message in the request.
#[derive(Clone, Copy)]
struct MessagePlace {
    message: &'static Message,
    /// The way to the items below, empty for an item. `None` for messages that are not on this way.
    path: Option<&'static [&'static [u32]]>,
    list_bytes: usize,
}

enum FieldFate {
    Keep,
    Replace(Vec<u8>),
    LeaveOut,
}

/// The shortening of one request.
struct Shortening {
    limits: SizeLimits,
    parts: usize,
    /// `true` if the present item, resource or scope lost a part that leaves no mark in a text.
    lost_unmarked: bool,
}

impl Shortening {
    /// Returns the rewritten message; `None` if it is unchanged.
    fn message(&mut self, place: MessagePlace, bytes: &[u8]) -> Option<Vec<u8>> {
        let is_marked = place.path.is_some_and(<[_]>::is_empty) || schema::is_head(place.message);
        let lost_outside = is_marked && std::mem::take(&mut self.lost_unmarked);
        let mut list =
            ListBytes { place, loses_numbers: loses_numbers(place, bytes), used: Vec::new() };
        let mut rewrite = Rewrite::new(bytes);
        let mut left_out: Vec<LeftOut> = Vec::new();
        for field in fields(bytes) {
            match self.field(&mut list, field) {
                FieldFate::Keep => rewrite.keep(&field),
                FieldFate::Replace(content) => {
                    rewrite.leave_out(&field);
                    rewrite.append().always_bytes(field.number, &content);
                }
                FieldFate::LeaveOut => {
                    rewrite.leave_out(&field);
                    if let Some(counter) = schema::count_of_dropped(place.message, field.number) {
                        match left_out.iter_mut().find(|known| known.counter == counter) {
                            Some(known) => known.elements += 1,
                            None => left_out.push(LeftOut { counter, elements: 1 }),
                        }
                    }
                }
            }
        }
        let mut rewritten = rewrite.finish();
        if let Some(message) = rewritten.as_mut().filter(|_| !left_out.is_empty()) {
            *message = count_left_out(message, left_out);
        }
        if is_marked {
            let lost_here = std::mem::replace(&mut self.lost_unmarked, lost_outside);
            let attributes = schema::attributes(place.message).filter(|_| lost_here);
            if let Some((message, attributes)) = rewritten.as_mut().zip(attributes) {
                push_mark(message, attributes);
            }
        }
        rewritten
    }

    fn field(&mut self, list: &mut ListBytes, field: crate::protobuf::Field<'_>) -> FieldFate {
        let MessagePlace { message, path, list_bytes } = list.place;
        let known = message.field(field.number);
        if let (Some([level, deeper @ ..]), Some(content)) = (path, field.as_len())
            && level.contains(&field.number)
            && let Some(Kind::Message(inner)) = known.map(|known| known.kind)
        {
            // A metric without data points is no loss.
            if count(content, deeper) == 0 {
                return FieldFate::LeaveOut;
            }
            let inner = MessagePlace { message: inner, path: Some(deeper), list_bytes };
            return self.message(inner, content).map_or(FieldFate::Keep, FieldFate::Replace);
        }
        let is_repeated = known.is_some_and(|known| known.presence == Presence::Repeated);
        let change = match (known.map(|known| known.kind), field.value) {
            // A short message contains nothing long.
            (Some(Kind::Message(inner)), Value::Len(content))
                if content.len() > self.limits.text =>
            {
                let list_bytes = if is_repeated { list_bytes / 2 } else { list_bytes };
                let inner = MessagePlace { message: inner, path: None, list_bytes };
                self.message(inner, content).map_or(FieldFate::Keep, FieldFate::Replace)
            }
            (Some(Kind::String), Value::Len(text)) if text.len() > self.limits.text => {
                self.parts += 1;
                FieldFate::Replace(shorten(text, self.limits.text).into_bytes())
            }
            (Some(Kind::Bytes | Kind::Id), Value::Len(bytes)) if bytes.len() > self.limits.text => {
                self.parts += 1;
                self.lost_unmarked = true;
                let kept = bytes.get(..self.limits.text).unwrap_or_default();
                FieldFate::Replace(kept.to_vec())
            }
            (Some(kind), _) if is_repeated && is_number(kind) && list.loses_numbers => {
                FieldFate::LeaveOut
            }
            _ => FieldFate::Keep,
        };
        let bytes = match &change {
            FieldFate::Keep => field.raw.len(),
            FieldFate::Replace(content) => len_of_delimited(field.number, content.len()),
            FieldFate::LeaveOut => 0,
        };
        // Unknown fields share one limit.
        let number = known.map_or(0, |known| known.number);
        let is_single_message =
            !is_repeated && matches!(known.map(|known| known.kind), Some(Kind::Message(_)));
        if !matches!(change, FieldFate::LeaveOut) && list.try_add(number, bytes, is_single_message)
        {
            return change;
        }
        self.parts += 1;
        self.lost_unmarked = true;
        FieldFate::LeaveOut
    }
}

/// Number of elements of a list that were left out.
struct LeftOut {
    /// The number of the field that counts them.
    counter: u32,
    elements: u64,
}

/// Adds the numbers of elements that were left out to what a message says about them.
fn count_left_out(message: &[u8], mut left_out: Vec<LeftOut>) -> Vec<u8> {
    let mut rewrite = Rewrite::new(message);
    for field in fields(message) {
        let counter = left_out.iter_mut().find(|it| it.counter == field.number);
        if let (Some(counter), Value::Varint(before)) = (counter, field.value) {
            counter.elements = counter.elements.saturating_add(before);
            rewrite.leave_out(&field);
        } else {
            rewrite.keep(&field);
        }
    }
    for LeftOut { counter, elements } in left_out {
        rewrite.append().varint(counter, elements.min(u64::from(u32::MAX)));
    }
    rewrite.finish().unwrap_or_default()
}

/// The lists of one message.
struct ListBytes {
    place: MessagePlace,
    /// `true` if its lists of numbers are left out, all together: bounds without counts mean nothing.
    loses_numbers: bool,
    used: Vec<UsedBytes>,
}

/// Bytes of the elements of a list so far.
struct UsedBytes {
    /// The list's field number.
    number: u32,
    bytes: usize,
}

impl ListBytes {
    /// Adds an element, or returns `false` if there is no room. A message that should occur once contains several lists.
    fn try_add(&mut self, number: u32, bytes: usize, is_single_message: bool) -> bool {
        const MAX_LISTS: usize = 4;
        let lists = if is_single_message { MAX_LISTS } else { 1 };
        let max_bytes = self.place.list_bytes.saturating_mul(lists);
        let found = self.used.iter().position(|known| known.number == number);
        let at = found.unwrap_or_else(|| {
            self.used.push(UsedBytes { number, bytes: 0 });
            self.used.len() - 1
        });
        let Some(used) = self.used.get_mut(at) else { return false };
        let has_room = used.bytes.saturating_add(bytes) <= max_bytes;
        if has_room {
            used.bytes += bytes;
        }
        has_room
    }
}

/// Returns `true` if a list of numbers in the message has more bytes than its limit.
fn loses_numbers(place: MessagePlace, bytes: &[u8]) -> bool {
    let lists = place
        .message
        .fields
        .iter()
        .filter(|field| field.presence == Presence::Repeated && is_number(field.kind));
    lists.into_iter().any(|list| {
        let elements = fields(bytes).filter(|field| field.number == list.number);
        elements.map(|field| field.raw.len()).sum::<usize>() > place.list_bytes
    })
}

fn is_number(kind: Kind) -> bool {
    !matches!(kind, Kind::String | Kind::Bytes | Kind::Id | Kind::Message(_))
}

/// Appends the attribute [`TRUNCATED`] to a message, once.
fn push_mark(message: &mut Vec<u8>, attributes: u32) {
    let mut mark = Vec::new();
    delimited(&mut mark, attributes, |pair| {
        Writer::new(pair).string(key_value::KEY, TRUNCATED);
        delimited(pair, key_value::VALUE, |value| {
            Writer::new(value).always_varint(any_value::BOOL, 1);
        });
    });
    if !fields(message).any(|field| field.raw == mark) {
        message.extend_from_slice(&mark);
    }
}

fn shorten(text: &[u8], max_bytes: usize) -> String {
    shortened_text(std::str::from_utf8(text).unwrap_or_default(), max_bytes)
}

/// Returns the beginning of a text that is longer than `max_bytes`, with a mark that has the removed length.
pub fn shortened_text(text: &str, max_bytes: usize) -> String {
    let mark = format!("…[{} bytes truncated]", text.len() - max_bytes.min(text.len()));
    let kept_bytes = max_bytes.saturating_sub(mark.len());
    let is_end = |at: &usize| text.is_char_boundary(*at);
    let end = (0..=kept_bytes.min(text.len())).rev().find(is_end).unwrap_or_default();
    let kept = text.get(..end).unwrap_or_default();
    format!("{kept}{mark}")
}
