//! The errors that handlers return: text with `Display`, and the runtime's own `Diagnostic`, which has none.

use lambda_runtime::Diagnostic;
use std::any::Any;
use std::error::Error;
use std::fmt::{Debug, Display};
use std::iter::successors;

/// An error that a handler or a service returns; it fails the invocation's span. The compiler infers `Form`: [`DisplayForm`] for
/// every type with `Display`, and [`DiagnosticForm`] for [`Diagnostic`].
///
/// The trait is sealed: implement `Display` for your error. If a later `lambda_runtime` implements `Display` for `Diagnostic`, both
/// forms apply to it, and handlers that return it compile only with a version of this library that has one form for all.
#[diagnostic::on_unimplemented(
    note = "the error of a handler implements `Display` and `Debug`, or is a `lambda_runtime::Diagnostic`: implement `Display`, or convert the error with `map_err(Diagnostic::from)` in the handler"
)]
pub trait HandlerError<Form>: Sealed<Form> + Debug + 'static {
    /// Returns the name of the error's type, for `error.type` and `exception.type`.
    fn error_type(&self) -> String;

    /// Returns the text for `exception.message` and the status of the span.
    fn message(&self) -> String;

    /// Returns the causes, for `exception.stacktrace`; empty if they tell no more than the message.
    fn stack_trace(&self) -> String {
        String::new()
    }
}

/// The form of errors with `Display`.
#[derive(Clone, Copy, Debug)]
pub struct DisplayForm;

/// The form of [`Diagnostic`].
#[derive(Clone, Copy, Debug)]
pub struct DiagnosticForm;

/// Prevents other implementations of [`HandlerError`].
pub trait Sealed<Form> {}

impl<E: Display> Sealed<DisplayForm> for E {}
impl Sealed<DiagnosticForm> for Diagnostic {}

impl<E: Display + Debug + 'static> HandlerError<DisplayForm> for E {
    fn error_type(&self) -> String {
        error_type(self)
    }

    fn message(&self) -> String {
        without_colours(&self.to_string())
    }

    fn stack_trace(&self) -> String {
        without_colours(&stack_trace(self, &self.to_string()))
    }
}

impl HandlerError<DiagnosticForm> for Diagnostic {
    fn error_type(&self) -> String {
        self.error_type.clone()
    }

    fn message(&self) -> String {
        self.error_message.clone()
    }
}

/// Removes the escape sequences with which reports such as color-eyre's colour their text.
///
/// Source: ECMA-48, 5.4, "Control sequences": parameters from `0` to `?`, then a final letter.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let after = part.trim_start_matches(|c: char| ('0'..='?').contains(&c));
        plain.extend(after.chars().skip(1));
    }
    plain
}

/// The fallback of `error.type` (semantic conventions, `docs/general/recording-errors.md`).
pub(super) const OTHER: &str = "_OTHER";

/// The most causes that are looked at.
const MAX_CAUSES: usize = 16;

/// The name of the error's type. `Box<dyn Error>` hides it, but the derived `Debug` output begins with it, or that of a cause:
/// `anyhow` and `eyre` hide the type of their own error.
fn error_type<E: Debug + 'static>(error: &E) -> String {
    let name = std::any::type_name::<E>();
    if !name.contains("dyn ") {
        return name.to_owned();
    }
    let any: &dyn Any = error;
    let Some(boxed) = any.downcast_ref::<lambda_runtime::Error>() else {
        return name_of_type(&format!("{error:?}"));
    };
    let first: &(dyn Error + 'static) = boxed.as_ref();
    let chain = successors(Some(first), |error| (*error).source()).take(MAX_CAUSES);
    let names = chain.map(|error| match error.downcast_ref::<std::io::Error>() {
        // Its `Debug` output names a private type.
        Some(_) => "std::io::Error".to_owned(),
        None => name_of_type(&format!("{error:?}")),
    });
    names.into_iter().find(|name| name != OTHER).unwrap_or_else(|| OTHER.to_owned())
}

/// The name at the beginning of an error's derived `Debug` output.
pub(super) fn name_of_type(debug: &str) -> String {
    let end = debug.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(debug.len());
    let (name, rest) = debug.split_at_checked(end).unwrap_or_default();
    let follows = ["(", " {", "::"];
    let is_name = name.starts_with(|c: char| c.is_ascii_uppercase())
        && (rest.is_empty() || follows.iter().any(|follows| rest.starts_with(follows)));
    if is_name { name.to_owned() } else { OTHER.to_owned() }
}

/// The causes of a boxed error, or else the error's `Debug` output if it says more than a name and the message.
fn stack_trace<E: Debug + 'static>(error: &E, message: &str) -> String {
    /// An error may contain a whole response.
    const LONGEST: usize = 4096;
    let any: &dyn Any = error;
    let text = if let Some(boxed) = any.downcast_ref::<lambda_runtime::Error>() {
        let causes = successors(boxed.source(), |error| (*error).source()).take(MAX_CAUSES);
        causes.fold(message.to_owned(), |text, cause| format!("{text}\nCaused by: {cause}"))
    } else {
        format!("{error:?}")
    };
    let tells_more = text != message && text != format!("{message:?}");
    if !tells_more || text.chars().all(char::is_alphanumeric) {
        return String::new();
    }
    text.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_type_is_a_name_and_never_a_message() {
        for (debug, expected) in [
            ("NotFound", "NotFound"),
            ("Failed(1)", "Failed"),
            ("Refused { by: 1 }", "Refused"),
            ("JoinError::Panic(Id(5), \"boom\", ...)", "JoinError"),
            ("\"order 7 not found\"", "_OTHER"),
            ("Order 7 not found", "_OTHER"),
        ] {
            assert_eq!(name_of_type(debug), expected);
        }
    }
}
