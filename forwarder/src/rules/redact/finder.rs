//! Finders: presets, and patterns of the rules file.

use super::search::{Search, TooMuchWork};
use super::{TextRange, card, ip};
use settings::Pattern;

#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Preset {
    pub(in super::super) name: &'static str,
    detectors: &'static [Detector],
    /// Every match contains one of these, in any case of letters. Empty if there is no such text.
    needles: &'static [&'static str],
    /// Lower-case keys whose values are replaced whole. Each contains a needle.
    keys: &'static [&'static str],
}

#[derive(Clone, Copy, Debug)]
enum Detector {
    Regex(&'static str),
    /// A match must not touch a letter or digit.
    Word(&'static str),
    Function(FindAll),
}

/// Finds all ranges to replace, from left to right.
type FindAll = fn(&str, &mut dyn FnMut(TextRange));

/// All presets. `tests/fixtures/redaction.txt` lists their matches and non-matches.
pub(in super::super) const PRESETS: &[Preset] = &[
    Preset {
        name: "email",
        // The characters of real addresses in any script; RFC 5322 allows more. `%40` is `@` in a URL.
        detectors: &[Detector::Regex(concat!(
            r#"[^\x00-\x20"#,
            r##""#%&'()*,/:;<=>?@\[\\\]`{|}\x7f]+(?:@|%40)"##,
            r"(?:[0-9A-Za-z\x{80}-\x{10FFFF}-]+\.)+",
            r"(?:xn--[0-9A-Za-z-]+|[A-Za-z\x{80}-\x{10FFFF}]{2,63})"
        ))],
        needles: &["@", "%40", "%2540", r"\x40"],
        keys: &[],
    },
    Preset { name: "ip", detectors: &[Detector::Function(ip::find)], needles: &[], keys: &[] },
    Preset { name: "card", detectors: &[Detector::Function(card::find)], needles: &[], keys: &[] },
    Preset {
        name: "aws_keys",
        // IAM User Guide, "Understanding unique ID prefixes": the four prefixes of keys.
        detectors: &[
            Detector::Word("(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}"),
            Detector::Regex(concat!(
                r"(?i-u:secret[ _-]?(?:access[ _-]?)?key)",
                r#"["'\\]*[ \t]*(?:[:=]+>?|>)[ \t]*[\["'\\]*(?<value>[0-9A-Za-z/+=]{40})"#
            )),
            Detector::Regex(concat!(
                r"(?i-u:session[ _-]?token|x[_-]amz[_-]security[_-]token)",
                r#"["'\\]*[ \t]*(?:[:=]+>?|>)[ \t]*[\["'\\]*(?<value>[0-9A-Za-z/+=%]{16,})"#
            )),
        ],
        needles: &["AKIA", "ASIA", "ABIA", "ACCA", "secret", "token"],
        keys: &[
            "*secret_access_key",
            "*secret-access-key",
            "*secret access key",
            "*secretaccesskey",
            "*aws_secret_key",
            "*aws-secret-key",
            "*awssecretkey",
            "*session_token",
            "*session-token",
            "*sessiontoken",
            "*x-amz-security-token",
            "*x_amz_security_token",
        ],
    },
    Preset {
        name: "bearer",
        // RFC 6750 §2.1 and RFC 9110 §11.6.2. At least sixteen characters, so that "bearer of news" stays.
        detectors: &[
            Detector::Word(r"(?i-u:bearer)[ \t]+(?<value>[0-9A-Za-z._~+/=-]{16,})"),
            // In form encoding, a space is `+`, and a `+` of the token is `%2B`.
            Detector::Word(r"(?i-u:bearer)\+(?<value>[0-9A-Za-z._~/=-]{16,})"),
            Detector::Regex(concat!(
                r#"(?i-u:authorization)(?:["'\\]*[ \t]*[:=]+>?|\\*["'],)[ \t]*\[?b?["'\\]*"#,
                r"(?i-u:basic|bearer|token|digest|negotiate|ntlm|api-?key)[ \t+]+",
                r"(?<value>[0-9A-Za-z._~+/=-]{4,})"
            )),
            // RFC 9110 §11.2: parameters instead of a token.
            Detector::Regex(concat!(
                r#"(?i-u:authorization)["'\\]*[ \t]*[:=]+>?[ \t]*\[?b?["'\\]*"#,
                r"(?i-u:digest|token|aws4-[0-9a-z-]+|oauth|hawk|signature|vapid)[ \t]+(?<value>",
                r#"[0-9A-Za-z_-]+=(?:"[^"\r\n]*"|[^\s",\]]+)"#,
                r#"(?:,[ \t]*[0-9A-Za-z_-]+=(?:"[^"\r\n]*"|[^\s",\]]+))*)"#
            )),
        ],
        needles: &["bearer", "authorization"],
        keys: &["*authorization"],
    },
    Preset {
        name: "jwt",
        // RFC 7519: a base64url header that begins with `{"`, and one to four further parts.
        detectors: &[Detector::Regex(r"eyJ[0-9A-Za-z_-]{8,}(?:\.[0-9A-Za-z_-]*){1,4}")],
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
                Detector::Regex(pattern) => Detect::Search(Search::new(pattern, false)?),
                Detector::Word(pattern) => Detect::Search(Search::new(pattern, true)?),
                Detector::Function(find) => Detect::Function(*find),
            };
            Ok(Finder { name: self.name.to_owned(), detect, needles: self.needles })
        };
        self.detectors.iter().map(finder).collect()
    }

    pub(in super::super) fn keys(&self) -> impl Iterator<Item = Pattern> {
        self.keys.iter().map(|key| Pattern::new(key))
    }
}

#[derive(Clone, Debug)]
pub(in super::super) struct Finder {
    pub(super) name: String,
    detect: Detect,
    needles: &'static [&'static str],
}

#[derive(Clone, Debug)]
enum Detect {
    Search(Search),
    Function(FindAll),
}

impl Finder {
    pub(in super::super) fn of_pattern(name: &str, pattern: &str) -> Result<Self, String> {
        let detect = Detect::Search(Search::new(pattern, false)?);
        Ok(Self { name: name.to_owned(), detect, needles: &[] })
    }

    /// Returns `false` if nothing can match in these bytes, or in text that they encode. JSON may encode letters as `\u` and a
    /// number.
    pub(super) fn may_find_in(&self, bytes: &[u8]) -> bool {
        let has = |needle: &str| find_any_case(bytes, needle.as_bytes());
        self.needles.is_empty() || self.needles.iter().any(|needle| has(needle)) || has("\\u")
    }

    /// Finds the ranges to replace, from left to right.
    pub(super) fn find(
        &self,
        text: &str,
        found: &mut dyn FnMut(TextRange),
    ) -> Result<(), TooMuchWork> {
        match &self.detect {
            Detect::Search(search) => search.find(text, found),
            Detect::Function(find) => {
                find(text, found);
                Ok(())
            }
        }
    }
}

fn find_any_case(bytes: &[u8], needle: &[u8]) -> bool {
    let Some((first, rest)) = needle.split_first() else { return true };
    let lower = first.to_ascii_lowercase();
    let upper = first.to_ascii_uppercase();
    memchr::memchr2_iter(lower, upper, bytes).any(|at| {
        let after = bytes.get(at + 1..at + 1 + rest.len());
        after.is_some_and(|after| after.eq_ignore_ascii_case(rest))
    })
}
