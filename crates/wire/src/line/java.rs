//! Recognizes the prefixes of Java's loggers before OTLP/JSON of OpenTelemetry's `logging-otlp` exporters.
//!
//! Source: opentelemetry-java, `exporters/logging-otlp`; `java.util.logging.SimpleFormatter`; the patterns that AWS documents for
//! log4j2 ("Java function logging" of the Lambda Developer Guide), and the defaults of logback and Spring Boot.

const LONGEST: usize = 400;

/// `java.util.logging` writes two lines, and Lambda may create a log event of each: the second begins so.
const LEVELS: [&str; 7] = ["SEVERE", "WARNING", "INFO", "CONFIG", "FINE", "FINER", "FINEST"];

/// The loggers' names, regardless of abbreviated packages: `OtlpJsonLoggingSpanExporter`, and likewise for metrics and log
/// records.
const LOGGER: &str = "OtlpJsonLogging";

/// Length of a logger's prefix before the object at the start of the rest of `text`; 0 without one.
pub(super) fn prefix_len(text: &str) -> usize {
    let Some(len) = text.bytes().take(LONGEST).position(|byte| byte == b'{') else { return 0 };
    if len == 0 {
        return 0;
    }
    let prefix = text.get(..len).unwrap_or_default();
    if is_level(prefix) || is_of_logger(prefix) { len } else { 0 }
}

/// `INFO: `.
fn is_level(text: &str) -> bool {
    text.strip_suffix(": ").is_some_and(|word| LEVELS.contains(&word))
}

/// Times, levels, threads and request ids, and then the logger: `2026-11-20 12:00:00 <request id> INFO
/// OtlpJsonLoggingSpanExporter:80 - `. Other words make it an ordinary text that names the logger.
fn is_of_logger(prefix: &str) -> bool {
    let Some((before, after)) = prefix.split_once(LOGGER) else { return false };
    let (before, package) = before.rsplit_once(char::is_whitespace).unwrap_or(("", before));
    let is_package = package.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'.');
    // The class, the line of code or the method, and the end of the prefix.
    let class_len = after.bytes().take_while(u8::is_ascii_alphanumeric).count();
    let is_end = match after.get(class_len..).unwrap_or_default() {
        // `java.util.logging` writes the level on a separate line.
        end if end.starts_with(" export") => {
            end.split_once('\n').is_some_and(|(_, level)| is_level(level))
        }
        end => {
            let end = end.strip_prefix(':').map_or(end, |line| {
                line.trim_start_matches(|character: char| character.is_ascii_digit())
            });
            matches!(end.trim_start(), "- " | ": ")
        }
    };
    is_package && is_end && is_of_pattern(before)
}

/// Returns `true` if the words before the logger's name can come from a pattern; text in brackets is a thread's name.
fn is_of_pattern(text: &str) -> bool {
    let (outside, after) = match text.split_once('[') {
        Some((outside, thread)) => match thread.split_once(']') {
            Some((_, after)) => (outside, after),
            None => return false,
        },
        None => (text, ""),
    };
    outside.split_whitespace().chain(after.split_whitespace()).all(is_word_of_pattern)
}

fn is_word_of_pattern(word: &str) -> bool {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    const OTHERS: [&str; 10] =
        ["AM", "PM", "---", "TRACE", "DEBUG", "WARN", "ERROR", "FATAL", "OFF", "ALL"];
    let is_number = word.starts_with(|character: char| character.is_ascii_digit());
    let is_request_id = word.len() == 36 && word.bytes().filter(|byte| *byte == b'-').count() == 4;
    is_number
        || is_request_id
        || LEVELS.contains(&word)
        || MONTHS.contains(&word)
        || OTHERS.contains(&word)
}
