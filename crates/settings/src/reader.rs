//! Reads typed values from a source by the rows of a table, and collects mistakes.

use crate::error::Remark;
use crate::headers::Headers;
use crate::parse;
use crate::secret::Secret;
use crate::secret::SecretReference;
use crate::source::Source;
use crate::table::{Kind, Table};
use std::time::Duration;

/// Reads variables. An invalid value is noted and replaced by its default, so that one pass finds every mistake.
///
/// Methods of kinds that may have a default return it for a variable that is not set; the others, and those that end in
/// `_if_set`, return no value.
///
/// Debug builds panic if a name is not in the table, or is read as another kind.
pub struct Reader<'a> {
    source: &'a dyn Source,
    table: Table,
    mistakes: Vec<Remark>,
    warnings: Vec<Remark>,
}

impl<'a> Reader<'a> {
    /// Creates a reader. Similar names in the source that are not in the table become warnings.
    pub fn new(source: &'a dyn Source, table: Table) -> Self {
        let warnings = misspelt(source, &table);
        Self { source, table, mistakes: Vec::new(), warnings }
    }

    pub fn is_set(&self, name: &str) -> bool {
        self.source.get(name).is_some()
    }

    /// The value as given, for callers that depend on its notation.
    pub fn raw(&self, name: &str) -> Option<String> {
        self.source.get(name)
    }

    pub fn called(&self, name: &str) -> String {
        self.source.called(name)
    }

    /// The text, or the default.
    pub fn string(&mut self, name: &str) -> String {
        self.with_default(name, Kind::Text, |text| Ok(text.to_owned())).unwrap_or_default()
    }

    pub fn string_if_set(&mut self, name: &str) -> Option<String> {
        self.if_set(name, Kind::Text, |text| Ok(text.to_owned()))
    }

    pub fn secret(&mut self, name: &str) -> Option<Secret> {
        self.if_set(name, Kind::Secret, |text| Ok(Secret::new(text)))
    }

    pub fn secret_reference(&mut self, name: &str) -> Option<SecretReference> {
        // Not quoted: a secret pasted instead of its ARN must not be printed.
        self.if_set(name, Kind::SecretReference, |text| {
            SecretReference::parse(text).map_err(|expected| format!("not {expected}"))
        })
    }

    #[cfg(feature = "url")]
    pub fn url(&mut self, name: &str) -> Option<url::Url> {
        self.if_set(name, Kind::Url, parse::url)
    }

    #[cfg(feature = "url")]
    pub fn url_or_default(&mut self, name: &str) -> Option<url::Url> {
        self.with_default(name, Kind::Url, parse::url)
    }

    /// The URL of a proxy, if it is set. Its credentials are kept and never printed.
    #[cfg(feature = "url")]
    pub fn proxy(&mut self, name: &str) -> Option<url::Url> {
        self.if_set(name, Kind::Proxy, parse::proxy)
    }

    pub fn headers(&mut self, name: &str) -> Headers {
        self.if_set(name, Kind::Headers, Headers::parse).unwrap_or_default()
    }

    pub fn duration(&mut self, name: &str) -> Duration {
        self.with_default(name, Kind::Duration, quoting(parse::duration)).unwrap_or_default()
    }

    pub fn duration_if_set(&mut self, name: &str) -> Option<Duration> {
        self.if_set(name, Kind::Duration, quoting(parse::duration))
    }

    pub fn bytes(&mut self, name: &str) -> usize {
        self.with_default(name, Kind::Bytes, quoting(parse::bytes)).unwrap_or_default()
    }

    pub fn count(&mut self, name: &str) -> usize {
        self.with_default(name, Kind::Count, quoting(parse::count)).unwrap_or_default()
    }

    pub fn count_if_set(&mut self, name: &str) -> Option<usize> {
        self.if_set(name, Kind::Count, quoting(parse::count))
    }

    pub fn ratio(&mut self, name: &str) -> f64 {
        self.with_default(name, Kind::Ratio, quoting(parse::ratio)).unwrap_or_default()
    }

    pub fn bool(&mut self, name: &str) -> bool {
        self.with_default(name, Kind::Switch, quoting(parse::switch)).unwrap_or_default()
    }

    /// The choice named by the word, or by the default word; `choices` has the words of the row in its order.
    ///
    /// The result is `otherwise` only if the row has no default.
    pub fn choice<T: Clone>(&mut self, name: &str, choices: &[(&str, T)], otherwise: T) -> T {
        let kind = self.choice_kind(name, choices);
        self.with_default(name, kind, |text| chosen(text, kind, choices)).unwrap_or(otherwise)
    }

