//! Finds in a text what must not leave: ready-made presets, and patterns of the user's.

use super::search::{Search, TooMuchWork};
use super::{Found, card, ip};
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
    /// No letter or digit stands directly before or after a match.
    Word(&'static str),
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
        needles: &["@", "%40", "%2540", r"\x40"],
        keys: &[],
    },
    Preset { name: "ip", detectors: &[Detector::Ip], needles: &[], keys: &[] },
    Preset { name: "card", detectors: &[Detector::Card], needles: &[], keys: &[] },
    Preset {
        name: "aws_keys",
        // IAM User Guide, "Understanding unique ID prefixes": these four are keys, not names.
        detectors: &[
            Detector::Word("(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}"),
            Detector::Regex(concat!(
                r"(?i-u:secret[ _-]?access[ _-]?key|aws[ _-]?secret[ _-]?key)",
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
        // RFC 6750 §2.1 and RFC 9110 §11.6.2. Sixteen characters, so that "bearer of news" stays.
        detectors: &[
            Detector::Word(r"(?i-u:bearer)[ \t]+(?<value>[0-9A-Za-z._~+/=-]{16,})"),
            // A form writes a space as `+`, and a `+` of the token as `%2B`.
            Detector::Word(r"(?i-u:bearer)\+(?<value>[0-9A-Za-z._~/=-]{16,})"),
            Detector::Regex(concat!(
                r#"(?i-u:authorization)(?:["'\\]*[ \t]*[:=]+>?|\\*["'],)[ \t]*\[?b?["'\\]*"#,
                r"(?i-u:basic|bearer|token|digest|negotiate|ntlm|api-?key)[ \t+]+",
                r"(?<value>[0-9A-Za-z._~+/=-]{4,})"
            )),
            // RFC 9110 §11.2: parameters in place of a token.
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
        // RFC 7519: a base64url header that begins with `{"`, then one to four further parts.
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
    Search(Search),
    Card,
    Ip,
}

impl Finder {
    /// A pattern of the user's.
    pub(in super::super) fn of_pattern(name: &str, pattern: &str) -> Result<Self, String> {
        let detect = Detect::Search(Search::new(pattern, false)?);
        Ok(Self { name: name.to_owned(), detect, needles: &[] })
    }

    pub(in super::super) fn name(&self) -> &str {
        &self.name
    }

    /// False if nothing can be found in these bytes, or in texts that are written in them as they
    /// are. JSON may spell each letter as `\u` and its number.
    pub(super) fn may_find_in(&self, bytes: &[u8]) -> bool {
        let has = |needle: &str| find_any_case(bytes, needle.as_bytes());
        self.needles.is_empty() || self.needles.iter().any(|needle| has(needle)) || has("\\u")
    }

    /// Gives each range that is to be replaced, from left to right.
    pub(super) fn find(&self, text: &str, found: &mut dyn FnMut(Found)) -> Result<(), TooMuchWork> {
        match &self.detect {
            Detect::Card => card::find(text, found),
            Detect::Ip => ip::find(text, found),
            Detect::Search(search) => return search.find(text, found),
        }
        Ok(())
    }

    /// Returns `true` if the pattern reads some texts so often that they would be replaced whole.
    pub(in super::super) fn is_slow(&self) -> bool {
        matches!(&self.detect, Detect::Search(search) if search.is_slow())
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
