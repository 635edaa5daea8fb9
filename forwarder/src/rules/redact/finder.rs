//! Finds in a text what must not leave: ready-made presets, and patterns of the user's.

use super::{Found, card, ip};
use regex::{Regex, RegexBuilder};
use settings::Pattern;

/// A ready-made set of finders.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Preset {
    pub(in super::super) name: &'static str,
    detectors: &'static [Detector],
    /// One of these is in every text in which something is found, in this or the other case of
    /// letters; empty if nothing can be said.
    needles: &'static [&'static str],
    /// Keys whose values are replaced whole, in small letters; each has a needle in it.
    keys: &'static [&'static str],
}

#[derive(Clone, Copy, Debug)]
enum Detector {
    Regex(&'static str),
    Card,
    Ip,
}

/// All presets. What they find and what they do not is tabled in `tests.rs`.
pub(in super::super) const PRESETS: &[Preset] = &[
    Preset {
        name: "email",
        // RFC 5322 allows more; these are the characters that addresses have, in any script.
        // `%40` is an `@` in a URL.
        detectors: &[Detector::Regex(concat!(
            r#"[^\x00-\x20"#,
            r##""#%&'()*,/:;<=>?@\[\\\]`{|}\x7f]+(?:@|%40)"##,
            r"(?:[0-9A-Za-z\x{80}-\x{10FFFF}-]+\.)+",
            r"(?:xn--[0-9A-Za-z-]+|[A-Za-z\x{80}-\x{10FFFF}]{2,63})"
        ))],
        needles: &["@", "%40"],
        keys: &[],
    },
    Preset { name: "ip", detectors: &[Detector::Ip], needles: &[], keys: &[] },
    Preset { name: "card", detectors: &[Detector::Card], needles: &[], keys: &[] },
    Preset {
        name: "aws_keys",
        // IAM User Guide, "Understanding unique ID prefixes": these four are keys, not names.
        detectors: &[
            Detector::Regex(r"(?-u:\b)(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}(?-u:\b)"),
            Detector::Regex(concat!(
                r"(?i-u:secret_?-?access_?-?key|aws_?-?secret_?-?key)",
                r#"["'\\]*[ \t]*[:=]+>?[ \t]*["'\\]*(?<value>[0-9A-Za-z/+=]{40})"#
            )),
            Detector::Regex(concat!(
                r"(?i-u:session_?-?token|x-amz-security-token)",
                r#"["'\\]*[ \t]*[:=]+>?[ \t]*["'\\]*(?<value>[0-9A-Za-z/+=%]{16,})"#
            )),
        ],
        needles: &["AKIA", "ASIA", "ABIA", "ACCA", "secret", "token"],
        keys: &[
            "*secret_access_key",
            "*secretaccesskey",
            "*session_token",
            "*sessiontoken",
            "*x-amz-security-token",
        ],
    },
    Preset {
        name: "bearer",
        // RFC 6750 §2.1 and RFC 9110 §11.6.2. Sixteen characters, so that "bearer of news" stays.
        detectors: &[
            Detector::Regex(r"(?i-u:\bbearer)[ \t]+(?<value>[0-9A-Za-z._~+/=-]{16,})"),
            Detector::Regex(concat!(
                r#"(?i-u:\bauthorization)["'\\]*[ \t]*[:=][ \t]*["'\\]*"#,
                r"(?i-u:basic|bearer|token|digest|negotiate)[ \t]+(?<value>[0-9A-Za-z._~+/=-]{4,})"
            )),
        ],
        needles: &["bearer", "authorization"],
        keys: &["*authorization"],
    },
    Preset {
        name: "jwt",
        // RFC 7519: a base64url header that begins with `{"`, then one to four further parts.
        detectors: &[Detector::Regex(r"(?-u:\b)eyJ[0-9A-Za-z_-]{8,}(?:\.[0-9A-Za-z_-]*){1,4}")],
        needles: &["eyJ"],
        keys: &[],
    },
];

impl Preset {
    pub(in super::super) fn named(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }

