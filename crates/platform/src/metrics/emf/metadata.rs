//! Reads the object under `_aws` in one pass: its time, and its directives, which declare metrics.
//!
//! A value of another type than in the specification counts as absent.

use super::line::{EmfLine, LineValues, MAX_ELEMENTS, MAX_NAMES, timestamp};
use crate::read::fields::{JsonKey, MAX_KEYS};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Declares metrics with their dimensions.
#[derive(Default)]
pub(super) struct Directive<'a> {
    pub(super) namespace: Option<&'a RawValue>,
    /// The names in all sets of dimensions.
    pub(super) dimensions: Vec<&'a RawValue>,
    pub(super) metrics: Vec<DeclaredMetric<'a>>,
    /// Number of further metrics, beyond the limit.
    pub(super) others: usize,
}

#[derive(Default)]
pub(super) struct DeclaredMetric<'a> {
    pub(super) name: Option<&'a RawValue>,
    pub(super) unit: Option<&'a RawValue>,
}

/// Reads the metadata into the line. Returns `false` if it does not declare this format.
pub(super) fn read(metadata: &RawValue, values: &LineValues<'_>, line: &mut EmfLine) -> bool {
    let mut deserializer = serde_json::Deserializer::from_str(metadata.get());
    let read = PartSeed(MetadataPart { values, line }).deserialize(&mut deserializer);
    // JSON also has numbers and texts that no type of Rust represents.
    read.unwrap_or_else(|_| {
        line.refused += 1;
        true
    })
}

/// A value that is read if it is an object or an array.
trait Part<'de>: Sized {
    type Value: Default;

    fn object<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::Value::default())
    }

    fn array<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::Value::default())
    }
}

struct PartSeed<P>(P);

