//! Keeps the documents true: writes the tables of variables, and checks links, names of files and the crates' descriptions.

mod links;
mod manifests;
mod variables;

use crate::checks;
use anyhow::{Context as _, bail};
use std::path::Path;
use std::process::Command;

/// Writes the tables of variables.
pub(crate) fn write() -> anyhow::Result<()> {
    variables::write()
}

/// Fails where a document is not up to date, leads nowhere or is empty, or a crate does not say what it is.
pub(crate) fn check() -> anyhow::Result<()> {
    let root = checks::root()?;
    let mut mistakes = Vec::new();
    let files = files(&root)?;
    mistakes.extend(empty(&root, &files)?);
    mistakes.extend(links::check(&root, &files)?);
    mistakes.extend(manifests::mistakes(&checks::metadata()?));
    for mistake in &mistakes {
        eprintln!("{mistake}");
    }
    if !mistakes.is_empty() {
        bail!("{} mistakes in documents", mistakes.len());
    }
    variables::check()
}

/// The files that git knows, and those that it would add.
fn files(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(root);
    let printed = checks::output(&mut git)?;
    let names = String::from_utf8(printed.stdout).context("git ls-files")?;
    // A file that is deleted and not yet committed is still in the index.
    let there = names.lines().filter(|name| root.join(name).is_file());
    Ok(there.map(str::to_owned).collect())
}

fn empty(root: &Path, files: &[String]) -> anyhow::Result<Vec<String>> {
    let mut empty = Vec::new();
    for file in files {
        if root.join(file).metadata().with_context(|| file.clone())?.len() == 0 {
            empty.push(format!("{file}: is empty"));
        }
    }
    Ok(empty)
}
