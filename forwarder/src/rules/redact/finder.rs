//! Finders: presets, and patterns of the rules file.

use super::needle::{Letters, Needle};
use super::search::{InvalidPattern, Search, TooMuchWork};
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
    Function(Scan),
}

/// A search without a regular expression.
#[derive(Clone, Copy, Debug)]
struct Scan {
    /// Returns `false` if nothing can match in a text of these bytes, whose characters are these.
    may_find_in: fn(&[u8], Letters) -> bool,
    /// Finds all ranges to replace, from left to right.
    find: fn(&str, &mut dyn FnMut(TextRange)),
}

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
    Preset {
        name: "ip",
        detectors: &[Detector::Function(Scan { may_find_in: ip::may_be_in, find: ip::find })],
        needles: &[],
        keys: &[],
    },
    Preset {
        name: "card",
        detectors: &[Detector::Function(Scan { may_find_in: card::may_be_in, find: card::find })],
        needles: &[],
        keys: &[],
    },
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

    pub(in super::super) fn finders(&self) -> Result<Vec<Finder>, InvalidPattern> {
        let finder = |detector: &Detector| {
            let detect = match detector {
                Detector::Regex(pattern) => Detect::Search(Search::new(pattern, false)?),
                Detector::Word(pattern) => Detect::Search(Search::new(pattern, true)?),
                Detector::Function(scan) => Detect::Function(*scan),
            };
            let needles = self.needles.iter().copied().map(Needle::new).collect();
            Ok(Finder { name: self.name.to_owned(), detect, needles })
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
    /// Every match contains one of these. Empty if there is no such text.
    needles: Vec<Needle>,
}

#[derive(Clone, Debug)]
enum Detect {
    Search(Search),
    Function(Scan),
}

impl Finder {
    pub(in super::super) fn of_pattern(name: &str, pattern: &str) -> Result<Self, InvalidPattern> {
        let detect = Detect::Search(Search::new(pattern, false)?);
        Ok(Self { name: name.to_owned(), detect, needles: Vec::new() })
    }

    /// Returns `false` if nothing can match in this text, whose characters are `letters`. Its escapes are not read.
    pub(super) fn may_find_in(&self, text: &[u8], letters: Letters) -> bool {
        let has_needle = || self.needles.iter().any(|needle| needle.is_in(text, letters));
        let may_match = match &self.detect {
            Detect::Function(scan) => (scan.may_find_in)(text, letters),
            Detect::Search(_) => true,
        };
        may_match && (self.needles.is_empty() || has_needle())
    }

    /// Returns `true` if every match contains one of a few texts.
    pub(super) fn has_needles(&self) -> bool {
        !self.needles.is_empty()
    }

    /// Returns `true` if a regular expression finds the matches.
    pub(super) fn is_expression(&self) -> bool {
        matches!(self.detect, Detect::Search(_))
    }

    /// Finds the ranges to replace, from left to right.
    pub(super) fn find(
        &self,
        text: &str,
        found: &mut dyn FnMut(TextRange),
    ) -> Result<(), TooMuchWork> {
        match &self.detect {
            Detect::Search(search) => search.find(text, found),
            Detect::Function(scan) => {
                (scan.find)(text, found);
                Ok(())
            }
        }
    }

    /// Returns `true` if one match is the whole text.
    pub(super) fn matches_whole(&self, text: &str) -> Result<bool, TooMuchWork> {
        let mut is_whole = false;
        self.find(text, &mut |range| is_whole |= range == (0..text.len()))?;
        Ok(is_whole)
    }
}
