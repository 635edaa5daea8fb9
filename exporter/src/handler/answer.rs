//! What the answer of a handler says about its invocation, by the rules (`answers`) of `events.json`.

use super::outcome::{FailureKind, HandlerFailure, HandlerOutcome};
use crate::trigger::{Answers, DESCRIPTION, at, text_at, value_of};
use serde::ser::{Impossible, Serialize, SerializeMap, SerializeStruct, Serializer};
use serde_json::{Map, Value};
use std::fmt;

pub(super) const RULES: &Answers = &DESCRIPTION.answers;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResponseFacts {
    /// The status of an HTTP response.
    pub(crate) status_code: Option<u16>,
    /// Number of records in a batch that Lambda must deliver again.
    pub(crate) batch_item_failures: usize,
    /// The status of a durable execution that has not failed.
    pub(crate) execution_status: Option<&'static str>,
}

impl ResponseFacts {
    pub(super) fn from_status(status_code: u16) -> Self {
        Self { status_code: Some(status_code), ..Self::default() }
    }
}

/// Reads a response, which may have megabytes: only its top level is visited, and values under other names are skipped.
pub(super) fn read_answer<R: Serialize + ?Sized>(response: &R, is_durable: bool) -> HandlerOutcome {
    let found = response.serialize(TopLevel { is_durable }).unwrap_or_default();
    if is_durable { read_durable(found.of_durable) } else { Ok(found.facts) }
}

/// Returns what the answer of a durable function says about its execution.
fn read_durable(answer: Map<String, Value>) -> HandlerOutcome {
    let rules = &RULES.durable;
    let answer = Value::Object(answer);
    if !rules.failed.hold_for(&answer) {
        let status = text_at(&answer, rules.status.as_str());
        let execution_status = rules.statuses.iter().find(|known| Some(*known) == status);
        return Ok(ResponseFacts { execution_status, ..ResponseFacts::default() });
    }
    let error_type = value_of(&rules.error_type, &answer).unwrap_or_default();
    let message = value_of(&rules.message, &answer).unwrap_or_default();
    let lines = at(&answer, rules.stack_trace.as_str()).and_then(Value::as_array);
    let lines = lines.into_iter().flatten().filter_map(Value::as_str);
    let stack_trace = lines.collect::<Vec<_>>().join("\n");
    let failure = HandlerFailure::new(FailureKind::Answer, error_type, message);
    Err(HandlerFailure { stack_trace, ..failure })
}

/// Visits a response, and supports no values but maps and structs.
struct TopLevel {
    is_durable: bool,
}

type Unsupported = Impossible<AnswerParts, fmt::Error>;

macro_rules! refuse {
    ($($method:ident($($type:ty),*) -> $ok:ty;)*) => {
        $(fn $method(self, $(_: $type),*) -> Result<$ok, fmt::Error> { Err(fmt::Error) })*
    };
}

impl Serializer for TopLevel {
    type Ok = AnswerParts;
    type Error = fmt::Error;
    type SerializeMap = AnswerSearch;
    type SerializeStruct = AnswerSearch;
    type SerializeSeq = Unsupported;
    type SerializeTuple = Unsupported;
    type SerializeTupleStruct = Unsupported;
    type SerializeTupleVariant = Unsupported;
    type SerializeStructVariant = Unsupported;

