//! Compares the items that were made with the items that arrived.

use std::collections::BTreeMap;

/// The result, for items of any kind. Each item must arrive as often as it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison<T> {
    pub made: usize,
    pub found: usize,
    pub missing: Vec<T>,
    /// The copies beyond those that were made.
    pub repeated: Vec<T>,
    /// Stored items that no sender made.
    pub unexpected: Vec<T>,
}

/// The copies of one item.
#[derive(Default)]
struct Times {
    made: usize,
    arrived: usize,
}

impl<T> Default for Comparison<T> {
    fn default() -> Self {
        let missing = Vec::new();
        let repeated = Vec::new();
        let unexpected = Vec::new();
        Self { made: 0, found: 0, missing, repeated, unexpected }
    }
}

impl<T: Ord + Clone> Comparison<T> {
    pub fn of(made: impl IntoIterator<Item = T>, arrived: impl IntoIterator<Item = T>) -> Self {
        let mut times: BTreeMap<T, Times> = BTreeMap::new();
        made.into_iter().for_each(|item| times.entry(item).or_default().made += 1);
        arrived.into_iter().for_each(|item| times.entry(item).or_default().arrived += 1);
        let mut comparison = Self::default();
        for (item, Times { made, arrived }) in times {
            comparison.made += made;
            comparison.found += made.min(arrived);
            let copies = |times: usize| std::iter::repeat_n(item.clone(), times);
            comparison.missing.extend(copies(made.saturating_sub(arrived)));
            let more =
                if made == 0 { &mut comparison.unexpected } else { &mut comparison.repeated };
            more.extend(copies(arrived.saturating_sub(made)));
        }
        comparison
    }

    /// Returns `true` if every item arrived as often as it was made, and no other did.
    pub fn is_equal(&self) -> bool {
        self.missing.is_empty() && self.repeated.is_empty() && self.unexpected.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_repeated_and_unexpected_items_are_told_apart() {
        let comparison = Comparison::of(["a", "b", "b", "c"], ["b", "c", "c", "d", "d"]);
        let missing = vec!["a", "b"];
        let repeated = vec!["c"];
        let unexpected = vec!["d", "d"];
        let expected = Comparison { made: 4, found: 2, missing, repeated, unexpected };
        assert!(comparison == expected && !comparison.is_equal(), "{comparison:?}");
        assert!(Comparison::of(["a", "a"], ["a", "a"]).is_equal());
    }
}
