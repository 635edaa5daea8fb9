//! Finds IPv4 and IPv6 addresses as the standard library reads them.

use super::Found;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Longer runs are no address.
const MOST_BYTES: usize = 64;

/// Gives each address, without port, brackets and zone.
pub(super) fn find(text: &str, found: &mut dyn FnMut(Found)) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(start) = next(bytes, at, is_address_byte) {
        let end = next(bytes, start, |byte| !is_address_byte(byte)).unwrap_or(bytes.len());
        let before = start.checked_sub(1).and_then(|at| bytes.get(at));
        let is_word = |byte: Option<&u8>| {
            byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        };
        // A `:` ends a word before it, as in `client:10.0.0.1`.
        let run = text.get(start..end).unwrap_or_default();
        let skipped = if is_word(before) && !run.starts_with("::") {
            run.find(':').map_or(run.len(), |colon| colon + 1)
        } else if is_word(before) {
            run.len()
        } else {
            0
        };
        if end - start <= MOST_BYTES && !is_word(bytes.get(end)) {
            let run = run.get(skipped..).unwrap_or_default();
            if let Some((offset, len)) = address(run) {
                let start = start + skipped + offset;
                found(start..start + len);
            }
        }
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

/// Where in the run an address stands; there is at most one.
fn address(run: &str) -> Option<(usize, usize)> {
    // The end of a sentence or a `key:` before it.
    let without_points = run.trim_end_matches('.');
    let trimmed = without_points.strip_suffix(':').filter(|r| !r.ends_with(':'));
    let trimmed = trimmed.unwrap_or(without_points);
    let bare = trimmed.trim_start_matches('.');
    let offset = trimmed.len() - bare.len();
    // `face::add` is code: an address without any digit is hardly ever one.
    let has_digit = bare.bytes().any(|byte| byte.is_ascii_digit());
    if let Ok(address) = bare.parse::<IpAddr>() {
        return (has_digit && is_meant(address)).then_some((offset, bare.len()));
    }
    // `10.0.0.1:443`, and `port:10.0.0.1` or `10:10.0.0.1`.
    if let Ok(SocketAddr::V4(socket)) = bare.parse::<SocketAddr>() {
        let len = bare.find(':')?;
        return is_meant(IpAddr::V4(*socket.ip())).then_some((offset, len));
    }
    let (head, last) = bare.rsplit_once(':')?;
    let address = last.parse::<Ipv4Addr>().ok()?;
    is_meant(IpAddr::V4(address)).then_some((offset + head.len() + 1, last.len()))
}

/// `120.0.0.0` is the version of a browser, `::` a path in code; neither names a host.
fn is_meant(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !matches!(address.octets(), [_, 0, 0, 0]),
        IpAddr::V6(address) => !address.is_unspecified(),
    }
}
