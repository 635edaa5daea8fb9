//! Selects log groups by name and tag, except the delivery path's own.

use settings::Pattern;
use std::collections::BTreeMap;

/// The log groups of all stacks of `template.yaml`: a forwarder that reads its own log would never stop.
const STACKS_LOG_GROUPS: &str = "/lambda-otlp/*";

/// The end of the name of a region's own copy. A Lambda Web Function writes each event to `NAME.local` in its region, and to `NAME`
/// in its home region, which has both. Its custom log groups have copies too, and the name of no other function has a full stop.
///
/// Source: Lambda Developer Guide, "Logging for web functions".
const REGIONAL_COPY: &str = ".local";

/// Returns `true` for a web function's regional copy, unless one of the patterns asks for such copies: it ends in `.local` too.
pub fn is_regional_copy(name: &str, patterns: &[Pattern]) -> bool {
    let asks_for_copies =
        |pattern: &Pattern| pattern.as_str().ends_with(REGIONAL_COPY) && pattern.matches(name);
    name.ends_with(REGIONAL_COPY) && !patterns.iter().any(asks_for_copies)
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
    tags: Vec<TagCondition>,
    own: Vec<Pattern>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagCondition {
    key: String,
    /// `None` for any value.
    value: Option<Pattern>,
}

/// The reason why a log group is not selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Unselected {
    #[error("of the delivery path itself")]
    Own,
    #[error("not included")]
    NotIncluded,
    #[error("excluded")]
    Excluded,
    #[error("regional copy of a web function's log group")]
    RegionalCopy,
    #[error("without the tags")]
    Tags,
    #[error("selected for removal")]
    Removed,
}

impl Selection {
    /// Selects names in `include` and not in `exclude`, with all of `tags`. With tags but without `include`, any name qualifies.
    /// `own` are further log groups of the delivery path.
    pub fn new(
        include: Vec<Pattern>,
        exclude: Vec<Pattern>,
        tags: Vec<TagCondition>,
        own: impl IntoIterator<Item = String>,
    ) -> Self {
        let include =
            if include.is_empty() && !tags.is_empty() { vec![Pattern::new("*")] } else { include };
        let own = own.into_iter().chain([STACKS_LOG_GROUPS.to_owned()]);
        Self { include, exclude, tags, own: own.map(|name| Pattern::new(&name)).collect() }
    }

    /// Returns `true` if nothing can be selected.
    pub fn is_empty(&self) -> bool {
        self.include.is_empty()
    }

    pub fn include(&self) -> &[Pattern] {
        &self.include
    }

    /// Checks the name of a log group, which may be selected depending on its tags. The error is the reason why it is not.
    pub fn check_name(&self, name: &str) -> Result<(), Unselected> {
        if Pattern::any_matches(&self.own, name) {
            Err(Unselected::Own)
        } else if Pattern::any_matches(&self.exclude, name) {
            Err(Unselected::Excluded)
        } else if !Pattern::any_matches(&self.include, name) {
            Err(Unselected::NotIncluded)
        } else if is_regional_copy(name, &self.include) {
            Err(Unselected::RegionalCopy)
        } else {
            Ok(())
        }
    }

    /// Returns `true` if the tags of a log group matter.
    pub fn asks_for_tags(&self) -> bool {
        !self.tags.is_empty()
    }

    /// Checks the tags of a log group: for each required key it needs one of the values.
    pub fn check_tags(&self, tags: &BTreeMap<String, String>) -> Result<(), Unselected> {
        let is_met = |condition: &TagCondition| {
            tags.get(&condition.key).is_some_and(|found| {
                condition.value.as_ref().is_none_or(|value| value.matches(found))
            })
        };
        let is_key_met =
            |key: &str| self.tags.iter().any(|other| other.key == key && is_met(other));
        if self.tags.iter().all(|condition| is_key_met(&condition.key)) {
            Ok(())
        } else {
            Err(Unselected::Tags)
        }
    }
}

/// The mistake in a list of patterns or tags.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSelection {
    #[error(
        "{pattern:?} holds {character:?}, which no log group's name has: expected names such as /aws/lambda/*, separated by commas"
    )]
    Pattern { pattern: String, character: char },
    #[error("{0:?} has no key: expected KEY=VALUE, separated by commas")]
    TagWithoutKey(String),
}

/// Reads comma-separated patterns of log group names: whole names, or with `*` for any text; a pattern that ends in `/` includes
/// everything below.
pub fn parse_patterns(text: &str) -> Result<Vec<Pattern>, InvalidSelection> {
    parts(text).map(parse_pattern).collect()
}

