//! Shared parts of the end-to-end tests: binaries, fixtures, and simulations of a function with the extension.

#[expect(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a failure of the local Lambda fails the test"
)]
pub mod simulation;

use local_lambda::binaries;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A file below `tests/fixtures`.
///
/// # Panics
/// When it cannot be read.
#[expect(clippy::panic, reason = "a test without its fixture has to fail")]
pub fn fixture(path: &str) -> Vec<u8> {
    let path = workspace().join("tests/fixtures").join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A binary of the workspace, built once for all tests of a process.
///
/// # Panics
/// When it cannot be built.
#[expect(clippy::panic, reason = "a test without its binary has to fail")]
pub fn binary(name: &str) -> PathBuf {
    static BUILT: OnceLock<Result<std::collections::HashMap<String, PathBuf>, String>> =
        OnceLock::new();
    let built = BUILT.get_or_init(|| {
        binaries::build(&workspace(), &binaries::OF_TESTS).map_err(|error| error.to_string())
    });
    match built {
        Ok(built) => binaries::find(built, name).unwrap_or_else(|error| panic!("{error}")),
        Err(error) => panic!("{error}"),
    }
}

/// Makes a layer with the extension below this folder, and returns it.
///
/// # Panics
/// When the extension cannot be built, or the folder not be made.
#[expect(clippy::unwrap_used, reason = "a test without its layer has to fail")]
pub fn layer(folder: &Path) -> PathBuf {
    binaries::layer(folder, &binary(binaries::EXTENSION)).unwrap()
}
