//! Trains the preset dictionary of compact lines.
//!
//! A released dictionary never changes, because lines are decoded with it for as long as they are kept: a new one gets a new
//! number. Dictionary 1 is the result of this training.

mod training;

use anyhow::Context as _;
use std::path::PathBuf;

pub(crate) fn write() -> anyhow::Result<()> {
    let dictionary = wire::compact::train(&training::samples());
    let path = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../wire/src/compact/dictionary-new.bin"
    ));
    std::fs::write(&path, &dictionary)
        .with_context(|| format!("cannot write {}", path.display()))?;
    println!("{} bytes in {}", dictionary.len(), path.display());
    Ok(())
}
