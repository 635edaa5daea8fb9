//! Templates with fields of the origin: names of streams and services, values of attributes.

use crate::source::Origin;
use serde::Deserialize;

/// A field of an [`Origin`], or its function name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OriginField {
    Account,
    Region,
    LogGroup,
    LogStream,
    Function,
}

impl OriginField {
    /// The value of the field; empty if unknown.
    pub(super) fn of(self, origin: &Origin) -> &str {
        match self {
            Self::Account => &origin.account,
            Self::Region => &origin.region,
            Self::LogGroup => &origin.log_group,
            Self::LogStream => &origin.log_stream,
            Self::Function => origin.function_name(),
        }
    }

    pub(super) const NAMED: [(&'static str, Self); 5] = [
        ("account", Self::Account),
        ("region", Self::Region),
        ("log_group", Self::LogGroup),
        ("log_stream", Self::LogStream),
        ("function", Self::Function),
    ];

    fn named(name: &str) -> Option<Self> {
        Self::NAMED.into_iter().find_map(|(known, field)| (known == name).then_some(field))
    }
}

/// Text with `{account}`, `{region}`, `{log_group}`, `{log_stream}` and `{function}` in it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Template(Vec<TemplatePart>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum TemplatePart {
    Text(String),
    Field(OriginField),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    #[error(
        "no placeholder is called {{{0}}}: there are {{account}}, {{region}}, {{log_group}}, {{log_stream}} and {{function}}"
    )]
    Unknown(String),
    /// A `{` without `}`.
    #[error("a placeholder is not closed with }}")]
    Unclosed,
    #[error("expected a string that is not empty")]
    Empty,
}

impl TryFrom<String> for Template {
    type Error = TemplateError;

    fn try_from(text: String) -> Result<Self, TemplateError> {
        if text.is_empty() { Err(TemplateError::Empty) } else { Self::parse(&text) }
    }
}

/// Length limit of stream names. A log group's name may have 512 characters.
pub(crate) const MAX_STREAM_BYTES: usize = 256;

/// Returns `true` for a name that [`Template::fill_stream`] can return, or a person who edits a message: it may contain spaces.
pub(crate) fn is_stream(name: &str) -> bool {
    (1..=MAX_STREAM_BYTES).contains(&name.len()) && name.chars().all(|c| matches!(c, ' '..='~'))
}

impl Template {
    /// Upper limit on the filled text.
    pub(super) fn max_bytes(&self) -> usize {
        const MAX_FIELD_BYTES: usize = 512;
        let of_part = |part: &TemplatePart| match part {
            TemplatePart::Text(text) => text.len(),
            TemplatePart::Field(_) => MAX_FIELD_BYTES,
        };
        self.0.iter().map(of_part).sum()
    }

    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, tail) = after.split_once('}').ok_or(TemplateError::Unclosed)?;
            let field =
                OriginField::named(name).ok_or_else(|| TemplateError::Unknown(name.to_owned()))?;
            if !before.is_empty() {
                parts.push(TemplatePart::Text(before.to_owned()));
            }
            parts.push(TemplatePart::Field(field));
            rest = tail;
        }
        if !rest.is_empty() {
            parts.push(TemplatePart::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }

    /// Fills the template. Unknown fields become `unknown`.
    pub fn fill(&self, origin: &Origin) -> String {
        let text = self.0.iter().map(|part| match part {
            TemplatePart::Text(text) => text.as_str(),
            TemplatePart::Field(field) => {
                Some(field.of(origin)).filter(|text| !text.is_empty()).unwrap_or("unknown")
            }
        });
        text.collect()
    }

    /// Fills the template with a stream name, which is sent in a header: other characters than visible ASCII become `_`.
    /// OpenObserve itself lowers the case and replaces everything but letters, digits, `_` and `:`.
    pub fn fill_stream(&self, origin: &Origin) -> String {
        let visible = |c: char| if c.is_ascii_graphic() { c } else { '_' };
        self.fill(origin).chars().map(visible).take(MAX_STREAM_BYTES).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_visible_letters_and_a_limit() {
        let origin = Origin::new("", "eu-west-1", "/aws/lambda/orders", "");
        let filled = |text: &str| Template::parse(text).unwrap().fill_stream(&origin);
        assert_eq!(filled("{region}-{function}-{account}"), "eu-west-1-orders-unknown");
        assert_eq!(filled("with space\n"), "with_space_");
        assert_eq!(filled(&"x".repeat(300)), "x".repeat(256));
    }
}
