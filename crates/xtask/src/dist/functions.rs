//! Makes the zips of the stack's functions: one for each program and architecture, with a binary that names no folder of this
//! machine and needs no newer glibc than Lambda's image has, and the licences.

use super::zip_file::{File, packed};
use super::{Architecture, Build, Made, binary, licences, notices};
use anyhow::{Context as _, ensure};

/// A program of `deploy/Makefile`, and its size limits, which keep cold starts short.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) max_bytes: usize,
    max_zip_bytes: usize,
}

pub(crate) const FORWARDER: Program =
    Program { name: "lambda-otlp-forwarder", max_bytes: 8_000_000, max_zip_bytes: 3_500_000 };
pub(crate) const SUBSCRIBER: Program =
    Program { name: "lambda-otlp-subscriber", max_bytes: 4_000_000, max_zip_bytes: 2_000_000 };

pub(super) fn zip(build: &Build<'_>, program: &Program) -> anyhow::Result<Made> {
    let Architecture { name, gnu, .. } = build.architecture;
    let Program { name: program, max_bytes, max_zip_bytes } = *program;
    let target = binary::Target { package: program, binary: program, profile: "release" };
    let bytes = binary::program(build, &target).with_context(|| format!("{program} for {name}"))?;
    ensure!(bytes.len() <= max_bytes, "{program}: {} bytes, over {max_bytes}", bytes.len());
    println!("      {program} for {name}: {} bytes", bytes.len());
    let mut files = vec![File { path: "bootstrap".to_owned(), bytes, is_program: true }];
    files.extend(licences(build, program, gnu)?);
    Ok(Made {
        name: format!("{program}-{name}.zip"),
        bytes: packed(&files)?,
        components: notices::components(build, program, gnu)?,
        max_bytes: max_zip_bytes,
    })
}