    pub fn choice_if_set<T: Clone>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let kind = self.choice_kind(name, choices);
        self.if_set(name, kind, |text| chosen(text, kind, choices))
    }

    /// Notes a mistake found by the caller, such as two variables that exclude each other.
    pub fn mistake(&mut self, name: &str, problem: impl Into<String>) {
        let mistake = Remark { name: self.called(name), text: problem.into() };
        // Several parts of a program may read one variable.
        if !self.mistakes.contains(&mistake) {
            self.mistakes.push(mistake);
        }
    }

    pub fn warn(&mut self, name: &str, text: impl Into<String>) {
        self.warnings.push(Remark { name: self.called(name), text: text.into() });
    }

    /// The warnings, misspelt names first.
    pub fn warnings(&self) -> &[Remark] {
        &self.warnings
    }

    /// All mistakes, in the order of reading.
    pub fn finish(self) -> Vec<Remark> {
        self.mistakes
    }

    fn with_default<T>(
        &mut self,
        name: &str,
        kind: Kind,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let default = self.table.find(name).and_then(|row| row.default);
        debug_assert!(default.is_some(), "{name} has no default in the table");
        self.if_set(name, kind, &parse).or_else(|| parse(default?).ok())
    }

    fn if_set<T>(
        &mut self,
        name: &str,
        kind: Kind,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        debug_assert_eq!(self.table.find(name).map(|row| row.kind), Some(kind), "{name}");
        match parse(&self.source.get(name)?) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.mistake(name, problem);
                None
            }
        }
    }

    /// The row's own kind if its words are those of `choices`; otherwise one that no table has.
    fn choice_kind<T>(&self, name: &str, choices: &[(&str, T)]) -> Kind {
        match self.table.find(name).map(|variable| variable.kind) {
            Some(Kind::Choice(words)) if words.iter().eq(choices.iter().map(|(word, _)| word)) => {
                Kind::Choice(words)
            }
            _ => Kind::Choice(&[]),
        }
    }
}

/// Turns an expectation into a sentence with the value; only for kinds without secrets.
fn quoting<T>(parse: fn(&str) -> Result<T, &'static str>) -> impl Fn(&str) -> Result<T, String> {
    move |text| parse(text).map_err(|expected| format!("{} is not {expected}", quoted(text)))
}

/// The quoted value, cut and escaped so that it can neither fill the log nor break its line.
pub fn quoted(text: &str) -> String {
    const MOST_CHARS: usize = 40;
    let head: String = text.chars().take(MOST_CHARS).collect();
    let ellipsis = if head.len() < text.len() { "…" } else { "" };
    format!("{head:?}{ellipsis}")
}

fn chosen<T: Clone>(text: &str, kind: Kind, choices: &[(&str, T)]) -> Result<T, String> {
    choices
        .iter()
        .find(|(word, _)| word.eq_ignore_ascii_case(text.trim()))
        .map(|(_, value)| value.clone())
        .ok_or_else(|| format!("{} is not {kind}", quoted(text)))
}