fn parse_pattern(text: &str) -> Result<Pattern, InvalidSelection> {
    // CloudWatch Logs API Reference, "CreateLogGroup".
    let is_of_names = |c: char| c.is_ascii_alphanumeric() || "._-/#*".contains(c);
    if let Some(character) = text.chars().find(|c| !is_of_names(*c)) {
        return Err(InvalidSelection::Pattern { pattern: text.to_owned(), character });
    }
    Ok(if text.ends_with('/') { Pattern::new(&format!("{text}*")) } else { Pattern::new(text) })
}

/// Reads comma-separated tags: `team=shop`, `stage=prod*`, or a key alone for any value.
pub fn parse_tags(text: &str) -> Result<Vec<TagCondition>, InvalidSelection> {
    parts(text).map(parse_tag).collect()
}

fn parse_tag(text: &str) -> Result<TagCondition, InvalidSelection> {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key.trim(), Some(Pattern::new(value.trim()))),
        None => (text, None),
    };
    if key.is_empty() {
        return Err(InvalidSelection::TagWithoutKey(text.to_owned()));
    }
    Ok(TagCondition { key: key.to_owned(), value })
}

/// The parts between commas, without empty ones.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(include: &str, exclude: &str, tags: &str) -> Selection {
        let own = ["/aws/lambda/forwarder".to_owned()];
        let patterns = |text| parse_patterns(text).unwrap();
        Selection::new(patterns(include), patterns(exclude), parse_tags(tags).unwrap(), own)
    }

    #[test]
    fn name_patterns_include_and_exclude_log_groups() {
        let check = |include: &str, exclude: &str, name: &str, expected: Result<(), Unselected>| {
            let found = selection(include, exclude, "").check_name(name);
            assert_eq!(found, expected, "{include} - {exclude} / {name}");
        };
        check("/aws/lambda/*", "", "/aws/lambda/orders", Ok(()));
        check("/aws/lambda/", "", "/aws/lambda/orders", Ok(()));
        check("/aws/lambda/orders", "", "/aws/lambda/orders", Ok(()));
        check("/aws/lambda/orders", "", "/aws/lambda/orders-2", Err(Unselected::NotIncluded));
        check("a, b ,", "", "b", Ok(()));
        check("*-prod", "", "/aws/lambda/orders-prod", Ok(()));
        check("*", "*-dev", "/aws/lambda/orders-dev", Err(Unselected::Excluded));
        check("*", "", "/lambda-otlp/lambda-otlp/forwarder", Err(Unselected::Own));
        check("/lambda-otlp/*", "", "/lambda-otlp/prod/redrive", Err(Unselected::Own));
        check("*", "", "/aws/lambda/forwarder", Err(Unselected::Own));
        check("*", "", "/aws/lambda/forwarder-2", Ok(()));
        check("", "", "/aws/lambda/orders", Err(Unselected::NotIncluded));
        assert!(selection("", "*", "").is_empty());
        let copy = Err(Unselected::RegionalCopy);
        check("/aws/lambda/*", "", "/aws/lambda/web/shop", Ok(()));
        check("/aws/lambda/*", "", "/aws/lambda/web/shop.local", copy);
        check("*", "", "/team/logs.local", copy);
        check("/aws/lambda/*.local", "", "/aws/lambda/web/shop.local", Ok(()));
        check("/aws/lambda/web/shop.local", "", "/aws/lambda/web/shop.local", Ok(()));
        check("/aws/lambda/*,/team/*.local", "", "/aws/lambda/web/shop.local", copy);
        check("/aws/lambda/*", "*.local", "/aws/lambda/web/shop.local", Err(Unselected::Excluded));
        check("/aws/lambda/*", "", "/aws/lambda/local", Ok(()));
    }

    #[test]
    fn tag_patterns_select_log_groups() {
        let check = |tags: &str, has: &[(&str, &str)], expected: bool| {
            let has = has.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
            assert_eq!(
                selection("", "", tags).check_tags(&has).is_ok(),
                expected,
                "{tags} / {has:?}"
            );
        };
        check("team=shop", &[("team", "shop"), ("x", "y")], true);
        check("team=shop", &[("team", "Shop")], false);
        check("team=shop", &[], false);
        check("team", &[("team", "any")], true);
        check("team=", &[("team", "")], true);
        check("team=", &[("team", "any")], false);
        check("stage=prod*", &[("stage", "prod-eu")], true);
        check("team=shop,stage=prod", &[("team", "shop")], false);
        check("team=shop,stage=prod", &[("team", "shop"), ("stage", "prod")], true);
        check("team=shop,team=cart", &[("team", "cart")], true);
        // Tags alone select from all names.
        assert_eq!(selection("", "", "team").check_name("/any"), Ok(()));
    }
}
