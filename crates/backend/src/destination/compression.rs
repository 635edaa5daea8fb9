//! Compression of request bodies.

/// Compression of request bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// No compression.
    None,
    /// One gzip member.
    #[default]
    Gzip,
}
