//! The record of the command's changes to a function, in the function's tags.
//!
//! Tags travel with the function: another person or machine can undo the changes. They hold ARNs of layers and names of
//! variables, never a value of a variable, because everybody who may list functions can read tags.
//!
//! Source: Lambda Developer Guide, "Using tags on Lambda functions": 50 tags, values of 256 characters. A layer version's
//! ARN has at most 140 characters.

use super::is_layer_version;
use super::layers::LayerKind;
use std::collections::BTreeMap;
use std::fmt;

/// The number of tags that a function may have.
pub(super) const MAX_TAGS: usize = 50;
const WRAPPER: &str = "lambda-otlp:wrapper";
const LINE: &str = "lambda-otlp:line";

/// The changes that the command made to a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) extension: Option<LayerChange>,
    pub(super) packages: Option<LayerChange>,
    pub(super) wrapper: Option<FormerWrapper>,
    pub(super) line: Option<FormerLine>,
}

/// A layer that the command put on a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LayerChange {
    /// The ARN of the layer version that the command put there.
    pub(super) put: String,
    /// The ARN of the layer of the same kind before. `None` if there was none.
    pub(super) before: Option<String>,
}

/// The state of `AWS_LAMBDA_EXEC_WRAPPER` before the command set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FormerWrapper {
    Unset,
    Empty,
    /// Its value is in `LAMBDA_OTLP_NEXT_WRAPPER`, which the command set.
    Moved,
    /// As [`Self::Moved`], but `LAMBDA_OTLP_NEXT_WRAPPER` was there and empty.
    MovedOverEmpty,
    /// Its value was in `LAMBDA_OTLP_NEXT_WRAPPER` already.
    Copied,
}

/// The state of `LAMBDA_OTLP_LINE` before the command set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FormerLine {
    Unset,
    Empty,
}

/// A former state of a variable, with its word in the tag.
trait FormerState: Copy + PartialEq + 'static {
    const KEY: &'static str;
    const WORDS: &'static [(Self, &'static str)];

    fn read(tags: &BTreeMap<String, String>) -> Result<Option<Self>, UntrustedTag> {
        let Some(word) = tags.get(Self::KEY) else { return Ok(None) };
        let known = Self::WORDS.iter().find(|(_, known)| known == word);
        known.map(|(state, _)| Some(*state)).ok_or_else(|| UntrustedTag::new(Self::KEY, word))
    }

    fn tag(self) -> Option<(String, String)> {
        let (_, word) = Self::WORDS.iter().find(|(state, _)| *state == self)?;
        Some((Self::KEY.to_owned(), (*word).to_owned()))
    }
}

impl FormerState for FormerWrapper {
    const KEY: &'static str = WRAPPER;
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::Unset, "unset"),
        (Self::Empty, "empty"),
        (Self::Moved, "moved"),
        (Self::MovedOverEmpty, "moved-over-empty"),
        (Self::Copied, "copied"),
    ];
}

impl FormerState for FormerLine {
    const KEY: &'static str = LINE;
    const WORDS: &'static [(Self, &'static str)] =
        &[(Self::Unset, "unset"), (Self::Empty, "empty")];
}

impl LayerKind {
    pub(super) fn tag(self) -> &'static str {
        match self {
            Self::Extension => "lambda-otlp:extension",
            Self::Packages => "lambda-otlp:packages",
        }
    }

    pub(super) fn former_tag(self) -> &'static str {
        match self {
            Self::Extension => "lambda-otlp:extension-before",
            Self::Packages => "lambda-otlp:packages-before",
        }
    }
}

/// A tag of the record with a value that the command did not write, or that may lead to a foreign layer. Everybody who may tag a
/// function can write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UntrustedTag {
    key: &'static str,
    value: String,
}

impl UntrustedTag {
    pub(super) fn new(key: &'static str, value: &str) -> Self {
        Self { key, value: value.to_owned() }
    }
}

impl fmt::Display for UntrustedTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value } = self;
        if is_layer_version(value) {
            write!(
                f,
                "its tag {key} names {value}, which may be somebody else's layer: remove the tag, or confirm the layer with --layer {value}"
            )
        } else {
            write!(
                f,
                "its tag {key} is {value:?}, which this command did not write: remove the tag"
            )
        }
    }
}

