//! The one place where a variable's name, default and meaning stand.

use crate::{SecretReference, parse};
use std::fmt::{self, Write as _};

/// What a variable's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// Text that is never printed.
    Secret,
    /// The ARN of a secret or parameter, or `ssm:NAME`; each with `#key` where the secret is a JSON object.
    SecretReference,
    /// An absolute `http` or `https` URL.
    Url,
    /// The URL of a proxy, which may hold credentials that are never printed.
    Proxy,
    /// `5s`, `500ms`, `1m`, `5h`, or milliseconds.
    Duration,
    /// `900KiB`, `10MB`, or bytes.
    Bytes,
    /// A whole number.
    Count,
    /// A number from 0 to 1.
    Ratio,
    /// `true` or `false`.
    Switch,
    /// One of these words, in whatever case.
    Choice(&'static [&'static str]),
    /// `name=value,name=value`; the values are never printed.
    Headers,
}

impl Kind {
    /// Why this value is not of this kind; `None` where it is.
    fn problem(self, value: &str) -> Option<String> {
        match self {
            // URLs are checked where they are read: the parser is behind a feature.
            Self::Text | Self::Secret | Self::Url | Self::Proxy => None,
            Self::SecretReference => SecretReference::parse(value).err().map(str::to_owned),
            Self::Duration => parse::duration(value).err().map(str::to_owned),
            Self::Bytes => parse::bytes(value).err().map(str::to_owned),
            Self::Count => parse::count(value).err().map(str::to_owned),
            Self::Ratio => parse::ratio(value).err().map(str::to_owned),
            Self::Switch => parse::switch(value).err().map(str::to_owned),
            Self::Choice(words) => (!words.contains(&value)).then(|| self.to_string()),
            Self::Headers => crate::Headers::parse(value).err(),
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

/// One row: a variable's name and everything that is said about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// The name in the environment.
    pub name: &'static str,
    /// The value when it is unset, written as a user would write it.
    pub default: Option<&'static str>,
    /// What the value is, and with it whether it may be printed.
    pub kind: Kind,
    /// Its meaning in one or two sentences of Markdown.
    pub doc: &'static str,
}

impl Variable {
    /// The value as it may be printed.
    pub(crate) fn masked(&self, value: &str) -> String {
        match self.kind {
            Kind::Secret => "****".to_owned(),
            Kind::Headers => crate::Headers::parse(value)
                .map_or("****".to_owned(), |headers| headers.to_string()),
            Kind::Url | Kind::Proxy => without_userinfo(value),
            // An ARN is a name; text that is no reference was probably meant to be the secret itself.
            Kind::SecretReference if SecretReference::parse(value).is_err() => "****".to_owned(),
            _ => value.to_owned(),
        }
    }
}

/// `https://user:password@host/` is refused as a mistake, and must not be printed before it is.
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

/// All variables of one binary: its own rows, and those it shares with others.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    parts: &'static [&'static [Variable]],
    known_elsewhere: &'static [&'static str],
}

impl Table {
    /// A table of these parts, documented in this order.
    pub const fn new(parts: &'static [&'static [Variable]]) -> Self {
        Self { parts, known_elsewhere: &[] }
    }

    /// Names that another binary in the same environment reads: the exporter and the extension share one. They are not
    /// reported as misspelt.
    #[must_use]
    pub const fn with_known_elsewhere(self, names: &'static [&'static str]) -> Self {
        Self { known_elsewhere: names, ..self }
    }

    /// All rows.
    pub fn variables(&self) -> impl Iterator<Item = &'static Variable> + use<> {
        self.parts.iter().flat_map(|part| part.iter())
    }

    /// The row of this name.
    pub fn find(&self, name: &str) -> Option<&'static Variable> {
        self.variables().find(|variable| variable.name == name)
    }

    /// The documentation: a Markdown table, a row a variable.
    pub fn markdown(&self) -> String {
        let mut markdown =
            String::from("| variable | default | value | meaning |\n|---|---|---|---|\n");
        for Variable { name, default, kind, doc } in self.variables() {
            let default = default.map(|text| format!("`{text}`")).unwrap_or_default();
            let row = [format!("`{name}`"), default, kind.to_string(), (*doc).to_owned()];
            let cells = row.map(|cell| cell.replace('|', "\\|").replace('\n', " ")).join(" | ");
            // Writing to a String does not fail.
            writeln!(markdown, "| {cells} |").unwrap_or_default();
        }
        markdown
    }

    /// What is wrong with the table itself; a test of each binary asserts that this is empty.
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
            if let Some(problem) = default.and_then(|text| kind.problem(text)) {
                problems.push(format!("{name}: the default is not {problem}"));
            }
        }
        problems
    }

    /// The known name nearest to `name`, if one is near enough to be meant.
    pub(crate) fn nearest(&self, name: &str) -> Option<&'static str> {
        // Two slips at most: a third would suggest other variables for what is a name of its own.
        const MOST_SLIPS: usize = 2;
        self.known_names()
            .map(|known| (slips(name, known), known))
            .min_by_key(|(slips, _)| *slips)
            .and_then(|(slips, known)| (slips <= MOST_SLIPS).then_some(known))
    }

    pub(crate) fn knows(&self, name: &str) -> bool {
        self.known_names().any(|known| known == name)
    }

    fn known_names(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.variables().map(|variable| variable.name).chain(self.known_elsewhere.iter().copied())
    }
}

