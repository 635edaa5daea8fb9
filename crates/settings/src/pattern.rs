//! Text patterns in which `*` matches any text, including none.

/// A text pattern in which `*` matches any text, including none. Case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Any text is a pattern; without a `*` it matches itself.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The common beginning of all matching texts; may be empty.
    pub fn prefix(&self) -> &str {
        self.0.split('*').next().unwrap_or_default()
    }

    /// A text contained in all matching texts.
    pub fn longest_piece(&self) -> &str {
        self.0.split('*').max_by_key(|piece| piece.len()).unwrap_or_default()
    }

    pub fn matches(&self, text: &str) -> bool {
        // Excludes most texts at once.
        let last_byte = self.0.as_bytes().last().filter(|last| **last != b'*');
        if last_byte.is_some() && last_byte != text.as_bytes().last() {
            return false;
        }
        let Some((first, rest_of_pattern)) = self.0.split_once('*') else { return self.0 == text };
        let Some(mut rest) = text.strip_prefix(first) else { return false };
        let (middle, tail) = match rest_of_pattern.rsplit_once('*') {
            Some((middle, tail)) => (Some(middle), tail),
            None => (None, rest_of_pattern),
        };
        for piece in middle.into_iter().flat_map(|middle| middle.split('*')) {
            let Some((_, after)) = rest.split_once(piece) else { return false };
            rest = after;
        }
        rest.ends_with(tail)
    }

    /// Returns `true` if one of the patterns matches.
    pub fn any_matches(patterns: &[Self], text: &str) -> bool {
        patterns.iter().any(|pattern| pattern.matches(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_match_any_text() {
        let check = |pattern: &str, text: &str, expected: bool| {
            assert_eq!(Pattern::new(pattern).matches(text), expected, "{pattern} / {text}");
        };
        check("orders", "orders", true);
        check("orders", "orders-1", false);
        check("*", "", true);
        check("/aws/lambda/*", "/aws/lambda/orders", true);
        check("/aws/lambda/*", "/aws/lambd", false);
        check("*-prod", "orders-prod", true);
        check("*-prod", "orders-prod-1", false);
        check("*prod*", "a-prod-b", true);
        check("a*b*c", "a-b-b-c", true);
        check("a*b*c", "a-c-b", false);
        check("a*a", "a", false);
        check("**", "x", true);
        check("a**b", "ab", true);
        check("Orders", "orders", false);
        check("a*ü", "a-ü", true);
    }

    #[test]
    fn the_prefix_of_a_pattern_ends_at_the_first_star() {
        let check = |pattern: &str, prefix| assert_eq!(Pattern::new(pattern).prefix(), prefix);
        check("/aws/lambda/*", "/aws/lambda/");
        check("/aws/lambda/a*b*", "/aws/lambda/a");
        check("orders", "orders");
        check("*", "");
    }
}
