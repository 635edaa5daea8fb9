//! The shape of an item: its keys and the classes of its values, in order, as a hash. Items of one shape have one plan.
//!
//! Everything that a plan depends on is in the hash. Each process has other seeds, so that nobody can write two shapes with one hash.

use super::gen_ai;
use super::names::stored_key;
use super::planned::Class;
use super::taken_columns::{ColumnVerdict, JUDGED_LEVELS, TakenColumns};
use foldhash::quality::{FoldHasher, RandomState};
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::LazyLock;
use wire::view::{key_and_value, map_entries};

static SEEDS: LazyLock<RandomState> = LazyLock::new(RandomState::default);

/// The shape of an item that is being read.
#[derive(Clone)]
pub(super) struct ShapeHash {
    hasher: FoldHasher<'static>,
    /// `true` if a rule that needs the whole item decides about an attribute.
    pub(super) is_watched: bool,
}

impl ShapeHash {
    /// Begins the shape of an item with this surrounding.
    pub(super) fn begin(around: u64) -> Self {
        let mut hasher = SEEDS.build_hasher();
        hasher.write_u64(around);
        Self { hasher, is_watched: false }
    }

    /// Adds an attribute. Only keys that pass the signal's filter may have values on which a plan depends.
    #[inline]
    pub(super) fn add(&mut self, key: &[u8], value: &[u8], taken: &TakenColumns<'_>) {
        let class = Class::read(value);
        self.add_key(key, class);
        if taken.may_have(key) {
            self.add_verdict(key, value, taken);
        }
        if class == Class::Map {
            self.add_entries(value, Some((&stored_key(key).collect::<Vec<u8>>(), taken)));
        }
    }

    #[inline(never)]
    fn add_verdict(&mut self, key: &[u8], value: &[u8], taken: &TakenColumns<'_>) {
        let column: Vec<u8> = stored_key(key).collect();
        let verdict = taken.judge_column(&column, value);
        self.add_fact(verdict as u64);
        self.add_fact(u64::from(gen_ai::reads_as_number(key, value)));
        self.is_watched |= taken.watches(key);
    }

    /// Adds an attribute that has no columns of a resource beside it.
    pub(super) fn add_alone(&mut self, key: &[u8], value: &[u8]) {
        let class = Class::read(value);
        self.add_key(key, class);
        if class == Class::Map {
            self.add_entries(value, None);
        }
    }

    /// Adds a value that is no attribute, such as the body of a log record.
    pub(super) fn add_value(&mut self, value: &[u8]) {
        let class = Class::read(value);
        self.add_fact(class as u64);
        if class == Class::Map {
            self.add_entries(value, None);
        }
    }

    pub(super) fn add_fact(&mut self, fact: u64) {
        self.hasher.write_u64(fact);
    }

    #[inline]
    fn add_key(&mut self, key: &[u8], class: Class) {
        // With the length, so that no two lists of keys are one text.
        self.hasher.write_u64((key.len() as u64) << 8 | class as u64);
        self.hasher.write(key);
    }

    pub(super) fn finish(&self) -> u64 {
        self.hasher.finish()
    }

    #[inline(never)]
    fn add_entries(&mut self, map: &[u8], beside: Option<(&[u8], &TakenColumns<'_>)>) {
        self.add_entries_to(map, beside, JUDGED_LEVELS - 1);
    }

    fn add_entries_to(
        &mut self,
        map: &[u8],
        beside: Option<(&[u8], &TakenColumns<'_>)>,
        levels: usize,
    ) {
        const END: u64 = u64::MAX;
        let beside = beside.filter(|_| levels > 0);
        for (key, value) in map_entries(map).map(key_and_value) {
            let class = Class::read(value);
            self.add_key(key, class);
            let column: Vec<u8> = match beside {
                Some((path, _)) => {
                    path.iter().copied().chain([b'_']).chain(stored_key(key)).collect()
                }
                None => Vec::new(),
            };
            if let Some((_, taken)) = beside {
                let verdict = taken.judge_column(&column, value);
                self.add_fact(u64::from(verdict == ColumnVerdict::Repeated));
            }
            if class == Class::Map {
                let within = beside.map(|(_, taken)| (&*column, taken));
                self.add_entries_to(value, within, levels.saturating_sub(1));
            }
        }
        self.add_fact(END);
    }
}
