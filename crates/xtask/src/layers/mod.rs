//! Checks who uses whom: which crate which other, and that no files of one crate use each other in a circle.

mod circles;
mod crates;

use crate::checks::metadata;

/// Checks that each crate uses only those that the architecture allows, and that no files of one crate use each other in a
/// circle.
pub(crate) fn check() -> anyhow::Result<()> {
    let metadata = metadata()?;
    crates::check(&metadata)?;
    circles::check(&metadata)
}
