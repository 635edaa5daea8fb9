//! Converts the log levels of all loggers to OTLP severities. A level is read only where a logger writes it.
//!
//! Source: OpenTelemetry logs data model, "Severity fields", and its bridges for slog and zap; levels of Lambda's JSON log format;
//! the documentation of each logger.

use opentelemetry_proto::tonic::logs::v1::SeverityNumber;
use std::borrow::Cow;
use std::sync::LazyLock;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Severity {
    pub(crate) number: SeverityNumber,
    pub(crate) text: &'static str,
}

/// A level with the words for it.
struct Level {
    severity: Severity,
    /// Words that are levels wherever a logger writes one.
    usual: &'static [&'static str],
    /// Words of ordinary language, or short forms: levels in brackets, as a value, and in upper case after a time.
    others: &'static [&'static str],
}

/// All levels, the frequent ones first. A logger with another word needs a row here.
static LEVELS: [Level; 7] = [
    Level {
        severity: Severity::INFO,
        usual: &["INFO", "INFORMATION", "INFORMATIONAL"],
        others: &["ANY", "INF", "LOG", "SUCCESS", "I!"],
    },
    Level {
        severity: Severity::ERROR,
        usual: &["ERROR", "SEVERE"],
        others: &["ERR", "ERRO", "EROR", "ERR!", "FAIL", "E!"],
    },
    Level {
        severity: Severity::WARN,
        usual: &["WARN", "WARNING"],
        others: &["WARNI", "WAR", "WRN", "W!"],
    },
    Level {
        severity: Severity::of(SeverityNumber::Debug, "DEBUG"),
        usual: &["DEBUG", "FINER"],
        others: &["DBG", "DBUG", "DEB", "DEBU", "DEBG", "FINE", "CONFIG", "D!"],
    },
    Level {
        severity: Severity::of(SeverityNumber::Trace, "TRACE"),
        usual: &["TRACE", "VERBOSE", "SILLY", "FINEST"],
        others: &["TRC", "TRCE", "TRAC", "VRB", "T!"],
    },
    Level {
        severity: Severity::of(SeverityNumber::Info2, "NOTICE"),
        usual: &[],
        others: &["NOTICE", "NOTE", "NOTI", "NTC"],
    },
    Level {
        severity: Severity::FATAL,
        usual: &["FATAL", "CRITICAL", "CRIT", "DPANIC", "EMERG"],
        others: &[
            "CRI",
            "CRITI",
            "PANIC",
            "ALERT",
            "EMERGENCY",
            "FTL",
            "FATA",
            "PANI",
            "CRT",
            "F!",
        ],
    },
];

/// Words that are rather no level, unless they are in upper case, the value of a key, or .NET's `fail:`.
const ORDINARY: [&str; 9] =
    ["ANY", "CONFIG", "FAIL", "FINE", "LOG", "NOTE", "PANIC", "SUCCESS", "WAR"];

/// Short forms that are no words of a language, and levels wherever an upper-case word may be one.
const SHORT: [&str; 18] = [
    "FATA", "CRITI", "ERRO", "EROR", "WARNI", "DEBU", "DEBG", "DBUG", "TRCE", "TRAC", "NOTI",
    "ERR", "WRN", "DBG", "DEB", "TRC", "FTL", "CRI",
];

/// A word of [`LEVELS`].
struct KnownWord {
    severity: Severity,
    /// `true` if it is one of the usual words for its level.
    is_usual: bool,
}

impl KnownWord {
    fn find(word: &str) -> Option<Self> {
        /// Bits of the letters that begin a level, which exclude most words at once.
        static LETTERS: LazyLock<u32> = LazyLock::new(|| {
            let words = LEVELS.iter().flat_map(|level| level.usual.iter().chain(level.others));
            let letters = words.filter_map(|word| word.bytes().next());
            letters.fold(0, |bits, letter| bits | bit_of_letter(letter))
        });
        if word.bytes().next().is_none_or(|letter| *LETTERS & bit_of_letter(letter) == 0) {
            return None;
        }
        let of_range = || {
            // `ERROR2` of OpenTelemetry, `DEBUG5` of PostgreSQL.
            let name = word.strip_suffix(|last: char| matches!(last, '1'..='5'))?;
            Self::find(name).filter(|known| known.is_usual)
        };
        let mut levels = LEVELS.iter();
        let found = levels.find_map(|level| {
            let is = |known: &&str| known.eq_ignore_ascii_case(word);
            let is_usual = level.usual.iter().any(is);
            let is_known = is_usual || level.others.iter().any(is);
            is_known.then_some(Self { severity: level.severity, is_usual })
        });
        found.or_else(of_range)
    }
}

