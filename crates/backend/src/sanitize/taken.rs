//! Columns that item attributes must not overwrite: OpenObserve's own, and those of the item's resource.
//!
//! OpenObserve stores resource and item in one row. The attribute of a log record or data point overrides the resource attribute
//! of the same name, so that a field `faas.name` of a JSON log would assign the record to another function. A span's resource
//! attributes have the prefix `service_`. Maps become columns too: `{"faas":{"name":…}}` becomes that of
//! `faas.name`.

use super::fields::{MAP, MAP_ENTRY, RESOURCE, RESOURCE_ATTRIBUTE, key_and_value};
use super::names::{self, Reserved, Shapes, is_reserved, stored_key};
use super::same_column::Columns;
use super::to_text;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use std::collections::HashMap;
use wire::protobuf::messages;

/// Nested maps are inspected down to this level. OpenObserve flattens maps of log records down to one level less, and others
/// completely.
const FLATTEN_LEVELS: usize = 4;

/// Most resources have at most this many attributes.
const USUAL_ATTRIBUTES: usize = 24;

/// A resource with more attributes is searched by key.
const FEW_ATTRIBUTES: usize = 64;

pub(super) struct Signal {
    /// OpenObserve's own columns.
    pub(super) reserved: &'static Reserved,
    pub(super) resource_prefix: &'static [u8],
}

pub(super) static SPANS: Signal = Signal { reserved: &names::SPAN, resource_prefix: b"service_" };

pub(super) static LOG_RECORDS: Signal =
    Signal { reserved: &names::LOG_RECORD, resource_prefix: b"" };

pub(super) static DATA_POINTS: Signal =
    Signal { reserved: &names::DATA_POINT, resource_prefix: b"" };

/// The reserved attribute names for the items of a container.
pub(super) struct Taken<'c> {
    signal: &'static Signal,
    shapes: Shapes,
    /// Keys and encoded values of the resource's attributes.
    of_resource: Vec<(&'c [u8], &'c [u8])>,
    /// The same, indexed by stored keys, for resources with many attributes.
    by_stored_key: Option<HashMap<Vec<u8>, &'c [u8]>>,
}

impl<'c> Taken<'c> {
    /// Returns the reserved names for an encoded container.
    pub(super) fn in_container(signal: &'static Signal, container: &'c [u8]) -> Self {
        Self::beside(signal, messages(container, RESOURCE))
    }

    pub(super) fn in_resource(signal: &'static Signal, resource: &'c [u8]) -> Self {
        Self::beside(signal, std::iter::once(resource))
    }

    fn beside(signal: &'static Signal, resources: impl Iterator<Item = &'c [u8]>) -> Self {
        let attributes = resources.flat_map(|resource| messages(resource, RESOURCE_ATTRIBUTE));
        let mut shapes = signal.reserved.shapes();
        let mut of_resource = Vec::with_capacity(USUAL_ATTRIBUTES);
        for (key, value) in attributes.map(key_and_value) {
            shapes.add_with_prefix(signal.resource_prefix, key);
            of_resource.push((key, value));
        }
        let by_stored_key = (of_resource.len() > FEW_ATTRIBUTES).then(|| {
            of_resource.iter().map(|(key, value)| (stored_key(key).collect(), *value)).collect()
        });
        Self { signal, shapes, of_resource, by_stored_key }
    }

    /// Keys and encoded values of the resource's attributes.
    pub(super) fn of_resource(&self) -> &[(&'c [u8], &'c [u8])] {
        &self.of_resource
    }

    /// Returns `true` if an attribute would overwrite a column with another value.
    #[inline]
    pub(super) fn has(&self, key: &[u8], value: &[u8]) -> bool {
        self.shapes.may_have(key) && self.has_key(key, value)
    }

    /// Returns `true` if an entry of this map would overwrite a column.
    pub(super) fn has_within(&self, key: &[u8], map: &[u8]) -> bool {
        self.holds(&mut stored_key(key).collect(), map, 1)
    }

    #[inline(never)]
    fn has_key(&self, key: &[u8], value: &[u8]) -> bool {
        if is_reserved(key, self.signal.reserved) {
            return true;
        }
        if let Some(by_stored_key) = &self.by_stored_key {
            let column: Vec<u8> = stored_key(key).collect();
            let of_resource = column.strip_prefix(self.signal.resource_prefix);
            let said = of_resource.and_then(|key| by_stored_key.get(key));
            return said.is_some_and(|said| *said != value);
        }
        self.of_resource
            .iter()
            .any(|(taken, said)| *said != value && self.column(taken).eq(stored_key(key)))
    }

    fn column(&self, key: &'c [u8]) -> impl Iterator<Item = u8> + use<'c> {
        self.signal.resource_prefix.iter().copied().chain(stored_key(key))
    }

    /// Returns `true` if the path of a value of this map, starting at `path`, is a column. Follows only prefixes of columns.
    fn holds(&self, path: &mut Vec<u8>, map: &[u8], level: usize) -> bool {
        path.push(b'_');
        let length = path.len();
        let found = level <= FLATTEN_LEVELS
            && self.is_way(path)
            && messages(map, MAP).flat_map(|map| messages(map, MAP_ENTRY)).any(|entry| {
                let (key, value) = key_and_value(entry);
                path.truncate(length);
                path.extend(stored_key(key));
                self.has_key(path, value) || self.holds(path, value, level + 1)
            });
        path.truncate(length - 1);
        found
    }

    /// Returns `true` if a column begins with this prefix.
    fn is_way(&self, path: &[u8]) -> bool {
        if self.by_stored_key.is_some() {
            return true;
        }
        let mut reserved = self.signal.reserved.columns();
        reserved.any(|column| column.as_bytes().starts_with(path))
            || self.of_resource.iter().any(|(key, _)| {
                let mut column = self.column(key);
                path.iter().all(|byte| column.next() == Some(*byte))
            })
    }

    /// Makes the attributes of an item such that OpenObserve stores the value of each. `columns` has those of the item's body.
    pub(super) fn adapt(&self, attributes: &mut [KeyValue], mut columns: Columns) {
        to_text(attributes);
        columns.separate(attributes, |attribute| self.collides(attribute));
    }

    /// Returns `true` if an attribute, or an entry of its map, would overwrite a column with another value.
    fn collides(&self, attribute: &KeyValue) -> bool {
        let key = attribute.key.as_bytes();
        let value = attribute.value.as_ref();
        let is_map =
            matches!(value.and_then(|value| value.value.as_ref()), Some(Value::KvlistValue(_)));
        if !is_map && !self.shapes.may_have(key) {
            return false;
        }
        let value = value.map(prost::Message::encode_to_vec).unwrap_or_default();
        self.has_key(key, &value) || (is_map && self.has_within(key, &value))
    }
}