    fn serialize_map(self, _: Option<usize>) -> Result<AnswerSearch, fmt::Error> {
        Ok(AnswerSearch::new(self.is_durable))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<AnswerSearch, fmt::Error> {
        Ok(AnswerSearch::new(self.is_durable))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<AnswerParts, fmt::Error> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<AnswerParts, fmt::Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<AnswerParts, fmt::Error> {
        Err(fmt::Error)
    }

    refuse! {
        serialize_bool(bool) -> AnswerParts;
        serialize_i8(i8) -> AnswerParts;
        serialize_i16(i16) -> AnswerParts;
        serialize_i32(i32) -> AnswerParts;
        serialize_i64(i64) -> AnswerParts;
        serialize_u8(u8) -> AnswerParts;
        serialize_u16(u16) -> AnswerParts;
        serialize_u32(u32) -> AnswerParts;
        serialize_u64(u64) -> AnswerParts;
        serialize_f32(f32) -> AnswerParts;
        serialize_f64(f64) -> AnswerParts;
        serialize_char(char) -> AnswerParts;
        serialize_str(&str) -> AnswerParts;
        serialize_bytes(&[u8]) -> AnswerParts;
        serialize_none() -> AnswerParts;
        serialize_unit() -> AnswerParts;
        serialize_unit_struct(&'static str) -> AnswerParts;
        serialize_unit_variant(&'static str, u32, &'static str) -> AnswerParts;
        serialize_seq(Option<usize>) -> Unsupported;
        serialize_tuple(usize) -> Unsupported;
        serialize_tuple_struct(&'static str, usize) -> Unsupported;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Unsupported;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Unsupported;
    }
}

/// The parts of a response that the rules read.
#[derive(Default)]
struct AnswerParts {
    facts: ResponseFacts,
    /// The values in the answer of a durable function; empty for other functions.
    of_durable: Map<String, Value>,
}

/// Looks for the parts among the fields of a response.
struct AnswerSearch {
    is_durable: bool,
    found: AnswerParts,
    /// The key of the next value in a map.
    key: Value,
}

impl AnswerSearch {
    fn new(is_durable: bool) -> Self {
        Self { is_durable, found: AnswerParts::default(), key: Value::Null }
    }

    fn read<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) {
        let value = || serde_json::to_value(value).unwrap_or_default();
        let is_at = |pointer: &str| pointer.strip_prefix('/') == Some(key);
        if self.is_durable && RULES.durable.reads(key) {
            self.found.of_durable.insert(key.to_owned(), value());
        }
        if is_at(RULES.http_status.at.as_str()) {
            self.found.facts.status_code = status_code(&value());
        } else if is_at(RULES.failed_messages.at.as_str()) {
            self.found.facts.batch_item_failures = value().as_array().map_or(0, Vec::len);
        }
    }
}

fn status_code(value: &Value) -> Option<u16> {
    let code = match value {
        Value::String(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok()
        }
        number => number.as_u64().and_then(|number| number.try_into().ok()),
    };
    code.filter(|code| (RULES.http_status.least..=RULES.http_status.greatest).contains(code))
}

impl SerializeStruct for AnswerSearch {
    type Ok = AnswerParts;
    type Error = fmt::Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), fmt::Error> {
        self.read(key, value);
        Ok(())
    }

    fn end(self) -> Result<AnswerParts, fmt::Error> {
        Ok(self.found)
    }
}

impl SerializeMap for AnswerSearch {
    type Ok = AnswerParts;
    type Error = fmt::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), fmt::Error> {
        self.key = serde_json::to_value(key).unwrap_or_default();
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), fmt::Error> {
        if let Value::String(key) = self.key.take() {
            self.read(&key, value);
        }
        Ok(())
    }

    fn end(self) -> Result<AnswerParts, fmt::Error> {
        SerializeStruct::end(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
    use std::collections::BTreeMap;

    #[test]
    fn typed_responses_are_read_like_json() {
        fn read<R: Serialize>(response: R) -> ResponseFacts {
            read_answer(&response, false).unwrap()
        }
        let mut response = ApiGatewayV2httpResponse::default();
        response.status_code = 503;
        assert_eq!(read(&response).status_code, Some(503));
        assert_eq!(read(Some(&response)), ResponseFacts::from_status(503));
        assert_eq!(read(()), ResponseFacts::default());
        let of_fixed_length = BTreeMap::from([("batchItemFailures", ["a", "b"])]);
        assert_eq!(read(of_fixed_length).batch_item_failures, 2);
    }
}
