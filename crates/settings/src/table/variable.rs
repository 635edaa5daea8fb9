//! One variable: its name, its default and its meaning.

use super::kind::Kind;
use crate::headers::Headers;
use crate::secret_reference::SecretReference;

/// One row: a variable's name and its properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    pub name: &'static str,
    /// The value when it is unset, written as a user would write it.
    pub default: Option<&'static str>,
    /// The kind of the value, which determines whether it may be printed.
    pub kind: Kind,
    /// Its meaning in one or two sentences of Markdown.
    pub doc: &'static str,
}

impl Variable {
    /// The same variable with another meaning in this table.
    #[must_use]
    pub const fn with_doc(self, doc: &'static str) -> Self {
        Self { doc, ..self }
    }

    /// The same variable with a default in this table.
    #[must_use]
    pub const fn with_default(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    pub(crate) fn masked(&self, value: &str) -> String {
        match self.kind {
            Kind::Secret => "****".to_owned(),
            Kind::Headers => {
                Headers::parse(value).map_or("****".to_owned(), |headers| headers.to_string())
            }
            Kind::Url | Kind::Proxy => without_userinfo(value),
            // An ARN is a name; text that is not a reference is probably the secret itself.
            Kind::SecretReference if SecretReference::parse(value).is_err() => "****".to_owned(),
            _ => value.to_owned(),
        }
    }
}

/// `https://user:password@host/` is refused, and must not be printed before that.
fn without_userinfo(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("//") else {
        return if url.contains('@') { "****".to_owned() } else { url.to_owned() };
    };
    let authority_end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(authority_end).unwrap_or((rest, ""));
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}//****@{host}{path}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_a_url_are_masked() {
        let check = |url, expected| assert_eq!(without_userinfo(url), expected);
        check("https://host/path?x=a@b", "https://host/path?x=a@b");
        check("https://me:hunter2@host/path", "https://****@host/path");
        check("https://me:hunt@er2@host", "https://****@host");
        check("me:hunter2@host", "****");
        check("//me:hunter2@host/", "//****@host/");
    }
}
