//! Extracts fields of a response without serializing the response.

use serde::ser::{Impossible, Serialize, SerializeMap, SerializeStruct, Serializer};
use serde_json::Value;
use std::fmt;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResponseFacts {
    /// The status of an HTTP response, a number or text in `statusCode` (API Gateway Developer Guide, "Output format of a Lambda
    /// function for proxy integration").
    pub(crate) status_code: Option<u16>,
    /// Number of records in a batch that Lambda must deliver again: the entries of `batchItemFailures` (Lambda Developer Guide,
    /// "Implementing partial batch responses").
    pub(crate) batch_item_failures: usize,
}

impl ResponseFacts {
    pub(crate) fn of_status(status_code: u16) -> Self {
        Self { status_code: Some(status_code), batch_item_failures: 0 }
    }

    /// A response may have megabytes: only its top level is visited, and values under other keys are skipped.
    pub(crate) fn of<R: Serialize + ?Sized>(response: &R) -> Self {
        match response.serialize(TopLevel) {
            Ok(Seen::Facts(facts)) => facts,
            _ => Self::default(),
        }
    }
}

/// The relevant keys.
#[derive(Clone, Copy)]
enum Field {
    StatusCode,
    BatchItemFailures,
}

impl Field {
    fn of(key: &str) -> Option<Self> {
        match key {
            "statusCode" => Some(Self::StatusCode),
            "batchItemFailures" => Some(Self::BatchItemFailures),
            _ => None,
        }
    }
}

/// The part of a value that [`TopLevel`] sees.
enum Seen {
    /// Of a map or a struct.
    Facts(ResponseFacts),
    Key(Field),
}

/// Visits a response or one of its keys, and refuses all other values.
struct TopLevel;

type Refused = Impossible<Seen, fmt::Error>;

macro_rules! refuse {
    ($($method:ident($($type:ty),*) -> $ok:ty;)*) => {
        $(fn $method(self, $(_: $type),*) -> Result<$ok, fmt::Error> { Err(fmt::Error) })*
    };
}

impl Serializer for TopLevel {
    type Ok = Seen;
    type Error = fmt::Error;
    type SerializeMap = Search;
    type SerializeStruct = Search;
    type SerializeSeq = Refused;
    type SerializeTuple = Refused;
    type SerializeTupleStruct = Refused;
    type SerializeTupleVariant = Refused;
    type SerializeStructVariant = Refused;

