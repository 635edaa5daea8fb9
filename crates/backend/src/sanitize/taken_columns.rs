//! Columns that item attributes must not overwrite: OpenObserve's own, and those of the item's resource.
//!
//! OpenObserve stores resource and item in one row. The attribute of a log record or data point overrides the resource attribute
//! of the same name, so that a field `faas.name` of a JSON log would assign the record to another function. A span's resource
//! attributes have the prefix `service_`. Maps become columns too: `{"faas":{"name":…}}` becomes that of
//! `faas.name`.

use super::gen_ai;
use super::limits::COMPARED_LEVELS;
use super::names::stored_key;
use super::planned::{Planned, ReadAttribute};
use super::reserved_columns::{self, KeyFilter, ReservedColumns, is_reserved};
use std::cell::OnceCell;
use std::collections::HashMap;
use wire::SignalKind;
use wire::field::resource;
use wire::protobuf::messages;
use wire::resource::SERVICE_NAME;

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

/// The levels of attributes and entries that are compared with columns.
pub(super) const JUDGED_LEVELS: usize = COMPARED_LEVELS + 1;

/// The judgement about a column in which an item has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ColumnVerdict {
    Free,
    /// The resource has the same value in it.
    Repeated,
    /// The value would overwrite another one.
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
    is_watched: |_| false,
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
    /// The resource's attributes as they were read.
    read: &'c [ReadAttribute<'c>],
    /// The resource's attributes as they are sent, if something changed.
    changed: Option<Vec<ReadAttribute<'c>>>,
    /// `true` if comparing a key with each of them is cheap.
    is_small: bool,
    /// The same by stored key, for resources with many attributes.
    by_stored_key: OnceCell<KeysOfResource<'c>>,
}

/// The stored keys of a resource.
#[derive(Default)]
struct KeysOfResource<'c> {
    /// The number of attributes with each, as they are sent.
    sent: HashMap<Vec<u8>, usize>,
    /// The value of each, as it was read.
    read: HashMap<Vec<u8>, &'c [u8]>,
}

impl<'c> TakenColumns<'c> {
    /// The columns that are taken for items of a resource with these attributes, which is sent as another one if it `changed`.
    pub(super) fn new(
        signal: &'static SignalColumns,
        read: &'c [ReadAttribute<'c>],
        changed: Option<&'c [u8]>,
    ) -> Self {
        let read_all = |resource| messages(resource, resource::ATTRIBUTES).map(ReadAttribute::read);
        let changed: Option<Vec<_>> = changed.map(|resource| read_all(resource).collect());
        let sent = changed.as_deref().unwrap_or(read);
        let mut filter = signal.reserved.filter();
        let mut key_bytes = 0;
        for ReadAttribute { key, .. } in sent {
            filter.add_with_prefix(signal.resource_prefix, key);
            key_bytes += key.len();
        }
        let is_small = sent.len() <= FEW_ATTRIBUTES && key_bytes <= FEW_KEY_BYTES;
        Self { signal, filter, read, changed, is_small, by_stored_key: OnceCell::new() }
    }

    fn sent(&self) -> &[ReadAttribute<'c>] {
        self.changed.as_deref().unwrap_or(self.read)
    }

    /// Returns `true` if values keep their types.
    pub(super) fn has_types(&self) -> bool {
        self.signal.has_types
    }

    /// Returns `false` if a key has no column that is taken, and no rule watches it.
    #[inline]
    pub(super) fn may_have(&self, key: &[u8]) -> bool {
        self.filter.may_have(key)
    }

    /// Returns `true` if a rule that needs the whole item decides about a key.
    pub(super) fn watches(&self, key: &[u8]) -> bool {
        (self.signal.is_watched)(key)
    }

    pub(super) fn judge_column(&self, column: &[u8], value: &[u8]) -> ColumnVerdict {
        if !self.filter.may_have(column) || !self.has_column(column) {
            return ColumnVerdict::Free;
        }
        if is_reserved(column, self.signal.reserved) {
            return ColumnVerdict::Taken;
        }
        if self.repeats(column, value) { ColumnVerdict::Repeated } else { ColumnVerdict::Taken }
    }

    /// Returns `true` if one attribute of the resource has this column, and this value.
    fn repeats(&self, column: &[u8], value: &[u8]) -> bool {
        if self.count_sent(column) != 1 {
            return false;
        }
        if self.is_small {
            return self.read.iter().any(|it| it.value == value && self.fills(it.key, column));
        }
        let read = self.without_prefix(column).and_then(|key| self.by_stored_key().read.get(key));
        read == Some(&value)
    }

    /// Returns `true` if the key of a resource has this column.
    fn fills(&self, key: &[u8], column: &[u8]) -> bool {
        let prefix = self.signal.resource_prefix.iter().copied();
        prefix.chain(stored_key(key)).eq(column.iter().copied())
    }

    /// Returns `true` for a column of OpenObserve or the resource.
    #[inline(never)]
    fn has_column(&self, column: &[u8]) -> bool {
        is_reserved(column, self.signal.reserved) || self.count_sent(column) > 0
    }

    /// The number of attributes with this column that the resource is sent with.
    fn count_sent(&self, column: &[u8]) -> usize {
        if self.is_small {
            return self.sent().iter().filter(|it| self.fills(it.key, column)).count();
        }
        let sent = self.without_prefix(column).and_then(|key| self.by_stored_key().sent.get(key));
        sent.copied().unwrap_or_default()
    }

    fn without_prefix<'k>(&self, column: &'k [u8]) -> Option<&'k [u8]> {
        column.strip_prefix(self.signal.resource_prefix)
    }

    fn by_stored_key(&self) -> &KeysOfResource<'c> {
        self.by_stored_key.get_or_init(|| {
            let mut keys = KeysOfResource::default();
            for attribute in self.sent() {
                *keys.sent.entry(stored_key(attribute.key).collect()).or_default() += 1;
            }
            for attribute in self.read {
                keys.read.insert(stored_key(attribute.key).collect(), attribute.value);
            }
            keys
        })
    }

    /// Returns `true` if an attribute, or an entry of its map, would overwrite a column with another value.
    pub(super) fn collides(&self, attribute: &Planned<'_>) -> bool {
        if !attribute.is_map() && !self.filter.may_have(attribute.key.as_bytes()) {
            return false;
        }
        self.overwrites(&mut Vec::new(), attribute, JUDGED_LEVELS)
    }

    /// Returns `true` if an attribute or entry below this path would overwrite a column.
    fn overwrites(&self, path: &mut Vec<u8>, attribute: &Planned<'_>, levels: usize) -> bool {
        let Some(levels) = levels.checked_sub(1) else { return false };
        let length = path.len();
        path.extend(stored_key(attribute.key.as_bytes()));
        let is_repeated = attribute.repeated_column.as_deref() == Some(path.as_slice());
        let mut overwrites = !is_repeated && self.filter.may_have(path) && self.has_column(path);
        if !overwrites && attribute.is_map() {
            path.push(b'_');
            overwrites = attribute.entries.iter().any(|it| self.overwrites(path, it, levels));
        }
        path.truncate(length);
        overwrites
    }
}