impl<'de, P: Part<'de>> DeserializeSeed<'de> for PartSeed<P> {
    type Value = P::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<P::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, P: Part<'de>> Visitor<'de> for PartSeed<P> {
    type Value = P::Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<P::Value, A::Error> {
        self.0.object(map)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<P::Value, A::Error> {
        self.0.array(elements)
    }

    fn visit_bool<E>(self, _: bool) -> Result<P::Value, E> {
        Ok(P::Value::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<P::Value, E> {
        Ok(P::Value::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<P::Value, E> {
        Ok(P::Value::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<P::Value, E> {
        Ok(P::Value::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<P::Value, E> {
        Ok(P::Value::default())
    }

    fn visit_unit<E>(self) -> Result<P::Value, E> {
        Ok(P::Value::default())
    }
}

/// Calls `read` with each key, which reads the value or returns it unread, as the first of its key. Returns `false` for an object
/// with too many keys.
fn each_key<'de, A: MapAccess<'de>>(
    map: &mut A,
    mut read: impl FnMut(&str, &mut A) -> Result<bool, A::Error>,
) -> Result<bool, A::Error> {
    let mut keys = 0;
    while let Some(JsonKey(key)) = map.next_key()? {
        keys += 1;
        if !read(&key, map)? {
            map.next_value::<IgnoredAny>()?;
        }
    }
    Ok(keys <= MAX_KEYS)
}

/// The object under `_aws`.
struct MetadataPart<'l, 'v> {
    values: &'l LineValues<'v>,
    line: &'l mut EmfLine,
}

impl<'de> Part<'de> for MetadataPart<'_, '_> {
    /// `true` if it has directives.
    type Value = bool;

    fn object<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let Self { values, line } = self;
        let mut has_time = false;
        let mut has_directives = false;
        let is_read = each_key(&mut map, |key, map| match key {
            "Timestamp" if !has_time => {
                has_time = true;
                line.time = timestamp(map.next_value()?);
                Ok(true)
            }
            "CloudWatchMetrics" if !has_directives => {
                has_directives = true;
                map.next_value_seed(PartSeed(DirectivesPart { values, line: &mut *line }))?;
                Ok(true)
            }
            _ => Ok(false),
        })?;
        Ok(is_read && has_directives)
    }
}

struct DirectivesPart<'l, 'v> {
    values: &'l LineValues<'v>,
    line: &'l mut EmfLine,
}

impl<'de> Part<'de> for DirectivesPart<'_, '_> {
    type Value = ();

    fn array<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let mut directives = 0;
        while let Some(directive) = elements.next_element_seed(PartSeed(DirectivePart))? {
            directives += 1;
            if directives <= MAX_ELEMENTS {
                self.line.add_directive(&directive, self.values);
            }
        }
        Ok(())
    }
}

struct DirectivePart;

impl<'de> Part<'de> for DirectivePart {
    type Value = Directive<'de>;

    fn object<A: MapAccess<'de>>(self, mut map: A) -> Result<Directive<'de>, A::Error> {
        let mut directive = Directive::default();
        let mut has_dimensions = false;
        let mut has_metrics = false;
        let is_read = each_key(&mut map, |key, map| match key {
            "Namespace" if directive.namespace.is_none() => {
                directive.namespace = Some(map.next_value()?);
                Ok(true)
            }
            "Dimensions" if !has_dimensions => {
                has_dimensions = true;
                map.next_value_seed(PartSeed(SetsPart(&mut directive.dimensions)))?;
                Ok(true)
            }
            "Metrics" if !has_metrics => {
                has_metrics = true;
                map.next_value_seed(PartSeed(MetricsPart(&mut directive)))?;
                Ok(true)
            }
            _ => Ok(false),
        })?;
        Ok(if is_read { directive } else { Directive::default() })
    }
}

/// The sets of dimensions.
struct SetsPart<'n, 'a>(&'n mut Vec<&'a RawValue>);

impl<'de> Part<'de> for SetsPart<'_, 'de> {
    type Value = ();

    fn array<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let mut sets = 0;
        while sets < MAX_ELEMENTS {
            let set = PartSeed(NamesPart(&mut *self.0));
            if elements.next_element_seed(set)?.is_none() {
                return Ok(());
            }
            sets += 1;
        }
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// The names in a set of dimensions.
struct NamesPart<'n, 'a>(&'n mut Vec<&'a RawValue>);

impl<'de> Part<'de> for NamesPart<'_, 'de> {
    type Value = ();

    fn array<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let mut names = 0;
        while let Some(name) = elements.next_element::<&'de RawValue>()? {
            names += 1;
            let is_text = name.get().starts_with('"');
            if is_text && names <= MAX_ELEMENTS && self.0.len() < MAX_NAMES {
                self.0.push(name);
            }
        }
        Ok(())
    }
}

struct MetricsPart<'d, 'a>(&'d mut Directive<'a>);

impl<'de> Part<'de> for MetricsPart<'_, 'de> {
    type Value = ();

    fn array<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let Directive { metrics, others, .. } = self.0;
        while let Some(metric) = elements.next_element_seed(PartSeed(MetricPart))? {
            if metrics.len() < MAX_ELEMENTS {
                metrics.push(metric);
            } else {
                *others += 1;
            }
        }
        Ok(())
    }
}

struct MetricPart;

impl<'de> Part<'de> for MetricPart {
    type Value = DeclaredMetric<'de>;

    fn object<A: MapAccess<'de>>(self, mut map: A) -> Result<DeclaredMetric<'de>, A::Error> {
        let mut metric = DeclaredMetric::default();
        let is_read = each_key(&mut map, |key, map| {
            let part = match key {
                "Name" => &mut metric.name,
                "Unit" => &mut metric.unit,
                _ => return Ok(false),
            };
            let is_first = part.is_none();
            if is_first {
                *part = Some(map.next_value()?);
            }
            Ok(is_first)
        })?;
        Ok(if is_read { metric } else { DeclaredMetric::default() })
    }
}
