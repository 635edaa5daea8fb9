//! Parses one log event of a delivery, and tolerates odd texts, ids and extracted fields.

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

#[derive(Deserialize)]
pub(super) struct RawEvent {
    #[serde(default)]
    pub(super) id: Id,
    pub(super) timestamp: i64,
    pub(super) message: LossyText,
    #[serde(default, rename = "extractedFields", deserialize_with = "extracted_fields")]
    pub(super) extracted_fields: Option<ExtractedFields>,
}

/// The origin of a log event in a log group that collects logs of several accounts (CloudWatch Logs User Guide, "Cross-account
/// cross-Region log centralization").
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct ExtractedFields {
    #[serde(default, rename = "@aws.account")]
    pub(super) account: Option<String>,
    #[serde(default, rename = "@aws.region")]
    pub(super) region: Option<String>,
}

/// Parses the extracted fields. An unknown shape counts as none.
fn extracted_fields<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<ExtractedFields>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Extracted {
        Fields(ExtractedFields),
        Other(IgnoredAny),
    }
    Ok(match Extracted::deserialize(deserializer)? {
        Extracted::Fields(fields) => Some(fields),
        Extracted::Other(_) => None,
    })
}

/// Text with U+FFFD in place of an unpaired surrogate, which is valid in JSON and not in UTF-8. One such message must not fail
/// the delivery.
pub(super) struct LossyText(pub(super) String);

impl<'de> Deserialize<'de> for LossyText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = LossyText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<LossyText, E> {
                // The lossy conversion takes twenty times as long and is rarely needed.
                let text = std::str::from_utf8(bytes)
                    .map_or_else(|_| String::from_utf8_lossy(bytes).into_owned(), str::to_owned);
                Ok(LossyText(text))
            }
        }
        deserializer.deserialize_bytes(Text)
    }
}

/// An id: a string, or a number from AWS emulators. Other values become an empty id.
#[derive(Default)]
pub(super) struct Id(pub(super) String);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Id;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id")
            }

            fn visit_str<E>(self, text: &str) -> Result<Id, E> {
                Ok(Id(text.to_owned()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Id, E> {
                Ok(Id(number.to_string()))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Id, E> {
                Ok(Id::default())
            }

            fn visit_f64<E>(self, _: f64) -> Result<Id, E> {
                Ok(Id::default())
            }

            fn visit_bool<E>(self, _: bool) -> Result<Id, E> {
                Ok(Id::default())
            }

            fn visit_unit<E>(self) -> Result<Id, E> {
                Ok(Id::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Id, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Id::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Id, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Id::default())
            }
        }
        deserializer.deserialize_any(Any)
    }
}
