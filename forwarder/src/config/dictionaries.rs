//! The user's own dictionaries for compact lines: files in the deployment package or a layer.

use std::fs;
use std::path::{Path, PathBuf};
use wire::compact::Dictionaries;

const LAYER: &str = "/opt/lambda-otlp/dictionaries";
const PACKAGE: &str = "dictionaries";

/// A limit for reading only: a dictionary has 33 KB.
const MOST_BYTES: u64 = 256 * 1024;

/// Folders of dictionaries. `package` is the folder of the deployment package.
pub(super) fn folders(package: Option<&str>) -> Vec<PathBuf> {
    vec![Path::new(package.unwrap_or("/var/task")).join(PACKAGE), PathBuf::from(LAYER)]
}

/// Reads all dictionaries of these folders, which need not exist. Returns `None` if there are none, and the problems of other
/// files.
pub(super) fn read(folders: &[PathBuf]) -> (Option<&'static Dictionaries>, Vec<String>) {
    let mut dictionaries = Dictionaries::default();
    let mut problems = Vec::new();
    for folder in folders {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.sort_unstable();
        for file in files {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let added = bytes(&file)
                .and_then(|bytes| dictionaries.add(&name, bytes).map_err(str::to_owned));
            problems.extend(added.err().map(|reason| format!("{}: {reason}", file.display())));
        }
    }
    let dictionaries = (!dictionaries.is_empty()).then(|| &*Box::leak(Box::new(dictionaries)));
    (dictionaries, problems)
}

fn bytes(file: &Path) -> Result<Vec<u8>, String> {
    let length = fs::metadata(file).map_err(|error| error.to_string())?.len();
    if length > MOST_BYTES {
        return Err(format!("it has {length} bytes, more than a dictionary"));
    }
    fs::read(file).map_err(|error| error.to_string())
}