/// How many letters must be changed, added, removed or swapped with a neighbour to turn `left` into `right`
/// (optimal string alignment distance).
fn slips(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    let mut previous_left = None;
    for (row, left_char) in left.chars().enumerate() {
        let mut current = vec![row + 1];
        let mut previous_right = None;
        for (column, &right_char) in right.iter().enumerate() {
            let at =
                |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX / 2);
            let mut cost = (at(&last, column) + usize::from(left_char != right_char))
                .min(at(&last, column + 1) + 1)
                .min(at(&current, column) + 1);
            if previous_left == Some(right_char) && previous_right == Some(left_char) {
                cost = cost.min(at(&before_last, column.wrapping_sub(1)) + 1);
            }
            current.push(cost);
            previous_right = Some(right_char);
        }
        before_last = std::mem::replace(&mut last, current);
        previous_left = Some(left_char);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    const SHARED: &[Variable] = &[Variable {
        name: "LAMBDA_OTLP_ENDPOINT",
        default: None,
        kind: Kind::Url,
        doc: "Base URL, with `/api/{org}` for OpenObserve.",
    }];
    const OWN: &[Variable] = &[
        Variable {
            name: "OTEL_EXPORTER_OTLP_TIMEOUT",
            default: Some("10s"),
            kind: Kind::Duration,
            doc: "Longest time a request may take.",
        },
        Variable {
            name: "LAMBDA_OTLP_BACKEND",
            default: Some("openobserve"),
            kind: Kind::Choice(&["openobserve", "otlp"]),
            doc: "What the backend asks of OTLP.",
        },
    ];

    #[test]
    fn the_table_documents_its_variables() {
        expect![[r"
            | variable | default | value | meaning |
            |---|---|---|---|
            | `LAMBDA_OTLP_ENDPOINT` |  | URL | Base URL, with `/api/{org}` for OpenObserve. |
            | `OTEL_EXPORTER_OTLP_TIMEOUT` | `10s` | duration | Longest time a request may take. |
            | `LAMBDA_OTLP_BACKEND` | `openobserve` | `openobserve` or `otlp` | What the backend asks of OTLP. |
        "]]
        .assert_eq(&Table::new(&[SHARED, OWN]).markdown());
    }

    #[test]
    fn a_wrong_table_names_its_mistakes() {
        const WRONG: &[Variable] = &[
            Variable { name: "A", default: Some("ten"), kind: Kind::Duration, doc: "A." },
            Variable { name: "A", default: None, kind: Kind::Text, doc: "no sentence" },
            Variable { name: "B", default: Some("c"), kind: Kind::Choice(&["a", "b"]), doc: "B." },
        ];
        assert_eq!(Table::new(&[SHARED, OWN]).problems(), [""; 0]);
        expect![[r"
            A: the default is not a duration (5s, 500ms, or milliseconds)
            A: two rows
            A: the meaning is not a sentence
            B: the default is not `a` or `b`"]]
        .assert_eq(&Table::new(&[WRONG]).problems().join("\n"));
    }

    #[test]
    fn slips_of_the_finger_are_counted() {
        let check = |left, right, expected| {
            assert_eq!(slips(left, right), expected, "{left} {right}");
            assert_eq!(slips(right, left), expected, "{right} {left}");
        };
        check("", "", 0);
        check("abc", "", 3);
        check("ENDPIONT", "ENDPOINT", 1);
        check("HEADER", "HEADERS", 1);
        check("STREEM", "STREAM", 1);
        check("ba", "ab", 1);
        check("kitten", "sitting", 3);
    }

    #[test]
    fn credentials_in_a_url_are_not_printed() {
        let check = |url, expected| assert_eq!(without_userinfo(url), expected);
        check("https://host/path?x=a@b", "https://host/path?x=a@b");
        check("https://me:hunter2@host/path", "https://****@host/path");
        check("https://me:hunt@er2@host", "https://****@host");
        check("me:hunter2@host", "****");
        check("//me:hunter2@host/", "//****@host/");
    }
}
