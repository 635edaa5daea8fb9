//! Finds IPv4 and IPv6 addresses that the standard library accepts.

use super::TextRange;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Longest IPv6 address: `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`.
const MOST_IPV6_BYTES: usize = 45;

/// Finds addresses, without port, brackets and zone.
pub(super) fn find(text: &str, found: &mut dyn FnMut(TextRange)) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(start) = next(bytes, at, is_address_byte) {
        let end = next(bytes, start, |byte| !is_address_byte(byte)).unwrap_or(bytes.len());
        in_run(text, &(start..end), found);
        at = end;
    }
}

fn next(bytes: &[u8], from: usize, is_wanted: impl Fn(u8) -> bool) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.iter().position(|byte| is_wanted(*byte)).map(|offset| from + offset)
}

fn is_address_byte(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || byte == b'.' || byte == b':'
}

/// Finds the addresses in a run of hexadecimal digits, points and colons.
fn in_run(text: &str, run: &TextRange, found: &mut dyn FnMut(TextRange)) {
    let content = text.get(run.clone()).unwrap_or_default();
    let colons = content.bytes().filter(|byte| *byte == b':').count();
    let mut rest = run.start;
    // IPv6 first, because an IPv6 address may end with an IPv4 address.
    if colons >= 6 || content.contains("::") {
        let mut at = run.start;
        while at < run.end {
            let address = ipv6_end(text, at, run).map(|end| groups_end(text, &(at..end), run));
            if let Some(end) = address {
                ipv4_addresses(text, &(rest..at), found);
                found(at..end);
                rest = end;
            }
            at = address.unwrap_or(at + 1);
        }
    }
    ipv4_addresses(text, &(rest..run.end), found);
}

fn byte(text: &str, at: usize) -> Option<u8> {
    text.as_bytes().get(at).copied()
}

fn is_alphanumeric(byte: Option<u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric())
}

/// The end of the IPv6 address at `start`. It may follow `client:` and precede `:error`, but `std::f64::abs` contains none.
fn ipv6_end(text: &str, start: usize, run: &TextRange) -> Option<usize> {
    let before = |back: usize| start.checked_sub(back).and_then(|at| byte(text, at));
    let is_behind_word = start == run.start && is_alphanumeric(before(1));
    let may_begin = match before(1) {
        _ if is_behind_word => text.get(start..)?.starts_with("::"),
        Some(b':') => before(2) != Some(b':'),
        // After another digit, it is the end of an IPv4 address.
        Some(b'.') => !before(2).is_some_and(|byte| byte.is_ascii_digit()),
        _ => start == run.start,
    };
    let may_end = |end: usize| match byte(text, end) {
        _ if is_behind_word => end == run.end && !is_alphanumeric(byte(text, end)),
        Some(b':') => byte(text, end + 1) != Some(b':'),
        Some(b'.') => !byte(text, end + 1).is_some_and(|byte| byte.is_ascii_digit()),
        next => !is_alphanumeric(next),
    };
    if !may_begin {
        return None;
    }
    // `arn:aws:s3:::e2e` names a bucket.
    let is_bucket = before(1) == Some(b':') && text.get(..start)?.ends_with(":s3:");
    if is_bucket {
        return None;
    }
    let longest = run.end.min(start + MOST_IPV6_BYTES);
    (start + 2..=longest).rev().filter(|end| may_end(*end)).find(|end| {
        let address = text.get(start..*end).unwrap_or_default();
        // `face::add` is code. Real addresses nearly always contain a digit.
        address.bytes().any(|byte| byte.is_ascii_digit())
            && address.parse::<Ipv6Addr>().is_ok_and(|address| !address.is_unspecified())
    })
}

/// The end of the groups behind an IPv6 address of eight groups. Eight of nine groups may be the first, before a port, or the last,
/// behind `app.py:42:`, so all are redacted.
fn groups_end(text: &str, address: &TextRange, run: &TextRange) -> usize {
    let mut end = address.end;
    if text.get(address.clone()).is_none_or(|address| address.contains("::")) {
        return end;
    }
    while byte(text, end) == Some(b':') {
        let group = text.get(end + 1..run.end).unwrap_or_default();
        let len = group.bytes().take_while(u8::is_ascii_hexdigit).count();
        let next = end + 1 + len;
        if !(1..=4).contains(&len) || is_alphanumeric(byte(text, next)) {
            break;
        }
        end = next;
    }
    end
}

/// Finds the IPv4 addresses in a part of the text.
fn ipv4_addresses(text: &str, part: &TextRange, found: &mut dyn FnMut(TextRange)) {
    let is_digit = |at: usize| byte(text, at).is_some_and(|byte| byte.is_ascii_digit());
    let mut at = part.start;
    while at + "0.0.0.0".len() <= part.end {
        let before = at.checked_sub(1);
        let is_begun = before.is_some_and(|before| {
            // Five numbers are a version.
            let is_point = byte(text, before) == Some(b'.');
            is_alphanumeric(byte(text, before))
                || is_point && before.checked_sub(1).is_some_and(is_digit)
        });
        let end = if is_begun || !is_digit(at) { None } else { ipv4_end(text, at) };
        if let Some(end) = end {
            found(at..end);
        }
        at = end.unwrap_or(at + 1);
    }
}

fn ipv4_end(text: &str, start: usize) -> Option<usize> {
    let is_digit = |at: usize| byte(text, at).is_some_and(|byte| byte.is_ascii_digit());
    let mut end = start;
    for number in 0..4 {
        if number > 0 {
            byte(text, end).filter(|byte| *byte == b'.')?;
            end += 1;
        }
        let digits = (0..4).take_while(|offset| is_digit(end + offset)).count();
        end += digits;
    }
    let is_continued =
        is_alphanumeric(byte(text, end)) || byte(text, end) == Some(b'.') && is_digit(end + 1);
    let address = text.get(start..end)?.parse::<Ipv4Addr>().ok()?;
    // `120.0.0.0` is a browser version.
    (!is_continued && !matches!(address.octets(), [_, 0, 0, 0])).then_some(end)
}
