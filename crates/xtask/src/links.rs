//! Checks that links of the documents, and the files and modules that they name, exist.

use anyhow::Context as _;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

/// The changelog may name deleted files.
const HISTORY: &str = "CHANGELOG.md";

/// File endings: code in a document with one of these is checked as a file name.
const ENDINGS: &[&str] = &["md", "py", "rs", "sh", "toml", "yaml"];

/// The map of the code, which names modules by their paths.
const MAP: &str = "ARCHITECTURE.md";

/// The broken links, file names and module paths of the documents among these files, and the module paths in the heads of crates.
pub(crate) fn check(root: &Path, files: &[String]) -> anyhow::Result<Vec<String>> {
    let read =
        |file: &String| std::fs::read_to_string(root.join(file)).with_context(|| file.clone());
    let mut documents = BTreeMap::new();
    let mut maps = BTreeMap::new();
    for file in files {
        if ending(file) == Some("md") {
            let document = Document::read(&read(file)?);
            if file == MAP {
                maps.insert(file.as_str(), document.code.clone());
            }
            documents.insert(file.as_str(), document);
        } else if file.ends_with("src/lib.rs") || file.ends_with("src/main.rs") {
            let text = read(file)?;
            let head: Vec<&str> = text.lines().take_while(|line| line.starts_with("//")).collect();
            maps.insert(file.as_str(), Document::read(&head.join("\n")).code);
        }
    }
    let mut mistakes = mistakes(&documents, files);
    mistakes.extend(missing_modules(&maps, files));
    Ok(mistakes)
}

/// The paths of modules, such as `read/head`, for which there is neither a file nor a folder.
fn missing_modules(maps: &BTreeMap<&str, Vec<String>>, files: &[String]) -> Vec<String> {
    let mut known = BTreeSet::new();
    for file in files {
        let path = Path::new(file);
        for path in [path.with_extension("").as_path(), path].into_iter().flat_map(Path::ancestors)
        {
            known.extend(path.to_str().map(|path| format!("/{path}")));
        }
    }
    let is_there = |code: &str| {
        let end = format!("/{code}");
        known.iter().any(|path| path.ends_with(&end))
    };
    let mut missing = Vec::new();
    for (name, codes) in maps {
        for code in codes.iter().filter(|code| is_module_path(code) && !is_there(code)) {
            missing.push(format!("{name}: there is no module {code}"));
        }
    }
    missing
}

/// Returns `true` for names of modules with a slash between them.
fn is_module_path(code: &str) -> bool {
    let is_name = |name: &str| {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
        !name.is_empty() && name.chars().all(is_plain)
    };
    code.contains('/') && code.split('/').all(is_name)
}

#[derive(Default)]
struct Document {
    links: Vec<String>,
    code: Vec<String>,
    anchors: BTreeSet<String>,
}

impl Document {
    fn read(text: &str) -> Self {
        let mut document = Self::default();
        let mut in_block = false;
        for line in text.lines() {
            if line.trim_start().starts_with("```") {
                in_block = !in_block;
                continue;
            }
            if in_block {
                continue;
            }
            if line.starts_with('#') {
                document.anchors.insert(anchor(line.trim_start_matches('#')));
            }
            let mut prose = String::new();
            for (position, part) in line.split('`').enumerate() {
                if position % 2 == 1 {
                    document.code.push(part.to_owned());
                } else {
                    prose.push_str(part);
                }
            }
            let targets = |begin: &str, end: char| {
                let after = prose.split(begin).skip(1);
                let targets = after.filter_map(|rest| rest.split(end).next().map(str::to_owned));
                targets.collect::<Vec<_>>()
            };
            document.links.extend(targets("](", ')'));
            document.links.extend(targets("src=\"", '"'));
            document.links.extend(targets("href=\"", '"'));
        }
        document
    }
}

/// `Where telemetry is, and why?` becomes `where-telemetry-is-and-why`.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter_map(|character| match character {
        ' ' => Some('-'),
        '-' | '_' => Some(character),
        character if character.is_alphanumeric() => Some(character),
        _ => None,
    });
    kept.flat_map(char::to_lowercase).collect()
}

