//! The program that is the function's process.

use std::path::PathBuf;

/// A program with its arguments, and what else its process needs.
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) arguments: Vec<String>,
    /// Variables that the function's own win over.
    pub(super) variables: Vec<(&'static str, String)>,
}
