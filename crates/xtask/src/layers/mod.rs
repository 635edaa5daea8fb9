//! Checks the dependencies among crates, and among the files of a crate.

mod circles;
mod crates;

use crate::checks::metadata;

/// Fails if a crate uses a crate that the architecture does not allow, or if files of one crate use each other in a
/// circle.
pub(crate) fn check() -> anyhow::Result<()> {
    let metadata = metadata()?;
    crates::check(&metadata)?;
    circles::check(&metadata)
}
