//! Variables with the type of their values.

use crate::error::{InvalidValue, quoted};
use crate::headers::Headers;
use crate::parse;
use crate::secret::{Secret, SecretReference};
use crate::table::{Kind, Variable};
use std::fmt;
use std::time::Duration;

/// A variable with values of type `T`, and without a default. [`Reader::read`](crate::Reader::read) returns `None` if it is not
/// set.
#[derive(Debug)]
pub struct Setting<T> {
    variable: Variable,
    parse: Parse<T>,
}

/// Reads a value. Only a choice needs to know the kind, which lists its words.
type Parse<T> = fn(&str, Kind) -> Result<T, InvalidValue>;

/// A variable with values of type `T`, and a default.
#[derive(Debug)]
pub struct SettingWithDefault<T> {
    setting: Setting<T>,
}

/// The value of a choice: one of the words of its row, as the row spells it.
///
/// The row has words alone, because each program has types of its own for their meanings:
/// [`Reader::choice`](crate::Reader::choice) takes the meanings beside the words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Word(&'static str);

impl Word {
    /// Finds the word in the row's list, in any case.
    fn parse(text: &str, kind: Kind) -> Result<Self, InvalidValue> {
        let words = kind.words();
        let found = words.iter().find(|word| word.eq_ignore_ascii_case(text.trim()));
        found
            .map(|word| Self(word))
            .ok_or_else(|| InvalidValue::new(format!("{} is not {kind}", quoted(text))))
    }

    /// Returns the meaning that stands beside this word.
    pub(crate) fn meaning<T: Clone>(self, meanings: &[(&str, T)]) -> Option<T> {
        let (_, meaning) = meanings.iter().find(|(word, _)| *word == self.0)?;
        Some(meaning.clone())
    }
}

impl<T> Clone for Setting<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Setting<T> {}

impl<T> Clone for SettingWithDefault<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for SettingWithDefault<T> {}

impl<T> AsRef<str> for Setting<T> {
    fn as_ref(&self) -> &str {
        self.variable.name
    }
}

impl<T> AsRef<str> for SettingWithDefault<T> {
    fn as_ref(&self) -> &str {
        self.name()
    }
}

impl<T> fmt::Display for Setting<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.variable.name)
    }
}

impl<T> fmt::Display for SettingWithDefault<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl<T> Setting<T> {
    const fn new(name: &'static str, kind: Kind, parse: Parse<T>, doc: &'static str) -> Self {
        Self { variable: Variable { name, default: None, kind, doc }, parse }
    }

    pub const fn name(self) -> &'static str {
        self.variable.name
    }

    /// Its row in a table.
    pub const fn row(self) -> Variable {
        self.variable
    }

    /// The same variable with another meaning in this table.
    #[must_use]
    pub const fn with_doc(self, doc: &'static str) -> Self {
        Self { variable: Variable { doc, ..self.variable }, ..self }
    }

    /// The same variable with a default, written as a user would write it.
    pub const fn with_default(self, default: &'static str) -> SettingWithDefault<T> {
        let variable = Variable { default: Some(default), ..self.variable };
        SettingWithDefault { setting: Self { variable, ..self } }
    }

    pub(crate) fn parse(self, text: &str) -> Result<T, InvalidValue> {
        (self.parse)(text, self.variable.kind)
    }
}

impl<T> SettingWithDefault<T> {
    pub const fn name(self) -> &'static str {
        self.setting.name()
    }

    /// Its row in a table.
    pub const fn row(self) -> Variable {
        self.setting.row()
    }

    /// The same variable with another meaning in this table.
    #[must_use]
    pub const fn with_doc(self, doc: &'static str) -> Self {
        Self { setting: self.setting.with_doc(doc) }
    }

    /// The same variable with another default in this table.
    #[must_use]
    pub const fn with_default(self, default: &'static str) -> Self {
        self.setting.with_default(default)
    }

    pub(crate) fn default(self) -> Option<T> {
        self.setting.parse(self.setting.variable.default?).ok()
    }

    /// The same variable as one without a default, for callers that must know if it is set.
    pub const fn if_set(self) -> Setting<T> {
        self.setting
    }
}

impl Setting<String> {
    pub const fn text(name: &'static str, doc: &'static str) -> Self {
        Self::new(name, Kind::Text, |text, _| Ok(text.to_owned()), doc)
    }
}

