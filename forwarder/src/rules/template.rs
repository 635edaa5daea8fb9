//! Texts that are made of where telemetry comes from: names of streams and services, values of attributes.

use crate::source::Origin;

/// One field of an [`Origin`], or the function that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OriginField {
    Account,
    Region,
    LogGroup,
    LogStream,
    Function,
}

impl OriginField {
    /// What the origin says; empty where it says nothing.
    pub(super) fn of(self, origin: &Origin) -> &str {
        match self {
            Self::Account => &origin.account,
            Self::Region => &origin.region,
            Self::LogGroup => &origin.log_group,
            Self::LogStream => &origin.log_stream,
            Self::Function => origin.function_name(),
        }
    }

    /// The fields by the names that they have in a rules file.
    pub(super) const NAMED: [(&'static str, Self); 5] = [
        ("account", Self::Account),
        ("region", Self::Region),
        ("log_group", Self::LogGroup),
        ("log_stream", Self::LogStream),
        ("function", Self::Function),
    ];

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::NAMED.into_iter().find_map(|(known, field)| (known == name).then_some(field))
    }
}

/// Text with `{account}`, `{region}`, `{log_group}`, `{log_stream}` and `{function}` in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(OriginField),
}

/// Why a text is no [`Template`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// A placeholder that is none.
    #[error(
        "no placeholder is called {{{0}}}: there are {{account}}, {{region}}, {{log_group}}, {{log_stream}} and {{function}}"
    )]
    Unknown(String),
    /// A `{` without `}`.
    #[error("a placeholder is not closed with }}")]
    Unclosed,
}

/// Longer stream names are cut: a log group's name may have 512 characters.
const MOST_STREAM_BYTES: usize = 256;

impl Template {
    /// Bytes of what it becomes at most: the name of a log group has 512 characters, that of a log stream too.
    pub(super) fn most_bytes(&self) -> usize {
        const MOST_FIELD_BYTES: usize = 512;
        let of_part = |part: &Part| match part {
            Part::Text(text) => text.len(),
            Part::Field(_) => MOST_FIELD_BYTES,
        };
        self.0.iter().map(of_part).sum()
    }

    /// Reads the text.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, behind) = after.split_once('}').ok_or(TemplateError::Unclosed)?;
            let field =
                OriginField::named(name).ok_or_else(|| TemplateError::Unknown(name.to_owned()))?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Field(field));
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }

    /// The text for this origin; what the origin does not say is `unknown`.
    pub fn fill(&self, origin: &Origin) -> String {
        let text = self.0.iter().map(|part| match part {
            Part::Text(text) => text.as_str(),
            Part::Field(field) => {
                Some(field.of(origin)).filter(|text| !text.is_empty()).unwrap_or("unknown")
            }
        });
        text.collect()
    }

    /// The text as the name of a stream, which is sent in a header: what is not visible ASCII
    /// becomes `_`. OpenObserve lowers the case and turns all but letters, digits, `_` and `:`
    /// into `_` by itself.
    pub fn fill_stream(&self, origin: &Origin) -> String {
        let visible = |c: char| if c.is_ascii_graphic() { c } else { '_' };
        self.fill(origin).chars().map(visible).take(MOST_STREAM_BYTES).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_from_the_origin() {
        let origin = Origin::new(
            "123456789012",
            "eu-west-1",
            "/aws/lambda/orders",
            "2026/09/21/[$LATEST]abc",
        );
        let check = |template: &str, expected: &str| {
            let filled = Template::parse(template).map(|template| template.fill_stream(&origin));
            assert_eq!(filled.unwrap_or_else(|error| error.to_string()), expected, "{template}");
        };
        check("orders", "orders");
        check("{account}", "123456789012");
        check("{region}-{function}-x", "eu-west-1-orders-x");
        check("{log_group}", "/aws/lambda/orders");
        check("{log_stream}", "2026/09/21/[$LATEST]abc");
        check("with space\n", "with_space_");
        check(
            "{service}",
            "no placeholder is called {service}: there are {account}, {region}, {log_group}, {log_stream} and {function}",
        );
        check("{account", "a placeholder is not closed with }");
        check(&"x".repeat(300), &"x".repeat(256));
        let nowhere = Template::parse("{function}").unwrap().fill(&Origin::default());
        assert_eq!(nowhere, "unknown");
    }
}