/// Returns `true` if a tag belongs to the record.
pub(super) fn is_tag(key: &str) -> bool {
    [WRAPPER, LINE].contains(&key)
        || LayerKind::ALL.iter().any(|kind| [kind.tag(), kind.former_tag()].contains(&key))
}

impl Record {
    /// Reads the record from a function's tags.
    pub(super) fn of_tags(tags: &BTreeMap<String, String>) -> Result<Self, UntrustedTag> {
        let arn = |key: &'static str| match tags.get(key) {
            Some(value) if !is_layer_version(value) => Err(UntrustedTag::new(key, value)),
            value => Ok(value.cloned()),
        };
        let layer = |kind: LayerKind| {
            let before = arn(kind.former_tag())?;
            Ok(arn(kind.tag())?.map(|put| LayerChange { put, before }))
        };
        Ok(Self {
            extension: layer(LayerKind::Extension)?,
            packages: layer(LayerKind::Packages)?,
            wrapper: FormerState::read(tags)?,
            line: FormerState::read(tags)?,
        })
    }

    pub(super) fn to_tags(&self) -> BTreeMap<String, String> {
        let mut tags = BTreeMap::new();
        for kind in LayerKind::ALL {
            let Some(LayerChange { put, before }) = self.layer(kind) else { continue };
            tags.insert(kind.tag().to_owned(), put.clone());
            tags.extend(before.clone().map(|before| (kind.former_tag().to_owned(), before)));
        }
        tags.extend(self.wrapper.and_then(FormerState::tag));
        tags.extend(self.line.and_then(FormerState::tag));
        tags
    }

    pub(super) fn layer(&self, kind: LayerKind) -> Option<&LayerChange> {
        match kind {
            LayerKind::Extension => self.extension.as_ref(),
            LayerKind::Packages => self.packages.as_ref(),
        }
    }

    pub(super) fn set_layer(&mut self, kind: LayerKind, change: Option<LayerChange>) {
        match kind {
            LayerKind::Extension => self.extension = change,
            LayerKind::Packages => self.packages = change,
        }
    }

    pub(super) fn has_put(&self, kind: LayerKind, arn: &str) -> bool {
        self.layer(kind).is_some_and(|change| change.put == arn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_its_tags() {
        let arn = |name: &str| format!("arn:aws:lambda:eu-west-1:123456789012:layer:{name}");
        for (index, (wrapper, _)) in FormerWrapper::WORDS.iter().enumerate() {
            let record = Record {
                extension: Some(LayerChange { put: arn("a:2"), before: Some(arn("a:1")) }),
                packages: Some(LayerChange { put: arn("b:3"), before: None }),
                wrapper: Some(*wrapper),
                line: FormerLine::WORDS.get(index).map(|(line, _)| *line),
            };
            let mut tags = record.to_tags();
            assert!(tags.keys().all(|key| is_tag(key)), "{tags:?}");
            tags.insert("team".to_owned(), "shop".to_owned());
            assert_eq!(Record::of_tags(&tags), Ok(record));
        }
        assert_eq!(Record::default().to_tags(), BTreeMap::new());
        assert!(!is_tag("team"));
    }

    #[test]
    fn a_tag_that_the_command_did_not_write_is_no_record() {
        for (key, value) in [
            ("lambda-otlp:extension", "x"),
            ("lambda-otlp:extension", ""),
            ("lambda-otlp:packages-before", "arn:aws:lambda:eu-west-1:123456789012:layer:a"),
            ("lambda-otlp:packages", "arn:aws:lambda:eu-west-1:1:layer:a:1"),
            ("lambda-otlp:extension-before", "arn:aws:iam::123456789012:role/admin"),
            ("lambda-otlp:wrapper", "/opt/evil"),
            ("lambda-otlp:line", "compact"),
        ] {
            let tags = BTreeMap::from([(key.to_owned(), value.to_owned())]);
            let text = Record::of_tags(&tags).unwrap_err().to_string();
            let expected = format!(
                "its tag {key} is {value:?}, which this command did not write: remove the tag"
            );
            assert_eq!(text, expected);
        }
    }
}