fn misspelt(source: &dyn Source, table: &Table) -> Vec<Remark> {
    const OURS: &str = "LAMBDA_OTLP_";
    /// The prefix of OpenObserve's extension. Other names share it, and are reported only if they resemble a known one.
    const O2: &str = "O2_";
    let mut names = source.names();
    names.retain(|name| [OURS, O2].iter().any(|prefix| name.starts_with(prefix)));
    names.retain(|name| !table.knows(name));
    names.sort_unstable();
    // With more than two slips, the name is probably not misspelt.
    let warning = |name: String| {
        let is_ours = name.starts_with(OURS);
        let text = match table.nearest(&name)? {
            (0..=2, nearest) if is_ours || nearest.starts_with(O2) => {
                format!("unknown; did you mean {nearest}?")
            }
            (_, nearest) if is_ours => format!("unknown; the nearest known name is {nearest}"),
            _ => return None,
        };
        Some(Remark { name, text })
    };
    names.into_iter().filter_map(warning).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::InvalidSettings;
    use crate::table::Variable;
    use expect_test::expect;

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Profile {
        OpenObserve,
        Otlp,
    }
    const PROFILES: &[(&str, Profile)] =
        &[("openobserve", Profile::OpenObserve), ("otlp", Profile::Otlp)];

    const fn row(name: &'static str, default: Option<&'static str>, kind: Kind) -> Variable {
        Variable { name, default, kind, doc: "A variable." }
    }

    const TABLE: Table = Table::new(&[
        &[
            row("LAMBDA_OTLP_ENDPOINT", None, Kind::Url),
            row("LAMBDA_OTLP_HEADERS", None, Kind::Headers),
        ],
        &[
            row("OTEL_EXPORTER_OTLP_TIMEOUT", Some("10s"), Kind::Duration),
            row("LAMBDA_OTLP_BACKEND", Some("openobserve"), Kind::Choice(&["openobserve", "otlp"])),
            row("LAMBDA_OTLP_SECRET", None, Kind::SecretReference),
            row("O2_AUTHORIZATION_HEADER", None, Kind::Secret),
            row("LAMBDA_OTLP_MAX_LINE_BYTES", Some("4MiB"), Kind::Bytes),
            row("LAMBDA_OTLP_STREAM", None, Kind::Text),
        ],
    ])
    .with_known_elsewhere(&["LAMBDA_OTLP_NAMES", "O2_STREAM"]);

    fn read(source: &dyn Source) -> (Duration, Profile, usize, Headers, String) {
        let mut reader = Reader::new(source, TABLE);
        // Several parts of a program may read one variable.
        reader.duration("OTEL_EXPORTER_OTLP_TIMEOUT");
        let timeout = reader.duration("OTEL_EXPORTER_OTLP_TIMEOUT");
        let profile = reader.choice("LAMBDA_OTLP_BACKEND", PROFILES, Profile::Otlp);
        let bytes = reader.bytes("LAMBDA_OTLP_MAX_LINE_BYTES");
        let headers = reader.headers("LAMBDA_OTLP_HEADERS");
        let _secret = reader.secret_reference("LAMBDA_OTLP_SECRET");
        #[cfg(feature = "url")]
        let _endpoint = reader.url("LAMBDA_OTLP_ENDPOINT");
        let error = InvalidSettings::check(reader.finish()).err().map(|error| error.to_string());
        (timeout, profile, bytes, headers, error.unwrap_or_default())
    }

    #[test]
    fn defaults_come_from_the_table_and_choices_ignore_case() {
        let defaults = (Duration::from_secs(10), Profile::OpenObserve, 4 << 20, Headers::new());
        let (timeout, profile, bytes, headers, error) = read(&[("LAMBDA_OTLP_STREAM", "")]);
        assert_eq!((timeout, profile, bytes, headers), defaults);
        assert_eq!(error, "");
        assert_eq!(read(&[("LAMBDA_OTLP_BACKEND", " OTLP")]).1, Profile::Otlp);
    }

    #[test]
    fn all_mistakes_are_reported_in_one_line_without_secrets() {
        let source = [
            ("LAMBDA_OTLP_HEADERS", "Basic hunter2"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "ten"),
            ("LAMBDA_OTLP_BACKEND", "open\nobserve"),
            ("LAMBDA_OTLP_SECRET", "Basic hunter2"),
            (
                "LAMBDA_OTLP_MAX_LINE_BYTES",
                "a very long value that nobody would ever want to see in full",
            ),
        ];
        let (timeout, profile, bytes, _, error) = read(&source);
        assert_eq!(
            (timeout, profile, bytes),
            (Duration::from_secs(10), Profile::OpenObserve, 4 << 20)
        );
        assert!(!error.contains("hunter2") && !error.contains('\n'), "{error}");
        expect![[r#"
            OTEL_EXPORTER_OTLP_TIMEOUT: "ten" is not a duration (5s, 500ms, or milliseconds)
            LAMBDA_OTLP_BACKEND: "open\nobserve" is not `openobserve` or `otlp`
            LAMBDA_OTLP_MAX_LINE_BYTES: "a very long value that nobody would ever"… is not a size (900KiB, 10MB, or bytes)
            LAMBDA_OTLP_HEADERS: entry 1 has no `=`, expected name=value,name=value
            LAMBDA_OTLP_SECRET: not an ARN of Secrets Manager or Systems Manager, or ssm:NAME"#]]
        .assert_eq(&error.replace("; ", "\n"));
    }

    #[test]
    fn a_misspelt_variable_is_reported_with_a_suggestion() {
        let source = [
            ("LAMBDA_OTLP_ENDPIONT", "x"),
            ("LAMBDA_OTLP_HEADER", "x"),
            ("LAMBDA_OTLP_WHATEVER", "x"),
            ("LAMBDA_OTLP_NAMES", "legacy"),
            ("LAMBDA_OTLP_STREAM", "x"),
            ("O2_STREEM", "x"),
            ("O2_SENSOR", "x"),
            ("PATH", "x"),
        ];
        let reader = Reader::new(&source, TABLE);
        let warnings: Vec<String> = reader.warnings().iter().map(Remark::to_string).collect();
        expect![[r"
            LAMBDA_OTLP_ENDPIONT: unknown; did you mean LAMBDA_OTLP_ENDPOINT?
            LAMBDA_OTLP_HEADER: unknown; did you mean LAMBDA_OTLP_HEADERS?
            LAMBDA_OTLP_WHATEVER: unknown; the nearest known name is LAMBDA_OTLP_HEADERS
            O2_STREEM: unknown; did you mean O2_STREAM?"]]
        .assert_eq(&warnings.join("\n"));
    }

    #[test]
    #[should_panic(expected = "NOT_THERE")]
    fn reading_a_variable_without_a_row_panics_in_tests() {
        Reader::new(&[("NOT_THERE", "1")], TABLE).string_if_set("NOT_THERE");
    }

    #[test]
    #[should_panic(expected = "LAMBDA_OTLP_STREAM has no default in the table")]
    fn reading_a_default_that_is_missing_panics_in_tests() {
        Reader::new(&[("PATH", "x")], TABLE).string("LAMBDA_OTLP_STREAM");
    }
}
