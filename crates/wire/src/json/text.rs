//! Reads JSON strings in their source form.

use std::borrow::Cow;

/// The content of a JSON string; `None` for other JSON.
///
/// Half a surrogate pair, which JavaScript writes if it cuts a text within a character, becomes U+FFFD.
pub(crate) fn text(raw: &str) -> Option<Cow<'_, str>> {
    let content = raw.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', content.as_bytes()).is_none() {
        return Some(Cow::Borrowed(content));
    }
    let whole = serde_json::from_str::<String>(raw).ok();
    whole.or_else(|| lossy(raw)).map(Cow::Owned)
}

fn lossy(raw: &str) -> Option<String> {
    struct Bytes(Vec<u8>);
    impl<'de> serde::Deserialize<'de> for Bytes {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl serde::de::Visitor<'_> for Visitor {
                type Value = Bytes;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("text")
                }
                fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                    Ok(Bytes(bytes.to_vec()))
                }
            }
            deserializer.deserialize_bytes(Visitor)
        }
    }
    let bytes = serde_json::from_str::<Bytes>(raw).ok()?.0;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
