//! Checks that no files of one crate use each other in a circle; a module and its submodules may know each other.
//!
//! It reads the source as text, token by token, and follows `use` and the paths in the code to the file that defines the
//! name, through re-exports. Methods and fields have no paths and are not seen; code for tests does not count.

mod components;
mod module_tree;
mod names;
mod source;
#[cfg(test)]
mod tests;

use anyhow::{Context as _, bail};
use module_tree::ModuleTree;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Checks the libraries and binaries of all crates of the workspace.
pub(super) fn check(metadata: &Value) -> anyhow::Result<()> {
    let (mut trees, mut files, mut circles) = (0, 0, 0);
    for (package, root) in roots(metadata) {
        let tree = ModuleTree::read(Path::new(root), &|path| std::fs::read_to_string(path).ok());
        let tree = tree.with_context(|| format!("the modules of {package}"))?;
        for circle in circles_of(&tree) {
            circles += 1;
            eprintln!("{package}: {circle}");
        }
        trees += 1;
        files += tree.files.len();
    }
    if circles > 0 {
        bail!(
            "files use each other in {circles} circles; move what both need to a file of its own"
        );
    }
    println!("circles: none among {files} files of {trees} libraries and binaries");
    Ok(())
}

/// Package, and the file in which a library or a binary of it begins.
fn roots(metadata: &Value) -> Vec<(&str, &str)> {
    let mut roots = Vec::new();
    for package in list(metadata, "packages") {
        let name = package.get("name").and_then(Value::as_str).unwrap_or_default();
        for target in list(package, "targets") {
            let is_shipped = list(target, "kind").iter().any(|kind| kind == "lib" || kind == "bin");
            if is_shipped && let Some(path) = target.get("src_path").and_then(Value::as_str) {
                roots.push((name, path));
            }
        }
    }
    roots
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Returns each circle of files, with the names that each of them takes from the others, an arrow a line.
///
/// A module and its own submodules may know each other. The search therefore runs twice: without the arrows from a module to
/// its submodules, and without those from the submodules to it.
fn circles_of(tree: &ModuleTree) -> Vec<String> {
    let mut arrows: BTreeMap<usize, BTreeMap<usize, BTreeSet<String>>> = BTreeMap::new();
    for (module, target, name) in names::uses(tree) {
        let (from, to) = (tree.file_of(module), tree.file_of(target));
        if from != to {
            arrows.entry(from).or_default().entry(to).or_default().insert(name);
        }
    }
    let mut found = Vec::new();
    for is_left_out in [
        (|tree, from, to| tree.is_inside(to, from)) as fn(&ModuleTree, usize, usize) -> bool,
        |tree, from, to| tree.is_inside(from, to),
    ] {
        let targets = |file: usize| {
            let all = arrows.get(&file).into_iter().flatten().map(|(to, _)| *to);
            all.filter(move |to| !is_left_out(tree, file, *to))
        };
        for circle in components::circles(tree.files.len(), targets) {
            let mut lines = vec![format!("{} files use each other in a circle", circle.len())];
            for from in &circle {
                for (to, names) in arrows.get(from).into_iter().flatten() {
                    if circle.contains(to) && !is_left_out(tree, *from, *to) {
                        let names: Vec<&str> = names.iter().map(String::as_str).collect();
                        let (from, to) = (tree.name_of(*from), tree.name_of(*to));
                        lines.push(format!("  {from} -> {to}: {}", names.join(", ")));
                    }
                }
            }
            let lines = lines.join("\n");
            if !found.contains(&lines) {
                found.push(lines);
            }
        }
    }
    found
}