/// The words of a text that count as levels. The less the text around a word shows that it is one, the fewer words count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LevelWordSet {
    /// All words, [ordinary](ORDINARY) ones only in upper case: for a word in brackets, between separators, or as a key's value.
    Any,
    /// All words in upper case: for a word after a time or after a name in brackets.
    Upper,
    /// Usual words, [short forms](SHORT) and those with an exclamation mark, in upper case.
    UpperUsual,
    /// Usual words, not capitalised: for a word beside a separator, in a line that has little else.
    Usual,
    /// Like [`Any`](Self::Any), and capitalised only usual words: for a word that begins the line, before a colon.
    UsualIfCapitalised,
}

impl Severity {
    /// The severity of a line without a level. Lambda treats such lines as INFO too (Developer Guide, "Log-level filtering").
    pub(crate) const INFO: Self = Self::of(SeverityNumber::Info, "INFO");
    pub(crate) const WARN: Self = Self::of(SeverityNumber::Warn, "WARN");
    pub(crate) const ERROR: Self = Self::of(SeverityNumber::Error, "ERROR");
    pub(crate) const FATAL: Self = Self::of(SeverityNumber::Fatal, "FATAL");

    const fn of(number: SeverityNumber, text: &'static str) -> Self {
        Self { number, text }
    }

    /// Reads the value of a level's key: a word in any case, with or without surrounding spaces, colours, or slog's offset.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        let plain = without_colours(word);
        let word = plain.trim();
        KnownWord::find(word).map(|known| known.severity).or_else(|| with_offset(word))
    }

    /// Returns `true` for a word that is a level in some place.
    pub(crate) fn is_level(word: &str) -> bool {
        KnownWord::find(word).is_some() || with_offset(word).is_some()
    }

    /// Reads a word of a text line.
    pub(crate) fn of_text(word: &str, words: LevelWordSet) -> Option<Self> {
        const MAX_BYTES: usize = 16;
        if !(2..=MAX_BYTES).contains(&word.len()) {
            return None;
        }
        let is_upper = !word.bytes().any(|byte| byte.is_ascii_lowercase());
        if !is_upper && matches!(words, LevelWordSet::Upper | LevelWordSet::UpperUsual) {
            return None;
        }
        let Some(known) = KnownWord::find(word) else {
            let may_have_offset = matches!(words, LevelWordSet::Any | LevelWordSet::Upper);
            return with_offset(word).filter(|_| is_upper && may_have_offset);
        };
        let is_lower = !word.bytes().any(|byte| byte.is_ascii_uppercase());
        let is_ordinary =
            !is_upper && ORDINARY.iter().any(|known| known.eq_ignore_ascii_case(word));
        // Sentences begin with the other words, too.
        let is_capitalised = !is_upper && !is_lower;
        let is_usual = known.is_usual
            && (!is_capitalised
                || ["Trace", "Debug", "Info", "Warn", "Warning", "Error", "Fatal"].contains(&word));
        let is_level = match words {
            // MySQL has `[Note]`, and .NET in Lambda `fail` between tabs.
            LevelWordSet::Any => !is_ordinary || ["Note", "fail"].contains(&word),
            LevelWordSet::Upper => true,
            LevelWordSet::UpperUsual => is_usual || SHORT.contains(&word) || word.ends_with('!'),
            LevelWordSet::Usual => is_usual && !is_capitalised,
            LevelWordSet::UsualIfCapitalised if is_ordinary => word == "fail",
            LevelWordSet::UsualIfCapitalised => is_usual || is_upper || is_lower,
        };
        is_level.then_some(known.severity)
    }

    /// Reads the letter of klog, glog and Ruby's logger.
    pub(crate) fn of_letter(letter: u8) -> Option<Self> {
        Some(match letter {
            b'T' => Self::of(SeverityNumber::Trace, "TRACE"),
            b'D' => Self::of(SeverityNumber::Debug, "DEBUG"),
            b'I' => Self::INFO,
            b'W' => Self::WARN,
            b'E' => Self::ERROR,
            b'F' | b'C' => Self::FATAL,
            _ => return None,
        })
    }

    /// Reads a number of syslog and GELF (RFC 5424, table 2).
    pub(crate) fn of_syslog(number: i64) -> Option<Self> {
        Some(match number {
            0..=2 => Self::FATAL,
            3 => Self::ERROR,
            4 => Self::WARN,
            5 => Self::of(SeverityNumber::Info2, "NOTICE"),
            6 => Self::INFO,
            7 => Self::of(SeverityNumber::Debug, "DEBUG"),
            _ => return None,
        })
    }

    /// Reads a level as a number of pino and bunyan (10 to 60) or Monolog (100 to 600).
    pub(crate) fn of_number(number: i64) -> Option<Self> {
        Self::of_word(match number {
            10 => "TRACE",
            20 | 100 => "DEBUG",
            30 | 200 => "INFO",
            250 => "NOTICE",
            40 | 300 => "WARN",
            50 | 400 => "ERROR",
            60 | 500 | 550 | 600 => "FATAL",
            _ => return None,
        })
    }

    /// Reads Python's `levelno`.
    pub(crate) fn of_python(number: i64) -> Option<Self> {
        let is_known = (10..=50).contains(&number) && number % 10 == 0;
        if is_known { Self::of_otel(number / 10 * 4 + 1) } else { None }
    }

    /// Reads OpenTelemetry's own number.
    pub(crate) fn of_otel(number: i64) -> Option<Self> {
        let number = SeverityNumber::try_from(i32::try_from(number).ok()?).ok()?;
        let name = number.as_str_name().strip_prefix("SEVERITY_NUMBER_")?;
        let text = name.trim_end_matches(|c: char| c.is_ascii_digit());
        (number != SeverityNumber::Unspecified).then_some(Self::of(number, text))
    }
}

