//! The user's own dictionaries for compact lines: files in the deployment package or a layer.

use std::fs;
use std::path::{Path, PathBuf};
use wire::compact::{Dictionaries, OwnDictionary};

const LAYER: &str = "/opt/lambda-otlp/dictionaries";
const PACKAGE: &str = "dictionaries";

/// Folders of dictionaries. `package` is the folder of the deployment package.
pub(super) fn folders(package: Option<&str>) -> Vec<PathBuf> {
    vec![Path::new(package.unwrap_or("/var/task")).join(PACKAGE), PathBuf::from(LAYER)]
}

/// Reads all dictionaries of these folders, which need not exist. Returns also the problems of other files.
pub fn read(folders: &[PathBuf]) -> (&'static Dictionaries, Vec<String>) {
    let mut dictionaries = Dictionaries::default();
    let mut problems = Vec::new();
    for folder in folders {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.sort_unstable();
        for file in files {
            let added = OwnDictionary::of_file(&file, fs::read(&file)).and_then(|own| {
                dictionaries.add(own).map_err(|reason| format!("{}: {reason}", file.display()))
            });
            problems.extend(added.err());
        }
    }
    (Box::leak(Box::new(dictionaries)), problems)
}
