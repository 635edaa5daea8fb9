//! How request bodies are sent.

/// How the body of a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// As it is.
    None,
    /// As one gzip member.
    #[default]
    Gzip,
}
