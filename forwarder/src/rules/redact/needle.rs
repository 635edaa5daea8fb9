//! Texts that every match of a finder contains. Most texts have none of them, which costs less to see than a search.

/// The characters of a text, in 64 classes. Upper and lower case are in the same class.
#[derive(Clone, Copy, Debug)]
pub(super) struct Letters(u64);

impl Letters {
    pub(super) const fn of(text: &[u8]) -> Self {
        let mut classes = 0;
        let mut rest = text;
        while let [byte, after @ ..] = rest {
            classes |= 1 << ((*byte & 0x1f) | (*byte & 0x40) >> 1);
            rest = after;
        }
        Self(classes)
    }

    fn has_all(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    pub(super) fn has_any(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }
}

/// A text in any case of letters.
#[derive(Clone, Debug)]
pub(super) struct Needle {
    text: &'static [u8],
    letters: Letters,
    /// Position of the rarest letter, by which the text is searched.
    rarest: usize,
}

impl Needle {
    pub(super) fn new(text: &'static str) -> Self {
        // The letters of English, the most frequent ones first.
        const FREQUENT: &[u8] = b"etaoinsrhldcumfpgwybvkxjqz";
        let text = text.as_bytes();
        let rank = |byte: &u8| {
            let lower = byte.to_ascii_lowercase();
            FREQUENT.iter().position(|letter| *letter == lower).unwrap_or(FREQUENT.len())
        };
        let rarest = (0..text.len()).max_by_key(|at| text.get(*at).map(rank)).unwrap_or_default();
        Self { text, letters: Letters::of(text), rarest }
    }

    /// Returns `true` if the needle is in these bytes, whose characters are `letters`.
    pub(super) fn is_in(&self, bytes: &[u8], letters: Letters) -> bool {
        letters.has_all(self.letters) && self.is_found_in(bytes)
    }

    fn is_found_in(&self, bytes: &[u8]) -> bool {
        let Some(letter) = self.text.get(self.rarest) else { return true };
        let lower = letter.to_ascii_lowercase();
        let upper = letter.to_ascii_uppercase();
        memchr::memchr2_iter(lower, upper, bytes).any(|at| {
            let begin = at.checked_sub(self.rarest);
            let found = begin.and_then(|begin| bytes.get(begin..begin + self.text.len()));
            found.is_some_and(|found| found.eq_ignore_ascii_case(self.text))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_needle_is_found_in_any_case_and_at_any_place() {
        for needle in ["@", "%2540", r"\x40", "AKIA", "authorization", "eyJ"] {
            let is_in = |text: &str| {
                let bytes = text.as_bytes();
                Needle::new(needle).is_in(bytes, Letters::of(bytes))
            };
            for text in [needle.to_owned(), needle.to_uppercase(), needle.to_lowercase()] {
                for around in ["", "x", "authorizatio", "%254", "é"] {
                    assert!(is_in(&format!("{around}{text}{around}")), "{needle} in {text}");
                }
            }
            assert!(!is_in(&needle.chars().skip(1).collect::<String>()), "{needle}");
            assert!(!is_in(&needle.chars().rev().skip(1).collect::<String>()), "{needle}");
            assert!(!is_in(""), "{needle}");
        }
    }
}
