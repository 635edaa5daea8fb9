//! Makes the release files of a commit in two folders, and compares them. Publishes nothing.

use super::{FOLDER, SUMS, What, make};
use crate::checks::{metadata, output, root};
use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// The files outside cargo's packages that state their version, and the text before it.
const STATED: [(&str, &str); 4] = [
    ("CHANGELOG.md", "\n## "),
    ("deploy/cdk/package.json", "\"version\": \""),
    ("deploy/cdk/README.md", "lambda-otlp-cdk-"),
    ("extension/layer/node/lines.cjs", "VERSION = \""),
];

pub(crate) fn run() -> anyhow::Result<()> {
    let root = root()?;
    println!("pass  version: {} everywhere", version(&root, &metadata()?)?);
    let git = |arguments: &[&str]| {
        let printed = output(Command::new("git").args(arguments).current_dir(&root))?;
        anyhow::Ok(String::from_utf8_lossy(&printed.stdout).trim().to_owned())
    };
    let changed = git(&["status", "--porcelain"])?;
    ensure!(changed.is_empty(), "these files are not committed, commit or remove them:\n{changed}");
    let scratch = tempfile::tempdir_in(root.join("target"))?;
    // A path in a file, or its length, makes the file differ.
    let folders = ["one", "two/in-a-deeper-folder"].map(|name| scratch.path().join(name));
    for folder in &folders {
        let clone = folder.to_str().context("a folder whose name is not UTF-8")?;
        git(&["clone", "--quiet", ".", clone])?;
    }
    println!("make  the files of commit {} twice", git(&["rev-parse", "--short", "HEAD"])?);
    let made = folders.map(|folder| {
        make(&folder, What::All)?;
        let sums = std::fs::read_to_string(folder.join(FOLDER).join(SUMS))?;
        anyhow::Ok(sums.lines().map(str::to_owned).collect::<BTreeSet<_>>())
    });
    let [one, two] = made;
    let (one, two) = (one?, two?);
    let different: Vec<&str> =
        one.symmetric_difference(&two).filter_map(|sum| sum.split("  ").nth(1)).collect();
    if !different.is_empty() {
        bail!("different in {}: {}", scratch.keep().display(), different.join(", "));
    }
    println!("pass  {} files are the same; nothing was published", one.len());
    Ok(())
}

/// The version that all packages and files have.
fn version(root: &Path, metadata: &Value) -> anyhow::Result<String> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let of_package = packages.map(|package| {
        let text = |name: &str| package[name].as_str().unwrap_or_default().to_owned();
        Ok((text("name"), text("version")))
    });
    let of_file = STATED.iter().map(|(file, before)| {
        let text = std::fs::read_to_string(root.join(file)).context(*file)?;
        let (_, rest) = text.split_once(before).with_context(|| format!("{file}: no version"))?;
        let is_of_version = |c: &char| c.is_ascii_digit() || *c == '.';
        let version: String = rest.chars().take_while(is_of_version).collect();
        Ok(((*file).to_owned(), version.trim_end_matches('.').to_owned()))
    });
    let stated: BTreeMap<String, String> =
        of_package.chain(of_file).collect::<anyhow::Result<_>>()?;
    let versions: BTreeSet<&String> = stated.values().collect();
    ensure!(versions.len() == 1, "the packages and files have different versions: {stated:?}");
    Ok(versions.into_iter().cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_with_a_different_version_is_rejected() {
        let (root, mut metadata) = (root().unwrap(), metadata().unwrap());
        assert!(version(&root, &metadata).is_ok());
        metadata["packages"][3]["version"] = "0.1.1".into();
        let error = version(&root, &metadata).unwrap_err().to_string();
        assert!(error.starts_with("the packages and files have different versions"), "{error}");
    }
}
