//! The outcome of a handler, with the fields of its response that describe the span.

use super::handler_error::{HandlerError, OTHER};
use super::panic_place::{self, message_of_panic};
use serde::ser::{Impossible, Serialize, SerializeMap, SerializeStruct, Serializer};
use serde_json::Value;
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The facts of a response, or the failure of the invocation.
pub(crate) type HandlerOutcome = Result<ResponseFacts, HandlerFailure>;

#[derive(Clone, Debug)]
pub(crate) struct HandlerFailure {
    pub(super) error_type: String,
    pub(super) message: String,
    /// The causes, or the place of a panic; empty without any.
    pub(super) stack_trace: String,
    /// The status of an HTTP response that failed after its head was sent.
    pub(super) status_code: Option<u16>,
    pub(super) kind: FailureKind,
}

/// How an invocation failed, which decides who else reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// The handler or the body of its response gave an error. Only `lambda_runtime` logs it, to the subscriber that there may be.
    Error,
    /// The panic hook prints it.
    Panic,
    /// The runtime did not pass the event to the handler. Its own report becomes the record.
    Refused,
    /// The handler did not end. Lambda reports why.
    Cancelled,
}

impl HandlerFailure {
    /// Returns `true` if the handler failed.
    pub(super) fn is_of_handler(&self) -> bool {
        self.kind != FailureKind::Cancelled
    }

    pub(super) fn refused(error_type: String, message: &str) -> Self {
        Self::new(FailureKind::Refused, error_type, message)
    }

    pub(super) fn cancelled(message: &str) -> Self {
        Self::new(FailureKind::Cancelled, "cancelled", message)
    }

    /// The failure of an invocation whose task unwinds because of another panic than the handler's.
    pub(super) fn task_panicked() -> Self {
        Self::new(FailureKind::Panic, PANIC, "the invocation's task panicked")
    }

    fn new(kind: FailureKind, error_type: impl Into<String>, message: impl Into<String>) -> Self {
        let error_type = error_type.into();
        let message = message.into();
        Self { error_type, message, stack_trace: String::new(), status_code: None, kind }
    }

    /// Returns the failure of a handler that returned an error. An error that panics while it is formatted has no message.
    pub(super) fn of_error<Form>(error: &impl HandlerError<Form>) -> Self {
        let described = || Self {
            error_type: error.error_type(),
            message: error.message(),
            stack_trace: error.stack_trace(),
            status_code: None,
            kind: FailureKind::Error,
        };
        catch_unwind(AssertUnwindSafe(described))
            .unwrap_or_else(|_| Self::new(FailureKind::Error, OTHER, ""))
    }

    /// Returns the failure of a handler that panicked on this thread.
    pub(crate) fn of_panic(panic: &(dyn Any + Send)) -> Self {
        let message = message_of_panic(panic);
        let stack_trace = panic_place::stack_trace(&message);
        Self { stack_trace, ..Self::new(FailureKind::Panic, PANIC, message) }
    }
}

/// The error type of a panic.
const PANIC: &str = "panic";

/// Returns the outcome of a handler that has ended.
pub(super) fn outcome_of<R: Serialize, E: HandlerError<Form>, Form>(
    result: &Result<R, E>,
) -> HandlerOutcome {
    match result {
        // This calls the application's code.
        Ok(response) => {
            let facts = catch_unwind(AssertUnwindSafe(|| ResponseFacts::of(response)));
            Ok(facts.unwrap_or_default())
        }
        Err(error) => Err(HandlerFailure::of_error(error)),
    }
}

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
    pub(super) fn of_status(status_code: u16) -> Self {
        Self { status_code: Some(status_code), batch_item_failures: 0 }
    }

    /// A response may have megabytes: only its top level is visited, and values under other keys are skipped.
    pub(crate) fn of<R: Serialize + ?Sized>(response: &R) -> Self {
        response.serialize(TopLevel).unwrap_or_default()
    }
}

/// Visits a response, and supports no values but maps and structs.
struct TopLevel;

