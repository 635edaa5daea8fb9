//! Finds the status code of an HTTP response without serializing the response.

use serde::ser::{Error as _, Impossible, Serialize, SerializeMap, SerializeStruct, Serializer};
use std::fmt;

/// The key under which API Gateway, ALB and function URLs expect the status
/// (API Gateway Developer Guide, "Output format of a Lambda function for proxy integration").
const STATUS_CODE: &str = "statusCode";

/// The top-level `statusCode` of a response, as a number or as text.
///
/// A response may have megabytes: only its top level is looked at, and values under other keys are not.
pub(crate) fn status_code<R: Serialize + ?Sized>(response: &R) -> Option<u16> {
    response.serialize(TopLevel).ok().flatten()
}

/// The error of a value that is no status code; it never leaves this module.
#[derive(Debug)]
struct NotAStatusCode;

impl fmt::Display for NotAStatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a status code")
    }
}

impl std::error::Error for NotAStatusCode {}

impl serde::ser::Error for NotAStatusCode {
    fn custom<T: fmt::Display>(_message: T) -> Self {
        Self
    }
}

/// Methods of a serializer that refuse.
macro_rules! refuse {
    ($($method:ident($($type:ty),*);)*) => {
        $(fn $method(self, $(_: $type),*) -> Result<Self::Ok, NotAStatusCode> { Err(NotAStatusCode) })*
    };
}

macro_rules! refuse_compounds {
    () => {
        type SerializeSeq = Impossible<Self::Ok, NotAStatusCode>;
        type SerializeTuple = Impossible<Self::Ok, NotAStatusCode>;
        type SerializeTupleStruct = Impossible<Self::Ok, NotAStatusCode>;
        type SerializeTupleVariant = Impossible<Self::Ok, NotAStatusCode>;
        type SerializeStructVariant = Impossible<Self::Ok, NotAStatusCode>;
        fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, NotAStatusCode> {
            Err(NotAStatusCode)
        }
        fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, NotAStatusCode> {
            Err(NotAStatusCode)
        }
        fn serialize_tuple_struct(
            self,
            _: &'static str,
            _: usize,
        ) -> Result<Self::SerializeTupleStruct, NotAStatusCode> {
            Err(NotAStatusCode)
        }
        fn serialize_tuple_variant(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: usize,
        ) -> Result<Self::SerializeTupleVariant, NotAStatusCode> {
            Err(NotAStatusCode)
        }
        fn serialize_struct_variant(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: usize,
        ) -> Result<Self::SerializeStructVariant, NotAStatusCode> {
            Err(NotAStatusCode)
        }
        fn serialize_newtype_variant<T: Serialize + ?Sized>(
            self,
            _: &'static str,
            _: u32,
            _: &'static str,
            _: &T,
        ) -> Result<Self::Ok, NotAStatusCode> {
            Err(NotAStatusCode)
        }
        fn serialize_some<T: Serialize + ?Sized>(
            self,
            value: &T,
        ) -> Result<Self::Ok, NotAStatusCode> {
            value.serialize(self)
        }
        fn serialize_newtype_struct<T: Serialize + ?Sized>(
            self,
            _: &'static str,
            value: &T,
        ) -> Result<Self::Ok, NotAStatusCode> {
            value.serialize(self)
        }
    };
}

/// Takes a map or a struct.
struct TopLevel;

impl Serializer for TopLevel {
    type Ok = Option<u16>;
    type Error = NotAStatusCode;
    type SerializeMap = Search;
    type SerializeStruct = Search;

