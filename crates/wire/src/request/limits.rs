//! Bounds on what is decoded.

/// Bounds on what is decoded from one line or one delivery.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest inflated payload of one line, in bytes.
    pub inflated_bytes: usize,
    /// Deepest nesting of messages. Other protobuf readers stop at 100.
    pub nesting: usize,
    /// Most items (spans, data points, log records) of one request.
    pub items: usize,
    /// Most messages (attributes, values, events, data points, …) and repeated values of one request; 16 packed numbers
    /// count as one. An empty message has two bytes, and more than fifty as a struct.
    pub messages: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { inflated_bytes: 16 * 1024 * 1024, nesting: 64, items: 50_000, messages: 500_000 }
    }
}
