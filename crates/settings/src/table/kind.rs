//! The kind of a variable's value: parsing, validation and description.

use crate::headers::Headers;
use crate::parse;
use crate::secret_reference::SecretReference;
use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// Text that is never printed.
    Secret,
    /// The ARN of a secret or parameter, or `ssm:NAME`; each with `#key` if the secret is a JSON object.
    SecretReference,
    /// An absolute `http` or `https` URL.
    Url,
    /// The URL of a proxy, with optional credentials that are never printed.
    Proxy,
    /// `5s`, `500ms`, `1m`, `5h`, or milliseconds.
    Duration,
    /// `900KiB`, `10MB`, or bytes.
    Bytes,
    Count,
    /// A number from 0 to 1.
    Ratio,
    Switch,
    Choice(&'static [&'static str]),
    /// `name=value,name=value`; the values are never printed.
    Headers,
}

impl Kind {
    pub(super) fn problem(self, value: &str) -> Option<String> {
        match self {
            // URLs are validated when they are read: the parser is behind a feature.
            Self::Text | Self::Secret | Self::Url | Self::Proxy => None,
            Self::SecretReference => SecretReference::parse(value).err().map(str::to_owned),
            Self::Duration => parse::duration(value).err().map(str::to_owned),
            Self::Bytes => parse::bytes(value).err().map(str::to_owned),
            Self::Count => parse::count(value).err().map(str::to_owned),
            Self::Ratio => parse::ratio(value).err().map(str::to_owned),
            Self::Switch => parse::switch(value).err().map(str::to_owned),
            Self::Choice(words) => (!words.contains(&value)).then(|| self.to_string()),
            Self::Headers => Headers::parse(value).err(),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Secret => "secret text",
            Self::SecretReference => "secret's ARN, or `ssm:NAME`",
            Self::Url => "URL",
            Self::Proxy => "`http://host:port`",
            Self::Duration => "duration",
            Self::Bytes => "size",
            Self::Count => "number",
            Self::Ratio => "0 to 1",
            Self::Switch => "`true` or `false`",
            Self::Headers => "`name=value,…`, secret",
            Self::Choice(words) => return alternatives(words, f),
        })
    }
}

/// `a`, `b` or `c`
fn alternatives(words: &[&str], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (position, word) in words.iter().enumerate() {
        let separator = match position {
            0 => "",
            _ if position + 1 == words.len() => " or ",
            _ => ", ",
        };
        write!(f, "{separator}`{word}`")?;
    }
    Ok(())
}