impl Setting<Secret> {
    /// Text that is never printed.
    pub const fn secret(name: &'static str, doc: &'static str) -> Self {
        Self::new(name, Kind::Secret, |text, _| Ok(Secret::new(text)), doc)
    }
}

impl Setting<SecretReference> {
    /// The ARN of a secret or parameter, or `ssm:NAME`; each with `#key` if the secret is a JSON object.
    pub const fn secret_reference(name: &'static str, doc: &'static str) -> Self {
        // Not quoted: a secret pasted instead of its ARN must not be printed.
        let parse = |text: &str, _| {
            let parsed = SecretReference::parse(text);
            parsed.map_err(|expected| InvalidValue::new(format!("not {expected}")))
        };
        Self::new(name, Kind::SecretReference, parse, doc)
    }
}

#[cfg(feature = "url")]
impl Setting<url::Url> {
    /// An absolute `http` or `https` URL.
    pub const fn url(name: &'static str, doc: &'static str) -> Self {
        Self::new(name, Kind::Url, |text, _| parse::url(text), doc)
    }

    /// The URL of a proxy, with optional credentials that are never printed.
    pub const fn proxy(name: &'static str, doc: &'static str) -> Self {
        Self::new(name, Kind::Proxy, |text, _| parse::proxy(text), doc)
    }
}

impl Setting<Headers> {
    /// `name=value,name=value`; the values are never printed.
    pub const fn headers(name: &'static str, doc: &'static str) -> Self {
        Self::new(name, Kind::Headers, |text, _| Headers::parse(text), doc)
    }
}

impl Setting<Duration> {
    /// `5s`, `500ms`, `1m`, `5h`, or milliseconds.
    pub const fn duration(name: &'static str, doc: &'static str) -> Self {
        let parse =
            |text: &str, _| parse::duration(text).map_err(|expected| expected.but_got(text));
        Self::new(name, Kind::Duration, parse, doc)
    }
}

impl Setting<usize> {
    /// `900KiB`, `10MB`, or bytes.
    pub const fn bytes(name: &'static str, doc: &'static str) -> Self {
        let parse = |text: &str, _| parse::bytes(text).map_err(|expected| expected.but_got(text));
        Self::new(name, Kind::Bytes, parse, doc)
    }

    pub const fn count(name: &'static str, doc: &'static str) -> Self {
        let parse = |text: &str, _| parse::count(text).map_err(|expected| expected.but_got(text));
        Self::new(name, Kind::Count, parse, doc)
    }
}

impl Setting<f64> {
    /// A number from 0 to 1.
    pub const fn ratio(name: &'static str, doc: &'static str) -> Self {
        let parse = |text: &str, _| parse::ratio(text).map_err(|expected| expected.but_got(text));
        Self::new(name, Kind::Ratio, parse, doc)
    }
}

impl Setting<bool> {
    pub const fn switch(name: &'static str, doc: &'static str) -> Self {
        let parse = |text: &str, _| parse::switch(text).map_err(|expected| expected.but_got(text));
        Self::new(name, Kind::Switch, parse, doc)
    }
}

impl Setting<Word> {
    /// One of these words, in any case.
    pub const fn choice(
        name: &'static str,
        words: &'static [&'static str],
        doc: &'static str,
    ) -> Self {
        Self::new(name, Kind::Choice(words), Word::parse, doc)
    }
}

/// A [`Setting`], whose value is an `Option<T>`, or a [`SettingWithDefault`], whose value is a `T`.
pub trait Readable: Copy {
    /// The type of a valid value.
    type Valid;
    /// The type of the result.
    type Value;

    /// The row, and how its values are read.
    fn setting(self) -> Setting<Self::Valid>;

    /// The result for a valid value, or for none, if the variable is not set or invalid.
    fn value_or_default(self, valid: Option<Self::Valid>) -> Self::Value;
}

impl<T> Readable for Setting<T> {
    type Valid = T;
    type Value = Option<T>;

    fn setting(self) -> Self {
        self
    }

    fn value_or_default(self, valid: Option<T>) -> Option<T> {
        valid
    }
}

impl<T: Default> Readable for SettingWithDefault<T> {
    type Valid = T;
    type Value = T;

    fn setting(self) -> Setting<T> {
        self.setting
    }

    fn value_or_default(self, valid: Option<T>) -> T {
        // A test of each table asserts that its defaults are valid.
        valid.or_else(|| self.default()).unwrap_or_default()
    }
}
