//! Keeps the documents true: writes the tables of variables, and checks links and names of files.

mod links;
mod variables;

use crate::checks;
use anyhow::{Context as _, bail};
use std::path::Path;
use std::process::Command;

pub(crate) fn write() -> anyhow::Result<()> {
    variables::write()
}

/// Fails if a document is outdated or has a broken link.
pub(crate) fn check() -> anyhow::Result<()> {
    let root = checks::root()?;
    let mut mistakes = Vec::new();
    let files = files(&root)?;
    mistakes.extend(links::check(&root, &files)?);
    for mistake in &mistakes {
        eprintln!("{mistake}");
    }
    if !mistakes.is_empty() {
        bail!("{} mistakes in documents", mistakes.len());
    }
    variables::check()
}

fn ending(file: &str) -> Option<&str> {
    Path::new(file).extension()?.to_str()
}

/// The text between `<!-- MARK -->` and `<!-- end -->` in a document.
fn marked<'a>(text: &'a str, document: &str, mark: &str) -> anyhow::Result<&'a str> {
    let begin = format!("<!-- {mark} -->\n");
    let (_, rest) =
        text.split_once(&begin).with_context(|| format!("{document}: no line {}", begin.trim()))?;
    let (table, _) =
        rest.split_once("<!-- end -->").with_context(|| format!("{document}: no end of {mark}"))?;
    Ok(table)
}

fn replace(text: &str, document: &str, mark: &str, table: &str) -> anyhow::Result<String> {
    let before = marked(text, document, mark)?;
    let (begin, end) = (format!("<!-- {mark} -->\n"), "<!-- end -->");
    Ok(text.replacen(&format!("{begin}{before}{end}"), &format!("{begin}{table}{end}"), 1))
}

/// Tracked files and new files, without ignored ones.
fn files(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(root);
    let printed = checks::output(&mut git)?;
    let names = String::from_utf8(printed.stdout).context("git ls-files")?;
    // A file that is deleted and not yet committed is still in the index.
    let there = names.lines().filter(|name| root.join(name).is_file());
    Ok(there.map(str::to_owned).collect())
}
