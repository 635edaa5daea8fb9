//! The errors that handlers return: text with `Display`, and the runtime's own `Diagnostic`, which has none.

use super::outcome;
use lambda_runtime::Diagnostic;
use std::fmt::{Debug, Display};

/// An error that a handler or a service returns; it fails the invocation's span. The compiler infers `Form`: [`DisplayForm`] for
/// every type with `Display`, and [`DiagnosticForm`] for [`Diagnostic`].
#[diagnostic::on_unimplemented(
    note = "the error of a handler implements `Display` and `Debug`, or is a `lambda_runtime::Diagnostic`: implement `Display`, or convert the error with `map_err(Diagnostic::from)` in the handler"
)]
pub trait HandlerError<Form>: Debug + 'static {
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

impl<E: Display + Debug + 'static> HandlerError<DisplayForm> for E {
    fn error_type(&self) -> String {
        outcome::error_type(self)
    }

    fn message(&self) -> String {
        self.to_string()
    }

    fn stack_trace(&self) -> String {
        outcome::stack_trace(self, &self.to_string())
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
