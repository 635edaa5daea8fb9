//! Packs files into a zip that depends on them alone: in their order, without times.

use anyhow::Context as _;
use std::io::Write as _;
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{DateTime, System, ZipWriter};

pub(super) struct File {
    /// Below `/opt`, or a function's folder.
    pub(super) path: String,
    pub(super) bytes: Vec<u8>,
    pub(super) is_program: bool,
}

impl File {
    pub(super) fn read(path: &str, source: &Path) -> anyhow::Result<Self> {
        let bytes =
            std::fs::read(source).with_context(|| format!("cannot read {}", source.display()))?;
        Ok(Self { path: path.to_owned(), bytes, is_program: false })
    }

    pub(super) fn text(path: &str, text: String) -> Self {
        Self { path: path.to_owned(), bytes: text.into_bytes(), is_program: false }
    }

    pub(super) fn program(self) -> Self {
        Self { is_program: true, ..self }
    }

    pub(super) fn below(self, folder: &str) -> Self {
        Self { path: format!("{folder}/{}", self.path), ..self }
    }
}

pub(super) fn packed(files: &[File]) -> anyhow::Result<Vec<u8>> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for File { path, bytes, is_program } in files {
        let options = SimpleFileOptions::default()
            .last_modified_time(DateTime::default())
            .system(System::Unix)
            .compression_level(Some(9))
            .unix_permissions(if *is_program { 0o755 } else { 0o644 });
        zip.start_file(path.as_str(), options)?;
        zip.write_all(bytes)?;
    }
    Ok(zip.finish()?.into_inner())
}

/// All files below a folder in the order of their names, without unwanted files and folders.
pub(super) fn files_below(
    folder: &Path,
    is_wanted: impl Fn(&str) -> bool,
) -> anyhow::Result<Vec<File>> {
    let mut files = Vec::new();
    collect(folder, "", &is_wanted, &mut files)?;
    Ok(files)
}

fn collect(
    folder: &Path,
    above: &str,
    is_wanted: &dyn Fn(&str) -> bool,
    files: &mut Vec<File>,
) -> anyhow::Result<()> {
    let mut entries = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = format!("{above}{}", entry.file_name().to_string_lossy());
        if !is_wanted(&path) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{path}/"), is_wanted, files)?;
        } else {
            files.push(File::read(&path, &entry.path())?);
        }
    }
    Ok(())
}
