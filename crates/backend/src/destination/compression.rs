//! How request bodies are sent.

/// How bodies are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// As they are.
    None,
    /// One gzip member.
    #[default]
    Gzip,
}
