//! Finds IPv4 and IPv6 addresses that the standard library accepts, also next to letters, points and colons: text that looks like an
//! address is hidden rather than shown.

use super::TextRange;
use super::needle::Letters;
use std::net::{Ipv4Addr, Ipv6Addr};

const MAX_IPV4_BYTES: usize = "255.255.255.255".len();
const MAX_IPV6_BYTES: usize = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255".len();
const MAX_IPV6_COLONS: usize = 8;

/// Returns `false` if no address can be in these bytes: IPv4 has three points between digits, IPv6 `::` or six colons.
pub(super) fn may_be_in(bytes: &[u8], letters: Letters) -> bool {
    const POINT: Letters = Letters::of(b".");
    const COLON: Letters = Letters::of(b":");
    const MAX_BETWEEN_POINTS: usize = "255".len();
    const MAX_BETWEEN_COLONS: usize = "ffff".len();
    let byte = |at: Option<usize>| at.and_then(|at| bytes.get(at)).copied().unwrap_or_default();
    let is_between_digits =
        |at: usize| byte(at.checked_sub(1)).is_ascii_digit() && byte(Some(at + 1)).is_ascii_digit();
    let points = || memchr::memchr_iter(b'.', bytes).filter(|at| is_between_digits(*at));
    let colons = || memchr::memchr_iter(b':', bytes);
    letters.has_any(POINT) && has_neighbours(points(), 3, MAX_BETWEEN_POINTS)
        || letters.has_any(COLON)
            && (has_neighbours(colons(), 6, MAX_BETWEEN_COLONS)
                || colons().any(|at| bytes.get(at + 1) == Some(&b':')))
}

/// Returns `true` if so many of these places follow each other with at most `most_between` bytes between two.
fn has_neighbours(places: impl Iterator<Item = usize>, many: usize, most_between: usize) -> bool {
    let mut last = 0;
    let mut count = 0;
    places.into_iter().any(|place| {
        let is_neighbour = count > 0 && place - last <= most_between + 1;
        count = if is_neighbour { count + 1 } else { 1 };
        last = place;
        count == many
    })
}

/// Finds addresses, without port, brackets and zone. Addresses may overlap: `1.2.3.4.5` has two.
pub(super) fn find(text: &str, found: &mut dyn FnMut(TextRange)) {
    let mut covered = 0;
    for part in runs(text.as_bytes()) {
        for start in part {
            let end = ipv6_end(text, start).max(ipv4_end(text, start));
            if let Some(end) = end.filter(|end| *end > covered) {
                found(start..end);
                covered = end;
            }
        }
    }
}

/// The runs of hexadecimal digits, points and colons that have enough points or colons for an address.
fn runs(bytes: &[u8]) -> impl Iterator<Item = TextRange> {
    const FEWEST_POINTS: usize = 3;
    const FEWEST_COLONS: usize = 2;
    let is_part = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
    let mut start = 0;
    let runs = bytes.split(move |byte| !is_part(byte)).map(move |run| {
        let range = start..start + run.len();
        start = range.end + 1;
        (run, range)
    });
    runs.filter_map(|(run, range)| {
        let count = |wanted: u8| memchr::memchr_iter(wanted, run).count();
        (count(b'.') >= FEWEST_POINTS || count(b':') >= FEWEST_COLONS).then_some(range)
    })
}

/// The end of the longest IPv6 address at `start`. After a word it begins with `::`. It contains a digit, unlike most code such as
/// `face::add`.
fn ipv6_end(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes().get(start..)?;
    let is_word = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_alphanumeric);
    if start.checked_sub(1).is_some_and(is_word) && !bytes.starts_with(b"::") {
        return None;
    }
    let mut colons = 0;
    let is_part = |byte: &&u8| {
        colons += usize::from(**byte == b':');
        colons <= MAX_IPV6_COLONS && (byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
    };
    let longest = bytes.iter().take(MAX_IPV6_BYTES).take_while(is_part).count();
    let has_groups = colons >= 6 || bytes.get(..longest)?.windows(2).any(|pair| pair == b"::");
    if !has_groups {
        return None;
    }
    let mut ends = (start..=start + longest).rev().filter(|end| !is_word(*end));
    let mut end = ends.find(|end| {
        let address = text.get(start..*end).unwrap_or_default();
        address.bytes().any(|byte| byte.is_ascii_digit()) && address.parse::<Ipv6Addr>().is_ok()
    })?;
    // A port after an address looks like a group of it.
    while let Some(after) = text.get(end..).and_then(|after| after.strip_prefix(':')) {
        let len = after.bytes().take_while(u8::is_ascii_hexdigit).count();
        if !(1..=4).contains(&len) || is_word(end + 1 + len) {
            break;
        }
        end += 1 + len;
    }
    Some(end)
}

/// The end of the IPv4 address at `start`.
fn ipv4_end(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    if !is_digit(start) || start.checked_sub(1).is_some_and(is_digit) {
        return None;
    }
    let is_part = |byte: &&u8| byte.is_ascii_digit() || **byte == b'.';
    let longest = bytes.get(start..)?.iter().take(MAX_IPV4_BYTES).take_while(is_part).count();
    (start..=start + longest).rev().filter(|end| !is_digit(*end)).find(|end| {
        text.get(start..*end).is_some_and(|address| address.parse::<Ipv4Addr>().is_ok())
    })
}
