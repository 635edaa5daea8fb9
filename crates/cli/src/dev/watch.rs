//! Changes of the function's code.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const INTERVAL: Duration = Duration::from_millis(300);
/// The most watched files. A larger folder is seen in part.
const MAX_FILES: usize = 20_000;
/// Folders of packages, and of build results.
const SKIPPED_FOLDERS: [&str; 4] = ["node_modules", "target", "__pycache__", "venv"];
/// Files of code. A function may write other files into the same folder.
const CODE_EXTENSIONS: [&str; 18] = [
    "cjs", "cts", "go", "html", "java", "js", "jsx", "kt", "mjs", "mts", "php", "py", "rb", "rs",
    "sql", "toml", "ts", "tsx",
];

/// The state of each file.
type FileStates = BTreeMap<PathBuf, FileState>;

#[derive(Clone, Copy, PartialEq, Eq)]
struct FileState {
    modified: SystemTime,
    bytes: u64,
}

/// The code below a folder, and further files.
#[derive(Clone)]
pub(super) struct Watched {
    pub(super) folder: PathBuf,
    pub(super) files: Vec<PathBuf>,
}

impl Watched {
    /// Calls `on_change` with the name of a file after each change, once no file changes any more.
    pub(super) async fn watch(self, mut on_change: impl FnMut(String)) {
        let mut before = self.file_states().await;
        loop {
            tokio::time::sleep(INTERVAL).await;
            let now = self.file_states().await;
            let Some(file) = changed_file(&before, &now) else { continue };
            // An editor or a compiler writes several files.
            let mut last = now;
            loop {
                tokio::time::sleep(INTERVAL / 3).await;
                let next = self.file_states().await;
                if next == last {
                    break;
                }
                last = next;
            }
            before = last;
            on_change(self.name(&file));
        }
    }

    fn name(&self, file: &Path) -> String {
        file.strip_prefix(&self.folder).unwrap_or(file).display().to_string()
    }

    async fn file_states(&self) -> FileStates {
        let watched = self.clone();
        tokio::task::spawn_blocking(move || watched.read_states()).await.unwrap_or_default()
    }

    fn read_states(&self) -> FileStates {
        let mut seen = FileStates::new();
        for file in &self.files {
            add_state(file, &mut seen);
        }
        let mut folders = vec![self.folder.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                let name = entry.file_name().to_string_lossy().into_owned();
                let is_skipped = name.starts_with('.') || SKIPPED_FOLDERS.contains(&name.as_str());
                let Ok(kind) = entry.file_type() else { continue };
                if kind.is_dir() && !is_skipped {
                    folders.push(path);
                } else if kind.is_file() && is_code(&path) && seen.len() < MAX_FILES {
                    add_state(&path, &mut seen);
                }
            }
        }
        seen
    }
}

fn is_code(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| CODE_EXTENSIONS.contains(&extension))
}

fn add_state(path: &Path, seen: &mut FileStates) {
    // A file that is being replaced is seen the next time.
    if let Ok(file) = path.metadata()
        && let Ok(modified) = file.modified()
    {
        seen.insert(path.to_owned(), FileState { modified, bytes: file.len() });
    }
}

/// Returns a file that is new, changed or gone.
fn changed_file(before: &FileStates, now: &FileStates) -> Option<PathBuf> {
    let new = now.iter().find(|(path, state)| before.get(*path) != Some(*state));
    let gone = || before.iter().find(|(path, _)| !now.contains_key(*path));
    new.or_else(gone).map(|(path, _)| path.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_code_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(path("node_modules/a")).unwrap();
        std::fs::create_dir_all(path("lib")).unwrap();
        std::fs::write(path("app.py"), "1").unwrap();
        let watched = Watched { folder: folder.path().to_owned(), files: vec![path("order.json")] };
        let changed = |name: &str, text: &str| {
            let before = watched.read_states();
            std::fs::write(path(name), text).unwrap();
            changed_file(&before, &watched.read_states()).map(|file| watched.name(&file))
        };
        assert_eq!(changed("app.py", "22"), Some("app.py".to_owned()));
        assert_eq!(changed("lib/b.mjs", "1"), Some("lib/b.mjs".to_owned()));
        assert_eq!(changed("order.json", "{}"), Some("order.json".to_owned()));
        // A function may write these.
        assert_eq!(changed("data.json", "{}"), None);
        assert_eq!(changed("node_modules/a/index.js", "1"), None);
        let before = watched.read_states();
        std::fs::remove_file(path("app.py")).unwrap();
        assert_eq!(changed_file(&before, &watched.read_states()), Some(path("app.py")));
    }
}
