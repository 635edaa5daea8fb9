//! Keys that OpenObserve stores in the same column, such as `a b`, `a-b` and `A_B`: it keeps the value of one of them.

use super::limits::MAP_LEVELS;
use super::names::stored_key;
use super::planned::Planned;
use std::collections::HashMap;
use wire::fnv;
use wire::reserved::RENAMED_PREFIX;
use wire::resource::SERVICE_NAME;
use wire::view::{holds_map, key_and_value, map_entries};

/// A column and the key whose value is stored there, as hashes; or the beginning of both.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ColumnKey {
    pub(crate) column: u64,
    pub(crate) key: u64,
}

/// Adds the places of this key's value below a path: of each entry, if it is a map and `levels` remain.
pub(crate) fn add_places(
    path: ColumnKey,
    key: &[u8],
    value: &[u8],
    levels: usize,
    places: &mut Vec<ColumnKey>,
) {
    let place = below(path, key);
    if levels == 0 || !holds_map(value) {
        return places.push(place);
    }
    for entry in map_entries(value) {
        let (key, value) = key_and_value(entry);
        add_places(within(place), key, value, levels - 1, places);
    }
}

/// The columns that keys of an item have claimed. Each key gets a column of its own, under another name if necessary.
#[derive(Default)]
pub(super) struct ColumnClaims {
    /// For each column, the key that has it.
    owners: HashMap<u64, u64>,
    /// Count of the numbers tried in names of renamed keys, the first of which is 2.
    numbers_tried: usize,
    /// Number of keys that were renamed because another key had their column.
    renamed: usize,
}

impl ColumnClaims {
    /// Number of keys that were renamed because another key had their column.
    pub(super) fn renamed(&self) -> usize {
        self.renamed
    }