/// Returns the number of a level as loggers and OpenTelemetry write it: `CRITICAL`, `warning`, `ERROR+4`, `ERROR2`.
pub fn severity_number(text: &str) -> Option<SeverityNumber> {
    let name = || text.strip_suffix(['2', '3', '4']);
    let severity = Severity::of_word(text).or_else(|| Severity::of_word(name()?));
    severity.map(|severity| severity.number)
}

/// The bit of a letter in either case.
fn bit_of_letter(letter: u8) -> u32 {
    1 << (letter & 31)
}

/// `ERROR+4`, as Go's slog writes levels between its own. Its bridge to OpenTelemetry adds the offset to the number.
fn with_offset(word: &str) -> Option<Severity> {
    let at = word.find(['+', '-'])?;
    let (word, offset) = word.split_at_checked(at)?;
    let base = match word {
        "DEBUG" => 5,
        "INFO" => 9,
        "WARN" => 13,
        "ERROR" => 17,
        _ => return None,
    };
    let offset: i64 = offset.parse().ok()?;
    Severity::of_otel((base + offset.clamp(-99, 99)).clamp(1, 24))
}

pub(crate) const ESC: char = '\x1b';

/// The text without its SGR sequences (ECMA-48, 8.3.117), such as `ESC [ 3 1 m`, and without `ESC ( B`, with which terminals reset
/// the character set.
pub(crate) fn without_colours(text: &str) -> Cow<'_, str> {
    if memchr::memchr(0x1b, text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut parts = text.split(ESC);
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let after = part.strip_prefix('[').map(|rest| rest.trim_start_matches(is_parameter));
        match after.and_then(|rest| rest.strip_prefix('m')).or_else(|| part.strip_prefix("(B")) {
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
    fn only_colours_are_removed() {
        let check = |text: &str, expected: &str| assert_eq!(without_colours(text), expected);
        check("", "");
        check("plain [31m", "plain [31m");
        check("\x1b[31mred\x1b[0m \x1b[1;38:5:9mbold\x1b[m", "red bold");
        check("\x1b(B\x1b[mreset", "reset");
        check("\x1b", "\x1b");
        check("\x1b[", "\x1b[");
        check("\x1b\x1b[31mx", "\x1bx");
        check("\x1b[2Jx\x1b[31", "\x1b[2Jx\x1b[31");
    }
}
