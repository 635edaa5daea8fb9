//! Collects the crates of a program and their licence texts.

use super::Build;
use super::components::Component;
use crate::checks::output;
use anyhow::{Context as _, bail};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

const TOOLCHAIN: &str = "\
Rust's standard library: Apache-2.0 OR MIT, https://github.com/rust-lang/rust
LLVM's libunwind: Apache-2.0 WITH LLVM-exception, https://github.com/llvm/llvm-project
";

const MUSL: &str = "musl: MIT, https://git.musl-libc.org/cgit/musl/tree/COPYRIGHT\n";

/// The crates in a program, with their licences, and the texts of these, each once.
pub(super) fn of(build: &Build<'_>, program: &str, target: &str) -> anyhow::Result<String> {
    let mut notices = format!("{program} contains:\n\n{TOOLCHAIN}");
    if target.ends_with("-musl") {
        notices.push_str(MUSL);
    }
    // Texts, by the crates that come with them.
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (crate_name, package) in crates(build, program, target)? {
        let licence = package["license"].as_str().unwrap_or("see its text");
        writeln!(notices, "{crate_name}: {licence}")?;
        let folder = package["manifest_path"].as_str().and_then(|path| Path::new(path).parent());
        for text in licence_texts(folder.context("a package without a folder")?)? {
            texts.entry(text).or_default().push(crate_name.clone());
        }
    }
    if texts.is_empty() {
        bail!("no crate comes with its licence");
    }
    for (text, crates) in texts {
        writeln!(notices, "\n---- {}\n\n{}", crates.join(", "), text.trim())?;
    }
    Ok(notices)
}

pub(super) fn components(
    build: &Build<'_>,
    program: &str,
    target: &str,
) -> anyhow::Result<Vec<Component>> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let crates = crates(build, program, target)?.into_values();
    let components = crates.map(|package| {
        Some(Component {
            kind: "cargo",
            name: text(&package["name"])?,
            version: text(&package["version"])?,
            licence: text(&package["license"]),
        })
    });
    components.collect::<Option<_>>().context("a package without a name or version")
}

/// The crates of others that are linked, by name and version.
fn crates<'a>(
    build: &Build<'a>,
    program: &str,
    target: &str,
) -> anyhow::Result<BTreeMap<String, &'a Value>> {
    let mut crates = BTreeMap::new();
    for crate_name in linked(build.root, program, target)? {
        let (name, version) = crate_name.split_once(' ').context("a crate without a version")?;
        let is_linked = |package: &&Value| {
            package["name"] == name && package["version"].as_str() == version.strip_prefix('v')
        };
        let package = build
            .packages
            .iter()
            .find(is_linked)
            .with_context(|| format!("cargo metadata has no {crate_name}"))?;
        if !package["source"].is_null() {
            crates.insert(crate_name, package);
        }
    }
    Ok(crates)
}

fn linked(root: &Path, program: &str, target: &str) -> anyhow::Result<BTreeSet<String>> {
    let mut cargo = Command::new("cargo");
    cargo.args(["tree", "--locked", "--package", program, "--target", target]);
    cargo
        .args(["--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"])
        .current_dir(root);
    let printed = output(&mut cargo)?;
    // Behind name and version may stand a folder.
    let of_line = |line: &str| {
        let mut words = line.split(' ');
        Some(format!("{} {}", words.next()?, words.next()?))
    };
    Ok(String::from_utf8_lossy(&printed.stdout).lines().filter_map(of_line).collect())
}

fn licence_texts(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut texts = BTreeSet::new();
    for file in std::fs::read_dir(folder)? {
        let file = file?;
        let name = file.file_name().to_string_lossy().to_ascii_uppercase();
        let is_licence = ["LICENSE", "LICENCE", "COPYING", "NOTICE", "COPYRIGHT"]
            .iter()
            .any(|begin| name.starts_with(begin));
        if is_licence && file.file_type()?.is_file() {
            texts.insert(
                String::from_utf8_lossy(&std::fs::read(file.path())?).replace("\r\n", "\n"),
            );
        }
    }
    Ok(texts.into_iter().collect())
}
