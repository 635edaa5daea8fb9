//! Trains the preset dictionary of compact lines.
//!
//! A released dictionary never changes, because lines are decoded with it for as long as they are kept: a new one gets a new number.

mod cover;
mod training;

use anyhow::Context as _;
use std::path::PathBuf;

/// Deflate reaches no further back.
const BYTES: usize = 32 * 1024;
/// Longest segment that is selected at once.
const SEGMENT: usize = 500;

/// Writes the dictionary of the training set, beside the current one.
pub(crate) fn write() -> anyhow::Result<()> {
    let dictionary = cover::train(&training::samples(), BYTES, SEGMENT);
    let path = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../crates/wire/src/compact/dictionary-new.bin"
    ));
    std::fs::write(&path, &dictionary)
        .with_context(|| format!("cannot write {}", path.display()))?;
    println!("{} bytes in {}", dictionary.len(), path.display());
    Ok(())
}
