//! Counts, visits and splits the items below a message.

use crate::protobuf::{Reader, Writer};

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

/// Copies the first `left` items of `message` to `first` and the others to `second`. Fields that lead to no item go to both,
/// messages without items to neither.
pub(super) fn split_message(
    message: &[u8],
    path: &[&[u32]],
    left: &mut usize,
    first: &mut Vec<u8>,
    second: &mut Vec<u8>,
) {
    let Some((level, deeper)) = path.split_first() else { return };
    for field in Reader::new(message).map_while(Result::ok) {
        let inner = match field.as_len() {
            Some(inner) if level.contains(&field.number) => inner,
            _ => {
                first.extend_from_slice(field.raw);
                second.extend_from_slice(field.raw);
                continue;
            }
        };
        let items = count(inner, deeper);
        if items == 0 {
            continue;
        }
        if items <= *left {
            *left -= items;
            first.extend_from_slice(field.raw);
        } else if *left == 0 {
            second.extend_from_slice(field.raw);
        } else {
            let (mut inner_first, mut inner_second) = (Vec::new(), Vec::new());
            split_message(inner, deeper, left, &mut inner_first, &mut inner_second);
            Writer::new(first).always_bytes(field.number, &inner_first);
            Writer::new(second).always_bytes(field.number, &inner_second);
        }
    }
}
