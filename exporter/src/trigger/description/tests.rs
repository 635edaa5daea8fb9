//! Reads `events.json`, and writes the table.

use super::*;
use expect_test::expect_file;
use serde::Deserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(&[])
    }
}

thread_local! {
    /// The texts that were read so far.
    static TEXTS_READ: RefCell<String> = const { RefCell::new(String::new()) };
}

impl<'de> Deserialize<'de> for Excerpt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(excerpt(&String::deserialize(deserializer)?))
    }
}

fn excerpt(text: &str) -> Excerpt {
    TEXTS_READ.with_borrow_mut(|texts| {
        let start = texts.find(text).unwrap_or_else(|| {
            texts.push_str(text);
            texts.len() - text.len()
        });
        Excerpt { start: start.try_into().unwrap(), end: (start + text.len()).try_into().unwrap() }
    })
}

impl<'de> Deserialize<'de> for TextList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts: Vec<String> = Vec::deserialize(deserializer)?;
        assert!(texts.iter().all(|text| text.lines().count() == 1), "{texts:?}");
        Ok(Self(excerpt(&texts.join("\n"))))
    }
}

pub(super) fn trigger<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TriggerType, D::Error> {
    use TriggerType::{Datasource, Http, Other, PubSub, Timer};
    let name = String::deserialize(deserializer)?;
    let mut all = [Datasource, Http, PubSub, Timer, Other].into_iter();
    let found = all.find(|trigger| trigger.as_str() == name);
    found.ok_or_else(|| D::Error::custom(format!("{name} is no trigger")))
}

/// Reads a part whose place in the table is a reference.
pub(super) fn leaked<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'static T>, D::Error> {
    let part: Option<T> = Option::deserialize(deserializer)?;
    Ok(part.map(|part| &*Box::leak(Box::new(part))))
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<'de, T: Deserialize<'de> + 'static> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Vec::deserialize(deserializer)?.leak()))
    }
}

impl<'de, T: Deserialize<'de> + 'static> Deserialize<'de> for Table<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

struct Entries<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + 'static> Visitor<'de> for Entries<T> {
    type Value = Table<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Table<T>, M::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Table(entries.leak()))
    }
}

/// `UPDATE_EXPECT=1` writes the table.
#[test]
fn the_table_has_the_description() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/events.json");
    let text = std::fs::read_to_string(path).unwrap();
    let read: Description = serde_json::from_str(&text).unwrap();
    // The output of `Debug` is Rust, but for the references.
    let texts = TEXTS_READ.take();
    let mut table = format!("{read:?}")
        .replace('[', "&[")
        .replace("DescribedSource {", "\n    DescribedSource {");
    for part in ["HttpPlaces", "RecordPlaces", "DocumentPlaces"] {
        table = table.replace(&format!("Some({part} {{"), &format!("Some(&{part} {{"));
    }
    let code = format!(
        "//! The description in `events.json`, written by a test.\n\n\
         use super::BodyPlace::*;\nuse super::Conversion::*;\nuse super::DestinationPlace::*;\nuse super::Test::*;\nuse super::TriggerType::*;\nuse super::*;\n\n\
         pub(crate) static DESCRIPTION: Description = {table};\n\n\
         pub(super) static TEXTS: &str = {texts:?};\n"
    );
    expect_file!["table.rs"].assert_eq(&code);
    assert_eq!(format!("{DESCRIPTION:?}"), format!("{read:?}"));
}
