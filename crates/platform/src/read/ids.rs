//! Reads request ids and X-Ray trace roots.

use std::borrow::Cow;

pub(crate) const UUID_BYTES: usize = 36;

/// Returns `true` if the text is a UUID as Lambda writes request ids, in either case.
pub(crate) fn is_uuid(text: &str) -> bool {
    let Ok(bytes) = <&[u8; UUID_BYTES]>::try_from(text.as_bytes()) else { return false };
    // Reading all bytes is faster than stopping at the first mismatch.
    let hex = bytes.iter().map(|byte| u8::from(byte.is_ascii_hexdigit())).sum::<u8>();
    let dashes = [bytes[8], bytes[13], bytes[18], bytes[23]];
    hex == 32 && dashes == *b"----"
}

/// A request id in canonical form: a UUID in lower case. Ids of local Lambda emulators, which follow no format, stay unchanged.
pub(crate) fn request_id_of(text: &str) -> String {
    if is_uuid(text) { text.to_ascii_lowercase() } else { text.to_owned() }
}

pub(crate) fn lower_case(id: &str) -> Cow<'_, str> {
    let has_capitals = match <&[u8; UUID_BYTES]>::try_from(id.as_bytes()) {
        // Reads all bytes, too.
        Ok(id) => id.iter().map(|byte| u8::from(byte.is_ascii_uppercase())).sum::<u8>() > 0,
        Err(_) => id.bytes().any(|byte| byte.is_ascii_uppercase()),
    };
    if has_capitals { Cow::Owned(id.to_ascii_lowercase()) } else { Cow::Borrowed(id) }
}

/// The root in an X-Ray header, or the text itself if it is a root: `1-<8 hex>-<24 hex>`.
pub(crate) fn xray_root(text: &str) -> Option<String> {
    let root =
        text.split(';').find_map(|field| field.trim().strip_prefix("Root=")).unwrap_or(text).trim();
    let hex = root.strip_prefix("1-")?;
    let (epoch, unique) = hex.split_once('-')?;
    let is_hex = |text: &str, length| {
        text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    (is_hex(epoch, 8) && is_hex(unique, 24)).then(|| root.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_xray_root_is_8_and_24_hexadecimal_digits() {
        const ROOT: &str = "1-6352a70e-1e2c502e358361800241fd45";
        for text in [ROOT, "Root=1-6352a70e-1e2c502e358361800241fd45;Sampled=1"] {
            assert_eq!(xray_root(text).as_deref(), Some(ROOT));
        }
        for text in [
            "1-6352a70e-1e2c502e358361800241fd4",
            "1-6352a70e-1e2c502e358361800241fd4x",
            "1-6352a70-1e2c502e358361800241fd45",
            "1-6352a70x-1e2c502e358361800241fd45",
            "2-6352a70e-1e2c502e358361800241fd45",
            "6352a70e-1e2c502e358361800241fd45",
        ] {
            assert_eq!(xray_root(text), None, "{text}");
        }
    }

    #[test]
    fn request_ids_are_lowercased() {
        const ID: &str = "8f507cfc-c7a1-4d2e-8c3b-0d4b8f1e9a11";
        for id in [ID, "an-id-of-an-emulator"] {
            assert_eq!(lower_case(&id.to_ascii_uppercase()), id);
            assert!(matches!(lower_case(id), Cow::Borrowed(same) if same == id));
        }
    }
}
