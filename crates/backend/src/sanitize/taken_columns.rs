//! Columns that item attributes must not overwrite: OpenObserve's own, and those of the item's resource.
//!
//! OpenObserve stores resource and item in one row. The attribute of a log record or data point overrides the resource attribute
//! of the same name, so that a field `faas.name` of a JSON log would assign the record to another function. A span's resource
//! attributes have the prefix `service_`. Maps become columns too: `{"faas":{"name":…}}` becomes that of
//! `faas.name`.

use super::limits::COMPARED_LEVELS;
use super::names::stored_key;
use super::reserved_columns::{self, KeyFilter, ReservedColumns, is_reserved};
use super::same_column::is_map;
use super::{gen_ai, severity};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use std::cell::OnceCell;
use std::collections::HashMap;
use wire::SignalKind;
use wire::field::resource;
use wire::protobuf::messages;
use wire::resource::SERVICE_NAME;
use wire::view::{key_and_value, map_entries};

/// Most resources have at most this many attributes.
const USUAL_ATTRIBUTES: usize = 24;

/// A resource with more attributes or longer keys is searched by key.
const FEW_ATTRIBUTES: usize = 64;
const FEW_KEY_BYTES: usize = 4096;

/// What decides about the columns of a signal's attributes.
pub(super) struct SignalColumns {
    /// OpenObserve's own columns.
    reserved: &'static ReservedColumns,
    /// Names that attributes of a resource must not have, except for `service.name`.
    reserved_in_resources: &'static ReservedColumns,
    resource_prefix: &'static [u8],
    /// `true` if values keep their types, so that one column may get several.
    pub(super) has_types: bool,
    /// Returns `true` for a key about which a rule decides that needs the whole item.
    is_watched: fn(&[u8]) -> bool,
}

/// The judgement about an attribute of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyVerdict {
    Free,
    /// A rule decides that needs the whole item.
    Watched,
    /// The attribute would overwrite a column with another value.
    Taken,
}

impl SignalColumns {
    pub(super) fn of(kind: SignalKind) -> &'static Self {
        match kind {
            SignalKind::Traces => &SPANS,
            SignalKind::Logs => &LOG_RECORDS,
            SignalKind::Metrics => &DATA_POINTS,
        }
    }

    pub(super) fn is_reserved_in_resources(&self, key: &[u8]) -> bool {
        key != SERVICE_NAME.as_bytes() && is_reserved(key, self.reserved_in_resources)
    }
}

pub(super) static SPANS: SignalColumns = SignalColumns {
    reserved: &reserved_columns::SPAN,
    reserved_in_resources: &reserved_columns::SPAN_RESOURCE,
    resource_prefix: b"service_",
    has_types: false,
    is_watched: gen_ai::may_lose,
};

pub(super) static LOG_RECORDS: SignalColumns = SignalColumns {
    reserved: &reserved_columns::LOG_RECORD,
    reserved_in_resources: &reserved_columns::LOG_RECORD,
    resource_prefix: b"",
    has_types: true,
    is_watched: severity::has_column,
};

pub(super) static DATA_POINTS: SignalColumns = SignalColumns {
    reserved: &reserved_columns::DATA_POINT,
    reserved_in_resources: &reserved_columns::DATA_POINT,
    resource_prefix: b"",
    has_types: false,
    is_watched: |_| false,
};

/// The columns that are taken before the attributes of an item, for the items of one resource.
pub(super) struct TakenColumns<'c> {
    signal: &'static SignalColumns,
    filter: KeyFilter,
    /// Keys and encoded values of the resource's attributes.
    of_resource: Vec<(&'c [u8], &'c [u8])>,
    /// `true` if comparing a key with each of them is cheap.
    is_small: bool,
    /// The same by stored key, for resources with many attributes.
    by_stored_key: OnceCell<HashMap<Vec<u8>, &'c [u8]>>,
}