    /// Claims columns for the entries of a log record's body, and renames entries whose columns are taken.
    pub(super) fn separate_body(&mut self, body: &mut [Planned<'_>]) {
        self.separate_below(within(below(START, b"body")), body, MAP_LEVELS - 1);
    }

    /// Renames each key whose column another key has or that `collides` with a column of OpenObserve or the resource: `severity`
    /// becomes `attr_severity`, as OpenObserve 0.92 renames colliding span attributes. If `attr_severity` is there too, it
    /// becomes `attr_2_severity`.
    pub(super) fn separate(
        &mut self,
        attributes: &mut [Planned<'_>],
        collides: impl Fn(&Planned<'_>) -> bool,
    ) {
        let colliding: Vec<bool> = attributes.iter().map(&collides).collect();
        // Keys that may stay have their columns before renamed ones, and a resource's service name before all.
        let both = attributes.iter().zip(&colliding);
        let stays = both.filter(|(attribute, collides)| !**collides && !attribute.is_map());
        let mut staying: Vec<&[u8]> =
            stays.map(|(attribute, _)| attribute.key.as_bytes()).collect();
        staying.sort_by_key(|key| *key != SERVICE_NAME.as_bytes());
        for key in staying {
            self.claim(below(START, key));
        }
        for (attribute, is_colliding) in attributes.iter_mut().zip(colliding) {
            let place = below(START, attribute.key.as_bytes());
            if is_colliding {
                self.rename(START, attribute, &collides);
            } else if !attribute.is_map() && !self.claim(place) {
                self.rename(START, attribute, &collides);
                self.renamed += 1;
            }
            // A renamed entry may meet a column of the resource, in which case the map gets another name.
            for _ in 0..MAP_LEVELS {
                let path = within(below(START, attribute.key.as_bytes()));
                let has_renamed = self.separate_below(path, &mut attribute.entries, MAP_LEVELS - 1);
                if !has_renamed || !collides(attribute) {
                    break;
                }
                self.rename(START, attribute, &collides);
            }
        }
    }

    /// Returns `true` if it renamed an entry.
    fn separate_below(
        &mut self,
        path: ColumnKey,
        attributes: &mut [Planned<'_>],
        levels: usize,
    ) -> bool {
        let mut has_renamed = false;
        for attribute in attributes {
            let place = below(path, attribute.key.as_bytes());
            if attribute.is_map() && levels > 0 {
                let entries = &mut attribute.entries;
                has_renamed |= self.separate_below(within(place), entries, levels - 1);
            } else if !self.claim(place) {
                self.rename(path, attribute, &|_: &Planned<'_>| false);
                self.renamed += 1;
                has_renamed = true;
            }
        }
        has_renamed
    }

    fn rename(
        &mut self,
        path: ColumnKey,
        attribute: &mut Planned<'_>,
        collides: &impl Fn(&Planned<'_>) -> bool,
    ) {
        /// So many keys of a resource have the names of renamed keys only in an attack with this resource. The next name then
        /// replaces the value of such a key.
        const MAX_COLLISIONS: usize = 8;
        let key = attribute.key.clone();
        attribute.make_room();
        let mut collisions = 0;
        // Each number is tried once for an item, so that many such keys cost no more than their number.
        loop {
            let place = below(path, attribute.key.as_bytes());
            // A collision is searched last, because it reads the entries of a map.
            if !self.owners.contains_key(&place.column) {
                if collisions == MAX_COLLISIONS || !collides(attribute) {
                    self.claim_for_renamed(place);
                    return;
                }
                collisions += 1;
            }
            self.numbers_tried += 1;
            attribute.rename(format!("{RENAMED_PREFIX}{}_{key}", self.numbers_tried + 1));
        }
    }

    /// Gives a key its column, unless another key has it already. Returns `true` if the key has it.
    fn claim(&mut self, ColumnKey { column, key }: ColumnKey) -> bool {
        *self.owners.entry(column).or_insert(key) == key
    }

    /// Gives a renamed key its column, which no other key gets from then on, not even one with the same text.
    fn claim_for_renamed(&mut self, ColumnKey { column, key }: ColumnKey) {
        self.owners.insert(column, !key);
    }
}

/// The hashes of no column and no path.
const START: ColumnKey = ColumnKey { column: fnv::START, key: fnv::START };

/// The path of attributes whose columns have this prefix.
pub(crate) fn start(prefix: &str) -> ColumnKey {
    ColumnKey { column: prefix.bytes().fold(START.column, fnv::with_byte), ..START }
}

/// The place of a key's value below a path.
fn below(path: ColumnKey, key: &[u8]) -> ColumnKey {
    ColumnKey {
        column: stored_key(key).fold(path.column, fnv::with_byte),
        key: key.iter().copied().fold(path.key, fnv::with_byte),
    }
}

/// The path of a map's entries. The byte 0 ends the key, because `a.b` and the entry `b` of `a` differ.
fn within(place: ColumnKey) -> ColumnKey {
    ColumnKey { column: fnv::with_byte(place.column, b'_'), key: fnv::with_byte(place.key, 0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn planned(keys: &[String]) -> Vec<Planned<'_>> {
        let mut planned = Vec::new();
        for (source, key) in keys.iter().enumerate() {
            planned.push(Planned::read_alone(source, key.as_bytes(), &[]));
        }
        planned
    }

    /// A search reads the entries of a map, so their number decides the time that an item takes.
    #[test]
    fn few_names_of_a_renamed_key_are_searched_in_the_resource() {
        const NAMES: usize = 1000;
        let searches = Cell::new(0);
        let search = |is_found: bool| {
            searches.set(searches.get() + 1);
            is_found && searches.get() < NAMES
        };
        // The resource has all names that the key could get.
        let key = ["severity".to_owned()];
        let mut alone = planned(&key);
        ColumnClaims::default().separate(&mut alone, |_| search(true));
        assert!(searches.take() < 20);
        // The item has them.
        let others = (2..NAMES).map(|number| format!("attr_{number}_severity"));
        let names: Vec<String> =
            ["severity".into(), "attr_severity".into()].into_iter().chain(others).collect();
        let mut beside = planned(&names);
        ColumnClaims::default()
            .separate(&mut beside, |attribute| search(attribute.key == "severity"));
        assert!(searches.take() < NAMES + 20);
        assert_eq!(beside[0].key, format!("attr_{NAMES}_severity"));
    }
}
