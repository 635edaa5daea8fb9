//! Makes the zips of the command line for Linux: the program, which starts with glibc 2.34 and newer, and beside it the layer,
//! which
//! `lambda-otlp dev` puts beside a function.

use super::components::Component;
use super::functions::{self, TARGETS, Target};
use super::zip_file::{File, packed};
use super::{ARCHITECTURES, Architecture, Made, binary, layer_files, licences, notices};
use crate::checks::has_target;
use crate::pypi::{self, Environment};
use anyhow::Context as _;
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
    for target in &TARGETS {
        let architecture = ARCHITECTURES.iter().find(|it| it.name == target.architecture);
        let architecture = architecture.context("an architecture without a layer")?;
        if !has_target(root, target.triple) || !has_target(root, architecture.target) {
            println!("skip  {PROGRAM} for {}: rustup cannot add it", target.architecture);
            continue;
        }
        println!("build {PROGRAM} for {}: some minutes", target.architecture);
        let what = (PACKAGE, PROGRAM, PROFILE);
        let bytes = functions::build(root, packages, &tools, what, target)
            .with_context(|| format!("{PROGRAM} for {}", target.architecture))?;
        println!("      {PROGRAM} for {}: {} bytes", target.architecture, bytes.len());
        write(made(root, packages, &tools, bytes, (target, architecture))?)?;
    }
    Ok(())
}

fn made(
    root: &Path,
    packages: &[Value],
    tools: &Environment,
    program: Vec<u8>,
    (target, architecture): (&Target, &Architecture),
) -> anyhow::Result<Made> {
    let extension = binary::build(root, packages, tools, architecture)?;
    let mut files = vec![File { path: PROGRAM.to_owned(), bytes: program, is_program: true }];
    files.extend(licences(root, packages, PACKAGE, target.triple)?);
    let layer = layer_files(root, packages, architecture, &extension)?.into_iter();
    files.extend(layer.map(|file| file.below(LAYER)));
    let of_program = notices::components(root, packages, PACKAGE, target.triple)?;
    let of_layer = notices::components(root, packages, binary::PACKAGE, architecture.target)?;
    let components: BTreeSet<Component> = of_program.into_iter().chain(of_layer).collect();
    Ok(Made {
        name: format!("lambda-otlp-cli-linux-{}.zip", target.architecture),
        bytes: packed(&files)?,
        components: components.into_iter().collect(),
        max_bytes: MAX_ZIP_BYTES,
    })
}
