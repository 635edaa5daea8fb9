//! All mistakes in a rules file, with their positions and a suggestion.

use std::fmt;
use std::ops::Range;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Line of the file, from 1.
    pub line: usize,
    /// Character of the line, from 1.
    pub column: usize,
    /// The key, such as `match.severity`; empty for invalid TOML.
    pub key: String,
    pub problem: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.problem)
    }
}

/// The mistakes of one file, ordered by position; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// Returns an error if there are any mistakes.
    pub(super) fn check(mut mistakes: Vec<Mistake>) -> Result<(), Self> {
        if mistakes.is_empty() {
            return Ok(());
        }
        mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
        Err(Self(mistakes))
    }

    pub(super) fn of_file(problem: String) -> Self {
        Self(vec![Mistake { line: 1, column: 1, key: String::new(), problem }])
    }

    /// Iterates over the mistakes; at least one.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Mistake> {
        self.0.iter()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, mistake) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// Line and column of a byte of `text`, both from 1; the column counts characters.
pub(super) fn position(text: &str, span: &Range<usize>) -> (usize, usize) {
    let before = text.get(..span.start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// The known name with the smallest difference from `name`: at most two letters, and at most half of them.
pub(super) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let near = known.iter().map(|candidate| (distance(name, candidate), *candidate));
    let (distance, candidate) = near.min()?;
    (distance <= 2 && distance * 2 <= name.chars().count()).then_some(candidate)
}

fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, from) in left.chars().enumerate() {
        let mut before = line;
        let mut previous = line + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(&right) {
            let changed = before + usize::from(from != *to);
            before = *cell;
            previous = changed.min(previous + 1).min(*cell + 1);
            *cell = previous;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested() {
        let known = ["sample", "severity", "span_name", "drop"];
        let check = |name, expected| assert_eq!(nearest(name, &known), expected, "{name}");
        check("smaple", Some("sample"));
        check("sevrity", Some("severity"));
        check("spanname", Some("span_name"));
        check("dorp", Some("drop"));
        check("dor", None);
        check("something", None);
    }

    #[test]
    fn positions_count_lines_and_characters() {
        let text = "a = 1\nü = 2\n";
        assert_eq!(position(text, &(0..1)), (1, 1));
        assert_eq!(position(text, &(9..10)), (2, 3));
        assert_eq!(position(text, &(500..501)), (3, 1));
    }
}
