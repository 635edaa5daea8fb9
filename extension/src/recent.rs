//! Recognizes what Lambda delivers again because it did not get the answer.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, Hash, RandomState};

/// Hashes of the newest things, up to a number.
#[derive(Debug)]
pub(crate) struct Recent {
    hashes: VecDeque<u64>,
    most: usize,
    hasher: RandomState,
}

impl Recent {
    pub(crate) fn new(most: usize) -> Self {
        Self { hashes: VecDeque::new(), most, hasher: RandomState::new() }
    }

    pub(crate) fn has(&self, thing: impl Hash) -> bool {
        self.hashes.contains(&self.hasher.hash_one(thing))
    }

    pub(crate) fn add(&mut self, thing: impl Hash) {
        if self.hashes.len() == self.most {
            self.hashes.pop_front();
        }
        self.hashes.push_back(self.hasher.hash_one(thing));
    }
}
