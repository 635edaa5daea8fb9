//! Recognizes deliveries and events that Lambda repeats because it did not get the answer.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, Hash, RandomState};

/// Hashes of the newest values, up to a number.
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

    pub(crate) fn contains(&self, value: impl Hash) -> bool {
        self.hashes.contains(&self.hasher.hash_one(value))
    }

    pub(crate) fn add(&mut self, value: impl Hash) {
        if self.hashes.len() == self.most {
            self.hashes.pop_front();
        }
        self.hashes.push_back(self.hasher.hash_one(value));
    }
}
