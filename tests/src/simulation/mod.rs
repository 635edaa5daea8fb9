//! A function in the local Lambda with the extension beside it: the states that the extension's tests look at, and `bench`
//! measures.

mod concurrent;
mod function;
mod run;
pub mod states;

pub use concurrent::{INVOCATIONS, request_id, run_concurrently};
pub use function::run_in_lambda;
pub use run::{EXTENSION, Log, ROOT, Simulation, TRACE, body};
use std::path::PathBuf;

pub struct Program {
    pub extension: PathBuf,
    /// The arguments that make this program the function: it has to call [`run_in_lambda`] then.
    pub function: &'static [&'static str],
}

impl Program {
    /// A program of tests with one called `the_function`, which calls [`run_in_lambda`].
    pub fn of_tests(extension: &str) -> Self {
        Self { extension: extension.into(), function: &["the_function", "--exact", "--nocapture"] }
    }
}