    pub(in super::super) fn finders(&self) -> Result<Vec<Finder>, String> {
        let finder = |detector: &Detector| {
            let detect = match detector {
                Detector::Regex(pattern) => Detect::regex(pattern)?,
                Detector::Card => Detect::Card,
                Detector::Ip => Detect::Ip,
            };
            Ok(Finder { name: self.name.to_owned(), detect, needles: self.needles })
        };
        self.detectors.iter().map(finder).collect()
    }

    pub(in super::super) fn keys(&self) -> impl Iterator<Item = Pattern> {
        self.keys.iter().map(|key| Pattern::new(key))
    }
}

/// Finds one kind of thing.
#[derive(Clone, Debug)]
pub(in super::super) struct Finder {
    pub(super) name: String,
    detect: Detect,
    needles: &'static [&'static str],
}

#[derive(Clone, Debug)]
enum Detect {
    /// Replaces the group `value` if the pattern has one, else all that matches.
    Regex {
        regex: Regex,
        has_value: bool,
    },
    Card,
    Ip,
}

impl Detect {
    fn regex(pattern: &str) -> Result<Self, String> {
        let regex = compile(pattern)?;
        let has_value = regex.capture_names().flatten().any(|name| name == "value");
        Ok(Self::Regex { regex, has_value })
    }
}

impl Finder {
    /// A pattern of the user's.
    pub(in super::super) fn of_pattern(name: &str, pattern: &str) -> Result<Self, String> {
        Ok(Self { name: name.to_owned(), detect: Detect::regex(pattern)?, needles: &[] })
    }

    /// False if nothing can be found in these bytes, or in texts that are written in them as they
    /// are. JSON may spell each letter as `\u` and its number.
    pub(super) fn may_find_in(&self, bytes: &[u8]) -> bool {
        let has = |needle: &str| find_any_case(bytes, needle.as_bytes());
        self.needles.is_empty() || self.needles.iter().any(|needle| has(needle)) || has("\\u")
    }

    /// Gives each range that is to be replaced, from left to right.
    pub(super) fn find(&self, text: &str, found: &mut dyn FnMut(Found)) {
        match &self.detect {
            Detect::Card => card::find(text, found),
            Detect::Ip => ip::find(text, found),
            Detect::Regex { regex, has_value: false } => {
                let matches = regex.find_iter(text).filter(|m| !m.is_empty());
                matches.for_each(|m| found(m.range()));
            }
            Detect::Regex { regex, has_value: true } => {
                let values = regex.captures_iter(text).filter_map(|groups| groups.name("value"));
                values.filter(|m| !m.is_empty()).for_each(|m| found(m.range()));
            }
        }
    }
}

/// True if `bytes` hold `needle` in any case of letters.
fn find_any_case(bytes: &[u8], needle: &[u8]) -> bool {
    let Some((first, rest)) = needle.split_first() else { return true };
    let (lower, upper) = (first.to_ascii_lowercase(), first.to_ascii_uppercase());
    memchr::memchr2_iter(lower, upper, bytes).any(|at| {
        let behind = bytes.get(at + 1..at + 1 + rest.len());
        behind.is_some_and(|behind| behind.eq_ignore_ascii_case(rest))
    })
}

/// Largest compiled form of a pattern, and of what its matching keeps in memory.
const MOST_REGEX_BYTES: usize = 256 * 1024;

/// Compiles a pattern of bounded size; matching takes time in proportion to the text, whatever
/// the pattern is.
pub(in super::super) fn compile(pattern: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(pattern)
        .size_limit(MOST_REGEX_BYTES)
        .dfa_size_limit(MOST_REGEX_BYTES)
        .nest_limit(50)
        .build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            format!("the pattern is too large: compiled it has more than {MOST_REGEX_BYTES} bytes")
        }
        // The text shows the pattern with a mark below it; its last line says what is wrong.
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("the pattern does not compile: {last}")
        }
    })
}
