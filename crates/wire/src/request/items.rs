//! Counts and visits the items below a message.

use crate::protobuf::Reader;

/// Counts the items below the checked `message`.
pub(super) fn count(message: &[u8], path: &[&[u32]]) -> usize {
    let Some((level, deeper)) = path.split_first() else { return 1 };
    Reader::new(message)
        .map_while(Result::ok)
        .filter(|field| level.contains(&field.number))
        .filter_map(|field| field.as_len())
        .map(|inner| count(inner, deeper))
        .sum()
}

/// Visits the items below the checked `message`.
pub(super) fn each_item(message: &[u8], path: &[&[u32]], take: &mut dyn FnMut(&[u8])) {
    let Some((level, deeper)) = path.split_first() else { return take(message) };
    let fields = Reader::new(message).map_while(Result::ok);
    for field in fields.filter(|field| level.contains(&field.number)) {
        if let Some(inner) = field.as_len() {
            each_item(inner, deeper, take);
        }
    }
}
