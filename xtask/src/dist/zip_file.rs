//! Packs files into a zip that depends on them alone: in their order, without times.

use anyhow::Context as _;
use std::io::Write as _;
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{DateTime, System, ZipWriter};

/// A file of a layer.
pub(super) struct File {
    /// Below `/opt`.
    pub(super) path: String,
    pub(super) bytes: Vec<u8>,
    pub(super) is_program: bool,
}

impl File {
    pub(super) fn read(path: &str, source: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(source);
        let bytes = bytes.with_context(|| format!("cannot read {}", source.display()))?;
        Ok(Self { path: path.to_owned(), bytes, is_program: false })
    }

    pub(super) fn program(self) -> Self {
        Self { is_program: true, ..self }
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