type Unsupported = Impossible<ResponseFacts, fmt::Error>;

macro_rules! refuse {
    ($($method:ident($($type:ty),*) -> $ok:ty;)*) => {
        $(fn $method(self, $(_: $type),*) -> Result<$ok, fmt::Error> { Err(fmt::Error) })*
    };
}

impl Serializer for TopLevel {
    type Ok = ResponseFacts;
    type Error = fmt::Error;
    type SerializeMap = FactSearch;
    type SerializeStruct = FactSearch;
    type SerializeSeq = Unsupported;
    type SerializeTuple = Unsupported;
    type SerializeTupleStruct = Unsupported;
    type SerializeTupleVariant = Unsupported;
    type SerializeStructVariant = Unsupported;

    fn serialize_map(self, _: Option<usize>) -> Result<FactSearch, fmt::Error> {
        Ok(FactSearch::default())
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<FactSearch, fmt::Error> {
        Ok(FactSearch::default())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<ResponseFacts, fmt::Error> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<ResponseFacts, fmt::Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<ResponseFacts, fmt::Error> {
        Err(fmt::Error)
    }

    refuse! {
        serialize_bool(bool) -> ResponseFacts;
        serialize_i8(i8) -> ResponseFacts;
        serialize_i16(i16) -> ResponseFacts;
        serialize_i32(i32) -> ResponseFacts;
        serialize_i64(i64) -> ResponseFacts;
        serialize_u8(u8) -> ResponseFacts;
        serialize_u16(u16) -> ResponseFacts;
        serialize_u32(u32) -> ResponseFacts;
        serialize_u64(u64) -> ResponseFacts;
        serialize_f32(f32) -> ResponseFacts;
        serialize_f64(f64) -> ResponseFacts;
        serialize_char(char) -> ResponseFacts;
        serialize_str(&str) -> ResponseFacts;
        serialize_bytes(&[u8]) -> ResponseFacts;
        serialize_none() -> ResponseFacts;
        serialize_unit() -> ResponseFacts;
        serialize_unit_struct(&'static str) -> ResponseFacts;
        serialize_unit_variant(&'static str, u32, &'static str) -> ResponseFacts;
        serialize_seq(Option<usize>) -> Unsupported;
        serialize_tuple(usize) -> Unsupported;
        serialize_tuple_struct(&'static str, usize) -> Unsupported;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Unsupported;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Unsupported;
    }
}

/// Looks for the facts among the fields of a response.
#[derive(Default)]
struct FactSearch {
    found: ResponseFacts,
    /// The key of the next value in a map.
    key: Value,
}

impl FactSearch {
    fn read<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) {
        let value = || serde_json::to_value(value).unwrap_or_default();
        match key {
            "statusCode" => self.found.status_code = status_code(&value()),
            "batchItemFailures" => {
                self.found.batch_item_failures = value().as_array().map_or(0, Vec::len);
            }
            _ => {}
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

impl SerializeStruct for FactSearch {
    type Ok = ResponseFacts;
    type Error = fmt::Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), fmt::Error> {
        self.read(key, value);
        Ok(())
    }

    fn end(self) -> Result<ResponseFacts, fmt::Error> {
        Ok(self.found)
    }
}

impl SerializeMap for FactSearch {
    type Ok = ResponseFacts;
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

    fn end(self) -> Result<ResponseFacts, fmt::Error> {
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
        let mut response = ApiGatewayV2httpResponse::default();
        response.status_code = 503;
        assert_eq!(ResponseFacts::of(&response).status_code, Some(503));
        assert_eq!(ResponseFacts::of(&Some(&response)), ResponseFacts::of_status(503));
        assert_eq!(ResponseFacts::of(&()), ResponseFacts::default());
        let of_fixed_length = BTreeMap::from([("batchItemFailures", ["a", "b"])]);
        assert_eq!(ResponseFacts::of(&of_fixed_length).batch_item_failures, 2);
    }
}
