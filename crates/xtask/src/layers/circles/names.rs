//! Finds the module that defines what another one names, as far as paths tell.

use super::module_tree::ModuleTree;

/// Re-exports that are followed one after another; those of a crate that compiles end before.
const MAX_STEPS: usize = 32;

/// What a path leads to.
enum Found {
    Module(usize),
    /// An item, and the module that defines it.
    Item(usize, String),
}

/// Who uses which item of which module, all of them of this crate.
pub(super) fn uses(tree: &ModuleTree) -> Vec<(usize, usize, String)> {
    let mut uses = Vec::new();
    for (module, node) in tree.modules.iter().enumerate() {
        let imports = node.source.imports.iter().map(|import| &import.path);
        for path in imports.chain(&node.source.paths) {
            // A module that is named is no use of it: what is taken from it is another path.
            if let Some(Found::Item(target, name)) = resolve(tree, module, path, MAX_STEPS) {
                uses.push((module, target, name));
            }
        }
        for glob in &node.source.globs {
            if let Some(Found::Module(target)) = resolve(tree, module, glob, MAX_STEPS) {
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

/// What a name means in a module. Where it has two meanings, the last name of a path is rather an item, others are modules.
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
        node.source.globs.iter().find_map(|glob| match resolve(tree, module, glob, steps)? {
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
