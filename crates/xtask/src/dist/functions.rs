//! Makes the zips of the stack's functions: one for each program and architecture, with a binary that names no folder of this
//! machine and needs no newer glibc than Lambda's image has, and the licences.

use super::zip_file::{File, packed};
use super::{ARCHITECTURES, Architecture, Made, binary, licences, notices};
use crate::checks::has_target;
use crate::pypi;
use anyhow::{Context as _, ensure};
use serde_json::Value;
use std::path::Path;

/// A program of `deploy/Makefile`, and its size limits, which keep cold starts short.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) max_bytes: usize,
    max_zip_bytes: usize,
}

pub(crate) const FORWARDER: Program =
    Program { name: "lambda-otlp-forwarder", max_bytes: 7_300_000, max_zip_bytes: 3_500_000 };
pub(crate) const SUBSCRIBER: Program =
    Program { name: "lambda-otlp-subscriber", max_bytes: 4_000_000, max_zip_bytes: 2_000_000 };

pub(super) fn make(
    root: &Path,
    packages: &[Value],
    write: &mut dyn FnMut(Made) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let tools = pypi::install(root, "stack")?;
    for architecture in &ARCHITECTURES {
        let Architecture { name, gnu, .. } = architecture;
        if !has_target(root, gnu) {
            println!("skip  {name}: rustup cannot add {gnu}");
            continue;
        }
        for Program { name: program, max_bytes, max_zip_bytes } in [FORWARDER, SUBSCRIBER] {
            println!("build {program} for {name}: some minutes");
            let what = (program, program, "release");
            let bytes = binary::program(root, packages, &tools, what, architecture)
                .with_context(|| format!("{program} for {name}"))?;
            ensure!(bytes.len() <= max_bytes, "{program}: {} bytes, over {max_bytes}", bytes.len());
            println!("      {program} for {name}: {} bytes", bytes.len());
            let mut files = vec![File { path: "bootstrap".to_owned(), bytes, is_program: true }];
            files.extend(licences(root, packages, program, gnu)?);
            write(Made {
                name: format!("{program}-{name}.zip"),
                bytes: packed(&files)?,
                components: notices::components(root, packages, program, gnu)?,
                max_bytes: max_zip_bytes,
            })?;
        }
    }
    Ok(())
}
