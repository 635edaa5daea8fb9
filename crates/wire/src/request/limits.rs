//! Bounds on what is decoded.

/// Which OTLP lines are read that do not begin the text of their log event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmbeddedLines {
    /// Those that end the text, behind what was printed without a newline, and those that are the whole message of a log record.
    #[default]
    Whole,
    /// All of them, for functions that log lines through something else. Whoever gets text into a log can then forge telemetry.
    Read,
    /// None.
    Never,
}

/// What is read of one line or one delivery, and its bounds.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest inflated payload of one line, in bytes.
    pub inflated_bytes: usize,
    /// Deepest nesting of messages. Other protobuf readers stop at 100.
    pub nesting: usize,
    /// Most items (spans, data points, log records) of one request, and of all lines of one text.
    pub items: usize,
    /// The bytes that an item has on average at least in a line of more than a hundred: a line of less is made to become very many
    /// records. The smallest item that says anything, a log record with a time and a word, has more.
    pub least_item_bytes: usize,
    /// Most messages (attributes, values, events, data points, …) and repeated values of one request; 16 packed numbers
    /// count as one. An empty message has two bytes here, and more than fifty as a struct.
    pub messages: usize,
    /// Which lines are read that do not begin the text of their log event.
    pub embedded_lines: EmbeddedLines,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            inflated_bytes: 16 * 1024 * 1024,
            nesting: 64,
            items: 50_000,
            least_item_bytes: 12,
            messages: 500_000,
            embedded_lines: EmbeddedLines::default(),
        }
    }
}
