//! Converts the log levels of all runtimes to OTLP severities.
//!
//! A level is read only where a logger writes it, never searched in a message: "no errors" is no error.
//!
//! Source: OpenTelemetry logs data model, "Severity fields"; levels of Lambda's JSON log format; the numbers of pino and bunyan.

use opentelemetry_proto::tonic::logs::v1::SeverityNumber;
use std::borrow::Cow;

/// Number and text of a severity. The text is never empty: OpenObserve would store the number instead, and the column would mix
/// both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Severity {
    pub(crate) number: SeverityNumber,
    pub(crate) text: Cow<'static, str>,
}

impl Severity {
    /// The severity of a line without a level. Lambda treats such lines as INFO too (Developer Guide, "Log-level filtering").
    /// "Log-level filtering").
    pub(crate) const UNSAID: Self = Self::known(SeverityNumber::Info, "INFO");
    pub(crate) const WARN: Self = Self::known(SeverityNumber::Warn, "WARN");
    pub(crate) const ERROR: Self = Self::known(SeverityNumber::Error, "ERROR");

    const fn known(number: SeverityNumber, text: &'static str) -> Self {
        Self { number, text: Cow::Borrowed(text) }
    }

    /// Reads a level as a word, in any case, with or without surrounding spaces.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        const LEVELS: &[(SeverityNumber, &str, &[&str])] = &[
            (SeverityNumber::Trace, "TRACE", &["TRACE", "VERBOSE", "SILLY"]),
            (SeverityNumber::Debug, "DEBUG", &["DEBUG"]),
            (SeverityNumber::Info, "INFO", &["INFO", "INFORMATION"]),
            (SeverityNumber::Info2, "NOTICE", &["NOTICE"]),
            (SeverityNumber::Warn, "WARN", &["WARN", "WARNING"]),
            (SeverityNumber::Error, "ERROR", &["ERROR", "ERR"]),
            (
                SeverityNumber::Fatal,
                "FATAL",
                &["FATAL", "CRITICAL", "CRIT", "PANIC", "ALERT", "EMERGENCY", "EMERG"],
            ),
        ];
        let word = word.trim();
        LEVELS
            .iter()
            .find(|(_, _, words)| words.iter().any(|known| known.eq_ignore_ascii_case(word)))
            .map(|(number, text, _)| Self::known(*number, text))
    }

    /// Reads a level in a text line, where it must be upper case: `Error` may be a word of the message.
    pub(crate) fn of_text(word: &str) -> Option<Self> {
        let is_upper = word.bytes().all(|byte| byte.is_ascii_uppercase());
        if is_upper { Self::of_word(word) } else { None }
    }

    /// Reads a level as a number of pino or bunyan.
    pub(crate) fn of_number(number: i64) -> Option<Self> {
        Self::of_word(match number {
            10 => "TRACE",
            20 => "DEBUG",
            30 => "INFO",
            40 => "WARN",
            50 => "ERROR",
            60 => "FATAL",
            _ => return None,
        })
    }

    /// An unknown level: one short word, in upper case. Other text is no level, and rules must be able to redact it.
    pub(crate) fn of_own_word(word: &str) -> Option<Self> {
        const MOST_BYTES: usize = 32;
        let word = word.trim();
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        let is_level = (1..=MOST_BYTES).contains(&word.len()) && word.chars().all(is_part);
        let text = || Cow::Owned(word.to_uppercase());
        is_level.then(|| Self { number: SeverityNumber::Unspecified, text: text() })
    }
}

pub(crate) const ESC: char = '\x1b';

/// The text without its SGR sequences (ECMA-48, 8.3.117), such as `ESC [ 3 1 m`.
pub(crate) fn without_colours(text: &str) -> Cow<'_, str> {
    let mut parts = text.split(ESC);
    let first = parts.next().unwrap_or_default();
    if first.len() == text.len() {
        return Cow::Borrowed(text);
    }
    let mut plain = first.to_owned();
    for part in parts {
        let behind = part.strip_prefix('[').map(|rest| rest.trim_start_matches(is_parameter));
        match behind.and_then(|rest| rest.strip_prefix('m')) {
            Some(rest) => plain.push_str(rest),
            None => plain.extend([ESC.encode_utf8(&mut [0; 4]), part]),
        }
    }
    Cow::Owned(plain)
}

fn is_parameter(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, ';' | ':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numeric_levels_of_pino_and_bunyan_are_mapped() {
        let text = |number| Severity::of_number(number).map(|severity| severity.text);
        let texts = [10, 20, 30, 40, 50, 60].map(text).map(Option::unwrap_or_default);
        assert_eq!(texts, ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]);
        assert_eq!([0, 35, 70].map(text), [None, None, None]);
    }
}

#[cfg(test)]
mod colours_tests {
    use super::*;

    #[test]
    fn only_colours_are_removed() {
        let check = |text: &str, expected: &str| assert_eq!(without_colours(text), expected);
        check("", "");
        check("plain [31m", "plain [31m");
        check("\x1b[31mred\x1b[0m \x1b[1;38:5:9mbold\x1b[m", "red bold");
        check("\x1b", "\x1b");
        check("\x1b[", "\x1b[");
        check("\x1b\x1b[31mx", "\x1bx");
        check("\x1b[2Jx\x1b[31", "\x1b[2Jx\x1b[31");
    }
}
