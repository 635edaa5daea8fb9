//! The spelling in which OpenObserve stores keys. Keys with the same spelling fill the same column.

/// Returns a key as OpenObserve stores it: lower case, and `_` for everything but letters, digits and `_`. Letters and digits
/// beyond ASCII stay. Letters without case, as in Chinese, become `_`, except in a key of lower-case letters and digits alone.
///
/// Source: OpenObserve, `config::utils::flatten::format_key`.
pub fn stored_key(key: &[u8]) -> impl Iterator<Item = u8> {
    let ascii = if key.is_ascii() { key } else { &[] };
    let other = if key.is_ascii() { String::new() } else { stored_text(key) };
    ascii.iter().copied().map(stored_byte).chain(other.into_bytes())
}

fn stored_text(key: &[u8]) -> String {
    let stored = |c: char| match c {
        c if c.is_lowercase() || c.is_numeric() => c,
        c if c.is_uppercase() => c.to_lowercase().next().unwrap_or(c),
        _ => '_',
    };
    String::from_utf8_lossy(key).chars().map(stored).collect()
}

/// Returns a byte of a key as OpenObserve stores it: lower case, and `_` for everything but letters, digits and `_`.
pub const fn stored_byte(byte: u8) -> u8 {
    match byte.to_ascii_lowercase() {
        byte @ (b'a'..=b'z' | b'0'..=b'9') => byte,
        _ => b'_',
    }
}

/// Returns a stream's name as OpenObserve stores it: lower case, and each run of other characters than ASCII letters, digits, `_`
/// and `:` becomes one `_`.
pub fn stored_stream(name: &str) -> String {
    let mut stream = String::with_capacity(name.len());
    let mut is_in_run = false;
    for c in name.chars() {
        let is_allowed = c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
        if is_allowed || !is_in_run {
            stream.push(if is_allowed { c.to_ascii_lowercase() } else { '_' });
        }
        is_in_run = !is_allowed;
    }
    stream
}
