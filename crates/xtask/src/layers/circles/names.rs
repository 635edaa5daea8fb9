//! Finds the module that defines a name, by paths.

use super::module_tree::ModuleTree;

/// The most re-exports in a chain; a crate that compiles has fewer.
const MAX_STEPS: usize = 32;

enum Found {
    Module(usize),
    /// An item, and the module that defines it.
    Item(usize, String),
}

/// Uses of items: user module, defining module and name, all of this crate.
pub(super) fn uses(tree: &ModuleTree) -> Vec<(usize, usize, String)> {
    let mut uses = Vec::new();
    for (module, node) in tree.modules.iter().enumerate() {
        // A module that only passes a name on does not use it; its users are followed to the definition.
        let imports = node.source.imports.iter();
        let imports = imports
            .filter(|import| !import.is_reexport || node.source.words.contains(&import.name))
            .map(|import| &import.path);
        for path in imports.chain(&node.source.paths) {
            // Naming a module is no use; the items taken from it have paths of their own.
            if let Some(Found::Item(target, name)) = resolve(tree, module, path, MAX_STEPS) {
                uses.push((module, target, name));
            }
        }
        for glob in node.source.globs.iter().filter(|glob| !glob.is_reexport) {
            if let Some(Found::Module(target)) = resolve(tree, module, &glob.path, MAX_STEPS) {
                uses.push((module, target, "*".to_owned()));
            }
        }
    }
    uses
}

fn resolve(tree: &ModuleTree, from: usize, path: &[String], steps: usize) -> Option<Found> {
    let (first, rest) = path.split_first()?;
    let mut module = match first.as_str() {
        "crate" => 0,
        "self" => from,
        "super" => tree.modules.get(from)?.parent?,
        name => match member(tree, from, name, rest.is_empty(), steps)? {
            Found::Module(module) => module,
            item @ Found::Item(..) => return Some(item),
        },
    };
    for (position, name) in rest.iter().enumerate() {
        let is_last = position + 1 == rest.len();
        module = match name.as_str() {
            "self" => module,
            "super" => tree.modules.get(module)?.parent?,
            name => match member(tree, module, name, is_last, steps) {
                Some(Found::Module(module)) => module,
                Some(item) => return Some(item),
                // Made by a macro, or a re-export of another crate's.
                None if is_last && !is_imported(tree, module, name) => {
                    return Some(Found::Item(module, name.to_owned()));
                }
                None => return None,
            },
        };
    }
    Some(Found::Module(module))
}

fn is_imported(tree: &ModuleTree, module: usize, name: &str) -> bool {
    let imports = tree.modules.get(module).map(|module| &module.source.imports);
    imports.into_iter().flatten().any(|import| import.name == name)
}

/// The meaning of a name in a module. If it has two, the last name of a path is an item, others are modules.
fn member(
    tree: &ModuleTree,
    module: usize,
    name: &str,
    is_last: bool,
    steps: usize,
) -> Option<Found> {
    let steps = steps.checked_sub(1)?;
    let node = tree.modules.get(module)?;
    let item = || {
        let is_defined = node.source.items.contains(name);
        is_defined.then(|| Found::Item(module, name.to_owned()))
    };
    let child = || node.children.get(name).copied().map(Found::Module);
    let imported = || {
        let mut imports = node.source.imports.iter().filter(|import| import.name == name);
        imports.find_map(|import| resolve(tree, module, &import.path, steps))
    };
    let of_globs = || {
        node.source.globs.iter().find_map(|glob| match resolve(tree, module, &glob.path, steps)? {
            Found::Module(glob) if glob != module => member(tree, glob, name, is_last, steps),
            _ => None,
        })
    };
    if is_last {
        item().or_else(imported).or_else(child).or_else(of_globs)
    } else {
        child().or_else(imported).or_else(item).or_else(of_globs)
    }
}