impl<'c> TakenColumns<'c> {
    pub(super) fn in_resource(signal: &'static SignalColumns, resource: &'c [u8]) -> Self {
        Self::among(signal, messages(resource, resource::ATTRIBUTES))
    }

    /// The columns that are taken for items of a resource with these encoded attributes.
    pub(super) fn among(
        signal: &'static SignalColumns,
        attributes: impl Iterator<Item = &'c [u8]>,
    ) -> Self {
        let mut filter = signal.reserved.filter();
        let mut of_resource = Vec::with_capacity(USUAL_ATTRIBUTES);
        for (key, value) in attributes.map(key_and_value) {
            filter.add_with_prefix(signal.resource_prefix, key);
            of_resource.push((key, value));
        }
        let key_bytes: usize = of_resource.iter().map(|(key, _)| key.len()).sum();
        let is_small = of_resource.len() <= FEW_ATTRIBUTES && key_bytes <= FEW_KEY_BYTES;
        Self { signal, filter, of_resource, is_small, by_stored_key: OnceCell::new() }
    }

    /// Returns `true` if values keep their types.
    pub(super) fn has_types(&self) -> bool {
        self.signal.has_types
    }

    /// Keys and encoded values of the resource's attributes.
    pub(super) fn of_resource(&self) -> &[(&'c [u8], &'c [u8])] {
        &self.of_resource
    }

    #[inline]
    pub(super) fn judge(&self, key: &[u8], value: &[u8]) -> KeyVerdict {
        if self.filter.may_have(key) { self.judge_key(key, value) } else { KeyVerdict::Free }
    }

    #[inline(never)]
    fn judge_key(&self, key: &[u8], value: &[u8]) -> KeyVerdict {
        if self.has_key(key, value) {
            KeyVerdict::Taken
        } else if (self.signal.is_watched)(key) {
            KeyVerdict::Watched
        } else {
            KeyVerdict::Free
        }
    }

    /// Returns `true` if an attribute would overwrite a column with another value.
    #[inline]
    pub(super) fn has(&self, key: &[u8], value: &[u8]) -> bool {
        self.filter.may_have(key) && self.has_key(key, value)
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
        let prefix = self.signal.resource_prefix;
        if self.is_small {
            let is_column =
                |own: &[u8]| prefix.iter().copied().chain(stored_key(own)).eq(stored_key(key));
            return self.of_resource.iter().any(|(own, said)| *said != value && is_column(own));
        }
        let by_stored_key = self.by_stored_key.get_or_init(|| {
            let attributes = self.of_resource.iter();
            attributes.map(|(key, value)| (stored_key(key).collect(), *value)).collect()
        });
        let column: Vec<u8> = stored_key(key).collect();
        let of_resource = column.strip_prefix(prefix);
        of_resource.and_then(|key| by_stored_key.get(key)).is_some_and(|said| *said != value)
    }

    /// Returns `true` if the path of a value of this map, starting at `path`, is a column.
    fn holds(&self, path: &mut Vec<u8>, map: &[u8], level: usize) -> bool {
        path.push(b'_');
        let length = path.len();
        let found = level <= COMPARED_LEVELS
            && map_entries(map).any(|entry| {
                let (key, value) = key_and_value(entry);
                path.truncate(length);
                path.extend(stored_key(key));
                self.has(path, value) || self.holds(path, value, level + 1)
            });
        path.truncate(length - 1);
        found
    }

    /// Returns `true` if an attribute, or an entry of its map, would overwrite a column with another value.
    pub(super) fn collides(&self, attribute: &KeyValue) -> bool {
        let key = attribute.key.as_bytes();
        let is_map = is_map(attribute);
        if !is_map && !self.filter.may_have(key) {
            return false;
        }
        let value = attribute.value.as_ref().map(prost::Message::encode_to_vec).unwrap_or_default();
        self.has_key(key, &value) || (is_map && self.has_within(key, &value))
    }
}
