//! Checks the Terraform module and the CDK construct. `cargo xtask stack` checks that their generated files are up to date.

mod cdk;
mod terraform;

use crate::checks::{self, Tally};
use std::path::{Path, PathBuf};

pub(crate) fn run() -> anyhow::Result<()> {
    let root = checks::root()?;
    let mut tally = Tally::default();
    terraform::check(&root, &mut tally);
    cdk::check(&root, &mut tally);
    tally.finish()
}

/// Fills a folder with zips named as by `cargo xtask dist`, without the arm64 layer.
fn zips(folder: &Path) -> anyhow::Result<PathBuf> {
    std::fs::create_dir(folder)?;
    for package in [
        "forwarder-arm64",
        "forwarder-x86_64",
        "subscriber-arm64",
        "subscriber-x86_64",
        "layer-x86_64",
    ] {
        zip(folder, &format!("lambda-otlp-{package}.zip"), package)?;
    }
    Ok(folder.to_owned())
}

fn zip(folder: &Path, name: &str, content: &str) -> anyhow::Result<()> {
    let mut zip = zip::ZipWriter::new(std::fs::File::create(folder.join(name))?);
    zip.start_file(content, zip::write::SimpleFileOptions::default())?;
    zip.finish()?;
    Ok(())
}
