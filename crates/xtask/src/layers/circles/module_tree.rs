//! The modules of a crate and the files in which they stand.

use super::source::{self, Body, Source};
use anyhow::{Context as _, bail};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// All modules of one crate; the first is its root.
pub(super) struct ModuleTree {
    pub(super) modules: Vec<Module>,
    pub(super) files: Vec<PathBuf>,
}

/// One module: a file, or a part of one.
pub(super) struct Module {
    pub(super) parent: Option<usize>,
    pub(super) children: BTreeMap<String, usize>,
    pub(super) source: Source,
    file: usize,
}

/// Reads a file; `None` where there is none.
pub(super) type ReadFile<'a> = &'a dyn Fn(&Path) -> Option<String>;

struct Declared {
    parent: Option<usize>,
    file: usize,
    directory: PathBuf,
    source: Source,
}

impl ModuleTree {
    pub(super) fn read(root: &Path, read_file: ReadFile<'_>) -> anyhow::Result<Self> {
        let mut tree = Self { modules: Vec::new(), files: Vec::new() };
        let source = tree.add_file(root, read_file)?.context("there is no such file")?;
        let directory = root.parent().unwrap_or(Path::new("")).to_owned();
        tree.add(Declared { parent: None, file: 0, directory, source }, read_file)?;
        Ok(tree)
    }

    fn add_file(&mut self, path: &Path, read_file: ReadFile<'_>) -> anyhow::Result<Option<Source>> {
        let Some(text) = read_file(path) else { return Ok(None) };
        let source = source::parse(&text).with_context(|| path.display().to_string())?;
        self.files.push(path.to_owned());
        Ok(Some(source))
    }

    fn add(&mut self, declared: Declared, read_file: ReadFile<'_>) -> anyhow::Result<usize> {
        let Declared { parent, file, directory, mut source } = declared;
        let children = std::mem::take(&mut source.children);
        let module = self.modules.len();
        self.modules.push(Module { parent, children: BTreeMap::new(), source, file });
        for child in children {
            let declared = match child.body {
                Body::Inline(source) => Declared {
                    parent: Some(module),
                    file,
                    directory: directory.join(&child.name),
                    source,
                },
                Body::File { path } => {
                    let beside = self.files.get(file).and_then(|file| file.parent());
                    let candidates = match path {
                        Some(path) => vec![beside.unwrap_or(Path::new("")).join(path)],
                        None => vec![
                            directory.join(&child.name).join("mod.rs"),
                            directory.join(format!("{}.rs", child.name)),
                        ],
                    };
                    self.find(module, &child.name, &candidates, read_file)?
                }
            };
            let added = self.add(declared, read_file)?;
            if let Some(module) = self.modules.get_mut(module) {
                module.children.insert(child.name, added);
            }
        }
        Ok(module)
    }

    fn find(
        &mut self,
        parent: usize,
        name: &str,
        candidates: &[PathBuf],
        read_file: ReadFile<'_>,
    ) -> anyhow::Result<Declared> {
        for path in candidates {
            let file = self.files.len();
            if let Some(source) = self.add_file(path, read_file)? {
                let beside = path.parent().unwrap_or(Path::new(""));
                let is_named = path.file_stem().is_some_and(|stem| stem == name);
                let directory = if is_named { beside.join(name) } else { beside.to_owned() };
                return Ok(Declared { parent: Some(parent), file, directory, source });
            }
        }
        bail!("no file for `mod {name}`, looked for {candidates:?}")
    }

    pub(super) fn file_of(&self, module: usize) -> usize {
        self.modules.get(module).map_or(0, |module| module.file)
    }

    /// Returns `true` if the module of one file lies inside that of the other.
    pub(super) fn is_inside(&self, inner: usize, outer: usize) -> bool {
        let mut module = self.modules.iter().find(|module| module.file == inner);
        while let Some(parent) = module.and_then(|module| self.modules.get(module.parent?)) {
            if parent.file == outer {
                return true;
            }
            module = Some(parent);
        }
        false
    }

    pub(super) fn name_of(&self, file: usize) -> String {
        let root = self.files.first().and_then(|root| root.parent()).unwrap_or(Path::new(""));
        let path = self.files.get(file).map_or(root, PathBuf::as_path);
        path.strip_prefix(root).unwrap_or(path).display().to_string()
    }
}
