//! The user's own dictionaries for compact lines: files in the deployment package or a layer.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use wire::compact::{Dictionaries, OwnDictionary};

const LAYER: &str = "/opt/lambda-otlp/dictionaries";
const PACKAGE: &str = "dictionaries";

/// Folders of dictionaries. `package` is the folder of the deployment package.
pub(super) fn folders(package: Option<&str>) -> Vec<PathBuf> {
    vec![Path::new(package.unwrap_or("/var/task")).join(PACKAGE), PathBuf::from(LAYER)]
}

/// A folder of this name may belong to another program.
const MOST_PROBLEMS: usize = 10;

/// Reads all dictionaries of these folders, which need not exist. Returns also the problems of other files.
pub fn read(folders: &[PathBuf]) -> (&'static Dictionaries, Vec<String>) {
    let mut dictionaries = Dictionaries::default();
    let mut problems = Vec::new();
    for folder in folders {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                problems.push(format!("{}: {error}", folder.display()));
                continue;
            }
        };
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.sort_unstable();
        for file in files {
            let added = OwnDictionary::of_file(&file, content(&file)).and_then(|own| {
                dictionaries.add(own).map_err(|reason| format!("{}: {reason}", file.display()))
            });
            problems.extend(added.err());
        }
    }
    if problems.len() > MOST_PROBLEMS {
        let others = problems.split_off(MOST_PROBLEMS).len();
        problems.push(format!("{others} other files have such problems"));
    }
    (Box::leak(Box::new(dictionaries)), problems)
}

/// Reads a file with the name of a dictionary. Reading another, such as a pipe, might never end.
fn content(file: &Path) -> io::Result<Vec<u8>> {
    OwnDictionary::number_of(file).map_err(io::Error::other)?;
    if !fs::metadata(file)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    fs::read(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_files_are_not_opened_and_only_some_are_listed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for number in 0..100 {
            fs::write(path(&format!("word-{number:02}.dic")), "").unwrap();
        }
        for name in ["dictionary-64.bin", "a.dic"] {
            // Reading such a socket fails with another error.
            std::os::unix::net::UnixListener::bind(path(name)).unwrap();
        }
        let (_, problems) = read(&[folder.path().to_owned(), path("missing"), path("word-00.dic")]);
        let problems = problems.join("\n").replace(folder.path().to_str().unwrap(), "…");
        assert!(
            problems.starts_with("…/a.dic: a dictionary is named dictionary-N.bin"),
            "{problems}"
        );
        assert!(problems.contains("…/dictionary-64.bin: it is not a regular file\n"), "{problems}");
        assert!(problems.ends_with("\n93 other files have such problems"), "{problems}");
    }
}
