//! Severities: OpenObserve stores a record's text alone, and loggers write the same severity in many spellings. Each record gets
//! the name of its severity's class, so that one condition finds all errors.

/// The attribute with a logger's own text. OpenTelemetry's semantic conventions have no attribute for it.
pub(super) const ORIGINAL: &str = "lambda_otlp.severity_text";

/// The short names of severities without their digits (OpenTelemetry logs data model, "Displaying Severity"). Each has four numbers.
const CLASSES: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
const NUMBERS_OF_A_CLASS: usize = 4;

/// A log record's severity.
#[derive(Clone, Copy, Default)]
pub(super) struct Severity<'r> {
    pub(super) number: i32,
    pub(super) text: &'r [u8],
}

impl Severity<'_> {
    /// Returns the new text; `None` if the record has it, or if its level is not known.
    #[inline]
    pub(super) fn new_text(self) -> Option<&'static str> {
        let text = match class(self.number) {
            Some(class) => class,
            None => self.class_of_text()?,
        };
        (text.as_bytes() != self.text).then_some(text)
    }

    /// Reads the text of a record without a number.
    #[cold]
    fn class_of_text(self) -> Option<&'static str> {
        if self.text.is_empty() {
            // Otherwise OpenObserve would write the number, and the column would mix `INFO` and `0`.
            return Some("UNSPECIFIED");
        }
        class(platform::severity_number(str::from_utf8(self.text).ok()?)? as i32)
    }

    /// Returns `true` if the new text lacks something of the record's own text. A difference in case is nothing.
    pub(super) fn is_shortened_by(self, new_text: &str) -> bool {
        !self.text.is_empty() && !self.text.eq_ignore_ascii_case(new_text.as_bytes())
    }
}

#[inline]
fn class(number: i32) -> Option<&'static str> {
    let place = usize::try_from(i64::from(number) - 1).ok()?;
    CLASSES.get(place / NUMBERS_OF_A_CLASS).copied()
}

/// A protobuf enum is a sign-extended varint, of which the low 32 bits count.
#[expect(clippy::cast_possible_truncation, reason = "as protobuf does")]
pub(super) fn to_number(varint: u64) -> i32 {
    varint as i32
}
