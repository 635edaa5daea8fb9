//! Extracts fields of a response without serializing the response.

use serde::ser::{
    Error as _, Impossible, Serialize, SerializeMap, SerializeSeq, SerializeStruct, Serializer,
};
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
        response.serialize(TopLevel).unwrap_or_default()
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

/// The error for an irrelevant value; it never leaves this module.
#[derive(Debug)]
struct NotOfThisKind;

impl fmt::Display for NotOfThisKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not of this kind")
    }
}

impl std::error::Error for NotOfThisKind {}

impl serde::ser::Error for NotOfThisKind {
    fn custom<T: fmt::Display>(_message: T) -> Self {
        Self
    }
}

/// Serializer methods that refuse.
macro_rules! refuse {
    ($($method:ident($($type:ty),*);)*) => {
        $(fn $method(self, $(_: $type),*) -> Result<Self::Ok, NotOfThisKind> { Err(NotOfThisKind) })*
    };
}

macro_rules! refuse_integers {
    () => {
        refuse! {
            serialize_i8(i8); serialize_i16(i16); serialize_i32(i32); serialize_i64(i64);
            serialize_u8(u8); serialize_u16(u16); serialize_u32(u32); serialize_u64(u64);
        }
    };
}

macro_rules! refuse_other_scalars {
    () => {
        refuse! {
            serialize_bool(bool); serialize_f32(f32); serialize_f64(f64); serialize_char(char);
            serialize_bytes(&[u8]); serialize_none(); serialize_unit();
            serialize_unit_struct(&'static str);
            serialize_unit_variant(&'static str, u32, &'static str);
        }
    };
}

macro_rules! refuse_maps {
    () => {
        type SerializeMap = Impossible<Self::Ok, NotOfThisKind>;
        type SerializeStruct = Impossible<Self::Ok, NotOfThisKind>;
        fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, NotOfThisKind> {
            Err(NotOfThisKind)
        }
        fn serialize_struct(
            self,
            _: &'static str,
            _: usize,
        ) -> Result<Self::SerializeStruct, NotOfThisKind> {
            Err(NotOfThisKind)
        }
    };
}

macro_rules! refuse_sequences {
    () => {
        type SerializeSeq = Impossible<Self::Ok, NotOfThisKind>;
        fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, NotOfThisKind> {
            Err(NotOfThisKind)
        }
    };
}

macro_rules! refuse_compounds {
    () => {
        type SerializeTuple = Impossible<Self::Ok, NotOfThisKind>;
        type SerializeTupleStruct = Impossible<Self::Ok, NotOfThisKind>;
        type SerializeTupleVariant = Impossible<Self::Ok, NotOfThisKind>;
        type SerializeStructVariant = Impossible<Self::Ok, NotOfThisKind>;
        fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, NotOfThisKind> {
            Err(NotOfThisKind)
        }
        fn serialize_tuple_struct(
            self,
            _: &'static str,
            _: usize,
        ) -> Result<Self::SerializeTupleStruct, NotOfThisKind> {
            Err(NotOfThisKind)
        }
        fn serialize_tuple_variant(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: usize,
        ) -> Result<Self::SerializeTupleVariant, NotOfThisKind> {
            Err(NotOfThisKind)
        }
        fn serialize_struct_variant(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: usize,
        ) -> Result<Self::SerializeStructVariant, NotOfThisKind> {
            Err(NotOfThisKind)
        }
        fn serialize_newtype_variant<T: Serialize + ?Sized>(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: &T,
        ) -> Result<Self::Ok, NotOfThisKind> {
            Err(NotOfThisKind)
        }
        fn serialize_some<T: Serialize + ?Sized>(
            self,
            value: &T,
        ) -> Result<Self::Ok, NotOfThisKind> {
            value.serialize(self)
        }
        fn serialize_newtype_struct<T: Serialize + ?Sized>(
            self,
            _: &'static str,
            value: &T,
        ) -> Result<Self::Ok, NotOfThisKind> {
            value.serialize(self)
        }
    };
}

/// Visits a map or a struct.
struct TopLevel;

impl Serializer for TopLevel {
    type Ok = ResponseFacts;
    type Error = NotOfThisKind;
    type SerializeMap = Search;
    type SerializeStruct = Search;

    fn serialize_map(self, _: Option<usize>) -> Result<Search, NotOfThisKind> {
        Ok(Search::default())
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Search, NotOfThisKind> {
        Ok(Search::default())
    }

    refuse! { serialize_str(&str); }
    refuse_integers!();
    refuse_other_scalars!();
    refuse_sequences!();
    refuse_compounds!();
}

#[derive(Default)]
struct Search {
    found: ResponseFacts,
    next: Option<Field>,
}

impl Search {
    fn read<T: Serialize + ?Sized>(&mut self, field: Field, value: &T) {
        match field {
            Field::StatusCode => self.found.status_code = value.serialize(StatusCode).ok(),
            Field::BatchItemFailures => {
                self.found.batch_item_failures = value.serialize(Entries).unwrap_or_default();
            }
        }
    }
}

impl SerializeStruct for Search {
    type Ok = ResponseFacts;
    type Error = NotOfThisKind;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), NotOfThisKind> {
        if let Some(field) = Field::of(key) {
            self.read(field, value);
        }
        Ok(())
    }

    fn end(self) -> Result<Self::Ok, NotOfThisKind> {
        Ok(self.found)
    }
}

impl SerializeMap for Search {
    type Ok = ResponseFacts;
    type Error = NotOfThisKind;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), NotOfThisKind> {
        self.next = key.serialize(Key).ok().flatten();
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NotOfThisKind> {
        if let Some(field) = self.next.take() {
            self.read(field, value);
        }
        Ok(())
    }

    fn end(self) -> Result<Self::Ok, NotOfThisKind> {
        Ok(self.found)
    }
}

struct Key;

impl Serializer for Key {
    type Ok = Option<Field>;
    type Error = NotOfThisKind;

    fn serialize_str(self, key: &str) -> Result<Self::Ok, NotOfThisKind> {
        Ok(Field::of(key))
    }

    refuse_integers!();
    refuse_other_scalars!();
    refuse_maps!();
    refuse_sequences!();
    refuse_compounds!();
}

struct StatusCode;

impl StatusCode {
    fn number(value: impl TryInto<u16>) -> Result<u16, NotOfThisKind> {
        value.try_into().ok().filter(|code| (100..=999).contains(code)).ok_or(NotOfThisKind)
    }
}

impl Serializer for StatusCode {
    type Ok = u16;
    type Error = NotOfThisKind;

    fn serialize_i16(self, value: i16) -> Result<u16, NotOfThisKind> {
        Self::number(value)
    }
    fn serialize_i32(self, value: i32) -> Result<u16, NotOfThisKind> {
        Self::number(value)
    }
    fn serialize_i64(self, value: i64) -> Result<u16, NotOfThisKind> {
        Self::number(value)
    }
    fn serialize_u8(self, value: u8) -> Result<u16, NotOfThisKind> {
        Self::number(value)
    }
    fn serialize_u16(self, value: u16) -> Result<u16, NotOfThisKind> {
        Self::number(value)
    }
    fn serialize_u32(self, value: u32) -> Result<u16, NotOfThisKind> {
        Self::number(value)
    }
    fn serialize_u64(self, value: u64) -> Result<u16, NotOfThisKind> {
        Self::number(value)
    }
    fn serialize_str(self, value: &str) -> Result<u16, NotOfThisKind> {
        Self::number(value.parse::<u16>().map_err(NotOfThisKind::custom)?)
    }

    // No status code is as small.
    refuse! { serialize_i8(i8); }
    refuse_other_scalars!();
    refuse_maps!();
    refuse_sequences!();
    refuse_compounds!();
}

/// Counts the entries of a list without visiting them.
struct Entries;

impl Serializer for Entries {
    type Ok = usize;
    type Error = NotOfThisKind;
    type SerializeSeq = Counter;

    fn serialize_seq(self, _: Option<usize>) -> Result<Counter, NotOfThisKind> {
        Ok(Counter(0))
    }

    refuse! { serialize_str(&str); }
    refuse_integers!();
    refuse_other_scalars!();
    refuse_maps!();
    refuse_compounds!();
}

struct Counter(usize);

impl SerializeSeq for Counter {
    type Ok = usize;
    type Error = NotOfThisKind;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, _: &T) -> Result<(), NotOfThisKind> {
        self.0 += 1;
        Ok(())
    }

    fn end(self) -> Result<usize, NotOfThisKind> {
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
    use serde_json::{Value, json};

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
}
