//! The distance between a misspelt name and a known one.

/// The number of letters to change, add, remove or swap with a neighbour to turn `left` into `right` (optimal string alignment
/// distance).
pub(super) fn slips(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    let mut previous_left = None;
    for (row, left_char) in left.chars().enumerate() {
        let mut current = vec![row + 1];
        let mut previous_right = None;
        for (column, &right_char) in right.iter().enumerate() {
            let at =
                |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX / 2);
            let mut cost = (at(&last, column) + usize::from(left_char != right_char))
                .min(at(&last, column + 1) + 1)
                .min(at(&current, column) + 1);
            if previous_left == Some(right_char) && previous_right == Some(left_char) {
                cost = cost.min(at(&before_last, column.wrapping_sub(1)) + 1);
            }
            current.push(cost);
            previous_right = Some(right_char);
        }
        before_last = std::mem::replace(&mut last, current);
        previous_left = Some(left_char);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_mistakes_between_two_names_are_counted() {
        let check = |left, right, expected| {
            assert_eq!(slips(left, right), expected, "{left} {right}");
            assert_eq!(slips(right, left), expected, "{right} {left}");
        };
        check("", "", 0);
        check("abc", "", 3);
        check("ENDPIONT", "ENDPOINT", 1);
        check("HEADER", "HEADERS", 1);
        check("STREEM", "STREAM", 1);
        check("ba", "ab", 1);
        check("kitten", "sitting", 3);
    }
}
