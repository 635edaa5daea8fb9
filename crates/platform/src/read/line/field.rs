//! The fields of a line: keys with their roles, and unparsed values.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::read::fields::{Fields, text_of};
use crate::read::keys::{RankedRole, Role, ranked_role};
use crate::read::logfmt;
use crate::read::severity::{LevelWordSet, Severity};

#[derive(Debug)]
pub(crate) enum Value<'a> {
    /// A string, copied only if it has escapes.
    Text(Cow<'a, str>),
    Json(Cow<'a, RawValue>),
}

impl<'a> Value<'a> {
    pub(super) fn of(raw: &'a RawValue) -> Self {
        text_of(raw).map_or(Self::Json(Cow::Borrowed(raw)), Self::Text)
    }

    pub(super) fn into_owned(self) -> Value<'static> {
        match self {
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::Json(raw) => Value::Json(Cow::Owned(raw.into_owned())),
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The text of a JSON object.
    pub(crate) fn json_object(&self) -> Option<&str> {
        let Self::Json(raw) = self else { return None };
        Some(raw.get()).filter(|json| json.starts_with('{'))
    }

    /// The content of a string, or the JSON of another value.
    pub(crate) fn word(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Json(raw) => raw.get(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct LineField<'a> {
    pub(crate) key: Cow<'a, str>,
    pub(super) role: Option<RankedRole>,
    pub(crate) value: Value<'a>,
    /// `true` if the content is in another field of the record.
    pub(crate) is_taken: bool,
}

impl<'a> LineField<'a> {
    pub(super) fn new(key: Cow<'a, str>, value: Value<'a>) -> Self {
        let role = ranked_role(&key);
        Self { key, role, value, is_taken: false }
    }

    pub(crate) fn role(&self) -> Option<Role> {
        self.role.map(|ranked| ranked.role)
    }

    /// Returns `true` if a key that may have other words has a level.
    fn states_status(&self) -> bool {
        self.is(Role::Status) && status_of(&self.value).is_some()
    }

    pub(crate) fn is(&self, role: Role) -> bool {
        self.role() == Some(role)
    }

    pub(super) fn into_owned(self) -> LineField<'static> {
        let Self { key, role, value, is_taken } = self;
        LineField { key: Cow::Owned(key.into_owned()), role, value: value.into_owned(), is_taken }
    }
}

pub(crate) type LineFields<'a> = Vec<LineField<'a>>;

pub(crate) fn object_fields(object: &str) -> Option<LineFields<'_>> {
    Fields::of(object).map(line_fields)
}

/// The fields before the place where an object was cut.
pub(super) fn fields_before_cut(object: &str) -> LineFields<'_> {
    line_fields(Fields::before_cut(object))
}

pub(crate) fn line_fields(Fields { pairs }: Fields<'_>) -> LineFields<'_> {
    pairs.into_iter().map(|(key, raw)| LineField::new(key, Value::of(raw))).collect()
}

pub(super) fn logfmt_fields(line: &str) -> Option<LineFields<'_>> {
    let field = |(key, value)| LineField::new(Cow::Borrowed(key), Value::Text(value));
    let fields: LineFields<'_> = logfmt::pairs(line)?.into_iter().map(field).collect();
    fields.iter().any(|field| field.is(Role::Level) || field.states_status()).then_some(fields)
}

pub(super) fn status_of(value: &Value<'_>) -> Option<Severity> {
    value.text().and_then(|text| Severity::of_text(text, LevelWordSet::Any))
}

pub(crate) fn json_object(fields: &LineFields<'_>) -> String {
    let field = |LineField { key, value, .. }: &LineField<'_>| {
        let key = serde_json::Value::from(key.as_ref());
        match value {
            Value::Text(text) => format!("{key}:{}", serde_json::Value::from(text.as_ref())),
            Value::Json(raw) => format!("{key}:{}", raw.get()),
        }
    };
    format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(","))
}
