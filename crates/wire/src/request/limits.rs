//! Limits on decoding.

/// Limits on decoding one line or one delivery.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum inflated payload of one line, in bytes.
    pub inflated_bytes: usize,
    /// Bytes that undecodable lines may inflate to together. After that, each line may inflate to at most 64 times its size, so
    /// that lines made to fail cost little time, and leave room for good lines beside them.
    pub refused_bytes: usize,
    /// Maximum nesting of messages. Other protobuf readers stop at 100.
    pub nesting: usize,
    /// Maximum number of items (spans, data points, log records) of one request, and of all lines of one text.
    pub items: usize,
    /// Minimum average size of an item in bytes, in lines with more than a hundred: a line with smaller ones is an attack that
    /// creates very many records. The smallest meaningful item, a log record with a time and a word, is larger.
    pub least_item_bytes: usize,
    /// Maximum number of messages (attributes, values, events, data points, …) and repeated values of one request; 16 packed
    /// numbers count as one. An empty message has two bytes here, and more than fifty as a struct.
    pub messages: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            inflated_bytes: 16 * 1024 * 1024,
            refused_bytes: 16 * 1024 * 1024,
            nesting: 64,
            items: 50_000,
            least_item_bytes: 12,
            messages: 500_000,
        }
    }
}
