//! Makes the release files in `target/dist`: the zips of the stack's functions, one for each architecture; the layer,
//! with the extension, the wrapper of a function's runtime, and the licences; the layers of OpenTelemetry's packages
//! for the wrapper; the command line. Each zip has a list of its components; checksums, templates and instructions
//! stand beside them.
//!
//! The content of a zip depends on the sources alone: files have no times, and no binary names a folder of the
//! machine.
//!
//! Source: Lambda Developer Guide, "Packaging your layer content" and "Configuring Lambda extensions" (`extensions/`).

mod binary;
mod command_line;
mod components;
pub(crate) mod crates;
pub(crate) mod functions;
pub(crate) mod node;
mod notices;
pub(crate) mod python;
pub(crate) mod template;
mod zip_file;

use crate::checks::{install_target, locked_packages, root};
use crate::pypi::{self, Environment};
use anyhow::{Context as _, ensure};
pub(crate) use binary::{inspect_extension, inspect_program};
use components::Component;
use local_lambda::binaries::EXTENSION;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::path::Path;
use wire::ids::to_hex;
use zip_file::{File, packed};

const MAX_LAYER_BYTES: usize = 2_600_000;

pub(crate) struct Architecture {
    /// As Lambda calls it, and the template's parameter `Architecture`.
    pub(crate) name: &'static str,
    /// The targets of the extension and of the other programs.
    pub(crate) musl: &'static str,
    pub(crate) gnu: &'static str,
    machine: u16,
}

pub(crate) const ARCHITECTURES: [Architecture; 2] = [
    Architecture {
        name: "arm64",
        musl: "aarch64-unknown-linux-musl",
        gnu: "aarch64-unknown-linux-gnu",
        machine: elf::abi::EM_AARCH64,
    },
    Architecture {
        name: "x86_64",
        musl: "x86_64-unknown-linux-musl",
        gnu: "x86_64-unknown-linux-gnu",
        machine: elf::abi::EM_X86_64,
    },
];

/// The wrapper's files, from `extension/layer` to `/opt/lambda-otlp`: `node/start.cjs`.
pub(crate) fn loaded(root: &Path) -> anyhow::Result<Vec<String>> {
    // The descriptions of events and of calls, links into the Rust library.
    let mut loaded = ["calls.json", "events.json"].map(str::to_owned).to_vec();
    for (folder, ending) in [("node", ".cjs"), ("python", ".py")] {
        for file in std::fs::read_dir(root.join("extension/layer").join(folder))? {
            let name = file?.file_name().to_string_lossy().into_owned();
            if name.ends_with(ending) {
                loaded.push(format!("{folder}/{name}"));
            }
        }
    }
    loaded.sort();
    Ok(loaded)
}

struct Made {
    name: String,
    bytes: Vec<u8>,
    components: Vec<Component>,
    max_bytes: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    All,
    /// All, and an error if a file cannot be made.
    Release,
    Functions,
    Layer,
    CommandLine,
    PythonLayers,
    NodeLayer,
}

const FOLDER: &str = "target/dist";
/// Where `sha256sum --check` finds the sums.
const SUMS: &str = "SHA256SUMS";
/// The page with the section that `gh release create` shows, and the section's name among the files.
const INSTALL_PAGE: &str = "docs/deploy.md";
const INSTALL_SECTION: &str = "\n## Release files\n";
const INSTALL: &str = "INSTALL.md";

/// Makes these parts in `target/dist`. All parts together replace the folder.
pub(crate) fn run(what: What) -> anyhow::Result<()> {
    let root = &root()?;
    let folder = root.join(FOLDER);
    let is_all = [What::All, What::Release].contains(&what);
    if is_all && folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let is = |one: What| what == one || is_all;
    // First the parts that tell soon if something is missing.
    if is(What::PythonLayers) {
        python::layers(root, what, &mut |made| write(&folder, &made))?;
    }
    if is(What::NodeLayer) {
        write(&folder, &node::layer(root)?)?;
    }
    if is(What::Functions) || is(What::Layer) || is(What::CommandLine) {
        let packages = &*locked_packages(root)?;
        let tools = &pypi::install(root, "stack")?;
        for architecture in &ARCHITECTURES {
            let Architecture { name, gnu, musl, .. } = architecture;
            let is_gnu = is(What::Functions) || is(What::CommandLine);
            let has_gnu = !is_gnu || install_target(root, gnu);
            let has_musl = !is(What::Layer) || install_target(root, musl);
            if !has_gnu || !has_musl {
                skip(what, &format!("programs for {name}"), "rustup cannot add the target")?;
                continue;
            }
            println!("build programs for {name}: some minutes");
            let build = &Build { root, packages, tools, architecture };
            if is(What::Functions) {
                write(&folder, &functions::zip(build, &functions::FORWARDER)?)?;
                write(&folder, &functions::zip(build, &functions::SUBSCRIBER)?)?;
            }
            if is(What::Layer) {
                write(&folder, &layer(build)?)?;
            }
            if is(What::CommandLine) {
                write(&folder, &command_line::zip(build)?)?;
            }
        }
    }
    template::write(root, &folder)?;
    std::fs::write(folder.join(INSTALL), install_section(root)?)?;
    sums(&folder)
}