    fn serialize_map(self, _: Option<usize>) -> Result<Search, NotAStatusCode> {
        Ok(Search::default())
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Search, NotAStatusCode> {
        Ok(Search::default())
    }

    refuse! {
        serialize_bool(bool); serialize_i8(i8); serialize_i16(i16); serialize_i32(i32);
        serialize_i64(i64); serialize_u8(u8); serialize_u16(u16); serialize_u32(u32);
        serialize_u64(u64); serialize_f32(f32); serialize_f64(f64); serialize_char(char);
        serialize_str(&str); serialize_bytes(&[u8]); serialize_none(); serialize_unit();
        serialize_unit_struct(&'static str);
        serialize_unit_variant(&'static str, u32, &'static str);
    }
    refuse_compounds!();
}

#[derive(Default)]
struct Search {
    found: Option<u16>,
    next_is_status_code: bool,
}

impl SerializeStruct for Search {
    type Ok = Option<u16>;
    type Error = NotAStatusCode;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), NotAStatusCode> {
        if key == STATUS_CODE {
            self.found = value.serialize(StatusCode).ok();
        }
        Ok(())
    }

    fn end(self) -> Result<Self::Ok, NotAStatusCode> {
        Ok(self.found)
    }
}

impl SerializeMap for Search {
    type Ok = Option<u16>;
    type Error = NotAStatusCode;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), NotAStatusCode> {
        self.next_is_status_code = key.serialize(Key).unwrap_or(false);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NotAStatusCode> {
        if self.next_is_status_code {
            self.found = value.serialize(StatusCode).ok();
        }
        Ok(())
    }

    fn end(self) -> Result<Self::Ok, NotAStatusCode> {
        Ok(self.found)
    }
}

/// Takes a map's key.
struct Key;

impl Serializer for Key {
    type Ok = bool;
    type Error = NotAStatusCode;
    type SerializeMap = Impossible<bool, NotAStatusCode>;
    type SerializeStruct = Impossible<bool, NotAStatusCode>;

    fn serialize_str(self, key: &str) -> Result<bool, NotAStatusCode> {
        Ok(key == STATUS_CODE)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, NotAStatusCode> {
        Err(NotAStatusCode)
    }

    fn serialize_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStruct, NotAStatusCode> {
        Err(NotAStatusCode)
    }

    refuse! {
        serialize_bool(bool); serialize_i8(i8); serialize_i16(i16); serialize_i32(i32);
        serialize_i64(i64); serialize_u8(u8); serialize_u16(u16); serialize_u32(u32);
        serialize_u64(u64); serialize_f32(f32); serialize_f64(f64); serialize_char(char);
        serialize_bytes(&[u8]); serialize_none(); serialize_unit();
        serialize_unit_struct(&'static str);
        serialize_unit_variant(&'static str, u32, &'static str);
    }
    refuse_compounds!();
}

/// Takes the code itself.
struct StatusCode;

impl StatusCode {
    fn number(value: impl TryInto<u16>) -> Result<u16, NotAStatusCode> {
        value.try_into().ok().filter(|code| (100..=999).contains(code)).ok_or(NotAStatusCode)
    }
}

impl Serializer for StatusCode {
    type Ok = u16;
    type Error = NotAStatusCode;
    type SerializeMap = Impossible<u16, NotAStatusCode>;
    type SerializeStruct = Impossible<u16, NotAStatusCode>;

    fn serialize_i16(self, value: i16) -> Result<u16, NotAStatusCode> {
        Self::number(value)
    }
    fn serialize_i32(self, value: i32) -> Result<u16, NotAStatusCode> {
        Self::number(value)
    }
    fn serialize_i64(self, value: i64) -> Result<u16, NotAStatusCode> {
        Self::number(value)
    }
    fn serialize_u8(self, value: u8) -> Result<u16, NotAStatusCode> {
        Self::number(value)
    }
    fn serialize_u16(self, value: u16) -> Result<u16, NotAStatusCode> {
        Self::number(value)
    }
    fn serialize_u32(self, value: u32) -> Result<u16, NotAStatusCode> {
        Self::number(value)
    }
    fn serialize_u64(self, value: u64) -> Result<u16, NotAStatusCode> {
        Self::number(value)
    }
    fn serialize_str(self, value: &str) -> Result<u16, NotAStatusCode> {
        Self::number(value.parse::<u16>().map_err(NotAStatusCode::custom)?)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, NotAStatusCode> {
        Err(NotAStatusCode)
    }

    fn serialize_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStruct, NotAStatusCode> {
        Err(NotAStatusCode)
    }

    refuse! {
        serialize_bool(bool); serialize_i8(i8); serialize_f32(f32); serialize_f64(f64);
        serialize_char(char); serialize_bytes(&[u8]); serialize_none(); serialize_unit();
        serialize_unit_struct(&'static str);
        serialize_unit_variant(&'static str, u32, &'static str);
    }
    refuse_compounds!();
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
    use serde_json::{Value, json};

    #[test]
    fn the_status_code_is_found_at_the_top_level_only() {
        let check = |response: Value, expected| {
            assert_eq!(status_code(&response), expected, "{response}");
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
    fn typed_responses_are_read_too() {
        let mut response = ApiGatewayV2httpResponse::default();
        response.status_code = 503;
        assert_eq!(status_code(&response), Some(503));
        assert_eq!(status_code(&Some(&response)), Some(503));
        assert_eq!(status_code(&()), None);
    }
}