    fn serialize_map(self, _: Option<usize>) -> Result<Search, fmt::Error> {
        Ok(Search::default())
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Search, fmt::Error> {
        Ok(Search::default())
    }

    fn serialize_str(self, key: &str) -> Result<Seen, fmt::Error> {
        Field::of(key).map(Seen::Key).ok_or(fmt::Error)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Seen, fmt::Error> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Seen, fmt::Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Seen, fmt::Error> {
        Err(fmt::Error)
    }

    refuse! {
        serialize_bool(bool) -> Seen;
        serialize_i8(i8) -> Seen;
        serialize_i16(i16) -> Seen;
        serialize_i32(i32) -> Seen;
        serialize_i64(i64) -> Seen;
        serialize_u8(u8) -> Seen;
        serialize_u16(u16) -> Seen;
        serialize_u32(u32) -> Seen;
        serialize_u64(u64) -> Seen;
        serialize_f32(f32) -> Seen;
        serialize_f64(f64) -> Seen;
        serialize_char(char) -> Seen;
        serialize_bytes(&[u8]) -> Seen;
        serialize_none() -> Seen;
        serialize_unit() -> Seen;
        serialize_unit_struct(&'static str) -> Seen;
        serialize_unit_variant(&'static str, u32, &'static str) -> Seen;
        serialize_seq(Option<usize>) -> Refused;
        serialize_tuple(usize) -> Refused;
        serialize_tuple_struct(&'static str, usize) -> Refused;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Refused;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Refused;
    }
}

#[derive(Default)]
struct Search {
    found: ResponseFacts,
    next: Option<Field>,
}

impl Search {
    fn read<T: Serialize + ?Sized>(&mut self, field: Field, value: &T) {
        let value = serde_json::to_value(value).unwrap_or_default();
        match field {
            Field::StatusCode => self.found.status_code = status_code(&value),
            Field::BatchItemFailures => {
                self.found.batch_item_failures = value.as_array().map_or(0, Vec::len);
            }
        }
    }
}

fn status_code(value: &Value) -> Option<u16> {
    let code = match value {
        Value::String(text) => text.parse().ok(),
        number => number.as_u64().and_then(|number| number.try_into().ok()),
    };
    code.filter(|code| (100..=999).contains(code))
}

impl SerializeStruct for Search {
    type Ok = Seen;
    type Error = fmt::Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), fmt::Error> {
        if let Some(field) = Field::of(key) {
            self.read(field, value);
        }
        Ok(())
    }

    fn end(self) -> Result<Seen, fmt::Error> {
        Ok(Seen::Facts(self.found))
    }
}

impl SerializeMap for Search {
    type Ok = Seen;
    type Error = fmt::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), fmt::Error> {
        self.next = match key.serialize(TopLevel) {
            Ok(Seen::Key(field)) => Some(field),
            _ => None,
        };
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), fmt::Error> {
        if let Some(field) = self.next.take() {
            self.read(field, value);
        }
        Ok(())
    }

    fn end(self) -> Result<Seen, fmt::Error> {
        SerializeStruct::end(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    #[test]
    fn the_status_code_is_found_at_the_top_level_only() {
        let check = |response: Value, expected| {
            assert_eq!(ResponseFacts::of(&response).status_code, expected, "{response}");
        };
        check(json!({"statusCode": 200}), Some(200));
        check(json!({"body": "x", "statusCode": 502, "headers": {"a": "b"}}), Some(502));
        check(json!({"statusCode": "404"}), Some(404));
        check(json!({"statusCode": "not found"}), None);
        check(json!({"statusCode": -1}), None);
        check(json!({"statusCode": 70000}), None);
        check(json!({"statusCode": 200.0}), None);
        check(json!({"statusCode": null}), None);
        check(json!({"statusCode": {"statusCode": 200}}), None);
        check(json!({"inner": {"statusCode": 200}}), None);
        check(json!([{"statusCode": 200}]), None);
        check(json!("statusCode"), None);
        check(Value::Null, None);
    }

    #[test]
    fn the_status_code_is_read_from_typed_responses() {
        let mut response = ApiGatewayV2httpResponse::default();
        response.status_code = 503;
        assert_eq!(ResponseFacts::of(&response).status_code, Some(503));
        assert_eq!(ResponseFacts::of(&Some(&response)), ResponseFacts::of_status(503));
        assert_eq!(ResponseFacts::of(&()), ResponseFacts::default());
    }

    #[test]
    fn batch_item_failures_of_a_response_are_counted() {
        let check = |response: Value, expected| {
            assert_eq!(ResponseFacts::of(&response).batch_item_failures, expected, "{response}");
        };
        check(json!({"batchItemFailures": [{"itemIdentifier": "a"}, {"itemIdentifier": "b"}]}), 2);
        check(json!({"batchItemFailures": []}), 0);
        check(json!({"batchItemFailures": null}), 0);
        check(json!({"batchItemFailures": {"itemIdentifier": "a"}}), 0);
        check(json!({"batchItemFailures": "two"}), 0);
        check(json!({"inner": {"batchItemFailures": [1]}}), 0);
        check(json!([{"batchItemFailures": [1]}]), 0);
    }

    #[test]
    fn batch_item_failures_in_an_array_of_fixed_length_are_counted() {
        let response = BTreeMap::from([("batchItemFailures", ["a", "b"])]);
        assert_eq!(ResponseFacts::of(&response).batch_item_failures, 2);
    }
}
