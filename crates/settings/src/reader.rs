//! Reads typed values from a source by the rows of a table, and collects mistakes.

use crate::error::Remark;
use crate::setting::{Readable, Setting, SettingWithDefault, Word};
use crate::source::Source;
use crate::table::{Table, Variable};

/// Reads variables. An invalid value is noted and replaced by its default, so that one pass finds every mistake.
///
/// Debug builds panic if the table has another row for a name that is read, or none.
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

    pub fn is_set(&self, name: impl AsRef<str>) -> bool {
        self.source.get(name.as_ref()).is_some()
    }

    /// The value as given, for callers that depend on its notation.
    pub fn raw(&self, name: impl AsRef<str>) -> Option<String> {
        self.source.get(name.as_ref())
    }

    /// The name under which the value of this variable was given: a source may accept older names.
    pub fn name_as_given(&self, name: impl AsRef<str>) -> String {
        self.source.name_as_given(name.as_ref())
    }

    /// The value of a variable; its default, or `None`, if it is not set or invalid.
    pub fn read<S: Readable>(&mut self, setting: S) -> S::Value {
        let valid = self.valid_value(setting.setting());
        setting.value_or_default(valid)
    }

    /// The URL, or the default.
    #[cfg(feature = "url")]
    pub fn url_or_default(&mut self, setting: SettingWithDefault<url::Url>) -> Option<url::Url> {
        self.read(setting.if_set()).or_else(|| setting.default())
    }

    /// The meaning of the word, or of the default word. `meanings` has each word of the row in its order.
    ///
    /// The result is `otherwise` only if the default is none of them, which a test of each table excludes.
    pub fn choice<T: Clone>(
        &mut self,
        setting: SettingWithDefault<Word>,
        meanings: &[(&str, T)],
        otherwise: T,
    ) -> T {
        check_words(setting.row(), meanings);
        self.read(setting).meaning(meanings).unwrap_or(otherwise)
    }

    /// Like [`choice`](Self::choice), but `None` without a valid word.
    pub fn choice_if_set<T: Clone>(
        &mut self,
        setting: Setting<Word>,
        meanings: &[(&str, T)],
    ) -> Option<T> {
        check_words(setting.row(), meanings);
        self.read(setting)?.meaning(meanings)
    }

    /// Notes a mistake found by the caller, such as two variables that exclude each other.
    pub fn mistake(&mut self, name: impl AsRef<str>, problem: impl Into<String>) {
        let mistake = Remark { name: self.name_as_given(name), text: problem.into() };
        // Several parts of a program may read one variable.
        if !self.mistakes.contains(&mistake) {
            self.mistakes.push(mistake);
        }
    }

    pub fn warn(&mut self, name: impl AsRef<str>, text: impl Into<String>) {
        self.warnings.push(Remark { name: self.name_as_given(name), text: text.into() });
    }

    /// The warnings, misspelt names first.
    pub fn warnings(&self) -> &[Remark] {
        &self.warnings
    }

    /// All mistakes, in the order of reading.
    pub fn finish(self) -> Vec<Remark> {
        self.mistakes
    }

    /// The valid value of a variable; `None` if it is not set or invalid.
    fn valid_value<T>(&mut self, setting: Setting<T>) -> Option<T> {
        let row = setting.row();
        let in_table = self.table.find(row.name).map(|own| (own.kind, own.default));
        debug_assert_eq!(in_table, Some((row.kind, row.default)), "{}", row.name);
        let text = self.source.get(row.name)?;
        let parsed = setting.parse(&text);
        parsed.map_err(|problem| self.mistake(row.name, problem)).ok()
    }
}

/// Panics in debug builds if the meanings are not those of the row's words.
fn check_words<T>(row: Variable, meanings: &[(&str, T)]) {
    let words = meanings.iter().map(|(word, _)| word);
    debug_assert!(row.kind.words().iter().eq(words), "{}", row.name);
}

