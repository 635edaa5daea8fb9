//! Reads log events of a delivery.
//!
//! Only texts and numbers are kept: an array of numbers as a value would take sixteen times its size. An unexpected value of a
//! field must not prevent that the message and its neighbours are read.

use super::Origin;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// Limit on ids and names. CloudWatch's have at most 512 characters.
pub(super) const MAX_NAME_BYTES: usize = 2048;

#[derive(Deserialize)]
pub(super) struct LogEventJson {
    #[serde(default)]
    id: Kept,
    #[serde(default)]
    timestamp: Kept,
    pub(super) message: LossyText,
    #[serde(default, rename = "extractedFields")]
    extracted: Kept,
}

impl LogEventJson {
    pub(super) fn timestamp_ms(&self) -> i64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "milliseconds"
        )]
        match self.timestamp {
            Kept::Signed(millis) => millis,
            Kept::Unsigned(millis) => i64::try_from(millis).unwrap_or(millis as f64 as i64),
            Kept::Float(millis) => millis as i64,
            Kept::Text(_) | Kept::Origin(_) | Kept::Other => 0,
        }
    }

    /// The id; empty if it is none.
    pub(super) fn take_id(&mut self) -> String {
        match std::mem::take(&mut self.id) {
            Kept::Text(text) => text,
            // From AWS emulators.
            Kept::Unsigned(number) => number.to_string(),
            _ => String::new(),
        }
    }

    pub(super) fn take_extracted(&mut self) -> ExtractedOrigin {
        match std::mem::take(&mut self.extracted) {
            Kept::Origin(fields) => ExtractedOrigin { fields: Some(fields) },
            _ => ExtractedOrigin { fields: None },
        }
    }
}

/// A text of at most [`MAX_NAME_BYTES`], a number, or an object's fields of an origin.
#[derive(Default)]
enum Kept {
    Text(String),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Origin(Box<OriginFields>),
    #[default]
    Other,
}

impl<'de> Deserialize<'de> for Kept {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeptVisitor)
    }
}

struct KeptVisitor;

impl<'de> Visitor<'de> for KeptVisitor {
    type Value = Kept;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Kept, E> {
        let is_short = text.len() <= MAX_NAME_BYTES;
        Ok(if is_short { Kept::Text(text.to_owned()) } else { Kept::Other })
    }

    fn visit_u64<E>(self, number: u64) -> Result<Kept, E> {
        Ok(Kept::Unsigned(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Kept, E> {
        Ok(Kept::Signed(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Kept, E> {
        Ok(Kept::Float(number))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Kept, E> {
        Ok(Kept::Other)
    }

    fn visit_unit<E>(self) -> Result<Kept, E> {
        Ok(Kept::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<Kept, A::Error> {
        IgnoredAny.visit_seq(elements)?;
        Ok(Kept::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kept, A::Error> {
        let mut fields = OriginFields::default();
        while let Some(key) = map.next_key::<Kept>()? {
            let known = match &key {
                Kept::Text(key) => fields.value_of(key),
                _ => None,
            };
            match known {
                None => drop(map.next_value::<IgnoredAny>()?),
                Some(value) => {
                    *value = match map.next_value()? {
                        Kept::Text(text) => Some(text),
                        _ => None,
                    };
                }
            }
        }
        let is_empty = fields == OriginFields::default();
        Ok(if is_empty { Kept::Other } else { Kept::Origin(Box::new(fields)) })
    }
}

/// The origin of a log event in a log group that collects logs of several accounts: the system fields of a subscription filter
/// (CloudWatch Logs API Reference, `PutSubscriptionFilter`, `emitSystemFields`; User Guide, "Cross-account cross-Region log
/// centralization"). The other fields are the words of a filter pattern, which differ in each log event.
#[derive(Default, PartialEq, Eq)]
pub(super) struct ExtractedOrigin {
    fields: Option<Box<OriginFields>>,
}

#[derive(Default, PartialEq, Eq)]
struct OriginFields {
    account: Option<String>,
    region: Option<String>,
    log_group: Option<String>,
}

impl OriginFields {
    fn value_of(&mut self, key: &str) -> Option<&mut Option<String>> {
        match key {
            "@aws.account" => Some(&mut self.account),
            "@aws.region" => Some(&mut self.region),
            "@source.log" => Some(&mut self.log_group),
            _ => None,
        }
    }
}

impl ExtractedOrigin {
    /// The origin of a log event in this delivery.
    pub(super) fn within(&self, delivery: &Origin) -> Origin {
        let Some(fields) = self.fields.as_deref() else { return delivery.clone() };
        let account = fields.account.as_ref().unwrap_or(&delivery.account);
        let region = fields.region.as_ref().unwrap_or(&delivery.region);
        // With or without `ACCOUNT:` before its name.
        let log_group = fields.log_group.as_ref().unwrap_or(&delivery.log_group);
        let name = log_group.strip_prefix(account).and_then(|rest| rest.strip_prefix(':'));
        Origin::new(account, region, name.unwrap_or(log_group), &delivery.log_stream)
    }
}

/// Text with U+FFFD in place of an unpaired surrogate, which is valid in JSON and not in UTF-8. One such message must not fail
/// the delivery.
pub(crate) struct LossyText(pub(crate) String);

impl<'de> Deserialize<'de> for LossyText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl Visitor<'_> for TextVisitor {
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
        deserializer.deserialize_bytes(TextVisitor)
    }
}
