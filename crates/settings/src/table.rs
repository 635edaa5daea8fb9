//! The names, defaults and meanings of all variables.

use crate::error::Expected;
use crate::headers::Headers;
use crate::parse;
use crate::secret::SecretReference;
use std::fmt;
use std::fmt::Write as _;

/// The variables of a binary.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// Those that only this binary documents.
    pub own: Rows,
    /// Those that the documentation lists once for several binaries.
    pub shared: Rows,
    /// Names of other systems' settings.
    pub aliases: Rows,
    /// Those that no user chooses.
    unlisted: Rows,
    /// Names that another binary in the same environment reads.
    pub known_elsewhere: &'static [&'static str],
}

pub type Rows = &'static [&'static [Variable]];

impl Table {
    /// A table of the settings that only this binary documents, in this order.
    pub const fn new(own: Rows) -> Self {
        Self { own, shared: &[], aliases: &[], unlisted: &[], known_elsewhere: &[] }
    }

    /// Adds settings that the documentation lists once for several binaries.
    #[must_use]
    pub const fn with_shared(self, shared: Rows) -> Self {
        Self { shared, ..self }
    }

    /// Adds names of other systems' settings, which the migration page lists.
    #[must_use]
    pub const fn with_aliases(self, aliases: Rows) -> Self {
        Self { aliases, ..self }
    }

    /// Adds variables that no user chooses: those that Lambda sets, and standard ones.
    #[must_use]
    pub const fn with_unlisted(self, unlisted: Rows) -> Self {
        Self { unlisted, ..self }
    }

    /// Adds names that another binary in the same environment reads. They are not reported as misspelled.
    #[must_use]
    pub const fn with_known_elsewhere(self, names: &'static [&'static str]) -> Self {
        Self { known_elsewhere: names, ..self }
    }

    pub fn variables(&self) -> impl Iterator<Item = &'static Variable> + use<> {
        let parts = [self.own, self.shared, self.aliases, self.unlisted];
        parts.into_iter().flatten().copied().flatten()
    }

    pub fn find(&self, name: &str) -> Option<&'static Variable> {
        self.variables().find(|variable| variable.name == name)
    }

    /// The mistakes in the table itself; a test of each binary asserts that there are none.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut names = std::collections::BTreeSet::new();
        for Variable { name, default, kind, doc } in self.variables() {
            if !names.insert(name) {
                problems.push(format!("{name}: two rows"));
            }
            if !doc.ends_with('.') {
                problems.push(format!("{name}: the meaning is not a sentence"));
            }
            if let Some(expected) = default.and_then(|text| kind.unmet_expectation(text)) {
                problems.push(format!("{name}: the default is not {expected}"));
            }
        }
        problems
    }

    /// The known name with the fewest slips from `name`.
    pub(crate) fn nearest(&self, name: &str) -> Option<KnownName> {
        let compared = |known| KnownName { name: known, slips: strsim::osa_distance(name, known) };
        self.known_names().map(compared).min_by_key(|known| known.slips)
    }

    pub(crate) fn knows(&self, name: &str) -> bool {
        self.known_names().any(|known| known == name)
    }

    fn known_names(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.variables().map(|variable| variable.name).chain(self.known_elsewhere.iter().copied())
    }
}

/// A name that a program reads, and its distance from a given name.
pub(crate) struct KnownName {
    pub(crate) name: &'static str,
    /// Number of letters that are inserted, missing, replaced or swapped.
    pub(crate) slips: usize,
}

/// The Markdown table of these variables.
pub fn markdown<'a>(variables: impl IntoIterator<Item = &'a Variable>) -> String {
    let mut markdown =
        String::from("| variable | default | value | meaning |\n|---|---|---|---|\n");
    for Variable { name, default, kind, doc } in variables {
        let default = default.map(|text| format!("`{text}`")).unwrap_or_default();
        let row = [format!("`{name}`"), default, kind.to_string(), (*doc).to_owned()];
        let cells = row.map(|cell| cell.replace('|', "\\|").replace('\n', " ")).join(" | ");
        // Writing to a String does not fail.
        writeln!(markdown, "| {cells} |").unwrap_or_default();
    }
    markdown
}

/// One row: a variable's name and its properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    pub name: &'static str,
    /// The value when it is unset, written as a user would write it.
    pub default: Option<&'static str>,
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
}

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
    /// One of these words, in any case.
    Choice(&'static [&'static str]),
    /// `name=value,name=value`; the values are never printed.
    Headers,
}

impl Kind {
    /// The words of a choice. Other kinds have none.
    pub(crate) fn words(self) -> &'static [&'static str] {
        match self {
            Self::Choice(words) => words,
            _ => &[],
        }
    }

    /// The expectation that a value does not meet; `None` if it is valid.
    pub(super) fn unmet_expectation(self, value: &str) -> Option<String> {
        let to_text = |expected: Expected| expected.to_string();
        match self {
            // URLs are validated when they are read: the parser is behind a feature.
            Self::Text | Self::Secret | Self::Url | Self::Proxy => None,
            Self::SecretReference => SecretReference::parse(value).err().map(to_text),
            Self::Duration => parse::duration(value).err().map(to_text),
            Self::Bytes => parse::bytes(value).err().map(to_text),
            Self::Count => parse::count(value).err().map(to_text),
            Self::Ratio => parse::ratio(value).err().map(to_text),
            Self::Switch => parse::switch(value).err().map(to_text),
            Self::Choice(words) => (!words.contains(&value)).then(|| self.to_string()),
            Self::Headers => Headers::parse(value).err().map(String::from),
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
    let Some((last, others)) = words.split_last() else { return Ok(()) };
    let quoted: Vec<String> = others.iter().map(|word| format!("`{word}`")).collect();
    let or = if others.is_empty() { "" } else { " or " };
    write!(f, "{}{or}`{last}`", quoted.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn problems_of_an_invalid_table_are_reported() {
        const WRONG: &[Variable] = &[
            Variable { name: "A", default: Some("ten"), kind: Kind::Duration, doc: "A." },
            Variable { name: "A", default: None, kind: Kind::Text, doc: "no sentence" },
            Variable { name: "B", default: Some("c"), kind: Kind::Choice(&["a", "b"]), doc: "B." },
        ];
        expect![[r"
            A: the default is not a duration (5s, 500ms, or milliseconds)
            A: two rows
            A: the meaning is not a sentence
            B: the default is not `a` or `b`"]]
        .assert_eq(&Table::new(&[WRONG]).problems().join("\n"));
    }
}
