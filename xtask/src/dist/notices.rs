//! Collects the licence texts of what the extension is made of.

use super::binary::PACKAGE;
use crate::checks::output;
use anyhow::{Context as _, bail};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// What the linker adds to the crates.
const TOOLCHAIN: &str = "\
Rust's standard library: Apache-2.0 OR MIT, https://github.com/rust-lang/rust
musl: MIT, https://git.musl-libc.org/cgit/musl/tree/COPYRIGHT
LLVM's libunwind: Apache-2.0 WITH LLVM-exception, https://github.com/llvm/llvm-project
";

/// The crates in the extension, with their licences, and the texts of these, each once.
pub(super) fn of_extension(
    root: &Path,
    packages: &[Value],
    target: &str,
) -> anyhow::Result<String> {
    let mut notices = format!("The extension of lambda-otlp contains:\n\n{TOOLCHAIN}");
    // Texts, by the crates that come with them.
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for crate_name in crates(root, target)? {
        let (name, version) = crate_name.split_once(' ').context("a crate without a version")?;
        let package = packages.iter().find(|package| {
            package["name"] == name && package["version"].as_str() == version.strip_prefix('v')
        });
        let package = package.with_context(|| format!("cargo metadata has no {crate_name}"))?;
        if package["source"].is_null() {
            continue;
        }
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

/// Names and versions of the crates that are linked.
fn crates(root: &Path, target: &str) -> anyhow::Result<BTreeSet<String>> {
    let mut cargo = Command::new("cargo");
    cargo.args(["tree", "--locked", "--package", PACKAGE, "--target", target]);
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