/// Reads the page's section about the release files, up to the next heading of its level.
fn install_section(root: &Path) -> anyhow::Result<String> {
    let page = std::fs::read_to_string(root.join(INSTALL_PAGE)).context(INSTALL_PAGE)?;
    let (_, after) = page
        .split_once(INSTALL_SECTION)
        .with_context(|| format!("{INSTALL_PAGE} has no section{INSTALL_SECTION}"))?;
    let section = after.split("\n## ").next().unwrap_or(after);
    Ok(format!("# Release files\n{section}\n"))
}

/// Leaves out what this machine cannot make; a release needs all files.
fn skip(what: What, files: &str, reason: &str) -> anyhow::Result<()> {
    ensure!(what != What::Release, "cannot make {files}: {reason}");
    println!("skip  {files}: {reason}");
    Ok(())
}

fn write(folder: &Path, made: &Made) -> anyhow::Result<()> {
    let Made { name, bytes, components, max_bytes } = made;
    ensure!(bytes.len() <= *max_bytes, "{name}: {} bytes, over {max_bytes}", bytes.len());
    std::fs::write(folder.join(name), bytes)?;
    let document = components::document(name, &sum(bytes), components);
    let list = folder.join(name).with_extension("cdx.json");
    std::fs::write(list, serde_json::to_string_pretty(&document)?)?;
    println!("made  {FOLDER}/{name}: {} bytes, {} components", bytes.len(), components.len());
    Ok(())
}

fn sum(bytes: &[u8]) -> String {
    to_hex(&Sha256::digest(bytes))
}

fn sums(folder: &Path) -> anyhow::Result<()> {
    let mut entries = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    let mut sums = String::new();
    for entry in entries.iter().filter(|entry| entry.file_name() != SUMS) {
        let name = entry.file_name().to_string_lossy().into_owned();
        writeln!(sums, "{}  {name}", sum(&std::fs::read(entry.path())?))?;
    }
    println!("made  {FOLDER}/{SUMS}: {} files", sums.lines().count());
    std::fs::write(folder.join(SUMS), sums)?;
    Ok(())
}

/// What the programs for one architecture are made of and with.
struct Build<'a> {
    root: &'a Path,
    packages: &'a [Value],
    tools: &'a Environment,
    architecture: &'a Architecture,
}

fn layer(build: &Build<'_>) -> anyhow::Result<Made> {
    let Architecture { name, musl, .. } = build.architecture;
    Ok(Made {
        name: format!("lambda-otlp-layer-{name}.zip"),
        bytes: packed(&layer_files(build)?)?,
        components: notices::components(build, EXTENSION, musl)?,
        max_bytes: MAX_LAYER_BYTES,
    })
}

fn layer_files(build: &Build<'_>) -> anyhow::Result<Vec<File>> {
    let extension = binary::extension(build)?;
    println!("      the extension {} bytes", std::fs::metadata(&extension)?.len());
    let mut files = beside_the_function(build.root, &extension)?;
    let licences = licences(build, EXTENSION, build.architecture.musl)?.into_iter();
    files.extend(licences.map(|file| file.below("lambda-otlp")));
    Ok(files)
}

fn licences(build: &Build<'_>, program: &str, target: &str) -> anyhow::Result<[File; 3]> {
    let notices = notices::of(build, program, target)?;
    let [apache, mit] =
        ["LICENSE-APACHE", "LICENSE-MIT"].map(|name| File::read(name, &build.root.join(name)));
    Ok([apache?, mit?, File::text("THIRD-PARTY.txt", notices)])
}

fn beside_the_function(root: &Path, extension: &Path) -> anyhow::Result<Vec<File>> {
    let source = root.join("extension/layer");
    let mut files = vec![
        File::read(&format!("extensions/{EXTENSION}"), extension)?.program(),
        File::read("lambda-otlp-handler", &source.join("lambda-otlp-handler"))?.program(),
    ];
    for loaded in loaded(root)? {
        files.push(File::read(&format!("lambda-otlp/{loaded}"), &source.join(&loaded))?);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use crate::checks::root;

    #[test]
    fn the_page_of_a_release_tells_how_to_deploy_it() {
        let section = super::install_section(&root().unwrap()).unwrap();
        assert!(section.contains("aws cloudformation deploy"), "{section}");
        assert!(section.contains("`SHA256SUMS`"), "{section}");
    }

    #[test]
    fn files_outside_of_packages_state_the_version() {
        let version = env!("CARGO_PKG_VERSION");
        for (file, stated) in [
            ("CHANGELOG.md", format!("\n## {version} ")),
            ("extension/layer/node/lines.cjs", format!("VERSION = \"{version}\"")),
        ] {
            let text = std::fs::read_to_string(root().unwrap().join(file)).unwrap();
            assert!(text.contains(&stated), "{file}: {stated}");
        }
    }
}
