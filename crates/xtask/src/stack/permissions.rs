//! Checks that the page on deployment lists every permission that CloudFormation needs for the stack.

use super::derived::PLAIN;
use crate::checks::output;
use crate::pypi::Environment;
use anyhow::ensure;
use serde::Deserialize;
use std::path::Path;

const PAGE: &str = "docs/deploy.md";

/// The output of `permissions.py`.
#[derive(Deserialize)]
struct Compared {
    missing: Vec<String>,
    /// Exceptions that match no permission.
    unused: Vec<String>,
    needed: usize,
    /// The types whose permissions are unknown.
    types: Vec<String>,
}

pub(super) fn check(root: &Path, tools: &Environment) -> anyhow::Result<String> {
    let mut script = tools.script(&root.join("crates/xtask/src/stack/permissions.py"));
    let printed = output(script.arg(root.join(PLAIN)).arg(root.join(PAGE)))?;
    let Compared { missing, unused, needed, types } = serde_json::from_slice(&printed.stdout)?;
    ensure!(types.is_empty(), "cfn-lint has no permissions for {types:?}");
    ensure!(unused.is_empty(), "no permission matches {unused:?} of permissions.py");
    ensure!(missing.is_empty(), "{PAGE} does not list {missing:?}");
    Ok(format!("{needed} permissions, each listed in {PAGE} or not needed"))
}
