//! Makes the zips of the command line for Linux: the program, which starts with glibc 2.34 and newer, and beside it the layer,
//! which `lambda-otlp dev` puts beside a function.

use super::components::Component;
use super::zip_file::{File, packed};
use super::{ARCHITECTURES, Architecture, Made, binary, layer_files, licences, notices};
use crate::checks::has_target;
use crate::pypi::{self, Environment};
use anyhow::Context as _;
use local_lambda::binaries::EXTENSION;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

const PACKAGE: &str = "lambda-otlp-cli";
const PROGRAM: &str = "lambda-otlp";
const LAYER: &str = "lambda-otlp-layer";
const PROFILE: &str = "cli";
const MAX_ZIP_BYTES: usize = 20_000_000;

pub(super) fn make(
    root: &Path,
    packages: &[Value],
    write: &mut dyn FnMut(Made) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let tools = pypi::install(root, "stack")?;
    for architecture in &ARCHITECTURES {
        let Architecture { name, gnu, musl, .. } = architecture;
        if !has_target(root, gnu) || !has_target(root, musl) {
            println!("skip  {PROGRAM} for {name}: rustup cannot add it");
            continue;
        }
        println!("build {PROGRAM} for {name}: some minutes");
        let what = (PACKAGE, PROGRAM, PROFILE);
        let bytes = binary::program(root, packages, &tools, what, architecture)
            .with_context(|| format!("{PROGRAM} for {name}"))?;
        println!("      {PROGRAM} for {name}: {} bytes", bytes.len());
        write(made(root, packages, &tools, bytes, architecture)?)?;
    }
    Ok(())
}

fn made(
    root: &Path,
    packages: &[Value],
    tools: &Environment,
    program: Vec<u8>,
    architecture: &Architecture,
) -> anyhow::Result<Made> {
    let extension = binary::extension(root, packages, tools, architecture)?;
    let mut files = vec![File { path: PROGRAM.to_owned(), bytes: program, is_program: true }];
    files.extend(licences(root, packages, PACKAGE, architecture.gnu)?);
    let layer = layer_files(root, packages, architecture, &extension)?.into_iter();
    files.extend(layer.map(|file| file.below(LAYER)));
    let of_program = notices::components(root, packages, PACKAGE, architecture.gnu)?;
    let of_layer = notices::components(root, packages, EXTENSION, architecture.musl)?;
    let components: BTreeSet<Component> = of_program.into_iter().chain(of_layer).collect();
    Ok(Made {
        name: format!("lambda-otlp-cli-linux-{}.zip", architecture.name),
        bytes: packed(&files)?,
        components: components.into_iter().collect(),
        max_bytes: MAX_ZIP_BYTES,
    })
}