fn misspelt(source: &dyn Source, table: &Table) -> Vec<Remark> {
    const OURS: &str = "LAMBDA_OTLP_";
    /// The prefix of OpenObserve's extension. Other names share it, and are reported only if they resemble a known one.
    const O2: &str = "O2_";
    /// With more slips, the name is probably not misspelt.
    const MAX_SLIPS: usize = 2;
    let mut names = source.names();
    names.retain(|name| [OURS, O2].iter().any(|prefix| name.starts_with(prefix)));
    names.retain(|name| !table.knows(name));
    names.sort_unstable();
    let warning = |name: String| {
        let is_ours = name.starts_with(OURS);
        let nearest = table.nearest(&name)?;
        let nearest_name = nearest.name;
        let is_misspelt = nearest.slips <= MAX_SLIPS && (is_ours || nearest_name.starts_with(O2));
        let text = if is_misspelt {
            format!("unknown; did you mean {nearest_name}?")
        } else if is_ours {
            format!("unknown; the nearest known name is {nearest_name}")
        } else {
            return None;
        };
        Some(Remark { name, text })
    };
    names.into_iter().filter_map(warning).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::InvalidSettings;
    use crate::headers::Headers;
    use crate::secret::{Secret, SecretReference};
    use expect_test::expect;
    use std::time::Duration;

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Profile {
        OpenObserve,
        Otlp,
    }
    const PROFILES: &[(&str, Profile)] =
        &[("openobserve", Profile::OpenObserve), ("otlp", Profile::Otlp)];

    const TIMEOUT: SettingWithDefault<Duration> =
        Setting::duration("OTEL_EXPORTER_OTLP_TIMEOUT", "A variable.").with_default("10s");
    const BACKEND: SettingWithDefault<Word> =
        Setting::choice("LAMBDA_OTLP_BACKEND", &["openobserve", "otlp"], "A variable.")
            .with_default("openobserve");
    const SECRET: Setting<SecretReference> =
        Setting::secret_reference("LAMBDA_OTLP_SECRET", "A variable.");
    const AUTHORIZATION: Setting<Secret> =
        Setting::secret("O2_AUTHORIZATION_HEADER", "A variable.");
    const MAX_LINE_BYTES: SettingWithDefault<usize> =
        Setting::bytes("LAMBDA_OTLP_MAX_LINE_BYTES", "A variable.").with_default("4MiB");
    const HEADERS: Setting<Headers> = Setting::headers("LAMBDA_OTLP_HEADERS", "A variable.");
    const STREAM: Setting<String> = Setting::text("LAMBDA_OTLP_STREAM", "A variable.");

    const TABLE: Table = Table::new(&[
        &[HEADERS.row()],
        &[
            TIMEOUT.row(),
            BACKEND.row(),
            SECRET.row(),
            AUTHORIZATION.row(),
            MAX_LINE_BYTES.row(),
            STREAM.row(),
        ],
    ])
    .with_known_elsewhere(&["LAMBDA_OTLP_NAMES", "O2_STREAM", "LAMBDA_OTLP_ENDPOINT"]);

    struct Values {
        timeout: Duration,
        profile: Profile,
        max_line_bytes: usize,
        headers: Option<Headers>,
        error: String,
    }

    fn read(source: &dyn Source) -> Values {
        let mut reader = Reader::new(source, TABLE);
        // Several parts of a program may read one variable.
        reader.read(TIMEOUT);
        let timeout = reader.read(TIMEOUT);
        let profile = reader.choice(BACKEND, PROFILES, Profile::Otlp);
        let max_line_bytes = reader.read(MAX_LINE_BYTES);
        let headers = reader.read(HEADERS);
        assert_eq!(reader.read(SECRET), None);
        let error = InvalidSettings::check(reader.finish()).err().map(|error| error.to_string());
        Values { timeout, profile, max_line_bytes, headers, error: error.unwrap_or_default() }
    }

    #[test]
    fn defaults_come_from_the_table_and_choices_ignore_case() {
        let values = read(&[("LAMBDA_OTLP_STREAM", "")]);
        assert_eq!(values.timeout, Duration::from_secs(10));
        assert_eq!(values.profile, Profile::OpenObserve);
        assert_eq!(values.max_line_bytes, 4 << 20);
        assert_eq!(values.headers, None);
        assert_eq!(values.error, "");
        assert_eq!(read(&[("LAMBDA_OTLP_BACKEND", " OTLP")]).profile, Profile::Otlp);
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
        let Values { timeout, profile, max_line_bytes, error, .. } = read(&source);
        assert_eq!(timeout, Duration::from_secs(10));
        assert_eq!(profile, Profile::OpenObserve);
        assert_eq!(max_line_bytes, 4 << 20);
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
        const OTHER: Setting<String> = Setting::text("NOT_THERE", "A variable.");
        Reader::new(&[("NOT_THERE", "1")], TABLE).read(OTHER);
    }

    #[test]
    #[should_panic(expected = "LAMBDA_OTLP_STREAM")]
    fn reading_another_default_than_the_table_has_panics_in_tests() {
        Reader::new(&[("PATH", "x")], TABLE).read(STREAM.with_default("x"));
    }
}
