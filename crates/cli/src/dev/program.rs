//! The program of the function's process.

use std::path::PathBuf;

pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) arguments: Vec<String>,
    /// Variables; the function's own override them.
    pub(super) variables: Vec<(&'static str, String)>,
}
