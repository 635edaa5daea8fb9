//! The outcome of a handler.

use super::response::ResponseFacts;
use serde::Serialize;
use std::any::Any;
use std::borrow::Cow;
use std::fmt::{Debug, Display};
use std::panic::{AssertUnwindSafe, catch_unwind};

#[derive(Clone, Debug)]
pub(crate) enum HandlerOutcome {
    Response(ResponseFacts),
    Error {
        error_type: String,
        message: String,
    },
    Panic {
        message: String,
    },
    /// Its future was dropped before completion.
    Cancelled,
}

impl HandlerOutcome {
    pub(super) fn of_result<R: Serialize, E: Display + Debug + 'static>(
        result: &Result<R, E>,
    ) -> Self {
        // Both call the application's code.
        match result {
            Ok(response) => {
                let facts = catch_unwind(AssertUnwindSafe(|| ResponseFacts::of(response)));
                Self::Response(facts.unwrap_or_default())
            }
            Err(error) => Self::of_error(error),
        }
    }

    pub(super) fn of_error<E: Display + Debug + 'static>(error: &E) -> Self {
        Self::described(error, ToString::to_string)
    }

    /// The error of a streamed body, for which `lambda_runtime` only requires `Debug`.
    pub(super) fn of_body_error<E: Debug + 'static>(error: &E) -> Self {
        Self::described(error, |error| format!("{error:?}"))
    }

    /// An error that panics while it is formatted has no message.
    fn described<E: Debug + 'static>(error: &E, words: impl Fn(&E) -> String) -> Self {
        let described = || (error_type(error), words(error));
        let (error_type, message) = catch_unwind(AssertUnwindSafe(described))
            .unwrap_or_else(|_| (OTHER.to_owned(), String::new()));
        Self::Error { error_type, message }
    }

    /// The error type and the message of a failure, except for an HTTP status.
    pub(super) fn failure(&self) -> Option<(&str, Cow<'_, str>)> {
        match self {
            Self::Response(ResponseFacts { batch_item_failures: 0, .. }) => None,
            Self::Response(ResponseFacts { batch_item_failures: failed, .. }) => {
                let message =
                    format!("{failed} of the batch's messages failed; Lambda delivers them again");
                Some(("batch_item_failures", message.into()))
            }
            Self::Error { error_type, message } => Some((error_type, message.into())),
            Self::Panic { message } => Some(("panic", message.into())),
            Self::Cancelled => {
                Some(("cancelled", "the handler's future was dropped before it was ready".into()))
            }
        }
    }

    pub(crate) fn of_panic(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let message = text
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "the panic has no message".to_owned());
        Self::Panic { message }
    }
}

/// The fallback of `error.type` (semantic conventions, `docs/general/recording-errors.md`).
const OTHER: &str = "_OTHER";

/// The name of the error's type. `Box<dyn Error>` hides it, but the derived `Debug` output begins with it.
fn error_type<E: Debug + 'static>(error: &E) -> String {
    let name = std::any::type_name::<E>();
    if !name.contains("dyn ") {
        return name.to_owned();
    }
    let debug = format!("{error:?}");
    let end = debug.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(debug.len());
    let (name, rest) = debug.split_at_checked(end).unwrap_or_default();
    let is_name = name.starts_with(|c: char| c.is_ascii_uppercase())
        && (rest.is_empty() || rest.starts_with('(') || rest.starts_with(" {"));
    if is_name { name.to_owned() } else { OTHER.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    #[expect(dead_code, reason = "read by Debug only")]
    enum OrderError {
        NotFound,
        Failed(u8),
        Refused { by: u8 },
    }

    impl Display for OrderError {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("order")
        }
    }

    impl std::error::Error for OrderError {}

    #[test]
    fn the_error_type_is_a_name_and_never_a_message() {
        fn check<E: Debug + 'static>(error: E, expected: &str) {
            assert_eq!(error_type(&error), expected);
        }
        fn boxed(
            error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
        ) -> lambda_runtime::Error {
            error.into()
        }
        check(boxed("order 7 not found"), "_OTHER");
        check(boxed(OrderError::NotFound), "NotFound");
        check(boxed(OrderError::Failed(1)), "Failed");
        check(boxed(OrderError::Refused { by: 1 }), "Refused");
        check(boxed("x".parse::<u8>().unwrap_err()), "ParseIntError");
        check("x".parse::<u8>().unwrap_err(), "core::num::error::ParseIntError");
    }
}
