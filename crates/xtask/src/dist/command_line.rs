//! Makes the zips of the command line for Linux: the program, which starts with glibc 2.34 and newer, and beside it the layer,
//! which `lambda-otlp dev` puts beside a function.

use super::components::Component;
use super::zip_file::{File, packed};
use super::{Architecture, Build, Made, binary, layer_files, licences, notices};
use anyhow::Context as _;
use local_lambda::binaries::EXTENSION;
use std::collections::BTreeSet;

const PACKAGE: &str = "lambda-otlp-cli";
const PROGRAM: &str = "lambda-otlp";
const LAYER: &str = "lambda-otlp-layer";
const MAX_ZIP_BYTES: usize = 20_000_000;

pub(super) fn zip(build: &Build<'_>) -> anyhow::Result<Made> {
    let Architecture { name, gnu, musl, .. } = build.architecture;
    let target = binary::Target { package: PACKAGE, binary: PROGRAM, profile: "cli" };
    let bytes = binary::program(build, &target).with_context(|| format!("{PROGRAM} for {name}"))?;
    println!("      {PROGRAM} for {name}: {} bytes", bytes.len());
    let mut files = vec![File { path: PROGRAM.to_owned(), bytes, is_program: true }];
    files.extend(licences(build, PACKAGE, gnu)?);
    files.extend(layer_files(build)?.into_iter().map(|file| file.below(LAYER)));
    let of_program = notices::components(build, PACKAGE, gnu)?;
    let of_layer = notices::components(build, EXTENSION, musl)?;
    let components: BTreeSet<Component> = of_program.into_iter().chain(of_layer).collect();
    Ok(Made {
        name: format!("lambda-otlp-cli-linux-{name}.zip"),
        bytes: packed(&files)?,
        components: components.into_iter().collect(),
        max_bytes: MAX_ZIP_BYTES,
    })
}
