//! Counts the items below a message.

use crate::protobuf::fields;

/// Counts the items below the checked `message`.
pub(super) fn count(message: &[u8], path: &[&[u32]]) -> usize {
    let Some((level, deeper)) = path.split_first() else { return 1 };
    fields(message)
        .filter(|field| level.contains(&field.number))
        .filter_map(|field| field.as_len())
        .map(|inner| count(inner, deeper))
        .sum()
}