fn mistakes(documents: &BTreeMap<&str, Document>, files: &[String]) -> Vec<String> {
    let is_there = |path: &str| {
        let folder = format!("{path}/");
        files.iter().any(|file| file == path || file.starts_with(&folder))
    };
    let mut mistakes = Vec::new();
    for (name, document) in documents {
        let folder = Path::new(name).parent().unwrap_or(Path::new(""));
        for link in document.links.iter().filter(|link| !link.contains("://")) {
            let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() {
                Some((*name).to_owned())
            } else {
                normal(&folder.join(path)).filter(|target| is_there(target))
            };
            let Some(target) = target else {
                mistakes.push(format!("{name}: {link} leads nowhere"));
                continue;
            };
            let anchors = documents.get(target.as_str()).map(|document| &document.anchors);
            if !fragment.is_empty() && !anchors.is_some_and(|known| known.contains(fragment)) {
                mistakes.push(format!("{name}: {target} has no heading for {link}"));
            }
        }
        for code in document.code.iter().filter(|code| *name != HISTORY && is_file_name(code)) {
            let is_ours = code.split_once('/').is_some_and(|(folder, _)| is_there(folder));
            if is_ours && !is_there(code) {
                mistakes.push(format!("{name}: there is no file {code}"));
            }
        }
    }
    mistakes
}

fn ending(file: &str) -> Option<&str> {
    Path::new(file).extension()?.to_str()
}

/// Returns `true` for a path without placeholders.
fn is_file_name(code: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    code.chars().all(is_plain) && ending(code).is_some_and(|ending| ENDINGS.contains(&ending))
}

/// The path without `..`; `None` if it leaves the repository.
fn normal(path: &Path) -> Option<String> {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir if !normal.pop() => return None,
            Component::ParentDir | Component::CurDir => {}
            other => normal.push(other),
        }
    }
    Some(normal.to_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_modules_are_reported() {
        let files = ["crates/x/src/read/head.rs", "crates/x/src/logs/mod.rs", "docs/a.md"];
        let codes = ["read/head", "src/logs", "logs/mod", "docs/a", "key", "/aws/x", "`A/b`"];
        let check = |code: &str| {
            let maps = BTreeMap::from([("MAP", vec![code.to_owned()])]);
            missing_modules(&maps, &files.map(str::to_owned))
        };
        for code in codes {
            assert_eq!(check(code), [""; 0], "{code}");
        }
        for code in ["read/tail", "ad/head", "read/head/tail"] {
            assert_eq!(check(code), [format!("MAP: there is no module {code}")]);
        }
    }

    #[test]
    fn broken_links_and_paths_are_reported() {
        let check = |text: &str, expected: &[&str]| {
            let other = "# Where telemetry is, and `why`?\n## Second-hand";
            let documents = BTreeMap::from([
                ("docs/a.md", Document::read(text)),
                ("docs/b.md", Document::read(other)),
            ]);
            let files = ["docs/a.md", "docs/b.md", "crates/x/src/lib.rs", "docs/path.svg"];
            assert_eq!(mistakes(&documents, &files.map(str::to_owned)), expected, "{text}");
        };
        check("[b](b.md), [x](../crates/x), [o](https://a.b/c.md), ![p](path.svg)", &[]);
        check("<img src=\"path.svg\"> <a href=\"b.md#second-hand\">", &[]);
        check("# Here\n[b](b.md#where-telemetry-is-and-why) [here](#here)", &[]);
        check("[c](c.md)", &["docs/a.md: c.md leads nowhere"]);
        check("[c](../../c.md)", &["docs/a.md: ../../c.md leads nowhere"]);
        check("![c](c.svg)", &["docs/a.md: c.svg leads nowhere"]);
        check("[b](b.md#third)", &["docs/a.md: docs/b.md has no heading for b.md#third"]);
        check("[a](#third)", &["docs/a.md: docs/a.md has no heading for #third"]);
        check("```\n[c](c.md)\n```\n`[c](c.md)`", &[]);
        check(
            "`crates/x/src/lib.rs`, `b.md`, `./b.md`, `a/{b}.rs`, `/opt/c.toml`, `your/c.toml`, `x/y`",
            &[],
        );
        check("`crates/x/src/gone.rs`", &["docs/a.md: there is no file crates/x/src/gone.rs"]);
    }
}
